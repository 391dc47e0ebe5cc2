/* v16_c.h - a vector of 16 floats for any CPU, as four of the vectors that GCC
 * and Clang offer everywhere. */
#define UN_ISA c
typedef float un_f4 __attribute__((vector_size(16), may_alias));
typedef float un_f4u __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t un_i4 __attribute__((vector_size(16)));
typedef struct { un_f4 q[4]; } v16;
/* Without a loop over i: GCC would unroll it too late to keep arrays of v16 in
 * registers. */
#define V16_Q(k, stmt) { enum { i = k }; stmt; }
#define V16_EACH(stmt) V16_Q(0, stmt) V16_Q(1, stmt) V16_Q(2, stmt) V16_Q(3, stmt)
#define V16_4(expr) ({ v16 r_; V16_EACH(r_.q[i] = (expr)) r_; })
#define V16_LANES(expr) ({ v16 r_; for (int i = 0; i < 16; i++) r_.q[i / 4][i % 4] = (expr); r_; })
#define V16_LANE(a) ((a).q[i / 4][i % 4])
/* Register tile of the matrix product: rows x vectors. */
#define V16_ROWS 4
#define V16_COLS 1
/* Direct convolution: steps of the channel loop unrolled, input blocks per
 * pass. Weight gradient: input channels x output blocks of a register tile. */
#ifndef V16_UNROLL
#define V16_UNROLL 1
#define V16_CONV_BLOCKS 2
#define V16_WGRAD_OB 1
#define V16_WGRAD_IC1 2
#define V16_WGRAD_PX1 1
#define V16_WGRAD_IC2 2
#define V16_WGRAD_PX2 1
#define V16_TAP_ROWS 2 /* first layer: kernel rows, pixels */
#define V16_TAP_PX 1
#endif

static inline v16 v16_load(const float *p) { return V16_4(((const un_f4 *)p)[i]); }
static inline void v16_store(float *p, v16 a) { V16_EACH(((un_f4 *)p)[i] = a.q[i]) }
/* The same for any address. */
static inline v16 v16_loadu(const float *p) { return V16_4(((const un_f4u *)p)[i]); }
static inline void v16_storeu(float *p, v16 a) { V16_EACH(((un_f4u *)p)[i] = a.q[i]) }
/* Sum of the lanes, in halves. */
static inline float v16_sum(v16 a)
{
    const un_f4 s = (a.q[0] + a.q[2]) + (a.q[1] + a.q[3]);
    return (s[0] + s[2]) + (s[1] + s[3]);
}
static inline v16 v16_set1(float x) { return V16_4(((un_f4){ x, x, x, x })); }
static inline v16 v16_zero(void) { return v16_set1(0.0f); }
static inline v16 v16_add(v16 a, v16 b) { return V16_4(a.q[i] + b.q[i]); }
static inline v16 v16_sub(v16 a, v16 b) { return V16_4(a.q[i] - b.q[i]); }
static inline v16 v16_mul(v16 a, v16 b) { return V16_4(a.q[i] * b.q[i]); }
static inline v16 v16_div(v16 a, v16 b) { return V16_4(a.q[i] / b.q[i]); }
static inline v16 v16_sqrt(v16 a) { return V16_LANES(__builtin_sqrtf(V16_LANE(a))); }
/* t where the mask is set, else f. */
static inline un_f4 un_blend(un_i4 mask, un_f4 t, un_f4 f)
{
    return (un_f4)(((un_i4)t & mask) | ((un_i4)f & ~mask));
}
/* max(a, b): b where a is NaN, as the x86 instruction. */
static inline v16 v16_max(v16 a, v16 b) { return V16_4(un_blend(a.q[i] > b.q[i], a.q[i], b.q[i])); }
static inline v16 v16_min(v16 a, v16 b) { return V16_4(un_blend(a.q[i] < b.q[i], a.q[i], b.q[i])); }
/* a*b + c; here rounded twice, once in the others. */
static inline v16 v16_fma(v16 a, v16 b, v16 c) { return V16_4(c.q[i] + a.q[i] * b.q[i]); }
/* The same, for the accumulators of a register tile. */
static inline v16 v16_fma_acc(v16 a, v16 b, v16 c) { return v16_fma(a, b, c); }
/* c - a*b */
static inline v16 v16_fnma(v16 a, v16 b, v16 c) { return V16_4(c.q[i] - a.q[i] * b.q[i]); }
/* t where a > b, else f. */
static inline v16 v16_select_gt(v16 a, v16 b, v16 t, v16 f) { return V16_4(un_blend(a.q[i] > b.q[i], t.q[i], f.q[i])); }
/* t where a == b, else f. */
static inline v16 v16_select_eq(v16 a, v16 b, v16 t, v16 f) { return V16_4(un_blend(a.q[i] == b.q[i], t.q[i], f.q[i])); }
static inline v16 v16_round(v16 a) { return V16_LANES(__builtin_rintf(V16_LANE(a))); }
/* 2^a for integral a in -126..127. */
static inline v16 v16_pow2i(v16 a)
{
    return V16_LANES((union { int32_t i; float f; }){ .i = ((int32_t)V16_LANE(a) + 127) << 23 }.f);
}

