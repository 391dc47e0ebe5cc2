/* kernels.h - the C interface of unet's compute kernels.
 *
 * An activation tensor is NCHW16c: n images of cb blocks of 16 channels, each
 * block h*w pixels of 16 floats. Channel 16*b+c of pixel (y,x) of image i is
 *
 *     p[i*image + ((b*h + y)*w + x)*16 + c]
 *
 * where `image` is the distance between images in floats. A tensor may be a
 * slice of the blocks of a larger one (skip connections are written straight
 * into the concatenated tensor), so image >= cb*h*w*16. Pointers to 16-float
 * vectors are 64-byte aligned; channels past the real count are zero, in
 * tensors and in packed weights.
 *
 * An activation that still awaits its batch-norm and ReLU is read through
 * struct un_act: a = max(scale*x + shift, lo) with one value per channel
 * (lo = 0 for ReLU, -FLT_MAX for none), so it is never stored normalised. With
 * group norm every image has values of its own, `image` floats after the last's.
 *
 * Every operation is a struct that is the whole truth about it, and a kernel:
 * tasks(args) says into how many independent tasks the operation falls, a
 * function of the shape alone; run(args, t0, t1, scratch) does tasks t0..t1-1
 * in any order and on any thread; scratch(args) is the number of floats of
 * 64-byte aligned scratch memory one call of run needs. Kernels do not
 * allocate, start threads or keep state, and what a task computes does not
 * depend on how tasks are grouped into calls. */
#ifndef UN_KERNELS_H
#define UN_KERNELS_H

#include <stdint.h>

struct un_act {
    const float *scale, *shift, *lo; /* [cb*16] each; scale == NULL: a = x */
    int64_t image;                   /* 0: the same for all images */
};

/* The shortcut of a residual block: a 1x1 convolution of src, image floats from one
 * image to the next, in icb channel blocks or, unless planes is 0, in 1 to 4 planes
 * [planes][h][w]. weight: packed by UN_PACK_CONV1X1. src == NULL: none. */
struct un_shortcut {
    const float *src, *weight;
    int64_t image;
    int32_t icb, planes;
};

/* 3x3 convolution, stride 1, zero padding 1 (the padding is of a, after act).
 * Used forward and, with weights packed for it, as data gradient.
 * weight: packed by UN_PACK_CONV3X3 (direct) or UN_PACK_WINO43 (Winograd);
 *   for Winograd with `compact` set by UN_PACK_CONV3X3 too.
 * dst = conv(act(src)) + bias + shortcut, then max(dst, 0) if relu.
 * pool: if not NULL, the 2x2 max-pool of dst (floor(h/2) x floor(w/2)).
 * stats: if not NULL, per task t and channel, [tasks][3][ocb*16]: a pivot k,
 *   sum(y-k), sum((y-k)^2) over the task's pixels. Task t covers
 *   counts[t] pixels. Where several tasks do the same pixels for different
 *   channels they share one entry; entries left over have a count of 0 and
 *   zeros (in `sums` below too).
 * gate_y: if not NULL (then stats is NULL), dst is the gradient of
 *   a = act(gate_y) and sums receives [tasks][2][ocb*16]: sum(dz) and
 *   sum(dz*(y-mean)), where dz = a > lo ? dst : 0. */
struct un_conv3x3 {
    const float *src;
    struct un_act act;
    const float *weight, *bias;
    float *dst, *pool, *stats;
    int32_t *counts;
    const float *gate_y;
    struct un_act gate;
    const float *gate_mean;
    float *sums;
    struct un_shortcut shortcut;
    int64_t src_image, dst_image, pool_image, gate_image;
    int32_t n, h, w, icb, ocb, relu, compact;
};

/* 1x1 convolution: dst = conv(act(src)) + bias, then max(dst, 0) if relu. With
 * `add`, for gradients, dst += conv(act(src)). weight: packed by UN_PACK_CONV1X1.
 * stats and counts as in un_conv3x3. */
struct un_conv1x1 {
    const float *src;
    struct un_act act;
    const float *weight, *bias;
    float *dst, *stats;
    int32_t *counts;
    int64_t src_image, dst_image;
    int32_t n, h, w, icb, ocb, relu, add;
};

/* First layer: src is planar, [n][ic][h][w] with 1 <= ic <= 4.
 * weight: packed by UN_PACK_FIRST. Other fields as in un_conv3x3. */
