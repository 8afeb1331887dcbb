/* cost: what the exchange adds to a step, beside a memcpy of as many parameters in the same run. Printed, not bounded.
 *
 * Two replicas of the CIFAR-10 network's size over shared memory in one thread: rank 0 is timed.
 */
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

enum { PARAMS = 122576, REPEATS = 301 };

struct pair {
    struct ta_kernels *kernels;
    struct ta_model model;
    struct ta_exchange_spec spec;
    struct ta_transport *transport[2];
    struct ta_exchange *x[2];
};

#define must(call)                                                      \
    do {                                                                \
        if ((call) != TA_OK) fail_msg("%s: %s", #call, ta_why());       \
    } while (0)

static void open_pair(struct pair *p) {
    memset(p, 0, sizeof *p);
    p->model = (struct ta_model){.n_params = PARAMS, .n_segments = 1, .segments = {{TA_SEGMENT_SUM, 0, PARAMS}}};
    must(ta_kernels_cpu.open(&(struct ta_kernels_config){.threads = 1}, &p->kernels));
    for (unsigned r = 0; r < 2; r++) {
        struct ta_transport_config transport = {.rank = r, .n_ranks = 2, .run_id = 1};
        must(ta_transport_shm.open(&transport, &p->transport[r]));
        struct ta_exchange_config config = {
            .spec = &p->spec, .model = &p->model, .kernel_ops = &ta_kernels_cpu, .kernels = p->kernels,
            .transport_ops = &ta_transport_shm, .transport = p->transport[r], .rank = r, .n_ranks = 2,
        };
        must(ta_exchange_live.open(&config, NULL, &p->x[r]));
    }
    for (unsigned r = 0; r < 2; r++) {
        struct ta_key key;
        must(ta_transport_shm.key_make(p->transport[1 - r], r, &key));
        must(ta_transport_shm.connect(p->transport[r], 1 - r, &key));
        ta_exchange_live.peer_joined(p->x[r], 1 - r, ta_clock_now_ns());
    }
}

static void close_pair(struct pair *p) {
    for (unsigned r = 0; r < 2; r++) ta_exchange_live.close(p->x[r]);
    for (unsigned r = 0; r < 2; r++) ta_transport_shm.close(p->transport[r]);
    ta_kernels_cpu.close(p->kernels);
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double median_us(int64_t *ns) {
    qsort(ns, REPEATS, sizeof *ns, by_value);
    return (double)ns[REPEATS / 2] * 1e-3;
}

static void test_cost(void **state) {
    (void)state;
    static struct pair p;
    static int64_t copy_ns[REPEATS], put_ns[REPEATS], apply_ns[REPEATS], idle_ns[REPEATS];
    float *from, *to;
    open_pair(&p);
    must(TA_NEW(&from, PARAMS, "from"));
    must(TA_NEW(&to, PARAMS, "to"));
    for (int i = 0; i < REPEATS; i++) {
        from[i] = (float)i;
        int64_t a = ta_clock_now_ns();
        memcpy(to, from, PARAMS * sizeof *to);
        int64_t b = ta_clock_now_ns();
        p.x[0]->delta[i] += 1;
        must(ta_exchange_live.stepped(p.x[0], 1, b));
        int64_t c = ta_clock_now_ns();
        must(ta_exchange_live.poll(p.x[0], c));
        int64_t d = ta_clock_now_ns();
        must(ta_exchange_live.poll(p.x[0], d));
        int64_t e = ta_clock_now_ns();
        must(ta_exchange_live.stepped(p.x[1], 1, e));
        must(ta_exchange_live.poll(p.x[1], e));
        copy_ns[i] = b - a;
        put_ns[i] = c - b;
        apply_ns[i] = d - c;
        idle_ns[i] = e - d;
    }
    assert_true(to[1] == 1);
    assert_memory_equal(p.x[0]->w, p.x[1]->w, PARAMS * sizeof(float));
    double copy = median_us(copy_ns), put = median_us(put_ns), apply = median_us(apply_ns), idle = median_us(idle_ns);
    printf("%d parameters, 1 peer, shm: memcpy %.1f us; stepped (put) %.1f us = %.2f memcpy; poll (apply) %.1f us = "
           "%.2f memcpy; poll with nothing new %.2f us\n", PARAMS, copy, put, put / copy, apply, apply / copy, idle);
    ta_mem_free(to);
    ta_mem_free(from);
    close_pair(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cost)};
    return cmocka_run_group_tests_name("exchange: cost", tests, NULL, NULL);
}
