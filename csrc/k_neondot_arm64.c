/* The kernels for AArch64 NEON with the dot product of 8-bit integers. */
#ifdef __aarch64__
#define UN_DOTPROD
#ifdef __clang__
#define UN_TARGET "dotprod"
#else
#define UN_TARGET "arch=armv8.2-a+dotprod"
#endif
#include "target_push.h"
#include "v16_neon.h"
#define UN_TABLE UN_EACH_QUANTISED_OP
#include "kernels_tmpl.h"
#include "target_pop.h"
#endif
