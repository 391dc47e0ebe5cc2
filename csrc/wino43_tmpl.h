/* wino43_tmpl.h - 3x3 convolution by Winograd's F(4x4,3x3) (Lavin & Gray
 * 2016), at the points 0, +-1/a, +-a, infinity with a = sqrt(2), which halve
 * the rounding error of the usual 0, +-1, +-2.
 *
 * The image is cut into tiles of 4x4 outputs, each from 6x6 inputs. A tile of
 * channel block b becomes 36 vectors V[xi][b] = B' d B; per xi a matrix
 * product with the packed weights U[xi] gives M[xi]; A' M A are the outputs.
 * That is 36 multiplications per 16 outputs and channel pair instead of 144.
 *
 * The packed weights are four times the size of the kernels. Where that would
 * be much, `compact` weights come as the direct kernel's and a task makes U
 * from them itself, six xi at a time so that they stay in L2: the same bits,
 * for about 2 % more instructions.
 *
 * The tiles of the whole batch form one list (image, tile row, tile column).
 * A task does a range of it, `tb` tiles at a time so that V and M stay in
 * cache, for a chunk of the output blocks. Where a range is done by several
 * tasks (chunks > 1) they share the statistics slot of the range.
 *
 * Three kernels come of it: products of floats, of bfloat16 numbers (UN_BWINO43)
 * and of 8-bit integers (UN_QWINO43). */

#define WINO_A 1.41421356237309504880f  /* a */
#define WINO_A1 0.70710678118654752440f /* 1/a */

/* 6 -> 6, B'. */
UN_INLINE void UN(wino43_bt)(const v16 *r, v16 *o)
{
    const v16 half = v16_set1(0.5f), two = v16_set1(2.0f), two5 = v16_set1(2.5f),
              a = v16_set1(WINO_A);
    const v16 p = v16_fnma(half, r[3], r[1]), q = v16_fnma(two, r[2], r[4]);
    const v16 u = v16_fnma(half, r[1], r[3]), v = v16_fnma(half, r[2], r[4]);
    o[0] = v16_add(r[0], v16_fnma(two5, r[2], r[4]));
    o[1] = v16_fnma(a, p, q);
    o[2] = v16_fma(a, p, q);
    o[3] = v16_fma(a, u, v);
    o[4] = v16_fnma(a, u, v);
    o[5] = v16_add(r[1], v16_fnma(two5, r[3], r[5]));
}

/* 6 -> 4, A'. */
UN_INLINE void UN(wino43_at)(const v16 *m, v16 *y)
{
    const v16 half = v16_set1(0.5f), two = v16_set1(2.0f), a = v16_set1(WINO_A),
              a1 = v16_set1(WINO_A1);
    const v16 s = v16_add(m[1], m[2]), d = v16_mul(a1, v16_sub(m[1], m[2]));
    const v16 t = v16_add(m[3], m[4]), e = v16_mul(a, v16_sub(m[3], m[4]));
    y[0] = v16_add(v16_add(m[0], s), t);
    y[1] = v16_add(d, e);
    y[2] = v16_fma(half, s, v16_add(t, t));
    y[3] = v16_add(v16_fma(half, d, m[5]), v16_mul(two, e));
}

/* 3 -> 6, G. */
UN_INLINE void UN(wino43_g)(const v16 *g, v16 *u)
{
    const v16 s = v16_fma(v16_set1(2.0f), g[0], g[2]), t = v16_fma(v16_set1(2.0f), g[2], g[0]);
    const v16 p = v16_mul(v16_set1(-1.0f / 3), s), q = v16_mul(v16_set1(1.0f / 6), t);
    const v16 c1 = v16_set1(WINO_A / 3), c2 = v16_set1(WINO_A / 6);
    u[0] = g[0];
    u[1] = v16_fnma(c1, g[1], p);
    u[2] = v16_fma(c1, g[1], p);
    u[3] = v16_fma(c2, g[1], q);
    u[4] = v16_fnma(c2, g[1], q);
    u[5] = g[2];
}

