/* perf: questions and answers by puts, and their times. */
#include "perf.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"
#include "copy.h"
#include "mem.h"

enum {
    HEADER_BYTES = 64,
    BODY = 4096,
    MAX_ROUNDS = 20000,
    MIN_ROUNDS = 5,
    WARM_ROUNDS = 3,
    BATCH_BYTES = 1 << 18, /* small puts are timed in batches of about this many bytes ... */
    MAX_BATCH = 512,       /* ... and at most so many: the clock costs 20 to 40 ns */
    SPINS_A_LOOK = 4096,
};

enum kind { ECHO, VERIFY, VERIFY_ROWS, STOP };

/* What a header says; its last word is the version that the other side waits for. */
struct header {
    uint64_t kind, bytes, seed, wrong, row_bytes, spare[2], sequence;
};

_Static_assert(sizeof(struct header) == HEADER_BYTES, "a header is the small segment of transport.h");

size_t ta_perf_window_bytes(size_t max_bytes) { return BODY + max_bytes; }

static ta_status map_buffer(size_t bytes, unsigned char **out) {
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *out = NULL;
    if (base == MAP_FAILED) return ta_fail_errno(TA_NO_MEMORY, "a buffer of %zu bytes", bytes);
    madvise(base, bytes, MADV_HUGEPAGE);
    memset(base, 1, bytes);
    *out = base;
    return TA_OK;
}

ta_status ta_perf_prepare(struct ta_perf_side *side) {
    ta_status status = map_buffer(side->max_bytes, &side->source);
    for (int i = 0; i < 2 && status == TA_OK; i++) status = map_buffer(side->max_bytes, &side->aside[i]);
    if (status == TA_OK) status = side->ops->source_register(side->transport, side->source, side->max_bytes);
    if (status != TA_OK) ta_perf_release(side);
    return status;
}

void ta_perf_release(struct ta_perf_side *side) {
    unsigned char **all[] = {&side->source, &side->aside[0], &side->aside[1]};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (*all[i] != NULL) munmap(*all[i], side->max_bytes);
        *all[i] = NULL;
    }
}

/* ---- talking ---- */

static ta_status put(struct ta_perf_side *side, const struct ta_put_segment *segments, unsigned n) {
    ta_status status;
    while ((status = side->ops->put(side->transport, side->peer, segments, n)) == TA_BUSY) {
        status = side->ops->progress(side->transport, ta_clock_now_ns());
        if (status != TA_OK) return status;
    }
    return status;
}

static ta_status drain(struct ta_perf_side *side) {
    ta_status status = TA_OK;
    while (status == TA_OK && side->ops->in_flight(side->transport, side->peer) > 0)
        status = side->ops->progress(side->transport, ta_clock_now_ns());
    return status;
}

