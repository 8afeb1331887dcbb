/* h5_probe: reads all that the wrapper can read of a file that may be anything. Statuses are counted, never trusted to
 * be OK; what must not happen is a crash, a hang, or a failure without a message. */
#ifndef TA_TEST_H5_PROBE_H
#define TA_TEST_H5_PROBE_H

#include <stdbool.h>
#include <string.h>

#include "h5.h"
#include "mem.h"

struct h5_probe {
    struct ta_h5 *file;
    unsigned failures, silent; /* silent: failed without a message */
};

static inline void h5_probe_note(struct h5_probe *probe, ta_status status) {
    if (status == TA_OK) return;
    probe->failures++;
    if (ta_why()[0] == '\0') probe->silent++;
    ta_why_clear();
}

static inline void h5_probe_rows(struct h5_probe *probe, struct ta_h5_set *set) {
    const struct ta_h5_shape *shape = ta_h5_set_shape(set);
    uint64_t row = 1, rows = shape->rank == 0 ? 1 : shape->dims[0];
    char *buffer;
    for (unsigned i = 1; i < shape->rank; i++) row *= shape->dims[i];
    if (row > 1 << 17) return; /* as a caller does that knows what a record may be */
    if (ta_mem_alloc(row * 16, 8, "probe", (void **)&buffer) != TA_OK) return;
    for (uint64_t first = 0; first < rows && first < 4096; first += 16) {
        uint64_t n = rows - first < 16 ? rows - first : 16;
        h5_probe_note(probe, ta_h5_set_read(set, TA_H5_F64, first, n, buffer));
        enum ta_h5_type own = shape->type == TA_H5_OTHER ? TA_H5_I32 : shape->type;
        h5_probe_note(probe, ta_h5_set_read(set, own, first, n, buffer));
    }
    ta_mem_free(buffer);
}

static inline ta_status h5_probe_object(void *context, const char *name, bool is_group) {
    static const char *const attributes[] = {"text", "texts", "whole", "real", "layer_names", "weight_names", "names"};
    struct h5_probe *probe = context;
    struct ta_h5_set *set;
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        const char *attribute = attributes[i];
        char text[256], **texts;
        size_t count;
        int64_t whole;
        double real;
        if (!ta_h5_attr_exists(probe->file, name, attribute)) continue;
        h5_probe_note(probe, ta_h5_attr_get_text(probe->file, name, attribute, text, sizeof text));
        h5_probe_note(probe, ta_h5_attr_get_i64(probe->file, name, attribute, &whole));
        h5_probe_note(probe, ta_h5_attr_get_f64(probe->file, name, attribute, &real));
        ta_status status = ta_h5_attr_get_texts(probe->file, name, attribute, &texts, &count);
        h5_probe_note(probe, status);
        if (status == TA_OK) ta_h5_texts_free(texts, count);
    }
    if (is_group) return TA_OK;
    ta_status status = ta_h5_set_open(probe->file, name, &set);
    h5_probe_note(probe, status);
    if (status == TA_OK) h5_probe_rows(probe, set);
    if (status == TA_OK) ta_h5_set_close(set);
    return TA_OK;
}

static inline struct h5_probe h5_probe_file(const char *path) {
    struct h5_probe probe = {0};
    ta_status status = ta_h5_open(path, TA_H5_READ, &probe.file);
    h5_probe_note(&probe, status);
    if (status != TA_OK) return probe;
    h5_probe_object(&probe, "/", true);
    h5_probe_note(&probe, ta_h5_walk(probe.file, h5_probe_object, &probe));
    h5_probe_note(&probe, ta_h5_close(probe.file));
    return probe;
}

#endif
