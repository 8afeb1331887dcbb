/* writer: datasets that grow block by block in a file that gets its name at the end. What a stream file holds is
 * described in stream.h; how it is read is in hdf5.c. */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "digest.h"
#include "mem.h"

enum { CHUNK_BYTES = 256 * 1024 };

struct ta_stream_writer {
    struct ta_stream_info info;
    char *path, *partial;
    bool force, exists_partial;
    struct ta_h5 *file;
    struct ta_h5_set *x, *y, *t, *delay;
    struct ta_digest *digest;
    uint64_t records;
    int64_t last_time_ns;
    int32_t largest_class;
};

static enum ta_h5_type stored_type(enum ta_element element) {
    switch (element) {
    case TA_ELEMENT_U8: return TA_H5_U8;
    case TA_ELEMENT_I32: return TA_H5_I32;
    default: return TA_H5_F32;
    }
}

static const char *default_units(const struct ta_stream_info *info) {
    switch (info->element) {
    case TA_ELEMENT_U8: return info->text ? "byte" : "intensity";
    case TA_ELEMENT_I32: return "word number";
    default: return "1";
    }
}

/* ---- open ---- */

static ta_status check(const struct ta_stream_writer_config *config) {
    const struct ta_stream_info *info = config->info;
    if (info->h == 0 || info->w == 0 || info->c == 0)
        return ta_fail(TA_INVALID, "%s: records of shape %u x %u x %u hold nothing", config->path, info->h, info->w,
                       info->c);
    size_t elements;
    if (__builtin_mul_overflow((size_t)info->h * info->w, (size_t)info->c * 4, &elements))
        return ta_fail(TA_INVALID, "%s: records of shape %u x %u x %u are larger than memory", config->path, info->h,
                       info->w, info->c);
    if (info->label_kind == TA_LABEL_VALUE && info->targets == 0)
        return ta_fail(TA_INVALID, "%s: value labels need at least one target", config->path);
    if (info->text && (info->element != TA_ELEMENT_U8 || info->h != 1 || info->w != 1))
        return ta_fail(TA_INVALID, "%s: text is stored as a row of bytes a record", config->path);
    if (info->classes > INT32_MAX)
        return ta_fail(TA_INVALID, "%s: %u classes are more than an int32 can number", config->path, info->classes);
    if (!config->force && access(config->path, F_OK) == 0)
        return ta_fail(TA_USAGE, "%s exists already: choose another name, or say --force to replace it",
                       config->path);
    return TA_OK;
}

struct set_plan {
    const char *name;
    struct ta_h5_shape shape;
    size_t row_bytes;
    const char *description, *units;
};

static ta_status create_set(struct ta_stream_writer *w, const struct ta_stream_writer_config *config,
                            const struct set_plan *plan, struct ta_h5_set **out) {
    uint64_t rows = CHUNK_BYTES / plan->row_bytes;
    if (rows == 0) rows = 1;
    if (config->expected_records > 0 && rows > config->expected_records) rows = config->expected_records;
    struct ta_h5_create how = {
        .shape = plan->shape,
        .chunk_rows = rows,
        .gzip = config->gzip,
        .shuffle = config->gzip > 0 && plan->shape.type != TA_H5_U8,
        .checksum = !config->no_chunk_checksum,
    };
    ta_status status = ta_h5_set_create(w->file, plan->name, &how, out);
    if (status == TA_OK) status = ta_h5_attr_set_text(w->file, plan->name, "description", plan->description);
    if (status == TA_OK) status = ta_h5_attr_set_text(w->file, plan->name, "units", plan->units);
    return status;
}

static ta_status create_x(struct ta_stream_writer *w, const struct ta_stream_writer_config *config) {
    const struct ta_stream_info *info = &w->info;
    struct set_plan plan = {
        .name = "/x",
        .shape = {.type = stored_type(info->element), .rank = 2, .dims = {0, info->c}},
        .row_bytes = ta_stream_x_bytes(info),
        .description = info->text ? "text: whole words in UTF-8, padded by NUL" : "features, one row a record",
        .units = default_units(info),
    };
    if (info->h != 1 || info->w != 1) {
        plan.shape = (struct ta_h5_shape){
            .type = stored_type(info->element), .rank = 4, .dims = {0, info->h, info->w, info->c}};
        plan.description = "images: record, row from the top, column from the left, channel";
    }
    if (config->x_description != NULL) plan.description = config->x_description;
    if (config->x_units != NULL) plan.units = config->x_units;
    return create_set(w, config, &plan, &w->x);
}

