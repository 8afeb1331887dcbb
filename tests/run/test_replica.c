/* replica: several in one thread over a simulated fabric, in virtual time; killed, stopped, starved of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "checkpoint.h"
#include "mem.h"
#include "replica.h"
#include "sim.h"

enum { MOST = 4, STEP_NS = 100 * 1000, DETECT_NS = 5 * 1000 * 1000, MOST_TURNS = 1000000, LONG_IDLE = 20000 };

static const char text[] =
    "run: {seed: 3, max_records: 3200}\n"
    "stream: {generator: sea, batch: 16}\n"
    "model:\n"
    "  loss: cross_entropy\n"
    "  layers:\n"
    "    - {type: dense, units: 8, activation: relu}\n"
    "    - {type: batch_norm}\n"
    "    - {type: dense, units: 2, activation: softmax}\n"
    "optimizer: {type: momentum, rate: 0.02}\n"
    "transport: {type: sim}\n"
    "checkpoint: {every_records: 1000}\n";

/* A run of n replicas in this thread. */
struct world {
    char folder[64];
    struct ta_run_config *config;
    struct ta_sim_fabric *fabric;
    struct ta_board board;
    struct ta_replica *replica[MOST];
    ta_status result[MOST]; /* AGAIN: still running */
    unsigned n, killed;     /* killed: bit mask */
    int64_t now_ns;
    uint64_t seed;
    unsigned idle; /* turns in which nobody had anything to do */
};

