/* snapshot: frees what a snapshot owns; what it borrowed is somebody else's. And the records in it that wait. */
#include <string.h>

#include "checkpoint.h"
#include "mem.h"

ta_status ta_snapshot_waiting_room(struct ta_snapshot_waiting *w, uint64_t n) {
    static const char what[] = "records that wait for their labels";
    uint64_t room = w->n + n;
    ta_status status = ta_mem_resize((void **)&w->due, room * sizeof *w->due, what);
    if (status == TA_OK) status = ta_mem_resize((void **)&w->record, room * sizeof *w->record, what);
    if (status == TA_OK) status = ta_mem_resize((void **)&w->label, room * sizeof *w->label, what);
    if (status == TA_OK) status = ta_mem_resize((void **)&w->said, room * sizeof *w->said, what);
    if (status == TA_OK) status = ta_mem_resize((void **)&w->loss, room * sizeof *w->loss, what);
    if (status == TA_OK) status = ta_mem_resize((void **)&w->scored, room * sizeof *w->scored, what);
    if (status == TA_OK) status = ta_mem_resize((void **)&w->x, room * w->inputs * sizeof *w->x, what);
    if (status == TA_OK && w->targets > 0)
        status = ta_mem_resize((void **)&w->targets_of, room * w->targets * sizeof *w->targets_of, what);
    if (status == TA_OK) w->room = room;
    return status;
}

ta_status ta_snapshot_waiting_append(struct ta_snapshot_waiting *into, const struct ta_snapshot_waiting *from) {
    if (from->n == 0) return TA_OK;
    if (into->n == 0) {
        into->inputs = from->inputs;
        into->targets = from->targets;
    }
    ta_status status = ta_snapshot_waiting_room(into, from->n);
    if (status != TA_OK) return status;
    uint64_t at = into->n, n = from->n;
    memcpy(into->due + at, from->due, n * sizeof *into->due);
    memcpy(into->record + at, from->record, n * sizeof *into->record);
    memcpy(into->label + at, from->label, n * sizeof *into->label);
    memcpy(into->said + at, from->said, n * sizeof *into->said);
    memcpy(into->loss + at, from->loss, n * sizeof *into->loss);
    memcpy(into->scored + at, from->scored, n * sizeof *into->scored);
    memcpy(into->x + at * into->inputs, from->x, n * into->inputs * sizeof *into->x);
    if (into->targets > 0)
        memcpy(into->targets_of + at * into->targets, from->targets_of, n * into->targets * sizeof *into->targets_of);
    into->n += n;
    return TA_OK;
}

void ta_snapshot_waiting_free(struct ta_snapshot_waiting *w) {
    ta_mem_free(w->due);
    ta_mem_free(w->record);
    ta_mem_free(w->label);
    ta_mem_free(w->said);
    ta_mem_free(w->loss);
    ta_mem_free(w->scored);
    ta_mem_free(w->x);
    ta_mem_free(w->targets_of);
    *w = (struct ta_snapshot_waiting){0};
}

void ta_snapshot_free(struct ta_snapshot *s) {
    if (s == NULL) return;
    ta_mem_free(s->peer_steps);
    if (!s->borrowed) {
        ta_mem_free(s->w);
        ta_mem_free(s->w0);
        ta_mem_free(s->delta);
    }
    ta_mem_free(s->m);
    ta_mem_free(s->v);
    if (!s->names_lent) ta_names_free(&s->names);
    ta_frontier_free(&s->done);
    ta_snapshot_waiting_free(&s->waiting);
    *s = (struct ta_snapshot){0};
}
