/* kernel.c - runs one NEON kernel on zeros a number of times.
 * Usage: kernel NAME CHANNELS SIDE TIMES */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../../csrc/kernels.h"

static float *zeros(int64_t n)
{
    float *p = aligned_alloc(64, (size_t)(n + 16) * 4 / 64 * 64 + 64);
    if (!p)
        exit(1);
    memset(p, 0, (size_t)n * 4);
    return p;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    const char *name = argv[1];
    const int c = atoi(argv[2]), side = atoi(argv[3]), times = atoi(argv[4]);
    const int64_t size = (int64_t)side * side * c;
    if (!un_kernel(UN_NEON, 0) || c < 16 || c % 16 || side < 4)
        return 2;
    struct un_conv3x3 conv = {
        .src = zeros(size), .dst = zeros(size), .weight = zeros(36 * (int64_t)c * c),
        .src_image = size, .dst_image = size, .n = 1, .h = side, .w = side, .icb = c / 16, .ocb = c / 16,
    };
    struct un_wgrad3x3 wgrad = {
        .src = conv.src, .dy = conv.dst, .src_image = size, .dy_image = size,
        .n = 1, .h = side, .w = side, .ic = c, .oc = c,
    };
    struct un_tconv tconv = {
        .src = conv.src, .dst = zeros(4 * size), .weight = conv.weight,
        .src_image = size, .dst_image = 4 * size, .n = 1, .h = side, .w = side, .icb = c / 16, .ocb = c / 16,
    };
    const struct { const char *name; enum un_op op, reduce; void *args; } all[] = {
        { "conv3x3", UN_CONV3X3, UN_OPS, &conv }, { "wino43", UN_WINO43, UN_OPS, &conv },
        { "wgrad3x3", UN_WGRAD3X3, UN_WGRAD3X3_REDUCE, &wgrad },
        { "wgrad_wino43", UN_WGRAD_WINO43, UN_WGRAD_WINO43_REDUCE, &wgrad },
        { "tconv", UN_TCONV, UN_OPS, &tconv },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(name, all[i].name))
            continue;
        if (all[i].reduce != UN_OPS)
            wgrad.partial = zeros(un_kernel(UN_NEON, all[i].reduce)->scratch(all[i].args));
        const struct un_kernel *k = un_kernel(UN_NEON, all[i].op);
        float *scratch = zeros(k->scratch(all[i].args));
        for (int t = 0; t < times; t++)
            un_run(k, all[i].args, 0, k->tasks(all[i].args), scratch);
        return 0;
    }
    return 2;
}
