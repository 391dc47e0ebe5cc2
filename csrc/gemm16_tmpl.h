/* gemm16_tmpl.h - the matrix product in which Winograd convolution spends its
 * time.
 *
 *     C[m][o] (+)= sum over k of A[m][k] * B[k][o],  B and C in vectors of 16
 *
 * k runs over `outer` blocks of `inner`. A[m][k] is the float at
 * a + m*am + (k/inner)*a_outer + (k%inner)*ak, B[k][o] the vector at
 * b + k*bk + o*bo, C[m][o] the one at c + m*16 + o*co. A register tile is
 * V16_ROWS rows m by V16_COLS vectors o, chosen per instruction set so that
 * accumulators, one row of B and a broadcast fill the registers.
 *
 * With bf every "float" of A and B is a group of B_GROUP bfloat16 numbers for
 * successive k; see below. */

/* bfloat16: where the CPU multiplies pairs of them, B_GROUP is 2, and even k is
 * the upper half of a pair, which the CPU adds first. Elsewhere they are floats
 * rounded to bfloat16, whose product is exact. Either way a sum takes one
 * product after the other, in the order of k, each addition rounded to float. */
#if B_GROUP == 1
typedef float un_b;
UN_INLINE v16 v16_bdot(v16 x, v16 w, v16 sum) { return v16_fma(x, w, sum); }
UN_INLINE void un_b_store(un_b *p, v16 a) { v16_store(p, v16_bfloat(a)); }
UN_INLINE void un_bweight_store(float *p, v16 a, int k) { (void)k; v16_store(p, v16_bfloat(a)); }
#endif

struct UN(gemm_dims) {
    int64_t a_outer, bk, bo, co;
    int outer, inner, add; /* add: C += */
};

UN_INLINE void
UN(gemm_tile)(const int bf, const int rows, const int cols, const int am, const int ak,
              const struct UN(gemm_dims) *g, const float *a, const float *b, float *c)
{
    v16 acc[V16_ROWS][V16_COLS];
    UN_UNROLL(16)
    for (int m = 0; m < rows; m++)
        UN_UNROLL(4)
        for (int o = 0; o < cols; o++)
            acc[m][o] = g->add ? v16_load(c + m * 16 + o * g->co) : v16_zero();
    const int64_t bk = g->bk, bo = g->bo;
    const int inner = g->inner;
    for (int j = 0; j < g->outer; j++) {
        const float *aj = a + j * g->a_outer;
        for (int k = 0; k < inner; k++) {
            v16 w[V16_COLS];
            UN_UNROLL(4)
            for (int o = 0; o < cols; o++)
                w[o] = v16_load(b + o * bo);
            UN_UNROLL(16)
            for (int m = 0; m < rows; m++) {
                const v16 x = v16_set1(aj[m * am]);
                UN_UNROLL(4)
                for (int o = 0; o < cols; o++)
                    acc[m][o] = bf ? v16_bdot(x, w[o], acc[m][o]) : v16_fma(x, w[o], acc[m][o]);
            }
            aj += ak;
            b += bk;
        }
    }
    UN_UNROLL(16)
    for (int m = 0; m < rows; m++)
        UN_UNROLL(4)
        for (int o = 0; o < cols; o++)
            v16_store(c + m * 16 + o * g->co, acc[m][o]);
}

/* C of m rows by o vectors; the last tiles are smaller. */
UN_INLINE void
UN(gemm_any)(const int bf, const int am, const int ak, const struct UN(gemm_dims) *g, int rows, int cols,
             const float *a, const float *b, float *c)
{
    for (int o = 0; o < cols; o += V16_COLS, b += V16_COLS * g->bo, c += V16_COLS * g->co) {
        const float *am0 = a;
        float *cm = c;
        for (int m = rows; m > 0; m -= V16_ROWS, am0 += V16_ROWS * am, cm += V16_ROWS * 16) {
#define UN_TILE(r) \
    case r: \
        if (r > V16_ROWS) break; \
        if (V16_COLS == 1 || cols - o == 1) \
            UN(gemm_tile)(bf, r, 1, am, ak, g, am0, b, cm); \
        else \
            UN(gemm_tile)(bf, r, V16_COLS, am, ak, g, am0, b, cm); \
        break;
            switch (m < V16_ROWS ? m : V16_ROWS) {
                UN_TILE(1) UN_TILE(2) UN_TILE(3) UN_TILE(4)
                UN_TILE(5) UN_TILE(6) UN_TILE(7) UN_TILE(8)
            }
#undef UN_TILE
        }
    }
}

/* A is rows of vectors: am = 16, ak = 1. */
static void UN(gemm16)(const struct UN(gemm_dims) *g, int rows, int cols,
                       const float *a, const float *b, float *c)
{
    UN(gemm_any)(0, 16, 1, g, rows, cols, a, b, c);
}

/* A is such a matrix transposed: am = 1, ak = 16. */
static void UN(gemm16_t)(const struct UN(gemm_dims) *g, int rows, int cols,
                         const float *a, const float *b, float *c)
{
    UN(gemm_any)(0, 1, 16, g, rows, cols, a, b, c);
}

/* A is rows of vectors of bfloat16. */
static void UN(gemm16_b)(const struct UN(gemm_dims) *g, int rows, int cols,
                         const float *a, const float *b, float *c)
{
    UN(gemm_any)(1, 16 / B_GROUP, 1, g, rows, cols, a, b, c);
}
