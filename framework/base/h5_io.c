/* h5_io: rows of datasets, in and out, and which rows a damaged chunk spoils. */
#include <stdio.h>

#include "h5_internal.h"
#include "mem.h"

typedef unsigned long long ull;

static uint64_t rows_of(const struct ta_h5_set *set) { return set->shape.rank == 0 ? 1 : set->shape.dims[0]; }

/* Selects the rows in a fresh copy of the file's dataspace, and makes the matching space in memory. */
static bool select_rows(struct ta_h5_set *set, uint64_t first, uint64_t rows, hid_t spaces[2]) {
    hsize_t start[TA_H5_MAX_RANK] = {first}, count[TA_H5_MAX_RANK];
    for (unsigned i = 0; i < set->shape.rank; i++) count[i] = set->shape.dims[i];
    count[0] = rows;
    spaces[0] = H5Dget_space(set->id);
    spaces[1] = H5I_INVALID_HID;
    if (spaces[0] < 0) return false;
    if (set->shape.rank == 0)
        spaces[1] = H5Screate(H5S_SCALAR);
    else if (H5Sselect_hyperslab(spaces[0], H5S_SELECT_SET, start, NULL, count, NULL) >= 0)
        spaces[1] = H5Screate_simple((int)set->shape.rank, count, NULL);
    return spaces[1] >= 0;
}

static bool transfer(struct ta_h5_set *set, enum ta_h5_type type, uint64_t first, uint64_t rows, void *out,
                     const void *in) {
    hid_t spaces[2];
    bool good = select_rows(set, first, rows, spaces);
    hid_t memory = ta_h5_memory_type(type);
    if (good && out != NULL)
        good = H5Dread(set->id, memory, spaces[1], spaces[0], H5P_DEFAULT, out) >= 0;
    else if (good)
        good = H5Dwrite(set->id, memory, spaces[1], spaces[0], H5P_DEFAULT, in) >= 0;
    if (good) {
        H5Sclose(spaces[0]);
        H5Sclose(spaces[1]);
        return true;
    }
    /* The error stack must survive until the message is made, and a successful close would clear it: keep it aside. */
    hid_t errors = H5Eget_current_stack();
    if (spaces[0] >= 0) H5Sclose(spaces[0]);
    if (spaces[1] >= 0) H5Sclose(spaces[1]);
    if (errors >= 0) H5Eset_current_stack(errors);
    return false;
}

/* A read of many rows failed: the chunk that is to blame is found by reading them one by one. */
static ta_status blame_chunk(struct ta_h5_set *set, enum ta_h5_type type, uint64_t first, uint64_t rows, char *out) {
    uint64_t row_bytes = set->row_elements * ta_h5_type_bytes(type);
    for (uint64_t at = first, end = first + rows; set->chunk_rows > 0 && at < end;) {
        uint64_t stop = (at / set->chunk_rows + 1) * set->chunk_rows;
        if (stop > end) stop = end;
        if (!transfer(set, type, at, stop - at, out + (at - first) * row_bytes, NULL)) {
            uint64_t chunk_first = at / set->chunk_rows * set->chunk_rows, chunk_end = chunk_first + set->chunk_rows;
            if (chunk_end > rows_of(set)) chunk_end = rows_of(set);
            return ta_h5_fail(TA_IO, set->file, set->name, "the chunk of rows %llu to %llu cannot be read (damaged?)",
                              (ull)chunk_first, (ull)chunk_end - 1);
        }
        at = stop;
    }
    return ta_h5_fail(TA_IO, set->file, set->name, "rows %llu to %llu cannot be read", (ull)first,
                      (ull)(first + rows - 1));
}

static ta_status check_convertible(struct ta_h5_set *set, enum ta_h5_type type) {
    if (ta_h5_type_bytes(type) == 0) return ta_fail(TA_INVALID, "%s: asked for no type that memory has", set->name);
    if (set->shape.type != TA_H5_OTHER) return TA_OK;
    return ta_h5_refuse(TA_FORMAT, set->file, set->name,
                        "has elements of a type that cannot be read as %s; store it as one of uint8, int8, int32, "
                        "uint32, int64, uint64, float32, float64",
                        ta_h5_type_name(type));
}

ta_status ta_h5_read_plain(struct ta_h5_set *set, enum ta_h5_type type, uint64_t first, uint64_t rows, void *out) {
    return transfer(set, type, first, rows, out, NULL) ? TA_OK : blame_chunk(set, type, first, rows, out);
}

