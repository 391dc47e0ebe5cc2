/* kernels_test.c - runs every kernel of every instruction set this CPU has on
 * random shapes and compares with plain loops. Buffers end (or begin) at a
 * page that faults when touched, outputs start as NaN, tasks run one by one in
 * random order. Usage: kernels_test [cases [seed]]; prints the seed. */
#define _DEFAULT_SOURCE
#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#include "kernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef _WIN32
#include <windows.h>
#undef near /* a word of 16-bit Windows */
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

static uint64_t rng_state;
static uint32_t rnd(uint32_t n) /* 0..n-1, splitmix64 */
{
    uint64_t z = rng_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 32) % n;
}
/* Multiples of 1/64: exact under act, with frequent ties. */
static float coarse(void) { return ((int)rnd(257) - 128) / 64.0f; }

static const char *isa_name, *op_name;
static enum un_isa isa; /* under test */
static int failures;

#define FAIL(...) (failures++, printf("%s %s: ", isa_name, op_name), printf(__VA_ARGS__), printf("\n"))

/* Whole pages: of their size, new ones or NULL, some that fault from now on, and back
 * to the system. */
#ifdef _WIN32
static size_t page_size(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwPageSize;
}
static void *pages(size_t size) { return VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }
static int forbid(void *p, size_t size)
{
    DWORD before;
    return VirtualProtect(p, size, PAGE_NOACCESS, &before) != 0;
}
static void give_back(void *p, size_t size) { (void)size, VirtualFree(p, 0, MEM_RELEASE); }
#else
static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }
static void *pages(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}
static int forbid(void *p, size_t size) { return mprotect(p, size, PROT_NONE) == 0; }
static void give_back(void *p, size_t size) { munmap(p, size); }
#endif

/* Memory between two pages that fault; released by release_all. */
static struct { void *map; size_t size; } maps[256];
static int n_maps;

static void *guarded(size_t bytes, int align)
{
    const size_t page = page_size();
    const size_t body = (bytes + page - 1) / page * page;
    char *p = n_maps < 256 ? pages(body + 2 * page) : NULL;
    if (!p || !forbid(p, page) || !forbid(p + page + body, page)) {
        fprintf(stderr, "no memory for a buffer of %zu bytes between guard pages\n", bytes);
        exit(2);
    }
    maps[n_maps].map = p;
    maps[n_maps++].size = body + 2 * page;
    if (rnd(4) == 0)
        return p + page; /* against the front page */
    return p + page + (body - bytes) / align * align;
}

static void release_all(void)
{
    while (n_maps > 0) {
        n_maps--;
        give_back(maps[n_maps].map, maps[n_maps].size);
    }
}

/* n floats of NaN, on a 64-byte boundary; planar maps need none. */
static float *vectors(int64_t n)
{
    float *p = guarded((size_t)n * 4, 64);
    for (int64_t i = 0; i < n; i++)
        p[i] = NAN;
    return p;
}

static float *planar(int64_t n)
{
    float *p = guarded((size_t)n * 4, 4);
    for (int64_t i = 0; i < n; i++)
        p[i] = coarse();
    return p;
}

/* n coarse values, zeros up to a multiple of 16. */
static float *padded(int n)
{
    float *p = vectors((n + 15) / 16 * 16);
    for (int i = 0; i < (n + 15) / 16 * 16; i++)
        p[i] = i < n ? coarse() : 0;
    return p;
}

/* An NCHW16c tensor with a gap after each image. */
typedef struct { float *p; int n, c, h, w, cb; int64_t image; } tensor;

static float *at(const tensor *t, int i, int c, int y, int x)
{
    return t->p + i * t->image + (((int64_t)(c / 16) * t->h + y) * t->w + x) * 16 + c % 16;
}

static tensor output(int n, int c, int h, int w)
{
    tensor t = { .n = n, .c = c, .h = h, .w = w, .cb = (c + 15) / 16 };
    const int64_t dense = (int64_t)t.cb * h * w * 16;
    t.image = dense + 16 * rnd(20);
    t.p = vectors((n - 1) * t.image + dense);
    return t;
}

#define EACH(t, i, c, y, x) \
    for (int i = 0; i < (t).n; i++) \
        for (int c = 0; c < (t).cb * 16; c++) \
            for (int y = 0; y < (t).h; y++) \
                for (int x = 0; x < (t).w; x++)

static tensor input(int n, int c, int h, int w)
{
    tensor t = output(n, c, h, w);
    EACH(t, i, k, y, x) *at(&t, i, k, y, x) = k < c ? coarse() : 0;
    return t;
}

static struct un_act activation(int c)
{
    struct un_act a = { NULL, NULL, NULL };
    if (rnd(3) == 0)
        return a;
    float *scale = padded(c), *lo = padded(c);
    for (int i = 0; i < c; i++) {
        scale[i] = ldexpf(rnd(2) ? 1 : -1, (int)rnd(3) - 1);
        lo[i] = rnd(8) ? 0 : -3.402823466e38f;
    }
    a.scale = scale;
    a.shift = padded(c);
    a.lo = lo;
    return a;
}

static double pre(const struct un_act *a, int c, double x) { return a->scale ? x * a->scale[c] + a->shift[c] : x; }
static double act(const struct un_act *a, int c, double x)
{
    const double v = pre(a, c, x);
    return a->scale && !(v > a->lo[c]) ? a->lo[c] : v;
}
static int passes(const struct un_act *a, int c, double x) { return !a->scale || pre(a, c, x) > a->lo[c]; }

/* act(t) at a pixel, 0 outside the image. */
static double value(const tensor *t, const struct un_act *a, int i, int c, int y, int x)
{
    return y < 0 || x < 0 || y >= t->h || x >= t->w ? 0 : act(a, c, *at(t, i, c, y, x));
}

static const struct un_act none;

static void near(double got, double want, double bound, const char *what, int i, int c, int y, int x)
{
    if (!(fabs(got - want) <= bound) && failures < 20)
        FAIL("%s[%d][%d][%d][%d] is %.9g, want %.9g, error allowed %.3g", what, i, c, y, x, got, want, bound);
}

