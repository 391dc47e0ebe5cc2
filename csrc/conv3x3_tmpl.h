/* conv3x3_tmpl.h - direct 3x3 convolution and the packing of its weights.
 *
 * A task is a block of rows of one image and a chunk of output channels. It
 * copies its input rows, a few channel blocks at a time, into scratch memory
 * with a border of zeros, applying the pending activation on the way, and runs
 * a register tile of V16_ROWS pixels x V16_COLS output blocks over
 * them. Sums over more input blocks than one pass holds wait in dst.
 *
 * Weights: groups of V16_COLS output blocks (fewer in the last), each
 * [icb][3][3][16 ic][blocks of the group][16 oc]. */

#define CONV_TASK_FLOPS 16e6 /* about 150 us */

/* How the operation falls into tasks: `blocks` blocks of `rows` rows per image
 * and `chunks` chunks of `chunk` groups of output blocks. */
typedef struct { int rows, blocks, groups, chunk, chunks; } un_conv_split;

static un_conv_split UN(conv3x3_split)(const struct un_conv3x3 *a)
{
    un_conv_split s;
    const int ob = a->ocb < V16_COLS ? a->ocb : V16_COLS;
    const double pixel = 4608.0 * a->icb * ob; /* floating-point operations */
    /* Enough pixels to use a group's weights well, few enough for the cache;
     * an even number of rows, so that no pooling window is split. */
    double pixels = CONV_TASK_FLOPS / pixel;
    pixels = pixels < 256 ? 256 : pixels > 2048 ? 2048 : pixels;
    int rows = (int)(pixels / a->w);
    rows = rows < 4 ? 4 : rows > a->h ? a->h : rows;
    s.blocks = (a->h + rows - 1) / rows;
    s.rows = ((a->h + s.blocks - 1) / s.blocks + 1) & ~1;
    s.blocks = (a->h + s.rows - 1) / s.rows;
    s.groups = (a->ocb + V16_COLS - 1) / V16_COLS;
    const double group = pixel * a->w * (s.rows < a->h ? s.rows : a->h);
    const double chunk = CONV_TASK_FLOPS / group;
    s.chunk = chunk < 1 ? 1 : chunk > s.groups ? s.groups : (int)chunk;
    s.chunks = (s.groups + s.chunk - 1) / s.chunk;
    return s;
}

static int32_t UN(conv3x3_tasks)(const void *args)
{
    const struct un_conv3x3 *a = args;
    const un_conv_split s = UN(conv3x3_split)(a);
    return a->n * s.blocks * s.chunks;
}

static int64_t UN(conv3x3_scratch)(const void *args)
{
    const struct un_conv3x3 *a = args;
    const un_conv_split s = UN(conv3x3_split)(a);
    const int nib = a->icb < V16_CONV_BLOCKS ? a->icb : V16_CONV_BLOCKS;
    return (int64_t)nib * (s.rows + 2) * (a->w + 2) * 16;
}

/* Copies act(src) of one channel block, rows y0-1 .. y0+rows of image i of h x w,
 * to dst [rows+2][w+2][16]; pixels outside the image are zero. */
static void UN(load_rows)(float *dst, const float *src, const struct un_act *act, int i, int b,
                          int h, int w, int y0, int rows)
{
    const un_actv av = un_act_load(act, i, b);
    for (int y = y0 - 1; y <= y0 + rows; y++) {
        if (y < 0 || y >= h) {
            for (int x = 0; x < w + 2; x++, dst += 16)
                v16_store(dst, v16_zero());
            continue;
        }
        const float *p = src + (int64_t)y * w * 16;
        v16_store(dst, v16_zero());
        dst += 16;
        if (act->scale)
            for (int x = 0; x < w; x++, p += 16, dst += 16)
                v16_store(dst, un_act_apply(av, v16_load(p)));
        else
            for (int x = 0; x < w; x++, p += 16, dst += 16)
                v16_store(dst, v16_load(p));
        v16_store(dst, v16_zero());
        dst += 16;
    }
}

