/* procs: the live exchange between real processes over shared memory: free-running, killed, stopped, and watched for
 * words that are neither old nor new; each also with a table, its row logs so small that writers lap their readers, and
 * with windows that lie in the memory of lazy GPUs (rdma/lazy_gpu.h), which processes share.
 *
 *     test_exchange_procs [SEED]
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "lazy_gpu.h"
#include "lazy_kernels.h"
#include "live.h"
#include "rng.h"

enum { MAX_PROCS = 4, PARAMS = 5000, STRIDE = 8, ROWS = PARAMS / STRIDE, CHILD_FAILED = 3, CHILD_EXPELLED = 69 };

/* What parent and children share beside the windows: keys, orders, results. */
struct table {
    struct ta_key key[MAX_PROCS][MAX_PROCS]; /* [of][for] */
    atomic_uint open, connected, stop, torn, settled;
    atomic_uint steps[MAX_PROCS];
    atomic_uint seen_dead[MAX_PROCS]; /* ranks each holds for dead */
    float delta[MAX_PROCS][PARAMS];
    float w[MAX_PROCS][PARAMS];
    float held[MAX_PROCS][MAX_PROCS][PARAMS]; /* registers as each holds them at the end */
    uint64_t checksum[MAX_PROCS];
    uint32_t steps_applied[MAX_PROCS][MAX_PROCS];
    char why[MAX_PROCS][256];
};

struct mode {
    bool by_row; /* the model is a table */
    bool far;
};

struct child {
    unsigned rank, n_ranks;
    struct mode mode;
    struct table *table;
    struct ta_exchange *x;
    struct ta_transport *transport;
    struct ta_gpu *gpu;
    struct ta_kernels *kernels;
    const struct ta_kernels_ops *kernel_ops;
    struct ta_model model;
    struct ta_exchange_spec spec;
    struct ta_rng rng;
};

static uint64_t seed = 1;

static int give_up(struct child *c, ta_status status) {
    strncpy(c->table->why[c->rank], ta_why(), sizeof c->table->why[0] - 1);
    return status == TA_PEER ? CHILD_EXPELLED : CHILD_FAILED;
}

static ta_status open_child(struct child *c) {
    struct table *t = c->table;
    c->model = (struct ta_model){.n_params = PARAMS, .n_segments = 1, .segments = {{TA_SEGMENT_SUM, 0, PARAMS}}};
    if (c->mode.by_row) {
        c->model.segments[0].kind = TA_SEGMENT_ROWS;
        c->model.segments[0].table = (struct ta_table){.rows = ROWS, .width = STRIDE, .stride = STRIDE};
        c->spec.rows_after = 3;
        c->spec.rows_within_s = 0.002;
    }
    struct ta_transport_config transport = {.rank = c->rank, .n_ranks = c->n_ranks, .run_id = (uint64_t)getppid()};
    struct ta_kernels_config kernels = {.threads = 1};
    ta_status status = TA_OK;
    c->kernel_ops = c->mode.far ? &lazy_kernels_ops : &ta_kernels_cpu;
    lazy_gpu_world.seed = seed + c->rank;
    if (c->mode.far) status = lazy_gpu_ops.open(c->rank % LAZY_GPUS, &c->gpu);
    transport.gpu = kernels.gpu = c->gpu;
    transport.gpu_ops = kernels.gpu_ops = &lazy_gpu_ops;
    if (status == TA_OK) status = c->kernel_ops->open(&kernels, &c->kernels);
    if (status == TA_OK) status = ta_transport_shm.open(&transport, &c->transport);
    if (status != TA_OK) return status;
    struct ta_exchange_config config = {
        .spec = &c->spec, .model = &c->model, .kernel_ops = c->kernel_ops, .kernels = c->kernels,
        .transport_ops = &ta_transport_shm, .transport = c->transport, .rank = c->rank,
        .n_ranks = c->n_ranks, .epoch = 1,
    };
    status = ta_live_open(&config, NULL, (struct ta_live_limits){.log_entries = 96, .put_rows = 30}, &c->x);
    for (unsigned p = 0; p < c->n_ranks && status == TA_OK; p++)
        if (p != c->rank) status = ta_transport_shm.key_make(c->transport, p, &t->key[c->rank][p]);
    if (status != TA_OK) return status;
    atomic_fetch_add(&t->open, 1);
    while (atomic_load(&t->open) < c->n_ranks) sched_yield();
    for (unsigned p = 0; p < c->n_ranks && status == TA_OK; p++) {
        if (p == c->rank) continue;
        status = ta_transport_shm.connect(c->transport, p, &t->key[p][c->rank]);
        if (status == TA_OK) ta_exchange_live.peer_joined(c->x, p, ta_clock_now_ns());
    }
    if (status == TA_OK) atomic_fetch_add(&t->connected, 1);
    return status;
}

