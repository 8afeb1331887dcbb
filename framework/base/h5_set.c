/* h5_set: datasets. A file from outside may claim anything, so an opened set is checked before its numbers are used. */
#include <stdio.h>
#include <string.h>

#include "h5_internal.h"
#include "mem.h"

static const char *const type_names[] = {"uint8",  "int8",    "int32",   "uint32", "int64",
                                         "uint64", "float32", "float64", "another type"};
static const unsigned char type_bytes[] = {1, 1, 4, 4, 8, 8, 4, 8, 0};

size_t ta_h5_type_bytes(enum ta_h5_type type) { return type <= TA_H5_OTHER ? type_bytes[type] : 0; }

const char *ta_h5_type_name(enum ta_h5_type type) { return type_names[type <= TA_H5_OTHER ? type : TA_H5_OTHER]; }

hid_t ta_h5_memory_type(enum ta_h5_type type) {
    switch (type) {
    case TA_H5_U8: return H5T_NATIVE_UINT8;
    case TA_H5_I8: return H5T_NATIVE_INT8;
    case TA_H5_I32: return H5T_NATIVE_INT32;
    case TA_H5_U32: return H5T_NATIVE_UINT32;
    case TA_H5_I64: return H5T_NATIVE_INT64;
    case TA_H5_U64: return H5T_NATIVE_UINT64;
    case TA_H5_F32: return H5T_NATIVE_FLOAT;
    case TA_H5_F64: return H5T_NATIVE_DOUBLE;
    default: return H5I_INVALID_HID;
    }
}

hid_t ta_h5_file_type(enum ta_h5_type type) {
    switch (type) {
    case TA_H5_U8: return H5T_STD_U8LE;
    case TA_H5_I8: return H5T_STD_I8LE;
    case TA_H5_I32: return H5T_STD_I32LE;
    case TA_H5_U32: return H5T_STD_U32LE;
    case TA_H5_I64: return H5T_STD_I64LE;
    case TA_H5_U64: return H5T_STD_U64LE;
    case TA_H5_F32: return H5T_IEEE_F32LE;
    case TA_H5_F64: return H5T_IEEE_F64LE;
    default: return H5I_INVALID_HID;
    }
}

enum ta_h5_type ta_h5_type_of(hid_t type) {
    const hid_t big[] = {H5T_STD_U8BE,  H5T_STD_I8BE,  H5T_STD_I32BE,  H5T_STD_U32BE,
                         H5T_STD_I64BE, H5T_STD_U64BE, H5T_IEEE_F32BE, H5T_IEEE_F64BE};
    for (int i = 0; i < TA_H5_OTHER; i++)
        if (H5Tequal(type, ta_h5_file_type(i)) > 0 || H5Tequal(type, big[i]) > 0) return i;
    return TA_H5_OTHER;
}

enum {
    CACHE_CHUNKS = 4,              /* one being read, its neighbour, and room for a second reader's place */
    MAX_CACHE_BYTES = 64 << 20,
    MAX_CHUNK_BYTES = 1 << 30,     /* HDF5 allocates a whole chunk to undo filters */
    MAX_INFLATION = 2048,          /* deflate cannot do better than 1032:1; the rest is slack */
    SMALL_BYTES = 16 << 20,        /* claims up to here need no proof */
};

/* A file that is being read cannot hold much more than its size, however well it was packed. */
static uint64_t file_holds(const struct ta_h5 *file) {
    bool any = file->mode != TA_H5_READ || file->bytes > UINT64_MAX / MAX_INFLATION;
    return any ? UINT64_MAX : file->bytes * MAX_INFLATION;
}

/* HDF5 makes no chunk wider than what it is a chunk of; a damaged one would be read beyond its end. */
static bool chunk_fits(const struct ta_h5_set *set, const hsize_t *chunk) {
    for (unsigned i = 1; i < set->shape.rank; i++)
        if (chunk[i] > set->shape.dims[i] && set->most[i] != H5S_UNLIMITED && chunk[i] > set->most[i]) return false;
    return true;
}

