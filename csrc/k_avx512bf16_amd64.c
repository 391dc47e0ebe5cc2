/* The kernels for AVX-512 (F, BW, DQ, VL) with VNNI and BF16. */
#ifdef __x86_64__
#define UN_VNNI
#define UN_BF16
#define UN_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,fma"
#include "target_push.h"
#include "v16_avx512.h"
#define UN_TABLE UN_EACH_BFLOAT_OP
#include "kernels_tmpl.h"
#include "target_pop.h"
#endif