static void note_dead(struct child *c) {
    static struct ta_peer_stats stats;
    for (unsigned p = 0; p < c->n_ranks; p++) {
        ta_exchange_live.peer_stats(c->x, p, &stats);
        if (stats.life == TA_PEER_DEAD) atomic_fetch_or(&c->table->seen_dead[c->rank], 1U << p);
    }
}

/* A few whole numbers into the delta, or into rows of the weights; the table has them first, so that it is never behind
 * what peers may hold. */
static ta_status step(struct child *c) {
    float *changes = lazy_gpu_at(c->mode.by_row ? c->x->w : c->x->delta);
    for (int i = 0; i < 50; i++) {
        uint32_t at = ta_rng_below(&c->rng, PARAMS), row = at / STRIDE;
        c->table->delta[c->rank][at] += 1;
        changes[at] += 1;
        if (c->mode.by_row) ta_exchange_live.touched(c->x, 0, &row, 1);
    }
    ta_status status = ta_exchange_live.stepped(c->x, 1, ta_clock_now_ns());
    atomic_store(&c->table->steps[c->rank], (unsigned)c->x->steps);
    return status;
}

static ta_status report(struct child *c) {
    static struct ta_peer_stats stats;
    struct table *t = c->table;
    memcpy(t->w[c->rank], lazy_gpu_at(c->x->w), sizeof t->w[0]);
    ta_status status = ta_exchange_live.checksum(c->x, &t->checksum[c->rank]);
    for (unsigned p = 0; p < c->n_ranks && status == TA_OK; p++) {
        status = ta_exchange_live.register_copy(c->x, p, t->held[c->rank][p]);
        ta_exchange_live.peer_stats(c->x, p, &stats);
        t->steps_applied[c->rank][p] = (uint32_t)stats.steps_applied;
    }
    note_dead(c);
    atomic_fetch_or(&t->settled, 1U << c->rank);
    return status;
}

/* Steps until it is told to stop, comes to rest with the others, reports, leaves. */
static int train(struct child *c) {
    struct table *t = c->table;
    ta_status status = open_child(c);
    while (status == TA_OK && !atomic_load(&t->stop)) {
        status = step(c);
        /* Seldom, so that peers have told of many rows when they are recomputed. */
        bool looks = !c->mode.by_row || c->x->steps % 8 == 0;
        if (status == TA_OK && looks) status = ta_exchange_live.poll(c->x, ta_clock_now_ns());
        note_dead(c);
    }
    for (bool rest = false; status == TA_OK && !rest;) {
        status = ta_exchange_live.poll(c->x, ta_clock_now_ns());
        if (status == TA_OK) status = ta_exchange_live.settle(c->x, TA_ROUND_FINAL, ta_clock_now_ns());
        rest = status == TA_OK;
        if (status == TA_AGAIN) status = TA_OK;
        sched_yield();
    }
    if (status == TA_OK) status = report(c);
    for (bool on = false; status == TA_OK && !on;) {
        status = ta_exchange_live.poll(c->x, ta_clock_now_ns());
        if (status == TA_OK) status = ta_exchange_live.resume(c->x, TA_ROUND_FINAL, ta_clock_now_ns());
        on = status == TA_OK;
        if (status == TA_AGAIN) status = TA_OK;
        sched_yield();
    }
    if (status != TA_OK) return give_up(c, status);
    ta_exchange_live.leave(c->x, ta_clock_now_ns());
    ta_exchange_live.close(c->x);
    ta_transport_shm.close(c->transport);
    c->kernel_ops->close(c->kernels);
    lazy_gpu_ops.close(c->gpu);
    return 0;
}

