/* place: first fit by decreasing size. */
#include "place.h"

static bool overlap(const struct ta_block *a, const struct ta_block *b) { return a->from <= b->to && b->from <= a->to; }

/* The lowest offset at which `b` meets no placed block of its time. */
static size_t lowest_offset(const struct ta_block *blocks, uint32_t count, const struct ta_block *b) {
    size_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < count; i++) {
            const struct ta_block *o = &blocks[i];
            if (!o->placed || !overlap(o, b)) continue;
            if (offset < o->offset + o->floats && o->offset < offset + b->floats) {
                offset = o->offset + o->floats;
                moved = true;
            }
        }
    }
    return offset;
}

size_t ta_place(struct ta_block *blocks, uint32_t count) {
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++) blocks[i].floats = (blocks[i].floats + 15) / 16 * 16; /* cache lines */
    for (;;) {
        struct ta_block *largest = NULL;
        for (uint32_t i = 0; i < count; i++) {
            if (blocks[i].placed || blocks[i].floats == 0) continue;
            if (largest == NULL || blocks[i].floats > largest->floats) largest = &blocks[i];
        }
        if (largest == NULL) return total;
        largest->offset = lowest_offset(blocks, count, largest);
        largest->placed = true;
        if (largest->offset + largest->floats > total) total = largest->offset + largest->floats;
    }
}
