/* gate_tmpl.h - the product of an attention gate (Oktay et al. 2018). A task is
 * a few rows of one image, all channels, 16 pixels at a time, whose gates fill a
 * vector. */

static int32_t UN(gate_tasks)(const void *args)
{
    const struct un_gate *a = args;
    return un_rows_tasks(a->n, a->h, a->w);
}

static __attribute__((noinline)) v16 UN(sigmoid)(v16 z) /* inlined, GCC 12 warns of nothing */
{
    const v16 zero = v16_zero(), one = v16_set1(1.0f);
    const v16 e = UN(exp_neg)(v16_min(z, v16_sub(zero, z)));
    const v16 inv = v16_div(one, v16_add(one, e));
    return v16_select_gt(zero, z, v16_mul(e, inv), inv);
}

/* The gates of n <= 16 pixels. */
static inline void UN(gate_16)(const float *z, int n, float *gate)
{
    _Alignas(64) float last[16] = { 0 };
    for (int k = 0; n < 16 && k < n; k++)
        last[k] = z[k];
    v16_store(gate, UN(sigmoid)(n < 16 ? v16_load(last) : v16_loadu(z)));
}

static void UN(gate)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_gate *a = args;
    const int64_t hw = (int64_t)a->h * a->w;
    for (int t = t0; t < t1; t++) {
        int i;
        int64_t p0;
        const int64_t np = un_rows_task(a->h, a->w, t, &i, &p0);
        for (int64_t p = p0; p < p0 + np; p += 16) {
            const int n = (int)un_imin(16, p0 + np - p);
            _Alignas(64) float gate[16];
            UN(gate_16)(a->z + i * hw + p, n, gate);
            for (int b = 0; b < a->cb; b++) {
                const un_actv act = un_act_load(&a->act, i, b);
                const float *src = a->src + i * a->src_image + (b * hw + p) * 16;
                float *dst = a->dst + i * a->dst_image + (b * hw + p) * 16;
                for (int k = 0; k < n; k++)
                    v16_store(dst + 16 * k, v16_mul(un_act_apply(act, v16_load(src + 16 * k)), v16_set1(gate[k])));
            }
        }
    }
}

static void UN(gate_bwd)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_gate *a = args;
    const int64_t hw = (int64_t)a->h * a->w;
    for (int t = t0; t < t1; t++) {
        int i;
        int64_t p0;
        const int64_t np = un_rows_task(a->h, a->w, t, &i, &p0);
        for (int64_t p = p0; p < p0 + np; p += 16) {
            const int n = (int)un_imin(16, p0 + np - p);
            _Alignas(64) float gate[16];
            v16 sum[16]; /* of d_dst*act(src), by pixel */
            UN(gate_16)(a->z + i * hw + p, n, gate);
            for (int k = 0; k < n; k++)
                sum[k] = v16_zero();
            for (int b = 0; b < a->cb; b++) {
                const un_actv act = un_act_load(&a->act, i, b);
                const int64_t at = (b * hw + p) * 16;
                const float *src = a->src + i * a->src_image + at, *dd = a->d_dst + i * a->d_dst_image + at;
                float *ds = a->d_src + i * a->d_src_image + at;
                for (int k = 0; k < n; k++) {
                    const v16 d = v16_load(dd + 16 * k);
                    sum[k] = v16_fma(d, un_act_apply(act, v16_load(src + 16 * k)), sum[k]);
                    v16_store(ds + 16 * k, v16_mul(d, v16_set1(gate[k])));
                }
            }
            for (int k = 0; k < n; k++)
                a->d_z[i * hw + p + k] = v16_sum(sum[k]) * gate[k] * (1.0f - gate[k]);
        }
    }
}