static void load(struct world *w, const char *const *overrides, size_t n_overrides) {
    char path[128];
    snprintf(path, sizeof path, "%s/run.yaml", w->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    ta_status status = ta_run_config_load(path, overrides, n_overrides, &w->config);
    if (status != TA_OK) fail_msg("%s", ta_why());
}

static void begin(struct world *w, unsigned n, const struct ta_sim_config *sim, const char *override) {
    *w = (struct world){.n = n, .now_ns = 1000, .seed = sim->seed};
    snprintf(w->folder, sizeof w->folder, "/tmp/tensair-replica-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    char replicas[32];
    snprintf(replicas, sizeof replicas, "run.replicas=%u", n);
    const char *overrides[] = {replicas, override};
    load(w, overrides, override != NULL ? 2 : 1);
    assert_int_equal(ta_board_create(&w->board, n, 0), TA_OK);
    struct ta_sim_config fabric = *sim;
    fabric.n_ranks = n;
    assert_int_equal(ta_sim_create(&fabric, &w->fabric), TA_OK);
    for (unsigned i = 0; i < n; i++) {
        struct ta_replica_config config = {.run = w->config,
                                           .rank = i,
                                           .n_ranks = n,
                                           .run_id = 99,
                                           .run_dir = w->folder,
                                           .fabric = w->fabric,
                                           .board = &w->board};
        w->result[i] = TA_AGAIN;
        if (ta_replica_open(&config, &w->replica[i]) != TA_OK) fail_msg("%s", ta_why());
    }
}

static bool turn(struct world *w) {
    bool running = false, moved = false;
    for (unsigned i = 0; i < w->n; i++) {
        if (w->result[i] != TA_AGAIN || (w->killed >> i & 1)) continue;
        running = true;
        ta_status status = ta_replica_tick(w->replica[i], w->now_ns);
        if (status != TA_OK && status != TA_AGAIN) w->result[i] = status;
        moved |= status != TA_AGAIN;
    }
    w->now_ns += STEP_NS;
    w->idle = moved ? 0 : w->idle + 1;
    /* Readers and writers live in real time; a writer may wait seconds for the file of somebody who died. */
    if (w->idle % 100 == 99) usleep(w->idle > LONG_IDLE ? 100000 : 100);
    return running;
}

static void run_to_end(struct world *w) {
    for (long turns = 0; turn(w); turns++) {
        if (turns < MOST_TURNS) continue;
        for (unsigned i = 0; i < w->n; i++)
            print_message("replica %u: %s, killed %u, %s\n", i, ta_replica_state_name(ta_replica_state(w->replica[i])),
                          w->killed >> i & 1, ta_status_name(w->result[i]));
        fail_msg("no end after %ld turns (seed %llu)", turns, (unsigned long long)w->seed);
    }
}

static void end(struct world *w) {
    for (unsigned i = 0; i < w->n; i++) ta_replica_close(w->replica[i]);
    ta_sim_destroy(w->fabric);
    ta_board_close(&w->board);
    ta_run_config_free(w->config);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", w->folder);
    assert_int_equal(system(command), 0);
}

static void check_agree(struct world *w, ta_status expected) {
    uint64_t first = 0;
    for (unsigned i = 0, seen = 0; i < w->n; i++) {
        if (w->killed >> i & 1) continue;
        if (w->result[i] != expected) fail_msg("replica %u: %s: %s", i, ta_status_name(w->result[i]), ta_why());
        uint64_t sum = atomic_load(&w->board.rows[i].checksum);
        if (seen++ == 0) first = sum;
        assert_int_equal(sum, first);
    }
}

static void finish_together(void **state) {
    (void)state;
    const struct ta_sim_config fabrics[] = {
        {.seed = 1, .latency_ns = 1000},
        {.seed = 2, .latency_ns = 300000, .jitter = 3, .bytes_per_ns = 0.01, .duplicate = 0.2},
        {.seed = 3, .latency_ns = 2000000, .jitter = 1, .duplicate = 0.1, .depth = 2},
    };
    for (unsigned f = 0; f < sizeof fabrics / sizeof fabrics[0]; f++) {
        for (unsigned n = 2; n <= MOST; n += 2) {
            struct world w;
            begin(&w, n, &fabrics[f], NULL);
            run_to_end(&w);
            check_agree(&w, TA_END);
            struct ta_board_sum sum;
            ta_board_add_up(&w.board, &sum);
            assert_int_equal(sum.records, 3200);
            assert_int_equal(sum.steps, 200);
            assert_int_equal(sum.finished, n);
            char path[128];
            snprintf(path, sizeof path, "%s/checkpoint", w.folder);
            static struct ta_checkpoint_info info;
            assert_int_equal(ta_checkpoint_latest(path, NULL, &info), TA_OK);
            assert_int_equal(info.total_steps, 200);
            assert_int_equal(info.n_writers, n);
            end(&w);
        }
    }
}

static void killed(void **state) {
    (void)state;
    for (unsigned moment = 0; moment < 12; moment++) {
        struct world w;
        begin(&w, 3, &(struct ta_sim_config){.seed = moment, .latency_ns = 200000, .jitter = 1}, NULL);
        for (unsigned i = 0; i < 1 + moment * 12; i++) turn(&w);
        bool was_running = w.result[moment % 3] == TA_AGAIN;
        ta_sim_kill(w.fabric, moment % 3, w.now_ns, DETECT_NS);
        w.killed = was_running ? 1U << moment % 3 : 0;
        atomic_store(&w.board.rows[moment % 3].ended, 1);
        run_to_end(&w);
        /* Killed between the last rest and its file: the last checkpoint cannot become whole, and PEER says so. */
        bool late = w.result[(moment + 1) % 3] == TA_PEER;
        check_agree(&w, late ? TA_PEER : TA_END);
        end(&w);
    }
}

static void stopped(void **state) {
    (void)state;
    for (unsigned moment = 0; moment < 10; moment++) {
        struct world w;
        begin(&w, 3, &(struct ta_sim_config){.seed = moment, .latency_ns = 100000, .jitter = 2}, "run.max_records=1000000");
        for (unsigned i = 0; i < 30 + moment * 7; i++) turn(&w);
        ta_replica_stop(w.replica[moment % 3]);
        run_to_end(&w);
        check_agree(&w, TA_REQUEUE);
        end(&w);
    }
}

/* Whatever allocation fails while a replica is opened: NO_MEMORY, and everything is given back. */
static void no_memory(void **state) {
    (void)state;
    struct world w = {0};
    snprintf(w.folder, sizeof w.folder, "/tmp/tensair-replica-XXXXXX");
    assert_non_null(mkdtemp(w.folder));
    const char *overrides[] = {"transport.type=self"};
    load(&w, overrides, 1);
    assert_int_equal(ta_board_create(&w.board, 1, 0), TA_OK);
    struct ta_replica_config config = {.run = w.config, .n_ranks = 1, .run_id = 1, .board = &w.board};
    size_t held = ta_mem_held_bytes();
    unsigned n = 1;
    for (;; n++) {
        struct ta_replica *r = NULL;
        ta_mem_fail_nth(n);
        ta_status status = ta_replica_open(&config, &r);
        ta_mem_fail_nth(0);
        ta_replica_close(r);
        assert_int_equal(ta_mem_held_bytes(), held);
        if (status == TA_OK) break;
        assert_int_equal(status, TA_NO_MEMORY);
        assert_true(n < 1000);
    }
    assert_true(n > 10); /* it did fail on the way */
    end(&w);
}

static void wrong_use(void **state) {
    (void)state;
    struct ta_board board;
    struct ta_replica *r;
    struct ta_run_config run = {0};
    assert_int_equal(ta_board_create(&board, 2, 0), TA_OK);
    struct ta_replica_config config = {.run = &run, .rank = 2, .n_ranks = 2, .board = &board};
    assert_int_equal(ta_replica_open(&config, &r), TA_CONFIG);
    config.rank = 0; /* several replicas, and nowhere to meet */
    assert_int_equal(ta_replica_open(&config, &r), TA_CONFIG);
    ta_board_close(&board);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finish_together), cmocka_unit_test(killed),    cmocka_unit_test(stopped),
        cmocka_unit_test(no_memory),       cmocka_unit_test(wrong_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
