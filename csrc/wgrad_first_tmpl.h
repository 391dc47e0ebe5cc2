/* wgrad_first_tmpl.h - weight gradient of the first layer (1..4 planar input
 * channels). As wgrad3x3_tmpl.h, but the register tile holds kernel rows: a
 * tap row is one input channel and kernel row, three taps wide.
 *
 *     partial[part][ocb][ic][3][3][16 oc]
 *
 * A task is one output block and one of `parts` parts of the pixels. */

typedef struct { int rows, blocks, strips, ocb, parts; } un_wgrad_first_split;

static un_wgrad_first_split UN(wgrad_first_split)(const struct un_wgrad3x3 *a)
{
    un_wgrad_first_split s;
    s.ocb = (a->oc + 15) / 16;
    const int rows = 2 * WGRAD_STRIP / a->w;
    s.rows = rows < 4 ? 4 : rows;
    s.blocks = (a->h + s.rows - 1) / s.rows;
    s.rows = (a->h + s.blocks - 1) / s.blocks;
    s.strips = a->n * s.blocks;
    const double pixels = (double)a->n * a->h * a->w;
    double parts = 9.0 * 32 * a->ic * pixels / (WGRAD_TASK_FLOPS / 2);
    const double most = (double)WGRAD_MAX_TASKS / s.ocb;
    parts = parts > most ? most : parts;
    s.parts = parts < 1 ? 1 : parts > s.strips ? s.strips : (int)parts;
    return s;
}

static int32_t UN(wgrad_first_tasks)(const void *args)
{
    const un_wgrad_first_split s = UN(wgrad_first_split)(args);
    return s.parts * s.ocb;
}

static int64_t UN(wgrad_first_scratch)(const void *args)
{
    const struct un_wgrad3x3 *a = args;
    return (int64_t)a->ic * (UN(wgrad_first_split)(a).rows + 2) * (a->w + 2);
}

UN_INLINE void UN(wgrad_first_pixels)(const int px, const int taprows, const float *const *x,
                                      int at, const float *dy, v16 acc[V16_TAP_ROWS][3])
{
    v16 d[2];
    UN_UNROLL(8)
    for (int p = 0; p < px; p++)
        d[p] = v16_load(dy + 16 * p);
    UN_UNROLL(16)
    for (int r = 0; r < taprows; r++)
        UN_UNROLL(8)
        for (int c = 0; c < px + 2; c++) {
            const v16 xv = v16_set1(x[r][at + c]);
            UN_UNROLL(8)
            for (int k = 0; k < 3; k++)
                if (c - k >= 0 && c - k < px)
                    acc[r][k] = v16_fma_acc(xv, d[c - k], acc[r][k]);
        }
    UN_STEP;
}

/* Adds the products for tap rows r0 .. r0+taprows-1 to part [ic*3][3][16]. */
UN_INLINE void UN(wgrad_first_tile)(const int taprows, int r0, const float *x, int64_t plane,
                                    const float *dy, int rows, int w, float *part, int first)
{
    v16 acc[V16_TAP_ROWS][3];
    UN_UNROLL(16)
    for (int r = 0; r < taprows; r++)
        UN_UNROLL(8)
        for (int k = 0; k < 3; k++)
            acc[r][k] = v16_zero();
    for (int y = 0; y < rows; y++, dy += (int64_t)w * 16) {
        const float *xr[V16_TAP_ROWS];
        UN_UNROLL(16)
        for (int r = 0; r < taprows; r++)
            xr[r] = x + (r0 + r) / 3 * plane + (int64_t)(y + (r0 + r) % 3) * (w + 2);
        int at = 0;
        for (; at + V16_TAP_PX <= w; at += V16_TAP_PX)
            UN(wgrad_first_pixels)(V16_TAP_PX, taprows, xr, at, dy + 16 * at, acc);
        for (; V16_TAP_PX > 1 && at < w; at++)
            UN(wgrad_first_pixels)(1, taprows, xr, at, dy + 16 * at, acc);
    }
    UN_UNROLL(16)
    for (int r = 0; r < taprows; r++)
        UN_UNROLL(8)
        for (int k = 0; k < 3; k++) {
            float *p = part + ((r0 + r) * 3 + k) * 16;
            v16_store(p, first ? acc[r][k] : v16_add(v16_load(p), acc[r][k]));
        }
}

static void UN(wgrad_first)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    const struct un_wgrad3x3 *a = args;
    const un_wgrad_first_split s = UN(wgrad_first_split)(a);
    const int64_t hw = (int64_t)a->h * a->w;
    for (int t = t0; t < t1; t++) {
        const int b = t % s.ocb, part = t / s.ocb;
        float *partial = a->partial + (int64_t)t * a->ic * 9 * 16;
        const int strip0 = (int)((int64_t)s.strips * part / s.parts);
        const int strip1 = (int)((int64_t)s.strips * (part + 1) / s.parts);
        for (int strip = strip0; strip < strip1; strip++) {
            const int i = strip / s.blocks, y0 = strip % s.blocks * s.rows;
            const int rows = a->h - y0 < s.rows ? a->h - y0 : s.rows;
            const int64_t plane = (int64_t)(rows + 2) * (a->w + 2);
            const float *dy = a->dy + i * a->dy_image + (b * hw + (int64_t)y0 * a->w) * 16;
            UN(load_planes)(scratch, a->src + i * a->ic * hw, a->ic, a->h, a->w, y0, rows);
            for (int r = 0, n; r < 3 * a->ic; r += n) {
                n = 3 * a->ic - r < V16_TAP_ROWS ? 3 * a->ic - r : V16_TAP_ROWS;
#define UN_TILE(taprows) UN(wgrad_first_tile)(taprows, r, scratch, plane, dy, rows, a->w, partial, strip == strip0)
#if V16_TAP_ROWS == 9 /* 3*ic - r is a multiple of 3 */
                switch (n) {
                case 3: UN_TILE(3); break;
                case 6: UN_TILE(6); break;
                case 9: UN_TILE(9); break;
                }
#else
                if (n == 1)
                    UN_TILE(1);
                else
                    UN_TILE(2);
#endif
#undef UN_TILE
            }
        }
    }
}

/* The sum over the parts, in order. A task is one output block. */
static int32_t UN(wgrad_first_reduce_tasks)(const void *args)
{
    return UN(wgrad_first_split)(args).ocb;
}

static int64_t UN(wgrad_first_reduce_scratch)(const void *args)
{
    const struct un_wgrad3x3 *a = args;
    const un_wgrad_first_split s = UN(wgrad_first_split)(a);
    return (int64_t)s.parts * s.ocb * a->ic * 9 * 16;
}

static void UN(wgrad_first_reduce)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_wgrad3x3 *a = args;
    const un_wgrad_first_split s = UN(wgrad_first_split)(a);
    const int taps = 9 * a->ic;
    for (int b = t0; b < t1; b++)
        for (int k = 0; k < taps; k++) {
            const float *p = a->partial + ((int64_t)b * taps + k) * 16;
            v16 sum = v16_load(p);
            for (int part = 1; part < s.parts; part++)
                sum = v16_add(sum, v16_load(p + (int64_t)part * s.ocb * taps * 16));
            _Alignas(64) float f[16];
            v16_store(f, sum);
            for (int o = 0; o < 16 && 16 * b + o < a->oc; o++)
                a->dw[(int64_t)(16 * b + o) * taps + k] = f[o];
        }
}
