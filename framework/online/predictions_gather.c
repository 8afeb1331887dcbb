/* predictions_gather: the logs of a run that has ended, put together in the order of records. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "predictions_logs.h"
#include "predictions_view.h"

enum { CHUNK_ROWS = 4096 };

/* Where one row of the new file comes from. */
struct origin {
    uint64_t record, row;
    uint32_t log;
};

struct gather {
    const char *run_dir;
    struct ta_predictions_logs logs;
    uint64_t *rows;        /* [logs] */
    struct origin *origin; /* [n] */
    uint64_t n;
    struct ta_h5 *out;
};

/* Of two lives that predicted one record the later comes first, and stays. */
static int by_record(const void *a, const void *b) {
    const struct origin *x = a, *y = b;
    if (x->record != y->record) return x->record < y->record ? -1 : 1;
    return x->log > y->log ? -1 : x->log < y->log;
}

static ta_status open_log(const struct gather *g, size_t i, struct ta_h5 **out) {
    char path[TA_PREDICTIONS_PATH];
    ta_status status = ta_predictions_log_path(path, sizeof path, g->run_dir, g->logs.log[i].life, g->logs.log[i].rank);
    return status == TA_OK ? ta_h5_open(path, TA_H5_READ, out) : status;
}

/* All rows of a column of log i; *data is freed by ta_mem_free. */
static ta_status read_column(const struct gather *g, size_t i, const struct ta_predictions_column *c, uint64_t *rows,
                             void **data) {
    struct ta_h5 *file;
    struct ta_h5_set *set;
    *data = NULL;
    ta_status status = open_log(g, i, &file);
    if (status != TA_OK) return status;
    status = ta_h5_set_open(file, c->name, &set);
    if (status == TA_OK) {
        const struct ta_h5_shape *shape = ta_h5_set_shape(set);
        bool fits = shape->rank == (c->width > 1 ? 2u : 1u) && (c->width == 1 || shape->dims[1] == c->width);
        *rows = shape->dims[0];
        if (!fits)
            status = ta_fail(TA_FORMAT, "a log of predictions has %s of another shape than this model's", c->name);
        if (status == TA_OK) status = ta_mem_alloc(*rows, c->width * ta_h5_type_bytes(c->type), "predictions", data);
        if (status == TA_OK && *rows > 0) status = ta_h5_set_read(set, c->type, 0, *rows, *data);
        ta_h5_set_close(set);
    }
    ta_status closed = ta_h5_close(file);
    return status != TA_OK ? status : closed;
}

static ta_status find_origins(struct gather *g, const struct ta_predictions_column *record) {
    ta_status status = TA_NEW(&g->rows, g->logs.count, "the list of logs");
    for (size_t i = 0; i < g->logs.count && status == TA_OK; i++) {
        void *data;
        status = read_column(g, i, record, &g->rows[i], &data);
        if (status == TA_OK)
            status = ta_mem_resize((void **)&g->origin, (g->n + g->rows[i]) * sizeof *g->origin,
                                   "the order of predictions");
        for (uint64_t row = 0; status == TA_OK && row < g->rows[i]; row++)
            g->origin[g->n++] = (struct origin){((const uint64_t *)data)[row], row, (uint32_t)i};
        ta_mem_free(data);
    }
    if (status != TA_OK || g->n == 0) return status;
    qsort(g->origin, g->n, sizeof *g->origin, by_record);
    uint64_t kept = 1;
    for (uint64_t i = 1; i < g->n; i++)
        if (g->origin[i].record != g->origin[kept - 1].record) g->origin[kept++] = g->origin[i];
    g->n = kept;
    return TA_OK;
}

static ta_status write_column(const struct gather *g, const struct ta_predictions_column *c, const void *data) {
    struct ta_h5_create how = {.shape = {.type = c->type, .rank = c->width > 1 ? 2 : 1, .dims = {g->n, c->width}},
                               .chunk_rows = CHUNK_ROWS};
    struct ta_h5_set *set;
    ta_status status = ta_h5_set_create(g->out, c->name, &how, &set);
    if (status != TA_OK) return status;
    if (g->n > 0) status = ta_h5_set_write(set, c->type, 0, g->n, data);
    ta_h5_set_close(set);
    return status == TA_OK ? ta_predictions_describe(g->out, c->name, c) : status;
}

