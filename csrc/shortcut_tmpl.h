/* shortcut_tmpl.h - the 1x1 convolution whose result a 3x3 convolution adds to its
 * own: a task computes it into dst for the pixels and output blocks it is about to
 * write, and finds it there, in the cache, when it writes them. */

/* dst of np pixels from pixel p0 of image i, output blocks b..b+cols-1. */
static void UN(shortcut)(const struct un_conv3x3 *a, int i, int64_t p0, int np, int b, int cols)
{
    const struct un_shortcut *s = &a->shortcut;
    const int64_t hw = (int64_t)a->h * a->w;
    float *dst = a->dst + i * a->dst_image + (b * hw + p0) * 16;
    struct UN(gemm_dims) g = { .bk = 16, .co = hw * 16 };
    if (s->planes) { /* the block of weights has as many rows */
        g.a_outer = hw, g.outer = s->planes, g.inner = 1, g.bo = 256;
        UN(gemm16_t)(&g, np, cols, s->src + i * s->image + p0, s->weight + b * g.bo, dst);
    } else {
        g.a_outer = hw * 16, g.outer = s->icb, g.inner = 16, g.bo = (int64_t)s->icb * 256;
        UN(gemm16)(&g, np, cols, s->src + i * s->image + p0 * 16, s->weight + b * g.bo, dst);
    }
}