/* u[i] of wino43_g. */
UN_INLINE v16 UN(wino43_g1)(const int i, const v16 *g)
{
    if (i == 0 || i == 5)
        return g[i / 5 * 2];
    if (i < 3) {
        const v16 c1 = v16_set1(WINO_A / 3);
        const v16 p = v16_mul(v16_set1(-1.0f / 3), v16_fma(v16_set1(2.0f), g[0], g[2]));
        return i == 1 ? v16_fnma(c1, g[1], p) : v16_fma(c1, g[1], p);
    }
    const v16 c2 = v16_set1(WINO_A / 6);
    const v16 q = v16_mul(v16_set1(1.0f / 6), v16_fma(v16_set1(2.0f), g[2], g[0]));
    return i == 3 ? v16_fma(c2, g[1], q) : v16_fnma(c2, g[1], q);
}

typedef struct {
    int th, tw, tiles;        /* tile rows and columns of an image, all tiles */
    int tb, range, ranges;    /* tiles at a time, per range, number of ranges */
    int chunk, chunks;        /* output blocks per task, tasks per range */
    int64_t v_b, v_xi;        /* floats between blocks and xi of V */
    int64_t m_b, m_xi;        /* and of M */
} un_wino43;

enum { WINO_RING = 8 * 6 * 16 }; /* floats of the input transform's column ring */

