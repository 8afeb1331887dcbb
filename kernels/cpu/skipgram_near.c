/* skipgram_near: making and freeing the copies. */
#include "skipgram_near.h"

#include "mem.h"

ta_status ta_near_make(const struct ta_table *table, uint32_t slots, bool lists, const struct ta_skipgram_loops *loops,
                       struct ta_near *near) {
    *near = (struct ta_near){.loops = loops, .table = *table, .slots = slots, .n_free = slots, .lists = lists};
    if (slots > TA_NEAR_SLOTS)
        return ta_fail(TA_CONFIG, "%u rows at work are more than %u", slots, (unsigned)TA_NEAR_SLOTS);
    near->used = (table->width + 7) / 8 * 8;
    /* An odd number of cache lines: rows that lie a power of two apart would share a few sets of the cache. */
    near->stride = ((table->width + TA_LOOPS_ALIGN - 1) / TA_LOOPS_ALIGN | 1) * TA_LOOPS_ALIGN;
    ta_status status = TA_NEW(&near->copies, (size_t)slots * near->stride, "a word model's rows at work");
    if (status == TA_OK) status = TA_NEW(&near->row, slots, "a word model's rows at work");
    if (status == TA_OK) status = TA_NEW(&near->users, slots, "a word model's rows at work");
    if (status == TA_OK) status = TA_NEW(&near->changes, slots, "a word model's rows at work");
    if (status == TA_OK) status = TA_NEW(&near->free, slots, "a word model's rows at work");
    if (status == TA_OK) status = TA_NEW(&near->slot_of, table->rows, "a word model's map of rows");
    if (status != TA_OK) return status;
    for (uint32_t i = 0; i < slots; i++) near->free[i] = (uint16_t)(slots - 1 - i);
    return TA_OK;
}

void ta_near_free(struct ta_near *near) {
    ta_mem_free(near->copies);
    ta_mem_free(near->row);
    ta_mem_free(near->users);
    ta_mem_free(near->changes);
    ta_mem_free(near->free);
    ta_mem_free(near->slot_of);
    ta_mem_free(near->changed);
    *near = (struct ta_near){0};
}

size_t ta_near_bytes(const struct ta_near *near) {
    return (size_t)near->slots *
               (near->stride * sizeof(float) + 2 * sizeof(uint32_t) + sizeof(bool) + sizeof(uint16_t)) +
           near->table.rows * sizeof(uint16_t) + near->room * sizeof(uint32_t);
}

ta_status ta_near_begin(struct ta_near *near, float *w, size_t stays) {
    near->w = w + near->table.offset;
    near->n_changed = 0;
    if (!near->lists || stays <= near->room) return TA_OK;
    uint32_t *changed;
    ta_status status = TA_NEW(&changed, stays, "a word model's list of rows");
    if (status != TA_OK) return status;
    ta_mem_free(near->changed);
    near->changed = changed;
    near->room = stays;
    return TA_OK;
}
