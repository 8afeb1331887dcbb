/* staleness: a basis and a histogram for each rank. */
#include "staleness.h"

#include <string.h>

#include "mem.h"

ta_status ta_staleness_open(struct ta_staleness *s, unsigned n_ranks) {
    memset(s, 0, sizeof *s);
    s->n_ranks = n_ranks;
    ta_status status = TA_NEW(&s->basis, n_ranks, "steps of peers in the weights");
    size_t all = n_ranks > 1 ? n_ranks : 0; /* alone there is no peer, and one that stays empty does for both */
    if (status == TA_OK) status = TA_NEW(&s->hist, all + 1, "staleness histograms");
    if (status == TA_OK) s->all = &s->hist[all];
    if (status != TA_OK) ta_staleness_close(s);
    return status;
}

void ta_staleness_close(struct ta_staleness *s) {
    ta_mem_free(s->hist);
    ta_mem_free(s->basis);
    memset(s, 0, sizeof *s);
}

void ta_staleness_based_on(struct ta_staleness *s, unsigned rank, uint64_t steps) { s->basis[rank] = steps; }

uint64_t ta_staleness_count(struct ta_staleness *s, unsigned rank, uint64_t steps) {
    /* A peer that came back from a checkpoint may know less than our weights hold: that is fresh, not negative. */
    uint64_t missing = steps > s->basis[rank] ? steps - s->basis[rank] : 0;
    ta_hist_add(&s->hist[rank], missing);
    return missing;
}

void ta_staleness_count_all(struct ta_staleness *s, uint64_t missing) { ta_hist_add(s->all, missing); }
