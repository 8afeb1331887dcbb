/* replay: a recorded run as a whole: its ranks, what they wait for, what is asked about it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "replay_internal.h"

static ta_status check_one_run(const struct ta_record *records, unsigned n_ranks) {
    const struct ta_record_head *a = &records[0].head;
    for (unsigned r = 0; r < n_ranks; r++) {
        const struct ta_record_head *b = &records[r].head;
        if (b->rank != r || b->n_ranks != n_ranks)
            return ta_fail(TA_FORMAT, "the recording of rank %u of %u says that it is of rank %" PRIu64 " of %" PRIu64,
                           r, n_ranks, b->rank, b->n_ranks);
        if (a->epoch != b->epoch || a->n_params != b->n_params || a->fingerprint != b->fingerprint ||
            strcmp(a->config, b->config) != 0)
            return ta_fail(TA_FORMAT,
                           "the recordings of ranks 0 and %u are not of one run: life %" PRIu64 " and %" PRIu64
                           ", models %016" PRIx64 " and %016" PRIx64,
                           r, a->epoch, b->epoch, a->fingerprint, b->fingerprint);
    }
    return TA_OK;
}

ta_status ta_replay_open(const struct ta_record *records, unsigned n_ranks, bool drops, struct ta_replay **out) {
    struct ta_replay *p;
    *out = NULL;
    ta_status status = check_one_run(records, n_ranks);
    if (status == TA_OK) status = TA_NEW(&p, 1, "a replay");
    if (status != TA_OK) return status;
    p->records = records;
    p->n_ranks = p->until_rank = n_ranks;
    p->drops = drops;
    status = TA_NEW(&p->cursor, n_ranks, "a replay");
    if (status == TA_OK) status = TA_NEW(&p->rank, n_ranks, "a replay");
    for (unsigned r = 0; r < n_ranks && status == TA_OK; r++)
        status = ta_record_cursor_open(&p->cursor[r], &records[r]);
    if (status == TA_OK) status = ta_history_open(&p->history, records, n_ranks);
    if (status == TA_OK) *out = p;
    else ta_replay_close(p);
    return status;
}

void ta_replay_close(struct ta_replay *p) {
    if (p == NULL) return;
    for (unsigned r = 0; p->cursor != NULL && r < p->n_ranks; r++) ta_record_cursor_close(&p->cursor[r]);
    ta_history_close(&p->history);
    ta_mem_free(p->rank);
    ta_mem_free(p->cursor);
    ta_mem_free(p);
}

bool ta_replay_is_over(const struct ta_replay *p, unsigned rank) {
    const struct ta_record_event *e = &p->cursor[rank].event;
    bool ends = ta_replay_is_step(e) || (e->kind == TA_RECORD_REST && e->round == 0);
    return ends && e->position <= p->rank[rank]->base.position;
}

bool ta_replay_drops(const struct ta_replay *p, unsigned rank) {
    const struct ta_record_event *e = &p->cursor[rank].event;
    uint64_t position = p->rank[rank]->base.position;
    if (!p->drops) return false;
    if (ta_replay_is_step(e)) return position < e->position;
    return e->kind == TA_RECORD_REST && position <= e->position; /* no step came of it */
}

void ta_replay_until(struct ta_replay *p, unsigned rank, uint64_t step) {
    p->until_rank = rank;
    p->until_step = step;
}

uint64_t ta_replay_moves(const struct ta_replay *p) { return p->moves; }

void ta_replay_look(const struct ta_replay *p, struct ta_replay_look *out) {
    size_t bytes = p->history.n_params * sizeof(float);
    *out = p->look;
    out->held_bytes = p->history.n_kept * bytes;
    out->most_bytes = p->history.most_kept * bytes;
}

void ta_replay_describe(const struct ta_replay *p, unsigned rank, char *out, size_t bytes) {
    const struct ta_record_cursor *c = &p->cursor[rank];
    const struct ta_record *own = &p->records[rank];
    snprintf(out, bytes, "stands at rest after step %" PRIu64, c->steps);
    if (c->event.kind == TA_RECORD_END)
        snprintf(out, bytes, "its recording ends at step %" PRIu64 ", as rank %u was lost", c->steps, own->ended_by);
    else if (c->event.kind == TA_RECORD_NONE)
        snprintf(out, bytes, "its recording ends at step %" PRIu64 "%s", c->steps,
                 own->finished ? "" : ", before its run did");
    for (unsigned r = 0; r < p->n_ranks && ta_replay_is_step(&c->event); r++)
        if (p->rank[r] != NULL && p->rank[r]->base.steps < c->versions[r])
            snprintf(out, bytes,
                     "step %" PRIu64 " waits for step %" PRIu64 " of rank %u, whose recording ends at step %" PRIu64,
                     c->steps + 1, c->versions[r], r, p->records[r].steps);
}
