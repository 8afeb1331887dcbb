/* sparse: the two loops behind a convolution that is followed by max-pooling, for the widest vectors of the machine.
 *
 * Max-pooling passes one gradient of each window on: with 2x2 windows three quarters of the gradient by the
 * convolution's output are zero, and a ReLU between them takes more. A dense backward convolution multiplies all those
 * zeros. Here each gradient that is left is an *entry* (place, value), and both gradients of the convolution are sums
 * over entries of value times a few contiguous rows: rows of the input (gradient by the kernel), or rows of the kernel
 * (gradient by the input). Work falls by the area of a window, at nearly the speed of a dense product.
 *
 * Every function is compiled for AVX-512, for AVX2 with FMA, and for the baseline; ta_sparse_best picks by the CPU.
 * Pure functions on caller's memory; any thread.
 */
#ifndef TA_SPARSE_H
#define TA_SPARSE_H

#include <stddef.h>
#include <stdint.h>

enum { TA_SPARSE_ALIGN = 16, TA_SPARSE_NONE = 255 };

/* Entries come in lists; list l holds entries start[l] .. start[l + 1] - 1 and adds into its own rows:
 *     into[into_offset[l] + r * into_row + i] += sum over its entries e of value[e] * from[offset[e] + r * from_row +
 * i] for r < rows, i < width. Offsets and strides count floats; width is a multiple of TA_SPARSE_ALIGN; `from` and
 * `into` need no alignment; lists may add into the same rows. */
struct ta_sparse_rows {
    uint32_t rows, width;
    const float *from;
    size_t from_row;
    float *into;
    size_t into_row;
    uint32_t lists;
    const uint32_t *start, *into_offset; /* [lists + 1], [lists] */
    const uint32_t *offset;
    const float *value;
};

/* One image through the pool: out [places][channels] = max over the window, after max(., 0) when `relu`; `which` says
 * at which of the window's positions it was found first, TA_SPARSE_NONE when nothing passes back. A NaN wins. */
struct ta_sparse_pool {
    uint32_t places, channels, positions; /* windows; positions a window has, at most 254 */
    /* [places][positions] offset into the image of that position's channel 0; the same position may stand several times
     * in a row where the window leaves the image. */
    const uint32_t *offset;
    int relu;
};

struct ta_sparse_ops {
    const char *name;
    void (*add_rows)(const struct ta_sparse_rows *how);
    void (*pool)(const struct ta_sparse_pool *how, const float *image, float *out, uint8_t *which);
};

extern const struct ta_sparse_ops ta_sparse_base, ta_sparse_avx2, ta_sparse_avx512;
const struct ta_sparse_ops *ta_sparse_best(void);

#endif
