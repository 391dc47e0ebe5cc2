/* The kernels for AArch64 NEON with the dot product of 8-bit integers. */
#ifdef __aarch64__
#include <stdint.h>
#define UN_DOTPROD
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif
#include "v16_neon.h"
#include "kernels_tmpl.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
