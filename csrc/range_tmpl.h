/* range_tmpl.h - the ranges of values that 8-bit products are scaled by. A task
 * is one channel block of all images. */

static int32_t UN(range_tasks)(const void *args)
{
    return ((const struct un_range *)args)->cb;
}

static un_wino43 UN(range_plan)(const struct un_range *a)
{
    return UN(wino43_plan)(a->n, a->h, a->w, 1, 1);
}

static int64_t UN(range_scratch)(const void *args)
{
    const struct un_range *a = args;
    return a->tiles ? 36 * UN(range_plan)(a).v_xi + WINO_RING : 0;
}

/* The greatest |x| of n vectors and most. */
static inline v16 UN(range_of)(v16 most, const float *x, int64_t n, un_actv act)
{
    for (int64_t p = 0; p < n; p++) {
        const v16 v = un_act_apply(act, v16_load(x + 16 * p));
        most = v16_max(most, v16_max(v, v16_sub(v16_zero(), v)));
    }
    return most;
}

static void UN(range)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    const struct un_range *a = args;
    const struct un_act none = { NULL, NULL, NULL };
    const int64_t hw = (int64_t)a->h * a->w;
    for (int b = t0; b < t1; b++) {
        float *most = a->most + 16 * b;
        if (!a->tiles) {
            v16 m = v16_load(most);
            for (int i = 0; i < a->n; i++)
                m = UN(range_of)(m, a->src + i * a->src_image + b * hw * 16, hw, un_act_load(&a->act, i, b));
            v16_store(most, m);
            continue;
        }
        const un_wino43 p = UN(range_plan)(a);
        float *ring = scratch + 36 * p.v_xi;
        for (int tile = 0; tile < p.tiles; tile += p.tb) {
            const int nt = (int)un_imin(p.tb, p.tiles - tile);
            UN(wino43_input)(a->src, a->src_image, &a->act, a->h, a->w, &p, tile, nt, b, 1, scratch, ring);
            for (int xi = 0; xi < 36; xi++) {
                float *m = most + (int64_t)xi * a->cb * 16;
                v16_store(m, UN(range_of)(v16_load(m), scratch + xi * p.v_xi, nt, un_act_load(&none, 0, 0)));
            }
        }
    }
}
