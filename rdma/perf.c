/* perf: questions and answers by puts, and their times. */
#include "perf.h"

#include <poll.h>
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
    BATCH_NS = 2000000,    /* where puts fly: a batch takes about so long, for the last one's way to count little */
    SPINS_A_LOOK = 4096,   /* where a put is the sender's copy, progress moves nothing and only tells of deaths */
    SPINS_A_MOVE = 32,     /* elsewhere: it costs more than a look at the word */
    CLOCK_READS = 100,
    MOVES_A_CLOCK = 64,    /* where the clock is no register, reading it takes a good part of a put's way */
    WATCH_NS = 50000000,
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

/* The least of some: where the clock is no register (a guest's HPET), this is microseconds. */
static int64_t cost_of_clock(void) {
    int64_t least_ns = INT64_MAX;
    for (unsigned i = 0; i < CLOCK_READS; i++) {
        int64_t before_ns = ta_clock_now_ns(), cost_ns = ta_clock_now_ns() - before_ns;
        if (cost_ns < least_ns) least_ns = cost_ns;
    }
    return least_ns;
}

ta_status ta_perf_prepare(struct ta_perf_side *side) {
    side->clock_ns = cost_of_clock();
    ta_status status = map_buffer(BODY, &side->header);
    if (status == TA_OK) status = side->ops->source_register(side->transport, side->header, BODY);
    if (status == TA_OK && side->asks) status = map_buffer(side->max_bytes, &side->source);
    for (int i = 0; i < 2 && status == TA_OK && side->asks; i++) status = map_buffer(side->max_bytes, &side->aside[i]);
    if (status == TA_OK && side->asks)
        status = side->ops->source_register(side->transport, side->source, side->max_bytes);
    return status;
}

void ta_perf_release(struct ta_perf_side *side) {
    unsigned char **all[] = {&side->header, &side->source, &side->aside[0], &side->aside[1]};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (*all[i] != NULL) munmap(*all[i], i == 0 ? BODY : side->max_bytes);
        *all[i] = NULL;
    }
}

/* ---- talking ---- */

/* Whether a put is done when it returns. */
static bool copies(const struct ta_perf_side *side) { return side->ops == &ta_transport_shm; }

static ta_status move(struct ta_perf_side *side) {
    if (side->moves++ % MOVES_A_CLOCK == 0) side->now_ns = ta_clock_now_ns();
    return side->ops->progress(side->transport, side->now_ns);
}

static ta_status move_on(struct ta_perf_side *side) {
    if (side->yield) sched_yield();
    return move(side);
}

static ta_status put(struct ta_perf_side *side, const struct ta_put_segment *segments, unsigned n) {
    ta_status status;
    while ((status = side->ops->put(side->transport, side->peer, segments, n)) == TA_BUSY) {
        status = move_on(side);
        if (status != TA_OK) return status;
    }
    return status;
}

static ta_status drain(struct ta_perf_side *side) {
    ta_status status = TA_OK;
    while (status == TA_OK && side->ops->in_flight(side->transport, side->peer) > 0) status = move_on(side);
    return status;
}

static ta_status look_at_socket(const struct ta_perf_side *side, int64_t now_ns, int64_t *looked_ns) {
    struct pollfd socket = {.fd = side->watch, .events = POLLIN};
    if (side->watch < 0 || now_ns - *looked_ns < WATCH_NS) return TA_OK;
    *looked_ns = now_ns;
    if (poll(&socket, 1, 0) > 0) return ta_fail(TA_PEER, "the other side has failed or is gone");
    return TA_OK;
}