static inline int64_t un_imin(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t un_imax(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int un_ceil_div(int a, int b) { return (a + b - 1) / b; }

/* An odd number of cache lines: 36 streams at that distance spread over the
 * sets of an L1 cache instead of sharing a few. */
static inline int64_t un_wino_stride(int64_t vectors) { return (vectors | 1) * 16; }

/* Rough ns for one tile, only to size tasks: products, then transforms. */
static inline int64_t un_wino_cost(int icb, int ocb)
{
    return (int64_t)160 * icb * ocb + 100 * (icb + ocb);
}

/* Blocks of tiles, ranges and chunks, by shape alone. V of a block should stay
 * in L2 (or, of many channels, in L3, where a longer block reuses U more).
 * Tasks should be many but take 80 us at least. A chunk of fewer than 4 output
 * blocks is not worth an input transform of its own, a block of fewer than 8
 * tiles not the reading of U. */
static un_wino43 UN(wino43_plan)(int n, int h, int w, int icb, int ocb)
{
    enum { LEAST = 80000, MOST = 300000, LONGEST = 3000000, TASKS = 64 };
    un_wino43 p;
    p.th = un_ceil_div(h, 4);
    p.tw = un_ceil_div(w, 4);
    p.tiles = n * p.th * p.tw;
    const int64_t tile = un_wino_cost(icb, ocb);
    const int blocks = un_ceil_div(p.tiles, icb <= 8 ? 24 : 48);
    p.tb = un_ceil_div(un_ceil_div(p.tiles, blocks), 8) * 8;
    const int64_t many = un_imax(un_ceil_div(TASKS, blocks), tile * p.tb / LONGEST);
    p.chunks = un_imax(1, un_imin(un_imin(many, ocb / 4), tile * p.tb / LEAST));
    while (p.tb > 8 && un_ceil_div(p.tiles, p.tb) * p.chunks < 8 && tile * p.tb / p.chunks > LEAST)
        p.tb = un_ceil_div(p.tb, 16) * 8;
    p.tb = un_imin(p.tb, p.tiles);
    p.chunk = un_ceil_div(un_ceil_div(ocb, p.chunks), 2) * 2;
    p.chunks = un_ceil_div(ocb, p.chunk);
    p.range = p.tb;
    if (p.chunks == 1) {
        const int64_t block = tile * p.tb;
        const int even = p.tiles / (TASKS * p.tb);
        p.range *= un_imax(1, un_imax(LEAST / block, un_imin(MOST / block, even)));
    }
    p.ranges = un_ceil_div(p.tiles, p.range);
    p.v_b = p.tb * 16;
    p.v_xi = un_wino_stride((int64_t)icb * p.tb);
    p.m_b = p.tb * 16;
    p.m_xi = un_wino_stride(2 * p.tb);
    return p;
}

/* B' d for one column of 6 pixels, of which rows lo..hi-1 are in the image. */
UN_INLINE void
UN(wino43_column)(const float *src, int64_t row, const int lo, const int hi, un_actv act, float *o)
{
    v16 r[6], t[6];
    UN_UNROLL(6)
    for (int i = 0; i < 6; i++) {
        r[i] = i >= lo && i < hi ? un_act_apply(act, v16_load(src + i * row)) : v16_zero();
        __builtin_prefetch(src + i * row + 8 * 16); /* two tiles on */
    }
    UN(wino43_bt)(r, t);
    UN_UNROLL(6)
    for (int i = 0; i < 6; i++)
        v16_store(o + 16 * i, t[i]);
}

/* V of tiles t0..t0+nt-1 for channel blocks b0..b0+nb-1 of a tensor of h*w
 * pixels. A tile shares two of its six transformed columns with its left
 * neighbour, so columns go into a ring of eight. v is of float, of un_b, or of
 * un_q: then values are multiplied by scale [36][scale_xi]. */
enum { WINO_FLOAT, WINO_BFLOAT, WINO_INT8 };
UN_INLINE void UN(wino43_input_to)(const int kind, const float *src, int64_t image, const struct un_act *act,
                                   int h, int w, const un_wino43 *p, int t0, int nt, int b0, int nb,
                                   void *v, const float *scale, int64_t scale_xi, float *ring)
{
    const int64_t row = (int64_t)w * 16;
    for (int b = 0; b < nb; b++) {
        int64_t at = b * p->v_b;
        int tx = t0 % p->tw, ty = t0 / p->tw % p->th, i = t0 / (p->tw * p->th), fresh = 1;
        un_actv av = un_act_load(act, i, b0 + b);
        for (int t = 0; t < nt; t++, at += 16) {
            const int y0 = 4 * ty - 1, x0 = 4 * tx - 1;
            const float *s = src + i * image + ((int64_t)(b0 + b) * h + y0) * row + (int64_t)x0 * 16;
            const int lo = y0 < 0, hi = un_imin(6, h - y0);
            for (int j = fresh ? 0 : 2; j < 6; j++) {
                float *col = ring + (4 * tx + j) % 8 * 96;
                if (x0 + j < 0 || x0 + j >= w)
                    for (int k = 0; k < 6; k++)
                        v16_store(col + 16 * k, v16_zero());
                else if (lo == 0 && hi == 6)
                    UN(wino43_column)(s + 16 * j, row, 0, 6, av, col);
                else
                    UN(wino43_column)(s + 16 * j, row, lo, hi, av, col);
            }
            const float *left = ring + tx % 2 * 384, *right = ring + (tx + 1) % 2 * 384;
            for (int k = 0; k < 6; k++) {
                v16 r[6], o[6];
                UN_UNROLL(4)
                for (int j = 0; j < 4; j++)
                    r[j] = v16_load(left + 96 * j + 16 * k);
                r[4] = v16_load(right + 16 * k);
                r[5] = v16_load(right + 96 + 16 * k);
                UN(wino43_bt)(r, o);
                UN_UNROLL(6)
                for (int j = 0; j < 6; j++) {
                    const int xi = 6 * k + j;
                    const int64_t to = at + xi * p->v_xi;
                    if (kind == WINO_INT8)
                        UN(quantise)((un_q *)v + to, o[j], scale + xi * scale_xi + 16 * b);
                    else if (kind == WINO_BFLOAT)
                        un_b_store((un_b *)v + to, o[j]);
                    else
                        v16_store((float *)v + to, o[j]);
                }
            }
            fresh = 0;
            if (++tx == p->tw) {
                tx = 0, fresh = 1;
                if (++ty == p->th) {
                    ty = 0, i++;
                    if (act->image && t + 1 < nt)
                        av = un_act_load(act, i, b0 + b);
                }
            }
        }
    }
}

static void UN(wino43_input)(const float *src, int64_t image, const struct un_act *act,
                             int h, int w, const un_wino43 *p, int t0, int nt, int b0, int nb,
                             float *v, float *ring)
{
    UN(wino43_input_to)(WINO_FLOAT, src, image, act, h, w, p, t0, nt, b0, nb, v, NULL, 0, ring);
}

/* What the epilogue does with one tile of block b; vy*vx of its 4x4 outputs y
 * are in the image. sum = { k, sum, sum of squares } or { -, sum dz, sum
 * dz*(y-mean) }. */
UN_INLINE void
UN(wino43_emit)(const struct un_conv3x3 *a, v16 *y, const int vy, const int vx,
                int i, int b, int y0, int x0, un_actv gate, v16 mean, v16 *sum)
{
    const int64_t row = (int64_t)a->w * 16;
    const int64_t at = ((int64_t)b * a->h + y0) * row + (int64_t)x0 * 16;
    float *dst = a->dst + i * a->dst_image + at;
    if (a->shortcut.src) { /* which dst holds */
        const v16 floor = v16_set1(a->relu ? 0.0f : -3.402823466e38f);
        UN_UNROLL(4)
        for (int r = 0; r < vy; r++)
            UN_UNROLL(4)
            for (int c = 0; c < vx; c++)
                y[4 * r + c] = v16_max(v16_add(y[4 * r + c], v16_load(dst + r * row + 16 * c)), floor);
    }
    UN_UNROLL(4)
    for (int r = 0; r < vy; r++)
        UN_UNROLL(4)
        for (int c = 0; c < vx; c++) {
            v16_store(dst + r * row + 16 * c, y[4 * r + c]);
            __builtin_prefetch(dst + r * row + 16 * (c + 8), 1); /* two tiles on */
        }
    if (a->stats)
        UN_UNROLL(4)
        for (int r = 0; r < vy; r++) {
            v16 s = v16_zero(), q = v16_zero(); /* short chains of additions */
            UN_UNROLL(4)
            for (int c = 0; c < vx; c++) {
                const v16 d = v16_sub(y[4 * r + c], sum[0]);
                s = v16_add(s, d);
                q = v16_fma(d, d, q);
            }
            sum[1] = v16_add(sum[1], s);
            sum[2] = v16_add(sum[2], q);
        }
    if (a->gate_y) {
        const float *gy = a->gate_y + i * a->gate_image + at;
        UN_UNROLL(4)
        for (int r = 0; r < vy; r++)
            UN_UNROLL(4)
            for (int c = 0; c < vx; c++) {
                const v16 g = v16_load(gy + r * row + 16 * c);
                __builtin_prefetch(gy + r * row + 16 * (c + 8));
                const v16 dz = v16_select_gt(un_act_apply(gate, g), gate.lo, y[4 * r + c], v16_zero());
                sum[1] = v16_add(sum[1], dz);
                sum[2] = v16_fma(dz, v16_sub(g, mean), sum[2]);
            }
    }
    if (a->pool) {
        const int h2 = a->h / 2, w2 = a->w / 2;
        float *pool = a->pool + i * a->pool_image
                    + (((int64_t)b * h2 + y0 / 2) * w2 + x0 / 2) * 16;
        UN_UNROLL(2)
        for (int r = 0; r < vy / 2; r++)
            UN_UNROLL(2)
            for (int c = 0; c < vx / 2; c++) {
                const v16 *q = y + 8 * r + 2 * c;
                v16_store(pool + ((int64_t)r * w2 + c) * 16,
                          v16_max(v16_max(q[0], q[1]), v16_max(q[4], q[5])));
            }
    }
}

/* Output transform and epilogue of block b for tiles t0..t0+nt-1; m is M of
 * that block. Unless scale [36][ocb*16] is NULL, it holds integers to be
 * multiplied by it. */
UN_INLINE void UN(wino43_output_of)(const struct un_conv3x3 *a, const un_wino43 *p, int range,
                                    int t0, int nt, int b, const float *m, const float *scale)
{
    const v16 bias = a->bias ? v16_load(a->bias + 16 * b) : v16_zero();
    const v16 floor = a->relu && !a->shortcut.src ? v16_zero() : v16_set1(-3.402823466e38f);
    un_actv gate = { v16_zero(), v16_zero(), v16_zero() };
    v16 mean = v16_zero(), sum[3] = { v16_zero(), v16_zero(), v16_zero() };
    float *save = NULL; /* where sum lives between the blocks of a range */
    int nsave = 0, start = t0 == range * p->range;
    if (a->stats) {
        nsave = 3;
        save = a->stats + ((int64_t)range * 3 * a->ocb + b) * 16;
    } else if (a->gate_y) {
        nsave = 2;
        save = a->sums + ((int64_t)range * 2 * a->ocb + b) * 16;
        gate = un_act_load(&a->gate, 0, b);
        mean = v16_load(a->gate_mean + 16 * b);
    }
    if (!start)
        for (int k = 0; k < nsave; k++)
            sum[3 - nsave + k] = v16_load(save + (int64_t)k * a->ocb * 16);

    int tx = t0 % p->tw, ty = t0 / p->tw % p->th, i = t0 / (p->tw * p->th);
    for (int t = 0; t < nt; t++, m += 16) {
        v16 z[24], y[16];
        UN_UNROLL(6)
        for (int j = 0; j < 6; j++) {
            v16 r[6], o[4];
            UN_UNROLL(6)
            for (int k = 0; k < 6; k++) {
                const float *mk = m + (6 * k + j) * p->m_xi;
                r[k] = !scale ? v16_load(mk)
                     : v16_mul(v16_from_int(v16i_load((const int32_t *)mk)),
                               v16_load(scale + ((6 * k + j) * (int64_t)a->ocb + b) * 16));
            }
            UN(wino43_at)(r, o);
            UN_UNROLL(4)
            for (int k = 0; k < 4; k++)
                z[6 * k + j] = o[k];
        }
        UN_UNROLL(4)
        for (int k = 0; k < 4; k++) {
            UN(wino43_at)(z + 6 * k, y + 4 * k);
            UN_UNROLL(4)
            for (int c = 0; c < 4; c++)
                y[4 * k + c] = v16_max(v16_add(y[4 * k + c], bias), floor);
        }
        if (start)
            sum[0] = y[0], start = 0;
        const int vy = un_imin(4, a->h - 4 * ty), vx = un_imin(4, a->w - 4 * tx);
        if (vy == 4 && vx == 4) {
            UN(wino43_emit)(a, y, 4, 4, i, b, 4 * ty, 4 * tx, gate, mean, sum);
        } else {
            v16 edge[16]; /* indexed at run time, which y must not be to stay in registers */
            for (int k = 0; k < 16; k++)
                edge[k] = y[k];
            UN(wino43_emit)(a, edge, vy, vx, i, b, 4 * ty, 4 * tx, gate, mean, sum);
        }
        if (++tx == p->tw) {
            tx = 0;
            if (++ty == p->th)
                ty = 0, i++;
        }
    }
    for (int k = 0; k < nsave; k++)
        v16_store(save + (int64_t)k * a->ocb * 16, sum[3 - nsave + k]);
}

static void UN(wino43_output)(const struct un_conv3x3 *a, const un_wino43 *p, int range,
                              int t0, int nt, int b, const float *m)
{
    UN(wino43_output_of)(a, p, range, t0, nt, b, m, NULL);
}

/* U[6*i..6*i+5] of output blocks o..o+cols-1 from compact weights, as
 * [6][input channel][cols][16]. */
UN_INLINE void UN(wino43_weights)(const int i, const struct un_conv3x3 *a, int o, int cols, float *u)
{
    const int64_t xi = (int64_t)a->icb * 256 * cols;
    for (int k = 0; k < cols; k++) {
        const int first = (o + k) / V16_COLS * V16_COLS; /* of the group, see conv3x3_tmpl.h */
        const int64_t next = 16 * un_imin(V16_COLS, a->ocb - first), tap = 16 * next;
        const float *g = a->weight + (int64_t)first * a->icb * 9 * 256 + (o + k - first) * 16;
        float *d = u + k * 16;
        for (int b = 0; b < a->icb; b++, g += 8 * tap)
            for (int c = 0; c < 16; c++, g += next, d += cols * 16) {
                v16 z[3], row[6];
                UN_UNROLL(3)
                for (int j = 0; j < 3; j++) {
                    const v16 r[3] = { v16_load(g + j * tap), v16_load(g + (3 + j) * tap),
                                       v16_load(g + (6 + j) * tap) };
                    z[j] = UN(wino43_g1)(i, r);
                }
                UN(wino43_g)(z, row);
                UN_UNROLL(6)
                for (int j = 0; j < 6; j++)
                    v16_store(d + j * xi, row[j]);
            }
    }
}

/* Pixels of tiles t0..t1-1. */
static int32_t UN(wino43_pixels)(const un_wino43 *p, int h, int w, int t0, int t1)
{
    int32_t count = 0;
    for (int t = t0; t < t1; t++)
        count += un_imin(4, h - t / p->tw % p->th * 4) * un_imin(4, w - t % p->tw * 4);
    return count;
}

static int32_t UN(wino43_tasks)(const void *args)
{
    const struct un_conv3x3 *a = args;
    const un_wino43 p = UN(wino43_plan)(a->n, a->h, a->w, a->icb, a->ocb);
    return p.ranges * p.chunks;
}

/* Floats of V between xi: a value of it is a float, a part of B_GROUP of one, or
 * takes at most 2 bytes. */
UN_INLINE int64_t UN(wino43_v_xi)(const int kind, const un_wino43 *p)
{
    return p->v_xi / (kind == WINO_BFLOAT ? B_GROUP : kind == WINO_INT8 ? 2 : 1);
}

/* Scratch memory: M, the ring, V, and U where the weights are compact. */
UN_INLINE int64_t UN(wino43_room)(const int kind, const struct un_conv3x3 *a)
{
    const un_wino43 p = UN(wino43_plan)(a->n, a->h, a->w, a->icb, a->ocb);
    const int64_t u = kind == WINO_FLOAT && a->compact ? (int64_t)6 * a->icb * 256 * un_imin(2, a->ocb) : 0;
    return 36 * (UN(wino43_v_xi)(kind, &p) + p.m_xi) + WINO_RING + u;
}

/* M = V U of nt tiles for `cols` output blocks from o on. q: with WINO_INT8. */
UN_INLINE void UN(wino43_products)(const int kind, const struct un_conv3x3 *a, const struct un_qwino43 *q,
                                   const un_wino43 *p, int nt, int o, int cols, const float *v, float *fresh, float *m)
{
    const int group = kind == WINO_BFLOAT ? B_GROUP : 1;
    if (kind == WINO_INT8) {
        const int64_t matrix = (int64_t)a->icb * 256;
        const struct UN(qgemm_dims) g = {
            .a_outer = p->v_b, .b_col = 36 * matrix, .offset_col = 36 * 16, .c_col = p->m_b, .outer = a->icb,
        };
        for (int xi = 0; xi < 36; xi++) {
            const int64_t at = (int64_t)o * 36 + xi; /* matrix */
            UN(qgemm)(&g, nt, cols, (const un_q *)v + xi * p->v_xi, (const un_qweight *)q->packed + at * matrix,
                      q->offset + at * 16, (int32_t *)m + xi * p->m_xi);
        }
        return;
    }
    const struct UN(gemm_dims) g = {
        .a_outer = p->v_b / group, .bk = 16 * cols, .bo = 16, .co = p->m_b,
        .outer = a->icb, .inner = 16 / group,
    };
    const int64_t matrix = (int64_t)a->icb * 256 / group * cols, v_xi = UN(wino43_v_xi)(kind, p);
    for (int i = 0; i < 6; i++) {
        const float *u = fresh;
        if (kind == WINO_BFLOAT || !a->compact)
            u = a->weight + (int64_t)o * 36 * a->icb * 256 / group + 6 * i * matrix;
        else
            switch (i) { /* each with its own instructions */
            case 0: UN(wino43_weights)(0, a, o, cols, fresh); break;
            case 1: UN(wino43_weights)(1, a, o, cols, fresh); break;
            case 2: UN(wino43_weights)(2, a, o, cols, fresh); break;
            case 3: UN(wino43_weights)(3, a, o, cols, fresh); break;
            case 4: UN(wino43_weights)(4, a, o, cols, fresh); break;
            case 5: UN(wino43_weights)(5, a, o, cols, fresh); break;
            }
        for (int j = 0; j < 6; j++)
            (kind == WINO_BFLOAT ? UN(gemm16_b) : UN(gemm16))(&g, nt, cols, v + (6 * i + j) * v_xi, u + j * matrix,
                                                              m + (6 * i + j) * p->m_xi);
    }
}

/* The shortcut of tiles t0..t0+nt-1, which lie in rows of 4 pixels height. */
static void UN(wino43_shortcut)(const struct un_conv3x3 *a, const un_wino43 *p, int t0, int nt, int b, int cols)
{
    for (int t = t0, n; t < t0 + nt; t += n) {
        const int tx = t % p->tw, y0 = t / p->tw % p->th * 4, i = t / (p->tw * p->th);
        n = un_imin(p->tw - tx, t0 + nt - t);
        const int np = un_imin(4 * n, a->w - 4 * tx), rows = un_imin(4, a->h - y0);
        for (int y = y0; y < y0 + rows; y++)
            UN(shortcut)(a, i, (int64_t)y * a->w + 4 * tx, np, b, cols);
    }
}

/* Tasks of the three kernels, which differ in what they multiply. */
UN_INLINE void UN(wino43_run)(const int kind, const struct un_conv3x3 *a, const struct un_qwino43 *q,
                              int32_t task0, int32_t task1, float *scratch)
{
    const un_wino43 p = UN(wino43_plan)(a->n, a->h, a->w, a->icb, a->ocb);
    float *m = scratch, *ring = m + 36 * p.m_xi, *v = ring + WINO_RING;
    float *fresh = v + 36 * UN(wino43_v_xi)(kind, &p);
    const float *v_scale = kind == WINO_INT8 ? q->v_scale : NULL;
    int have = -1; /* first tile of the block V holds */
    for (int task = task0; task < task1; task++) {
        const int range = task / p.chunks, chunk = task % p.chunks;
        const int first = range * p.range, last = un_imin(first + p.range, p.tiles);
        const int o0 = chunk * p.chunk, o1 = un_imin(o0 + p.chunk, a->ocb);
        for (int t0 = first; t0 < last; t0 += p.tb) {
            const int nt = un_imin(p.tb, last - t0);
            if (have != t0)
                UN(wino43_input_to)(kind, a->src, a->src_image, &a->act, a->h, a->w, &p, t0, nt, 0, a->icb,
                                    v, v_scale, (int64_t)a->icb * 16, ring);
            have = t0;
            for (int o = o0; o < o1; o += 2) {
                const int cols = un_imin(2, a->ocb - o);
                UN(wino43_products)(kind, a, q, &p, nt, o, cols, v, fresh, m);
                if (a->shortcut.src)
                    UN(wino43_shortcut)(a, &p, t0, nt, o, cols);
                for (int k = 0; k < cols; k++)
                    if (kind == WINO_INT8)
                        UN(wino43_output_of)(a, &p, range, t0, nt, o + k, m + k * p.m_b, q->m_scale);
                    else
                        UN(wino43_output)(a, &p, range, t0, nt, o + k, m + k * p.m_b);
            }
        }
        if (a->counts && chunk == 0)
            a->counts[range] = UN(wino43_pixels)(&p, a->h, a->w, first, last);
        if (task >= p.ranges) { /* a slot without a range of its own */
            if (a->counts)
                a->counts[task] = 0;
            float *slot = a->stats ? a->stats : a->gate_y ? a->sums : NULL;
            const int64_t size = (int64_t)(a->stats ? 3 : 2) * a->ocb * 16;
            for (int64_t k = 0; slot && k < size; k += 16)
                v16_store(slot + task * size + k, v16_zero());
        }
    }
}

static int64_t UN(wino43_scratch)(const void *args) { return UN(wino43_room)(WINO_FLOAT, args); }
static int64_t UN(bwino43_scratch)(const void *args) { return UN(wino43_room)(WINO_BFLOAT, args); }
static int64_t UN(qwino43_scratch)(const void *args)
{
    return UN(wino43_room)(WINO_INT8, &((const struct un_qwino43 *)args)->conv);
}

static void UN(wino43)(const void *args, int32_t task0, int32_t task1, float *scratch)
{
    UN(wino43_run)(WINO_FLOAT, args, NULL, task0, task1, scratch);
}

static void UN(bwino43)(const void *args, int32_t task0, int32_t task1, float *scratch)
{
    UN(wino43_run)(WINO_BFLOAT, args, NULL, task0, task1, scratch);
}

static void UN(qwino43)(const void *args, int32_t task0, int32_t task1, float *scratch)
{
    const struct un_qwino43 *q = args;
    UN(wino43_run)(WINO_INT8, &q->conv, q, task0, task1, scratch);
}

/* Packed U: pairs of output blocks (the last may be single), each
 * [36][input channel][1 or 2][16]; of bfloat16 [36][groups of input
 * channels][1 or 2][16][group]. A task is one input block of one pair. */
static int32_t UN(pack_wino43_tasks)(const void *args)
{
    const struct un_pack *a = args;
    const int icb = un_ceil_div(a->flip ? a->oc : a->ic, 16);
    const int ocb = un_ceil_div(a->flip ? a->ic : a->oc, 16);
    return icb * un_ceil_div(ocb, 2);
}

UN_INLINE void UN(pack_wino43_as)(const int bf, const void *args, int32_t t0, int32_t t1)
{
    const int group = bf ? B_GROUP : 1;
    const struct un_pack *a = args;
    const int ni = a->flip ? a->oc : a->ic, no = a->flip ? a->ic : a->oc;
    const int icb = un_ceil_div(ni, 16), ocb = un_ceil_div(no, 16);
    for (int t = t0; t < t1; t++) {
        const int o = t / icb * 2, b = t % icb, cols = un_imin(2, ocb - o);
        const int64_t matrix = (int64_t)icb * 256 / group, xi = matrix * cols;
        float *dst = a->dst + 36 * o * matrix + (int64_t)b * 256 * cols / group;
        for (int k = 0; k < cols; k++) {
            /* Kernels as [c][tap][l], gathered in the order of src. */
            _Alignas(64) float g[16][9][16];
            const int o0 = 16 * (o + k), i0 = 16 * b;
            const int outs = (int)un_imin(16, no - o0), ins = (int)un_imin(16, ni - i0);
            if (outs < 16 || ins < 16)
                memset(g, 0, sizeof g);
            if (a->flip)
                for (int c = 0; c < ins; c++) {
                    const float *s = a->src + ((int64_t)(i0 + c) * a->ic + o0) * 9;
                    for (int l = 0; l < outs; l++, s += 9)
                        for (int j = 0; j < 9; j++)
                            g[c][8 - j][l] = s[j];
                }
            else
                for (int l = 0; l < outs; l++) {
                    const float *s = a->src + ((int64_t)(o0 + l) * a->ic + i0) * 9;
                    const float f = a->scale ? a->scale[o0 + l] : 1.0f;
                    for (int c = 0; c < ins; c++, s += 9)
                        for (int j = 0; j < 9; j++)
                            g[c][j][l] = s[j] * f;
                }
            for (int c = 0; c < 16; c++) {
                v16 z[3][6];
                for (int j = 0; j < 3; j++) { /* columns, then rows */
                    const v16 r[3] = { v16_load(g[c][j]), v16_load(g[c][3 + j]), v16_load(g[c][6 + j]) };
                    UN(wino43_g)(r, z[j]);
                }
                for (int i = 0; i < 6; i++) {
                    const v16 r[3] = { z[0][i], z[1][i], z[2][i] };
                    v16 u[6];
                    UN(wino43_g)(r, u);
                    for (int j = 0; j < 6; j++) {
                        float *to = dst + (6 * i + j) * xi + (c / group * cols + k) * 16;
                        if (bf)
                            un_bweight_store(to, u[j], c);
                        else
                            v16_store(to, u[j]);
                    }
                }
            }
        }
    }
}

static void UN(pack_wino43)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    UN(pack_wino43_as)(0, args, t0, t1);
}

static void UN(pack_bwino43)(const void *args, int32_t t0, int32_t t1, float *scratch)
{
    (void)scratch;
    UN(pack_wino43_as)(1, args, t0, t1);
}
