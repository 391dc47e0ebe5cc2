/* bn_tmpl.h - batch-norm statistics and the backward pass through batch-norm
 * and ReLU. A task is a few rows of one image, all channels. */

static int32_t UN(bn_tasks)(const void *args)
{
    const struct un_bn *a = args;
    return un_rows_tasks(a->n, a->h, a->w);
}

/* One channel block b of task t, of image i: np pixels at y and da. */
typedef void UN(bn_body)(const struct un_bn *a, int t, int i, int b, const float *y, float *da, int64_t np);

/* Calls body for every block of tasks t0..t1-1. */
UN_INLINE void UN(bn_each)(const struct un_bn *a, int32_t t0, int32_t t1, UN(bn_body) *body)
{
    const int64_t hw = (int64_t)a->h * a->w;
    for (int t = t0; t < t1; t++) {
        int i;
        int64_t p0;
        const int64_t np = un_rows_task(a->h, a->w, t, &i, &p0);
        for (int b = 0; b < a->cb; b++) {
            const int64_t at = (b * hw + p0) * 16;
            body(a, t, i, b, a->y + i * a->y_image + at, a->da ? a->da + i * a->da_image + at : NULL, np);
        }
    }
}

UN_INLINE void UN(bn_stats_block)(const struct un_bn *a, int t, int i, int b, const float *y, float *da,
                                  int64_t np)
{
    (void)i, (void)da;
    float *out = a->stats + (int64_t)t * 3 * a->cb * 16;
    a->counts[t] = (int32_t)np;
    UN(conv_stats)(y, np, out + 16 * b, out + (a->cb + b) * 16, out + (2 * a->cb + b) * 16);
}

UN_INLINE void UN(bn_sums_block)(const struct un_bn *a, int t, int i, int b, const float *y, float *da,
                                 int64_t np)
{
    float *out = a->sums + (int64_t)t * 2 * a->cb * 16;
    UN(conv_gate)(da, y, un_act_load(&a->act, i, b), v16_load(a->mean + i * a->param_image + 16 * b), np, out + 16 * b, out + (a->cb + b) * 16);
}

UN_INLINE void UN(bn_bwd_block)(const struct un_bn *a, int t, int i, int b, const float *y, float *da,
                                int64_t np)
{
    (void)t;
    const un_actv act = un_act_load(&a->act, i, b);
    const int64_t at = i * a->param_image + 16 * b;
    const v16 ca = v16_load(a->ca + at), cy = v16_load(a->cy + at), c0 = v16_load(a->c0 + at);
    for (int64_t p = 0; p < np; p++) {
        const v16 yv = v16_load(y + 16 * p);
        const v16 dz = v16_select_gt(v16_fma(yv, act.scale, act.shift), act.lo,
                                     v16_load(da + 16 * p), v16_zero());
        v16_store(da + 16 * p, v16_fma(ca, dz, v16_fma(cy, yv, c0)));
    }
}

static void UN(bn_stats)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    UN(bn_each)(args, t0, t1, UN(bn_stats_block));
}

static void UN(bn_sums)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    UN(bn_each)(args, t0, t1, UN(bn_sums_block));
}

static void UN(bn_bwd)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    UN(bn_each)(args, t0, t1, UN(bn_bwd_block));
}