/* What the tiles of one pass have in common. */
typedef struct {
    int64_t pitch, plane;    /* floats from row to row and block to block of x */
    int64_t dst_plane;       /* of dst */
    const float *w, *bias;   /* bias: NULL for zero */
    int nib, first, last, relu;
    int add;                 /* dst holds the shortcut at first */
} un_conv_pass;

/* px pixels x ob output blocks; x is the pixel up and left of the first. */
UN_INLINE void UN(conv_tile)(const int px, const int ob, const un_conv_pass *c,
                              const float *x, float *dst)
{
    v16 acc[V16_ROWS][V16_COLS];
    for (int o = 0; o < ob; o++) {
        const v16 b = c->bias ? v16_load(c->bias + 16 * o) : v16_zero();
        for (int p = 0; p < px; p++)
            acc[p][o] = c->first && !c->add ? b : v16_load(dst + o * c->dst_plane + 16 * p);
        for (int p = 0; c->first && c->add && p < px; p++)
            acc[p][o] = v16_add(acc[p][o], b);
    }
    const float *w = c->w;
    for (int ib = 0; ib < c->nib; ib++, x += c->plane)
        for (int ky = 0; ky < 3; ky++)
            for (int kx = 0; kx < 3; kx++) {
                const float *xk = x + ky * c->pitch + 16 * kx;
                for (int i = 0; i < 16; i += V16_UNROLL, xk += V16_UNROLL) {
                    UN_UNROLL(16)
                    for (int u = 0; u < V16_UNROLL; u++, w += 16 * ob) {
                        v16 wv[V16_COLS];
                        UN_UNROLL(16)
                        for (int o = 0; o < ob; o++)
                            wv[o] = v16_load(w + 16 * o);
                        UN_UNROLL(16)
                        for (int p = 0; p < px; p++) {
                            const v16 xv = v16_set1(xk[16 * p + u]);
                            UN_UNROLL(16)
                            for (int o = 0; o < ob; o++)
                                acc[p][o] = v16_fma_acc(xv, wv[o], acc[p][o]);
                        }
                        UN_STEP;
                    }
                }
            }
    const v16 lo = v16_set1(c->last && c->relu ? 0.0f : -3.402823466e38f);
    for (int o = 0; o < ob; o++)
        for (int p = 0; p < px; p++)
            v16_store(dst + o * c->dst_plane + 16 * p, v16_max(acc[p][o], lo));
}

/* One row of w pixels in tiles as even as they come. */
UN_INLINE void UN(conv_row)(const int ob, const un_conv_pass *c, const float *x, float *dst, int w)
{
    const int tiles = (w + V16_ROWS - 1) / V16_ROWS;
    for (int t = 0, x0 = 0; t < tiles; t++) {
        const int x1 = (int)((int64_t)w * (t + 1) / tiles);
        const float *xt = x + 16 * x0;
        float *dt = dst + 16 * x0;
        switch (x1 - x0) {
        case 1: UN(conv_tile)(1, ob, c, xt, dt); break;
        case 2: UN(conv_tile)(2, ob, c, xt, dt); break;
        case 3: UN(conv_tile)(3, ob, c, xt, dt); break;
        case 4: UN(conv_tile)(4, ob, c, xt, dt); break;
#if V16_ROWS > 4
        case 5: UN(conv_tile)(5, ob, c, xt, dt); break;
        case 6: UN(conv_tile)(6, ob, c, xt, dt); break;
#endif
#if V16_ROWS > 6
        case 7: UN(conv_tile)(7, ob, c, xt, dt); break;
        case 8: UN(conv_tile)(8, ob, c, xt, dt); break;
#endif
        }
        x0 = x1;
    }
}

/* Statistics of one task and output block: the pivot k, sum(y-k), sum((y-k)^2)
 * over np pixels. */