/* All tasks of op, one by one in random order. */
static int run(enum un_op op, const void *args, int is_reduce)
{
    const struct un_kernel *k = un_kernel(isa, op);
    const int n = k->tasks(args);
    const int64_t s = is_reduce ? 0 : k->scratch(args);
    int *order = malloc((size_t)n * sizeof *order);
    for (int i = 0; i < n; i++) {
        const int j = (int)rnd((uint32_t)i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    float *scratch = s > 0 ? vectors(s) : NULL;
    for (int i = 0; i < n; i++)
        un_run(k, args, order[i], order[i] + 1, scratch);
    free(order);
    return n;
}

#define EPS 1.1920929e-7

static void size(int *h, int *w, int most)
{
    static const int odd[] = { 1, 1, 2, 3, 5, 7, 8, 11, 13, 16, 17, 19, 23, 37, 67 };
    do {
        *h = odd[rnd(15)];
        *w = odd[rnd(15)];
    } while (*h * *w > most);
}

static int channels(void) { return rnd(3) ? 3 + (int)rnd(65) : 16 * (1 + (int)rnd(4)); }

typedef struct { int n, ic, oc, h, w; } dims;

static dims random_dims(void)
{
    dims d;
    do {
        d = (dims){ 1 + (int)rnd(3), channels(), channels(), 1, 1 };
        size(&d.h, &d.w, 1500);
    } while (d.n * d.ic * d.oc * d.h * d.w > 200000);
    return d;
}

static float *packed(enum un_op op, const float *w, const float *scale, int oc, int ic, int flip)
{
    const int64_t blocks = (int64_t)((oc + 15) / 16) * ((ic + 15) / 16) * 256;
    const int bfloats = isa == UN_AVX512BF16 ? 2 : 1; /* in the place of a float */
    const int64_t n = op == UN_PACK_CONV1X1 ? blocks : op == UN_PACK_CONV3X3 ? 9 * blocks : op == UN_PACK_WINO43 ? 36 * blocks :
                      op == UN_PACK_TCONV ? 4 * blocks : op == UN_PACK_BWINO43 ? 36 * blocks / bfloats :
                      op == UN_PACK_BTCONV ? 4 * blocks / bfloats : (int64_t)(oc + 15) / 16 * 16 * ic * 9;
    struct un_pack a = { .src = w, .scale = scale, .dst = vectors(n), .oc = oc, .ic = ic, .flip = flip };
    run(op, &a, 0);
    return a.dst;
}

/* The sums that batch-norm needs: stats (moments of y) or sums (of the gate). */
static void check_stats(const tensor *y, const float *stats, const int32_t *counts, int tasks)
{
    const int ch = y->cb * 16;
    for (int c = 0; c < y->c; c++) {
        double n = 0, sum = 0, sq = 0, want = 0, want_sq = 0, pixels = (double)y->n * y->h * y->w;
        for (int i = 0; i < y->n; i++)
            for (int p = 0; p < y->h * y->w; p++) {
                const double v = *at(y, i, c, p / y->w, p % y->w);
                want += v;
                want_sq += v * v;
            }
        for (int t = 0; t < tasks; t++) {
            const double k = stats[(3 * t) * ch + c], s = stats[(3 * t + 1) * ch + c], q = stats[(3 * t + 2) * ch + c];
            n += counts[t];
            if (counts[t] == 0)
                continue;
            sum += s + k * counts[t];
            sq += q + 2 * k * s + k * k * counts[t];
        }
        if (n != pixels)
            FAIL("counts add up to %g of %g", n, pixels);
        near(sum, want, 64 * EPS * sqrt(pixels * want_sq) + 1e-30, "stats sum", 0, c, 0, 0);
        near(sq, want_sq, 256 * EPS * want_sq + 1e-30, "stats squares", 0, c, 0, 0);
    }
}

static void check_sums(const tensor *y, const struct un_act *gate, const float *mean, const tensor *da,
                       const float *sums, int tasks)
{
    const int ch = y->cb * 16;
    for (int c = 0; c < y->c; c++) {
        double want = 0, want_y = 0, mag = 0, mag_y = 0, s = 0, q = 0;
        for (int i = 0; i < y->n; i++)
            for (int p = 0; p < y->h * y->w; p++) {
                const double v = *at(y, i, c, p / y->w, p % y->w), d = *at(da, i, c, p / y->w, p % y->w);
                mag += fabs(d);
                mag_y += fabs(d) * (fabs(v) + fabs(mean[c]));
                if (passes(gate, c, v)) {
                    want += d;
                    want_y += d * (v - mean[c]);
                }
            }
        for (int t = 0; t < tasks; t++) {
            s += sums[2 * t * ch + c];
            q += sums[(2 * t + 1) * ch + c];
        }
        near(s, want, 4 * EPS * mag + 1e-30, "sums", 0, c, 0, 0);
        near(q, want_y, 4 * EPS * mag_y + 1e-30, "sums of y", 0, c, 0, 0);
    }
}

/* How much larger the error allowed with bfloat16 is: it comes to 2^-6, four
 * times what rounding to bfloat16 does at most. */
#define BFLOAT 2048

/* dst against the convolution of act(src) with weights w(o, i, k). wino: 0 direct,
 * 1 Winograd, 2 Winograd with products of bfloat16. */
static void check_conv(const tensor *src, const struct un_act *a, const tensor *dst, const float *w, int oc, int ic,
                       int flip, const float *scale, const float *bias, int relu, int wino)
{
    EACH(*dst, i, o, y, x) {
        const float got = *at(dst, i, o, y, x);
        if (o >= dst->c) {
            near(got, 0, 0, "padding", i, o, y, x);
            continue;
        }
        double sum = bias ? bias[o] : 0, mag = 0, sx = 0, sw = 0;
        for (int c = 0; c < src->c; c++)
            for (int k = 0; k < 9; k++) {
                const double v = value(src, a, i, c, y + k / 3 - 1, x + k % 3 - 1);
                const double g = flip ? w[((int64_t)c * ic + o) * 9 + 8 - k] : w[((int64_t)o * ic + c) * 9 + k] * (scale ? scale[o] : 1);
                sum += v * g;
                mag += fabs(v * g);
                sw += g * g;
            }
        if (wino) /* relative to the norm of the 6x6 tile */
            for (int c = 0; c < src->c; c++)
                for (int k = 0; k < 36; k++) {
                    const double v = value(src, a, i, c, y / 4 * 4 + k / 6 - 1, x / 4 * 4 + k % 6 - 1);
                    sx += v * v;
                }
        const double b = bias ? fabs(bias[o]) * sqrt(9.0 * src->c) : 0;
        near(got, relu && sum < 0 ? 0 : sum, EPS * (4 * (mag + b) + (wino == 2 ? BFLOAT : 1) * 64 * sqrt(sx * sw)) + 1e-30, "dst", i, o, y, x);
    }
    (void)oc;
}

static void test_conv(int wino, int flip)
{
    const int compact = wino == 1 && rnd(2);
    const enum un_op op = (enum un_op[]){ UN_CONV3X3, UN_WINO43, UN_BWINO43 }[wino];
    const enum un_op pack = compact ? UN_PACK_CONV3X3 : (enum un_op[]){ UN_PACK_CONV3X3, UN_PACK_WINO43, UN_PACK_BWINO43 }[wino];
    const dims d = random_dims();
    const int from = flip ? d.oc : d.ic, to = flip ? d.ic : d.oc, relu = !flip && rnd(2);
    const tensor src = input(d.n, from, d.h, d.w), dst = output(d.n, to, d.h, d.w);
    tensor pool = { 0 };
    const float *w = planar(9 * d.ic * d.oc), *scale = flip || rnd(2) ? NULL : planar(d.oc);
    const float *bias = flip || rnd(2) ? NULL : padded(d.oc);
    struct un_conv3x3 a = {
        .src = src.p, .act = flip ? none : activation(from), .bias = bias, .dst = dst.p,
        .weight = packed(pack, w, scale, d.oc, d.ic, flip), .src_image = src.image, .dst_image = dst.image,
        .n = d.n, .h = d.h, .w = d.w, .icb = src.cb, .ocb = dst.cb, .relu = relu,
        .compact = compact,
    };
    const int tasks = un_kernel(isa, op)->tasks(&a);
    if (!flip && d.h > 1 && d.w > 1) {
        pool = output(d.n, to, d.h / 2, d.w / 2);
        a.pool = pool.p;
        a.pool_image = pool.image;
    }
    tensor y = { 0 };
    if (flip) {
        y = input(d.n, to, d.h, d.w);
        a.gate_y = y.p;
        a.gate_image = y.image;
        a.gate = activation(to);
        a.gate_mean = padded(to);
        a.sums = vectors((int64_t)tasks * 2 * dst.cb * 16);
    } else if (!relu) {
        a.stats = vectors((int64_t)tasks * 3 * dst.cb * 16);
        a.counts = guarded((size_t)tasks * 4, 4);
    }
    run(op, &a, 0);
    check_conv(&src, &a.act, &dst, w, d.oc, d.ic, flip, scale, bias, relu, wino);
    if (a.stats)
        check_stats(&dst, a.stats, a.counts, tasks);
    if (a.sums)
        check_sums(&y, &a.gate, a.gate_mean, &dst, a.sums, tasks);
    if (a.pool)
        EACH(pool, i, c, py, px) {
            double m = -INFINITY;
            for (int k = 0; k < 4; k++)
                m = fmax(m, *at(&dst, i, c, 2 * py + k / 2, 2 * px + k % 2));
            near(*at(&pool, i, c, py, px), m, 0, "pool", i, c, py, px);
        }
}

/* A planar [n][c][h][w] image as a tensor. */
static tensor from_planar(const float *p, int n, int c, int h, int w)
{
    tensor t = output(n, c, h, w);
    EACH(t, i, k, y, x) *at(&t, i, k, y, x) = k < c ? p[(((int64_t)i * c + k) * h + y) * w + x] : 0;
    return t;
}

/* A convolution without its shortcut, which is another test's, and with it. */
static void test_shortcut(enum un_op op, enum un_op pack)
{
    const dims d = random_dims();
    const tensor src = input(d.n, d.ic, d.h, d.w), plain = output(d.n, d.oc, d.h, d.w), dst = output(d.n, d.oc, d.h, d.w);
    const float *w = planar(9 * d.ic * d.oc);
    struct un_conv3x3 a = {
        .src = src.p, .dst = plain.p, .weight = packed(pack, w, NULL, d.oc, d.ic, 0), .src_image = src.image,
        .dst_image = plain.image, .n = d.n, .h = d.h, .w = d.w, .icb = src.cb, .ocb = dst.cb,
    };
    run(op, &a, 0);
    const int planes = rnd(2) ? 1 + (int)rnd(4) : 0, c = planes ? planes : channels();
    const float *p = planar((int64_t)d.n * c * d.h * d.w), *sw = planar(c * d.oc);
    const tensor other = from_planar(p, d.n, c, d.h, d.w);
    a.shortcut = (struct un_shortcut){
        .src = planes ? p : other.p, .weight = packed(UN_PACK_CONV1X1, sw, NULL, d.oc, c, 0),
        .image = planes ? (int64_t)c * d.h * d.w : other.image, .icb = other.cb, .planes = planes,
    };
    a.dst = dst.p;
    a.dst_image = dst.image;
    a.relu = 1;
    run(op, &a, 0);
    EACH(dst, i, o, y, x) {
        double sum = *at(&plain, i, o, y, x), mag = fabs(sum) + 1;
        for (int k = 0; k < c && o < d.oc; k++) {
            const double v = (double)*at(&other, i, k, y, x) * sw[(int64_t)o * c + k];
            sum += v;
            mag += fabs(v);
        }
        near(*at(&dst, i, o, y, x), sum < 0 ? 0 : sum, 64 * EPS * mag, "with shortcut", i, o, y, x);
    }
}

static void test_conv3x3(void) { test_conv(0, 0); test_conv(0, 1); test_shortcut(UN_CONV3X3, UN_PACK_CONV3X3); }
static void test_wino43(void) { test_conv(1, 0); test_conv(1, 1); test_shortcut(UN_WINO43, UN_PACK_WINO43); }
static void test_bwino43(void) { test_conv(2, 0); test_shortcut(UN_BWINO43, UN_PACK_BWINO43); }

static void test_first(void)
{
    dims d = random_dims();
    d.ic = 1 + (int)rnd(4);
    const float *x = planar((int64_t)d.n * d.ic * d.h * d.w), *w = planar(9 * d.ic * d.oc);
    const float *bias = rnd(2) ? NULL : padded(d.oc), *scale = rnd(2) ? NULL : planar(d.oc);
    const tensor src = from_planar(x, d.n, d.ic, d.h, d.w), dst = output(d.n, d.oc, d.h, d.w);
    struct un_first a = {
        .src = x, .weight = packed(UN_PACK_FIRST, w, scale, d.oc, d.ic, 0), .bias = bias, .dst = dst.p,
        .dst_image = dst.image, .n = d.n, .ic = d.ic, .h = d.h, .w = d.w, .ocb = dst.cb,
    };
    const int tasks = un_kernel(isa, UN_FIRST)->tasks(&a);
    a.stats = vectors((int64_t)tasks * 3 * dst.cb * 16);
    a.counts = guarded((size_t)tasks * 4, 4);
    run(UN_FIRST, &a, 0);
    check_conv(&src, &none, &dst, w, d.oc, d.ic, 0, scale, bias, 0, 0);
    check_stats(&dst, a.stats, a.counts, tasks);
}

static void wgrad(enum un_op op, enum un_op reduce)
{
    dims d = random_dims();
    if (op == UN_WGRAD_FIRST)
        d.ic = 1 + (int)rnd(4);
    float *x = op == UN_WGRAD_FIRST ? planar((int64_t)d.n * d.ic * d.h * d.w) : NULL;
    const tensor src = x ? from_planar(x, d.n, d.ic, d.h, d.w) : input(d.n, d.ic, d.h, d.w);
    const tensor dy = input(d.n, d.oc, d.h, d.w);
    struct un_wgrad3x3 a = {
        .src = x ? x : src.p, .act = x ? none : activation(d.ic), .dy = dy.p, .dw = planar((int64_t)d.oc * d.ic * 9),
        .src_image = src.image, .dy_image = dy.image, .n = d.n, .h = d.h, .w = d.w, .ic = d.ic, .oc = d.oc,
    };
    a.partial = vectors(un_kernel(isa, reduce)->scratch(&a));
    run(op, &a, 0);
    run(reduce, &a, 1);
    for (int o = 0; o < d.oc; o++)
        for (int c = 0; c < d.ic; c++)
            for (int k = 0; k < 9; k++) {
                double sum = 0, mag = 0, sx = 0, sy = 0;
                for (int i = 0; i < d.n; i++)
                    for (int p = 0; p < d.h * d.w; p++) {
                        const int py = p / d.w, px = p % d.w;
                        const double v = value(&src, &a.act, i, c, py + k / 3 - 1, px + k % 3 - 1);
                        const double g = *at(&dy, i, o, py, px), v0 = value(&src, &a.act, i, c, py, px);
                        sum += v * g;
                        mag += fabs(v * g);
                        sx += v0 * v0;
                        sy += g * g;
                    }
                const double bound = op == UN_WGRAD_WINO43 ? 64 * sqrt(sx * sy) : 4 * mag;
                near(a.dw[(o * d.ic + c) * 9 + k], sum, EPS * bound + 1e-30, "dw", o, c, k / 3, k % 3);
            }
}

static void test_wgrad3x3(void) { wgrad(UN_WGRAD3X3, UN_WGRAD3X3_REDUCE); }
static void test_wgrad_wino43(void) { wgrad(UN_WGRAD_WINO43, UN_WGRAD_WINO43_REDUCE); }
static void test_wgrad_first(void) { wgrad(UN_WGRAD_FIRST, UN_WGRAD_FIRST_REDUCE); }

static void tconv(enum un_op op, enum un_op pack, double precision)
{
    const dims d = random_dims();
    const tensor src = input(d.n, d.ic, d.h, d.w), dst = output(d.n, d.oc, 2 * d.h, 2 * d.w);
    const float *w = planar(4 * d.ic * d.oc), *bias = rnd(2) ? NULL : padded(d.oc), *scale = rnd(2) ? NULL : planar(d.oc);
    struct un_tconv a = {
        .src = src.p, .act = activation(d.ic), .weight = packed(pack, w, scale, d.oc, d.ic, 0), .bias = bias,
        .dst = dst.p, .src_image = src.image, .dst_image = dst.image, .n = d.n, .h = d.h, .w = d.w, .icb = src.cb, .ocb = dst.cb,
    };
    run(op, &a, 0);
    EACH(dst, i, o, y, x) {
        double sum = bias ? bias[o] : 0, mag = fabs(sum) * sqrt(d.ic);
        for (int c = 0; c < d.ic && o < d.oc; c++) {
            const double t = value(&src, &a.act, i, c, y / 2, x / 2) * w[(c * d.oc + o) * 4 + y % 2 * 2 + x % 2] * (scale ? scale[o] : 1);
            sum += t;
            mag += fabs(t);
        }
        near(*at(&dst, i, o, y, x), sum, precision * mag, "dst", i, o, y, x);
    }
}

static void test_tconv(void) { tconv(UN_TCONV, UN_PACK_TCONV, 4 * EPS); }
static void test_btconv(void) { tconv(UN_BTCONV, UN_PACK_BTCONV, 1.01 / 128); } /* both factors are off by 2^-8 at most */

static void test_tconv_dgrad(void)
{
    const dims d = random_dims();
    const tensor dy = input(d.n, d.oc, 2 * d.h, 2 * d.w), dx = output(d.n, d.ic, d.h, d.w);
    const float *w = planar(4 * d.ic * d.oc);
    struct un_tconv a = {
        .src = dy.p, .weight = packed(UN_PACK_TCONV, w, NULL, d.oc, d.ic, 1), .dst = dx.p,
        .src_image = dy.image, .dst_image = dx.image, .n = d.n, .h = d.h, .w = d.w, .icb = dx.cb, .ocb = dy.cb,
    };
    run(UN_TCONV_DGRAD, &a, 0);
    EACH(dx, i, c, y, x) {
        double sum = 0, mag = 0;
        for (int o = 0; o < d.oc && c < d.ic; o++)
            for (int k = 0; k < 4; k++) {
                const double t = (double)w[(c * d.oc + o) * 4 + k] * *at(&dy, i, o, 2 * y + k / 2, 2 * x + k % 2);
                sum += t;
                mag += fabs(t);
            }
        near(*at(&dx, i, c, y, x), sum, 4 * EPS * mag, "dsrc", i, c, y, x);
    }
}

static void test_tconv_wgrad(void)
{
    const dims d = random_dims();
    const tensor src = input(d.n, d.ic, d.h, d.w), dy = input(d.n, d.oc, 2 * d.h, 2 * d.w);
    struct un_tconv_wgrad a = {
        .src = src.p, .act = activation(d.ic), .dy = dy.p, .dw = planar(4 * d.ic * d.oc), .db = planar(d.oc),
        .src_image = src.image, .dy_image = dy.image, .n = d.n, .h = d.h, .w = d.w, .ic = d.ic, .oc = d.oc,
    };
    a.partial = vectors(un_kernel(isa, UN_TCONV_WGRAD_REDUCE)->scratch(&a));
    run(UN_TCONV_WGRAD, &a, 0);
    run(UN_TCONV_WGRAD_REDUCE, &a, 1);
    for (int o = 0; o < d.oc; o++) {
        double db = 0, db_mag = 0;
        for (int k = 0; k < 4; k++)
            for (int c = 0; c < d.ic; c++) {
                double sum = 0, mag = 0;
                for (int i = 0; i < d.n; i++)
                    for (int p = 0; p < d.h * d.w; p++) {
                        const double g = *at(&dy, i, o, 2 * (p / d.w) + k / 2, 2 * (p % d.w) + k % 2);
                        const double t = value(&src, &a.act, i, c, p / d.w, p % d.w) * g;
                        sum += t;
                        mag += fabs(t);
                        db += c ? 0 : g;
                        db_mag += c ? 0 : fabs(g);
                    }
                near(a.dw[(c * d.oc + o) * 4 + k], sum, 4 * EPS * mag, "dw", c, o, k / 2, k % 2);
            }
        near(a.db[o], db, 4 * EPS * db_mag, "db", 0, o, 0, 0);
    }
}

static void test_pool(void)
{
    dims d = random_dims();
    while (d.h < 2 || d.w < 2)
        size(&d.h, &d.w, 1000);
    const tensor src = input(d.n, d.ic, d.h, d.w), dst = output(d.n, d.ic, d.h / 2, d.w / 2);
    const tensor dd = input(d.n, d.ic, d.h / 2, d.w / 2), ds = input(d.n, d.ic, d.h, d.w);
    tensor want = output(d.n, d.ic, d.h, d.w);
    EACH(ds, i, c, y, x) *at(&want, i, c, y, x) = *at(&ds, i, c, y, x);
    struct un_pool a = {
        .src = src.p, .act = activation(d.ic), .dst = dst.p, .d_dst = dd.p, .d_src = ds.p,
        .src_image = src.image, .dst_image = dst.image, .d_src_image = ds.image, .d_dst_image = dd.image,
        .n = d.n, .h = d.h, .w = d.w, .cb = src.cb,
    };
    run(UN_POOL, &a, 0);
    run(UN_POOL_BWD, &a, 0);
    EACH(dst, i, c, y, x) {
        int best = 0;
        double m = -INFINITY;
        for (int k = 0; k < 4; k++) {
            const double v = value(&src, &a.act, i, c, 2 * y + k / 2, 2 * x + k % 2);
            if (v > m) {
                m = v;
                best = k;
            }
        }
        near(*at(&dst, i, c, y, x), m, 0, "dst", i, c, y, x);
        *at(&want, i, c, 2 * y + best / 2, 2 * x + best % 2) += *at(&dd, i, c, y, x);
    }
    EACH(ds, i, c, y, x) near(*at(&ds, i, c, y, x), *at(&want, i, c, y, x), 0, "dsrc", i, c, y, x);
}

static void test_bn(void)
{
    const dims d = random_dims();
    const tensor y = input(d.n, d.ic, d.h, d.w), da = input(d.n, d.ic, d.h, d.w);
    tensor old = output(d.n, d.ic, d.h, d.w);
    EACH(da, i, c, py, px) *at(&old, i, c, py, px) = *at(&da, i, c, py, px);
    struct un_bn a = {
        .y = y.p, .act = activation(d.ic), .da = da.p, .mean = padded(d.ic), .ca = padded(d.ic), .cy = padded(d.ic),
        .c0 = padded(d.ic), .y_image = y.image, .da_image = da.image, .n = d.n, .h = d.h, .w = d.w, .cb = y.cb,
    };
    const int tasks = un_kernel(isa, UN_BN_STATS)->tasks(&a), tasks2 = un_kernel(isa, UN_BN_SUMS)->tasks(&a);
    a.stats = vectors((int64_t)tasks * 3 * y.cb * 16);
    a.counts = guarded((size_t)tasks * 4, 4);
    a.sums = vectors((int64_t)tasks2 * 2 * y.cb * 16);
    run(UN_BN_STATS, &a, 0);
    check_stats(&y, a.stats, a.counts, tasks);
    run(UN_BN_SUMS, &a, 0);
    check_sums(&y, &a.act, a.mean, &da, a.sums, tasks2);
    run(UN_BN_BWD, &a, 0);
    EACH(da, i, c, py, px) {
        const double v = *at(&y, i, c, py, px), dz = passes(&a.act, c, v) ? *at(&old, i, c, py, px) : 0;
        near(*at(&da, i, c, py, px), a.ca[c] * dz + a.cy[c] * v + a.c0[c],
             2 * EPS * (fabs(a.ca[c] * dz) + fabs(a.cy[c] * v) + fabs(a.c0[c])), "da", i, c, py, px);
    }
}

static void test_head(void)
{
    const dims d = random_dims();
    const int k = 1 + (int)rnd(8), hw = d.h * d.w;
    const tensor src = input(d.n, d.ic, d.h, d.w), ds = output(d.n, d.ic, d.h, d.w);
    float *w = vectors((int64_t)k * src.cb * 16);
    for (int i = 0; i < k * src.cb * 16; i++)
        w[i] = i % (src.cb * 16) < d.ic ? coarse() : 0;
    struct un_head a = {
        .src = src.p, .act = activation(d.ic), .weight = w, .bias = planar(k), .logits = planar((int64_t)d.n * k * hw),
        .d_logits = planar((int64_t)d.n * k * hw), .d_src = ds.p, .src_image = src.image, .d_src_image = ds.image,
        .n = d.n, .h = d.h, .w = d.w, .cb = src.cb, .k = k,
    };
    const int row = src.cb * 16 + 16, tasks = un_kernel(isa, UN_HEAD_BWD)->tasks(&a);
    a.partial = vectors((int64_t)tasks * k * row);
    run(UN_HEAD, &a, 0);
    run(UN_HEAD_BWD, &a, 0);
    for (int o = 0; o < k; o++)
        for (int c = 0; c <= d.ic; c++) { /* weight gradients, then the bias gradient */
            double dw = 0, mag = 0, got = 0;
            for (int i = 0; i < d.n; i++)
                for (int p = 0; p < hw; p++) {
                    const double v = c < d.ic ? value(&src, &a.act, i, c, p / d.w, p % d.w) : 1;
                    dw += v * a.d_logits[(i * k + o) * hw + p];
                    mag += fabs(v * a.d_logits[(i * k + o) * hw + p]);
                }
            for (int t = 0; t < tasks; t++)
                got += a.partial[((int64_t)t * k + o) * row + (c < d.ic ? c : src.cb * 16)];
            near(got, dw, 4 * EPS * mag, "dw", o, c, 0, 0);
        }
    for (int i = 0; i < d.n; i++)
        for (int p = 0; p < hw; p++) {
            for (int o = 0; o < k; o++) {
                double sum = a.bias[o], mag = fabs(sum) * sqrt(d.ic);
                for (int c = 0; c < d.ic; c++) {
                    const double t = value(&src, &a.act, i, c, p / d.w, p % d.w) * w[o * src.cb * 16 + c];
                    sum += t;
                    mag += fabs(t);
                }
                near(a.logits[(i * k + o) * hw + p], sum, 4 * EPS * mag, "logits", i, o, p / d.w, p % d.w);
            }
            for (int c = 0; c < ds.cb * 16; c++) {
                double sum = 0, mag = 0;
                for (int o = 0; o < k; o++) {
                    const double t = (double)w[o * src.cb * 16 + c] * a.d_logits[(i * k + o) * hw + p];
                    sum += t;
                    mag += fabs(t);
                }
                near(*at(&ds, i, c, p / d.w, p % d.w), sum, 4 * EPS * mag, "dsrc", i, c, p / d.w, p % d.w);
            }
        }
}

static void test_loss(void)
{
    static const int sizes[] = { 1, 15, 16, 17, 300, 16384, 16385 };
    const int n = 1 + (int)rnd(3), len = sizes[rnd(7)], stride = len + (int)rnd(9), stride_t = len + (int)rnd(9);
    float *z = planar((int64_t)n * stride), *t = planar((int64_t)n * stride_t), *w = planar((int64_t)n * stride_t);
    for (int i = 0; i < n * stride; i++)
        z[i] *= rnd(2) ? 1 : 20;
    for (int i = 0; i < n * stride_t; i++) {
        t[i] = rnd(3) / 2.0f;
        w[i] = fabsf(w[i]);
    }
    struct un_loss a = {
        .z = z, .t = t, .w = rnd(2) ? w : NULL, .p = planar((int64_t)n * stride), .dz = planar((int64_t)n * stride),
        .size = len, .stride = stride, .stride_t = stride_t, .c_bce = 0.5f, .c_t = -0.25f, .c_1 = 0.125f, .c_l1 = 0.5f,
        .beta = 0.25f, .n = n,
    };
    const int tasks = un_kernel(isa, UN_LOSS_FWD)->tasks(&a);
    a.sums = guarded((size_t)tasks * 64, 8);
    run(UN_LOSS_FWD, &a, 0);
    run(UN_LOSS_BWD, &a, 0);
    double want[8] = { 0 }, got[8] = { 0 };
    for (int i = 0; i < n; i++)
        for (int j = 0; j < len; j++) {
            const double zj = z[i * stride + j], tj = t[i * stride_t + j], wj = a.w ? w[i * stride_t + j] : 1;
            const double p = 1 / (1 + exp(-zj)), d = p - tj;
            const int pb = a.p[i * stride + j] >= 0.5f, tb = tj >= 0.5;
            near(a.p[i * stride + j], p, 4 * EPS * p + 2e-38, "p", i, j, 0, 0);
            /* The gradient is made from the rounded p. */
            const double ps = a.p[i * stride + j], q = ps * (1 - ps), l1 = fmax(-1, fmin(1, (ps - tj) / 0.25));
            near(a.dz[i * stride + j], 0.5 * wj * (ps - tj) + q * (-0.25 * tj + 0.125 + 0.5 * wj * l1),
                 8 * EPS * (wj + q) + 1e-37, "dz", i, j, 0, 0);
            want[0] += wj * (fmax(zj, 0) - zj * tj + log1p(exp(-fabs(zj))));
            want[1] += p * tj;
            want[2] += p;
            want[3] += tj;
            want[4] += pb && tb;
            want[5] += pb && !tb;
            want[6] += !pb && tb;
            want[7] += wj * (fabs(d) < 0.25 ? d * d / 0.5 : fabs(d) - 0.125);
        }
    for (int k = 0; k < 8; k++) {
        for (int j = 0; j < tasks; j++)
            got[k] += a.sums[8 * j + k];
        near(got[k], want[k], k >= 4 && k <= 6 ? 0 : 16 * EPS * want[k] + 1e-30, "sum", k, 0, 0, 0);
    }
}

static void test_adam(void)
{
    const int n = (int[]){ 16, 48, 16384, 16400 }[rnd(4)];
    float *p = padded(n), *g = padded(n), *m = padded(n), *v = padded(n), *ema = padded(n), *old[4];
    for (int i = 0; i < n; i++)
        v[i] = v[i] * v[i] + 0.01f;
    for (int k = 0; k < 4; k++)
        old[k] = memcpy(vectors(n), (float *[]){ p, m, v, ema }[k], (size_t)n * 4);
    struct un_adam a = {
        .p = p, .g = g, .m = m, .v = v, .ema = rnd(2) ? ema : NULL, .size = n, .step = 0.01f, .c1 = 0.1f, .c2 = 0.001f,
        .eps = 1e-8f, .inv_sqrt_bc2 = 2, .decay = 1e-4f, .g_scale = 0.5f, .c_ema = 0.01f,
    };
    const int tasks = un_kernel(isa, UN_SUMSQ)->tasks(&a);
    a.out = guarded((size_t)tasks * 8, 8);
    run(UN_SUMSQ, &a, 0);
    run(UN_ADAM, &a, 0);
    double got = 0, want = 0;
    for (int i = 0; i < tasks; i++)
        got += a.out[i];
    for (int i = 0; i < n; i++) {
        const double gi = 0.5 * g[i], mi = old[1][i] + (double)a.c1 * (gi - old[1][i]);
        const double vi = old[2][i] + (double)a.c2 * (gi * gi - old[2][i]);
        const double pi = old[0][i] - 0.01 * mi / (sqrt(vi) * 2 + 1e-8) - 1e-4 * old[0][i];
        want += (double)g[i] * g[i];
        near(m[i], mi, 2 * EPS * 3, "m", i, 0, 0, 0);
        near(v[i], vi, 4 * EPS * vi, "v", i, 0, 0, 0);
        near(p[i], pi, 4 * EPS * 3, "p", i, 0, 0, 0);
        near(ema[i], a.ema ? old[3][i] + (double)a.c_ema * (pi - old[3][i]) : old[3][i], 4 * EPS * 3, "ema", i, 0, 0, 0);
    }
    near(got, want, 64 * EPS * want, "sum of squares", 0, 0, 0, 0);
}

/* Sums of 8-bit products are integers, so packing and product are checked by
 * an input whose every value, and so every product, is known exactly: scales
 * that make q = round(x) of transposed convolution. */
static void test_qtconv(void)
{
    const int n = 1 + (int)rnd(2), h = 1 + (int)rnd(9), w = 1 + (int)rnd(80), icb = 1 + (int)rnd(4), ocb = 1 + (int)rnd(4);
    const int k = 16 * icb, matrices = 4 * ocb;
    const int64_t hw = (int64_t)h * w;
    int8_t *weight = guarded((size_t)matrices * k * 16, 64);
    for (int i = 0; i < matrices * k * 16; i++)
        weight[i] = (int8_t)((int)rnd(255) - 127);
    struct un_qpack pack = { .src = weight, .dst = guarded((size_t)matrices * k * 32, 64),
                             .offset = guarded((size_t)matrices * 64, 64), .n = matrices, .k = k };
    run(UN_PACK_Q, &pack, 0);
    float *src = vectors((int)(n * hw * k)), *dst = vectors((int)(n * hw * 4 * ocb * 16));
    float *a_scale = vectors(k), *m_scale = vectors(4 * ocb * 16);
    for (int64_t i = 0; i < n * hw * k; i++)
        src[i] = (float)((int)rnd(300) - 150); /* beyond what 8 bits hold */
    for (int i = 0; i < k; i++)
        a_scale[i] = 1;
    for (int i = 0; i < 4 * ocb * 16; i++)
        m_scale[i] = 0.5f;
    struct un_qtconv a = {
        .tconv = { .src = src, .dst = dst, .src_image = hw * k, .dst_image = hw * 4 * ocb * 16,
                   .n = n, .h = h, .w = w, .icb = icb, .ocb = ocb },
        .packed = pack.dst, .offset = pack.offset, .a_scale = a_scale, .m_scale = m_scale,
    };
    run(UN_QTCONV, &a, 0);
    for (int i = 0; i < n; i++)
        for (int o = 0; o < 16 * ocb; o++)
            for (int y = 0; y < 2 * h; y++)
                for (int x = 0; x < 2 * w; x++) {
                    const int tap = y % 2 * 2 + x % 2;
                    double sum = 0;
                    for (int c = 0; c < k; c++) {
                        const float v = src[i * hw * k + ((int64_t)c / 16 * hw + y / 2 * w + x / 2) * 16 + c % 16];
                        const float q = v > 127 ? 127 : v < -127 ? -127 : v;
                        sum += q * weight[((o / 16 * 4 + tap) * k + c) * 16 + o % 16];
                    }
                    near(dst[i * a.tconv.dst_image + ((int64_t)o / 16 * 4 * hw + y * 2 * w + x) * 16 + o % 16], 0.5 * sum, 0,
                         "dst", i, o, y, x);
                }
}

/* The 8-bit Winograd convolution of small integers, with kernels of one weight
 * in the middle, is near a multiplication of channels. */
static void test_qwino43(void)
{
    const int h = 1 + (int)rnd(20), w = 1 + (int)rnd(20), icb = 1 + (int)rnd(2), ocb = 1 + (int)rnd(3), k = 16 * icb, n = 36 * ocb;
    /* G g G' of the middle weight is g*(G e2)(G e2)', G e2 = the middle column. */
    const double s = 1.41421356237309504880, col[6] = { 0, -s / 3, s / 3, s / 6, -s / 6, 0 };
    double *mid = guarded((size_t)k * ocb * 16 * 8, 8);
    for (int i = 0; i < k * ocb * 16; i++)
        mid[i] = ((int)rnd(255) - 127) / 127.0;
    int8_t *weight = guarded((size_t)n * k * 16, 64);
    float *m_scale = vectors(36 * ocb * 16), *v_scale = vectors(36 * k);
    for (int xi = 0; xi < 36; xi++) {
        const double u = col[xi / 6] * col[xi % 6];
        for (int c = 0; c < k; c++)
            v_scale[xi * k + c] = 127.0f / 20;
        for (int o = 0; o < ocb * 16; o++) {
            m_scale[xi * ocb * 16 + o] = (float)(20.0 / 127 * fabs(u) / 127);
            for (int c = 0; c < k; c++)
                weight[((o / 16 * 36 + xi) * k + c) * 16 + o % 16] =
                    (int8_t)lrint(u == 0 ? 0 : mid[c * ocb * 16 + o] * 127 * (u > 0 ? 1 : -1));
        }
    }
    struct un_qpack pack = { .src = weight, .dst = guarded((size_t)n * k * 32, 64),
                             .offset = guarded((size_t)n * 64, 64), .n = n, .k = k };
    run(UN_PACK_Q, &pack, 0);
    const int64_t hw = (int64_t)h * w;
    float *src = vectors((int)(hw * k)), *dst = vectors((int)(hw * ocb * 16));
    for (int64_t i = 0; i < hw * k; i++)
        src[i] = (float)rnd(100) / 100;
    struct un_qwino43 a = {
        .conv = { .src = src, .dst = dst, .src_image = hw * k, .dst_image = hw * ocb * 16,
                  .n = 1, .h = h, .w = w, .icb = icb, .ocb = ocb },
        .packed = pack.dst, .offset = pack.offset, .v_scale = v_scale, .m_scale = m_scale,
    };
    run(UN_QWINO43, &a, 0);
    for (int o = 0; o < 16 * ocb; o++)
        for (int64_t p = 0; p < hw; p++) {
            double sum = 0;
            for (int c = 0; c < k; c++)
                sum += src[((int64_t)c / 16 * hw + p) * 16 + c % 16] * mid[c * ocb * 16 + o];
            near(dst[((int64_t)o / 16 * hw + p) * 16 + o % 16], sum, 0.15 * sqrt(k), "dst", o, (int)(p / w), (int)(p % w), 0);
        }
}

static void test_conv1x1(void)
{
    const dims d = random_dims();
    const tensor src = input(d.n, d.ic, d.h, d.w), dst = output(d.n, d.oc, d.h, d.w);
    const float *w = planar((int64_t)d.oc * d.ic);
    struct un_pack pack = { .src = w, .dst = vectors((int64_t)src.cb * dst.cb * 256), .oc = d.oc, .ic = d.ic };
    run(UN_PACK_CONV1X1, &pack, 0);
    struct un_conv1x1 a = {
        .src = src.p, .act = activation(d.ic), .weight = pack.dst, .bias = padded(d.oc), .dst = dst.p,
        .src_image = src.image, .dst_image = dst.image, .n = d.n, .h = d.h, .w = d.w,
        .icb = src.cb, .ocb = dst.cb, .relu = (int)rnd(2),
    };
    const int tasks = un_kernel(isa, UN_CONV1X1)->tasks(&a);
    a.stats = vectors((int64_t)tasks * 3 * dst.cb * 16);
    a.counts = guarded((size_t)tasks * 4, 4);
    run(UN_CONV1X1, &a, 0);
    EACH(dst, i, o, y, x) {
        double sum = a.bias[o], mag = fabs(sum);
        for (int c = 0; c < d.ic && o < d.oc; c++) {
            const double v = w[o * d.ic + c] * value(&src, &a.act, i, c, y, x);
            sum += v;
            mag += fabs(v);
        }
        near(*at(&dst, i, o, y, x), a.relu && sum < 0 ? 0 : sum, 4 * EPS * mag, "dst", i, o, y, x);
    }
    check_stats(&dst, a.stats, a.counts, tasks);
}

static void test_wgrad1x1(void)
{
    const dims d = random_dims();
    const tensor src = input(d.n, d.ic, d.h, d.w), dy = input(d.n, d.oc, d.h, d.w);
    struct un_wgrad3x3 a = {
        .src = src.p, .act = activation(d.ic), .dy = dy.p, .dw = planar((int64_t)d.oc * d.ic),
        .src_image = src.image, .dy_image = dy.image, .n = d.n, .h = d.h, .w = d.w, .ic = d.ic, .oc = d.oc,
    };
    a.partial = vectors(un_kernel(isa, UN_WGRAD1X1_REDUCE)->scratch(&a));
    run(UN_WGRAD1X1, &a, 0);
    run(UN_WGRAD1X1_REDUCE, &a, 1);
    for (int o = 0; o < d.oc; o++)
        for (int c = 0; c < d.ic; c++) {
            double sum = 0, mag = 0;
            for (int i = 0; i < d.n; i++)
                for (int p = 0; p < d.h * d.w; p++) {
                    const double v = value(&src, &a.act, i, c, p / d.w, p % d.w) * *at(&dy, i, o, p / d.w, p % d.w);
                    sum += v;
                    mag += fabs(v);
                }
            near(a.dw[o * d.ic + c], sum, 4 * EPS * mag, "dw", o, c, 0, 0);
        }
}

static void test_add(void)
{
    const dims d = random_dims();
    const tensor x = input(d.n, d.ic, d.h, d.w), dst = output(d.n, d.ic, d.h, d.w), dd = input(d.n, d.ic, d.h, d.w);
    struct un_add a = {
        .x = x.p, .y = x.p, .x_act = activation(d.ic), .y_act = activation(d.ic), .dst = dst.p, .d_dst = dd.p,
        .x_image = x.image, .y_image = x.image, .dst_image = dst.image,
        .d_dst_image = dd.image, .n = d.n, .h = d.h, .w = d.w, .cb = x.cb,
    };
    run(UN_ADD, &a, 0);
    const tensor dx = output(d.n, d.ic, d.h, d.w), dy = output(d.n, d.ic, d.h, d.w);
    a.d_x = dx.p, a.d_y = dy.p, a.x_image = dx.image, a.y_image = dy.image;
    run(UN_ADD_BWD, &a, 0);
    EACH(dst, i, c, y, k) {
        const double v = act(&a.x_act, c, *at(&x, i, c, y, k)) + act(&a.y_act, c, *at(&x, i, c, y, k));
        near(*at(&dst, i, c, y, k), v > 0 ? v : 0, 0, "dst", i, c, y, k);
        near(*at(&dx, i, c, y, k), v > 0 ? *at(&dd, i, c, y, k) : 0, 0, "dx", i, c, y, k);
        near(*at(&dy, i, c, y, k), *at(&dx, i, c, y, k), 0, "dy", i, c, y, k);
    }
}

static void test_upsample(void)
{
    const dims d = random_dims();
    const tensor src = input(d.n, d.ic, d.h, d.w), dst = output(d.n, d.ic, 2 * d.h, 2 * d.w);
    struct un_upsample a = {
        .src = src.p, .act = activation(d.ic), .dst = dst.p, .src_image = src.image, .dst_image = dst.image,
        .n = d.n, .h = d.h, .w = d.w, .cb = src.cb,
    };
    run(UN_UPSAMPLE, &a, 0);
    EACH(dst, i, c, y, x) near(*at(&dst, i, c, y, x), value(&src, &a.act, i, c, y / 2, x / 2), 0, "dst", i, c, y, x);
    const tensor ds = output(d.n, d.ic, d.h, d.w);
    a.d_dst = dst.p, a.d_src = ds.p, a.src_image = ds.image;
    run(UN_UPSAMPLE_BWD, &a, 0);
    EACH(ds, i, c, y, x) near(*at(&ds, i, c, y, x), 4 * *at(&dst, i, c, 2 * y, 2 * x), 0, "d_src", i, c, y, x);
}

static void test_interleave(void)
{
    dims d = random_dims();
    d.ic = 1 + (int)rnd(4);
    const tensor dst = output(d.n, d.ic, d.h, d.w);
    struct un_interleave a = {
        .src = planar((int64_t)d.n * d.ic * d.h * d.w), .dst = dst.p, .dst_image = dst.image,
        .n = d.n, .h = d.h, .w = d.w, .c = d.ic,
    };
    run(UN_INTERLEAVE, &a, 0);
    EACH(dst, i, c, y, x)
        near(*at(&dst, i, c, y, x), c < d.ic ? a.src[((i * d.ic + c) * d.h + y) * d.w + x] : 0, 0, "dst", i, c, y, x);
}

static void test_gate(void)
{
    const dims d = random_dims();
    const tensor src = input(d.n, d.ic, d.h, d.w), dst = output(d.n, d.ic, d.h, d.w);
    const tensor dd = input(d.n, d.ic, d.h, d.w), ds = output(d.n, d.ic, d.h, d.w);
    const int64_t pixels = (int64_t)d.n * d.h * d.w;
    struct un_gate a = {
        .src = src.p, .act = activation(d.ic), .z = planar(pixels), .dst = dst.p, .d_dst = dd.p, .d_src = ds.p,
        .d_z = planar(pixels), .src_image = src.image, .dst_image = dst.image, .d_src_image = ds.image,
        .d_dst_image = dd.image, .n = d.n, .h = d.h, .w = d.w, .cb = src.cb,
    };
    run(UN_GATE, &a, 0);
    run(UN_GATE_BWD, &a, 0);
    EACH(dst, i, c, y, x) {
        const double g = 1 / (1 + exp(-a.z[((int64_t)i * d.h + y) * d.w + x])), v = value(&src, &a.act, i, c, y, x);
        near(*at(&dst, i, c, y, x), g * v, 8 * EPS * fabs(v), "dst", i, c, y, x);
        near(*at(&ds, i, c, y, x), g * *at(&dd, i, c, y, x), 8 * EPS * 2, "d_src", i, c, y, x);
    }
    for (int64_t p = 0; p < pixels; p++) {
        const int i = (int)(p / (d.h * d.w)), y = (int)(p / d.w % d.h), x = (int)(p % d.w);
        const double g = 1 / (1 + exp(-a.z[p]));
        double sum = 0, mag = 0;
        for (int c = 0; c < d.ic; c++) {
            const double v = value(&src, &a.act, i, c, y, x) * *at(&dd, i, c, y, x);
            sum += v;
            mag += fabs(v);
        }
        near(a.d_z[p], sum * g * (1 - g), 16 * EPS * mag, "d_z", i, 0, y, x);
    }
}

static void test_range(void)
{
    const dims d = random_dims();
    const tensor src = input(d.n, d.ic, d.h, d.w);
    struct un_range a = {
        .src = src.p, .act = activation(d.ic), .most = vectors(36 * 16 * (int64_t)src.cb), .src_image = src.image,
        .n = d.n, .h = d.h, .w = d.w, .cb = src.cb, .tiles = (int)rnd(2),
    };
    memset(a.most, 0, sizeof(float) * 36 * 16 * (size_t)src.cb);
    run(UN_RANGE, &a, 0);
    for (int c = 0; c < d.ic && !a.tiles; c++) {
        double most = 0;
        for (int i = 0; i < d.n; i++)
            for (int p = 0; p < d.h * d.w; p++)
                most = fmax(most, fabs(value(&src, &a.act, i, c, p / d.w, p % d.w)));
        near(a.most[c], most, 0, "most", c, 0, 0, 0);
    }
}

static const struct { const char *name; void (*test)(void); } tests[] = {
    { "conv3x3", test_conv3x3 }, { "wino43", test_wino43 }, { "first", test_first }, { "wgrad3x3", test_wgrad3x3 },
    { "wgrad_wino43", test_wgrad_wino43 }, { "wgrad_first", test_wgrad_first }, { "tconv", test_tconv },
    { "tconv_dgrad", test_tconv_dgrad }, { "tconv_wgrad", test_tconv_wgrad }, { "pool", test_pool }, { "bn", test_bn },
    { "head", test_head }, { "loss", test_loss }, { "adam", test_adam },
    { "qwino43", test_qwino43 }, { "qtconv", test_qtconv },
    { "bwino43", test_bwino43 }, { "btconv", test_btconv },
    { "conv1x1", test_conv1x1 }, { "wgrad1x1", test_wgrad1x1 }, { "add", test_add }, { "upsample", test_upsample },
    { "interleave", test_interleave }, { "gate", test_gate }, { "range", test_range },
};

static int supported(void)
{
    if (!un_kernel(isa, 0))
        return 0;
#ifdef __x86_64__
    if (isa == UN_AVX2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if ((isa == UN_AVX512VNNI || isa == UN_AVX512BF16) && !__builtin_cpu_supports("avx512vnni"))
        return 0;
    if (isa == UN_AVX512BF16 && !__builtin_cpu_supports("avx512bf16"))
        return 0;
    if (isa == UN_AVX512 || isa == UN_AVX512VNNI || isa == UN_AVX512BF16)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
#if defined(__aarch64__) && defined(__linux__)
    if (isa == UN_NEONDOT)
        return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__aarch64__)
    if (isa == UN_NEONDOT)
        return 0;
#endif
    return 1;
}

int main(int argc, char **argv)
{
    static const char *names[UN_ISAS] = { "c", "avx2", "avx512", "neon", "avx512vnni", "neondot", "avx512bf16" };
    const int cases = argc > 1 ? atoi(argv[1]) : 3;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL) * 2654435761u;
    printf("seed %llu, %d cases\n", (unsigned long long)seed, cases);
    for (isa = 0; isa < UN_ISAS; isa++) {
        if (!supported()) {
            printf("%s: not here\n", names[isa]);
            continue;
        }
        isa_name = names[isa];
        for (enum un_op op = 0; op < UN_OPS; op++) {
            const struct un_kernel *k = un_kernel(isa, op);
            if (!k->run || !k->tasks || !k->scratch) {
                op_name = "table";
                FAIL("operation %d is missing", op);
                return 1;
            }
        }
        for (size_t t = 0; t < sizeof tests / sizeof *tests; t++) {
            op_name = tests[t].name;
            rng_state = seed;
            for (int c = 0; c < cases; c++) {
                tests[t].test();
                release_all();
            }
        }
        printf("%s: %s\n", isa_name, failures ? "FAILED" : "ok");
    }
    return failures != 0;
}
