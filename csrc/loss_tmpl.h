/* loss_tmpl.h - sigmoid, cross-entropy, Dice and smooth-L1 from logits.
 * A task is a stretch of 16384 pixels of one image. */
#define UN_LOSS_CHUNK 16384

static int32_t UN(loss_tasks)(const void *args)
{
    const struct un_loss *a = args;
    return (int32_t)(a->n * ((a->size + UN_LOSS_CHUNK - 1) / UN_LOSS_CHUNK));
}

/* exp(x) for x <= 0, 2 ulp: Cody-Waite reduction and a degree 6 polynomial. */
static inline v16 UN(exp_neg)(v16 x)
{
    x = v16_max(x, v16_set1(-87.0f));
    const v16 n = v16_round(v16_mul(x, v16_set1(1.44269504f)));
    v16 r = v16_fnma(n, v16_set1(0.693359375f), x);
    r = v16_fma(n, v16_set1(2.12194440e-4f), r);
    v16 p = v16_set1(1.0f / 720);
    p = v16_fma(p, r, v16_set1(1.0f / 120));
    p = v16_fma(p, r, v16_set1(1.0f / 24));
    p = v16_fma(p, r, v16_set1(1.0f / 6));
    p = v16_fma(p, r, v16_set1(0.5f));
    p = v16_fma(p, r, v16_set1(1.0f));
    p = v16_fma(p, r, v16_set1(1.0f));
    return v16_mul(p, v16_pow2i(n));
}

/* log(1+u) for 0 <= u <= 1 as 2*atanh(u/(2+u)). */
static inline v16 UN(log1p01)(v16 u)
{
    const v16 s = v16_div(u, v16_add(u, v16_set1(2.0f)));
    const v16 x = v16_mul(s, s);
    v16 p = v16_set1(2.0f / 15);
    p = v16_fma(p, x, v16_set1(2.0f / 13));
    p = v16_fma(p, x, v16_set1(2.0f / 11));
    p = v16_fma(p, x, v16_set1(2.0f / 9));
    p = v16_fma(p, x, v16_set1(2.0f / 7));
    p = v16_fma(p, x, v16_set1(2.0f / 5));
    p = v16_fma(p, x, v16_set1(2.0f / 3));
    p = v16_fma(p, x, v16_set1(2.0f));
    return v16_mul(p, s);
}

/* 16 pixels: p and the terms of sums[8], see struct un_loss. */
static inline v16 UN(loss16)(v16 z, v16 t, v16 w, v16 inv_beta, v16 beta, v16 acc[8])
{
    const v16 zero = v16_zero(), one = v16_set1(1.0f), half = v16_set1(0.5f);
    const v16 e = UN(exp_neg)(v16_min(z, v16_sub(zero, z)));
    const v16 inv = v16_div(one, v16_add(one, e));
    const v16 p = v16_select_gt(zero, z, v16_mul(e, inv), inv);
    const v16 bce = v16_add(v16_fnma(z, t, v16_max(z, zero)), UN(log1p01)(e));
    acc[0] = v16_fma(w, bce, acc[0]);
    acc[1] = v16_fma(p, t, acc[1]);
    acc[2] = v16_add(acc[2], p);
    acc[3] = v16_add(acc[3], t);
    const v16 pb = v16_select_gt(half, p, zero, one), tb = v16_select_gt(half, t, zero, one);
    acc[4] = v16_fma(pb, tb, acc[4]);
    acc[5] = v16_fma(pb, v16_sub(one, tb), acc[5]);
    acc[6] = v16_fma(v16_sub(one, pb), tb, acc[6]);
    /* smooth-L1: d^2/(2 beta) below beta, |d| - beta/2 above. */
    const v16 d = v16_sub(p, t), ad = v16_max(d, v16_sub(zero, d));
    const v16 l1 = v16_select_gt(ad, beta, v16_fnma(half, beta, ad),
                                 v16_mul(v16_mul(half, v16_mul(d, d)), inv_beta));
    acc[7] = v16_fma(w, l1, acc[7]);
    return p;
}