/* Spins until the other side's header has another sequence than `seen`. */
static ta_status await(struct ta_perf_side *side, uint64_t seen) {
    const void *word = (const char *)side->window.base + offsetof(struct header, sequence);
    for (unsigned spins = 1; ta_window_load_u64(word) == seen; spins++) {
        if (side->yield) sched_yield();
        if (spins % SPINS_A_LOOK != 0) continue;
        ta_status status = side->ops->progress(side->transport, ta_clock_now_ns());
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

static unsigned char pattern(uint64_t seed, size_t i) {
    uint64_t x = (i / 8 + 1) * 0x9e3779b97f4a7c15u ^ seed * 0xd1342543de82ef95u;
    return (unsigned char)(x >> (i % 8 * 8));
}

static void fill(unsigned char *body, size_t bytes, uint64_t seed) {
    for (size_t i = 0; i < bytes; i++) body[i] = pattern(seed, i);
}

static uint64_t count_wrong(const unsigned char *body, size_t from, size_t to, uint64_t seed) {
    uint64_t wrong = 0;
    for (size_t i = from; i < to; i++) wrong += body[i] != pattern(seed, i);
    return wrong;
}

/* `bytes` of a table and its marks: marked rows are of this question, the others of the one before. */
static uint64_t count_wrong_rows(const unsigned char *body, size_t bytes, size_t row_bytes, uint64_t seed) {
    uint64_t wrong = 0;
    size_t rows = bytes / (row_bytes + 1);
    const unsigned char *marks = body + rows * row_bytes;
    for (size_t r = 0; r < rows; r++)
        wrong += count_wrong(body, r * row_bytes, (r + 1) * row_bytes, marks[r] ? seed : seed - 1);
    return wrong;
}

ta_status ta_perf_answer(struct ta_perf_side *side) {
    for (struct header question = {.kind = ECHO}, answer = {0}; question.kind != STOP;) {
        ta_status status = await(side, question.sequence);
        if (status != TA_OK) return status;
        memcpy(&question, side->window.base, sizeof question);
        if (question.bytes > side->max_bytes) return ta_fail(TA_PEER, "asked about more bytes than the window has");
        const unsigned char *body = (unsigned char *)side->window.base + BODY;
        if (question.kind == VERIFY) answer.wrong = count_wrong(body, 0, question.bytes, question.seed);
        if (question.kind == VERIFY_ROWS && question.row_bytes < question.bytes)
            answer.wrong = count_wrong_rows(body, question.bytes, question.row_bytes, question.seed);
        answer.sequence = question.sequence;
        struct ta_put_segment segment = {&answer, sizeof answer, 0};
        status = put(side, &segment, 1);
        if (status == TA_OK) status = drain(side);
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

/* What stands before it in `segments` (there is room for one more), the header, and back. */
static ta_status ask_about(struct ta_perf_side *side, struct header question, struct ta_put_segment *segments,
                           unsigned n, struct header *answer) {
    question.seed = side->sequence;
    question.sequence = side->sequence + 1;
    segments[n] = (struct ta_put_segment){&question, sizeof question, 0};
    ta_status status = put(side, segments, n + 1);
    if (status == TA_OK) status = await(side, side->sequence++);
    if (status == TA_OK) status = drain(side);
    if (status == TA_OK) memcpy(answer, side->window.base, sizeof *answer);
    return status;
}

/* Body, header, and back. */
static ta_status ask(struct ta_perf_side *side, enum kind kind, size_t bytes, struct header *answer) {
    struct ta_put_segment segments[2] = {{side->source, bytes, BODY}};
    return ask_about(side, (struct header){.kind = kind, .bytes = bytes}, segments, bytes > 0 ? 1 : 0, answer);
}

ta_status ta_perf_stop(struct ta_perf_side *side) {
    struct header answer;
    return ask(side, STOP, 0, &answer);
}

/* ---- measuring ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *sorted, unsigned n, double q) { return sorted[(unsigned)(q * (n - 1))]; }

/* Whether a loop that began at begin_ns should go on with its round-th round. */
static bool more(unsigned round, int64_t begin_ns, double seconds) {
    if (round < MIN_ROUNDS) return true;
    return round < MAX_ROUNDS && (double)(ta_clock_now_ns() - begin_ns) < seconds * 1e9;
}

static ta_status time_puts(struct ta_perf_side *side, const struct ta_put_segment *segment, unsigned batch,
                           double *ns) {
    ta_status status = TA_OK;
    int64_t begin_ns = ta_clock_now_ns();
    for (unsigned i = 0; i < batch && status == TA_OK; i++) status = put(side, segment, 1);
    if (status == TA_OK) status = drain(side);
    *ns = (double)(ta_clock_now_ns() - begin_ns) / batch;
    return status;
}

static double time_memcpys(struct ta_perf_side *side, size_t bytes, unsigned batch) {
    int64_t begin_ns = ta_clock_now_ns();
    for (unsigned i = 0; i < batch; i++) {
        memcpy(side->aside[1], side->aside[0], bytes);
        __asm__ volatile("" : : "r"(side->aside[1]) : "memory"); /* the compiler must not drop what nobody reads */
    }
    return (double)(ta_clock_now_ns() - begin_ns) / batch;
}

static ta_status rate_of(struct ta_perf_side *side, const struct ta_put_segment *segment, double seconds,
                         struct ta_perf_rate *out) {
    double *times; /* puts, then memcpys */
    size_t bytes = ta_put_segment_bytes(segment);
    *out = (struct ta_perf_rate){0};
    ta_status status = TA_NEW(&times, 2 * MAX_ROUNDS, "times of puts");
    if (status != TA_OK) return status;
    size_t fit = BATCH_BYTES / (bytes > 0 ? bytes : 1);
    unsigned batch = fit < 1 ? 1 : fit > MAX_BATCH ? MAX_BATCH : (unsigned)fit, n = 0;
    for (unsigned i = 0; i < WARM_ROUNDS && status == TA_OK; i++) {
        status = time_puts(side, segment, batch, &times[0]);
        time_memcpys(side, bytes, batch);
    }
    for (int64_t begin_ns = ta_clock_now_ns(); status == TA_OK && more(n, begin_ns, seconds); n++) {
        status = time_puts(side, segment, batch, &times[n]);
        times[MAX_ROUNDS + n] = time_memcpys(side, bytes, batch);
    }
    if (status == TA_OK) {
        qsort(times, n, sizeof *times, by_value);
        qsort(times + MAX_ROUNDS, n, sizeof *times, by_value);
        out->put_ns = quantile(times, n, 0.5);
        out->memcpy_ns = quantile(times + MAX_ROUNDS, n, 0.5);
        out->ratio = out->memcpy_ns / out->put_ns;
        out->rounds = n;
    }
    ta_mem_free(times);
    return status;
}

ta_status ta_perf_rate(struct ta_perf_side *side, size_t bytes, double seconds, struct ta_perf_rate *out) {
    struct ta_put_segment segment = {side->source, bytes, BODY};
    return rate_of(side, &segment, seconds, out);
}

ta_status ta_perf_rows_bytes(const struct ta_perf_rows *rows, size_t *out) {
    size_t with_mark;
    if (__builtin_add_overflow(rows->row_bytes, 1, &with_mark) ||
        __builtin_mul_overflow(rows->table_rows, with_mark, out))
        return ta_fail(TA_INVALID, "a table of %zu rows of %zu bytes is more than a process can hold", rows->table_rows,
                       rows->row_bytes);
    return TA_OK;
}

static struct ta_put_segment segment_of(const struct ta_perf_side *side, const struct ta_perf_rows *rows) {
    return (struct ta_put_segment){side->source, rows->row_bytes, BODY, rows->list, rows->n_rows};
}

ta_status ta_perf_rows_rate(struct ta_perf_side *side, const struct ta_perf_rows *rows, double seconds,
                            struct ta_perf_rate *out) {
    struct ta_put_segment segment = segment_of(side, rows);
    return rate_of(side, &segment, seconds, out);
}

ta_status ta_perf_delay(struct ta_perf_side *side, size_t bytes, double seconds, double empty_ns,
                        struct ta_perf_delay *out) {
    *out = (struct ta_perf_delay){0};
    double *times;
    struct header answer;
    size_t body = bytes <= HEADER_BYTES ? 0 : bytes;
    ta_status status = TA_NEW(&times, MAX_ROUNDS, "times of round trips");
    if (status != TA_OK) return status;
    unsigned n = 0;
    for (unsigned i = 0; i < WARM_ROUNDS && status == TA_OK; i++) status = ask(side, ECHO, body, &answer);
    for (int64_t begin_ns = ta_clock_now_ns(); status == TA_OK && more(n, begin_ns, seconds); n++) {
        int64_t asked_ns = ta_clock_now_ns();
        status = ask(side, ECHO, body, &answer);
        double trip_ns = (double)(ta_clock_now_ns() - asked_ns);
        times[n] = empty_ns > 0 ? trip_ns - empty_ns / 2 : trip_ns / 2;
    }
    if (status == TA_OK) {
        qsort(times, n, sizeof *times, by_value);
        *out = (struct ta_perf_delay){times[0], quantile(times, n, 0.5), quantile(times, n, 0.99), n};
    }
    ta_mem_free(times);
    return status;
}

ta_status ta_perf_verify(struct ta_perf_side *side, size_t bytes, unsigned rounds, uint64_t *wrong_bytes) {
    ta_status status = TA_OK;
    *wrong_bytes = 0;
    for (unsigned round = 0; round < rounds && status == TA_OK; round++) {
        struct header answer;
        fill(side->source, bytes, side->sequence);
        status = ask(side, VERIFY, bytes, &answer);
        if (status == TA_OK) *wrong_bytes += answer.wrong;
    }
    return status;
}

ta_status ta_perf_rows_verify(struct ta_perf_side *side, const struct ta_perf_rows *rows, unsigned rounds,
                              uint64_t *wrong_bytes) {
    size_t table = rows->table_rows * rows->row_bytes;
    unsigned char *marks = side->source + table;
    ta_status status = TA_OK;
    *wrong_bytes = 0;
    for (unsigned round = 0; round < rounds && status == TA_OK; round++) {
        struct header answer;
        struct ta_put_segment segments[3] = {segment_of(side, rows), {marks, rows->table_rows, BODY + table}};
        struct header question = {
            .kind = VERIFY_ROWS, .bytes = table + rows->table_rows, .row_bytes = rows->row_bytes};
        status = ta_perf_verify(side, table, 1, &answer.wrong);
        *wrong_bytes += answer.wrong;
        fill(side->source, table, side->sequence);
        memset(marks, 0, rows->table_rows);
        for (size_t i = 0; i < rows->n_rows; i++) marks[rows->list[i]] = 1;
        if (status == TA_OK) status = ask_about(side, question, segments, 2, &answer);
        if (status == TA_OK) *wrong_bytes += answer.wrong;
    }
    return status;
}
