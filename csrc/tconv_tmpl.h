/* tconv_tmpl.h - the transposed 2x2 convolution with stride 2, its gradients,
 * and the packing of its weights.
 *
 * Stride equals kernel size, so nothing overlaps: an input pixel makes a 2x2
 * patch of the output, each tap a matrix product over the input channels.
 * Forward and data gradient are one register tile of V16_ROWS pixels times
 * V16_COLS vectors (taps of a kernel row; input blocks); the weight gradient
 * is another of input channels times taps.
 *
 * Weights: forward [ocb][2 rows][icb*16][2 taps][16 oc]. Data gradient: groups
 * of V16_COLS input blocks (fewer in the last), each
 * [ocb][4 taps][16 oc][blocks of the group][16 ic]. */

#define TCONV_TASK_FLOPS 16e6 /* about 150 us */

/* A product: pixels of `x_step` floats times, for each of nb blocks and nt
 * taps, 16 channels; `row` is added to x once, after half the taps. With bf, a
 * float of x and w is a group of bfloat16 (see gemm16_tmpl.h). */
typedef struct {
    int64_t plane, row, w_step, dst_step, dst_col;
    int nb, nt;
} un_tconv_dims;

UN_INLINE void UN(tconv_tile)(const int bf, const int px, const int cols, const int x_step, const un_tconv_dims *d,
                              const float *x, const float *w, const float *bias, float *dst)
{
    const int steps = bf ? 16 / B_GROUP : 16;
    v16 acc[V16_ROWS][V16_COLS];
    for (int p = 0; p < px; p++)
        for (int o = 0; o < cols; o++)
            acc[p][o] = bias ? v16_load(bias) : v16_zero();
    const int64_t w_step = d->w_step;
    for (int b = 0; b < d->nb; b++, x += d->plane)
        for (int t = 0; t < d->nt; t++) {
            const float *xt = x + (t & 1) * 16 + (t >> 1) * d->row;
            for (int i = 0; i < steps; i += V16_UNROLL, xt += V16_UNROLL) {
                UN_UNROLL(16)
                for (int u = 0; u < V16_UNROLL; u++, w += w_step) {
                    v16 wv[V16_COLS];
                    UN_UNROLL(4)
                    for (int o = 0; o < cols; o++)
                        wv[o] = v16_load(w + 16 * o);
                    UN_UNROLL(16)
                    for (int p = 0; p < px; p++) {
                        const v16 xv = v16_set1(xt[p * x_step + u]);
                        UN_UNROLL(4)
                        for (int o = 0; o < cols; o++)
                            acc[p][o] = bf ? v16_bdot(xv, wv[o], acc[p][o]) : v16_fma(xv, wv[o], acc[p][o]);
                    }
                    UN_STEP;
                }
            }
        }
    for (int p = 0; p < px; p++)
        for (int o = 0; o < cols; o++)
            v16_store(dst + p * d->dst_step + o * d->dst_col, acc[p][o]);
}

/* n pixels in tiles as even as they come. */
UN_INLINE void UN(tconv_pixels)(const int bf, const int cols, const int x_step, const un_tconv_dims *d,
                                const float *x, const float *w, const float *bias, float *dst, int64_t n)
{
    const int64_t tiles = (n + V16_ROWS - 1) / V16_ROWS;
    for (int64_t t = 0, p0 = 0; t < tiles; t++) {
        const int64_t p1 = n * (t + 1) / tiles;
        const float *xt = x + p0 * x_step;
        float *dt = dst + p0 * d->dst_step;
#define UN_TILE(px) \
    case px: UN(tconv_tile)(bf, px <= V16_ROWS ? px : 1, cols, x_step, d, xt, w, bias, dt); break;
        switch (p1 - p0) {
            UN_TILE(1) UN_TILE(2) UN_TILE(3) UN_TILE(4)
#if V16_ROWS > 4
            UN_TILE(5) UN_TILE(6)
#endif
#if V16_ROWS > 6
            UN_TILE(7) UN_TILE(8)
#endif
        }
#undef UN_TILE
        p0 = p1;
    }
}

/* Tasks are blocks of rows of an image times chunks of channel blocks (of
 * groups of them): `pixels` per block, within bounds, `flops` per pixel and
 * channel block. */
typedef struct { int rows, blocks, chunk, chunks; } un_tconv_split;

