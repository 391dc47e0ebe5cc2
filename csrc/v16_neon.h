/* v16_neon.h - a vector of 16 floats as four q registers (AArch64 NEON). */
#include <arm_neon.h>
#define UN_ISA neon
typedef struct { float32x4_t q[4]; } v16;
/* Register tile of the matrix product: rows x vectors. */
#define V16_ROWS 4
#define V16_COLS 1
/* Direct convolution: steps of the channel loop unrolled, input blocks per
 * pass. Weight gradient: input channels x output blocks of a register tile. */
#ifndef V16_UNROLL
#define V16_UNROLL 4
#define V16_CONV_BLOCKS 2
#define V16_WGRAD_OB 1
#define V16_WGRAD_IC1 2
#define V16_WGRAD_PX1 1
#define V16_WGRAD_IC2 2
#define V16_WGRAD_PX2 1
#define V16_TAP_ROWS 2 /* first layer: kernel rows, pixels */
#define V16_TAP_PX 1
#endif
/* Without a loop over i: GCC would unroll it too late to keep arrays of v16 in
 * registers. */
#define V16_Q(k, stmt) { enum { i = k }; stmt; }
#define V16_EACH(stmt) V16_Q(0, stmt) V16_Q(1, stmt) V16_Q(2, stmt) V16_Q(3, stmt)
#define V16_4(expr) ({ v16 r_; V16_EACH(r_.q[i] = (expr)) r_; })

static inline v16 v16_load(const float *p) { return V16_4(vld1q_f32(p + 4 * i)); }
static inline void v16_store(float *p, v16 a) { V16_EACH(vst1q_f32(p + 4 * i, a.q[i])) }
static inline v16 v16_loadu(const float *p) { return v16_load(p); }
static inline void v16_storeu(float *p, v16 a) { v16_store(p, a); }
static inline float v16_sum(v16 a)
{
    return vaddvq_f32(vaddq_f32(vaddq_f32(a.q[0], a.q[2]), vaddq_f32(a.q[1], a.q[3])));
}
static inline v16 v16_set1(float x) { return V16_4(vdupq_n_f32(x)); }
static inline v16 v16_zero(void) { return v16_set1(0.0f); }
static inline v16 v16_add(v16 a, v16 b) { return V16_4(vaddq_f32(a.q[i], b.q[i])); }
static inline v16 v16_sub(v16 a, v16 b) { return V16_4(vsubq_f32(a.q[i], b.q[i])); }
static inline v16 v16_mul(v16 a, v16 b) { return V16_4(vmulq_f32(a.q[i], b.q[i])); }
static inline v16 v16_div(v16 a, v16 b) { return V16_4(vdivq_f32(a.q[i], b.q[i])); }
static inline v16 v16_sqrt(v16 a) { return V16_4(vsqrtq_f32(a.q[i])); }
/* compare and select: b where a is NaN, as the x86 instruction. */
static inline v16 v16_max(v16 a, v16 b) { return V16_4(vbslq_f32(vcgtq_f32(a.q[i], b.q[i]), a.q[i], b.q[i])); }
static inline v16 v16_min(v16 a, v16 b) { return V16_4(vbslq_f32(vcltq_f32(a.q[i], b.q[i]), a.q[i], b.q[i])); }
static inline v16 v16_fma(v16 a, v16 b, v16 c) { return V16_4(vfmaq_f32(c.q[i], a.q[i], b.q[i])); }
static inline v16 v16_fma_acc(v16 a, v16 b, v16 c) { return v16_fma(a, b, c); }
static inline v16 v16_fnma(v16 a, v16 b, v16 c) { return V16_4(vfmsq_f32(c.q[i], a.q[i], b.q[i])); }
static inline v16 v16_select_gt(v16 a, v16 b, v16 t, v16 f) { return V16_4(vbslq_f32(vcgtq_f32(a.q[i], b.q[i]), t.q[i], f.q[i])); }
static inline v16 v16_select_eq(v16 a, v16 b, v16 t, v16 f) { return V16_4(vbslq_f32(vceqq_f32(a.q[i], b.q[i]), t.q[i], f.q[i])); }
static inline v16 v16_round(v16 a) { return V16_4(vrndnq_f32(a.q[i])); }
static inline v16 v16_pow2i(v16 a)
{
    return V16_4(vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(a.q[i]), vdupq_n_s32(127)), 23)));
}
