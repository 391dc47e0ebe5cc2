/* conv1x1_tmpl.h - 1x1 convolution, which is a matrix product of pixels and
 * weights, its weight gradient, and the packing of its weights.
 *
 * A task is a few rows of one image (un_rows) and a chunk of the output blocks.
 * It goes through its pixels in strips that stay in cache.
 *
 * Weights: [ocb][icb*16][16 oc]; the data gradient is the same kernel with
 * [icb][ocb*16][16 ic]. */

enum { CONV1X1_STRIP = 64 }; /* pixels */

/* Chunks of `chunk` output blocks, a multiple of V16_COLS. */
typedef struct { int chunk, chunks; } un_conv1x1_split;

static un_conv1x1_split UN(conv1x1_split)(const struct un_conv1x1 *a)
{
    const double block = 512.0 * a->icb * un_rows(a->h, a->w) * a->w; /* operations of an output block */
    const int fit = (int)(CONV_TASK_FLOPS / block) / V16_COLS * V16_COLS;
    un_conv1x1_split s;
    s.chunk = fit < V16_COLS ? V16_COLS : fit > a->ocb ? a->ocb : fit;
    s.chunks = (a->ocb + s.chunk - 1) / s.chunk;
    return s;
}

static int32_t UN(conv1x1_tasks)(const void *args)
{
    const struct un_conv1x1 *a = args;
    return un_rows_tasks(a->n, a->h, a->w) * UN(conv1x1_split)(a).chunks;
}

static int64_t UN(conv1x1_scratch)(const void *args)
{
    const struct un_conv1x1 *a = args;
    return a->act.scale ? (int64_t)a->icb * CONV1X1_STRIP * 16 : 0;
}

/* act of np pixels of nb channel blocks, `plane` floats apart, to dst [nb][np][16]. */
static void UN(activate)(const struct un_act *act, int i, int b0, int nb, const float *src, int64_t plane,
                         int64_t np, float *dst)
{
    for (int b = 0; b < nb; b++, src += plane) {
        const un_actv av = un_act_load(act, i, b0 + b);
        for (int64_t p = 0; p < np; p++, dst += 16)
            v16_store(dst, un_act_apply(av, v16_load(src + 16 * p)));
    }
}

static void UN(conv1x1)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    const struct un_conv1x1 *a = args;
    const un_conv1x1_split s = UN(conv1x1_split)(a);
    const int64_t hw16 = (int64_t)a->h * a->w * 16, ch = (int64_t)a->ocb * 16;
    const v16 floor = v16_set1(a->relu ? 0.0f : -3.402823466e38f);
    for (int t = t0; t < t1; t++) {
        const int part = t / s.chunks, chunk = t % s.chunks;
        const int b0 = chunk * s.chunk, b1 = (int)un_imin(b0 + s.chunk, a->ocb);
        int i;
        int64_t p0;
        const int64_t np = un_rows_task(a->h, a->w, part, &i, &p0);
        float *dst = a->dst + i * a->dst_image + p0 * 16;
        for (int64_t p = 0; p < np; p += CONV1X1_STRIP) {
            const int n = (int)un_imin(CONV1X1_STRIP, np - p);
            const float *x = a->src + i * a->src_image + (p0 + p) * 16;
            struct UN(gemm_dims) g = {
                .a_outer = hw16, .bk = 16, .bo = (int64_t)a->icb * 256, .co = hw16,
                .outer = a->icb, .inner = 16, .add = a->add,
            };
            if (a->act.scale) {
                UN(activate)(&a->act, i, 0, a->icb, x, hw16, n, scratch);
                x = scratch;
                g.a_outer = n * 16;
            }
            UN(gemm16)(&g, n, b1 - b0, x, a->weight + b0 * g.bo, dst + b0 * hw16 + p * 16);
            if (!a->bias && !a->relu)
                continue;
            for (int b = b0; b < b1; b++) {
                const v16 bias = a->bias ? v16_load(a->bias + 16 * b) : v16_zero();
                float *d = dst + b * hw16 + p * 16;
                for (int k = 0; k < n; k++)
                    v16_store(d + 16 * k, v16_max(v16_add(v16_load(d + 16 * k), bias), floor));
            }
        }
        if (!a->stats)
            continue;
        /* The sums of all chunks go to the place of the first task. */
        float *out = a->stats + (int64_t)part * s.chunks * 3 * ch;
        for (int b = b0; b < b1; b++)
            UN(conv_stats)(dst + b * hw16, np, out + 16 * b, out + ch + 16 * b, out + 2 * ch + 16 * b);
        a->counts[t] = chunk ? 0 : (int32_t)np;
        if (chunk)
            for (int64_t k = 0; k < 3 * ch; k += 16)
                v16_store(a->stats + t * 3 * ch + k, v16_zero());
    }
}

