/* head_tmpl.h - the 1x1 convolution to a few planar maps, forward and back.
 * A task is a few rows of one image. */

static int32_t UN(head_tasks)(const void *args)
{
    const struct un_head *a = args;
    return un_rows_tasks(a->n, a->h, a->w);
}

/* np pixels to k maps; k is a constant where this is inlined, which keeps the
 * sums in registers. */
static inline void UN(head_maps)(const struct un_head *a, int i, const float *src, float *logits,
                                 int64_t np, const int k)
{
    const int64_t hw = (int64_t)a->h * a->w;
    for (int64_t p = 0; p < np; p++) {
        v16 acc[8];
        for (int j = 0; j < k; j++)
            acc[j] = v16_zero();
        for (int b = 0; b < a->cb; b++) {
            const v16 v = un_act_apply(un_act_load(&a->act, i, b), v16_load(src + (b * hw + p) * 16));
            for (int j = 0; j < k; j++)
                acc[j] = v16_fma(v, v16_load(a->weight + (j * a->cb + b) * 16), acc[j]);
        }
        for (int j = 0; j < k; j++)
            logits[j * hw + p] = v16_sum(acc[j]) + a->bias[j];
    }
}

static void UN(head)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_head *a = args;
    for (int t = t0; t < t1; t++) {
        int i;
        int64_t p0;
        const int64_t np = un_rows_task(a->h, a->w, t, &i, &p0);
        const float *src = a->src + i * a->src_image + p0 * 16;
        float *logits = a->logits + (int64_t)i * a->k * a->h * a->w + p0;
        switch (a->k) {
        case 1: UN(head_maps)(a, i, src, logits, np, 1); break;
        case 2: UN(head_maps)(a, i, src, logits, np, 2); break;
        case 3: UN(head_maps)(a, i, src, logits, np, 3); break;
        default: UN(head_maps)(a, i, src, logits, np, a->k);
        }
    }
}

static void UN(head_bwd)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_head *a = args;
    const int64_t hw = (int64_t)a->h * a->w;
    for (int t = t0; t < t1; t++) {
        int i;
        int64_t p0;
        const int64_t np = un_rows_task(a->h, a->w, t, &i, &p0);
        const float *d = a->d_logits + (int64_t)i * a->k * hw + p0;
        float *out = a->partial + (int64_t)t * a->k * (a->cb + 1) * 16;
        for (int b = 0; b < a->cb; b++) {
            const float *src = a->src + i * a->src_image + (b * hw + p0) * 16;
            float *ds = a->d_src + i * a->d_src_image + (b * hw + p0) * 16;
            const un_actv act = un_act_load(&a->act, i, b);
            v16 dw[8];
            for (int k = 0; k < a->k; k++)
                dw[k] = v16_zero();
            for (int64_t p = 0; p < np; p++) {
                const v16 v = un_act_apply(act, v16_load(src + 16 * p));
                v16 da = v16_zero();
                for (int k = 0; k < a->k; k++) {
                    const v16 g = v16_set1(d[k * hw + p]);
                    da = v16_fma(g, v16_load(a->weight + (k * a->cb + b) * 16), da);
                    dw[k] = v16_fma(g, v, dw[k]);
                }
                v16_store(ds + 16 * p, da);
            }
            for (int k = 0; k < a->k; k++)
                v16_store(out + (k * (a->cb + 1) + b) * 16, dw[k]);
        }
        for (int k = 0; k < a->k; k++) {
            v16 s = v16_zero();
            float rest = 0;
            int64_t p = 0;
            for (; p + 16 <= np; p += 16)
                s = v16_add(s, v16_loadu(d + k * hw + p));
            for (; p < np; p++)
                rest += d[k * hw + p];
            float *db = out + (k * (a->cb + 1) + a->cb) * 16;
            v16_store(db, v16_zero());
            db[0] = v16_sum(s) + rest;
        }
    }
}