static un_tconv_split UN(tconv_split)(const struct un_tconv *a, int pixels, double flops, int channel_blocks)
{
    un_tconv_split s;
    pixels = pixels < 64 ? 64 : pixels > 1024 ? 1024 : pixels;
    s.rows = pixels / a->w < 1 ? 1 : pixels / a->w > a->h ? a->h : pixels / a->w;
    s.blocks = (a->h + s.rows - 1) / s.rows;
    s.rows = (a->h + s.blocks - 1) / s.blocks;
    s.blocks = (a->h + s.rows - 1) / s.rows;
    const double chunk = TCONV_TASK_FLOPS / (flops * s.rows * a->w);
    s.chunk = chunk < 1 ? 1 : chunk > channel_blocks ? channel_blocks : (int)chunk;
    s.chunks = (channel_blocks + s.chunk - 1) / s.chunk;
    return s;
}

static un_tconv_split UN(tconv_fwd_split)(const struct un_tconv *a)
{
    return UN(tconv_split)(a, 4096 / a->icb, 2048.0 * a->icb, a->ocb);
}

static int32_t UN(tconv_tasks)(const void *args)
{
    const struct un_tconv *a = args;
    const un_tconv_split s = UN(tconv_fwd_split)(a);
    return a->n * s.blocks * s.chunks;
}

static int64_t UN(tconv_scratch)(const void *args)
{
    const struct un_tconv *a = args;
    return a->act.scale ? (int64_t)a->icb * UN(tconv_fwd_split)(a).rows * a->w * 16 : 0;
}

static int64_t UN(btconv_scratch)(const void *args)
{
    const struct un_tconv *a = args;
    return (int64_t)a->icb * UN(tconv_fwd_split)(a).rows * a->w * (16 / B_GROUP);
}

/* Activated or rounded inputs of a task go to scratch memory. */
UN_INLINE void UN(tconv_as)(const int bf, const void *args, int32_t t0, int32_t t1, float *scratch)
{
    const struct un_tconv *a = args;
    const un_tconv_split s = UN(tconv_fwd_split)(a);
    const int w = a->w, group = bf ? B_GROUP : 1, step = 16 / group;
    const int64_t hw16 = (int64_t)a->h * w * 16, row = (int64_t)2 * w * 16;
    for (int t = t0; t < t1; t++) {
        const int part = t / s.chunks, chunk = t % s.chunks;
        const int i = part / s.blocks, y0 = part % s.blocks * s.rows;
        const int y1 = y0 + s.rows < a->h ? y0 + s.rows : a->h;
        const int b1 = (chunk + 1) * s.chunk < a->ocb ? (chunk + 1) * s.chunk : a->ocb;
        const float *src = a->src + i * a->src_image + (int64_t)y0 * w * 16;
        un_tconv_dims d = { .plane = hw16, .w_step = 32, .dst_step = 32, .dst_col = 16, .nb = a->icb, .nt = 1 };
        if (bf || a->act.scale) {
            const int64_t np = (int64_t)(y1 - y0) * w;
            for (int b = 0; b < a->icb; b++) {
                const un_actv act = un_act_load(&a->act, i, b);
                for (int64_t p = 0; p < np; p++) {
                    const v16 x = un_act_apply(act, v16_load(src + b * hw16 + p * 16));
                    if (bf)
                        un_b_store((un_b *)scratch + (b * np + p) * 16, x);
                    else
                        v16_store(scratch + (b * np + p) * 16, x);
                }
            }
            src = scratch;
            d.plane = np * step;
        }
        for (int b = chunk * s.chunk; b < b1; b++)
            for (int ky = 0; ky < 2; ky++) {
                const float *wk = a->weight + ((int64_t)b * 2 + ky) * a->icb * 32 * step;
                float *dst = a->dst + i * a->dst_image + 4 * b * hw16 + (2 * y0 + ky) * row;
                for (int y = y0; y < y1; y++, dst += 2 * row)
                    for (int kx = 0; kx < 2; kx += V16_COLS)
                        UN(tconv_pixels)(bf, V16_COLS, step, &d, src + (int64_t)(y - y0) * w * step, wk + 16 * kx,
                                         a->bias ? a->bias + 16 * b : NULL, dst + 16 * kx, w);
            }
    }
}

static void UN(tconv)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    UN(tconv_as)(0, args, t0, t1, scratch);
}

static void UN(btconv)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    UN(tconv_as)(1, args, t0, t1, scratch);
}

/* Channel blocks count in groups of V16_COLS here. */
static un_tconv_split UN(tconv_dgrad_split)(const struct un_tconv *a)
{
    return UN(tconv_split)(a, 2048 / a->ocb, 2048.0 * a->ocb * V16_COLS,
                           (a->icb + V16_COLS - 1) / V16_COLS);
}

