/* wgrad3x3_tmpl.h - direct weight gradient of the 3x3 convolution.
 *
 * A task is one group of V16_WGRAD_OB output blocks (fewer in the last), one
 * input block and one of `parts` parts of the pixels. It walks its part in
 * strips of some rows, or of some whole images where they are small, copies
 * the strip's input into scratch memory as the convolution does, and gathers
 * the products of a strip in registers before it adds them to its partial
 * sums, which keeps the sums short and so accurate:
 *
 *     partial[part][group][icb][3][3][16 ic][blocks of the group][16 oc] */

#define WGRAD_STRIP 512        /* pixels, about */
#define WGRAD_TASK_FLOPS 16e6
#define WGRAD_MAX_TASKS 256    /* wanted at most, to bound the partial sums */

/* Strips hold `images` images of `rows` rows; `blocks` row blocks cover one. */
typedef struct { int rows, blocks, images, strips, groups, icb, ocb, parts; } un_wgrad_split;

static un_wgrad_split UN(wgrad3x3_split)(const struct un_wgrad3x3 *a)
{
    un_wgrad_split s;
    s.icb = (a->ic + 15) / 16;
    s.ocb = (a->oc + 15) / 16;
    s.groups = (s.ocb + V16_WGRAD_OB - 1) / V16_WGRAD_OB;
    int rows = WGRAD_STRIP / a->w;
    rows = rows < 4 ? 4 : rows;
    s.blocks = (a->h + rows - 1) / rows;
    s.rows = (a->h + s.blocks - 1) / s.blocks;
    const int fit = rows / a->h;
    s.images = fit < 1 ? 1 : fit > a->n ? a->n : fit;
    s.strips = (a->n + s.images - 1) / s.images * s.blocks;
    const int ob = s.ocb < V16_WGRAD_OB ? s.ocb : V16_WGRAD_OB;
    double parts = 4608.0 * ob * a->n * a->h * a->w / WGRAD_TASK_FLOPS;
    const double most = WGRAD_MAX_TASKS / ((double)s.groups * s.icb);
    parts = parts > most ? most : parts;
    s.parts = parts < 1 ? 1 : parts > s.strips ? s.strips : (int)parts;
    return s;
}

static int32_t UN(wgrad3x3_tasks)(const void *args)
{
    const un_wgrad_split s = UN(wgrad3x3_split)(args);
    return s.parts * s.groups * s.icb;
}

static int64_t UN(wgrad3x3_scratch)(const void *args)
{
    const struct un_wgrad3x3 *a = args;
    const un_wgrad_split s = UN(wgrad3x3_split)(a);
    return (int64_t)s.images * (s.rows + 2) * (a->w + 2) * 16;
}

/* The pixels of a strip: x in scratch, dy in place. */
typedef struct {
    const float *x, *dy;
    int64_t x_image, dy_image, dy_plane;
    int images, rows, w;
} un_wgrad_strip;

#define WGRAD_ACC v16 acc[3][V16_WGRAD_IC1 > V16_WGRAD_IC2 ? V16_WGRAD_IC1 : V16_WGRAD_IC2][V16_WGRAD_OB]

/* px pixels of a row: the products of input pixel c with the gradients of
 * the output pixels it reaches through kernel column k = 0..2. */
UN_INLINE void UN(wgrad_pixels)(const int px, const int ic, const int ob, const float *x,
                                const float *dy, int64_t dy_plane, WGRAD_ACC)
{
    v16 d[4][V16_WGRAD_OB];
    UN_UNROLL(8)
    for (int p = 0; p < px; p++)
        UN_UNROLL(8)
        for (int o = 0; o < ob; o++)
            d[p][o] = v16_load(dy + 16 * p + o * dy_plane);
    UN_UNROLL(8)
    for (int c = 0; c < px + 2; c++)
        UN_UNROLL(8)
        for (int i = 0; i < ic; i++) {
            const v16 xv = v16_set1(x[16 * c + i]);
            UN_UNROLL(8)
            for (int k = 0; k < 3; k++)
                if (c - k >= 0 && c - k < px)
                    UN_UNROLL(8)
                    for (int o = 0; o < ob; o++)
                        acc[k][i][o] = v16_fma_acc(xv, d[c - k][o], acc[k][i][o]);
        }
    UN_STEP;
}

/* Adds a strip's products for kernel row ky, ic input channels from i0 and ob
 * output blocks to part [3][3][16][ob][16], or stores them if it is the first. */
UN_INLINE void UN(wgrad_tile)(const int px, const int ic, const int ob, const un_wgrad_strip *s,
                              int ky, int i0, float *part, int first)
{
    WGRAD_ACC;
    UN_UNROLL(8)
    for (int k = 0; k < 3; k++)
        UN_UNROLL(8)
        for (int i = 0; i < ic; i++)
            UN_UNROLL(8)
            for (int o = 0; o < ob; o++)
                acc[k][i][o] = v16_zero();
    for (int image = 0; image < s->images; image++)
        for (int y = 0; y < s->rows; y++) {
            const float *x = s->x + image * s->x_image + (int64_t)(y + ky) * (s->w + 2) * 16 + i0;
            const float *dy = s->dy + image * s->dy_image + (int64_t)y * s->w * 16;
            int n = s->w;
            for (; n >= px; n -= px, x += 16 * px, dy += 16 * px)
                UN(wgrad_pixels)(px, ic, ob, x, dy, s->dy_plane, acc);
            for (; px > 1 && n > 0; n--, x += 16, dy += 16)
                UN(wgrad_pixels)(1, ic, ob, x, dy, s->dy_plane, acc);
        }
    UN_UNROLL(8)
    for (int k = 0; k < 3; k++)
        UN_UNROLL(8)
        for (int i = 0; i < ic; i++)
            UN_UNROLL(8)
            for (int o = 0; o < ob; o++) {
                float *p = part + (((3 * ky + k) * 16 + i0 + i) * ob + o) * 16;
                v16_store(p, first ? acc[k][i][o] : v16_add(v16_load(p), acc[k][i][o]));
            }
}