/* Shuffle, deflate and Fletcher-32 are what every HDF5 has; so are three more, whose inverses trust what they read. */
static ta_status check_filters(struct ta_h5_set *set, hid_t how) {
    int filters = H5Pget_nfilters(how);
    if (filters < 0 || filters > TA_H5_MAX_FILTERS)
        return ta_h5_refuse(TA_FORMAT, set->file, set->name, "is stored through %d filters, at most %d can be undone",
                            filters, TA_H5_MAX_FILTERS);
    for (int i = 0; i < filters; i++) {
        unsigned flags, config;
        size_t n = 0;
        char name[64] = "";
        int filter = H5Pget_filter2(how, (unsigned)i, &flags, &n, NULL, sizeof name, name, &config);
        if (filter < 0) return ta_h5_fail(TA_FORMAT, set->file, set->name, "has a damaged list of filters");
        if (filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_FLETCHER32)
            return ta_h5_refuse(TA_FORMAT, set->file, set->name,
                                "is stored through filter %d (%s); only shuffle, gzip and fletcher32 can be undone: "
                                "h5repack -f GZIP=4",
                                filter, name[0] ? name : "no name");
        set->filters[i] = filter;
    }
    set->n_filters = (unsigned)filters;
    return TA_OK;
}

static ta_status check_layout(struct ta_h5_set *set, hid_t how) {
    struct ta_h5 *file = set->file;
    uint64_t holds = file_holds(file);
    H5D_layout_t layout = H5Pget_layout(how);
    if (layout < 0 || layout == H5D_VIRTUAL || H5Pget_external_count(how) > 0)
        return ta_h5_refuse(TA_FORMAT, file, set->name, "keeps its data in other files; make it whole with h5repack");
    if (layout == H5D_CHUNKED) {
        hsize_t chunk[TA_H5_MAX_RANK];
        uint64_t bytes = set->shape.type == TA_H5_OTHER ? 1 : ta_h5_type_bytes(set->shape.type);
        if (H5Pget_chunk(how, TA_H5_MAX_RANK, chunk) != (int)set->shape.rank)
            return ta_h5_fail(TA_FORMAT, file, set->name, "its chunks have another rank than its data");
        for (unsigned i = 0; i < set->shape.rank; i++)
            if (__builtin_mul_overflow(bytes, chunk[i], &bytes) || bytes > MAX_CHUNK_BYTES)
                return ta_h5_refuse(TA_FORMAT, file, set->name,
                                    "has chunks of over %d MiB; make them smaller with h5repack",
                                    MAX_CHUNK_BYTES >> 20);
        set->chunk_rows = chunk[0];
        set->chunk_bytes = bytes;
        memcpy(set->chunk_dims, chunk, sizeof set->chunk_dims);
        if (bytes == 0 || !chunk_fits(set, chunk) || (bytes > SMALL_BYTES && bytes > holds))
            return ta_h5_refuse(TA_FORMAT, file, set->name, "has chunks of a shape that cannot be: damaged");
    }
    return layout == H5D_CHUNKED ? check_filters(set, how) : TA_OK;
}

/* Rank, dims and type of an open dataset, none of it believed. */
static ta_status check_shape(struct ta_h5_set *set) {
    struct ta_h5 *file = set->file;
    ta_status status = TA_OK;
    hid_t type = H5Dget_type(set->id), space = H5Dget_space(set->id);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    hsize_t dims[H5S_MAX_RANK];
    if (type < 0 || rank < 0) {
        status = ta_h5_fail(TA_FORMAT, file, set->name, "cannot be understood");
    } else if (rank > TA_H5_MAX_RANK) {
        status = ta_h5_refuse(TA_FORMAT, file, set->name, "has rank %d; at most %d can be read", rank, TA_H5_MAX_RANK);
    } else if (H5Sget_simple_extent_type(space) == H5S_NULL) {
        status = ta_h5_refuse(TA_FORMAT, file, set->name, "is an empty dataset without a shape");
    } else if (rank > 0 && H5Sget_simple_extent_dims(space, dims, set->most) != rank) {
        status = ta_h5_fail(TA_FORMAT, file, set->name, "cannot be understood");
    } else {
        set->shape.type = ta_h5_type_of(type);
        set->native = H5Tequal(type, ta_h5_memory_type(set->shape.type)) > 0;
        set->shape.rank = (unsigned)rank;
        for (int i = 0; i < rank; i++) set->shape.dims[i] = dims[i];
    }
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    return status;
}

