#!/usr/bin/env bash
# Trains by mpirun (Open MPI) on this machine: 1, 2, 4 and 8 processes must leave the
# model of one process without MPI, byte for byte, also where a process is killed and
# other numbers of processes go on. What cannot train together must say so once.
#
#   bench/verify/mpi/run.sh
set -euo pipefail
cd "$(dirname "$0")/../../.."
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
go build -tags mpi -o "$work/unet" ./cli/unet
go build -o "$work/plain" ./cli/unet
cd "$work"

# More processes than cores, as any user, and without asking for rights that containers
# do not give.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
together=(mpirun --oversubscribe --bind-to none -n)

./unet sample --out sample.zip --count 8 --size 96 --seed 3 --quiet
./unet prepare sample.zip --out set --size native --quiet >/dev/null
settings() { # EPOCHS STEPS
  cat <<EOF
depth: 2
width: 16
batch: 8
micro-batches: 8
dropout: 0.1
epochs: $1
steps: $2
augment: {size: 32}
validate-every: 1
EOF
}
settings 3 6 >short.yaml
settings 3 40 >long.yaml

# same MODEL WANT: the two are the same bytes.
same() {
  cmp "$1/model.safetensors" "$2/model.safetensors"
  if ls "$1"/.*.tmp 2>/dev/null; then
    echo "$1: temporary files are left" >&2
    return 1
  fi
  echo "$1: the model of one process"
}

./plain train set --out once --config short.yaml --threads 2 --quiet >/dev/null
for n in 1 2 4 8; do
  "${together[@]}" "$n" ./unet train set --out "by$n" --config short.yaml --threads 1 --quiet >/dev/null
  same "by$n" once
done

# refused STATUS TEXT COMMAND...: it ends with that status and says so, in one line.
refused() {
  local status=0 want=$1 text=$2
  shift 2
  "$@" >refused.out 2>&1 || status=$?
  if [ "$status" != "$want" ] || [ "$(grep -c '^unet: ' refused.out)" != 1 ] || ! grep -q "^unet: .*$text" refused.out; then
    echo "status $status, not $want with '$text' in one line: $*" >&2
    cat refused.out >&2
    return 1
  fi
  grep '^unet: ' refused.out
}
refused 1 '3 processes cannot train together' "${together[@]}" 3 ./unet train set --out no --config short.yaml
refused 2 '2 processes cannot share the 1 micro-batches' "${together[@]}" 2 ./unet train set --out no --quiet
refused 4 'no such file or folder' "${together[@]}" 2 ./unet train nothing --out no --quiet
refused 2 'already holds a run' "${together[@]}" 2 ./unet train set --out by2 --config short.yaml --quiet
refused 2 'train one network: not a sweep' "${together[@]}" 2 ./unet sweep set --out no --vary depth=1,2
refused 2 'train one network: not --folds' "${together[@]}" 2 ./unet train set --out no --split-by group --folds 2
refused 1 'built without MPI' "${together[@]}" 2 ./plain train set --out no --config short.yaml
refused 1 'process 1: it has kernels other' "${together[@]}" 1 ./unet train set --out no --config short.yaml --quiet : \
  -n 1 -x UNET_ISA=c ./unet train set --out no --config short.yaml --quiet
test ! -e no/model.safetensors

# epochs DIR prints how many epochs of the run are saved.
epochs() { if [ -f "$1/history.csv" ]; then grep -c '^[0-9]' "$1/history.csv"; else echo 0; fi; }

# A process is killed when another epoch is saved: mpirun ends the others, and another
# number of processes goes on.
./plain train set --out straight --config long.yaml --quiet >/dev/null
how=(--config long.yaml)
for n in 4 2; do
  before=$(epochs killed)
  "${together[@]}" "$n" ./unet train set --out killed "${how[@]}" --threads 1 --quiet >killed.out 2>&1 &
  job=$!
  until [ "$(epochs killed)" -gt "$before" ]; do
    kill -0 $job || { cat killed.out; exit 1; }
    sleep 0.05
  done
  kill -9 "$(pgrep -P $job | tail -1)"
  status=0
  wait $job || status=$?
  if [ $status = 0 ] || ! grep -q 'exited on signal 9' killed.out || [ "$(grep -c '^unet: ' killed.out)" -gt 1 ]; then
    cat killed.out >&2
    exit 1
  fi
  grep -h 'exited on signal 9\|^unet: ' killed.out
  how=(--resume)
done
"${together[@]}" 8 ./unet train set --out killed --resume --threads 1 --quiet >/dev/null
same killed straight

# Where the job is stopped, the first process has time to save its step, each time.
settings 1000 40 >endless.yaml
how=(--config endless.yaml)
for signal in INT TERM INT TERM; do
  "${together[@]}" 2 ./unet train set --out stopped "${how[@]}" --threads 1 --quiet >stopped.out 2>&1 &
  job=$!
  until [ -f stopped/config.yaml ]; do
    kill -0 $job || { cat stopped.out; exit 1; }
    sleep 0.05
  done
  sleep 1
  kill -$signal $job
  if wait $job || ! grep -q 'the state is saved' stopped.out || ls stopped/.*.tmp 2>/dev/null; then
    cat stopped.out >&2
    exit 1
  fi
  how=(--resume)
done
echo "stopped: the state is saved"
