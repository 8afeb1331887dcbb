/* vocabulary_watch: doubly linked lists of places by how often their words were seen. */
#include "vocabulary_watch.h"

static uint32_t list_of(const struct ta_watched *w) {
    uint64_t sum = (uint64_t)w->seen + w->inherited;
    return sum < TA_WATCH_LISTS ? (uint32_t)sum : TA_WATCH_LISTS - 1;
}

static void append(struct ta_watch *watch, uint32_t place) {
    struct ta_watched *w = &watch->place[place];
    uint32_t list = list_of(w), last = watch->list[list].last;
    w->previous = last;
    w->next = 0;
    if (last == 0) {
        watch->list[list].first = place + 1;
        if (list < watch->lowest) watch->lowest = list;
    } else {
        watch->place[last - 1].next = place + 1;
    }
    watch->list[list].last = place + 1;
}

static void take_out(struct ta_watch *watch, uint32_t place) {
    struct ta_watched *w = &watch->place[place];
    uint32_t list = list_of(w);
    if (w->previous != 0) watch->place[w->previous - 1].next = w->next;
    else watch->list[list].first = w->next;
    if (w->next != 0) watch->place[w->next - 1].previous = w->previous;
    else watch->list[list].last = w->previous;
}

void ta_watch_start(struct ta_watch *watch, struct ta_watched *place, uint32_t places) {
    *watch = (struct ta_watch){.place = place, .places = places, .lowest = TA_WATCH_LISTS - 1};
}

uint32_t ta_watch_take(struct ta_watch *watch, bool *victim, uint64_t *hash) {
    *victim = false;
    if (watch->free != 0) {
        uint32_t place = watch->free - 1;
        watch->free = watch->place[place].next;
        watch->place[place].inherited = 0;
        return place;
    }
    if (watch->opened < watch->places) return watch->opened++;
    /* All places are in use, so one list has a first. */
    while (watch->list[watch->lowest].first == 0) watch->lowest++;
    uint32_t place = watch->list[watch->lowest].first - 1;
    struct ta_watched *w = &watch->place[place];
    take_out(watch, place);
    *victim = true;
    *hash = w->hash;
    if (__builtin_add_overflow(w->inherited, w->seen, &w->inherited)) w->inherited = UINT32_MAX;
    w->used = false;
    return place;
}

void ta_watch_put(struct ta_watch *watch, uint32_t place, const struct ta_word_key *key, uint64_t hash, uint32_t seen) {
    struct ta_watched *w = &watch->place[place];
    w->key = *key;
    w->hash = hash;
    w->seen = seen;
    w->used = true;
    append(watch, place);
}

void ta_watch_again(struct ta_watch *watch, uint32_t place) {
    struct ta_watched *w = &watch->place[place];
    take_out(watch, place);
    if (w->seen < UINT32_MAX) w->seen++;
    append(watch, place);
}

void ta_watch_drop(struct ta_watch *watch, uint32_t place) {
    struct ta_watched *w = &watch->place[place];
    take_out(watch, place);
    w->used = false;
    w->next = watch->free;
    watch->free = place + 1;
}

void ta_watch_fade(struct ta_watch *watch) {
    watch->lowest = TA_WATCH_LISTS - 1;
    /* Upwards: what a list halves into lies below it and is already done. */
    for (uint32_t list = 0; list < TA_WATCH_LISTS; list++) {
        uint32_t next = watch->list[list].first;
        watch->list[list].first = watch->list[list].last = 0;
        while (next != 0) {
            uint32_t place = next - 1;
            struct ta_watched *w = &watch->place[place];
            next = w->next;
            w->seen /= 2;
            w->inherited /= 2;
            append(watch, place);
        }
    }
}
