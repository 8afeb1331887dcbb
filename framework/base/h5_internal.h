/* h5_internal: what the files of the h5 wrapper share. Nobody else includes it. */
#ifndef TA_H5_INTERNAL_H
#define TA_H5_INTERNAL_H

#include <hdf5.h>

#include "h5.h"

struct ta_h5 {
    hid_t id;
    enum ta_h5_mode mode;
    uint64_t bytes; /* of the file when it was opened */
    char *path;
};

enum {
    TA_H5_MAX_FILTERS = 8,
    TA_H5_FILTER_SLACK = 1024, /* bytes that filters may add to a chunk */
};

struct ta_h5_set {
    struct ta_h5 *file; /* borrowed */
    hid_t id;
    struct ta_h5_shape shape;
    uint64_t chunk_rows;   /* 0: contiguous */
    uint64_t chunk_bytes;  /* 0: contiguous */
    hsize_t most[TA_H5_MAX_RANK]; /* of an opened set: how far each dimension may grow */
    uint64_t row_elements; /* product of dims[1..] */
    char *name;

    /* Of sets stored through filters. */
    unsigned n_filters;
    int filters[TA_H5_MAX_FILTERS]; /* in the order of writing */
    hsize_t chunk_dims[TA_H5_MAX_RANK];
    bool native;                    /* elements are stored as this machine has them */
    uint64_t held;                  /* number of the chunk in `chunk`, from 1; 0: none */
    unsigned char *stored, *chunk;  /* as in the file; unpacked */
};

/* The one lock of the process, recursive: a visit of ta_h5_walk may call back into the wrapper. The first lock also
 * silences HDF5's own printing. The pair brackets every use of libhdf5. */
void ta_h5_lock(void);
void ta_h5_unlock(void);

/* Makes "PATH: OBJECT: text: HDF5's innermost message" and returns `status`. `object` may be NULL. Under the lock,
 * right after the failing call: the next successful HDF5 call may clear its error stack. */
ta_status ta_h5_fail(ta_status status, const struct ta_h5 *file, const char *object, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same without HDF5's words, for what we found ourselves. */
ta_status ta_h5_refuse(ta_status status, const struct ta_h5 *file, const char *object, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

hid_t ta_h5_memory_type(enum ta_h5_type type); /* of this machine; borrowed */
hid_t ta_h5_file_type(enum ta_h5_type type);   /* little endian; borrowed */
enum ta_h5_type ta_h5_type_of(hid_t type);     /* either byte order; OTHER when it is none of ours */

/* Rows of a set, under the lock, arguments checked: as libhdf5 reads them, and undoing the filters ourselves. */
ta_status ta_h5_read_plain(struct ta_h5_set *set, enum ta_h5_type type, uint64_t first, uint64_t rows, void *out);
ta_status ta_h5_read_filtered(struct ta_h5_set *set, enum ta_h5_type type, uint64_t first, uint64_t rows, void *out);

/* Link-creation properties that make missing groups on the way; H5I_INVALID_HID on failure. Closed by H5Pclose. */
hid_t ta_h5_make_parents(void);

/* True when every step of `object` is there and it can be opened. Under the lock. */
bool ta_h5_resolves(hid_t file, const char *object);

#endif
