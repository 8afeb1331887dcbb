/* skipgram_near: the rows of a table that are at work, copied close together.
 *
 * A word is a context of all windows it lies in, and a negative is used by several windows. Its row is copied when it
 * comes into use and written back when it goes: in between it is in the first-level cache, whatever the table's stride
 * does to it, and it is listed once a stay for peers. A row that is used twice at a time has one copy, so that no
 * update is lost.
 *
 * One `ta_near` belongs to one thread. Between two calls of `train` no copy is held.
 */
#ifndef TA_CPU_SKIPGRAM_NEAR_H
#define TA_CPU_SKIPGRAM_NEAR_H

#include <stdbool.h>

#include "kernels.h"
#include "skipgram_loops.h"

enum { TA_NEAR_SLOTS = UINT16_MAX - 1 };

struct ta_near {
    const struct ta_skipgram_loops *loops;
    struct ta_table table;
    uint32_t slots, stride; /* of the copies, in floats */
    uint32_t used;          /* floats of a row that are copied */
    float *copies;          /* [slots][stride] */
    uint32_t *row, *users;  /* [slots] */
    bool *changes;          /* [slots] since the row entered */
    uint16_t *free;         /* [n_free] slots */
    uint32_t n_free;
    uint16_t *slot_of; /* [rows] the slot that holds a row, plus 1; 0: none */
    float *w;          /* the table's rows in this call's arena */
    bool lists;
    uint32_t *changed; /* [room] with `lists`: the rows written back */
    size_t n_changed, room;
};

/* Room for `slots` rows. Errors: NO_MEMORY. Freed by ta_near_free, also after a failure. */
ta_status ta_near_make(const struct ta_table *table, uint32_t slots, bool lists, const struct ta_skipgram_loops *loops,
                       struct ta_near *near);
void ta_near_free(struct ta_near *near);
size_t ta_near_bytes(const struct ta_near *near);

/* A call begins: its arena, and with `lists` a list of at most `stays` rows written back. Errors: NO_MEMORY. */
ta_status ta_near_begin(struct ta_near *near, float *w, size_t stays);

static inline float *ta_near_copy(const struct ta_near *near, uint32_t slot) {
    return near->copies + (size_t)slot * near->stride;
}

static inline size_t ta_near_place(const struct ta_near *near, uint32_t row) {
    return (size_t)row * near->table.stride;
}

/* One more user of a row; its slot. There must be a free one. */
static inline uint32_t ta_near_enter(struct ta_near *near, uint32_t row) {
    uint32_t slot = near->slot_of[row];
    if (slot != 0) {
        near->users[slot - 1]++;
        return slot - 1;
    }
    slot = near->free[--near->n_free];
    near->slot_of[row] = (uint16_t)(slot + 1);
    near->row[slot] = row;
    near->users[slot] = 1;
    near->changes[slot] = false;
    near->loops->copy(near->used, near->w + ta_near_place(near, row), ta_near_copy(near, slot));
    return slot;
}

/* The row is going to change. */
static inline void ta_near_change(struct ta_near *near, uint32_t slot) { near->changes[slot] = true; }

/* One user less; the last one writes back what has changed. */
static inline void ta_near_leave(struct ta_near *near, uint32_t slot) {
    if (--near->users[slot] > 0) return;
    uint32_t row = near->row[slot];
    near->slot_of[row] = 0;
    near->free[near->n_free++] = (uint16_t)slot;
    if (!near->changes[slot]) return;
    near->loops->copy(near->used, ta_near_copy(near, slot), near->w + ta_near_place(near, row));
    if (near->lists) near->changed[near->n_changed++] = row;
}

/* A row will enter soon: the step that comes fetches it. */
static inline void ta_near_soon(const struct ta_near *near, uint32_t row, struct ta_loops_step *step) {
    __builtin_prefetch(near->slot_of + row, 1);
    if (step->n_fetch < TA_LOOPS_FETCH) step->fetch[step->n_fetch++] = near->w + ta_near_place(near, row);
}

#endif
