/* cost_tables: what the exchange of tables adds to a step of 10,000 touched entries, and what it sends, by how often a
 * row is changed before it is put. Printed, not bounded.
 *
 * Two replicas of a word model's size over shared memory in one thread: rank 0 is timed. Rows are drawn by Zipf's law,
 * a step takes 5 ms of pretended time, which is too short a life for a sweep: these are the rows that are due by their
 * count. What rows cost to copy is measured in the same run.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "exchange.h"
#include "mem.h"
#include "rng.h"

enum { ROWS = 50000, STRIDE = 112, ENTRIES = 10000, STEPS = 200, WARM = 80, DRAWN = 1 << 16, STEP_NS = 5000000 };

struct pair {
    struct ta_kernels *kernels;
    struct ta_model model;
    struct ta_exchange_spec spec;
    struct ta_transport *transport[2];
    struct ta_exchange *x[2];
    struct ta_rng rng;
    uint32_t list[2][ENTRIES / 2];
    uint32_t drawn[DRAWN]; /* by Zipf's law */
};

#define must(call)                                                      \
    do {                                                                \
        if ((call) != TA_OK) fail_msg("%s: %s", #call, ta_why());       \
    } while (0)

static void open_pair(struct pair *p, uint32_t after) {
    memset(p, 0, sizeof *p);
    p->spec.rows_after = after;
    p->rng = ta_rng_make(after, 1);
    for (size_t i = 0; i < DRAWN; i++) p->drawn[i] = (uint32_t)exp(ta_rng_uniform(&p->rng) * log(ROWS)) - 1;
    size_t count = (size_t)ROWS * STRIDE;
    p->model.n_params = 2 * count;
    p->model.n_segments = 2;
    for (unsigned s = 0; s < 2; s++)
        p->model.segments[s] = (struct ta_segment){
            .kind = TA_SEGMENT_ROWS, .offset = s * count, .count = count,
            .table = {.offset = s * count, .rows = ROWS, .width = 100, .stride = STRIDE, .range = s == 0 ? 0.01F : 0},
        };
    must(ta_kernels_cpu.open(&(struct ta_kernels_config){.threads = 1}, &p->kernels));
    for (unsigned r = 0; r < 2; r++) {
        struct ta_transport_config transport = {.rank = r, .n_ranks = 2, .run_id = 1};
        must(ta_transport_shm.open(&transport, &p->transport[r]));
        struct ta_exchange_config config = {
            .spec = &p->spec, .model = &p->model, .kernel_ops = &ta_kernels_cpu, .kernels = p->kernels,
            .transport_ops = &ta_transport_shm, .transport = p->transport[r], .rank = r, .n_ranks = 2,
        };
        must(ta_exchange_live.open(&config, &(struct ta_exchange_start){.seed = 1}, &p->x[r]));
    }
    for (unsigned r = 0; r < 2; r++) {
        struct ta_key key;
        must(ta_transport_shm.key_make(p->transport[1 - r], r, &key));
        must(ta_transport_shm.connect(p->transport[r], 1 - r, &key));
        ta_exchange_live.peer_joined(p->x[r], 1 - r, 1);
    }
}

static void close_pair(struct pair *p) {
    for (unsigned r = 0; r < 2; r++) ta_exchange_live.close(p->x[r]);
    for (unsigned r = 0; r < 2; r++) ta_transport_shm.close(p->transport[r]);
    ta_kernels_cpu.close(p->kernels);
}

/* Changes one number of each row that is named; the time of that is nobody's. */
static void train(struct pair *p, unsigned rank) {
    for (unsigned s = 0; s < 2; s++)
        for (size_t i = 0; i < ENTRIES / 2; i++) {
            uint32_t row = p->drawn[ta_rng_below(&p->rng, DRAWN)];
            size_t at = p->model.segments[s].offset + (size_t)row * STRIDE;
            p->x[rank]->w[at] += 1;
            p->list[s][i] = row;
        }
}

enum { TOUCHED, STEPPED, POLL, IDLE, COPY, BEYOND, TIMES };

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double median_us(int64_t ns[STEPS]) {
    qsort(ns + WARM, STEPS - WARM, sizeof *ns, by_value);
    return (double)ns[(WARM + STEPS) / 2] * 1e-3;
}

static void hand_over(struct pair *p, unsigned rank, int64_t now_ns, int64_t took_ns[TIMES]) {
    int64_t a = ta_clock_now_ns();
    for (unsigned s = 0; s < 2; s++) ta_exchange_live.touched(p->x[rank], s, p->list[s], ENTRIES / 2);
    int64_t b = ta_clock_now_ns();
    must(ta_exchange_live.stepped(p->x[rank], 1, now_ns));
    int64_t c = ta_clock_now_ns();
    must(ta_exchange_live.poll(p->x[rank], now_ns));
    int64_t d = ta_clock_now_ns();
    must(ta_exchange_live.poll(p->x[rank], now_ns));
    int64_t e = ta_clock_now_ns();
    took_ns[TOUCHED] = b - a;
    took_ns[STEPPED] = c - b;
    took_ns[POLL] = d - c;
    took_ns[IDLE] = e - d;
}

/* As many rows of the delta as were put, and of the inbox as were summed, by memcpy from and to where they lie. */
static int64_t copy_rows(struct pair *p, uint64_t rows, float *to) {
    int64_t a = ta_clock_now_ns();
    for (uint64_t i = 0; i < rows; i++) {
        size_t at = (size_t)p->list[i % 2][i / 2 * 7 % (ENTRIES / 2)] * STRIDE;
        memcpy(to + at, p->x[0]->delta + at, STRIDE * sizeof *to);
    }
    return ta_clock_now_ns() - a;
}

static void measure(uint32_t after, float *to) {
    static struct pair p;
    static int64_t ns[TIMES][STEPS];
    int64_t took_ns[TIMES];
    struct ta_peer_stats before = {0}, stats;
    open_pair(&p, after);
    for (int i = 0; i < STEPS; i++) {
        int64_t now_ns = (int64_t)(i + 1) * STEP_NS;
        train(&p, 1);
        hand_over(&p, 1, now_ns, took_ns);
        ta_exchange_live.peer_stats(p.x[0], 1, &stats);
        if (i == WARM) before = stats;
        uint64_t rows = stats.rows;
        train(&p, 0);
        hand_over(&p, 0, now_ns, took_ns);
        ta_exchange_live.peer_stats(p.x[0], 1, &stats);
        took_ns[COPY] = copy_rows(&p, 2 * (stats.rows - rows), to);
        took_ns[BEYOND] = took_ns[TOUCHED] + took_ns[STEPPED] + took_ns[POLL] - took_ns[COPY];
        for (int k = 0; k < TIMES; k++) ns[k][i] = took_ns[k];
    }
    double n = STEPS - WARM;
    printf("%4u changes: %.0f rows, %.0f kB a step of %d entries; touched %.1f us, stepped %.1f us, poll %.1f us; "
           "copying the rows %.1f us; beyond that %.1f us; poll with nothing new %.2f us\n", after,
           (double)(stats.rows - before.rows) / n, (double)(stats.bytes - before.bytes) / n * 1e-3, ENTRIES,
           median_us(ns[TOUCHED]), median_us(ns[STEPPED]), median_us(ns[POLL]), median_us(ns[COPY]),
           median_us(ns[BEYOND]), median_us(ns[IDLE]));
    assert_true(stats.rows > 0 && stats.rows < (uint64_t)STEPS * ENTRIES);
    close_pair(&p);
}

static void test_cost(void **state) {
    (void)state;
    float *to;
    must(TA_NEW(&to, (size_t)ROWS * STRIDE, "to"));
    for (uint32_t after = 32; after <= 128; after *= 2) measure(after, to);
    ta_mem_free(to);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cost)};
    return cmocka_run_group_tests_name("exchange: cost of tables", tests, NULL, NULL);
}