static ta_status gather_column(const struct gather *g, const struct ta_predictions_column *c) {
    size_t bytes = c->width * ta_h5_type_bytes(c->type);
    unsigned char *all;
    ta_status status = ta_mem_alloc(g->n, bytes, "predictions", (void **)&all);
    for (size_t i = 0; i < g->logs.count && status == TA_OK; i++) {
        void *part;
        uint64_t rows = 0;
        status = read_column(g, i, c, &rows, &part);
        if (status == TA_OK && rows != g->rows[i])
            status = ta_fail(TA_FORMAT, "a log of predictions has %" PRIu64 " rows of %s and %" PRIu64 " records", rows,
                             c->name, g->rows[i]);
        for (uint64_t k = 0; k < g->n && status == TA_OK; k++)
            if (g->origin[k].log == i) memcpy(all + k * bytes, (unsigned char *)part + g->origin[k].row * bytes, bytes);
        ta_mem_free(part);
    }
    if (status == TA_OK) status = write_column(g, c, all);
    ta_mem_free(all);
    return status;
}

static ta_status write_owner(const struct gather *g, const char *name, const char *text, bool life) {
    const struct ta_predictions_column c = {name, "1", text, TA_H5_U32, 1, NULL};
    uint32_t *numbers;
    ta_status status = TA_NEW(&numbers, g->n, "predictions");
    for (uint64_t k = 0; k < g->n && status == TA_OK; k++) {
        const struct ta_predictions_log *l = &g->logs.log[g->origin[k].log];
        numbers[k] = life ? l->life : l->rank;
    }
    if (status == TA_OK) status = write_column(g, &c, numbers);
    ta_mem_free(numbers);
    return status;
}

static ta_status write_all(struct gather *g, const struct ta_predictions_column *columns) {
    ta_status status = ta_h5_attr_set_text(g->out, "/", "format", "tensair-predictions");
    if (status == TA_OK) status = ta_h5_attr_set_i64(g->out, "/", "version", 1);
    for (unsigned i = 0; i < TA_PREDICTIONS_FIELDS && status == TA_OK; i++)
        if (columns[i].width > 0) status = gather_column(g, &columns[i]);
    if (status == TA_OK) status = write_owner(g, "/replica", "who predicted", false);
    return status == TA_OK ? write_owner(g, "/life", "the life of the run it was predicted in", true) : status;
}

/* Elements of a row of a set. */
static ta_status width_of(struct ta_h5 *file, const char *name, uint32_t *out) {
    struct ta_h5_set *set;
    ta_status status = ta_h5_set_open(file, name, &set);
    if (status != TA_OK) return status;
    const struct ta_h5_shape *shape = ta_h5_set_shape(set);
    *out = shape->rank == 2 ? (uint32_t)shape->dims[1] : 1;
    if (shape->rank < 1 || shape->rank > 2 || *out == 0)
        status = ta_fail(TA_FORMAT, "a log of predictions has %s with rank %u", name, shape->rank);
    ta_h5_set_close(set);
    return status;
}

/* All logs of a run are of one kind; the first one says which. */
static ta_status find_kind(const struct gather *g, struct ta_predictions_kind *out) {
    struct ta_h5 *file;
    ta_status status = open_log(g, 0, &file);
    if (status != TA_OK) return status;
    *out = (struct ta_predictions_kind){.classes = ta_h5_exists(file, "/confidence")};
    status = width_of(file, "/prediction", &out->outputs);
    if (status == TA_OK) status = width_of(file, "/label", &out->targets);
    ta_status closed = ta_h5_close(file);
    return status != TA_OK ? status : closed;
}

ta_status ta_predictions_gather(const char *run_dir, const char *path) {
    struct gather g = {.run_dir = run_dir};
    struct ta_predictions_kind kind = {0};
    struct ta_predictions_column columns[TA_PREDICTIONS_FIELDS];
    ta_status status = ta_predictions_logs_find(run_dir, &g.logs), closed = TA_OK;
    if (status == TA_OK && g.logs.count == 0) status = ta_fail(TA_IO, "%s: holds no log of predictions", run_dir);
    if (status == TA_OK) status = find_kind(&g, &kind);
    ta_predictions_columns(&kind, columns);
    if (status == TA_OK) status = find_origins(&g, &columns[TA_PREDICTIONS_RECORD]);
    if (status == TA_OK) status = ta_h5_open(path, TA_H5_CREATE, &g.out);
    if (status == TA_OK) status = write_all(&g, columns);
    if (g.out != NULL) closed = ta_h5_close(g.out);
    ta_mem_free(g.origin);
    ta_mem_free(g.rows);
    ta_predictions_logs_free(&g.logs);
    return status != TA_OK ? status : closed;
}
