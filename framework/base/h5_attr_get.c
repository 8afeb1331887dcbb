/* h5_attr_get: attributes of files from anywhere: sizes are checked before anything is allocated. */
#include <stdio.h>
#include <string.h>

#include "h5_internal.h"
#include "mem.h"

enum {
    MAX_TEXT_BYTES = 64 << 20, /* of one attribute in memory: no file of ours comes near */
    NAME_BYTES = 256,
};

/* An open attribute with all that is needed to read it. */
struct attr {
    hid_t id, type;
    H5T_class_t class;
    size_t type_bytes;
    uint64_t elements;
};

static void attr_close(struct attr *a) {
    if (a->type >= 0) H5Tclose(a->type);
    if (a->id >= 0) H5Aclose(a->id);
}

static ta_status attr_open(struct ta_h5 *file, const char *object, const char *name, struct attr *a) {
    *a = (struct attr){.id = H5I_INVALID_HID, .type = H5I_INVALID_HID};
    if (!ta_h5_resolves(file->id, object)) return ta_h5_refuse(TA_FORMAT, file, object, "is not in the file");
    if (H5Aexists_by_name(file->id, object, name, H5P_DEFAULT) <= 0)
        return ta_h5_refuse(TA_FORMAT, file, object, "has no attribute '%s'", name);
    a->id = H5Aopen_by_name(file->id, object, name, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = a->id < 0 ? H5I_INVALID_HID : H5Aget_space(a->id);
    if (space >= 0) {
        hssize_t points = H5Sget_simple_extent_npoints(space);
        a->elements = points > 0 ? (uint64_t)points : 0;
        H5Sclose(space);
        a->type = H5Aget_type(a->id);
    }
    if (a->type < 0) {
        ta_status status = ta_h5_fail(TA_FORMAT, file, object, "attribute '%s' cannot be understood", name);
        attr_close(a);
        return status;
    }
    a->class = H5Tget_class(a->type);
    a->type_bytes = H5Tget_size(a->type);
    uint64_t bytes;
    if (__builtin_mul_overflow(a->elements, a->type_bytes + 1, &bytes) || bytes > MAX_TEXT_BYTES) {
        attr_close(a);
        return ta_h5_refuse(TA_FORMAT, file, object, "attribute '%s' claims %llu elements of %zu bytes: damaged", name,
                            (unsigned long long)a->elements, a->type_bytes);
    }
    return TA_OK;
}

/* A damaged type may have more bits than bytes to hold them, and libhdf5 would write them all: only types that are
 * exactly one of the standard ones are read. */
static bool is_number(const struct attr *a, bool real_too) {
    const hid_t small[] = {H5T_STD_I16LE, H5T_STD_U16LE, H5T_STD_I16BE, H5T_STD_U16BE};
    enum ta_h5_type type = ta_h5_type_of(a->type);
    if (type != TA_H5_OTHER) return real_too || a->class == H5T_INTEGER;
    for (int i = 0; i < 4; i++)
        if (H5Tequal(a->type, small[i]) > 0) return true;
    return false;
}

static ta_status get_number(struct ta_h5 *file, const char *object, const char *name, enum ta_h5_type type,
                            void *value) {
    struct attr a;
    ta_h5_lock();
    ta_status status = attr_open(file, object, name, &a);
    if (status == TA_OK) {
        if (!is_number(&a, type == TA_H5_F64) || a.elements != 1)
            status = ta_h5_refuse(TA_FORMAT, file, object, "attribute '%s' is not one %s", name,
                                  type == TA_H5_I64 ? "whole number" : "number");
        else if (H5Aread(a.id, ta_h5_memory_type(type), value) < 0)
            status = ta_h5_fail(TA_FORMAT, file, object, "attribute '%s' cannot be read", name);
        attr_close(&a);
    }
    ta_h5_unlock();
    return status;
}

ta_status ta_h5_attr_get_i64(struct ta_h5 *file, const char *object, const char *name, int64_t *value) {
    return get_number(file, object, name, TA_H5_I64, value);
}

ta_status ta_h5_attr_get_f64(struct ta_h5 *file, const char *object, const char *name, double *value) {
    return get_number(file, object, name, TA_H5_F64, value);
}

/* Copies each variable-length string of an attribute; HDF5's own copies go back to HDF5. */
static ta_status read_variable(struct ta_h5 *file, const char *object, const char *name, struct attr *a, char **texts) {
    char **theirs;
    ta_status status = TA_NEW(&theirs, a->elements, "attribute");
    if (status != TA_OK) return status;
    hid_t space = H5Aget_space(a->id);
    if (space < 0 || H5Aread(a->id, a->type, theirs) < 0)
        status = ta_h5_fail(TA_FORMAT, file, object, "attribute '%s' cannot be read", name);
    for (uint64_t i = 0; i < a->elements; i++) {
        if (status == TA_OK) status = ta_mem_strdup(theirs[i] == NULL ? "" : theirs[i], "attribute", &texts[i]);
        if (theirs[i] != NULL) H5free_memory(theirs[i]);
    }
    if (space >= 0) H5Sclose(space);
    ta_mem_free(theirs);
    return status;
}

static ta_status read_fixed(struct ta_h5 *file, const char *object, const char *name, struct attr *a, char **texts) {
    char *block;
    ta_status status = ta_mem_alloc(a->elements, a->type_bytes, "attribute", (void **)&block);
    if (status != TA_OK) return status;
    bool spaces = H5Tget_strpad(a->type) == H5T_STR_SPACEPAD;
    if (H5Aread(a->id, a->type, block) < 0)
        status = ta_h5_fail(TA_FORMAT, file, object, "attribute '%s' cannot be read", name);
    for (uint64_t i = 0; i < a->elements && status == TA_OK; i++) {
        const char *item = block + i * a->type_bytes;
        size_t length = strnlen(item, a->type_bytes);
        while (spaces && length > 0 && item[length - 1] == ' ') length--;
        status = ta_mem_alloc(length + 1, 1, "attribute", (void **)&texts[i]);
        if (status == TA_OK) memcpy(texts[i], item, length);
    }
    ta_mem_free(block);
    return status;
}

/* One attribute's strings, appended to *texts. */
static ta_status append_texts(struct ta_h5 *file, const char *object, const char *name, char ***texts, size_t *count) {
    struct attr a;
    char **longer = NULL;
    ta_status status = attr_open(file, object, name, &a);
    if (status != TA_OK) return status;
    /* Keras writes an empty list of names as an empty array of numbers. */
    if (a.class != H5T_STRING && a.elements > 0)
        status = ta_h5_refuse(TA_FORMAT, file, object, "attribute '%s' is not text", name);
    if (status == TA_OK) status = TA_NEW(&longer, *count + a.elements, "attribute");
    if (status == TA_OK) {
        if (*count > 0) memcpy(longer, *texts, *count * sizeof *longer);
        ta_mem_free(*texts);
        *texts = longer;
        longer += *count;
        *count += a.elements;
        if (a.elements > 0)
            status = H5Tis_variable_str(a.type) > 0 ? read_variable(file, object, name, &a, longer)
                                                    : read_fixed(file, object, name, &a, longer);
    }
    attr_close(&a);
    return status;
}

ta_status ta_h5_attr_get_texts(struct ta_h5 *file, const char *object, const char *name, char ***texts, size_t *count) {
    char part[NAME_BYTES];
    *texts = NULL;
    *count = 0;
    ta_h5_lock();
    snprintf(part, sizeof part, "%s0", name);
    bool parts = !ta_h5_attr_exists(file, object, name) && ta_h5_attr_exists(file, object, part);
    ta_status status = TA_OK;
    if (!parts) status = append_texts(file, object, name, texts, count);
    for (size_t i = 1; parts && status == TA_OK; i++) {
        status = append_texts(file, object, part, texts, count);
        snprintf(part, sizeof part, "%s%zu", name, i);
        if (!ta_h5_attr_exists(file, object, part)) break;
    }
    ta_h5_unlock();
    if (status != TA_OK) {
        ta_h5_texts_free(*texts, *count);
        *texts = NULL;
        *count = 0;
    }
    return status;
}

void ta_h5_texts_free(char **texts, size_t count) {
    for (size_t i = 0; texts != NULL && i < count; i++) ta_mem_free(texts[i]);
    ta_mem_free(texts);
}

ta_status ta_h5_attr_get_text(struct ta_h5 *file, const char *object, const char *name, char *text, size_t text_bytes) {
    char **texts = NULL;
    size_t count = 0;
    ta_h5_lock();
    ta_status status = append_texts(file, object, name, &texts, &count);
    ta_h5_unlock();
    if (status == TA_OK && count != 1)
        status = ta_h5_refuse(TA_FORMAT, file, object, "attribute '%s' holds %zu texts, expected one", name, count);
    if (status == TA_OK && strlen(texts[0]) >= text_bytes)
        status = ta_h5_refuse(TA_FORMAT, file, object, "attribute '%s' has %zu bytes of text, at most %zu fit", name,
                              strlen(texts[0]), text_bytes - 1);
    if (status == TA_OK) memcpy(text, texts[0], strlen(texts[0]) + 1);
    ta_h5_texts_free(texts, count);
    return status;
}