struct un_first {
    const float *src, *weight, *bias;
    float *dst, *stats;
    int32_t *counts;
    int64_t dst_image;
    int32_t n, ic, h, w, ocb, relu;
};

/* Weight gradient of the 3x3 convolution: partial sums, then dw.
 * Phase 1 (UN_WGRAD3X3, UN_WGRAD_WINO43, UN_WGRAD_FIRST): tasks write
 * disjoint parts of `partial` (partial_size floats, see `scratch` of the
 * matching REDUCE op). Phase 2 (..._REDUCE): sums the partials in a fixed
 * order and writes dw in OIHW [oc][ic][3][3] (overwrites).
 * For UN_WGRAD_FIRST src is planar [n][ic][h][w]; src_image is ignored.
 * UN_WGRAD1X1 is that of the 1x1 convolution: dw [oc][ic]. */
struct un_wgrad3x3 {
    const float *src;
    struct un_act act;
    const float *dy;
    float *partial, *dw;
    int64_t src_image, dy_image;
    int32_t n, h, w, ic, oc; /* real channel counts */
};

/* Packing: OIHW master weights into the layout a kernel reads.
 * flip = 0: forward, conv of ic -> oc. flip = 1: data gradient, the packed
 * weights map oc -> ic (kernel rotated by 180 degrees, channels swapped).
 * scale: if not NULL, [oc]: folds a batch-norm, w*scale[oc] (flip = 0 only). */
struct un_pack {
    const float *src, *scale;
    float *dst;
    int32_t oc, ic, flip;
};

/* Transposed convolution 2x2, stride 2: dst is 2h x 2w.
 * Master weights [ic][oc][2][2] as in PyTorch.
 * UN_TCONV: dst = tconv(act(src)) + bias (NULL: none).
 * UN_TCONV_DGRAD: src is the gradient of the output (2h x 2w, ocb blocks),
 *   dst that of a (h x w, icb blocks); act and bias are ignored.
 * weight: packed by UN_PACK_TCONV (flip = 0 forward, 1 data gradient). */
struct un_tconv {
    const float *src;
    struct un_act act;
    const float *weight, *bias;
    float *dst;
    int64_t src_image, dst_image;
    int32_t n, h, w, icb, ocb; /* h, w: of the small side */
};

/* Weight and bias gradient of the transposed convolution, in two phases as
 * un_wgrad3x3. dw [ic][oc][2][2], db [oc]. */
struct un_tconv_wgrad {
    const float *src;
    struct un_act act;
    const float *dy;
    float *partial, *dw, *db;
    int64_t src_image, dy_image;
    int32_t n, h, w, ic, oc; /* h, w: of src */
};

/* 2x2 max-pool, stride 2, of act(src); dst is floor(h/2) x floor(w/2).
 * UN_POOL_BWD: d_dst is routed to the first maximum of each window and ADDED
 * to d_src (h x w). */
struct un_pool {
    const float *src;
    struct un_act act;
    float *dst;
    const float *d_dst;
    float *d_src;
    int64_t src_image, dst_image, d_src_image, d_dst_image;
    int32_t n, h, w, cb;
};

/* Enlarging by nearest neighbour: dst, 2h x 2w, is act(src) with every pixel four
 * times. UN_UPSAMPLE_BWD: d_src is the sum of each four of d_dst (overwritten). */
struct un_upsample {
    const float *src;
    struct un_act act;
    float *dst;
    const float *d_dst;
    float *d_src;
    int64_t src_image, dst_image; /* of d_src and d_dst, too */
    int32_t n, h, w, cb;
};

/* The end of a residual block: dst = max(x_act(x) + y_act(y), 0).
 * UN_ADD_BWD: d_x = d_y = dst > 0 ? d_dst : 0, laid out as x and y. */
struct un_add {
    const float *x, *y;
    struct un_act x_act, y_act;
    float *dst;
    const float *d_dst;
    float *d_x, *d_y;
    int64_t x_image, y_image, dst_image, d_dst_image;
    int32_t n, h, w, cb;
};

/* dst, one block of 16 channels, is the planar src [n][c][h*w], c <= 16. */
struct un_interleave {
    const float *src;
    float *dst;
    int64_t dst_image;
    int32_t n, h, w, c;
};

/* The product of an attention gate: dst = act(src) * sigmoid(z), z [n][h*w].
 * UN_GATE_BWD: d_src = d_dst*sigmoid(z), the gradient of act(src) (overwritten),
 * and d_z = sigmoid'(z) * the sum over channels of d_dst*act(src). */
