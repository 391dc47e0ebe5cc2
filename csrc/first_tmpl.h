/* first_tmpl.h - 3x3 convolution of 1..4 planar channels, the first layer of a
 * network. A task is a block of rows of one image, all output channels.
 *
 * Weights: [ocb][ic][3][3][16 oc]. */

#define FIRST_PIXELS 8192 /* of a task, times output blocks: about 80 us */

static int UN(first_rows)(const struct un_first *a)
{
    const int rows = FIRST_PIXELS / a->ocb / a->w;
    return rows < 4 ? 4 : rows > a->h ? a->h : rows;
}

static int32_t UN(first_tasks)(const void *args)
{
    const struct un_first *a = args;
    const int rows = UN(first_rows)(a);
    return a->n * ((a->h + rows - 1) / rows);
}

static int64_t UN(first_scratch)(const void *args)
{
    const struct un_first *a = args;
    return (int64_t)a->ic * (UN(first_rows)(a) + 2) * (a->w + 2);
}

/* Copies rows y0-1 .. y0+rows of ic planes of h x w to dst [ic][rows+2][w+2];
 * pixels outside the image are zero. */
static void UN(load_planes)(float *dst, const float *src, int ic, int h, int w, int y0, int rows)
{
    for (int c = 0; c < ic; c++)
        for (int y = y0 - 1; y <= y0 + rows; y++, dst += w + 2) {
            const int inside = y >= 0 && y < h;
            const float *p = src + ((int64_t)c * h + y) * w;
            dst[0] = dst[w + 1] = 0;
            for (int x = 0; x < w; x++)
                dst[x + 1] = inside ? p[x] : 0;
        }
}

/* px pixels x ob output blocks; x is the pixel up and left of the first. */
UN_INLINE void UN(first_tile)(const int px, const int ob, const struct un_first *a, int64_t plane,
                              const float *x, int b, float *dst)
{
    const int64_t hw16 = (int64_t)a->h * a->w * 16;
    const int taps = 9 * a->ic;
    const float *w = a->weight + (int64_t)b * taps * 16;
    v16 acc[V16_ROWS][V16_COLS];
    UN_UNROLL(8)
    for (int o = 0; o < ob; o++) {
        const v16 v = a->bias ? v16_load(a->bias + 16 * (b + o)) : v16_zero();
        UN_UNROLL(8)
        for (int p = 0; p < px; p++)
            acc[p][o] = v;
    }
    for (int c = 0; c < a->ic; c++, x += plane)
        for (int ky = 0; ky < 3; ky++) {
            const float *xk = x + ky * (a->w + 2);
            for (int kx = 0; kx < 3; kx++, xk++, w += 16) {
                v16 wv[V16_COLS];
                UN_UNROLL(8)
                for (int o = 0; o < ob; o++)
                    wv[o] = v16_load(w + 16 * taps * o);
                UN_UNROLL(8)
                for (int p = 0; p < px; p++) {
                    const v16 xv = v16_set1(xk[p]);
                    UN_UNROLL(8)
                    for (int o = 0; o < ob; o++)
                        acc[p][o] = v16_fma_acc(xv, wv[o], acc[p][o]);
                }
                UN_STEP;
            }
        }
    const v16 lo = v16_set1(a->relu ? 0.0f : -3.402823466e38f);
    UN_UNROLL(8)
    for (int o = 0; o < ob; o++)
        UN_UNROLL(8)
        for (int p = 0; p < px; p++)
            v16_store(dst + o * hw16 + 16 * p, v16_max(acc[p][o], lo));
}

UN_INLINE void UN(first_row)(const int ob, const struct un_first *a, int64_t plane,
                             const float *x, int b, float *dst)
{
    int n = a->w;
    for (; n >= V16_ROWS; n -= V16_ROWS, x += V16_ROWS, dst += 16 * V16_ROWS)
        UN(first_tile)(V16_ROWS, ob, a, plane, x, b, dst);
    for (; n > 0; n--, x++, dst += 16)
        UN(first_tile)(1, ob, a, plane, x, b, dst);
}

static void UN(first)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    const struct un_first *a = args;
    const int most = UN(first_rows)(a), blocks = (a->h + most - 1) / most;
    const int64_t hw = (int64_t)a->h * a->w, ch = (int64_t)a->ocb * 16;
    for (int t = t0; t < t1; t++) {
        const int i = t / blocks, y0 = t % blocks * most;
        const int rows = a->h - y0 < most ? a->h - y0 : most;
        const int64_t plane = (int64_t)(rows + 2) * (a->w + 2);
        float *dst = a->dst + i * a->dst_image + (int64_t)y0 * a->w * 16;
        UN(load_planes)(scratch, a->src + i * a->ic * hw, a->ic, a->h, a->w, y0, rows);
        for (int y = 0; y < rows; y++) {
            const float *x = scratch + (int64_t)y * (a->w + 2);
            float *d = dst + (int64_t)y * a->w * 16;
            int b = 0;
            for (; b + V16_COLS <= a->ocb; b += V16_COLS)
                UN(first_row)(V16_COLS, a, plane, x, b, d + b * hw * 16);
            for (; V16_COLS > 1 && b < a->ocb; b++)
                UN(first_row)(1, a, plane, x, b, d + b * hw * 16);
        }
        if (!a->stats)
            continue;
        float *out = a->stats + t * 3 * ch;
        a->counts[t] = rows * a->w;
        for (int b = 0; b < a->ocb; b++)
            UN(conv_stats)(dst + b * hw * 16, (int64_t)rows * a->w, out + 16 * b,
                           out + ch + 16 * b, out + 2 * ch + 16 * b);
    }
}

/* Packing; a task is one block of output channels. */
static int32_t UN(pack_first_tasks)(const void *args)
{
    const struct un_pack *a = args;
    return (a->oc + 15) / 16;
}

static void UN(pack_first)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_pack *a = args;
    const int taps = 9 * a->ic;
    for (int t = t0; t < t1; t++)
        for (int k = 0; k < taps; k++)
            for (int o = 0; o < 16; o++) {
                const int to = 16 * t + o;
                a->dst[((int64_t)t * taps + k) * 16 + o] = to >= a->oc ? 0.0f :
                    a->src[(int64_t)to * taps + k] * (a->scale ? a->scale[to] : 1.0f);
            }
}