/* Packing. A task is one output block, after swapping if flip. */
static int32_t UN(pack_conv1x1_tasks)(const void *args)
{
    const struct un_pack *a = args;
    return un_ceil_div(a->flip ? a->ic : a->oc, 16);
}

static void UN(pack_conv1x1)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_pack *a = args;
    const int ni = a->flip ? a->oc : a->ic, no = a->flip ? a->ic : a->oc;
    const int rows = un_ceil_div(ni, 16) * 16;
    for (int t = t0; t < t1; t++)
        for (int i = 0; i < rows; i++)
            for (int o = 16 * t; o < 16 * t + 16; o++) {
                float v = 0;
                if (i < ni && o < no)
                    v = a->flip ? a->src[(int64_t)i * a->ic + o]
                                : a->src[(int64_t)o * a->ic + i] * (a->scale ? a->scale[o] : 1.0f);
                a->dst[((int64_t)t * rows + i) * 16 + o % 16] = v;
            }
}

/* Weight gradient. A task is one input block and one of `parts` parts of the
 * pixels, counted in the row tasks of un_rows:
 *
 *     partial[part][icb][ocb][16 ic][16 oc] */
typedef struct { int icb, ocb, units, parts; } un_wgrad1x1_split;

static un_wgrad1x1_split UN(wgrad1x1_split)(const struct un_wgrad3x3 *a)
{
    un_wgrad1x1_split s = { .icb = un_ceil_div(a->ic, 16), .ocb = un_ceil_div(a->oc, 16) };
    s.units = un_rows_tasks(a->n, a->h, a->w);
    const double flops = 512.0 * s.ocb * a->n * a->h * a->w; /* of an input block */
    int64_t parts = un_imin((int64_t)(flops / CONV_TASK_FLOPS), 64 / s.icb);
    s.parts = (int)un_imax(1, un_imin(parts, s.units));
    return s;
}

static int32_t UN(wgrad1x1_tasks)(const void *args)
{
    const un_wgrad1x1_split s = UN(wgrad1x1_split)(args);
    return s.parts * s.icb;
}

static int64_t UN(wgrad1x1_scratch)(const void *args)
{
    (void)args;
    return CONV1X1_STRIP * 16;
}

static void UN(wgrad1x1)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    const struct un_wgrad3x3 *a = args;
    const un_wgrad1x1_split s = UN(wgrad1x1_split)(a);
    const int64_t hw16 = (int64_t)a->h * a->w * 16;
    for (int t = t0; t < t1; t++) {
        const int part = t / s.icb, ib = t % s.icb;
        float *dw = a->partial + (int64_t)t * s.ocb * 256;
        struct UN(gemm_dims) g = { .bk = 16, .bo = hw16, .co = 256, .outer = 1 };
        const int u1 = (int)((int64_t)s.units * (part + 1) / s.parts);
        for (int u = (int)((int64_t)s.units * part / s.parts); u < u1; u++) {
            int i;
            int64_t p0;
            const int64_t np = un_rows_task(a->h, a->w, u, &i, &p0);
            for (int64_t p = 0; p < np; p += CONV1X1_STRIP) {
                g.inner = (int)un_imin(CONV1X1_STRIP, np - p);
                const float *x = a->src + i * a->src_image + ib * hw16 + (p0 + p) * 16;
                if (a->act.scale) {
                    UN(activate)(&a->act, i, ib, 1, x, 0, g.inner, scratch);
                    x = scratch;
                }
                UN(gemm16_t)(&g, 16, s.ocb, x, a->dy + i * a->dy_image + (p0 + p) * 16, dw);
                g.add = 1;
            }
        }
    }
}

/* The sum over the parts, in order. A task is one input block. */
static int32_t UN(wgrad1x1_reduce_tasks)(const void *args) { return UN(wgrad1x1_split)(args).icb; }

/* The floats of `partial`. */
static int64_t UN(wgrad1x1_reduce_scratch)(const void *args)
{
    const un_wgrad1x1_split s = UN(wgrad1x1_split)(args);
    return (int64_t)s.parts * s.icb * s.ocb * 256;
}

static void UN(wgrad1x1_reduce)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_wgrad3x3 *a = args;
    const un_wgrad1x1_split s = UN(wgrad1x1_split)(a);
    const int64_t size = (int64_t)s.icb * s.ocb * 256;
    _Alignas(64) float sum[16];
    for (int ib = t0; ib < t1; ib++)
        for (int ob = 0; ob < s.ocb; ob++)
            for (int i = 0; i < 16 && 16 * ib + i < a->ic; i++) {
                const float *p = a->partial + ((int64_t)ib * s.ocb + ob) * 256 + i * 16;
                v16 v = v16_load(p);
                for (int part = 1; part < s.parts; part++)
                    v = v16_add(v, v16_load(p + part * size));
                v16_store(sum, v);
                for (int o = 0; o < 16 && 16 * ob + o < a->oc; o++)
                    a->dw[(int64_t)(16 * ob + o) * a->ic + 16 * ib + i] = sum[o];
            }
}