static void UN(conv_stats)(const float *y, int64_t np, float *k_out, float *s_out, float *q_out)
{
    const v16 k = v16_load(y);
    v16 s0 = v16_zero(), s1 = v16_zero(), q0 = v16_zero(), q1 = v16_zero();
    int64_t p = 0;
    for (; p + 2 <= np; p += 2) {
        const v16 d0 = v16_sub(v16_load(y + 16 * p), k);
        const v16 d1 = v16_sub(v16_load(y + 16 * p + 16), k);
        s0 = v16_add(s0, d0);
        s1 = v16_add(s1, d1);
        q0 = v16_fma(d0, d0, q0);
        q1 = v16_fma(d1, d1, q1);
    }
    if (p < np) {
        const v16 d = v16_sub(v16_load(y + 16 * p), k);
        s0 = v16_add(s0, d);
        q0 = v16_fma(d, d, q0);
    }
    v16_store(k_out, k);
    v16_store(s_out, v16_add(s0, s1));
    v16_store(q_out, v16_add(q0, q1));
}

/* The two sums of un_conv3x3.gate_y for one task and block, whose mean is m. */
static void UN(conv_gate)(const float *dst, const float *y, un_actv av, v16 m, int64_t np,
                          float *s_out, float *q_out)
{
    v16 s = v16_zero(), q = v16_zero();
    for (int64_t p = 0; p < np; p++) {
        const v16 yv = v16_load(y + 16 * p);
        const v16 dz = v16_select_gt(v16_fma(yv, av.scale, av.shift), av.lo,
                                     v16_load(dst + 16 * p), v16_zero());
        s = v16_add(s, dz);
        q = v16_fma(dz, v16_sub(yv, m), q);
    }
    v16_store(s_out, s);
    v16_store(q_out, q);
}

/* 2x2 maxima of rows y0 .. y0+rows-1 (y0 even) of one output block. */
static void UN(conv_pool)(float *pool, const float *dst, int w, int rows)
{
    const int64_t row = (int64_t)w * 16;
    for (int y = 0; y + 1 < rows; y += 2)
        for (int x = 0; x < w / 2; x++, pool += 16) {
            const float *p = dst + y * row + 32 * x;
            v16_store(pool, v16_max(v16_max(v16_load(p), v16_load(p + 16)),
                                    v16_max(v16_load(p + row), v16_load(p + row + 16))));
        }
}

