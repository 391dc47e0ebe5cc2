/* add_tmpl.h - the sum at the end of a residual block, and planar maps in
 * blocks of channels. A task is a few rows of one image, all channels. */

static int32_t UN(add_tasks)(const void *args)
{
    const struct un_add *a = args;
    return un_rows_tasks(a->n, a->h, a->w);
}

/* np pixels of channel block b of image i, the first at float `at` of the image. */
typedef void UN(add_body)(const struct un_add *a, int i, int b, int64_t np, int64_t at);

/* Calls body for every block of tasks t0..t1-1. */
UN_INLINE void UN(add_each)(const struct un_add *a, int32_t t0, int32_t t1, UN(add_body) *body)
{
    const int64_t hw = (int64_t)a->h * a->w;
    for (int t = t0; t < t1; t++) {
        int i;
        int64_t p0;
        const int64_t np = un_rows_task(a->h, a->w, t, &i, &p0);
        for (int b = 0; b < a->cb; b++)
            body(a, i, b, np, (b * hw + p0) * 16);
    }
}

UN_INLINE void UN(add_block)(const struct un_add *a, int i, int b, int64_t np, int64_t at)
{
    const un_actv ax = un_act_load(&a->x_act, i, b), ay = un_act_load(&a->y_act, i, b);
    const float *x = a->x + i * a->x_image + at, *y = a->y + i * a->y_image + at;
    float *dst = a->dst + i * a->dst_image + at;
    for (int64_t p = 0; p < np * 16; p += 16)
        v16_store(dst + p, v16_max(v16_add(un_act_apply(ax, v16_load(x + p)),
                                           un_act_apply(ay, v16_load(y + p))), v16_zero()));
}

UN_INLINE void UN(add_bwd_block)(const struct un_add *a, int i, int b, int64_t np, int64_t at)
{
    (void)b;
    const float *dst = a->dst + i * a->dst_image + at, *dd = a->d_dst + i * a->d_dst_image + at;
    float *dx = a->d_x + i * a->x_image + at, *dy = a->d_y + i * a->y_image + at;
    for (int64_t p = 0; p < np * 16; p += 16) {
        const v16 d = v16_select_gt(v16_load(dst + p), v16_zero(), v16_load(dd + p), v16_zero());
        v16_store(dx + p, d);
        v16_store(dy + p, d);
    }
}

static void UN(add)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    UN(add_each)(args, t0, t1, UN(add_block));
}

static void UN(add_bwd)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    UN(add_each)(args, t0, t1, UN(add_bwd_block));
}

static int32_t UN(interleave_tasks)(const void *args)
{
    const struct un_interleave *a = args;
    return un_rows_tasks(a->n, a->h, a->w);
}

static void UN(interleave)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_interleave *a = args;
    const int64_t hw = (int64_t)a->h * a->w;
    for (int t = t0; t < t1; t++) {
        int i;
        int64_t p0;
        const int64_t np = un_rows_task(a->h, a->w, t, &i, &p0);
        const float *src = a->src + i * a->c * hw + p0;
        float *dst = a->dst + i * a->dst_image + p0 * 16;
        for (int64_t p = 0; p < np; p++)
            for (int c = 0; c < 16; c++)
                dst[16 * p + c] = c < a->c ? src[c * hw + p] : 0.0f;
    }
}
