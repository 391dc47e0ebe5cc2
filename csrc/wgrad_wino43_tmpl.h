/* wgrad_wino43_tmpl.h - weight gradient of the 3x3 convolution, the adjoint of
 * wino43_tmpl.h: with V of the input as there and D = A dy A' of the output
 * gradient, dU[xi] = sum over tiles of V[xi]' D[xi], and dw = G' dU G.
 *
 * A task owns a chunk of the output and of the input blocks and a range of the
 * tiles ("group"). It keeps its dU in scratch and writes 9 sums per channel
 * pair, partial[group][ob][ib][9][16 ic][16 oc], which REDUCE adds up in order
 * of the groups. */

/* 4 -> 6, A. */
UN_INLINE void UN(wino43_a)(const v16 *y, v16 *r)
{
    const v16 half = v16_set1(0.5f), two = v16_set1(2.0f), a = v16_set1(WINO_A),
              a1 = v16_set1(WINO_A1);
    const v16 e = v16_fma(half, y[2], y[0]), f = v16_fma(half, y[3], y[1]);
    const v16 s = v16_fma(two, y[2], y[0]), t = v16_fma(two, y[3], y[1]);
    r[0] = y[0];
    r[1] = v16_fma(a1, f, e);
    r[2] = v16_fnma(a1, f, e);
    r[3] = v16_fma(a, t, s);
    r[4] = v16_fnma(a, t, s);
    r[5] = y[3];
}

/* 6 -> 3, G'. */
UN_INLINE void UN(wino43_gt)(const v16 *u, v16 *g)
{
    const v16 third = v16_set1(1.0f / 3), sixth = v16_set1(1.0f / 6);
    const v16 two3 = v16_set1(2.0f / 3), c1 = v16_set1(WINO_A / 3), c2 = v16_set1(WINO_A / 6);
    const v16 s = v16_add(u[1], u[2]), t = v16_add(u[3], u[4]);
    g[0] = v16_fma(sixth, t, v16_fnma(two3, s, u[0]));
    g[1] = v16_fma(c2, v16_sub(u[3], u[4]), v16_mul(c1, v16_sub(u[2], u[1])));
    g[2] = v16_fma(third, v16_sub(t, s), u[5]);
}

enum {
    WGRAD_WINO_TB = 32,   /* most tiles at a time */
    WGRAD_WINO_CHUNK = 4, /* most blocks of a chunk */
};

typedef struct {
    un_wino43 tiles;            /* V of a chunk; D is laid out alike */
    int icb, ocb;               /* blocks of the tensors */
    int ic_chunk, oc_chunk;     /* blocks per task */
    int ic_chunks, oc_chunks, groups;
    int64_t d_xi, du_xi;        /* floats between xi of D and dU */
} un_wgrad_wino43;

static un_wgrad_wino43 UN(wgrad_wino43_plan)(const struct un_wgrad3x3 *a)
{
    un_wgrad_wino43 p;
    un_wino43 *t = &p.tiles;
    p.icb = un_ceil_div(a->ic, 16);
    p.ocb = un_ceil_div(a->oc, 16);
    p.ic_chunks = un_ceil_div(p.icb, WGRAD_WINO_CHUNK);
    p.oc_chunks = un_ceil_div(p.ocb, WGRAD_WINO_CHUNK);
    p.ic_chunk = un_ceil_div(p.icb, p.ic_chunks);
    p.oc_chunk = un_ceil_div(p.ocb, p.oc_chunks);
    t->th = un_ceil_div(a->h, 4);
    t->tw = un_ceil_div(a->w, 4);
    t->tiles = a->n * t->th * t->tw;
    const int blocks = un_ceil_div(t->tiles, WGRAD_WINO_TB);
    t->tb = un_ceil_div(t->tiles, blocks);
    /* 64 tasks of 0.25 ms or more, or 16 of 0.1, none above 3 ms. */
    const int pieces = p.ic_chunks * p.oc_chunks;
    const int64_t total = un_wino_cost(p.ic_chunk, p.oc_chunk) * t->tiles;
    int64_t groups = un_imax(un_imin(64 / pieces, total / 250000),
                             un_imin(16 / pieces, total / 100000));
    groups = un_imin(un_imax(un_imax(groups, total / 3000000), 1), blocks);
    t->range = un_ceil_div(blocks, groups) * t->tb;
    p.groups = un_ceil_div(t->tiles, t->range);
    t->v_b = t->tb * 16;
    t->v_xi = un_wino_stride((int64_t)p.ic_chunk * t->tb);
    p.d_xi = un_wino_stride((int64_t)p.oc_chunk * t->tb);
    p.du_xi = un_wino_stride((int64_t)p.ic_chunk * p.oc_chunk * 16);
    return p;
}

