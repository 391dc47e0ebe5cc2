/* adam_tmpl.h - Adam over a flat arena whose size is a multiple of 16; a task
 * is a stretch of 16384 parameters. */
#define UN_ADAM_CHUNK 16384

static int32_t UN(adam_tasks)(const void *args)
{
    const struct un_adam *a = args;
    return (int32_t)((a->size + UN_ADAM_CHUNK - 1) / UN_ADAM_CHUNK);
}

static void UN(adam)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_adam *a = args;
    const int64_t from = (int64_t)t0 * UN_ADAM_CHUNK;
    const int64_t to = (int64_t)t1 * UN_ADAM_CHUNK < a->size ? (int64_t)t1 * UN_ADAM_CHUNK : a->size;
    const v16 c1 = v16_set1(a->c1), c2 = v16_set1(a->c2), c_ema = v16_set1(a->c_ema);
    const v16 step = v16_set1(a->step), inv = v16_set1(a->inv_sqrt_bc2), eps = v16_set1(a->eps);
    const v16 decay = v16_set1(a->decay), gs = v16_set1(a->g_scale);
    for (int64_t i = from; i < to; i += 16) {
        const v16 g = v16_mul(gs, v16_load(a->g + i));
        v16 p = v16_load(a->p + i), m = v16_load(a->m + i), v = v16_load(a->v + i);
        m = v16_fma(c1, v16_sub(g, m), m);
        v = v16_fma(c2, v16_fma(g, g, v16_sub(v16_zero(), v)), v);
        p = v16_fnma(decay, p, p);
        p = v16_sub(p, v16_div(v16_mul(step, m), v16_fma(v16_sqrt(v), inv, eps)));
        v16_store(a->m + i, m);
        v16_store(a->v + i, v);
        v16_store(a->p + i, p);
        if (a->ema) {
            const v16 e = v16_load(a->ema + i);
            v16_store(a->ema + i, v16_fma(c_ema, v16_sub(p, e), e));
        }
    }
}

static void UN(sumsq)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_adam *a = args;
    for (int t = t0; t < t1; t++) {
        const int64_t from = (int64_t)t * UN_ADAM_CHUNK;
        const int64_t to = from + UN_ADAM_CHUNK < a->size ? from + UN_ADAM_CHUNK : a->size;
        v16 s = v16_zero();
        for (int64_t i = from; i < to; i += 16) {
            const v16 g = v16_load(a->g + i);
            s = v16_fma(g, g, s);
        }
        _Alignas(64) float lane[16];
        v16_store(lane, s);
        double sum = 0;
        for (int l = 0; l < 16; l++)
            sum += lane[l];
        a->out[t] = sum;
    }
}
