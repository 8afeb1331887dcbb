/* hdf5_internal: an open stream file, shared by what opens it (hdf5.c) and what reads its records (hdf5_read.c). */
#ifndef TA_HDF5_INTERNAL_H
#define TA_HDF5_INTERNAL_H

#include "h5.h"
#include "stream.h"

struct ta_hdf5_stream {
    struct ta_stream base;
    char *path;
    struct ta_h5 *file;
    struct ta_h5_set *x, *y, *t, *delay; /* y, t, delay: NULL when the file has none */
    enum ta_h5_type x_type;              /* in memory */
    int64_t *scratch;                    /* labels and times on their way */
    size_t scratch_count;
};

/* Makes `scratch` hold `count` numbers; what it held is lost. Errors: NO_MEMORY. */
ta_status ta_hdf5_room(struct ta_hdf5_stream *s, size_t count);

/* `read` of the make: see stream.h. */
ta_status ta_hdf5_read(struct ta_stream *base, uint64_t first, size_t count, const struct ta_stream_block *out);

#endif
