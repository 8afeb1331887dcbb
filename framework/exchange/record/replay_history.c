/* replay_history: counts who needs which step, keeps and frees. */
#include "replay_history.h"

#include <inttypes.h>
#include <string.h>

#include "mem.h"

static struct ta_kept *place(const struct ta_history *h, unsigned rank, uint64_t steps) {
    if (steps < h->first[rank] || steps > h->last[rank]) return NULL;
    return &h->kept[rank][steps - h->first[rank]];
}

/* Each run of events over which `reader` had the same step of a rank in its weights is one use. */
static ta_status count_uses(struct ta_history *h, const struct ta_record *record) {
    struct ta_record_cursor c;
    uint64_t *before = NULL;
    ta_status status = ta_record_cursor_open(&c, record);
    if (status == TA_OK) status = TA_NEW(&before, h->n_ranks, "a replay");
    for (unsigned r = 0; r < h->n_ranks && status == TA_OK; r++) before[r] = UINT64_MAX;
    for (; status == TA_OK && c.event.kind != TA_RECORD_NONE; ta_record_cursor_next(&c)) {
        if (c.event.kind != TA_RECORD_STEP && c.event.kind != TA_RECORD_BAD) continue;
        for (unsigned r = 0; r < h->n_ranks && status == TA_OK; r++) {
            if (r == record->head.rank || c.versions[r] == before[r]) continue; /* its own is where it stands */
            if (c.versions[r] < h->first[r])
                status = ta_fail(TA_FORMAT,
                                 "the recording of rank %" PRIu64 " has step %" PRIu64 " of rank %u in it, whose "
                                 "own begins at step %" PRIu64 ": they are not of one run",
                                 record->head.rank, c.versions[r], r, h->first[r]);
            struct ta_kept *kept = place(h, r, c.versions[r]);
            if (kept != NULL) kept->uses++;
            before[r] = c.versions[r];
        }
    }
    ta_mem_free(before);
    ta_record_cursor_close(&c);
    return status;
}

ta_status ta_history_open(struct ta_history *h, const struct ta_record *records, unsigned n_ranks) {
    *h = (struct ta_history){.n_ranks = n_ranks, .n_params = records[0].head.n_params};
    ta_status status = TA_NEW(&h->first, n_ranks, "a replay");
    if (status == TA_OK) status = TA_NEW(&h->last, n_ranks, "a replay");
    if (status == TA_OK) status = TA_NEW(&h->kept, n_ranks, "a replay");
    for (unsigned r = 0; r < n_ranks && status == TA_OK; r++) {
        h->first[r] = records[r].head.steps;
        h->last[r] = records[r].steps;
        status = TA_NEW(&h->kept[r], h->last[r] - h->first[r] + 1, "steps of a replay");
    }
    for (unsigned r = 0; r < n_ranks && status == TA_OK; r++) status = count_uses(h, &records[r]);
    if (status != TA_OK) ta_history_close(h);
    return status;
}

void ta_history_close(struct ta_history *h) {
    for (unsigned r = 0; h->kept != NULL && r < h->n_ranks; r++) {
        for (uint64_t i = 0; h->kept[r] != NULL && i <= h->last[r] - h->first[r]; i++)
            ta_mem_free(h->kept[r][i].values);
        ta_mem_free(h->kept[r]);
    }
    ta_mem_free(h->kept);
    ta_mem_free(h->last);
    ta_mem_free(h->first);
    *h = (struct ta_history){0};
}

ta_status ta_history_keep(struct ta_history *h, unsigned rank, uint64_t steps, const float *values) {
    struct ta_kept *kept = place(h, rank, steps);
    if (kept == NULL || kept->uses == 0 || kept->values != NULL) return TA_OK;
    ta_status status = TA_NEW(&kept->values, h->n_params, "a register of a replay");
    if (status != TA_OK) return status;
    memcpy(kept->values, values, h->n_params * sizeof(float));
    h->n_kept++;
    if (h->n_kept > h->most_kept) h->most_kept = h->n_kept;
    return TA_OK;
}

const float *ta_history_find(const struct ta_history *h, unsigned rank, uint64_t steps) {
    const struct ta_kept *kept = place(h, rank, steps);
    return kept != NULL ? kept->values : NULL;
}

void ta_history_release(struct ta_history *h, unsigned rank, uint64_t steps) {
    struct ta_kept *kept = place(h, rank, steps);
    if (kept == NULL || kept->uses == 0 || --kept->uses > 0 || kept->values == NULL) return;
    ta_mem_free(kept->values);
    kept->values = NULL;
    h->n_kept--;
}
