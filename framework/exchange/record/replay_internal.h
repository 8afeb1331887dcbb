/* replay_internal: what replay.c and replay_exchange.c share. Nobody else includes it. */
#ifndef TA_REPLAY_INTERNAL_H
#define TA_REPLAY_INTERNAL_H

#include "replay.h"
#include "replay_history.h"

/* One rank. */
struct ta_replayed {
    struct ta_exchange base; /* first: it is an exchange */
    struct ta_replay *replay;
    struct ta_exchange_config kept;
    const float **registers;      /* [n_ranks] scratch */
    uint64_t *held;               /* [n_ranks] steps in w; UINT64_MAX: none yet */
    uint32_t entered, rested, done;
    bool summed;                  /* w is of the steps held */
    bool left;
};

struct ta_replay {
    const struct ta_record *records;
    unsigned n_ranks;
    bool drops;
    struct ta_record_cursor *cursor; /* [n_ranks] on the next event of each */
    struct ta_replayed **rank;       /* [n_ranks]; NULL: not open */
    struct ta_history history;
    unsigned until_rank;
    uint64_t until_step, moves;
    struct ta_replay_look look;
};

static inline bool ta_replay_is_step(const struct ta_record_event *e) {
    return e->kind == TA_RECORD_STEP || e->kind == TA_RECORD_BAD;
}

#endif