ta_status ta_h5_set_read(struct ta_h5_set *set, enum ta_h5_type type, uint64_t first, uint64_t rows, void *out) {
    ta_status status = check_convertible(set, type);
    if (status != TA_OK) return status;
    uint64_t have = rows_of(set);
    if (first > have || rows > have - first)
        return ta_h5_refuse(TA_FORMAT, set->file, set->name, "rows %llu to %llu were asked for, it has %llu",
                            (ull)first, (ull)(first + rows) - 1, (ull)have);
    if (rows == 0 || set->row_elements == 0) return TA_OK;
    ta_h5_lock();
    status = set->n_filters == 0 ? ta_h5_read_plain(set, type, first, rows, out)
                                 : ta_h5_read_filtered(set, type, first, rows, out);
    ta_h5_unlock();
    return status;
}

static ta_status extend(struct ta_h5_set *set, uint64_t rows) {
    hsize_t dims[TA_H5_MAX_RANK];
    for (unsigned i = 0; i < set->shape.rank; i++) dims[i] = set->shape.dims[i];
    dims[0] = rows;
    if (H5Dset_extent(set->id, dims) < 0)
        return ta_h5_fail(TA_IO, set->file, set->name, "cannot grow from %llu to %llu rows", (ull)set->shape.dims[0],
                          (ull)rows);
    set->shape.dims[0] = rows;
    return TA_OK;
}

ta_status ta_h5_set_write(struct ta_h5_set *set, enum ta_h5_type type, uint64_t first, uint64_t rows, const void *in) {
    ta_status status = check_convertible(set, type);
    if (status != TA_OK) return status;
    uint64_t end, have = rows_of(set);
    if (__builtin_add_overflow(first, rows, &end) || (end > have && set->chunk_rows == 0))
        return ta_h5_refuse(TA_FORMAT, set->file, set->name,
                            "%llu rows from %llu on do not fit: it has %llu and cannot grow without chunks", (ull)rows,
                            (ull)first, (ull)have);
    if (rows == 0) return TA_OK;
    ta_h5_lock();
    set->held = 0; /* what was unpacked may be what is overwritten */
    if (end > have) status = extend(set, end);
    if (status == TA_OK && set->row_elements > 0 && !transfer(set, type, first, rows, NULL, in))
        status = ta_h5_fail(TA_IO, set->file, set->name, "rows %llu to %llu cannot be written", (ull)first,
                            (ull)end - 1);
    ta_h5_unlock();
    return status;
}

ta_status ta_h5_write_all(struct ta_h5 *file, const char *name, const struct ta_h5_shape *shape, const void *in) {
    struct ta_h5_set *set;
    ta_status status = ta_h5_set_create(file, name, &(struct ta_h5_create){.shape = *shape}, &set);
    if (status != TA_OK) return status;
    status = ta_h5_set_write(set, shape->type, 0, rows_of(set), in);
    ta_h5_set_close(set);
    return status;
}

/* "(3, 4)" */
static void shape_text(const struct ta_h5_shape *shape, char *text, size_t bytes) {
    size_t used = 0;
    for (unsigned i = 0; i < shape->rank && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, i ? ", %llu" : "(%llu", (ull)shape->dims[i]);
    if (used < bytes) snprintf(text + used, bytes - used, shape->rank ? ")" : "()");
}

ta_status ta_h5_read_all(struct ta_h5 *file, const char *name, const struct ta_h5_shape *expected, void *out) {
    struct ta_h5_set *set;
    ta_status status = ta_h5_set_open(file, name, &set);
    if (status != TA_OK) return status;
    bool equal = set->shape.rank == expected->rank;
    for (unsigned i = 0; equal && i < expected->rank; i++) equal = set->shape.dims[i] == expected->dims[i];
    if (equal) {
        status = ta_h5_set_read(set, expected->type, 0, rows_of(set), out);
    } else {
        char found[160], wanted[160];
        shape_text(&set->shape, found, sizeof found);
        shape_text(expected, wanted, sizeof wanted);
        status = ta_h5_refuse(TA_FORMAT, file, name, "has the shape %s, expected %s", found, wanted);
    }
    ta_h5_set_close(set);
    return status;
}

ta_status ta_h5_set_flush(struct ta_h5_set *set) {
    ta_h5_lock();
    ta_status status = H5Dflush(set->id) < 0 ? ta_h5_fail(TA_IO, set->file, set->name, "cannot be written") : TA_OK;
    ta_h5_unlock();
    return status;
}
