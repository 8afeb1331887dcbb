/* vocabulary_slots: open addressing, linear probing; removal closes the gap, so there are no tombstones to sweep. */
#include "vocabulary_internal.h"

/* Of two rows of one name: that of the keeper of the word, else the lower one. */
static bool better(const struct ta_vocabulary *v, uint64_t hash, uint32_t row, uint32_t than) {
    unsigned n = v->config.n_ranks, keeper = ta_word_keeper(v, hash);
    bool mine = row % n == keeper, its = than % n == keeper;
    return mine != its ? mine : row < than;
}

void ta_slot_add(struct ta_vocabulary *v, uint64_t hash, uint32_t value) {
    const struct ta_word_key *key = ta_slot_key(v, value);
    uint64_t at = ta_slot_home(v, hash);
    for (; v->slot[at].used; at = ta_slot_next(v, at)) {
        struct ta_slot *s = &v->slot[at];
        if (s->hash != hash || !ta_word_same(ta_slot_key(v, s->value), key)) continue;
        /* Rows of one name stand in order, the best first: those behind move up one. */
        if (!better(v, hash, value, s->value)) continue;
        uint32_t displaced = s->value;
        s->value = value;
        value = displaced;
    }
    v->slot[at] = (struct ta_slot){.hash = hash, .value = value, .used = 1};
}

static uint64_t distance(const struct ta_vocabulary *v, uint64_t from, uint64_t to) {
    return to >= from ? to - from : to + v->slots - from;
}

void ta_slot_remove(struct ta_vocabulary *v, uint64_t hash, uint32_t value) {
    uint64_t gap = ta_slot_home(v, hash);
    while (v->slot[gap].value != value || v->slot[gap].hash != hash) gap = ta_slot_next(v, gap);
    for (uint64_t at = ta_slot_next(v, gap); v->slot[at].used; at = ta_slot_next(v, at)) {
        /* What would lie before its home in the gap stays. */
        if (distance(v, ta_slot_home(v, v->slot[at].hash), at) < distance(v, gap, at)) continue;
        v->slot[gap] = v->slot[at];
        gap = at;
    }
    v->slot[gap].used = 0;
}
