/* qgemm_tmpl.h - matrix products of 8-bit integers with sums of 32 bits, and the
 * packing of their weights.
 *
 *     C[m][o] = sum over k of A[m][k] * B[k][o],  C and B in vectors of 16
 *
 * Inputs and weights are integers of -127..127. What the processor multiplies
 * differs: Q_GROUP products are summed at a time; inputs are stored as un_q with
 * Q_OFFSET added, weights as un_qweight. Sums start at -Q_OFFSET times the sum
 * of a column of B, and so come out the same everywhere. */

/* Stores a*scale as inputs. Not a number becomes 127. */
UN_INLINE void UN(quantise)(un_q *p, v16 a, const float *scale)
{
    const v16 most = v16_set1(127.0f), least = v16_set1(-127.0f);
    const v16 x = v16_mul(a, v16_load(scale));
    un_q_store(p, v16i_from(v16_max(v16_min(x, most), least)));
}

/* k runs over `outer` blocks of 16. A[m] of a block are the 16 inputs at
 * a + m*16 + block*a_outer; B of column o is a packed matrix at b + o*b_col and
 * its offsets at offset + o*offset_col; C[m][o] is at c + m*16 + o*c_col. */
struct UN(qgemm_dims) {
    int64_t a_outer, b_col, offset_col, c_col;
    int outer;
};

UN_INLINE void UN(qgemm_tile)(const int rows, const int cols, const struct UN(qgemm_dims) *g,
                              const un_q *a, const un_qweight *b, const int32_t *offset, int32_t *c)
{
    v16i acc[V16_ROWS][V16_COLS];
    UN_UNROLL(16)
    for (int m = 0; m < rows; m++)
        UN_UNROLL(4)
        for (int o = 0; o < cols; o++)
            acc[m][o] = v16i_load(offset + o * g->offset_col);
    for (int j = 0; j < g->outer; j++, a += g->a_outer)
        for (int k = 0; k < 16; k += Q_GROUP, b += 16 * Q_GROUP) {
            un_qw w[V16_COLS];
            UN_UNROLL(4)
            for (int o = 0; o < cols; o++)
                w[o] = un_qw_load(b + o * g->b_col);
            UN_UNROLL(16)
            for (int m = 0; m < rows; m++) {
                const un_qx x = un_qx_load(a + m * 16 + k);
                UN_UNROLL(4)
                for (int o = 0; o < cols; o++)
                    acc[m][o] = v16i_dot(acc[m][o], x, w[o]);
            }
        }
    UN_UNROLL(16)
    for (int m = 0; m < rows; m++)
        UN_UNROLL(4)
        for (int o = 0; o < cols; o++)
            v16i_store(c + m * 16 + o * g->c_col, acc[m][o]);
}

/* C of m rows by cols <= V16_COLS vectors; the last tile has fewer rows. */
UN_INLINE void UN(qgemm_cols)(const int cols, const struct UN(qgemm_dims) *g, int64_t rows,
                              const un_q *a, const un_qweight *b, const int32_t *offset, int32_t *c)
{
    for (; rows > 0; rows -= V16_ROWS, a += V16_ROWS * 16, c += V16_ROWS * 16) {
#define UN_TILE(r) \
    case r: \
        if (r <= V16_ROWS) \
            UN(qgemm_tile)(r, cols, g, a, b, offset, c); \
        break;
        switch (rows < V16_ROWS ? rows : V16_ROWS) {
            UN_TILE(1) UN_TILE(2) UN_TILE(3) UN_TILE(4)
            UN_TILE(5) UN_TILE(6) UN_TILE(7) UN_TILE(8)
        }
#undef UN_TILE
    }
}

static void UN(qgemm)(const struct UN(qgemm_dims) *g, int64_t rows, int cols,
                      const un_q *a, const un_qweight *b, const int32_t *offset, int32_t *c)
{
    int o = 0;
    for (; o + V16_COLS <= cols; o += V16_COLS)
        UN(qgemm_cols)(V16_COLS, g, rows, a, b + o * g->b_col, offset + o * g->offset_col, c + o * g->c_col);
    for (; V16_COLS > 1 && o < cols; o++)
        UN(qgemm_cols)(1, g, rows, a, b + o * g->b_col, offset + o * g->offset_col, c + o * g->c_col);
}

/* Packing: [k/Q_GROUP][16][Q_GROUP]. A task is one matrix. */
static int32_t UN(pack_q_tasks)(const void *args)
{
    return ((const struct un_qpack *)args)->n;
}

static void UN(pack_q)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_qpack *a = args;
    for (int t = t0; t < t1; t++) {
        const int8_t *src = a->src + (int64_t)t * a->k * 16;
        un_qweight *dst = (un_qweight *)a->dst + (int64_t)t * a->k * 16;
        for (int o = 0; o < 16; o++) {
            int32_t sum = 0;
            for (int k = 0; k < a->k; k++) {
                sum += src[k * 16 + o];
                dst[(k / Q_GROUP * 16 + o) * Q_GROUP + k % Q_GROUP] = src[k * 16 + o];
            }
            a->offset[t * 16 + o] = -Q_OFFSET * sum;
        }
    }
}