/* Spins until the other side's header has another sequence than `seen`. */
static ta_status await(struct ta_perf_side *side, uint64_t seen) {
    const void *word = (const char *)side->window.base + offsetof(struct header, sequence);
    unsigned look = side->yield ? 1 : copies(side) ? SPINS_A_LOOK : SPINS_A_MOVE;
    int64_t looked_ns = 0;
    for (unsigned left = look; ta_window_load_u64(word) == seen;) {
        if (side->yield) sched_yield();
        if (--left > 0) continue;
        left = look;
        ta_status status = move(side);
        if (looked_ns == 0) looked_ns = side->now_ns;
        if (status == TA_OK) status = look_at_socket(side, side->now_ns, &looked_ns);
        if (status != TA_OK && ta_window_load_u64(word) == seen) return status; /* its last word may have come before */
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
    struct header question = {.kind = ECHO, .sequence = side->sequence}, *answer = (struct header *)side->header;
    while (question.kind != STOP) {
        ta_status status = await(side, question.sequence);
        if (status != TA_OK) return status;
        memcpy(&question, side->window.base, sizeof question);
        if (question.bytes > side->max_bytes) return ta_fail(TA_PEER, "asked about more bytes than the window has");
        const unsigned char *body = (unsigned char *)side->window.base + BODY;
        if (question.kind == VERIFY) answer->wrong = count_wrong(body, 0, question.bytes, question.seed);
        if (question.kind == VERIFY_ROWS && question.row_bytes < question.bytes)
            answer->wrong = count_wrong_rows(body, question.bytes, question.row_bytes, question.seed);
        answer->sequence = side->sequence = question.sequence;
        struct ta_put_segment segment = {.source = answer, .bytes = sizeof *answer};
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
    memcpy(side->header, &question, sizeof question);
    segments[n] = (struct ta_put_segment){.source = side->header, .bytes = sizeof question};
    int64_t asked_ns = ta_clock_now_ns();
    ta_status status = put(side, segments, n + 1);
    if (status == TA_OK) status = await(side, side->sequence++);
    side->trip_ns = ta_clock_now_ns() - asked_ns - side->clock_ns;
    if (status == TA_OK) status = drain(side);
    if (status == TA_OK) memcpy(answer, side->window.base, sizeof *answer);
    return status;
}

/* Body, header, and back. */
static ta_status ask(struct ta_perf_side *side, enum kind kind, size_t bytes, struct header *answer) {
    struct ta_put_segment segments[2] = {{.source = side->source, .bytes = bytes, .target_offset = BODY}};
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

/* How many puts to time as one, after the first ones took `ns` each. */
static unsigned batch_of(const struct ta_perf_side *side, size_t bytes, double ns) {
    size_t fit = BATCH_BYTES / (bytes > 0 ? bytes : 1);
    if (!copies(side)) fit = (size_t)(BATCH_NS / (ns > 1 ? ns : 1));
    return fit < 1 ? 1 : fit > MAX_BATCH ? MAX_BATCH : (unsigned)fit;
}

static ta_status rate_of(struct ta_perf_side *side, const struct ta_put_segment *segment, double seconds,
                         struct ta_perf_rate *out) {
    double *times; /* puts, then memcpys */
    size_t bytes = ta_put_segment_bytes(segment);
    *out = (struct ta_perf_rate){0};
    ta_status status = TA_NEW(&times, 2 * MAX_ROUNDS, "times of puts");
    if (status != TA_OK) return status;
    unsigned batch = batch_of(side, bytes, BATCH_NS), n = 0;
    for (unsigned i = 0; i < WARM_ROUNDS && status == TA_OK; i++) {
        status = time_puts(side, segment, batch, &times[0]);
        time_memcpys(side, bytes, batch);
        batch = batch_of(side, bytes, times[0]);
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
    struct ta_put_segment segment = {.source = side->source, .bytes = bytes, .target_offset = BODY};
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
    return (struct ta_put_segment){.source = side->source,
                                   .bytes = rows->row_bytes,
                                   .target_offset = BODY,
                                   .rows = rows->list,
                                   .n_rows = rows->n_rows};
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
        status = ask(side, ECHO, body, &answer);
        double trip_ns = (double)side->trip_ns;
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
        struct ta_put_segment segments[3] = {
            segment_of(side, rows), {.source = marks, .bytes = rows->table_rows, .target_offset = BODY + table}};
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
