/* sync_rounds: rest, when no reduction is under way and none can begin. Why that is seen rightly stands in sync.h. */
#include "sync.h"

/* Everybody waits in this round or a later one, and has seen as many reductions complete as we have. */
static bool is_still(const struct ta_sync *s, uint32_t round) {
    for (unsigned p = 0; p < s->base.n_ranks; p++) {
        if (p == s->base.rank || !ta_control_counts(&s->control, p)) continue;
        uint64_t rest = TA_SYNC_HEARD(s, p, rest);
        if (rest >> 32 < round || (uint32_t)rest != (uint32_t)s->completed) return false;
    }
    return true;
}

/* Our register, for who takes a snapshot: delta, or zero where a lower rank has it. */
static ta_status show_register(struct ta_sync *s) {
    float *out;
    if (s->ring[0] == s->base.rank) return TA_OK;
    ta_status status = ta_sync_empty_register(s, &out);
    if (status == TA_OK) s->base.delta = out;
    return status;
}

static void move_again(struct ta_sync *s) {
    s->at_rest = s->still = false;
    s->base.delta = s->delta;
}

/* OK: nothing is under way, and all wait in the round. AGAIN. */
static ta_status come_to_rest(struct ta_sync *s, uint32_t round, int64_t now_ns) {
    struct ta_exchange *inner = s->control.x;
    ta_status status = ta_sync_progress(s, now_ns);
    if (status != TA_OK) return status;
    /* Who asked for it may have died before all heard of it. */
    uint32_t reason, asked = inner->ops->requested(inner, &reason);
    if (asked > 0) inner->ops->request(inner, asked, reason);
    if (s->pending) return TA_AGAIN;
    s->round = round;
    ta_sync_say_all(s);
    if (s->busy || s->forming || !is_still(s, round)) return TA_AGAIN;
    s->still = true;
    return TA_OK;
}

ta_status ta_sync_settle(struct ta_exchange *x, uint32_t round, int64_t now_ns) {
    struct ta_sync *s = ta_sync_of(x);
    bool valid = round > s->done && round >= s->round; /* else the inner exchange says what is wrong */
    if (s->round == TA_ROUND_FINAL) valid = round > s->done;
    if (x->n_ranks > 1 && valid) {
        if (s->round != round && s->round != 0) move_again(s);
        ta_status status = s->still ? TA_OK : come_to_rest(s, round, now_ns);
        if (status != TA_OK) return status;
    }
    ta_status status = s->control.x->ops->settle(s->control.x, round, now_ns);
    if (status != TA_OK || s->at_rest || x->n_ranks == 1) return status;
    status = show_register(s);
    if (status != TA_OK) return status;
    s->settled_steps = x->steps;
    s->at_rest = true;
    return TA_OK;
}

ta_status ta_sync_resume(struct ta_exchange *x, uint32_t round, int64_t now_ns) {
    struct ta_sync *s = ta_sync_of(x);
    ta_status status = s->control.x->ops->resume(s->control.x, round, now_ns);
    if (status != TA_OK) return status;
    move_again(s);
    s->round = 0;
    s->idle = false;
    if (round != TA_ROUND_FINAL) s->done = round;
    return TA_OK;
}