static ta_status check_size(struct ta_h5_set *set) {
    uint64_t elements = 1, bytes, width = ta_h5_type_bytes(set->shape.type);
    bool absurd = false;
    for (unsigned i = 1; i < set->shape.rank; i++)
        absurd |= __builtin_mul_overflow(elements, set->shape.dims[i], &elements);
    set->row_elements = elements;
    if (set->shape.rank > 0) absurd |= __builtin_mul_overflow(elements, set->shape.dims[0], &elements);
    absurd |= __builtin_mul_overflow(elements, width == 0 ? 1 : width, &bytes) || bytes > INT64_MAX;
    absurd |= bytes > SMALL_BYTES && bytes > file_holds(set->file);
    if (absurd || set->row_elements > INT64_MAX / 8)
        return ta_h5_refuse(TA_FORMAT, set->file, set->name,
                            "claims %llu rows of %llu elements in a file of %llu bytes: damaged",
                            (unsigned long long)(set->shape.rank ? set->shape.dims[0] : 1),
                            (unsigned long long)set->row_elements, (unsigned long long)set->file->bytes);
    return TA_OK;
}

/* Opens with a cache that holds a few whole chunks: HDF5's own of 1 MiB would undo a larger one again for every row. */
static ta_status cache_chunks(struct ta_h5_set *set) {
    uint64_t bytes = set->chunk_bytes * CACHE_CHUNKS;
    if (bytes <= 1 << 20) return TA_OK;
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    hid_t again = H5I_INVALID_HID;
    if (access >= 0) {
        if (H5Pset_chunk_cache(access, 521, bytes < MAX_CACHE_BYTES ? bytes : MAX_CACHE_BYTES, 1.0) >= 0) {
            H5Dclose(set->id);
            again = H5Dopen2(set->file->id, set->name, access);
        }
        H5Pclose(access);
    }
    set->id = again;
    return again >= 0 ? TA_OK : ta_h5_fail(TA_FORMAT, set->file, set->name, "cannot be opened");
}

static ta_status open_locked(struct ta_h5_set *set) {
    if (!ta_h5_resolves(set->file->id, set->name))
        return ta_h5_refuse(TA_FORMAT, set->file, set->name, "is not in the file");
    set->id = H5Dopen2(set->file->id, set->name, H5P_DEFAULT);
    if (set->id < 0) return ta_h5_fail(TA_FORMAT, set->file, set->name, "is not a dataset that can be opened");
    ta_status status = check_shape(set);
    if (status == TA_OK) status = check_size(set);
    if (status != TA_OK) return status;
    hid_t how = H5Dget_create_plist(set->id);
    if (how < 0) return ta_h5_fail(TA_FORMAT, set->file, set->name, "cannot be understood");
    status = check_layout(set, how);
    H5Pclose(how);
    return status == TA_OK ? cache_chunks(set) : status;
}

static ta_status set_new(struct ta_h5 *file, const char *name, struct ta_h5_set **out) {
    ta_status status = TA_NEW(out, 1, "HDF5 dataset");
    if (status != TA_OK) return status;
    (*out)->file = file;
    (*out)->id = H5I_INVALID_HID;
    return ta_mem_strdup(name, "HDF5 dataset name", &(*out)->name);
}

void ta_h5_set_close(struct ta_h5_set *set) {
    if (set == NULL) return;
    if (set->id >= 0) {
        ta_h5_lock();
        H5Dclose(set->id);
        ta_h5_unlock();
    }
    ta_mem_free(set->stored);
    ta_mem_free(set->chunk);
    ta_mem_free(set->name);
    ta_mem_free(set);
}

ta_status ta_h5_set_open(struct ta_h5 *file, const char *name, struct ta_h5_set **out) {
    struct ta_h5_set *set;
    *out = NULL;
    ta_status status = set_new(file, name, &set);
    if (status == TA_OK) {
        ta_h5_lock();
        status = open_locked(set);
        ta_h5_unlock();
    }
    if (status == TA_OK)
        *out = set;
    else
        ta_h5_set_close(set);
    return status;
}

static ta_status creation_properties(struct ta_h5_set *set, const struct ta_h5_create *how, hid_t *out) {
    hsize_t chunk[TA_H5_MAX_RANK];
    for (unsigned i = 0; i < how->shape.rank; i++) chunk[i] = how->shape.dims[i];
    chunk[0] = how->chunk_rows;
    hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    bool good = p >= 0 && H5Pset_obj_track_times(p, 0) >= 0; /* the same content gives the same bytes */
    if (how->chunk_rows > 0) {
        good = good && H5Pset_chunk(p, (int)how->shape.rank, chunk) >= 0;
        if (how->shuffle) good = good && H5Pset_shuffle(p) >= 0;
        if (how->gzip > 0) good = good && H5Pset_deflate(p, (unsigned)how->gzip) >= 0;
        if (how->checksum) good = good && H5Pset_fletcher32(p) >= 0;
    }
    *out = p;
    return good ? TA_OK : ta_h5_fail(TA_INVALID, set->file, set->name, "cannot be stored like this");
}

