/* v16_neon.h - a vector of 16 floats as four q registers (AArch64 NEON). */
#include <arm_neon.h>
#ifdef UN_DOTPROD
#define UN_ISA neondot
#else
#define UN_ISA neon
#endif
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

typedef int32_t un_q4 __attribute__((aligned(1), may_alias)); /* the bytes of a group */

/* Products of 8-bit integers; see qgemm_tmpl.h. With the dot product four at a
 * time, else one by one as 16 bits. */
typedef struct { int32x4_t q[4]; } v16i;
#define V16I_4(expr) ({ v16i r_; V16_EACH(r_.q[i] = (expr)) r_; })
#define Q_OFFSET 0
static inline v16i v16i_load(const int32_t *p) { return V16I_4(vld1q_s32(p + 4 * i)); }
static inline void v16i_store(int32_t *p, v16i a) { V16_EACH(vst1q_s32(p + 4 * i, a.q[i])) }
static inline v16i v16i_from(v16 a) { return V16I_4(vcvtnq_s32_f32(a.q[i])); }
static inline v16 v16_from_int(v16i a) { return V16_4(vcvtq_f32_s32(a.q[i])); }
#ifdef UN_DOTPROD
#define Q_GROUP 4
typedef int8_t un_q;
typedef int8_t un_qweight;
typedef struct { int8x16_t q[4]; } un_qw;
typedef int8x16_t un_qx;
static inline void un_q_store(un_q *p, v16i a)
{
    const int16x8_t lo = vcombine_s16(vmovn_s32(a.q[0]), vmovn_s32(a.q[1]));
    const int16x8_t hi = vcombine_s16(vmovn_s32(a.q[2]), vmovn_s32(a.q[3]));
    vst1q_s8(p, vcombine_s8(vmovn_s16(lo), vmovn_s16(hi)));
}
static inline un_qw un_qw_load(const un_qweight *p)
{
    return (un_qw){ { vld1q_s8(p), vld1q_s8(p + 16), vld1q_s8(p + 32), vld1q_s8(p + 48) } };
}
static inline un_qx un_qx_load(const un_q *p) { return vreinterpretq_s8_s32(vdupq_n_s32(*(const un_q4 *)p)); }
static inline v16i v16i_dot(v16i sum, un_qx x, un_qw w) { return V16I_4(vdotq_s32(sum.q[i], w.q[i], x)); }
#else
#define Q_GROUP 1
typedef int16_t un_q;
typedef int16_t un_qweight;
typedef struct { int16x4_t q[4]; } un_qw;
typedef int16x4_t un_qx;
static inline void un_q_store(un_q *p, v16i a) { V16_EACH(vst1_s16(p + 4 * i, vmovn_s32(a.q[i]))) }
static inline un_qw un_qw_load(const un_qweight *p)
{
    return (un_qw){ { vld1_s16(p), vld1_s16(p + 4), vld1_s16(p + 8), vld1_s16(p + 12) } };
}
static inline un_qx un_qx_load(const un_q *p) { return vdup_n_s16(*p); }
static inline v16i v16i_dot(v16i sum, un_qx x, un_qw w) { return V16I_4(vmlal_s16(sum.q[i], w.q[i], x)); }
#endif

/* Products of bfloat16; see gemm16_tmpl.h. Those of Armv8.6 round in a way of
 * their own and are not used. */
#define B_GROUP 1
static inline float32x4_t un_bfloat4(float32x4_t a)
{
    const uint32x4_t u = vreinterpretq_u32_f32(a), odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    const uint32x4_t r = vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    return vreinterpretq_f32_u32(vandq_u32(r, vdupq_n_u32(0xffff0000)));
}
static inline v16 v16_bfloat(v16 a) { return v16_select_eq(a, a, V16_4(un_bfloat4(a.q[i])), a); }