struct un_gate {
    const float *src;
    struct un_act act;
    const float *z;
    float *dst;
    const float *d_dst;
    float *d_src, *d_z;
    int64_t src_image, dst_image, d_src_image, d_dst_image;
    int32_t n, h, w, cb;
};

/* Backward through a = act(y), act being batch-norm or group norm, and ReLU.
 * dz = a > lo ? da : 0.
 * UN_BN_SUMS: sums[tasks][2][cb*16] = sum(dz), sum(dz*(y-mean)).
 * UN_BN_BWD: in place, da = ca*dz + cy*y + c0 (coefficients per channel).
 * UN_BN_STATS: stats[tasks][3][cb*16] of y as in un_conv3x3, with counts.
 * Tasks go through the images in order, as many for each. The values of mean, ca,
 * cy and c0 of an image are param_image floats after the last's. */
struct un_bn {
    const float *y;
    struct un_act act;
    float *da;
    const float *mean;
    float *sums, *stats;
    int32_t *counts;
    const float *ca, *cy, *c0;
    int64_t y_image, da_image, param_image;
    int32_t n, h, w, cb;
};

/* 1x1 convolution of act(src) to k <= 8 planar maps: logits [n][k][h*w].
 * weight [k][cb*16] (zero for padding channels), bias [k].
 * UN_HEAD writes logits. UN_HEAD_BWD reads d_logits and writes d_src (the
 * gradient of act(src), overwritten) and per task partial[k][cb*16 + 16]:
 * the weight gradient, then the bias gradient in the first of 16 floats. */
struct un_head {
    const float *src;
    struct un_act act;
    const float *weight, *bias;
    float *logits;
    const float *d_logits;
    float *d_src, *partial;
    int64_t src_image, d_src_image;
    int32_t n, h, w, cb, k;
};

/* Losses of one sigmoid map over planes of n images. Plane i starts at
 * i*stride in z, p and dz, and at i*stride_t in t and w; each has `size`
 * floats. p = sigmoid(z).
 * UN_LOSS_FWD: writes p and per task sums[8] (double): sum w*bce, sum p*t,
 *   sum p, sum t, tp, fp, fn (p >= 0.5 against t >= 0.5), sum w*smooth_l1.
 * UN_LOSS_BWD: dz = c_bce*w*(p-t) + p*(1-p)*(c_t*t + c_1 + c_l1*w*
 *   clamp((p-t)/beta, -1, 1)); Dice enters by c_t and c_1.
 * w == NULL: all ones. */
struct un_loss {
    const float *z, *t, *w;
    float *p, *dz;
    double *sums;
    int64_t size, stride, stride_t;
    float c_bce, c_t, c_1, c_l1, beta;
    int32_t n;
};

/* Adam (Kingma & Ba 2015) over a flat arena, decoupled weight decay (AdamW).
 *   m += c1*(g - m);  v += c2*(g*g - v)
 *   p -= step*m / (sqrt(v)*inv_sqrt_bc2 + eps) + decay*p
 * c1 = 1-beta1 and c2 = 1-beta2 are rounded once, from double: 1 - 0.999f is
 * 1.3e-5 off. step = lr/(1-beta1^t), decay = lr*weight_decay. g is multiplied
 * by g_scale first. ema: if not NULL, ema += c_ema*(p - ema) after the update.
 * UN_SUMSQ: out[tasks] (double) = partial sums of g*g. */
struct un_adam {
    float *p, *g, *m, *v, *ema;
    double *out;
    int64_t size;
    float step, c1, c2, eps, inv_sqrt_bc2, decay, g_scale, c_ema;
};

/* Winograd convolution with 8-bit products, for inference (Li et al. 2021,
 * LoWino): as un_conv3x3 with UN_WINO43 and without stats and gate_y, but each
 * value of a transformed tile V[xi][c] enters as q = V*v_scale, rounded to even
 * and clamped to -127..127, and each sum of products with the 8-bit weights,
 * exact in 32 bits, leaves as sum*m_scale. `packed` is from UN_PACK_Q: for each
 * output block and xi the matrix of all input channels. conv.weight is unused.
 * v_scale [36][icb*16], m_scale [36][ocb*16], offset [ocb][36][16]. */