static ta_status create_y(struct ta_stream_writer *w, const struct ta_stream_writer_config *config) {
    struct set_plan plan = {
        .name = "/y",
        .shape = {.type = TA_H5_I32, .rank = 1},
        .row_bytes = 4,
        .description = "class of each record, counted from 0; -1: no label",
        .units = "class",
    };
    if (w->info.label_kind == TA_LABEL_NONE) return TA_OK;
    if (w->info.label_kind == TA_LABEL_VALUE) {
        plan.shape = (struct ta_h5_shape){.type = TA_H5_F32, .rank = 2, .dims = {0, w->info.targets}};
        plan.row_bytes = 4 * (size_t)w->info.targets;
        plan.description = "values to predict, one row a record; NaN: no label";
        plan.units = "1";
    }
    return create_set(w, config, &plan, &w->y);
}

static ta_status create_sets(struct ta_stream_writer *w, const struct ta_stream_writer_config *config) {
    ta_status status = create_x(w, config);
    if (status == TA_OK) status = create_y(w, config);
    struct set_plan time = {.name = "/t",
                            .shape = {.type = TA_H5_I64, .rank = 1},
                            .row_bytes = 8,
                            .description = "when the record was made, from the start of the recording",
                            .units = "ns"};
    if (status == TA_OK && w->info.has_time) status = create_set(w, config, &time, &w->t);
    struct set_plan delay = {.name = "/label_delay",
                             .shape = {.type = TA_H5_I64, .rank = 1},
                             .row_bytes = 8,
                             .description = "how many records later the label becomes known",
                             .units = "records"};
    if (status == TA_OK && w->info.has_delay) status = create_set(w, config, &delay, &w->delay);
    if (status == TA_OK && config->class_names != NULL)
        status = ta_h5_attr_set_texts(w->file, "/", "class_names", config->class_names, w->info.classes);
    return status;
}

ta_status ta_stream_writer_open(const struct ta_stream_writer_config *config, struct ta_stream_writer **out) {
    *out = NULL;
    ta_status status = check(config);
    if (status != TA_OK) return status;
    struct ta_stream_writer *w;
    status = TA_NEW(&w, 1, "stream writer");
    if (status != TA_OK) return status;
    w->info = *config->info;
    w->force = config->force;
    w->largest_class = -1;
    w->last_time_ns = INT64_MIN;
    status = ta_mem_strdup(config->path, "stream writer's path", &w->path);
    size_t partial_bytes = strlen(config->path) + sizeof ".partial";
    if (status == TA_OK) status = ta_mem_alloc(partial_bytes, 1, "stream writer's path", (void **)&w->partial);
    if (status == TA_OK) {
        snprintf(w->partial, partial_bytes, "%s.partial", config->path);
        status = ta_digest_create(&w->digest);
    }
    if (status == TA_OK) {
        /* One that was there before may be somebody else's, who is still writing: it is ours once it is open. */
        w->exists_partial = access(w->partial, F_OK) != 0;
        status = ta_h5_open(w->partial, TA_H5_CREATE, &w->file);
    }
    if (status == TA_OK) {
        w->exists_partial = true;
        status = create_sets(w, config);
    }
    if (status == TA_OK)
        *out = w;
    else
        ta_stream_writer_close(w);
    return status;
}

/* ---- append ---- */

static ta_status check_x(const struct ta_stream_writer *w, size_t count, const float *x) {
    size_t per_record = (size_t)w->info.h * w->info.w * w->info.c;
    for (size_t i = 0; i < count * per_record; i++)
        if (!isfinite(x[i]))
            return ta_fail(TA_FORMAT,
                           "%s: record %" PRIu64 ", element %zu of x is %f: a stream holds finite numbers only",
                           w->path, w->records + i / per_record, i % per_record, (double)x[i]);
    return TA_OK;
}

