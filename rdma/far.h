/* far: what makes of a transport share that know GPUs: where a range of a window lies, which addresses are GPU memory.
 *
 * Far pieces are in window.h. Pieces are plain bytes in keys, so they are checked where they come in.
 */
#ifndef TA_FAR_H
#define TA_FAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gpu.h"
#include "grants.h"
#include "status.h"
#include "window.h"

enum ta_far_side { TA_FAR_NONE, TA_FAR_WHOLE, TA_FAR_PART };

struct ta_far_place {
    enum ta_far_side side;
    size_t piece, within; /* WHOLE: where */
};

/* Whether a range touches a far piece, and lies in it wholly. What is empty touches none. */
struct ta_far_place ta_far_find(const struct ta_window_far *far, const struct ta_range *range);
/* Pieces lie one behind the other in a window of that many bytes, and what they take together can be counted. No
 * pieces are fine. */
bool ta_far_fits(const struct ta_window_far *far, size_t window_bytes);
/* From one piece to the next in GPU memory. */
static inline size_t ta_far_pitch(const struct ta_window_far *far) { return (far->bytes + 511) / 512 * 512; }

/* All pages of a mapping are present, but those that far pieces (NULL: none) cover wholly. 0, or -1 and errno. */
int ta_far_populate(unsigned char *base, size_t bytes, const struct ta_window_far *far);

/* Every segment of a put lies in far pieces wholly or not at all. After ta_put_check. Errors: INVALID: which does
 * not. */
ta_status ta_far_put_check(unsigned peer, const struct ta_window_far *far, const struct ta_put_segment *segments,
                           unsigned n_segments);
/* INVALID, with its message, unless a GPU was given and the pieces fit: what window_create_far begins with. */
ta_status ta_far_create_check(const struct ta_transport_config *config, const struct ta_window_far *far, size_t bytes);
/* Both windows are far or neither is; of what came out of a peer's key. Errors: CONFIG, PEER (makes no sense). */
ta_status ta_far_key_check(unsigned peer, const struct ta_window_far *ours, const struct ta_window_far *theirs,
                           size_t window_bytes);

/* Rows from one table to another, as ta_gpu_ops.copy_rows: a kernel's work where the GPU reaches both `directly` (its
 * memory, a peer's that is attached, pinned memory); else a copy a row, each of which may wait. */
struct ta_far_rows {
    char *to;
    const char *from;
    size_t bytes;
    const uint32_t *rows;
    size_t n;
};
ta_status ta_far_copy_rows(const struct ta_gpu_ops *ops, struct ta_gpu *gpu, enum ta_gpu_stream stream,
                           const struct ta_far_rows *rows, bool directly);

/* Ranges of GPU memory that puts read from. Zeroed: none. */
struct ta_far_sources {
    struct ta_far_source {
        const unsigned char *base;
        size_t bytes;
    } *source;
    size_t n;
};

ta_status ta_far_sources_add(struct ta_far_sources *s, const void *base, size_t bytes); /* NO_MEMORY */
void ta_far_sources_free(struct ta_far_sources *s);
bool ta_far_sources_hold(const struct ta_far_sources *s, const void *address);

#endif
