#!/usr/bin/env bash
# Counts the instructions of the NEON kernels under QEMU, where times mean
# nothing: for a layer of C channels in and out at SIDE x SIDE pixels, those
# executed and their ratio to the fused multiply-adds of four floats (FMLA) that
# the direct algorithm needs, of which no kernel can do without the loads and
# stores around them. Winograd needs 4 times fewer of them.
#
#   bench/speed/neon/count.sh            (needs gcc, gcc-aarch64-linux-gnu, qemu-user)
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcc -O2 -shared -fPIC plugin.c -o "$work/plugin.so"
aarch64-linux-gnu-gcc -std=c11 -O3 -ffp-contract=off -fno-math-errno -static kernel.c \
  ../../../csrc/run.c ../../../csrc/k_c.c ../../../csrc/k_neon_arm64.c ../../../csrc/k_neondot_arm64.c -o "$work/kernel" -lm
count() { qemu-aarch64 -plugin "$work/plugin.so" "$work/kernel" "$@" 2>&1; }
printf '| kernel | channels | pixels | instructions | per FMLA of the direct algorithm |\n|---|--:|--:|--:|--:|\n'
for layer in '16 64' '32 64' '64 32' '128 16'; do
  read -r c side <<<"$layer"
  for k in conv3x3 wino43 wgrad3x3 wgrad_wino43 tconv; do
    taps=9; [ $k = tconv ] && taps=4
    n=$(($(count $k "$c" "$side" 2) - $(count $k "$c" "$side" 1)))
    fmla=$((taps * c * c * side * side / 4))
    printf '| %s | %s | %sx%s | %s | %s |\n' $k "$c" "$side" "$side" "$n" "$(awk "BEGIN { printf \"%.2f\", $n / $fmla }")"
  done
done