static void UN(wgrad3x3)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    const struct un_wgrad3x3 *a = args;
    const un_wgrad_split s = UN(wgrad3x3_split)(a);
    const int64_t hw16 = (int64_t)a->h * a->w * 16;
    for (int t = t0; t < t1; t++) {
        const int ib = t % s.icb, group = t / s.icb % s.groups, part = t / s.icb / s.groups;
        const int b = group * V16_WGRAD_OB;
        const int ob = s.ocb - b < V16_WGRAD_OB ? s.ocb - b : V16_WGRAD_OB;
        float *partial = a->partial + (((int64_t)part * s.ocb + b) * s.icb + (int64_t)ib * ob) * 9 * 256;
        const int strip0 = (int)((int64_t)s.strips * part / s.parts);
        const int strip1 = (int)((int64_t)s.strips * (part + 1) / s.parts);
        for (int strip = strip0; strip < strip1; strip++) {
            const int i = strip / s.blocks * s.images, y0 = strip % s.blocks * s.rows;
            un_wgrad_strip v = { .x = scratch, .dy_image = a->dy_image, .dy_plane = hw16, .w = a->w };
            v.images = a->n - i < s.images ? a->n - i : s.images;
            v.rows = a->h - y0 < s.rows ? a->h - y0 : s.rows;
            v.x_image = (int64_t)(s.rows + 2) * (a->w + 2) * 16;
            v.dy = a->dy + i * a->dy_image + b * hw16 + (int64_t)y0 * a->w * 16;
            for (int k = 0; k < v.images; k++)
                UN(load_rows)(scratch + k * v.x_image, a->src + (i + k) * a->src_image + ib * hw16,
                              &a->act, i + k, ib, a->h, a->w, y0, v.rows);
            for (int ky = 0; ky < 3; ky++) {
                if (ob == 1)
                    for (int c = 0; c < 16; c += V16_WGRAD_IC1)
                        UN(wgrad_tile)(V16_WGRAD_PX1, V16_WGRAD_IC1, 1, &v, ky, c, partial, strip == strip0);
#if V16_WGRAD_OB > 1
                else
                    for (int c = 0; c < 16; c += V16_WGRAD_IC2)
                        UN(wgrad_tile)(V16_WGRAD_PX2, V16_WGRAD_IC2, 2, &v, ky, c, partial, strip == strip0);
#endif
            }
        }
    }
}

/* The sum over the parts, in order. A task is one output block and one input
 * block. */
static int32_t UN(wgrad3x3_reduce_tasks)(const void *args)
{
    const un_wgrad_split s = UN(wgrad3x3_split)(args);
    return s.ocb * s.icb;
}

/* The floats of `partial`; the reduction itself needs no scratch memory. */
static int64_t UN(wgrad3x3_reduce_scratch)(const void *args)
{
    const un_wgrad_split s = UN(wgrad3x3_split)(args);
    return (int64_t)s.parts * s.ocb * s.icb * 9 * 256;
}

static void UN(wgrad3x3_reduce)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_wgrad3x3 *a = args;
    const un_wgrad_split s = UN(wgrad3x3_split)(a);
    const int64_t size = (int64_t)s.ocb * s.icb * 9 * 256;
    for (int t = t0; t < t1; t++) {
        const int b = t / s.icb, ib = t % s.icb, g = b / V16_WGRAD_OB * V16_WGRAD_OB;
        const int ob = s.ocb - g < V16_WGRAD_OB ? s.ocb - g : V16_WGRAD_OB;
        const int no = a->oc - 16 * b < 16 ? a->oc - 16 * b : 16;
        const int ni = a->ic - 16 * ib < 16 ? a->ic - 16 * ib : 16;
        const float *p = a->partial + ((int64_t)g * s.icb + (int64_t)ib * ob) * 9 * 256 + (b - g) * 16;
        float *dw = a->dw + ((int64_t)16 * b * a->ic + 16 * ib) * 9;
        float sums[16][16 * 9]; /* [oc][ic][3][3] */
        for (int k = 0; k < 9; k++)
            for (int i = 0; i < 16; i++, p += 16 * ob) {
                v16 sum = v16_load(p);
                for (int part = 1; part < s.parts; part++)
                    sum = v16_add(sum, v16_load(p + part * size));
                _Alignas(64) float f[16];
                v16_store(f, sum);
                for (int o = 0; o < 16; o++)
                    sums[o][9 * i + k] = f[o];
            }
        for (int o = 0; o < no; o++)
            memcpy(dw + (int64_t)o * a->ic * 9, sums[o], sizeof(float) * 9 * ni);
    }
}
