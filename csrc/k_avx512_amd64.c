/* The kernels for AVX-512 (F, BW, DQ, VL). */
#ifdef __x86_64__
#define UN_TARGET "avx512f,avx512bw,avx512dq,avx512vl,fma"
#include "target_push.h"
#include "v16_avx512.h"
#include "kernels_tmpl.h"
#include "target_pop.h"
#endif