static void UN(conv3x3)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    const struct un_conv3x3 *a = args;
    const un_conv_split s = UN(conv3x3_split)(a);
    const int w = a->w;
    const int64_t hw16 = (int64_t)a->h * w * 16;
    for (int t = t0; t < t1; t++) {
        const int part = t / s.chunks, chunk = t % s.chunks;
        const int i = part / s.blocks, y0 = part % s.blocks * s.rows;
        const int rows = y0 + s.rows < a->h ? s.rows : a->h - y0;
        const int b0 = chunk * s.chunk * V16_COLS;
        const int b1 = b0 + s.chunk * V16_COLS < a->ocb ? b0 + s.chunk * V16_COLS : a->ocb;
        float *dst = a->dst + i * a->dst_image + (int64_t)y0 * w * 16;

        un_conv_pass c = { .pitch = (int64_t)(w + 2) * 16, .dst_plane = hw16, .relu = a->relu };
        c.plane = (s.rows + 2) * c.pitch;
        c.add = a->shortcut.src != NULL;
        if (c.add)
            UN(shortcut)(a, i, (int64_t)y0 * w, rows * w, b0, b1 - b0);
        for (int ib = 0; ib < a->icb; ib += V16_CONV_BLOCKS) {
            c.nib = a->icb - ib < V16_CONV_BLOCKS ? a->icb - ib : V16_CONV_BLOCKS;
            c.first = ib == 0;
            c.last = ib + c.nib == a->icb;
            for (int k = 0; k < c.nib; k++)
                UN(load_rows)(scratch + k * c.plane, a->src + i * a->src_image + (ib + k) * hw16,
                              &a->act, i, ib + k, a->h, w, y0, rows);
            for (int b = b0; b < b1; b += V16_COLS) {
                const int ob = b1 - b < V16_COLS ? b1 - b : V16_COLS;
                c.w = a->weight + ((int64_t)b * a->icb + (int64_t)ib * ob) * 9 * 256;
                c.bias = a->bias ? a->bias + 16 * b : NULL;
                for (int y = 0; y < rows; y++) {
                    const float *x = scratch + y * c.pitch;
                    float *d = dst + b * hw16 + (int64_t)y * w * 16;
                    if (ob == V16_COLS)
                        UN(conv_row)(V16_COLS, &c, x, d, w);
#if V16_COLS > 1
                    else
                        UN(conv_row)(1, &c, x, d, w);
#endif
                }
            }
        }

        const int64_t np = (int64_t)rows * w, ch = (int64_t)a->ocb * 16;
        if (a->stats) {
            /* The sums of all chunks of a part go to its first task's place;
             * the others cover no pixels. */
            float *out = a->stats + (int64_t)part * s.chunks * 3 * ch;
            for (int b = b0; b < b1; b++)
                UN(conv_stats)(dst + b * hw16, np, out + 16 * b, out + ch + 16 * b, out + 2 * ch + 16 * b);
            a->counts[t] = chunk ? 0 : (int32_t)np;
            if (chunk)
                for (int64_t k = 0; k < 3 * ch; k += 16)
                    v16_store(a->stats + t * 3 * ch + k, v16_zero());
        }
        if (a->gate_y) {
            float *out = a->sums + (int64_t)part * s.chunks * 2 * ch;
            const float *y = a->gate_y + i * a->gate_image + (int64_t)y0 * w * 16;
            for (int b = b0; b < b1; b++)
                UN(conv_gate)(dst + b * hw16, y + b * hw16, un_act_load(&a->gate, i, b),
                              v16_load(a->gate_mean + 16 * b), np, out + 16 * b, out + ch + 16 * b);
            if (chunk)
                for (int64_t k = 0; k < 2 * ch; k += 16)
                    v16_store(a->sums + t * 2 * ch + k, v16_zero());
        }
        if (a->pool)
            for (int b = b0; b < b1; b++)
                UN(conv_pool)(a->pool + i * a->pool_image +
                              ((int64_t)b * (a->h / 2) + y0 / 2) * (w / 2) * 16,
                              dst + b * hw16, w, rows);
    }
}

/* Packing. A task is one block of input x one block of output channels. */
static inline void UN(pack_dims)(const struct un_pack *a, int *ic, int *oc)
{
    *ic = a->flip ? a->oc : a->ic;
    *oc = a->flip ? a->ic : a->oc;
}

static int32_t UN(pack_conv3x3_tasks)(const void *args)
{
    int ic, oc;
    UN(pack_dims)(args, &ic, &oc);
    return ((ic + 15) / 16) * ((oc + 15) / 16);
}

static void UN(pack_conv3x3)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_pack *a = args;
    int ic, oc;
    UN(pack_dims)(a, &ic, &oc);
    const int icb = (ic + 15) / 16, ocb = (oc + 15) / 16;
    for (int t = t0; t < t1; t++) {
        const int b = t / icb, ib = t % icb, g = b / V16_COLS * V16_COLS;
        const int ob = ocb - g < V16_COLS ? ocb - g : V16_COLS;
        float *dst = a->dst + ((int64_t)g * icb + (int64_t)ib * ob) * 9 * 256 + (b - g) * 16;
        /* In the order of src: m and c are its channels within the block. */
        const int m0 = 16 * (a->flip ? ib : b), c0 = 16 * (a->flip ? b : ib);
        for (int m = 0; m < 16; m++)
            for (int c = 0; c < 16; c++) {
                const int i = a->flip ? m : c, o = a->flip ? c : m;
                const int inside = m0 + m < a->oc && c0 + c < a->ic;
                const float *src = a->src + ((int64_t)(m0 + m) * a->ic + c0 + c) * 9;
                const float f = a->scale && inside ? a->scale[m0 + m] : 1.0f;
                for (int k = 0; k < 9; k++)
                    dst[((a->flip ? 8 - k : k) * 16 + i) * 16 * ob + o] = inside ? src[k] * f : 0.0f;
            }
    }
}