/* All words of a register are one pattern or the other, and a peer's copy must never show anything else. */
static int toggle(struct child *c) {
    static const uint32_t patterns[2] = {0x41414141, 0xC2C2C2C2};
    static float copy[PARAMS];
    struct table *t = c->table;
    ta_status status = open_child(c);
    float *delta = status == TA_OK ? lazy_gpu_at(c->x->delta) : NULL;
    for (unsigned i = 0; status == TA_OK && !atomic_load(&t->stop); i++) {
        for (size_t e = 0; e < PARAMS; e++) memcpy(&delta[e], &patterns[i % 2], sizeof patterns[0]);
        for (uint32_t row = 0; row < ROWS && c->mode.by_row; row++) ta_exchange_live.touched(c->x, 0, &row, 1);
        status = ta_exchange_live.stepped(c->x, 1, ta_clock_now_ns());
        if (status == TA_OK) status = ta_exchange_live.poll(c->x, ta_clock_now_ns());
        if (status == TA_OK) status = ta_exchange_live.register_copy(c->x, 1 - c->rank, copy);
        for (size_t e = 0; e < PARAMS; e++) {
            uint32_t word;
            memcpy(&word, &copy[e], sizeof word);
            if (word != 0 && word != patterns[0] && word != patterns[1]) atomic_fetch_add(&t->torn, 1);
        }
        atomic_store(&t->steps[c->rank], i);
    }
    return status == TA_OK ? 0 : give_up(c, status);
}

static struct table *start(unsigned n, double dead_after_s, int (*run)(struct child *), const struct mode *mode,
                           pid_t pids[MAX_PROCS]) {
    struct table *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(t, MAP_FAILED);
    for (unsigned r = 0; r < n; r++) {
        pids[r] = fork();
        assert_true(pids[r] >= 0);
        if (pids[r] > 0) continue;
        static struct child c;
        c = (struct child){.rank = r, .n_ranks = n, .table = t, .rng = ta_rng_make(seed, r), .mode = *mode,
                           .spec = {.dead_after_s = dead_after_s}};
        _exit(run(&c));
    }
    return t;
}

static void nap(double s) { ta_clock_sleep_until(ta_clock_now_ns() + (int64_t)(s * 1e9), 0); }

/* Waits for up to half a minute. */
#define eventually(condition)                                                                                \
    do {                                                                                                     \
        int64_t until_ns = ta_clock_now_ns() + 30 * TA_NS_PER_S;                                             \
        while (!(condition) && ta_clock_now_ns() < until_ns) nap(0.002);                                     \
        if (!(condition)) fail_msg("seed %llu: not in time: %s", (unsigned long long)seed, #condition);      \
    } while (0)

static void finish(const struct table *t, pid_t pid, unsigned rank, int expected) {
    int how = 0;
    int64_t until_ns = ta_clock_now_ns() + 30 * TA_NS_PER_S;
    pid_t got;
    while ((got = waitpid(pid, &how, WNOHANG)) == 0 && ta_clock_now_ns() < until_ns) nap(0.002);
    if (got == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, &how, 0);
        fail_msg("seed %llu: rank %u did not end", (unsigned long long)seed, rank);
    }
    int code = WIFEXITED(how) ? WEXITSTATUS(how) : -WTERMSIG(how);
    if (code != expected)
        fail_msg("seed %llu: rank %u ended with %d: %s", (unsigned long long)seed, rank, code, t->why[rank]);
}

/* All `here` agree; what each holds of the others is what they made; what it holds of `gone` is what that once was. */
static void check(const struct table *t, unsigned n, unsigned gone) {
    unsigned first = gone == 0 ? 1 : 0;
    for (unsigned r = 0; r < n; r++) {
        if (r == gone) continue;
        assert_memory_equal(t->w[r], t->w[first], sizeof t->w[0]);
        assert_true(t->checksum[r] == t->checksum[first]);
        for (size_t e = 0; e < PARAMS; e++) {
            float sum = 0;
            for (unsigned p = 0; p < n; p++) sum += t->held[r][p][e];
            assert_true(t->w[r][e] == sum);
        }
        for (unsigned p = 0; p < n; p++) {
            if (p != gone) assert_memory_equal(t->held[r][p], t->delta[p], sizeof t->delta[0]);
            for (size_t e = 0; e < PARAMS && p == gone; e++) {
                float held = t->held[r][p][e];
                assert_true(held >= 0 && held <= t->delta[p][e] && held == (float)(int)held);
            }
        }
    }
    if (gone >= n) return;
    double updates = 0; /* of the dead: 50 a step, all there up to the step that counts, at most the next few beyond */
    for (size_t e = 0; e < PARAMS; e++) updates += (double)t->held[first][gone][e];
    assert_true(updates >= 50.0 * t->steps_applied[first][gone]);
    assert_true(updates <= 50.0 * (atomic_load(&t->steps[gone]) + 2));
}