static ta_status check_classes(struct ta_stream_writer *w, size_t count, const int32_t *class) {
    int32_t end = w->info.classes == 0 ? INT32_MAX : (int32_t)w->info.classes;
    for (size_t i = 0; i < count; i++) {
        if (class[i] < -1 || class[i] >= end)
            return ta_fail(TA_FORMAT, "%s: record %" PRIu64 " has class %d; classes are 0 to %d, -1 means no label",
                           w->path, w->records + i, class[i], end - 1);
        if (class[i] > w -> largest_class) w->largest_class = class[i];
    }
    return TA_OK;
}

static ta_status check_time(struct ta_stream_writer *w, size_t count, const int64_t *time_ns) {
    for (size_t i = 0; i < count; i++) {
        if (time_ns[i] < w->last_time_ns)
            return ta_fail(TA_FORMAT,
                           "%s: record %" PRIu64 " is at %" PRId64 " ns, before the one in front of it (%" PRId64
                           " ns): sort the records by time",
                           w->path, w->records + i, time_ns[i], w->last_time_ns);
        w->last_time_ns = time_ns[i];
    }
    return TA_OK;
}

static ta_status check_delay(const struct ta_stream_writer *w, size_t count, const int64_t *delay) {
    for (size_t i = 0; i < count; i++)
        if (delay[i] < 0)
            return ta_fail(TA_FORMAT,
                           "%s: record %" PRIu64 " has a label delay of %" PRId64 " records: it must not be negative",
                           w->path, w->records + i, delay[i]);
    return TA_OK;
}

ta_status ta_stream_writer_append(struct ta_stream_writer *w, size_t count, const struct ta_stream_block *block) {
    if (count == 0) return TA_OK;
    const struct ta_stream_info *info = &w->info;
    ta_status status = TA_OK;
    if (info->element == TA_ELEMENT_F32) status = check_x(w, count, block->x);
    if (status == TA_OK && info->label_kind == TA_LABEL_CLASS) status = check_classes(w, count, block->class);
    if (status == TA_OK && info->has_time) status = check_time(w, count, block->time_ns);
    if (status == TA_OK && info->has_delay) status = check_delay(w, count, block->delay);
    if (status != TA_OK) return status;

    status = ta_h5_set_write(w->x, stored_type(info->element), w->records, count, block->x);
    ta_digest_x(w->digest, block->x, count * ta_stream_x_bytes(info));
    if (status == TA_OK && info->label_kind == TA_LABEL_CLASS) {
        status = ta_h5_set_write(w->y, TA_H5_I32, w->records, count, block->class);
        ta_digest_y(w->digest, block->class, count * sizeof *block->class);
    }
    if (status == TA_OK && info->label_kind == TA_LABEL_VALUE) {
        status = ta_h5_set_write(w->y, TA_H5_F32, w->records, count, block->value);
        ta_digest_y(w->digest, block->value, count * info->targets * sizeof *block->value);
    }
    if (status == TA_OK && info->has_time)
        status = ta_h5_set_write(w->t, TA_H5_I64, w->records, count, block->time_ns);
    if (status == TA_OK && info->has_delay)
        status = ta_h5_set_write(w->delay, TA_H5_I64, w->records, count, block->delay);
    w->records += count;
    return status;
}

/* ---- commit ---- */

ta_status ta_stream_writer_set_classes(struct ta_stream_writer *w, uint32_t classes, const char *const *names) {
    w->info.classes = classes;
    return names == NULL ? TA_OK : ta_h5_attr_set_texts(w->file, "/", "class_names", names, classes);
}

uint64_t ta_stream_writer_records(const struct ta_stream_writer *w) { return w->records; }

int32_t ta_stream_writer_largest_class(const struct ta_stream_writer *w) { return w->largest_class; }

struct ta_h5 *ta_stream_writer_file(struct ta_stream_writer *w) {
    return w->file;
}