/* Products of 8-bit integers, one by one; see qgemm_tmpl.h. */
#define Q_GROUP 1
#define Q_OFFSET 0
typedef int16_t un_q;   /* an input */
typedef int16_t un_qweight;
typedef int32_t un_i4m __attribute__((vector_size(16), may_alias));
typedef struct { un_i4 q[4]; } v16i; /* 16 sums */
typedef v16i un_qw;     /* 16 groups of weights */
typedef int32_t un_qx;  /* a group of inputs */
#define V16I_4(expr) ({ v16i r_; V16_EACH(r_.q[i] = (expr)) r_; })
static inline v16i v16i_load(const int32_t *p) { return V16I_4(((const un_i4m *)p)[i]); }
static inline void v16i_store(int32_t *p, v16i a) { V16_EACH(((un_i4m *)p)[i] = a.q[i]) }
/* Rounds values of less than 2^22 to integers, halves to even: adding 1.5*2^23
 * leaves them in the last bits. */
static inline v16i v16i_from(v16 a)
{
    const un_f4 big = { 12582912.0f, 12582912.0f, 12582912.0f, 12582912.0f };
    return V16I_4((un_i4)(a.q[i] + big) - (un_i4)big);
}
static inline v16 v16_from_int(v16i a)
{
    return V16_4(((un_f4){ (float)a.q[i][0], (float)a.q[i][1], (float)a.q[i][2], (float)a.q[i][3] }));
}
/* Stores 16 inputs of -127..127 plus Q_OFFSET. */
static inline void un_q_store(un_q *p, v16i a)
{
    for (int i = 0; i < 16; i++)
        p[i] = (un_q)V16_LANE(a);
}
static inline un_qw un_qw_load(const un_qweight *p)
{
    return V16I_4(((un_i4){ p[4 * i], p[4 * i + 1], p[4 * i + 2], p[4 * i + 3] }));
}
static inline un_qx un_qx_load(const un_q *p) { return *p; }
/* sum + the products of a group of inputs and 16 groups of weights. */
static inline v16i v16i_dot(v16i sum, un_qx x, un_qw w) { return V16I_4(sum.q[i] + x * w.q[i]); }

/* Products of bfloat16; see gemm16_tmpl.h. */
#define B_GROUP 1
/* a rounded to bfloat16, halves to even, as float; NaN stays NaN. */
static inline un_f4 un_bfloat4(un_f4 a)
{
    typedef uint32_t un_u4 __attribute__((vector_size(16)));
    const un_u4 u = (un_u4)a;
    return (un_f4)((u + (u >> 16 & 1) + 0x7fff) & 0xffff0000);
}
static inline v16 v16_bfloat(v16 a) { return v16_select_eq(a, a, V16_4(un_bfloat4(a.q[i])), a); }
