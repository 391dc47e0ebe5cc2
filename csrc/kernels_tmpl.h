/* kernels_tmpl.h - every kernel, on the v16 of the file that includes this,
 * and the table of them for that instruction set. A file that is for some
 * operations alone says which in UN_TABLE. */
#include "kernels.h"
#include <stddef.h>
#include <string.h>

#ifdef UN_TABLE
#pragma GCC diagnostic ignored "-Wunused-function"
#endif

#define UN_CAT2(a, b) a##_##b
#define UN_CAT(a, b) UN_CAT2(a, b)
#define UN(name) UN_CAT(name, UN_ISA) /* conv3x3_run -> conv3x3_run_avx2 */

/* A register tile: compiled into its caller, where its sizes are constants. */
#define UN_INLINE static inline __attribute__((always_inline))
/* Unrolls the loop that follows n times, or as often as it runs. */
#define UN_PRAGMA(x) _Pragma(#x)
#ifdef __clang__
#define UN_UNROLL(n) UN_PRAGMA(unroll(n))
#else
#define UN_UNROLL(n) UN_PRAGMA(GCC unroll n)
#endif
/* Keeps the compiler from moving loads across steps of an unrolled loop, where
 * it would run out of registers. */
#define UN_STEP __asm__ volatile("" ::: "memory")

/* The activation of channel block b of image i, ready to apply; see struct un_act. */
typedef struct { v16 scale, shift, lo; } un_actv;

static inline un_actv un_act_load(const struct un_act *act, int i, int b)
{
    if (!act->scale)
        return (un_actv){ v16_set1(1.0f), v16_zero(), v16_set1(-3.402823466e38f) };
    const int64_t at = i * act->image + 16 * b;
    return (un_actv){ v16_load(act->scale + at), v16_load(act->shift + at), v16_load(act->lo + at) };
}

static inline v16 un_act_apply(un_actv a, v16 x)
{
    return v16_max(v16_fma(x, a.scale, a.shift), a.lo);
}

/* Rows of a task that reads every pixel once: about 2048 pixels, so that
 * partial sums stay short. */
static inline int un_rows(int h, int w)
{
    const int rows = 2048 / w;
    return rows < 1 ? 1 : rows > h ? h : rows;
}

static inline int32_t un_rows_tasks(int n, int h, int w)
{
    const int rows = un_rows(h, w);
    return n * ((h + rows - 1) / rows);
}

/* The pixels of task t: image *i, first pixel *p0; returns their number. */
static inline int64_t un_rows_task(int h, int w, int t, int *i, int64_t *p0)
{
    const int rows = un_rows(h, w), chunks = (h + rows - 1) / rows;
    *i = t / chunks;
    const int y0 = t % chunks * rows;
    const int y1 = y0 + rows < h ? y0 + rows : h;
    *p0 = (int64_t)y0 * w;
    return (int64_t)(y1 - y0) * w;
}

static inline int64_t UN(no_scratch)(const void *args) { (void)args; return 0; }

#include "gemm16_tmpl.h"
#include "qgemm_tmpl.h"
#include "shortcut_tmpl.h"
#include "wino43_tmpl.h"
#include "range_tmpl.h"
#include "wgrad_wino43_tmpl.h"
#include "conv3x3_tmpl.h"
#include "wgrad3x3_tmpl.h"
#include "conv1x1_tmpl.h"
#include "first_tmpl.h"
#include "wgrad_first_tmpl.h"
#include "tconv_tmpl.h"
#include "qtconv_tmpl.h"
#include "pool_tmpl.h"
#include "upsample_tmpl.h"
#include "add_tmpl.h"
#include "bn_tmpl.h"
#include "head_tmpl.h"
#include "loss_tmpl.h"
#include "gate_tmpl.h"
#include "adam_tmpl.h"
#ifndef UN_TABLE
#include "peak_tmpl.h"
#endif

#ifndef UN_TABLE
#define UN_TABLE UN_EACH_OP
#endif
#define UN_OP(name, run, tasks, scratch) [UN_##name] = { UN(run), UN(tasks), UN(scratch) },
const struct un_kernel UN(un_table)[UN_OPS] = { UN_TABLE(UN_OP) };
#undef UN_OP
