/* qwino43_tmpl.h - Winograd convolution (wino43_tmpl.h) whose products are of
 * 8-bit integers; see struct un_qwino43. Tasks, tiles and transforms are those
 * of the float kernel. */

static int32_t UN(qwino43_tasks)(const void *args)
{
    return UN(wino43_tasks)(&((const struct un_qwino43 *)args)->conv);
}

/* V takes at most 2 bytes a value. */
static int64_t UN(qwino43_scratch)(const void *args)
{
    const struct un_conv3x3 *a = &((const struct un_qwino43 *)args)->conv;
    const un_wino43 p = UN(wino43_plan)(a->n, a->h, a->w, a->icb, a->ocb);
    return 36 * (p.v_xi / 2 + p.m_xi) + WINO_RING;
}

static void UN(qwino43)(const void *args, int32_t task0, int32_t task1, float *scratch)
{
    const struct un_qwino43 *q = args;
    const struct un_conv3x3 *a = &q->conv;
    const un_wino43 p = UN(wino43_plan)(a->n, a->h, a->w, a->icb, a->ocb);
    float *m = scratch, *ring = m + 36 * p.m_xi;
    un_q *v = (un_q *)(ring + WINO_RING);
    const int64_t matrix = (int64_t)a->icb * 256;
    const struct UN(qgemm_dims) g = {
        .a_outer = p.v_b, .b_col = 36 * matrix, .offset_col = 36 * 16, .c_col = p.m_b, .outer = a->icb,
    };
    int have = -1; /* first tile of the block V holds */
    for (int task = task0; task < task1; task++) {
        const int range = task / p.chunks, chunk = task % p.chunks;
        const int first = range * p.range, last = un_imin(first + p.range, p.tiles);
        const int o0 = chunk * p.chunk, o1 = un_imin(o0 + p.chunk, a->ocb);
        for (int t0 = first; t0 < last; t0 += p.tb) {
            const int nt = un_imin(p.tb, last - t0);
            if (have != t0)
                UN(wino43_input_to)(WINO_INT8, a->src, a->src_image, &a->act, a->h, a->w, &p, t0, nt, 0, a->icb,
                                    v, q->v_scale, (int64_t)a->icb * 16, ring);
            have = t0;
            for (int o = o0; o < o1; o += 2) {
                const int cols = un_imin(2, a->ocb - o);
                for (int xi = 0; xi < 36; xi++) {
                    const int64_t at = (int64_t)o * 36 + xi; /* matrix */
                    UN(qgemm)(&g, nt, cols, v + xi * p.v_xi, (const un_qweight *)q->packed + at * matrix,
                              q->offset + at * 16, (int32_t *)m + xi * p.m_xi);
                }
                for (int k = 0; k < cols; k++)
                    UN(wino43_output_of)(a, &p, range, t0, nt, o + k, m + k * p.m_b, q->m_scale);
            }
        }
    }
}
