/* far_kinds: makes of transport whose windows lie in the memory of a lazy GPU (lazy_gpu.h), wholly, under the names and
 * calls of any other: open opens a GPU, too, and window_create makes the whole window one far piece.
 */
#ifndef TA_TEST_FAR_KINDS_H
#define TA_TEST_FAR_KINDS_H

#include <stddef.h>

#include "gpu.h"
#include "transport.h"

enum { FAR_KINDS = 4 };
/* "shm-far", "staged-shm", "staged-sim", and where it was built in "verbs-far", whose GPU memory is the CPU's to
 * register. */
extern struct ta_transport_ops far_kinds[FAR_KINDS];
void far_kinds_make(void);

/* ta_transport_find, but for these, too. */
ta_status far_kinds_find(const char *name, const struct ta_transport_ops **out);
/* The GPU that a transport of these kinds was opened with; NULL: it is none of them. */
struct ta_gpu *far_kinds_gpu(const struct ta_transport *t);
/* What the owner of a window sees in it, of any make. */
ta_status far_kinds_read(const struct ta_transport_ops *ops, struct ta_transport *t, const struct ta_window *window,
                         size_t offset, size_t bytes, void *out);

#endif
