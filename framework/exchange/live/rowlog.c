/* rowlog: writes and reads the ring. Why this order is enough stands in rowlog.h. */
#include "rowlog.h"

#include <stdatomic.h>

#include "rows.h"
#include "window.h"

uint32_t ta_rowlog_entries(uint32_t n_rows) {
    if (n_rows == 0) return 0;
    uint32_t entries = TA_ROWLOG_LEAST;
    while (entries < n_rows && entries < TA_ROWLOG_MOST) entries *= 2;
    return entries;
}

size_t ta_rowlog_bytes(uint32_t entries) {
    return entries == 0 ? 0 : TA_ROWLOG_IDS + (size_t)entries * sizeof(uint32_t);
}

static struct ta_put_segment word_at(const struct ta_rowlog_place *log, size_t where, const uint64_t *word) {
    return (struct ta_put_segment){.source = word, .bytes = sizeof *word, .target_offset = log->offset + where};
}

unsigned ta_rowlog_append(const struct ta_rowlog_place *log, uint64_t head, const uint32_t *ids, size_t n,
                          const uint64_t *word, struct ta_put_segment *segments) {
    unsigned added = 0;
    segments[added++] = word_at(log, TA_ROWLOG_RESERVE, word);
    for (size_t done = 0; done < n;) {
        size_t at = (head + done) % log->entries, piece = log->entries - at;
        if (piece > n - done) piece = n - done;
        segments[added++] = (struct ta_put_segment){
            .source = ids + done, .bytes = piece * sizeof *ids,
            .target_offset = log->offset + TA_ROWLOG_IDS + at * sizeof *ids,
        };
        done += piece;
    }
    return added;
}

struct ta_put_segment ta_rowlog_commit(const struct ta_rowlog_place *log, const uint64_t *word) {
    return word_at(log, TA_ROWLOG_HEAD, word);
}

static uint64_t word_of(const void *log, size_t where) { return ta_window_load_u64((const char *)log + where); }

bool ta_rowlog_news(const void *log, uint64_t tail) { return word_of(log, TA_ROWLOG_HEAD) != tail; }

bool ta_rowlog_read(const void *log, uint32_t entries, uint32_t n_rows, uint64_t *tail, uint64_t *bits) {
    uint64_t from = *tail, head = word_of(log, TA_ROWLOG_HEAD);
    *tail = head;
    if (head - from > entries) return false; /* also a head that fell */
    _Atomic const uint32_t *ids = (_Atomic const uint32_t *)(const void *)((const char *)log + TA_ROWLOG_IDS);
    bool known = true;
    uint32_t at = from < head ? (uint32_t)(from % entries) : 0;
    for (uint64_t i = from; i != head; i++) {
        uint32_t id = atomic_load_explicit(&ids[at], memory_order_relaxed);
        if (id < n_rows) ta_bit_set(bits, id);
        else known = false;
        if (++at == entries) at = 0;
    }
    atomic_thread_fence(memory_order_acquire); /* the ids were read before the reserve is */
    return known && word_of(log, TA_ROWLOG_RESERVE) - from <= entries;
}