static ta_status create_locked(struct ta_h5_set *set, const struct ta_h5_create *how) {
    hsize_t dims[TA_H5_MAX_RANK], most[TA_H5_MAX_RANK];
    for (unsigned i = 0; i < how->shape.rank; i++) dims[i] = most[i] = how->shape.dims[i];
    if (how->chunk_rows > 0) most[0] = H5S_UNLIMITED;
    hid_t properties = H5I_INVALID_HID;
    ta_status status = creation_properties(set, how, &properties);
    hid_t links = ta_h5_make_parents();
    hid_t space = how->shape.rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple((int)how->shape.rank, dims, most);
    if (status == TA_OK && links >= 0 && space >= 0)
        set->id = H5Dcreate2(set->file->id, set->name, ta_h5_file_type(how->shape.type), space, links, properties,
                             H5P_DEFAULT);
    if (status == TA_OK && set->id < 0) status = ta_h5_fail(TA_IO, set->file, set->name, "cannot be created");
    if (space >= 0) H5Sclose(space);
    if (links >= 0) H5Pclose(links);
    if (properties >= 0) H5Pclose(properties);
    return status;
}

/* What a caller inside the program may ask for. */
static ta_status check_create(struct ta_h5 *file, const char *name, const struct ta_h5_create *how) {
    uint64_t bytes = ta_h5_type_bytes(how->shape.type), chunk = bytes;
    bool wrong = bytes == 0 || how->shape.rank > TA_H5_MAX_RANK || (how->chunk_rows > 0 && how->shape.rank == 0) ||
                 how->gzip < 0 || how->gzip > 9 ||
                 (how->chunk_rows == 0 && (how->gzip > 0 || how->shuffle || how->checksum));
    for (unsigned i = 0; !wrong && i < how->shape.rank; i++) {
        wrong |= __builtin_mul_overflow(bytes, how->shape.dims[i], &bytes) || bytes > INT64_MAX;
        wrong |= __builtin_mul_overflow(chunk, i == 0 ? how->chunk_rows : how->shape.dims[i], &chunk);
    }
    if (wrong || chunk > MAX_CHUNK_BYTES)
        return ta_h5_refuse(TA_INVALID, file, name, "cannot be created with rank %u of %s, chunks of %llu rows (%llu "
                            "bytes; at most %d), gzip %d", how->shape.rank, ta_h5_type_name(how->shape.type),
                            (unsigned long long)how->chunk_rows, (unsigned long long)chunk, MAX_CHUNK_BYTES, how->gzip);
    return TA_OK;
}

ta_status ta_h5_set_create(struct ta_h5 *file, const char *name, const struct ta_h5_create *how,
                           struct ta_h5_set **out) {
    struct ta_h5_set *set = NULL;
    *out = NULL;
    ta_status status = check_create(file, name, how);
    if (status == TA_OK) status = set_new(file, name, &set);
    if (status == TA_OK) {
        set->shape = how->shape;
        set->chunk_rows = how->chunk_rows;
        set->row_elements = 1;
        for (unsigned i = 1; i < how->shape.rank; i++) set->row_elements *= how->shape.dims[i];
        set->chunk_bytes = how->chunk_rows * set->row_elements * ta_h5_type_bytes(how->shape.type);
        memcpy(set->chunk_dims, how->shape.dims, sizeof set->chunk_dims);
        set->chunk_dims[0] = how->chunk_rows;
        set->native = true;
        if (how->shuffle) set->filters[set->n_filters++] = H5Z_FILTER_SHUFFLE;
        if (how->gzip > 0) set->filters[set->n_filters++] = H5Z_FILTER_DEFLATE;
        if (how->checksum) set->filters[set->n_filters++] = H5Z_FILTER_FLETCHER32;
        ta_h5_lock();
        status = create_locked(set, how);
        if (status == TA_OK) status = cache_chunks(set);
        ta_h5_unlock();
    }
    if (status == TA_OK)
        *out = set;
    else
        ta_h5_set_close(set);
    return status;
}

const struct ta_h5_shape *ta_h5_set_shape(const struct ta_h5_set *set) { return &set->shape; }

uint64_t ta_h5_set_chunk_rows(const struct ta_h5_set *set) { return set->chunk_rows; }
