/* replica_waiting: records that are not yet trained on, into a checkpoint and out of it: those that wait for their
 * labels, and those that wait for others to be trained on with. */
#include <inttypes.h>
#include <string.h>

#include "mem.h"
#include "replica_internal.h"

static uint32_t inputs(const struct ta_replica *r) { return r->info.h * r->info.w * r->info.c; }

static uint32_t targets(const struct ta_replica *r) {
    return r->model.loss == TA_LOSS_CROSS_ENTROPY ? 0 : r->model.outputs;
}

static void put(struct ta_snapshot_waiting *to, uint64_t due, const struct ta_late_label *l, const float *x,
                bool scored) {
    uint64_t at = to->n++;
    to->due[at] = due;
    to->record[at] = l->record;
    to->label[at] = l->label;
    to->said[at] = l->said;
    to->loss[at] = l->loss;
    to->scored[at] = scored;
    memcpy(to->x + at * to->inputs, x, to->inputs * sizeof *x);
    if (to->targets > 0) memcpy(to->targets_of + at * to->targets, l->targets, to->targets * sizeof *l->targets);
}

/* Those that were gathered first: they come out first, whatever is due. */
static void put_gathered(struct ta_replica *r, struct ta_snapshot_waiting *to) {
    const struct ta_late_batch *b = &r->online.late;
    struct ta_late_label *l = r->online.label;
    for (uint32_t i = 0; i < b->records; i++) {
        *l = (struct ta_late_label){.record = b->numbers[i], .label = b->classes[i], .said = -1};
        if (to->targets > 0) memcpy(l->targets, b->targets + (size_t)i * to->targets, to->targets * sizeof *l->targets);
        put(to, 0, l, b->x + (size_t)i * to->inputs, true);
    }
}

ta_status ta_replica_waiting_copy(struct ta_replica *r, struct ta_snapshot_waiting *out) {
    const struct ta_waiting *w = &r->online.waiting;
    *out = (struct ta_snapshot_waiting){.inputs = inputs(r), .targets = targets(r)};
    uint64_t n = (uint64_t)w->held + r->online.late.records;
    if (n == 0) return TA_OK;
    ta_status status = ta_snapshot_waiting_room(out, n);
    if (status != TA_OK) return status;
    put_gathered(r, out);
    const void *x, *label;
    uint64_t due;
    for (uint32_t place = UINT32_MAX; ta_waiting_walk(w, &place, &due, &x, &label);) put(out, due, label, x, false);
    return TA_OK;
}

void ta_replica_waiting_restore(struct ta_replica *r, const struct ta_snapshot_waiting *from) {
    struct ta_replica_online *s = &r->online;
    struct ta_late_label *l = s->label;
    for (uint64_t i = 0; i < from->n; i++) {
        *l = (struct ta_late_label){.record = from->record[i],
                                    .label = from->label[i],
                                    .said = from->said[i],
                                    .loss = from->loss[i],
                                    .scored = from->scored[i]};
        if (from->targets > 0)
            memcpy(l->targets, from->targets_of + i * from->targets, from->targets * sizeof *l->targets);
        ta_waiting_add(&s->waiting, from->due[i], from->x + i * from->inputs, l);
    }
    if (from->n > 0)
        ta_log_info(r->config.log, "%" PRIu64 " records of the checkpoint wait for their labels", from->n);
}
