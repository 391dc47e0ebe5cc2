/* Segments an image of 8-bit samples with libunet, from C or from C++.
 * client FILE WIDTH HEIGHT CHANNELS prints what client.py prints. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unet.h"

static int fail(const char *what, char *error)
{
    fprintf(stderr, "%s: %s\n", what, error ? error : "failed");
    unet_free(error);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 5) return 2;
    unet_image image;
    memset(&image, 0, sizeof image);
    image.width = atoi(argv[2]);
    image.height = atoi(argv[3]);
    image.channels = atoi(argv[4]);
    image.sample = UNET_UINT8;
    size_t size = (size_t)image.width * image.height * image.channels;
    void *pixels = malloc(size);
    FILE *f = fopen(argv[1], "rb");
    if (!pixels || !f || fread(pixels, 1, size, f) != size) return fail(argv[1], NULL);
    fclose(f);
    image.pixels = pixels;

    unet_segmenter s;
    unet_result r;
    char *error = NULL;
    /* What cannot work is said, and is no crash. */
    if (unet_open("no such model", 0, &s, &error) != UNET_MODEL || !error || s) return fail("a model that is none", error);
    unet_free(error);
    error = NULL;
    if (unet_open(NULL, 0, &s, &error)) return fail("open", error);
    unet_image bad = image;
    bad.channels = 2;
    if (unet_segment(s, &bad, &r, &error) != UNET_USAGE || !error || r.labels) return fail("two channels", error);
    unet_free(error);
    error = NULL;
    if (unet_segment(s, NULL, &r, NULL) != UNET_USAGE || unet_segment(0, &image, &r, NULL) != UNET_USAGE) return fail("no image", NULL);
    for (int i = 0; i < 2; i++) { /* the same every time */
        if (unet_segment(s, &image, &r, &error)) return fail("segment", error);
        uint64_t sum = 0;
        int64_t area = 0;
        for (size_t p = 0; p < (size_t)r.width * r.height; p++) sum += (p + 1) * r.labels[p];
        for (int64_t n = 0; n < r.count; n++) area += r.nuclei[n].area;
        if (i == 1) printf("%lld nuclei, %lld pixels, labels %llu\n", (long long)r.count, (long long)area, (unsigned long long)sum);
        unet_free_result(&r);
    }
    unet_close(s);
    fprintf(stderr, "libunet %s\n", unet_version());
    free(pixels);
    return 0;
}