struct un_qwino43 {
    struct un_conv3x3 conv;
    const void *packed;
    const int32_t *offset;
    const float *v_scale, *m_scale;
};

/* Transposed convolution with 8-bit products, otherwise UN_TCONV: every a
 * enters as q = a*a_scale, rounded and clamped as above; every sum leaves as
 * sum*m_scale + bias. `packed` is from UN_PACK_Q: for each output block and tap
 * (2*ky + kx) the matrix of all input channels; tconv.weight is unused.
 * a_scale [icb*16], m_scale [4][ocb*16], offset [ocb][4][16]. */
struct un_qtconv {
    struct un_tconv tconv;
    const void *packed;
    const int32_t *offset;
    const float *a_scale, *m_scale;
};

/* Packing of n matrices of k x 16 weights of -127..127, k a multiple of 16, for
 * the products of un_qwino43 and un_qtconv. offset [n][16] receives what their
 * sums start from. dst has room for 2*n*k*16 bytes; how it is used is up to the
 * instruction set. */
struct un_qpack {
    const int8_t *src;
    void *dst;
    int32_t *offset;
    int32_t n, k;
};

/* Ranges of the inputs of a layer with 8-bit products: most[..][c] is raised to the
 * greatest |x| of channel c of act(src), x being the 36 values of Winograd's tiles
 * if `tiles`, most [36][cb*16], and the pixels otherwise, most [cb*16]. */
struct un_range {
    const float *src;
    struct un_act act;
    float *most;
    int64_t src_image;
    int32_t n, h, w, cb, tiles;
};

/* UN_BWINO43 and UN_BTCONV, for inference, are UN_WINO43 (without `compact`) and
 * UN_TCONV with products of bfloat16 numbers: values of transformed tiles (of
 * act(src)) and of transformed weights (of weights) are rounded to bfloat16,
 * halves to even; their products are exact and summed one after the other in the
 * order of input channels, from 0 (from the bias), each addition rounded to
 * float. weight is packed by UN_PACK_BWINO43 or UN_PACK_BTCONV and takes half the
 * room of the float one with AVX512BF16, as much elsewhere. */

/* Every operation: its name, and the functions of its kernel: run, tasks and
 * scratch. enum un_op, the tables of kernels and Go's constants follow this list. */
