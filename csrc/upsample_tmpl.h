/* upsample_tmpl.h - enlarging by nearest neighbour to twice the size. A task is
 * a few rows of one image, all channels. */

static int32_t UN(upsample_tasks)(const void *args)
{
    const struct un_upsample *a = args;
    return un_rows_tasks(a->n, a->h, a->w);
}

static void UN(upsample)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_upsample *a = args;
    const int64_t hw = (int64_t)a->h * a->w, row = (int64_t)a->w * 16;
    for (int t = t0; t < t1; t++) {
        int i;
        int64_t p0;
        const int64_t np = un_rows_task(a->h, a->w, t, &i, &p0);
        for (int b = 0; b < a->cb; b++) {
            const un_actv act = un_act_load(&a->act, i, b);
            const float *src = a->src + i * a->src_image + (b * hw + p0) * 16;
            float *dst = a->dst + i * a->dst_image + (b * hw + p0) * 64;
            for (int64_t y = 0; y < np / a->w; y++, dst += 4 * row)
                for (int x = 0; x < a->w; x++, src += 16) {
                    const v16 v = un_act_apply(act, v16_load(src));
                    v16_store(dst + 32 * x, v);
                    v16_store(dst + 32 * x + 16, v);
                    v16_store(dst + 2 * row + 32 * x, v);
                    v16_store(dst + 2 * row + 32 * x + 16, v);
                }
        }
    }
}

static void UN(upsample_bwd)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_upsample *a = args;
    const int64_t hw = (int64_t)a->h * a->w, row = (int64_t)a->w * 16;
    for (int t = t0; t < t1; t++) {
        int i;
        int64_t p0;
        const int64_t np = un_rows_task(a->h, a->w, t, &i, &p0);
        for (int b = 0; b < a->cb; b++) {
            float *ds = a->d_src + i * a->src_image + (b * hw + p0) * 16;
            const float *dd = a->d_dst + i * a->dst_image + (b * hw + p0) * 64;
            for (int64_t y = 0; y < np / a->w; y++, dd += 4 * row)
                for (int x = 0; x < a->w; x++, ds += 16)
                    v16_store(ds, v16_add(v16_add(v16_load(dd + 32 * x), v16_load(dd + 32 * x + 16)),
                                          v16_add(v16_load(dd + 2 * row + 32 * x), v16_load(dd + 2 * row + 32 * x + 16))));
        }
    }
}
