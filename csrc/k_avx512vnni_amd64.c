/* The kernels for AVX-512 (F, BW, DQ, VL) with VNNI. */
#ifdef __x86_64__
#define UN_VNNI
#define UN_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma"
#include "target_push.h"
#include "v16_avx512.h"
#define UN_TABLE UN_EACH_QUANTISED_OP
#include "kernels_tmpl.h"
#include "target_pop.h"
#endif