static int32_t UN(tconv_dgrad_tasks)(const void *args)
{
    const struct un_tconv *a = args;
    const un_tconv_split s = UN(tconv_dgrad_split)(a);
    return a->n * s.blocks * s.chunks;
}

static void UN(tconv_dgrad)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_tconv *a = args;
    const un_tconv_split s = UN(tconv_dgrad_split)(a);
    const int w = a->w;
    const int64_t hw16 = (int64_t)a->h * w * 16, row = (int64_t)2 * w * 16;
    for (int t = t0; t < t1; t++) {
        const int part = t / s.chunks, chunk = t % s.chunks;
        const int i = part / s.blocks, y0 = part % s.blocks * s.rows;
        const int y1 = y0 + s.rows < a->h ? y0 + s.rows : a->h;
        const int b0 = chunk * s.chunk * V16_COLS;
        const int b1 = b0 + s.chunk * V16_COLS < a->icb ? b0 + s.chunk * V16_COLS : a->icb;
        const float *src = a->src + i * a->src_image;
        float *dst = a->dst + i * a->dst_image;
        un_tconv_dims d = { .plane = 4 * hw16, .row = row, .dst_step = 16, .dst_col = hw16, .nb = a->ocb, .nt = 4 };
        for (int b = b0; b < b1; b += V16_COLS) {
            const int cols = b1 - b < V16_COLS ? b1 - b : V16_COLS;
            const float *wb = a->weight + (int64_t)b * a->ocb * 1024;
            d.w_step = 16 * cols;
            for (int y = y0; y < y1; y++) {
                const float *x = src + 2 * y * row;
                float *to = dst + b * hw16 + (int64_t)y * w * 16;
                if (cols == V16_COLS)
                    UN(tconv_pixels)(0, V16_COLS, 32, &d, x, wb, NULL, to, w);
#if V16_COLS > 1
                else
                    UN(tconv_pixels)(0, 1, 32, &d, x, wb, NULL, to, w);
#endif
            }
        }
    }
}

/* Packing. A task is one block of input x one block of output channels. */
static int32_t UN(pack_tconv_tasks)(const void *args)
{
    const struct un_pack *a = args;
    return ((a->ic + 15) / 16) * ((a->oc + 15) / 16);
}

static void UN(pack_tconv)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_pack *a = args;
    const int icb = (a->ic + 15) / 16, ocb = (a->oc + 15) / 16;
    for (int t = t0; t < t1; t++) {
        const int ib = t / ocb, ob = t % ocb, g = ib / V16_COLS * V16_COLS;
        const int cols = icb - g < V16_COLS ? icb - g : V16_COLS;
        for (int i = 0; i < 16; i++)
            for (int o = 0; o < 16; o++)
                for (int k = 0; k < 4; k++) {
                    const int ic = 16 * ib + i, oc = 16 * ob + o;
                    float v = 0;
                    if (ic < a->ic && oc < a->oc)
                        v = a->src[((int64_t)ic * a->oc + oc) * 4 + k] * (a->scale ? a->scale[oc] : 1.0f);
                    if (a->flip)
                        a->dst[(int64_t)g * ocb * 1024 + (((ob * 4 + k) * 16 + o) * (int64_t)cols + ib - g) * 16 + i] = v;
                    else
                        a->dst[(((int64_t)ob * 2 + k / 2) * icb * 16 + ic) * 32 + k % 2 * 16 + o] = v;
                }
    }
}

/* Forward weights of bfloat16: [ocb][2 rows][groups of icb*16][2 taps][16 oc][group]. */
static void UN(pack_btconv)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_pack *a = args;
    const int icb = (a->ic + 15) / 16, ocb = (a->oc + 15) / 16;
    for (int t = t0; t < t1; t++) {
        const int ib = t / ocb, ob = t % ocb;
        for (int ic = 16 * ib; ic < 16 * ib + 16; ic++)
            for (int k = 0; k < 4; k++) {
                _Alignas(64) float w[16] = { 0 };
                for (int o = 0, oc = 16 * ob; o < 16 && ic < a->ic && oc < a->oc; o++, oc++)
                    w[o] = a->src[((int64_t)ic * a->oc + oc) * 4 + k] * (a->scale ? a->scale[oc] : 1.0f);
                un_bweight_store(a->dst + (((int64_t)ob * 2 + k / 2) * icb * 16 + ic) / B_GROUP * 32 + k % 2 * 16,
                                 v16_load(w), ic);
            }
    }
}

/* Weight gradient. The rows of all images form one list, cut into `parts`
 * parts. A task is a part times a chunk of input blocks times an output block.
 * It goes through its part in strips of about TCONV_STRIP pixels, which stay
 * in cache for all its input blocks, copies activated pixels to scratch memory
 * and gathers their products in registers:
 *
 *     partial[part][ocb][icb][4 taps][16 ic][16 oc], then db[part][ocb][16] */
