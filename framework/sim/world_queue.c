/* world_queue: a binary heap of the replicas by when they go on. */
#include "world.h"

static const size_t NOWHERE = SIZE_MAX;

static bool before(const struct ta_member_fiber *a, const struct ta_member_fiber *b) {
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->sequence < b->sequence;
}

static void put(struct ta_world *w, size_t place, struct ta_member_fiber *m) {
    w->queue[place] = m;
    m->place = place;
}

static void sift(struct ta_world *w, size_t place, struct ta_member_fiber *m) {
    for (; place > 0 && before(m, w->queue[(place - 1) / 2]); place = (place - 1) / 2)
        put(w, place, w->queue[(place - 1) / 2]);
    for (size_t child; (child = 2 * place + 1) < w->queued; place = child) {
        if (child + 1 < w->queued && before(w->queue[child + 1], w->queue[child])) child++;
        if (!before(w->queue[child], m)) break;
        put(w, place, w->queue[child]);
    }
    put(w, place, m);
}

void ta_world_enqueue(struct ta_world *w, struct ta_member_fiber *m, int64_t due_ns) {
    m->due_ns = due_ns;
    m->sequence = w->sequence++;
    if (m->place == NOWHERE) m->place = w->queued++;
    sift(w, m->place, m);
}

void ta_world_remove(struct ta_world *w, struct ta_member_fiber *m) {
    if (m->place == NOWHERE) return;
    size_t place = m->place;
    struct ta_member_fiber *last = w->queue[--w->queued];
    m->place = NOWHERE;
    if (last != m) sift(w, place, last);
}

struct ta_member_fiber *ta_world_dequeue(struct ta_world *w) {
    struct ta_member_fiber *m = w->queue[0];
    ta_world_remove(w, m);
    return m;
}
