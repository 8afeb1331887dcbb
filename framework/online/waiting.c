/* waiting: a binary heap by due moment, over a list by arrival. */
#include "waiting.h"

#include <string.h>

#include "mem.h"

#define NONE UINT32_MAX

ta_status ta_waiting_init(struct ta_waiting *w, uint32_t room, size_t x_bytes, size_t label_bytes) {
    *w = (struct ta_waiting){.room = room, .x_bytes = x_bytes, .label_bytes = label_bytes, .oldest = NONE, .newest = NONE};
    if (room == 0 || room == NONE) return ta_fail(TA_CONFIG, "waiting records: room for %u: at least 1", room);
    ta_status status = ta_mem_alloc(room, x_bytes, "records that wait for their labels", (void **)&w->x);
    if (status == TA_OK)
        status = ta_mem_alloc(room, label_bytes, "records that wait for their labels", (void **)&w->labels);
    if (status == TA_OK) status = TA_NEW(&w->place, room, "records that wait for their labels");
    if (status == TA_OK) status = TA_NEW(&w->heap, room, "records that wait for their labels");
    for (uint32_t i = 0; i < room && status == TA_OK; i++) w->heap[i] = i;
    return status;
}

void ta_waiting_free(struct ta_waiting *w) {
    ta_mem_free(w->x);
    ta_mem_free(w->labels);
    ta_mem_free(w->place);
    ta_mem_free(w->heap);
    *w = (struct ta_waiting){0};
}

/* --- the heap --- */

static int before(const struct ta_waiting *w, uint32_t a, uint32_t b) {
    const struct ta_waiting_place *p = &w->place[a], *q = &w->place[b];
    return p->due < q->due || (p->due == q->due && p->number < q->number);
}

static void stand(struct ta_waiting *w, uint32_t at, uint32_t place) {
    w->heap[at] = place;
    w->place[place].heap_at = at;
}

static void rise(struct ta_waiting *w, uint32_t at) {
    uint32_t place = w->heap[at];
    for (; at > 0 && before(w, place, w->heap[(at - 1) / 2]); at = (at - 1) / 2) stand(w, at, w->heap[(at - 1) / 2]);
    stand(w, at, place);
}

static void sink(struct ta_waiting *w, uint32_t at) {
    uint32_t place = w->heap[at];
    while (2 * (size_t)at + 1 < w->held) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < w->held && before(w, w->heap[child + 1], w->heap[child])) child++;
        if (!before(w, w->heap[child], place)) break;
        stand(w, at, w->heap[child]);
        at = child;
    }
    stand(w, at, place);
}

/* --- the order of arrival --- */

static void link_newest(struct ta_waiting *w, uint32_t place) {
    w->place[place].older = w->newest;
    w->place[place].newer = NONE;
    if (w->newest != NONE) w->place[w->newest].newer = place;
    else w->oldest = place;
    w->newest = place;
}

static void unlink_place(struct ta_waiting *w, uint32_t place) {
    uint32_t older = w->place[place].older, newer = w->place[place].newer;
    if (older != NONE) w->place[older].newer = newer;
    else w->oldest = newer;
    if (newer != NONE) w->place[newer].older = older;
    else w->newest = older;
}

static void take_out(struct ta_waiting *w, uint32_t place) {
    uint32_t at = w->place[place].heap_at, last = w->heap[--w->held];
    unlink_place(w, place);
    w->heap[w->held] = place; /* free */
    if (last == place) return;
    stand(w, at, last);
    rise(w, at);
    sink(w, w->place[last].heap_at);
}

void ta_waiting_add(struct ta_waiting *w, uint64_t due, const void *x, const void *label) {
    if (w->held == w->room) {
        take_out(w, w->oldest);
        w->dropped++;
    }
    uint32_t place = w->heap[w->held];
    w->place[place].due = due;
    w->place[place].number = w->entered++;
    link_newest(w, place);
    memcpy(w->x + place * w->x_bytes, x, w->x_bytes);
    memcpy(w->labels + place * w->label_bytes, label, w->label_bytes);
    rise(w, w->held++);
}

int ta_waiting_next(struct ta_waiting *w, uint64_t now, const void **x, const void **label) {
    *x = *label = NULL;
    if (w->held == 0 || w->place[w->heap[0]].due > now) return 0;
    uint32_t place = w->heap[0];
    *x = w->x + place * w->x_bytes;
    *label = w->labels + place * w->label_bytes;
    take_out(w, place);
    return 1;
}

int ta_waiting_walk(const struct ta_waiting *w, uint32_t *place, uint64_t *due, const void **x, const void **label) {
    *place = *place == NONE ? w->oldest : w->place[*place].newer;
    if (*place == NONE) return 0;
    *due = w->place[*place].due;
    *x = w->x + *place * w->x_bytes;
    *label = w->labels + *place * w->label_bytes;
    return 1;
}
