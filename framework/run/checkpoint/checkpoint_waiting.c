/* checkpoint_waiting: the group /waiting of replica-NNNNN.h5, records that are not yet trained on. */
#include <inttypes.h>

#include "checkpoint_internal.h"
#include "h5.h"
#include "mem.h"

enum width { ONE, INPUTS, TARGETS };

static const struct column {
    const char *name, *units, *text;
    enum ta_h5_type type;
    enum width width;
    size_t offset;
} columns[] = {
#define COLUMN(name, units, text, type, width, member) \
    {name, units, text, type, width, offsetof(struct ta_snapshot_waiting, member)}
    COLUMN("/waiting/due", "record", "number of the record with which the label is known", TA_H5_U64, ONE, due),
    COLUMN("/waiting/record", "record", "number of the record", TA_H5_U64, ONE, record),
    COLUMN("/waiting/label", "class", "its label; -1: values, or none", TA_H5_I32, ONE, label),
    COLUMN("/waiting/said", "class", "what was predicted; -1: values", TA_H5_I32, ONE, said),
    COLUMN("/waiting/loss", "1", "of that prediction", TA_H5_F32, ONE, loss),
    COLUMN("/waiting/scored", "1", "1: the label came, others are waited for to be trained on with", TA_H5_U8, ONE,
           scored),
    COLUMN("/waiting/x", "1", "what the model sees of it", TA_H5_F32, INPUTS, x),
    COLUMN("/waiting/targets", "1", "its label where that is values", TA_H5_F32, TARGETS, targets_of),
#undef COLUMN
};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

static uint32_t width_of(const struct column *c, const struct ta_snapshot_waiting *w) {
    return c->width == INPUTS ? w->inputs : c->width == TARGETS ? w->targets : 1;
}

static struct ta_h5_shape shape_of(const struct column *c, const struct ta_snapshot_waiting *w) {
    return (struct ta_h5_shape){
        .type = c->type, .rank = c->width == ONE ? 1 : 2, .dims = {w->n, width_of(c, w)}};
}

static void *data_of(const struct column *c, const struct ta_snapshot_waiting *w) {
    return *(void *const *)(const void *)((const char *)w + c->offset);
}

ta_status ta_ckpt_waiting_write(struct ta_h5 *file, const struct ta_snapshot_waiting *w) {
    if (w->n == 0) return TA_OK;
    ta_status status = ta_h5_group_create(file, "/waiting");
    if (status == TA_OK)
        status = ta_h5_attr_set_text(file, "/waiting", "description", "records that are not yet trained on");
    if (status == TA_OK) status = ta_h5_attr_set_text(file, "/waiting", "units", "see each array");
    for (size_t i = 0; i < N_COLUMNS && status == TA_OK; i++) {
        const struct column *c = &columns[i];
        if (width_of(c, w) == 0) continue;
        struct ta_h5_shape shape = shape_of(c, w);
        status = ta_h5_write_all(file, c->name, &shape, data_of(c, w));
        if (status == TA_OK) status = ta_h5_attr_set_text(file, c->name, "description", c->text);
        if (status == TA_OK) status = ta_h5_attr_set_text(file, c->name, "units", c->units);
    }
    return status;
}

/* How many there are, by a set that h5.h has checked against the size of the file. */
static ta_status count_of(struct ta_h5 *file, const char *path, uint64_t *n) {
    struct ta_h5_set *set;
    ta_status status = ta_h5_set_open(file, columns[0].name, &set);
    if (status != TA_OK) return status;
    const struct ta_h5_shape *shape = ta_h5_set_shape(set);
    *n = shape->dims[0];
    if (shape->rank != 1 || *n == 0 || *n > UINT32_MAX)
        status = ta_fail(TA_FORMAT, "%s: %s has rank %u and %" PRIu64 " rows", path, columns[0].name, shape->rank, *n);
    ta_h5_set_close(set);
    return status;
}

/* Each set must be there with that shape before so much is allocated. */
static ta_status check_shapes(struct ta_h5 *file, const char *path, const struct ta_snapshot_waiting *w) {
    ta_status status = TA_OK;
    for (size_t i = 0; i < N_COLUMNS && status == TA_OK; i++) {
        const struct column *c = &columns[i];
        struct ta_h5_shape wanted = shape_of(c, w);
        struct ta_h5_set *set;
        if (width_of(c, w) == 0) continue;
        status = ta_h5_set_open(file, c->name, &set);
        if (status != TA_OK) return status;
        const struct ta_h5_shape *found = ta_h5_set_shape(set);
        bool same = found->rank == wanted.rank && found->dims[0] == wanted.dims[0] &&
                    (wanted.rank == 1 || found->dims[1] == wanted.dims[1]);
        if (!same)
            status = ta_fail(TA_FORMAT, "%s: %s is not %" PRIu64 " rows of %" PRIu64, path, c->name, wanted.dims[0],
                             wanted.rank == 1 ? 1 : wanted.dims[1]);
        ta_h5_set_close(set);
    }
    return status;
}

/* A class is used as an index. */
static ta_status check_labels(const char *path, const struct ta_model *model, const struct ta_snapshot_waiting *w) {
    int32_t most = (int32_t)(model->outputs > 2 || w->targets == 0 ? model->outputs : 2);
    for (uint64_t i = 0; i < w->n; i++)
        if (w->label[i] < -1 || w->label[i] >= most || w->said[i] < -1 || w->scored[i] > 1)
            return ta_fail(TA_FORMAT, "%s: record %" PRIu64 " waits with label %" PRId32 ", prediction %" PRId32
                                      ": classes are -1 to %" PRId32, path, w->record[i], w->label[i], w->said[i], most - 1);
    return TA_OK;
}

ta_status ta_ckpt_waiting_read(struct ta_h5 *file, const char *path, const struct ta_model *model,
                               struct ta_snapshot_waiting *out) {
    if (model->words.rows > 0 || !ta_h5_exists(file, "/waiting")) return TA_OK;
    uint64_t n;
    ta_status status = count_of(file, path, &n);
    if (status != TA_OK) return status;
    struct ta_snapshot_waiting shape = {.n = n, .inputs = model->input.h * model->input.w * model->input.c,
                                        .targets = model->loss == TA_LOSS_CROSS_ENTROPY ? 0 : model->outputs};
    status = check_shapes(file, path, &shape);
    out->inputs = shape.inputs;
    out->targets = shape.targets;
    if (status == TA_OK) status = ta_snapshot_waiting_room(out, n);
    if (status != TA_OK) return status;
    out->n = n;
    for (size_t i = 0; i < N_COLUMNS && status == TA_OK; i++) {
        const struct column *c = &columns[i];
        struct ta_h5_shape wanted = shape_of(c, out);
        if (width_of(c, out) > 0) status = ta_h5_read_all(file, c->name, &wanted, data_of(c, out));
    }
    return status == TA_OK ? check_labels(path, model, out) : status;
}
