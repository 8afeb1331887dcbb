/* h5_attr: attributes, with Keras' rule for lists of names too long for one. */
#include <stdio.h>
#include <string.h>

#include "h5_internal.h"
#include "mem.h"

enum {
    KERAS_LIMIT_BYTES = 64512, /* HDF5_OBJECT_HEADER_LIMIT of Keras 2: attributes lie in object headers of 64 KiB */
    NAME_BYTES = 256,
};

static bool exists_locked(struct ta_h5 *file, const char *object, const char *name) {
    bool there = ta_h5_resolves(file->id, object) && H5Aexists_by_name(file->id, object, name, H5P_DEFAULT) > 0;
    H5Eclear2(H5E_DEFAULT);
    return there;
}

bool ta_h5_attr_exists(struct ta_h5 *file, const char *object, const char *name) {
    ta_h5_lock();
    bool there = exists_locked(file, object, name);
    ta_h5_unlock();
    return there;
}

/* Writes one attribute, in place of an older one of that name. `dims` NULL: a scalar. */
static ta_status put(struct ta_h5 *file, const char *object, const char *name, hid_t types[2], const hsize_t *dims,
                     const void *value) {
    ta_status status = TA_OK;
    if (!ta_h5_resolves(file->id, object))
        return ta_h5_refuse(TA_FORMAT, file, object, "is not there, so it cannot have an attribute '%s'", name);
    if (exists_locked(file, object, name) && H5Adelete_by_name(file->id, object, name, H5P_DEFAULT) < 0)
        return ta_h5_fail(TA_IO, file, object, "cannot replace attribute '%s'", name);
    hid_t space = dims == NULL ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, dims, NULL);
    hid_t attr = space < 0 ? H5I_INVALID_HID
                           : H5Acreate_by_name(file->id, object, name, types[0], space, H5P_DEFAULT, H5P_DEFAULT,
                                               H5P_DEFAULT);
    bool empty = dims != NULL && dims[0] == 0;
    if (attr < 0 || (!empty && H5Awrite(attr, types[1], value) < 0))
        status = ta_h5_fail(TA_IO, file, object, "cannot write attribute '%s'", name);
    if (attr >= 0) H5Aclose(attr);
    if (space >= 0) H5Sclose(space);
    return status;
}

static ta_status put_number(struct ta_h5 *file, const char *object, const char *name, enum ta_h5_type type,
                            const void *value) {
    ta_h5_lock();
    ta_status status = put(file, object, name, (hid_t[2]){ta_h5_file_type(type), ta_h5_memory_type(type)}, NULL, value);
    ta_h5_unlock();
    return status;
}

ta_status ta_h5_attr_set_i64(struct ta_h5 *file, const char *object, const char *name, int64_t value) {
    return put_number(file, object, name, TA_H5_I64, &value);
}

ta_status ta_h5_attr_set_f64(struct ta_h5 *file, const char *object, const char *name, double value) {
    return put_number(file, object, name, TA_H5_F64, &value);
}

/* A UTF-8 string type of `bytes` (H5T_VARIABLE: any length). */
static hid_t string_type(size_t bytes) {
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type < 0) return type;
    H5T_str_t pad = bytes == H5T_VARIABLE ? H5T_STR_NULLTERM : H5T_STR_NULLPAD;
    if (H5Tset_size(type, bytes) < 0 || H5Tset_strpad(type, pad) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0) {
        H5Tclose(type);
        return H5I_INVALID_HID;
    }
    return type;
}

ta_status ta_h5_attr_set_text(struct ta_h5 *file, const char *object, const char *name, const char *text) {
    ta_status status;
    ta_h5_lock();
    /* Variable length: h5py gives a str, and it may be longer than an object header. */
    hid_t type = string_type(H5T_VARIABLE);
    if (type < 0) {
        status = ta_h5_fail(TA_NO_MEMORY, file, object, "cannot write attribute '%s'", name);
    } else {
        status = put(file, object, name, (hid_t[2]){type, type}, NULL, &text);
        H5Tclose(type);
    }
    ta_h5_unlock();
    return status;
}

static ta_status put_texts(struct ta_h5 *file, const char *object, const char *name, const char *const *texts,
                           size_t count, size_t item_bytes) {
    char *block;
    ta_status status = ta_mem_alloc(count, item_bytes, "attribute", (void **)&block);
    if (status != TA_OK) return status;
    for (size_t i = 0; i < count; i++) memcpy(block + i * item_bytes, texts[i], strlen(texts[i]));
    hid_t type = string_type(item_bytes);
    hsize_t dims = count;
    if (type < 0) {
        status = ta_h5_fail(TA_NO_MEMORY, file, object, "cannot write attribute '%s'", name);
    } else {
        status = put(file, object, name, (hid_t[2]){type, type}, &dims, block);
        H5Tclose(type);
    }
    ta_mem_free(block);
    return status;
}

/* Removes what an earlier, differently split list left: readers would take it for part of this one. */
static void remove_texts(struct ta_h5 *file, const char *object, const char *name) {
    char part[NAME_BYTES];
    if (exists_locked(file, object, name)) H5Adelete_by_name(file->id, object, name, H5P_DEFAULT);
    for (size_t i = 0;; i++) {
        snprintf(part, sizeof part, "%s%zu", name, i);
        if (!exists_locked(file, object, part)) break;
        if (H5Adelete_by_name(file->id, object, part, H5P_DEFAULT) < 0) break;
    }
}

ta_status ta_h5_attr_set_texts(struct ta_h5 *file, const char *object, const char *name, const char *const *texts,
                               size_t count) {
    size_t item_bytes = 1;
    for (size_t i = 0; i < count; i++) {
        size_t bytes = strlen(texts[i]);
        if (bytes > item_bytes) item_bytes = bytes;
    }
    if (item_bytes > KERAS_LIMIT_BYTES)
        return ta_h5_refuse(TA_FORMAT, file, object, "attribute '%s' has a text of %zu bytes; %d fit; shorten the name",
                            name, item_bytes, KERAS_LIMIT_BYTES);
    /* numpy.array_split: the first count % parts parts have one more. */
    size_t parts = 1;
    while ((count + parts - 1) / parts * item_bytes > KERAS_LIMIT_BYTES) parts++;
    ta_h5_lock();
    remove_texts(file, object, name);
    ta_status status = TA_OK;
    size_t first = 0;
    for (size_t i = 0; i < parts && status == TA_OK; i++) {
        char part[NAME_BYTES];
        snprintf(part, sizeof part, parts == 1 ? "%s" : "%s%zu", name, i);
        size_t n = count / parts + (i < count % parts);
        status = put_texts(file, object, part, n > 0 ? texts + first : texts, n, item_bytes);
        first += n;
    }
    ta_h5_unlock();
    return status;
}
