/* peak_tmpl.h - multiply-adds in as many accumulators as a register tile has
 * and nothing else: what the core can do at most, for the bench tool. */

/* Returns the number of floating-point operations done; writes to sink. */
double UN(un_peak)(int64_t rounds, float *sink)
{
    v16 acc[V16_ROWS * V16_COLS];
    const v16 x = v16_set1(sink[0]), y = v16_set1(sink[1]);
    UN_UNROLL(16)
    for (int i = 0; i < V16_ROWS * V16_COLS; i++)
        acc[i] = v16_set1((float)i);
    for (int64_t r = 0; r < rounds; r++) {
        UN_UNROLL(16)
        for (int i = 0; i < V16_ROWS * V16_COLS; i++)
            acc[i] = v16_fma_acc(x, y, acc[i]);
    }
    v16 sum = v16_zero();
    UN_UNROLL(16)
    for (int i = 0; i < V16_ROWS * V16_COLS; i++)
        sum = v16_add(sum, acc[i]);
    sink[0] = v16_sum(sum);
    return 32.0 * V16_ROWS * V16_COLS * (double)rounds;
}
