/* v16_avx512.h - a vector of 16 floats as one zmm register. */
#include <immintrin.h>
#if defined UN_BF16
#define UN_ISA avx512bf16
#elif defined UN_VNNI
#define UN_ISA avx512vnni
#else
#define UN_ISA avx512
#endif
typedef __m512 v16;
/* Register tile of the matrix product: rows x vectors. */
#define V16_ROWS 8
#define V16_COLS 2
/* Direct convolution: steps of the channel loop unrolled, input blocks per
 * pass. Weight gradient: input channels x output blocks of a register tile. */
#ifndef V16_UNROLL
#define V16_UNROLL 4
#define V16_CONV_BLOCKS 2
#define V16_WGRAD_OB 2
#define V16_WGRAD_IC1 8
#define V16_WGRAD_PX1 4
#define V16_WGRAD_IC2 4
#define V16_WGRAD_PX2 2
#define V16_TAP_ROWS 9 /* first layer: kernel rows, pixels */
#define V16_TAP_PX 2
#endif

static inline v16 v16_load(const float *p) { return _mm512_load_ps(p); }
static inline void v16_store(float *p, v16 a) { _mm512_store_ps(p, a); }
static inline v16 v16_loadu(const float *p) { return _mm512_loadu_ps(p); }
static inline void v16_storeu(float *p, v16 a) { _mm512_storeu_ps(p, a); }
static inline float v16_sum(v16 a)
{
    const __m256 s = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
static inline v16 v16_set1(float x) { return _mm512_set1_ps(x); }
static inline v16 v16_zero(void) { return _mm512_setzero_ps(); }
static inline v16 v16_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
static inline v16 v16_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
static inline v16 v16_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
static inline v16 v16_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
static inline v16 v16_sqrt(v16 a) { return _mm512_sqrt_ps(a); }
static inline v16 v16_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }
static inline v16 v16_min(v16 a, v16 b) { return _mm512_min_ps(a, b); }
static inline v16 v16_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
static inline v16 v16_fma_acc(v16 a, v16 b, v16 c) { return v16_fma(a, b, c); }
static inline v16 v16_fnma(v16 a, v16 b, v16 c) { return _mm512_fnmadd_ps(a, b, c); }
static inline v16 v16_select_gt(v16 a, v16 b, v16 t, v16 f) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), f, t); }
static inline v16 v16_select_eq(v16 a, v16 b, v16 t, v16 f) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), f, t); }
static inline v16 v16_round(v16 a) { return _mm512_roundscale_ps(a, 8); }
static inline v16 v16_pow2i(v16 a)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(127)), 23));
}

typedef int32_t un_q4 __attribute__((aligned(1), may_alias)); /* the bytes of a group */

/* Products of 8-bit integers; see qgemm_tmpl.h. With VNNI four at a time, the
 * inputs offset to 0..255, else two at a time as 16 bits. */
typedef __m512i v16i;
typedef __m512i un_qw;
typedef __m512i un_qx;
#ifdef UN_VNNI
#define Q_GROUP 4
#define Q_OFFSET 128
typedef uint8_t un_q;
typedef int8_t un_qweight;
static inline v16i v16i_dot(v16i sum, un_qx x, un_qw w) { return _mm512_dpbusd_epi32(sum, x, w); }
static inline void un_q_store(un_q *p, v16i a)
{
    _mm_store_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_add_epi32(a, _mm512_set1_epi32(Q_OFFSET))));
}
#else
#define Q_GROUP 2
#define Q_OFFSET 0
typedef int16_t un_q;
typedef int16_t un_qweight;
static inline v16i v16i_dot(v16i sum, un_qx x, un_qw w) { return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w)); }
static inline void un_q_store(un_q *p, v16i a) { _mm256_store_si256((__m256i *)p, _mm512_cvtepi32_epi16(a)); }
#endif
static inline v16i v16i_load(const int32_t *p) { return _mm512_load_si512(p); }
static inline void v16i_store(int32_t *p, v16i a) { _mm512_store_si512(p, a); }
static inline v16i v16i_from(v16 a) { return _mm512_cvtps_epi32(a); }
static inline v16 v16_from_int(v16i a) { return _mm512_cvtepi32_ps(a); }
static inline un_qw un_qw_load(const un_qweight *p) { return _mm512_load_si512(p); }
static inline un_qx un_qx_load(const un_q *p) { return _mm512_set1_epi32(*(const un_q4 *)p); }

/* Products of bfloat16; see gemm16_tmpl.h. */
#ifdef UN_BF16
#define B_GROUP 2
typedef uint16_t un_b;
static inline v16 v16_bdot(v16 x, v16 w, v16 sum) { return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w); }
static inline void un_b_store(un_b *p, v16 a)
{
    _mm256_store_si256((__m256i *)p, _mm256_rol_epi32((__m256i)_mm512_cvtneps_pbh(a), 16));
}
static inline void un_bweight_store(float *p, v16 a, int k)
{
    const __m512i b = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(a));
    _mm512_store_si512(p, k & 1 ? _mm512_or_si512(_mm512_load_si512(p), b) : _mm512_slli_epi32(b, 16));
}
#else
#define B_GROUP 1
static inline v16 v16_bfloat(v16 a)
{
    const __m512i u = _mm512_castps_si512(a), odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i r = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return v16_select_eq(a, a, _mm512_castsi512_ps(_mm512_and_si512(r, _mm512_set1_epi32(-65536))), a);
}
#endif