static void test_free_running(void **state) {
    for (unsigned n = 2; n <= MAX_PROCS; n++) {
        pid_t pids[MAX_PROCS];
        struct table *t = start(n, 10, train, *state, pids);
        eventually(atomic_load(&t->connected) == n);
        nap(0.15);
        atomic_store(&t->stop, 1);
        for (unsigned r = 0; r < n; r++) finish(t, pids[r], r, 0);
        check(t, n, n);
        for (unsigned r = 0; r < n; r++) assert_true(atomic_load(&t->steps[r]) > 0);
        munmap(t, sizeof *t);
    }
}

static void test_killed(void **state) {
    struct ta_rng rng = ta_rng_make(seed, 99);
    for (int life = 0; life < 6; life++) {
        unsigned n = 2 + ta_rng_below(&rng, MAX_PROCS - 1), victim = ta_rng_below(&rng, n);
        pid_t pids[MAX_PROCS];
        struct table *t = start(n, 10, train, *state, pids);
        eventually(atomic_load(&t->connected) == n && atomic_load(&t->steps[victim]) > 3);
        nap(ta_rng_uniform(&rng) * 0.05);
        kill(pids[victim], SIGKILL);
        finish(t, pids[victim], victim, -SIGKILL);
        nap(0.02);
        atomic_store(&t->stop, 1);
        for (unsigned r = 0; r < n; r++)
            if (r != victim) finish(t, pids[r], r, 0);
        check(t, n, victim);
        munmap(t, sizeof *t);
    }
}

static void test_stopped(void **state) {
    enum { N = 3, VICTIM = 1 };
    pid_t pids[MAX_PROCS];
    struct table *t = start(N, 1.5, train, *state, pids);
    eventually(atomic_load(&t->connected) == N && atomic_load(&t->steps[VICTIM]) > 3);
    kill(pids[VICTIM], SIGSTOP);
    eventually((atomic_load(&t->seen_dead[0]) & atomic_load(&t->seen_dead[2])) == 1U << VICTIM);
    kill(pids[VICTIM], SIGCONT);
    finish(t, pids[VICTIM], VICTIM, CHILD_EXPELLED);
    assert_non_null(strstr(t->why[VICTIM], "exchange.dead_after"));
    atomic_store(&t->stop, 1);
    finish(t, pids[0], 0, 0);
    finish(t, pids[2], 2, 0);
    check(t, N, VICTIM);
    munmap(t, sizeof *t);
}

static void test_torn_words(void **state) {
    pid_t pids[MAX_PROCS];
    struct table *t = start(2, 10, toggle, *state, pids);
    eventually(atomic_load(&t->connected) == 2);
    nap(1);
    atomic_store(&t->stop, 1);
    for (unsigned r = 0; r < 2; r++) finish(t, pids[r], r, 0);
    assert_int_equal(atomic_load(&t->torn), 0);
    assert_true(atomic_load(&t->steps[0]) > 100 && atomic_load(&t->steps[1]) > 100);
    munmap(t, sizeof *t);
}

int main(int argc, char **argv) {
    if (argc > 1) seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) cmocka_set_test_filter(argv[2]); /* "test_killed far*" */
    static struct mode dense, by_row = {.by_row = true}, far = {.far = true}, far_by_row = {true, true};
    const struct CMUnitTest tests[] = {
        {"test_free_running", test_free_running, NULL, NULL, &dense},
        {"test_killed", test_killed, NULL, NULL, &dense},
        {"test_stopped", test_stopped, NULL, NULL, &dense},
        {"test_torn_words", test_torn_words, NULL, NULL, &dense},
        {"test_free_running by row", test_free_running, NULL, NULL, &by_row},
        {"test_killed by row", test_killed, NULL, NULL, &by_row},
        {"test_stopped by row", test_stopped, NULL, NULL, &by_row},
        {"test_torn_words by row", test_torn_words, NULL, NULL, &by_row},
        {"test_free_running far", test_free_running, NULL, NULL, &far},
        {"test_killed far", test_killed, NULL, NULL, &far},
        {"test_torn_words far", test_torn_words, NULL, NULL, &far},
        {"test_killed far by row", test_killed, NULL, NULL, &far_by_row},
    };
    return cmocka_run_group_tests_name("exchange: processes", tests, NULL, NULL);
}