/* D of tiles t0..t0+nt-1 for blocks b0..b0+nb-1 of dy; dy is zero outside the
 * image. */
static void UN(wino43_dy)(const struct un_wgrad3x3 *a, const un_wgrad_wino43 *p,
                          int t0, int nt, int b0, int nb, float *d)
{
    const un_wino43 *q = &p->tiles;
    const int64_t row = (int64_t)a->w * 16;
    for (int b = 0; b < nb; b++) {
        float *dt = d + b * q->v_b;
        int tx = t0 % q->tw, ty = t0 / q->tw % q->th, i = t0 / (q->tw * q->th);
        for (int t = 0; t < nt; t++, dt += 16) {
            const float *s = a->dy + i * a->dy_image
                           + ((int64_t)(b0 + b) * a->h + 4 * ty) * row + (int64_t)4 * tx * 16;
            const int vy = un_imin(4, a->h - 4 * ty), vx = un_imin(4, a->w - 4 * tx);
            v16 y[4][4], z[4][6];
            if (vy == 4 && vx == 4) {
                UN_UNROLL(4)
                for (int c = 0; c < 4; c++)
                    UN_UNROLL(4)
                    for (int r = 0; r < 4; r++) {
                        y[c][r] = v16_load(s + r * row + 16 * c);
                        __builtin_prefetch(s + r * row + 16 * (c + 8)); /* two tiles on */
                    }
            } else {
                UN_UNROLL(4)
                for (int c = 0; c < 4; c++)
                    UN_UNROLL(4)
                    for (int r = 0; r < 4; r++)
                        y[c][r] = r < vy && c < vx ? v16_load(s + r * row + 16 * c) : v16_zero();
            }
            UN_UNROLL(4)
            for (int c = 0; c < 4; c++)
                UN(wino43_a)(y[c], z[c]);
            UN_UNROLL(6)
            for (int k = 0; k < 6; k++) {
                const v16 r[4] = { z[0][k], z[1][k], z[2][k], z[3][k] };
                v16 o[6];
                UN(wino43_a)(r, o);
                UN_UNROLL(6)
                for (int j = 0; j < 6; j++)
                    v16_store(dt + (6 * k + j) * p->d_xi, o[j]);
            }
            if (++tx == q->tw) {
                tx = 0;
                if (++ty == q->th)
                    ty = 0, i++;
            }
        }
    }
}

/* G' dU G of one pair of blocks: out[9][16 ic][16 oc]. */
static void UN(wgrad_wino43_taps)(const float *du, int64_t du_xi, float *out)
{
    for (int m = 0; m < 16; m++, du += 16, out += 16) {
        v16 z[3][6];
        UN_UNROLL(6)
        for (int j = 0; j < 6; j++) {
            v16 u[6], g[3];
            UN_UNROLL(6)
            for (int k = 0; k < 6; k++)
                u[k] = v16_load(du + (6 * k + j) * du_xi);
            UN(wino43_gt)(u, g);
            z[0][j] = g[0], z[1][j] = g[1], z[2][j] = g[2];
        }
        UN_UNROLL(3)
        for (int k = 0; k < 3; k++) {
            v16 g[3];
            UN(wino43_gt)(z[k], g);
            UN_UNROLL(3)
            for (int j = 0; j < 3; j++)
                v16_store(out + (3 * k + j) * 256, g[j]);
        }
    }
}

static int32_t UN(wgrad_wino43_tasks)(const void *args)
{
    const un_wgrad_wino43 p = UN(wgrad_wino43_plan)(args);
    return p.groups * p.oc_chunks * p.ic_chunks;
}

