/* h5_chunk: reads rows of sets stored through filters, undoing the filters here. libhdf5 1.10 believes that what comes
 * out of a filter is a whole chunk, and reads beyond it when a file is damaged; and its checksum is slow. */
#include <string.h>
#include <zlib.h>

#include "h5_internal.h"
#include "mem.h"

typedef unsigned long long ull;

typedef uint16_t lanes16 __attribute__((vector_size(16)));
typedef uint32_t lanes32 __attribute__((vector_size(32)));

/* Fletcher's checksum over big-endian 16-bit words, modulo 65535 (Fletcher, IEEE Trans. Comm. 30:247, 1982): sum1 is
 * the sum of the words, sum2 the sum of all sum1. Words go to eight lanes in turn, each with such sums of its own; word
 * k * 8 + l of n has the weight n - k * 8 - l in sum2, and that is what `weighted` puts together. */
static uint32_t fletcher32(const unsigned char *p, size_t bytes) {
    enum { LANES = 8, STEPS = 256 }; /* STEPS * (STEPS + 1) / 2 * 65535 fits into 32 bits */
    uint64_t sum1 = 0, sum2 = 0;
    size_t words = bytes / 2;
    while (words >= LANES) {
        size_t steps = words / LANES < STEPS ? words / LANES : STEPS, n = steps * LANES;
        lanes32 plain = {0}, running = {0};
        uint64_t total = 0, weighted = 0;
        for (size_t k = 0; k < steps; k++) {
            lanes16 word;
            memcpy(&word, p + k * sizeof word, sizeof word);
            plain += __builtin_convertvector(word << 8 | word >> 8, lanes32);
            running += plain;
        }
        for (uint32_t l = 0; l < LANES; l++) {
            total += plain[l];
            weighted += (uint64_t)LANES * running[l] - (uint64_t)l * plain[l];
        }
        sum2 = (sum2 + n * sum1 + weighted) % 65535;
        sum1 = (sum1 + total) % 65535;
        p += 2 * n;
        words -= n;
    }
    for (; words > 0; words--, p += 2) {
        sum1 = (sum1 + ((uint32_t)p[0] << 8 | p[1])) % 65535;
        sum2 = (sum2 + sum1) % 65535;
    }
    if (bytes % 2 == 1) {
        sum1 = (sum1 + ((uint32_t)*p << 8)) % 65535;
        sum2 = (sum2 + sum1) % 65535;
    }
    return (uint32_t)(sum2 << 16 | sum1);
}

/* libhdf5 folds instead of dividing, so that it says 65535 where we say 0: the same number modulo 65535. */
static bool same_checksum(uint32_t ours, uint32_t stored) {
    return (stored & 0xffff) % 65535 == (ours & 0xffff) && (stored >> 16) % 65535 == ours >> 16;
}

static bool undo_fletcher(const unsigned char *in, size_t *bytes) {
    if (*bytes < 4) return false;
    *bytes -= 4;
    const unsigned char *end = in + *bytes;
    uint32_t stored = end[0] | (uint32_t)end[1] << 8 | (uint32_t)end[2] << 16 | (uint32_t)end[3] << 24;
    return same_checksum(fletcher32(in, *bytes), stored);
}

static void undo_shuffle(const unsigned char *in, unsigned char *out, size_t bytes, size_t width) {
    size_t n = bytes / width;
    for (size_t b = 0; b < width; b++)
        for (size_t i = 0; i < n; i++) out[i * width + b] = in[b * n + i];
    memcpy(out + n * width, in + n * width, bytes - n * width);
}

static bool undo_deflate(const unsigned char *in, unsigned char *out, size_t *bytes, size_t room) {
    uLongf made = room;
    if (uncompress(out, &made, in, *bytes) != Z_OK) return false;
    *bytes = made;
    return true;
}

/* What was stored lies in set->stored; the chunk ends up in set->chunk. Returns what is wrong, or NULL. */
static const char *undo_filters(struct ta_h5_set *set, size_t bytes, uint32_t skipped) {
    size_t room = set->chunk_bytes + TA_H5_FILTER_SLACK;
    for (unsigned i = set->n_filters; i-- > 0;) {
        if (skipped >> i & 1) continue;
        unsigned char *swap = set->stored;
        if (set->filters[i] == H5Z_FILTER_FLETCHER32) {
            if (!undo_fletcher(set->stored, &bytes)) return "its checksum is wrong";
            continue;
        }
        if (set->filters[i] == H5Z_FILTER_SHUFFLE) {
            if (bytes > room) return "it is too long";
            undo_shuffle(set->stored, set->chunk, bytes, ta_h5_type_bytes(set->shape.type));
        } else if (!undo_deflate(set->stored, set->chunk, &bytes, room)) {
            return "it cannot be unpacked";
        }
        set->stored = set->chunk;
        set->chunk = swap;
    }
    if (bytes != set->chunk_bytes) return "it has not the length of a chunk";
    unsigned char *swap = set->stored;
    set->stored = set->chunk;
    set->chunk = swap;
    return NULL;
}

static ta_status make_buffers(struct ta_h5_set *set) {
    /* Deflate may make what it cannot shrink a little longer. */
    size_t room = set->chunk_bytes + set->chunk_bytes / 64 + TA_H5_FILTER_SLACK;
    ta_status status = TA_OK;
    if (set->stored == NULL) status = ta_mem_alloc(room, 1, "HDF5 chunk", (void **)&set->stored);
    if (status == TA_OK && set->chunk == NULL) status = ta_mem_alloc(room, 1, "HDF5 chunk", (void **)&set->chunk);
    return status;
}

