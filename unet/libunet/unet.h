/* unet.h - nuclei segmentation as a C library.
 *
 *     unet_segmenter s;
 *     char *error = NULL;
 *     if (unet_open(NULL, 0, &s, &error) != UNET_OK) { puts(error); unet_free(error); return 1; }
 *     unet_image image = {pixels, width, height, 1, UNET_UINT8, 0};
 *     unet_result r;
 *     if (unet_segment(s, &image, &r, &error) == UNET_OK) {
 *         printf("%lld nuclei\n", (long long)r.count);
 *         unet_free_result(&r);
 *     }
 *     unet_close(s);
 *
 * It finds the same nuclei as `unet predict`. A segmenter may be used by
 * several threads, whose images then take turns. Nothing is printed and no
 * file is written. The library carries Go's runtime: load it once a process,
 * do not unload it, and do not fork without exec. */
#ifndef UNET_H
#define UNET_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What functions return; the numbers are those of the program's exit status. */
enum {
    UNET_OK = 0,
    UNET_FAILURE = 1,
    UNET_USAGE = 2, /* an argument makes no sense */
    UNET_INPUT = 4, /* the image cannot be segmented */
    UNET_MODEL = 5  /* no model, or not one this version reads */
};

/* Types of samples, in the machine's byte order. */
enum { UNET_UINT8 = 1, UNET_UINT16 = 2, UNET_FLOAT32 = 3 };

typedef uint64_t unet_segmenter; /* 0: none */

typedef struct {
    const void *pixels; /* [height][width][channels], without gaps */
    int32_t width, height;
    int32_t channels; /* 1, or 3: red, green, blue */
    int32_t sample;   /* UNET_UINT8 ... */
    double pixel_size; /* micrometres, 0: not known */
} unet_image;

/* Lengths and areas are in pixels; the centre of the first pixel is (0, 0). */
typedef struct {
    int64_t area;
    double x, y; /* centroid */
    double perimeter, major_axis, minor_axis, orientation, eccentricity;
    double solidity, circularity, equivalent_diameter, feret_max;
    double confidence; /* 0: the model does not say */
    double mean[3];    /* intensity in each channel of the image */
    uint32_t id;       /* its number in the labels */
    int32_t x0, y0, x1, y1; /* bounds, x1 and y1 exclusive */
    int32_t edge;      /* 1: the image's edge cuts it */
} unet_nucleus;

typedef struct {
    uint32_t *labels; /* [height][width], 0 where no nucleus is */
    unet_nucleus *nuclei; /* [count] */
    int64_t count;
    int32_t width, height;
    double scale; /* by which the image was enlarged for the network */
} unet_result;

#ifndef UNET_NO_PROTOTYPES
/* The version of the library; the text is the library's. */
const char *unet_version(void);

/* Readies a model: a file, or NULL for the built-in one. threads 0: one for
 * each core. If it fails and error is not NULL, *error is a line of text to be
 * given to unet_free; so with unet_segment. */
int unet_open(const char *model, int32_t threads, unet_segmenter *out, char **error);

/* Finds the nuclei of an image. */
int unet_segment(unet_segmenter s, const unet_image *image, unet_result *out, char **error);

void unet_free_result(unet_result *r); /* what it points to, not itself */
void unet_free(char *text);
void unet_close(unet_segmenter s); /* no call with it may be under way */
#endif

#ifdef __cplusplus
}
#endif
#endif
