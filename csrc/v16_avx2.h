/* v16_avx2.h - a vector of 16 floats as two ymm registers (AVX2, FMA). */
#include <immintrin.h>
#define UN_ISA avx2
typedef struct { __m256 lo, hi; } v16;
/* Register tile of the matrix product: rows x vectors. */
#define V16_ROWS 6
#define V16_COLS 1
/* Direct convolution: steps of the channel loop unrolled, input blocks per
 * pass. Weight gradient: input channels x output blocks of a register tile. */
#ifndef V16_UNROLL
#define V16_UNROLL 2
#define V16_CONV_BLOCKS 2
#define V16_WGRAD_OB 1
#define V16_WGRAD_IC1 2
#define V16_WGRAD_PX1 1
#define V16_WGRAD_IC2 2
#define V16_WGRAD_PX2 1
#define V16_TAP_ROWS 2 /* first layer: kernel rows, pixels */
#define V16_TAP_PX 1
#endif
#define V16_2(e_lo, e_hi) ((v16){ (e_lo), (e_hi) })

static inline v16 v16_load(const float *p) { return V16_2(_mm256_load_ps(p), _mm256_load_ps(p + 8)); }
static inline void v16_store(float *p, v16 a) { _mm256_store_ps(p, a.lo); _mm256_store_ps(p + 8, a.hi); }
static inline v16 v16_loadu(const float *p) { return V16_2(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
static inline void v16_storeu(float *p, v16 a) { _mm256_storeu_ps(p, a.lo); _mm256_storeu_ps(p + 8, a.hi); }
static inline float v16_sum(v16 a)
{
    const __m256 s = _mm256_add_ps(a.lo, a.hi);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
static inline v16 v16_set1(float x) { __m256 v = _mm256_set1_ps(x); return V16_2(v, v); }
static inline v16 v16_zero(void) { return V16_2(_mm256_setzero_ps(), _mm256_setzero_ps()); }
static inline v16 v16_add(v16 a, v16 b) { return V16_2(_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)); }
static inline v16 v16_sub(v16 a, v16 b) { return V16_2(_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)); }
static inline v16 v16_mul(v16 a, v16 b) { return V16_2(_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)); }
static inline v16 v16_div(v16 a, v16 b) { return V16_2(_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)); }
static inline v16 v16_sqrt(v16 a) { return V16_2(_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)); }
static inline v16 v16_max(v16 a, v16 b) { return V16_2(_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)); }
static inline v16 v16_min(v16 a, v16 b) { return V16_2(_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)); }
static inline v16 v16_fma(v16 a, v16 b, v16 c) { return V16_2(_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)); }
/* v16_fma for the accumulators of a register tile: says that the sum stays in
 * the registers of c, where GCC left alone copies it about. */
static inline v16 v16_fma_acc(v16 a, v16 b, v16 c)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(c.lo) : "x"(a.lo), "x"(b.lo));
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(c.hi) : "x"(a.hi), "x"(b.hi));
    return c;
}
static inline v16 v16_fnma(v16 a, v16 b, v16 c) { return V16_2(_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)); }
static inline v16 v16_select_gt(v16 a, v16 b, v16 t, v16 f)
{
    return V16_2(_mm256_blendv_ps(f.lo, t.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ)),
                 _mm256_blendv_ps(f.hi, t.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ)));
}
static inline v16 v16_select_eq(v16 a, v16 b, v16 t, v16 f)
{
    return V16_2(_mm256_blendv_ps(f.lo, t.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ)),
                 _mm256_blendv_ps(f.hi, t.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ)));
}
static inline v16 v16_round(v16 a) { return V16_2(_mm256_round_ps(a.lo, 8), _mm256_round_ps(a.hi, 8)); }
static inline v16 v16_pow2i(v16 a)
{
    const __m256i bias = _mm256_set1_epi32(127);
    return V16_2(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(a.lo), bias), 23)),
                 _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(a.hi), bias), 23)));
}

typedef int32_t un_q4 __attribute__((aligned(1), may_alias)); /* the bytes of a group */

/* Products of 8-bit integers as 16 bits, two at a time; see qgemm_tmpl.h. */
#define Q_GROUP 2
#define Q_OFFSET 0
typedef int16_t un_q;
typedef int16_t un_qweight;
typedef struct { __m256i lo, hi; } v16i;
typedef v16i un_qw;
typedef __m256i un_qx;
static inline v16i v16i_load(const int32_t *p)
{
    return (v16i){ _mm256_load_si256((const __m256i *)p), _mm256_load_si256((const __m256i *)(p + 8)) };
}
static inline void v16i_store(int32_t *p, v16i a)
{
    _mm256_store_si256((__m256i *)p, a.lo);
    _mm256_store_si256((__m256i *)(p + 8), a.hi);
}
static inline v16i v16i_from(v16 a) { return (v16i){ _mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi) }; }
static inline v16 v16_from_int(v16i a) { return V16_2(_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)); }
static inline void un_q_store(un_q *p, v16i a)
{
    _mm256_store_si256((__m256i *)p, _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8));
}
static inline un_qw un_qw_load(const un_qweight *p)
{
    return (un_qw){ _mm256_load_si256((const __m256i *)p), _mm256_load_si256((const __m256i *)(p + 16)) };
}
static inline un_qx un_qx_load(const un_q *p) { return _mm256_set1_epi32(*(const un_q4 *)p); }
static inline v16i v16i_dot(v16i sum, un_qx x, un_qw w)
{
    return (v16i){ _mm256_add_epi32(sum.lo, _mm256_madd_epi16(x, w.lo)),
                   _mm256_add_epi32(sum.hi, _mm256_madd_epi16(x, w.hi)) };
}

/* Products of bfloat16; see gemm16_tmpl.h. */
#define B_GROUP 1
static inline __m256 un_bfloat8(__m256 a)
{
    const __m256i u = _mm256_castps_si256(a), odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i r = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    return _mm256_castsi256_ps(_mm256_and_si256(r, _mm256_set1_epi32(-65536)));
}
static inline v16 v16_bfloat(v16 a) { return v16_select_eq(a, a, V16_2(un_bfloat8(a.lo), un_bfloat8(a.hi)), a); }
