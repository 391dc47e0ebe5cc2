/* Pools a tensor with the installed kernels: the smallest use of the library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unet_kernels.h>

int main(void)
{
    enum { H = 4, W = 6, C = 16 };
    float *src = (float *)aligned_alloc(64, sizeof(float) * H * W * C);
    float *dst = (float *)aligned_alloc(64, sizeof(float) * H / 2 * W / 2 * C);
    if (!src || !dst) return 1;
    for (int i = 0; i < H * W * C; i++) src[i] = (float)(i * 37 % 101);
    struct un_pool pool;
    memset(&pool, 0, sizeof pool);
    pool.src = src;
    pool.dst = dst;
    pool.src_image = H * W * C;
    pool.dst_image = H / 2 * W / 2 * C;
    pool.n = 1;
    pool.h = H;
    pool.w = W;
    pool.cb = 1;
    const struct un_kernel *k = un_kernel(UN_C, UN_POOL);
    un_run(k, &pool, 0, k->tasks(&pool), NULL);
    for (int y = 0; y < H / 2; y++)
        for (int x = 0; x < W / 2; x++)
            for (int c = 0; c < C; c++) {
                float want = 0;
                for (int i = 0; i < 4; i++) {
                    float v = src[((2 * y + i / 2) * W + 2 * x + i % 2) * C + c];
                    if (v > want) want = v;
                }
                if (dst[(y * (W / 2) + x) * C + c] != want) {
                    printf("pixel %d,%d channel %d is wrong\n", x, y, c);
                    return 1;
                }
            }
    puts("pooled, as it should be");
    free(src);
    free(dst);
    return 0;
}
