/* import_picture: one JPEG or PNG file -> pixels; private to the importers.
 *
 * What the file says of its size is checked before memory is asked for. A picture that ends too early or has damaged
 * data is an error, never half a picture: libjpeg alone would fill the rest with grey.
 */
#ifndef TA_IMPORT_PICTURE_H
#define TA_IMPORT_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum { TA_PICTURE_PIXELS_MOST = 1 << 26, TA_PICTURE_SCANS_MOST = 200 };

struct ta_picture {
    uint32_t w, h, c;
    uint8_t *pixels; /* [h][w][c]; owned, used again by the next read */
    size_t capacity; /* bytes */
};

/* Reads `path` with `channels` 3 (red, green, blue) or 1 (luminance). Errors: IO (cannot be opened), FORMAT (neither
 * JPEG nor PNG, damaged, or too large), NO_MEMORY. */
ta_status ta_picture_read(struct ta_picture *picture, const char *path, uint32_t channels);
void ta_picture_free(struct ta_picture *picture);

/* Area averaging: each output pixel is the mean of the input's area under it. out[h][w][c]. */
void ta_picture_resize(const struct ta_picture *picture, uint32_t w, uint32_t h, uint8_t *out);

#endif
