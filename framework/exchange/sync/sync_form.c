/* sync_form: who is in the ring, and how survivors come to the same number of reductions: sync.h. */
#include "log.h"
#include "sync.h"

/* FNV-1a over the ranks of the gone; never 0 when there are any. */
static uint32_t set_of_gone(const struct ta_sync *s, unsigned *n) {
    uint32_t hash = 2166136261;
    *n = 0;
    for (unsigned r = 0; r < s->base.n_ranks; r++) {
        if (r == s->base.rank || ta_control_counts(&s->control, r)) continue;
        for (int byte = 0; byte < 4; byte++) hash = (hash ^ (r >> 8 * byte & 0xff)) * 16777619;
        ++*n;
    }
    return *n == 0 ? 0 : hash | 1;
}

static void abandon(struct ta_sync *s, uint32_t set) {
    if (!s->forming && !s->recovery) s->behind = s->busy && s->own;
    s->forming = true;
    s->agreed = s->busy = s->recovery = false;
    ta_sync_engine_abandon(s);
    s->given = NULL;
    s->form = (uint64_t)set << 32 | (uint32_t)s->completed;
}

/* All who are there have abandoned the old ring for the same reason; how far the foremost are, and who is the first of
 * them. */
static bool all_say_so(const struct ta_sync *s, uint32_t *most, unsigned *giver) {
    *most = (uint32_t)s->completed;
    *giver = s->base.rank;
    for (unsigned r = 0; r < s->base.n_ranks; r++) {
        if (r == s->base.rank || !ta_control_counts(&s->control, r)) continue;
        uint64_t form = TA_SYNC_HEARD(s, r, form);
        if (form >> 32 != s->form >> 32) return false;
        int32_t ahead = (int32_t)((uint32_t)form - *most);
        if (ahead > 0 || (ahead == 0 && r < *giver)) *giver = r;
        if (ahead > 0) *most = (uint32_t)form;
    }
    return true;
}

static bool somebody_lags(const struct ta_sync *s, uint32_t most) {
    bool lags = (uint32_t)s->completed != most;
    for (unsigned r = 0; r < s->base.n_ranks; r++)
        if (r != s->base.rank && ta_control_counts(&s->control, r)) lags |= (uint32_t)TA_SYNC_HEARD(s, r, form) != most;
    return lags;
}

/* All have said the same set: a ring of those who are left. */
static bool agree(struct ta_sync *s) {
    if (!all_say_so(s, &s->most, &s->giver)) return false;
    ta_sync_ring_make(s);
    s->lags = somebody_lags(s, s->most);
    if (!s->lags)
        ta_log_info(s->log, "a ring of %u after reduction %llu", s->members, (unsigned long long)s->completed);
    else
        ta_log_info(s->log, "a ring of %u after reduction %u, whose result rank %u has", s->members, s->most, s->giver);
    return true;
}

bool ta_sync_form(struct ta_sync *s, int64_t now_ns) {
    unsigned n;
    uint32_t set = set_of_gone(s, &n);
    if (s->left) return false;
    if (n > 0 && set != (uint32_t)(s->form >> 32)) abandon(s, set);
    if (!s->forming) return false;
    if (!s->agreed && !agree(s)) return true;
    if (!ta_sync_engine_ready(s, now_ns)) return s->forming = true;
    s->forming = false;
    if (!s->lags) return false;
    s->lags = false;
    s->recovery = true;
    ta_sync_ring_begin(s, s->giver == s->base.rank ? s->result[s->last] : NULL, s->behind);
    return false;
}