static int64_t UN(wgrad_wino43_scratch)(const void *args)
{
    const un_wgrad_wino43 p = UN(wgrad_wino43_plan)(args);
    return 36 * (p.tiles.v_xi + p.d_xi + p.du_xi) + WINO_RING;
}

static void UN(wgrad_wino43)(const void *args, int32_t task0, int32_t task1, float *scratch)
{
    const struct un_wgrad3x3 *a = args;
    const un_wgrad_wino43 p = UN(wgrad_wino43_plan)(args);
    const un_wino43 *q = &p.tiles;
    float *v = scratch, *d = v + 36 * q->v_xi, *du = d + 36 * p.d_xi, *ring = du + 36 * p.du_xi;
    for (int task = task0; task < task1; task++) {
        const int group = task / (p.oc_chunks * p.ic_chunks);
        const int o0 = task / p.ic_chunks % p.oc_chunks * p.oc_chunk;
        const int i0 = task % p.ic_chunks * p.ic_chunk;
        const int no = un_imin(p.oc_chunk, p.ocb - o0), ni = un_imin(p.ic_chunk, p.icb - i0);
        const int first = group * q->range, last = un_imin(first + q->range, q->tiles);
        for (int t0 = first; t0 < last; t0 += q->tb) {
            const int nt = un_imin(q->tb, last - t0);
            UN(wino43_input)(a->src, a->src_image, &a->act, a->h, a->w, q, t0, nt, i0, ni, v, ring);
            UN(wino43_dy)(a, &p, t0, nt, o0, no, d);
            const struct UN(gemm_dims) g = {
                .bk = 16, .bo = q->v_b, .co = 256, .outer = 1, .inner = nt, .add = t0 > first,
            };
            for (int xi = 0; xi < 36; xi++)
                for (int i = 0; i < ni; i++)
                    UN(gemm16_t)(&g, 16, no, v + xi * q->v_xi + i * q->v_b, d + xi * p.d_xi,
                                 du + xi * p.du_xi + (int64_t)i * no * 256);
        }
        for (int i = 0; i < ni; i++)
            for (int o = 0; o < no; o++)
                UN(wgrad_wino43_taps)(du + (int64_t)(i * no + o) * 256, p.du_xi,
                                      a->partial + (((int64_t)group * p.ocb + o0 + o) * p.icb
                                                    + i0 + i) * 9 * 256);
    }
}

/* A task is one output block. */
static int32_t UN(wgrad_wino43_reduce_tasks)(const void *args)
{
    const struct un_wgrad3x3 *a = args;
    return un_ceil_div(a->oc, 16);
}

/* The floats of `partial`. */
static int64_t UN(wgrad_wino43_reduce_scratch)(const void *args)
{
    const un_wgrad_wino43 p = UN(wgrad_wino43_plan)(args);
    return (int64_t)p.groups * p.ocb * p.icb * 9 * 256;
}

static void UN(wgrad_wino43_reduce)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    const struct un_wgrad3x3 *a = args;
    const un_wgrad_wino43 p = UN(wgrad_wino43_plan)(args);
    const int64_t size = (int64_t)p.ocb * p.icb * 9 * 256;
    for (int t = t0; t < t1; t++)
        for (int b = 0; b < p.icb; b++) {
            const float *src = a->partial + ((int64_t)t * p.icb + b) * 9 * 256;
            _Alignas(64) float sum[9 * 256];
            for (int k = 0; k < 9 * 256; k += 16) {
                v16 s = v16_load(src + k);
                for (int g = 1; g < p.groups; g++)
                    s = v16_add(s, v16_load(src + g * size + k));
                v16_store(sum + k, s);
            }
            const int no = un_imin(16, a->oc - 16 * t), ni = un_imin(16, a->ic - 16 * b);
            for (int o = 0; o < no; o++) {
                float *dw = a->dw + ((int64_t)(16 * t + o) * a->ic + 16 * b) * 9;
                for (int i = 0; i < ni; i++)
                    for (int k = 0; k < 9; k++)
                        *dw++ = sum[(k * 16 + i) * 16 + o];
            }
        }
}