static ta_status write_attributes(struct ta_stream_writer *w) {
    char checksum[TA_DIGEST_TEXT_BYTES];
    ta_digest_text(ta_digest_value(w->digest), checksum);
    const struct ta_stream_info *info = &w->info;
    struct ta_h5 *f = w->file;
    ta_status status = ta_h5_attr_set_text(f, "/", "format", "tensair-stream");
    if (status == TA_OK) status = ta_h5_attr_set_i64(f, "/", "version", 1);
    if (status == TA_OK) status = ta_h5_attr_set_i64(f, "/", "records", (int64_t)w->records);
    if (status == TA_OK) status = ta_h5_attr_set_text(f, "/", "checksum", checksum);
    if (status == TA_OK) status = ta_h5_attr_set_text(f, "/", "origin", info->origin);
    if (status == TA_OK) status = ta_h5_attr_set_f64(f, "/", "scale", (double)info->scale);
    if (status == TA_OK) status = ta_h5_attr_set_f64(f, "/", "offset", (double)info->offset);
    if (status == TA_OK && info->label_kind == TA_LABEL_CLASS)
        status = ta_h5_attr_set_i64(f, "/", "classes", info->classes);
    if (status == TA_OK && info->text) status = ta_h5_attr_set_text(f, "/", "content", "text");
    return status;
}

static void close_sets(struct ta_stream_writer *w) {
    ta_h5_set_close(w->x);
    ta_h5_set_close(w->y);
    ta_h5_set_close(w->t);
    ta_h5_set_close(w->delay);
    w->x = w->y = w->t = w->delay = NULL;
}

/* Puts what the kernel holds of a file or folder on the disk. */
static ta_status sync_path(const char *path, int flags) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (descriptor < 0) return ta_fail_errno(TA_IO, "%s", path);
    /* Some file systems cannot sync a folder and say EINVAL; there is nothing to be done about it. */
    int failed = fsync(descriptor) != 0 && errno != EINVAL;
    ta_status status = failed ? ta_fail_errno(TA_IO, "%s: cannot be flushed to the disk", path) : TA_OK;
    close(descriptor);
    return status;
}

/* The name of a file is in its folder: without this a power cut could forget the rename. */
static ta_status sync_folder(const char *path) {
    char folder[4096];
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        strcpy(folder, ".");
    else if ((size_t)(slash - path) < sizeof folder - 1)
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path + 1), path);
    else
        return ta_fail(TA_IO, "%.64s...: the name is too long", path);
    return sync_path(folder, O_DIRECTORY);
}

static ta_status give_name(struct ta_stream_writer *w) {
    ta_status status = sync_path(w->partial, 0);
    if (status != TA_OK) return status;
    int failed = renameat2(AT_FDCWD, w->partial, AT_FDCWD, w->path, w->force ? 0 : RENAME_NOREPLACE);
    if (failed && (errno == EINVAL || errno == ENOSYS)) failed = rename(w->partial, w->path);
    if (failed && errno == EEXIST)
        return ta_fail(TA_USAGE, "%s came to exist meanwhile: choose another name, or say --force to replace it",
                       w->path);
    if (failed) return ta_fail_errno(TA_IO, "cannot rename %s to %s", w->partial, w->path);
    w->exists_partial = false;
    return sync_folder(w->path);
}

ta_status ta_stream_writer_commit(struct ta_stream_writer *w) {
    if (w->records == 0) return ta_fail(TA_FORMAT, "%s: there is no record to write", w->path);
    if (w->info.label_kind == TA_LABEL_CLASS && w->info.classes == 0)
        return ta_fail(TA_INVALID, "%s: the number of classes was never set", w->path);
    if (w->info.label_kind == TA_LABEL_CLASS && w->largest_class >= (int32_t)w->info.classes)
        return ta_fail(TA_FORMAT, "%s: a record has class %d, but there are %u classes (0 to %u)", w->path,
                       w->largest_class, w->info.classes, w->info.classes - 1);
    ta_status status = write_attributes(w);
    close_sets(w);
    struct ta_h5 *file = w->file;
    w->file = NULL;
    if (status == TA_OK)
        status = ta_h5_close(file);
    else
        ta_h5_close(file);
    return status == TA_OK ? give_name(w) : status;
}

void ta_stream_writer_close(struct ta_stream_writer *w) {
    if (w == NULL) return;
    close_sets(w);
    ta_h5_close(w->file);
    if (w->exists_partial) unlink(w->partial);
    ta_digest_destroy(w->digest);
    ta_mem_free(w->partial);
    ta_mem_free(w->path);
    ta_mem_free(w);
}
