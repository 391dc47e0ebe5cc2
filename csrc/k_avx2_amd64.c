/* The kernels for AVX2 with FMA. */
#ifdef __x86_64__
#define UN_TARGET "avx2,fma"
#include "target_push.h"
#include "v16_avx2.h"
#include "kernels_tmpl.h"
#include "target_pop.h"
#endif