#define TCONV_STRIP 256

typedef struct { int icb, ocb, parts, rows, chunk, chunks; } un_tconv_wsplit;

static un_tconv_wsplit UN(tconv_wgrad_split)(const struct un_tconv_wgrad *a)
{
    un_tconv_wsplit s;
    s.icb = (a->ic + 15) / 16;
    s.ocb = (a->oc + 15) / 16;
    const int64_t lines = (int64_t)a->n * a->h, pairs = (int64_t)s.icb * s.ocb;
    const double flops = 2048.0 * lines * a->w; /* of a pair of blocks */
    int64_t parts = (int64_t)(flops * pairs / TCONV_TASK_FLOPS);
    parts = parts > 128 / pairs ? 128 / pairs : parts; /* bounds the partial sums */
    s.parts = (int)(parts < 1 ? 1 : parts > lines ? lines : parts);
    s.rows = TCONV_STRIP / a->w < 1 ? 1 : TCONV_STRIP / a->w;
    const double chunk = TCONV_TASK_FLOPS * s.parts / flops;
    s.chunk = chunk < 1 ? 1 : chunk > s.icb ? s.icb : (int)chunk;
    s.chunks = (s.icb + s.chunk - 1) / s.chunk;
    return s;
}

static int32_t UN(tconv_wgrad_tasks)(const void *args)
{
    const un_tconv_wsplit s = UN(tconv_wgrad_split)(args);
    return s.parts * s.ocb * s.chunks;
}

static int64_t UN(tconv_wgrad_scratch)(const void *args)
{
    const struct un_tconv_wgrad *a = args;
    return (int64_t)UN(tconv_wgrad_split)(a).rows * a->w * 16;
}

/* A strip of rows of dy: `left` rows of the first image, then whole images. */
typedef struct { const float *x, *dy; int64_t row, jump; int rows, left, h, w; } un_tconv_strip;

/* Adds the products of ic input channels with cols taps to dw [taps][16][16]. */
UN_INLINE void UN(tconv_wtile)(const int ic, const int cols, const un_tconv_strip *s, const float *x,
                               const float *dy, float *dw)
{
    v16 acc[V16_ROWS][V16_COLS];
    for (int i = 0; i < ic; i++)
        for (int o = 0; o < cols; o++)
            acc[i][o] = v16_load(dw + o * 256 + i * 16);
    for (int y = 0, left = s->left; y < s->rows; y++) {
        const float *d = dy;
        for (int p = s->w; p > 0; p--, x += 16, d += 32) {
            v16 dv[V16_COLS];
            UN_UNROLL(4)
            for (int o = 0; o < cols; o++)
                dv[o] = v16_load(d + 16 * o);
            UN_UNROLL(16)
            for (int i = 0; i < ic; i++) {
                const v16 xv = v16_set1(x[i]);
                UN_UNROLL(4)
                for (int o = 0; o < cols; o++)
                    acc[i][o] = v16_fma(xv, dv[o], acc[i][o]);
            }
        }
        dy += 2 * s->row;
        if (--left == 0) {
            dy += s->jump;
            left = s->h;
        }
    }
    for (int i = 0; i < ic; i++)
        for (int o = 0; o < cols; o++)
            v16_store(dw + o * 256 + i * 16, acc[i][o]);
}

/* Adds the products of one strip, x against dy, to dw [4 taps][16 ic][16 oc]. */
static void UN(tconv_wstrip)(const un_tconv_strip *s, const float *x, const float *dy, float *dw)
{
    for (int k = 0; k < 4; k += V16_COLS) {
        const float *d = dy + k / 2 * s->row + k % 2 * 16;
        float *dk = dw + k * 256;
#if V16_ROWS == 6
        UN(tconv_wtile)(6, V16_COLS, s, x, d, dk);
        UN(tconv_wtile)(5, V16_COLS, s, x + 6, d, dk + 6 * 16);
        UN(tconv_wtile)(5, V16_COLS, s, x + 11, d, dk + 11 * 16);
#else
        _Static_assert(16 % V16_ROWS == 0, "tiles must cover 16 input channels");
        for (int i = 0; i < 16; i += V16_ROWS)
            UN(tconv_wtile)(V16_ROWS, V16_COLS, s, x + i, d, dk + 16 * i);
#endif
    }
}

