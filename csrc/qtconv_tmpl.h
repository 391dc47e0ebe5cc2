/* qtconv_tmpl.h - the transposed convolution (tconv_tmpl.h) with products of
 * 8-bit integers; see struct un_qtconv. A task converts its input rows to
 * integers once, then makes for each output block and kernel row a product of
 * all their pixels with the taps, and spreads the sums. */

enum { QTCONV_PIXELS = 64 }; /* of one product */

static int32_t UN(qtconv_tasks)(const void *args)
{
    return UN(tconv_tasks)(&((const struct un_qtconv *)args)->tconv);
}

/* Inputs take at most 2 bytes. */
static int64_t UN(qtconv_scratch)(const void *args)
{
    const struct un_tconv *a = &((const struct un_qtconv *)args)->tconv;
    return 32 * QTCONV_PIXELS + (int64_t)a->icb * UN(tconv_fwd_split)(a).rows * a->w * 8;
}

static void UN(qtconv)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    const struct un_qtconv *q = args;
    const struct un_tconv *a = &q->tconv;
    const un_tconv_split s = UN(tconv_fwd_split)(a);
    const int w = a->w;
    const int64_t hw16 = (int64_t)a->h * w * 16, row = (int64_t)2 * w * 16, matrix = (int64_t)a->icb * 256;
    int32_t *sums = (int32_t *)scratch;
    un_q *x = (un_q *)(scratch + 32 * QTCONV_PIXELS);
    for (int t = t0; t < t1; t++) {
        const int part = t / s.chunks, chunk = t % s.chunks;
        const int i = part / s.blocks, y0 = part % s.blocks * s.rows;
        const int y1 = y0 + s.rows < a->h ? y0 + s.rows : a->h;
        const int b1 = (chunk + 1) * s.chunk < a->ocb ? (chunk + 1) * s.chunk : a->ocb;
        const int64_t np = (int64_t)(y1 - y0) * w;
        for (int b = 0; b < a->icb; b++) {
            const un_actv act = un_act_load(&a->act, i, b);
            const float *src = a->src + i * a->src_image + b * hw16 + (int64_t)y0 * w * 16;
            for (int64_t p = 0; p < np; p++)
                UN(quantise)(x + (b * np + p) * 16, un_act_apply(act, v16_load(src + p * 16)), q->a_scale + 16 * b);
        }
        const struct UN(qgemm_dims) g = {
            .a_outer = np * 16, .b_col = matrix, .offset_col = 16, .c_col = 16 * QTCONV_PIXELS, .outer = a->icb,
        };
        for (int b = chunk * s.chunk; b < b1; b++)
            for (int ky = 0; ky < 2; ky++) {
                const int64_t at = (int64_t)b * 4 + 2 * ky; /* matrix */
                const float *scale = q->m_scale + ((int64_t)2 * ky * a->ocb + b) * 16;
                const v16 scale0 = v16_load(scale), scale1 = v16_load(scale + (int64_t)a->ocb * 16);
                const v16 bias = a->bias ? v16_load(a->bias + 16 * b) : v16_zero();
                float *dst = a->dst + i * a->dst_image + 4 * b * hw16 + (2 * y0 + ky) * row;
                for (int y = y0; y < y1; y++, dst += 2 * row)
                    for (int p0 = 0; p0 < w; p0 += QTCONV_PIXELS) {
                        const int n = w - p0 < QTCONV_PIXELS ? w - p0 : QTCONV_PIXELS;
                        UN(qgemm)(&g, n, 2, x + ((int64_t)(y - y0) * w + p0) * 16,
                                  (const un_qweight *)q->packed + at * matrix, q->offset + at * 16, sums);
                        float *d = dst + (int64_t)p0 * 32;
                        for (int p = 0; p < n; p++, d += 32) {
                            v16_store(d, v16_fma(v16_from_int(v16i_load(sums + 16 * p)), scale0, bias));
                            v16_store(d + 16, v16_fma(v16_from_int(v16i_load(sums + 16 * (QTCONV_PIXELS + p))), scale1, bias));
                        }
                    }
            }
    }
}