static ta_status damaged(struct ta_h5_set *set, const hsize_t *at, const char *what) {
    uint64_t end = at[0] + set->chunk_dims[0];
    if (end > set->shape.dims[0]) end = set->shape.dims[0];
    return ta_h5_refuse(TA_IO, set->file, set->name, "the chunk of rows %llu to %llu cannot be read (damaged?): %s",
                        (ull)at[0], (ull)end - 1, what);
}

/* Reads the chunk whose first element is `at` and undoes its filters. *there: it was ever written. */
static ta_status load_chunk(struct ta_h5_set *set, const hsize_t *at, bool *there) {
    hsize_t bytes = 0;
    uint32_t skipped = 0;
    *there = true;
    ta_status status = make_buffers(set);
    if (status != TA_OK) return status;
    set->held = 0;
    if (H5Dget_chunk_storage_size(set->id, at, &bytes) < 0) return damaged(set, at, "its place is not known");
    *there = bytes > 0;
    if (!*there) return TA_OK;
    if (bytes > set->chunk_bytes + set->chunk_bytes / 64 + TA_H5_FILTER_SLACK)
        return damaged(set, at, "it is longer than any chunk can be");
    if (H5Dread_chunk(set->id, H5P_DEFAULT, at, &skipped, set->stored) < 0)
        return damaged(set, at, "it does not lie in the file");
    const char *wrong = undo_filters(set, bytes, skipped);
    return wrong == NULL ? TA_OK : damaged(set, at, wrong);
}

/* n elements of the file's type to the wanted one. */
static ta_status convert(struct ta_h5_set *set, enum ta_h5_type type, const unsigned char *in, size_t n, void *out) {
    size_t from = ta_h5_type_bytes(set->shape.type), to = ta_h5_type_bytes(type);
    if (set->native && type == set->shape.type) {
        memcpy(out, in, n * to);
        return TA_OK;
    }
    enum { ROOM = 4096 };
    unsigned char room[ROOM * 8];
    hid_t source = H5Dget_type(set->id);
    bool good = source >= 0;
    for (size_t at = 0; at < n && good; at += ROOM) {
        size_t part = n - at < ROOM ? n - at : ROOM;
        memcpy(room, in + at * from, part * from);
        good = H5Tconvert(source, ta_h5_memory_type(type), part, room, NULL, H5P_DEFAULT) >= 0;
        memcpy((char *)out + at * to, room, part * to);
    }
    if (source >= 0) H5Tclose(source);
    return good ? TA_OK : ta_h5_fail(TA_FORMAT, set->file, set->name, "cannot be read as %s", ta_h5_type_name(type));
}

/* Chunks of whole rows: straight from the chunk into the caller's rows. */
static ta_status read_rows(struct ta_h5_set *set, enum ta_h5_type type, uint64_t first, uint64_t rows, char *out) {
    uint64_t row_in = set->row_elements * ta_h5_type_bytes(set->shape.type);
    uint64_t row_out = set->row_elements * ta_h5_type_bytes(type);
    ta_status status = TA_OK;
    for (uint64_t at = first, end = first + rows; at < end && status == TA_OK;) {
        uint64_t chunk = at / set->chunk_rows, offset = at % set->chunk_rows;
        uint64_t n = set->chunk_rows - offset < end - at ? set->chunk_rows - offset : end - at;
        hsize_t place[TA_H5_MAX_RANK] = {chunk * set->chunk_rows};
        bool there = true;
        if (set->held != chunk + 1) status = load_chunk(set, place, &there);
        if (status != TA_OK) break;
        set->held = there ? chunk + 1 : 0;
        if (there)
            status = convert(set, type, set->chunk + offset * row_in, n * set->row_elements, out);
        else
            status = ta_h5_read_plain(set, type, at, n, out); /* the fill value */
        out += n * row_out;
        at += n;
    }
    return status;
}

/* Chunks that cut rows (not ours): each that is touched is tried first, then libhdf5 may read them. */
static ta_status read_tried(struct ta_h5_set *set, enum ta_h5_type type, uint64_t first, uint64_t rows, void *out) {
    hsize_t at[TA_H5_MAX_RANK] = {first / set->chunk_rows * set->chunk_rows};
    bool there;
    for (;;) {
        ta_status status = load_chunk(set, at, &there);
        if (status != TA_OK) return status;
        unsigned d = set->shape.rank - 1;
        for (; d > 0; d--) {
            at[d] += set->chunk_dims[d];
            if (at[d] < set->shape.dims[d]) break;
            at[d] = 0;
        }
        if (d == 0) at[0] += set->chunk_dims[0];
        if (at[0] >= first + rows) return ta_h5_read_plain(set, type, first, rows, out);
    }
}

ta_status ta_h5_read_filtered(struct ta_h5_set *set, enum ta_h5_type type, uint64_t first, uint64_t rows, void *out) {
    bool whole = true;
    for (unsigned i = 1; i < set->shape.rank; i++) whole &= set->chunk_dims[i] == set->shape.dims[i];
    return whole ? read_rows(set, type, first, rows, out) : read_tried(set, type, first, rows, out);
}
