/* pool_tmpl.h - 2x2 max-pool, stride 2. A task is a strip of rows of one
 * (image, channel block), about 8192 pixels of src. */

typedef struct { int h2, w2, rows, strips; } un_pool_split; /* rows: of dst */

static un_pool_split UN(pool_split)(const struct un_pool *a)
{
    un_pool_split s = { .h2 = a->h / 2, .w2 = a->w / 2 };
    s.rows = (int)un_imax(1, 4096 / a->w);
    s.strips = un_ceil_div(s.h2, s.rows);
    return s;
}

static int32_t UN(pool_tasks)(const void *args)
{
    const struct un_pool *a = args;
    return a->n * a->cb * UN(pool_split)(a).strips;
}

/* Rows y0..y1-1 of dst that task t does, of block *b of image *i. */
static inline void UN(pool_task)(const struct un_pool *a, const un_pool_split *s, int t,
                                 int *i, int *b, int *y0, int *y1)
{
    const int plane = t / s->strips;
    *i = plane / a->cb, *b = plane % a->cb;
    *y0 = t % s->strips * s->rows;
    *y1 = (int)un_imin(*y0 + s->rows, s->h2);
}

static void UN(pool)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_pool *a = args;
    const un_pool_split s = UN(pool_split)(a);
    for (int t = t0; t < t1; t++) {
        int i, b, y0, y1;
        UN(pool_task)(a, &s, t, &i, &b, &y0, &y1);
        const un_actv act = un_act_load(&a->act, i, b);
        const float *src = a->src + i * a->src_image + (int64_t)b * a->h * a->w * 16;
        float *dst = a->dst + i * a->dst_image + ((int64_t)b * s.h2 + y0) * s.w2 * 16;
        for (int y = y0; y < y1; y++) {
            const float *r0 = src + (int64_t)2 * y * a->w * 16, *r1 = r0 + (int64_t)a->w * 16;
            for (int x = 0; x < s.w2; x++, r0 += 32, r1 += 32, dst += 16)
                v16_store(dst, v16_max(v16_max(un_act_apply(act, v16_load(r0)),
                                               un_act_apply(act, v16_load(r0 + 16))),
                                       v16_max(un_act_apply(act, v16_load(r1)),
                                               un_act_apply(act, v16_load(r1 + 16)))));
        }
    }
}

/* The maximum is found again from src: cheaper than storing an index, and the
 * first of equals wins as in PyTorch. */
static void UN(pool_bwd)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_pool *a = args;
    const un_pool_split s = UN(pool_split)(a);
    const int64_t row = (int64_t)a->w * 16;
    for (int t = t0; t < t1; t++) {
        int i, b, y0, y1;
        UN(pool_task)(a, &s, t, &i, &b, &y0, &y1);
        const un_actv act = un_act_load(&a->act, i, b);
        const float *src = a->src + i * a->src_image + (int64_t)b * a->h * a->w * 16;
        const float *dd = a->d_dst + i * a->d_dst_image + ((int64_t)b * s.h2 + y0) * s.w2 * 16;
        float *ds = a->d_src + i * a->d_src_image + (int64_t)b * a->h * a->w * 16;
        for (int y = y0; y < y1; y++) {
            for (int x = 0; x < s.w2; x++, dd += 16) {
                const int64_t at = 2 * y * row + 32 * x;
                const int64_t off[4] = { at, at + 16, at + row, at + row + 16 };
                v16 v[4], rest = v16_load(dd);
                for (int k = 0; k < 4; k++)
                    v[k] = un_act_apply(act, v16_load(src + off[k]));
                const v16 m = v16_max(v16_max(v[0], v[1]), v16_max(v[2], v[3]));
                for (int k = 0; k < 4; k++) {
                    const v16 g = v16_select_eq(v[k], m, rest, v16_zero());
                    v16_store(ds + off[k], v16_add(v16_load(ds + off[k]), g));
                    rest = v16_select_eq(v[k], m, v16_zero(), rest);
                }
            }
        }
    }
}
