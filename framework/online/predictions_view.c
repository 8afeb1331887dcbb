/* predictions_view: which logs there are, the file that stands over them, and the one that is made of them. */
#include "predictions_view.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"
#include "predictions_logs.h"

ta_status ta_predictions_log_path(char *out, size_t bytes, const char *run_dir, uint32_t life, unsigned rank) {
    return ta_predictions_path(out, bytes, "%s/predictions/life-%04" PRIu32 "-replica-%05u.h5", run_dir, life, rank);
}

/* --- the list of logs --- */

static bool is_log(const char *name, struct ta_predictions_log *out) {
    int length = 0;
    return sscanf(name, "life-%" SCNu32 "-replica-%" SCNu32 ".h5%n", &out->life, &out->rank, &length) == 2 &&
           length > 0 && name[length] == '\0';
}

static int by_life(const void *a, const void *b) {
    const struct ta_predictions_log *x = a, *y = b;
    if (x->life != y->life) return x->life < y->life ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static ta_status add_log(struct ta_predictions_logs *logs, uint32_t life, uint32_t rank) {
    ta_status status = ta_mem_resize((void **)&logs->log, (logs->count + 1) * sizeof *logs->log, "the list of logs");
    if (status == TA_OK) logs->log[logs->count++] = (struct ta_predictions_log){life, rank};
    return status;
}

ta_status ta_predictions_logs_find(const char *run_dir, struct ta_predictions_logs *out) {
    char path[TA_PREDICTIONS_PATH];
    *out = (struct ta_predictions_logs){0};
    ta_status status = ta_predictions_path(path, sizeof path, "%s/predictions", run_dir);
    if (status != TA_OK) return status;
    DIR *folder = opendir(path);
    if (folder == NULL) return errno == ENOENT ? TA_OK : ta_fail_errno(TA_IO, "%s: cannot list", path);
    struct ta_predictions_log log;
    for (struct dirent *entry; status == TA_OK && (entry = readdir(folder)) != NULL;)
        if (is_log(entry->d_name, &log)) status = add_log(out, log.life, log.rank);
    closedir(folder);
    if (status == TA_OK && out->count > 1) qsort(out->log, out->count, sizeof *out->log, by_life);
    return status;
}

void ta_predictions_logs_free(struct ta_predictions_logs *logs) {
    ta_mem_free(logs->log);
    *logs = (struct ta_predictions_logs){0};
}

/* Those of former lives, and those that are to come. */
static ta_status list_for(const char *run_dir, uint32_t life, unsigned replicas, struct ta_predictions_logs *logs) {
    char path[TA_PREDICTIONS_PATH];
    ta_status status = ta_predictions_logs_find(run_dir, logs);
    while (status == TA_OK && logs->count > 0 && logs->log[logs->count - 1].life >= life) {
        const struct ta_predictions_log *last = &logs->log[--logs->count];
        status = ta_predictions_log_path(path, sizeof path, run_dir, last->life, last->rank);
        if (status == TA_OK && unlink(path) != 0 && errno != ENOENT)
            status = ta_fail_errno(TA_IO, "%s: cannot remove", path);
    }
    for (unsigned rank = 0; rank < replicas && status == TA_OK; rank++) status = add_log(logs, life, rank);
    return status;
}

/* --- the file over them --- */

static ta_status write_numbers(struct ta_h5 *file, const char *name, const uint32_t *numbers, size_t n,
                               const char *text) {
    ta_status status = ta_h5_write_all(file, name, &(struct ta_h5_shape){.type = TA_H5_U32, .rank = 1, .dims = {n}},
                                       numbers);
    if (status == TA_OK) status = ta_h5_attr_set_text(file, name, "units", "1");
    return status == TA_OK ? ta_h5_attr_set_text(file, name, "description", text) : status;
}

static ta_status write_owners(struct ta_h5 *file, const struct ta_predictions_logs *logs) {
    uint32_t *numbers;
    ta_status status = TA_NEW(&numbers, logs->count, "the list of logs");
    for (size_t i = 0; i < logs->count && status == TA_OK; i++) numbers[i] = logs->log[i].rank;
    if (status == TA_OK) status = write_numbers(file, "/replica", numbers, logs->count, "whose log this row is");
    for (size_t i = 0; i < logs->count && status == TA_OK; i++) numbers[i] = logs->log[i].life;
    if (status == TA_OK)
        status = write_numbers(file, "/life", numbers, logs->count, "the life of the run it was made in");
    ta_mem_free(numbers);
    return status;
}

/* Names of the logs from the run directory on. */
static ta_status name_all(const struct ta_predictions_logs *logs, char (*names)[64], const char **files) {
    for (size_t i = 0; i < logs->count; i++) {
        const struct ta_predictions_log *l = &logs->log[i];
        ta_status status = ta_predictions_log_path(names[i], sizeof names[i], ".", l->life, l->rank);
        if (status != TA_OK) return status;
        files[i] = names[i] + 2;
    }
    return TA_OK;
}

static ta_status write_links(struct ta_h5 *file, const struct ta_predictions_logs *logs, const char *const *files) {
    ta_status status = TA_OK;
    for (size_t i = 0; i < logs->count && status == TA_OK; i++) {
        char name[64];
        snprintf(name, sizeof name, "/logs/life-%04" PRIu32 "-replica-%05" PRIu32, logs->log[i].life,
                 logs->log[i].rank);
        status = ta_h5_link_create(file, name, files[i], "/");
    }
    return status;
}

static ta_status write_view(struct ta_h5 *file, const struct ta_predictions_kind *kind,
                            const struct ta_predictions_logs *logs, const char *const *files) {
    struct ta_predictions_column columns[TA_PREDICTIONS_FIELDS];
    ta_predictions_columns(kind, columns);
    ta_status status = ta_h5_attr_set_text(file, "/", "format", "tensair-predictions-view");
    if (status == TA_OK) status = ta_h5_attr_set_i64(file, "/", "version", 1);
    for (unsigned i = 0; i < TA_PREDICTIONS_FIELDS && status == TA_OK; i++) {
        const struct ta_predictions_column *c = &columns[i];
        if (c->width == 0) continue;
        struct ta_h5_virtual how = {.type = c->type,
                                    .rank = c->width > 1 ? 2 : 1,
                                    .width = c->width,
                                    .fill = c->fill,
                                    .count = (unsigned)logs->count,
                                    .files = files,
                                    .source = c->name};
        status = ta_h5_virtual_create(file, c->name, &how);
        if (status == TA_OK) status = ta_predictions_describe(file, c->name, c);
    }
    if (status == TA_OK) status = write_owners(file, logs);
    return status == TA_OK ? write_links(file, logs, files) : status;
}

static ta_status make_view(const char *path, const struct ta_predictions_kind *kind,
                           const struct ta_predictions_logs *logs) {
    struct ta_h5 *file = NULL;
    char(*names)[64] = NULL;
    const char **files = NULL;
    ta_status status = TA_NEW(&names, logs->count, "the names of logs");
    if (status == TA_OK) status = TA_NEW(&files, logs->count, "the names of logs");
    if (status == TA_OK) status = name_all(logs, names, files);
    if (status == TA_OK) status = ta_h5_open(path, TA_H5_GROW, &file); /* a reader beside writers wants that format */
    if (status == TA_OK) status = write_view(file, kind, logs, files);
    ta_status closed = ta_h5_close(file);
    ta_mem_free(files);
    ta_mem_free(names);
    return status != TA_OK ? status : closed;
}

ta_status ta_predictions_view_make(const char *run_dir, const struct ta_predictions_kind *kind, uint32_t life,
                                   unsigned replicas) {
    char path[TA_PREDICTIONS_PATH], fresh[TA_PREDICTIONS_PATH];
    struct ta_predictions_logs logs = {0};
    ta_status status = ta_predictions_path(path, sizeof path, "%s/predictions", run_dir);
    if (status == TA_OK && mkdir(path, 0777) != 0 && errno != EEXIST)
        status = ta_fail_errno(TA_IO, "%s: cannot make this directory", path);
    if (status == TA_OK) status = list_for(run_dir, life, replicas, &logs);
    if (status == TA_OK) status = ta_predictions_path(path, sizeof path, "%s/predictions.h5", run_dir);
    if (status == TA_OK) status = ta_predictions_path(fresh, sizeof fresh, "%s/.predictions.h5.new", run_dir);
    if (status == TA_OK) status = make_view(fresh, kind, &logs);
    if (status == TA_OK && rename(fresh, path) != 0) status = ta_fail_errno(TA_IO, "%s: cannot write", path);
    ta_predictions_logs_free(&logs);
    return status;
}
