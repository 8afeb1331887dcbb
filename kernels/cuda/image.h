/* image: small kernels that nets need around cuDNN. */
#ifndef TA_CUDA_IMAGE_H
#define TA_CUDA_IMAGE_H

#include "flat.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where an image batch [batch][in.h][in.w][c] lies in one with pads around it. */
struct ta_image_pads {
    enum ta_flat_type type;
    uint32_t batch;
    struct ta_shape in;
    uint32_t top, bottom, left, right;
};
/* to [batch][top + h + bottom][left + w + right][c] = from, and zeros around it; crop: the way back. */
cudaError_t ta_image_pad(cudaStream_t stream, const struct ta_image_pads *p, const void *from, void *to);
cudaError_t ta_image_crop(cudaStream_t stream, const struct ta_image_pads *p, const void *from, void *to);

/* What a batch_norm says of its batch, from what cuDNN keeps: variance = (1 / inverse^2 - epsilon) * bessel, at least
 * 0. */
struct ta_image_moments {
    uint32_t channels;
    float epsilon, bessel;
    const float *mean, *inverse;
    float *to_mean, *to_variance;
};
cudaError_t ta_image_statistics(cudaStream_t stream, const struct ta_image_moments *s);

#ifdef __cplusplus
}
#endif

#endif
