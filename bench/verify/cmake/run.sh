#!/usr/bin/env bash
# Installs the kernels as a static and as a shared library, and builds an example
# in C and C++ against each: by CMake's find_package and by pkg-config.
#
#   bench/verify/cmake/run.sh
#
# The kernels are compiled without optimisation, which is quicker: it is the package
# that is tested. The headers are kernels.h and unet_kernels.h, which is the same for C++, too.
set -euo pipefail
cd "$(dirname "$0")/../../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --version | head -n 1
for shared in OFF ON; do
  at=$work/$shared
  cmake -S . -B "$at/build" -DCMAKE_BUILD_TYPE=Debug -DBUILD_SHARED_LIBS=$shared -DCMAKE_INSTALL_PREFIX="$at/root" -DCMAKE_INSTALL_LIBDIR=lib > "$at.log" ||
    { cat "$at.log"; exit 1; }
  cmake --build "$at/build" --target unet_kernels -j2 > "$at.log" 2>&1 || { cat "$at.log"; exit 1; }
  cmake --install "$at/build" --component Unspecified > "$at.log"
  cmake -S bench/verify/cmake/example -B "$at/example" -DCMAKE_PREFIX_PATH="$at/root" | grep unet_kernels
  cmake --build "$at/example" > "$at.log" 2>&1 || { cat "$at.log"; exit 1; }
  "$at/example/example-c"
  "$at/example/example-cpp"
  export PKG_CONFIG_PATH=$at/root/lib/pkgconfig
  flags=$(pkg-config --cflags --libs $([ $shared = ON ] || echo --static) unet_kernels)
  cc bench/verify/cmake/example/pool.c $flags -Wl,-rpath,"$at/root/lib" -o "$at/pkg-config"
  "$at/pkg-config"
  echo "BUILD_SHARED_LIBS=$shared: $(pkg-config --modversion unet_kernels) by find_package and by pkg-config"
done
