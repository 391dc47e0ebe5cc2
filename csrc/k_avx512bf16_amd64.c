/* The kernels for AVX-512 (F, BW, DQ, VL) with VNNI and BF16. */
#define UN_VNNI
#define UN_BF16
#ifdef __x86_64__
#include <stdint.h>
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,fma")
#endif
#include "v16_avx512.h"
#include "kernels_tmpl.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