static void UN(tconv_wgrad)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    const struct un_tconv_wgrad *a = args;
    const un_tconv_wsplit s = UN(tconv_wgrad_split)(a);
    const int h = a->h, w = a->w;
    const int64_t lines = (int64_t)a->n * h, hw16 = (int64_t)h * w * 16, row = (int64_t)2 * w * 16;
    for (int t = t0; t < t1; t++) {
        const int chunk = t % s.chunks, ob = t / s.chunks % s.ocb, part = t / s.chunks / s.ocb;
        const int b0 = chunk * s.chunk, b1 = b0 + s.chunk < s.icb ? b0 + s.chunk : s.icb;
        const int64_t from = lines * part / s.parts, to = lines * (part + 1) / s.parts;
        const int64_t block = (int64_t)part * s.ocb + ob;
        float *dw = a->partial + block * s.icb * 1024;
        float *db = a->partial + (int64_t)s.parts * s.ocb * s.icb * 1024 + block * 16;
        for (int k = b0 * 1024; k < b1 * 1024; k += 16)
            v16_store(dw + k, v16_zero());
        v16 bias = v16_zero();
        for (int64_t l0 = from; l0 < to; l0 += s.rows) {
            const int rows = (int)(to - l0 < s.rows ? to - l0 : s.rows);
            const un_tconv_strip strip = {
                .row = row, .jump = a->dy_image - h * 2 * row, .rows = rows, .left = h - (int)(l0 % h), .h = h, .w = w,
            };
            const float *dy = a->dy + l0 / h * a->dy_image + 4 * ob * hw16 + l0 % h * 2 * row;
            for (int b = b0; b < b1; b++) {
                float *x = scratch;
                for (int64_t l = l0; l < l0 + rows; l++) {
                    const un_actv act = un_act_load(&a->act, (int)(l / h), b);
                    const float *src = a->src + l / h * a->src_image + b * hw16 + l % h * w * 16;
                    for (int p = 0; p < w; p++, x += 16)
                        v16_store(x, un_act_apply(act, v16_load(src + 16 * p)));
                }
                UN(tconv_wstrip)(&strip, scratch, dy, dw + b * 1024);
            }
            if (chunk > 0)
                continue;
            for (int64_t l = l0; l < l0 + rows; l++) {
                const float *d = a->dy + l / h * a->dy_image + 4 * ob * hw16 + l % h * 2 * row;
                for (int p = 0; p < 4 * w; p += 2)
                    bias = v16_add(bias, v16_add(v16_load(d + 16 * p), v16_load(d + 16 * p + 16)));
            }
        }
        if (chunk == 0)
            v16_store(db, bias);
    }
}

/* Reduction. A task is one input block; db is done with the first. */
static int32_t UN(tconv_wgrad_reduce_tasks)(const void *args)
{
    return UN(tconv_wgrad_split)(args).icb;
}

static int64_t UN(tconv_wgrad_reduce_scratch)(const void *args)
{
    const un_tconv_wsplit s = UN(tconv_wgrad_split)(args);
    return (int64_t)s.parts * s.ocb * (s.icb * 1024 + 16);
}

static void UN(tconv_wgrad_reduce)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_tconv_wgrad *a = args;
    const un_tconv_wsplit s = UN(tconv_wgrad_split)(a);
    const int64_t size = (int64_t)s.icb * s.ocb * 1024;
    _Alignas(64) float sum[16];
    for (int ib = t0; ib < t1; ib++)
        for (int ob = 0; ob < s.ocb; ob++)
            for (int k = 0; k < 4; k++)
                for (int i = 0; i < 16 && 16 * ib + i < a->ic; i++) {
                    const float *p = a->partial + ((int64_t)ob * s.icb + ib) * 1024 + k * 256 + i * 16;
                    v16 v = v16_load(p);
                    for (int part = 1; part < s.parts; part++)
                        v = v16_add(v, v16_load(p + part * size));
                    v16_store(sum, v);
                    float *dw = a->dw + ((int64_t)(16 * ib + i) * a->oc + 16 * ob) * 4 + k;
                    for (int o = 0; o < 16 && 16 * ob + o < a->oc; o++)
                        dw[4 * o] = sum[o];
                }
    if (t0 > 0)
        return;
    for (int ob = 0; ob < s.ocb; ob++) {
        const float *p = a->partial + s.parts * size + 16 * ob;
        v16 v = v16_load(p);
        for (int part = 1; part < s.parts; part++)
            v = v16_add(v, v16_load(p + (int64_t)part * s.ocb * 16));
        v16_store(sum, v);
        for (int o = 0; o < 16 && 16 * ob + o < a->oc; o++)
            a->db[16 * ob + o] = sum[o];
    }
}