#define UN_EACH_OP(X) UN_EACH_FLOAT_OP(X) UN_EACH_QUANTISED_OP(X) UN_EACH_BFLOAT_OP(X)
#define UN_EACH_FLOAT_OP(X) \
    X(CONV3X3, conv3x3, conv3x3_tasks, conv3x3_scratch)                                                 \
    X(WINO43, wino43, wino43_tasks, wino43_scratch)                                                     \
    X(FIRST, first, first_tasks, first_scratch)                                                         \
    X(WGRAD3X3, wgrad3x3, wgrad3x3_tasks, wgrad3x3_scratch)                                             \
    X(WGRAD3X3_REDUCE, wgrad3x3_reduce, wgrad3x3_reduce_tasks, wgrad3x3_reduce_scratch)                 \
    X(WGRAD_WINO43, wgrad_wino43, wgrad_wino43_tasks, wgrad_wino43_scratch)                             \
    X(WGRAD_WINO43_REDUCE, wgrad_wino43_reduce, wgrad_wino43_reduce_tasks, wgrad_wino43_reduce_scratch) \
    X(WGRAD_FIRST, wgrad_first, wgrad_first_tasks, wgrad_first_scratch)                                 \
    X(WGRAD_FIRST_REDUCE, wgrad_first_reduce, wgrad_first_reduce_tasks, wgrad_first_reduce_scratch)     \
    X(PACK_CONV3X3, pack_conv3x3, pack_conv3x3_tasks, no_scratch)                                       \
    X(PACK_WINO43, pack_wino43, pack_wino43_tasks, no_scratch)                                          \
    X(PACK_FIRST, pack_first, pack_first_tasks, no_scratch)                                             \
    X(PACK_CONV1X1, pack_conv1x1, pack_conv1x1_tasks, no_scratch)                                       \
    X(CONV1X1, conv1x1, conv1x1_tasks, conv1x1_scratch)                                                 \
    X(WGRAD1X1, wgrad1x1, wgrad1x1_tasks, wgrad1x1_scratch)                                             \
    X(WGRAD1X1_REDUCE, wgrad1x1_reduce, wgrad1x1_reduce_tasks, wgrad1x1_reduce_scratch)                 \
    X(PACK_TCONV, pack_tconv, pack_tconv_tasks, no_scratch)                                             \
    X(TCONV, tconv, tconv_tasks, tconv_scratch)                                                         \
    X(TCONV_DGRAD, tconv_dgrad, tconv_dgrad_tasks, no_scratch)                                          \
    X(TCONV_WGRAD, tconv_wgrad, tconv_wgrad_tasks, tconv_wgrad_scratch)                                 \
    X(TCONV_WGRAD_REDUCE, tconv_wgrad_reduce, tconv_wgrad_reduce_tasks, tconv_wgrad_reduce_scratch)     \
    X(POOL, pool, pool_tasks, no_scratch)                                                               \
    X(POOL_BWD, pool_bwd, pool_tasks, no_scratch)                                                       \
    X(UPSAMPLE, upsample, upsample_tasks, no_scratch)                                                   \
    X(UPSAMPLE_BWD, upsample_bwd, upsample_tasks, no_scratch)                                           \
    X(ADD, add, add_tasks, no_scratch)                                                                  \
    X(ADD_BWD, add_bwd, add_tasks, no_scratch)                                                          \
    X(INTERLEAVE, interleave, interleave_tasks, no_scratch)                                             \
    X(BN_STATS, bn_stats, bn_tasks, no_scratch)                                                         \
    X(BN_SUMS, bn_sums, bn_tasks, no_scratch)                                                           \
    X(BN_BWD, bn_bwd, bn_tasks, no_scratch)                                                             \
    X(HEAD, head, head_tasks, no_scratch)                                                               \
    X(HEAD_BWD, head_bwd, head_tasks, no_scratch)                                                       \
    X(LOSS_FWD, loss_fwd, loss_tasks, no_scratch)                                                       \
    X(LOSS_BWD, loss_bwd, loss_tasks, no_scratch)                                                       \
    X(GATE, gate, gate_tasks, no_scratch)                                                               \
    X(GATE_BWD, gate_bwd, gate_tasks, no_scratch)                                                       \
    X(ADAM, adam, adam_tasks, no_scratch)                                                               \
    X(SUMSQ, sumsq, adam_tasks, no_scratch)                                                             \
    X(RANGE, range, range_tasks, range_scratch)
#define UN_EACH_QUANTISED_OP(X) \
    X(QWINO43, qwino43, wino43_tasks, qwino43_scratch) \
    X(QTCONV, qtconv, qtconv_tasks, qtconv_scratch)    \
    X(PACK_Q, pack_q, pack_q_tasks, no_scratch)
#define UN_EACH_BFLOAT_OP(X) \
    X(BWINO43, bwino43, wino43_tasks, bwino43_scratch)           \
    X(PACK_BWINO43, pack_bwino43, pack_wino43_tasks, no_scratch) \
    X(BTCONV, btconv, tconv_tasks, btconv_scratch)               \
    X(PACK_BTCONV, pack_btconv, pack_tconv_tasks, no_scratch)

#define UN_OP(name, run, tasks, scratch) UN_##name,
enum un_op { UN_EACH_OP(UN_OP) UN_OPS };
#undef UN_OP

struct un_kernel {
    void (*run)(const void *args, int32_t t0, int32_t t1, float *scratch);
    int32_t (*tasks)(const void *args);
    int64_t (*scratch)(const void *args); /* floats per call of run */
};

/* AVX512VNNI and NEONDOT compute the same as AVX512 and NEON, products of 8-bit
 * integers faster; AVX512BF16 those of bfloat16 numbers, too. All else they share. */
enum un_isa { UN_C, UN_AVX2, UN_AVX512, UN_NEON, UN_AVX512VNNI, UN_NEONDOT, UN_AVX512BF16, UN_ISAS };

/* The kernel of an operation for an instruction set, NULL if this build has none
 * for that set. Whether the CPU can run it is the caller's business. */
const struct un_kernel *un_kernel(enum un_isa isa, enum un_op op);

/* Runs tasks t0..t1-1 with denormals flushed to zero, restoring the thread's
 * floating-point mode afterwards. */
void un_run(const struct un_kernel *k, const void *args, int32_t t0, int32_t t1,
            float *scratch);

/* Does `rounds` rounds of independent multiply-adds, the most a core can do,
 * and returns the number of floating-point operations: for benchmarks. */
double un_peak(enum un_isa isa, int64_t rounds);

#endif
