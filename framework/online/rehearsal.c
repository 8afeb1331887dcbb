/* rehearsal: where a record goes is the whole difference between the policies. */
#include "rehearsal.h"

#include <stdbool.h>
#include <string.h>

#include "mem.h"

#define NOWHERE UINT32_MAX

ta_status ta_rehearsal_init(struct ta_rehearsal *r, const struct ta_rehearsal_config *config) {
    *r = (struct ta_rehearsal){.config = *config, .rng = ta_rng_make(config->seed, UINT64_C(0x7265686561727365))};
    bool balanced = config->policy == TA_REHEARSAL_BALANCED;
    if (config->room == 0) return ta_fail(TA_CONFIG, "rehearsal: needs room for at least 1 record");
    if (balanced && config->classes == 0)
        return ta_fail(TA_CONFIG, "rehearsal: `balanced` is for classes, and the labels of this stream are none; take "
                                  "reservoir");
    ta_status status = ta_mem_alloc(config->room, config->x_bytes, "rehearsal: records", (void **)&r->x);
    if (status == TA_OK && config->label_bytes > 0)
        status = ta_mem_alloc(config->room, config->label_bytes, "rehearsal: labels", (void **)&r->labels);
    if (status == TA_OK && balanced) status = TA_NEW(&r->class_of, config->room, "rehearsal: classes");
    if (status == TA_OK && balanced) status = TA_NEW(&r->class_held, config->classes, "rehearsal: classes");
    if (status == TA_OK && balanced) status = TA_NEW(&r->class_seen, config->classes, "rehearsal: classes");
    if (status == TA_OK && balanced) status = TA_NEW(&r->class_full, config->classes, "rehearsal: classes");
    return status;
}

void ta_rehearsal_free(struct ta_rehearsal *r) {
    ta_mem_free(r->x);
    ta_mem_free(r->labels);
    ta_mem_free(r->class_of);
    ta_mem_free(r->class_held);
    ta_mem_free(r->class_seen);
    ta_mem_free(r->class_full);
    *r = (struct ta_rehearsal){0};
}

/* Below n, for n beyond 32 bits too. */
static uint64_t below(struct ta_rng *rng, uint64_t n) {
    if (n <= UINT32_MAX) return ta_rng_below(rng, (uint32_t)n);
    return (uint64_t)(ta_rng_uniform(rng) * (double)n);
}

/* The k-th record (from 0) of a class. */
static uint32_t find_of_class(const struct ta_rehearsal *r, uint32_t class, uint32_t k) {
    for (uint32_t i = 0; i < r->held; i++)
        if (r->class_of[i] == class && k-- == 0) return i;
    return NOWHERE;
}

/* The memory is full: a class that was never the largest takes a place of the largest; one that was exchanges one of
 * its own, as a reservoir would. */
static uint32_t balanced_place(struct ta_rehearsal *r, uint32_t class) {
    uint32_t largest = 0;
    for (uint32_t c = 1; c < r->config.classes; c++)
        if (r->class_held[c] > r->class_held[largest]) largest = c;
    for (uint32_t c = 0; c < r->config.classes; c++)
        if (r->class_held[c] == r->class_held[largest]) r->class_full[c] = 1;
    if (!r->class_full[class]) return find_of_class(r, largest, ta_rng_below(&r->rng, r->class_held[largest]));
    uint64_t turn = below(&r->rng, r->class_seen[class]);
    return turn < r->class_held[class] ? find_of_class(r, class, (uint32_t)turn) : NOWHERE;
}

static uint32_t place_for(struct ta_rehearsal *r, uint32_t class) {
    if (r->held < r->config.room) return r->held++;
    if (r->config.policy == TA_REHEARSAL_FIFO) return (uint32_t)((r->seen - 1) % r->config.room);
    if (r->config.policy == TA_REHEARSAL_BALANCED) return balanced_place(r, class);
    uint64_t turn = below(&r->rng, r->seen);
    return turn < r->config.room ? (uint32_t)turn : NOWHERE;
}

static void take_class(struct ta_rehearsal *r, uint32_t place, uint32_t class, bool was_held) {
    if (was_held) r->class_held[r->class_of[place]]--;
    r->class_of[place] = class;
    r->class_held[class]++;
}

void ta_rehearsal_add(struct ta_rehearsal *r, const void *x, const void *label, uint32_t class) {
    bool balanced = r->config.policy == TA_REHEARSAL_BALANCED;
    if (balanced && class >= r->config.classes) return;
    r->seen++;
    if (balanced) r->class_seen[class]++;
    uint32_t before = r->held, place = place_for(r, class);
    if (place == NOWHERE) return;
    if (balanced) take_class(r, place, class, place < before);
    memcpy(r->x + place * r->config.x_bytes, x, r->config.x_bytes);
    if (r->labels != NULL) memcpy(r->labels + place * r->config.label_bytes, label, r->config.label_bytes);
}

void ta_rehearsal_draw(struct ta_rehearsal *r, const void **x, const void **label) {
    *x = *label = NULL;
    if (r->held == 0) return;
    uint32_t place = ta_rng_below(&r->rng, r->held);
    *x = r->x + place * r->config.x_bytes;
    if (r->labels != NULL) *label = r->labels + place * r->config.label_bytes;
}

void ta_rehearsal_clear(struct ta_rehearsal *r) {
    r->held = 0;
    r->seen = 0;
    if (r->config.policy != TA_REHEARSAL_BALANCED) return;
    memset(r->class_held, 0, r->config.classes * sizeof *r->class_held);
    memset(r->class_seen, 0, r->config.classes * sizeof *r->class_seen);
    memset(r->class_full, 0, r->config.classes);
}