static void UN(loss_fwd)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_loss *a = args;
    const int chunks = (int)((a->size + UN_LOSS_CHUNK - 1) / UN_LOSS_CHUNK);
    const v16 beta = v16_set1(a->beta), inv_beta = v16_set1(a->beta > 0 ? 1.0f / a->beta : 0.0f);
    for (int k = t0; k < t1; k++) {
        const int i = k / chunks;
        const int64_t p0 = (int64_t)(k % chunks) * UN_LOSS_CHUNK;
        const int64_t np = a->size - p0 < UN_LOSS_CHUNK ? a->size - p0 : UN_LOSS_CHUNK;
        const float *z = a->z + i * a->stride + p0, *t = a->t + i * a->stride_t + p0;
        const float *w = a->w ? a->w + i * a->stride_t + p0 : NULL;
        float *p = a->p + i * a->stride + p0;
        v16 acc[8];
        for (int j = 0; j < 8; j++)
            acc[j] = v16_zero();
        int64_t x = 0;
        for (; x + 16 <= np; x += 16)
            v16_storeu(p + x, UN(loss16)(v16_loadu(z + x), v16_loadu(t + x),
                                         w ? v16_loadu(w + x) : v16_set1(1.0f), inv_beta, beta, acc));
        double sums[8] = { 0 };
        if (x < np) { /* the last few pixels, one lane each */
            _Alignas(64) float zb[16] = { 0 }, tb[16] = { 0 }, wb[16] = { 0 }, pb[16], one[16];
            v16 last[8];
            for (int j = 0; j < 8; j++)
                last[j] = v16_zero();
            for (int64_t j = x; j < np; j++) {
                zb[j - x] = z[j];
                tb[j - x] = t[j];
                wb[j - x] = w ? w[j] : 1.0f;
            }
            v16_store(pb, UN(loss16)(v16_load(zb), v16_load(tb), v16_load(wb), inv_beta, beta, last));
            for (int j = 0; j < 8; j++) {
                v16_store(one, last[j]);
                for (int64_t l = 0; l < np - x; l++)
                    sums[j] += one[l];
            }
            for (int64_t j = x; j < np; j++)
                p[j] = pb[j - x];
        }
        for (int j = 0; j < 8; j++) {
            _Alignas(64) float lane[16];
            v16_store(lane, acc[j]);
            for (int l = 0; l < 16; l++)
                sums[j] += lane[l];
            a->sums[8 * (int64_t)k + j] = sums[j];
        }
    }
}

static inline float UN(loss_dz)(const struct un_loss *a, float p, float t, float w)
{
    const float d = p - t;
    float l1 = 0;
    if (a->c_l1 != 0) {
        const float r = d / a->beta;
        l1 = a->c_l1 * w * (r < -1 ? -1 : r > 1 ? 1 : r);
    }
    return a->c_bce * w * d + p * (1 - p) * (a->c_t * t + a->c_1 + l1);
}

static void UN(loss_bwd)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_loss *a = args;
    const int chunks = (int)((a->size + UN_LOSS_CHUNK - 1) / UN_LOSS_CHUNK);
    const v16 one = v16_set1(1.0f), c_bce = v16_set1(a->c_bce), c_t = v16_set1(a->c_t);
    const v16 c_1 = v16_set1(a->c_1), c_l1 = v16_set1(a->c_l1);
    const v16 inv_beta = v16_set1(a->beta > 0 ? 1.0f / a->beta : 0.0f);
    for (int k = t0; k < t1; k++) {
        const int i = k / chunks;
        const int64_t p0 = (int64_t)(k % chunks) * UN_LOSS_CHUNK;
        const int64_t np = a->size - p0 < UN_LOSS_CHUNK ? a->size - p0 : UN_LOSS_CHUNK;
        const float *t = a->t + i * a->stride_t + p0, *p = a->p + i * a->stride + p0;
        const float *w = a->w ? a->w + i * a->stride_t + p0 : NULL;
        float *dz = a->dz + i * a->stride + p0;
        int64_t x = 0;
        for (; x + 16 <= np; x += 16) {
            const v16 pv = v16_loadu(p + x), tv = v16_loadu(t + x);
            const v16 wv = w ? v16_loadu(w + x) : one;
            const v16 d = v16_sub(pv, tv);
            const v16 r = v16_max(v16_min(v16_mul(d, inv_beta), one), v16_sub(v16_zero(), one));
            const v16 s = v16_fma(c_l1, v16_mul(wv, r), v16_fma(c_t, tv, c_1));
            v16_storeu(dz + x, v16_fma(v16_mul(c_bce, wv), d,
                                       v16_mul(v16_mul(pv, v16_sub(one, pv)), s)));
        }
        for (; x < np; x++)
            dz[x] = UN(loss_dz)(a, p[x], t[x], w ? w[x] : 1.0f);
    }
}
