/* nodes: two launchers meet in two threads; the board of each shows the other's rows; a client that may speak but talks
 * nonsense changes nothing; every allocation fails once. */
#include <pthread.h>
#include <stdatomic.h>

#include "clock.h"
#include "expect.h"
#include "incarnation.h"
#include "nodes.h"
#include "nodes_internal.h"
#include "store.h"

enum { RANKS = 4, NODES = 2, RUN_ID = 4711 };

/* One node as its launcher would hold it. */
struct side {
    struct ta_run_dir dir;
    struct ta_board board;
    struct ta_signals *signals;
    struct ta_nodes_job job;
    struct ta_nodes *nodes;
    ta_status status;
    unsigned node, fail_nth; /* fail_nth: of the allocations of its thread */
    const char *text;
    double patience_s;
    char why[512];
};

struct pair {
    char folder[64];
    struct ta_signals signals;
    struct side side[NODES];
};

static void begin(struct pair *p) {
    *p = (struct pair){0};
    snprintf(p->folder, sizeof p->folder, "/tmp/tensair-nodes-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    assert_ok(ta_signals_open(&p->signals));
    for (unsigned i = 0; i < NODES; i++) {
        struct side *s = &p->side[i];
        *s = (struct side){.node = i, .signals = &p->signals, .text = "a: 1\nb: 2\n", .patience_s = 20};
        s->job = (struct ta_nodes_job){.n_ranks = RANKS, .nodes = NODES, .digest = 5, .transport = "shm"};
        assert_ok(ta_board_create(&s->board, RANKS, 1));
    }
    p->side[0].job.run_id = RUN_ID;
    p->side[0].job.life = 3;
    snprintf(p->side[0].job.resume, sizeof p->side[0].job.resume, "checkpoint/000000010");
    assert_ok(ta_run_dir_open(&p->side[0].dir, p->folder, NULL));
    assert_ok(ta_run_dir_join(&p->side[1].dir, p->folder));
    assert_ok(ta_incarnation_write(p->folder, &(struct ta_incarnation){.run_id = RUN_ID, .host = "here"}));
}

static void *open_side(void *argument) {
    struct side *s = argument;
    struct ta_nodes_config config = {.node = s->node,
                                     .nodes = NODES,
                                     .n_ranks = RANKS,
                                     .dir = &s->dir,
                                     .board = &s->board,
                                     .signals = s->signals,
                                     .text = s->text,
                                     .join_within_s = s->patience_s,
                                     .dead_after_s = 30};
    ta_mem_fail_nth(s->fail_nth);
    s->status = ta_nodes_open(&config, &s->job, &s->nodes);
    ta_mem_fail_nth(0);
    snprintf(s->why, sizeof s->why, "%s", s->status == TA_OK ? "" : ta_why());
    return NULL;
}

static void meet(struct pair *p) {
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, open_side, &p->side[1]), 0);
    open_side(&p->side[0]);
    pthread_join(other, NULL);
}

static void end(struct pair *p) {
    for (unsigned i = NODES; i-- > 0;) ta_nodes_close(p->side[i].nodes, TA_OK);
    for (unsigned i = 0; i < NODES; i++) {
        ta_board_close(&p->side[i].board);
        ta_run_dir_close(&p->side[i].dir);
    }
    ta_signals_close(&p->signals);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", p->folder);
    assert_int_equal(system(command), 0);
}

/* Both ticked until `seen`, or for too long. */
static void tick_until(struct pair *p, bool (*seen)(const struct pair *)) {
    int64_t until_ns = ta_clock_now_ns() + 30 * TA_NS_PER_S;
    while (!seen(p)) {
        if (ta_clock_now_ns() > until_ns) fail_msg("it did not arrive within 30 s");
        for (unsigned i = 0; i < NODES; i++) ta_nodes_tick(p->side[i].nodes, ta_clock_now_ns());
        usleep(1000);
    }
}

static bool rows_arrived(const struct pair *p) {
    const struct ta_board_row *there = &p->side[0].board.rows[2], *here = &p->side[1].board.rows[1];
    return ta_board_get(there->finished) == 1 && ta_board_get(there->ended) == TA_ENDED_KNOWN &&
           ta_board_get(here->records) == 77 && ta_board_get(p->side[1].board.rows[3].lost) == 1;
}

static bool all_over(const struct pair *p) {
    int code[NODES];
    unsigned lost[NODES];
    bool over = true;
    for (unsigned i = 0; i < NODES; i++) over &= ta_nodes_over(p->side[i].nodes, &code[i], &lost[i]);
    if (!over) return false;
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(code[i], 69);
        assert_int_equal(lost[i], 2);
    }
    return true;
}

static void one_board(void **state) {
    (void)state;
    struct pair p;
    begin(&p);
    meet(&p);
    for (unsigned i = 0; i < NODES; i++)
        if (p.side[i].status != TA_OK) fail_msg("node %u: %s", i, p.side[i].why);
    assert_int_equal(p.side[1].job.run_id, RUN_ID);
    assert_int_equal(p.side[1].job.life, 3);
    assert_string_equal(p.side[1].job.resume, "checkpoint/000000010");
    struct ta_board_row *mine = p.side[0].board.rows, *theirs = p.side[1].board.rows;
    int64_t started_ns = ta_clock_now_ns();
    ta_board_set(theirs[2].checksum, 99);
    ta_board_set(theirs[2].rest_round, 4);
    ta_board_set(theirs[2].loss_sum, 0.25);
    ta_board_set(theirs[2].started_ns, started_ns);
    ta_board_set(theirs[2].finished, 1);
    ta_board_set(theirs[2].ended, TA_ENDED_KNOWN);
    ta_board_set(mine[1].records, 77);
    ta_board_set(mine[3].lost, 1); /* dropped by a replica of node 0: its own launcher is to know */
    tick_until(&p, rows_arrived);
    assert_int_equal(ta_board_get(mine[2].checksum), 99);
    assert_int_equal(ta_board_get(mine[2].rest_round), 4);
    assert_true(ta_board_get(mine[2].loss_sum) == 0.25);
    int64_t moved_ns = ta_board_get(mine[2].started_ns) - started_ns; /* one clock here: no more than a message takes */
    assert_true(moved_ns >= 0 && moved_ns < 30 * TA_NS_PER_S);
    ta_nodes_ended(p.side[0].nodes, 0, 0);
    ta_nodes_ended(p.side[1].nodes, 69, 2);
    tick_until(&p, all_over);
    end(&p);
}

static void misfit(void **state) {
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        static const char *const parts[] = {"4 replicas", "'a: 1' there, 'a: 2' here", "transport shm", "--nodes 2"};
        struct pair p;
        begin(&p);
        struct ta_nodes_job *job = &p.side[1].job;
        if (kind == 0) job->n_ranks = 6;
        if (kind == 1) job->digest = 6, p.side[1].text = "a: 2\nb: 2\n";
        if (kind == 2) snprintf(job->transport, sizeof job->transport, "ofi");
        if (kind == 3) job->nodes = 3;
        meet(&p);
        for (unsigned i = 0; i < NODES; i++) {
            assert_int_equal(p.side[i].status, TA_CONFIG);
            if (strstr(p.side[i].why, parts[kind]) == NULL) fail_msg("node %u: '%s'", i, p.side[i].why);
        }
        end(&p);
    }
}

static bool nonsense_arrived(const struct pair *p) {
    struct ta_store_value value;
    return ta_store_get(p->side[0].nodes->store, "over", &value) == TA_OK &&
           ta_store_get(p->side[1].nodes->store, "over", &value) == TA_OK;
}

/* It has the secret, so it belongs to the run; another version, perhaps. */
static void talk_nonsense(const struct pair *p) {
    static const char *const names[] = {"row/0", "row/1", "row/2", "row/3", "row/4",  "row/99999", "lost/0", "lost/1",
                                        "node/0", "node/1", "node/7", "config", "job", "over"};
    char directory[96];
    snprintf(directory, sizeof directory, "%s/rendezvous", p->folder);
    struct ta_store_config config = {.directory = directory, .who = "stranger", .patience_s = 20};
    struct ta_store *store;
    assert_ok(ta_store_open(&config, &store));
    static unsigned char bytes[TA_STORE_VALUE_BYTES];
    const size_t sizes[] = {0, 1, 8, sizeof(struct ta_node_said), sizeof(struct ta_board_row) + 16, sizeof bytes};
    memset(bytes, 0xff, sizeof bytes);
    for (unsigned s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
            assert_ok(ta_store_put(store, names[i], bytes, sizes[s]));
        (void)ta_store_poll(store);
    }
    ta_store_close(store);
}

static void nonsense(void **state) {
    (void)state;
    struct pair p;
    begin(&p);
    meet(&p);
    assert_int_equal(p.side[0].status, TA_OK);
    assert_int_equal(p.side[1].status, TA_OK);
    talk_nonsense(&p);
    tick_until(&p, nonsense_arrived);
    int code;
    unsigned lost;
    for (unsigned i = 0; i < NODES; i++) {
        assert_false(ta_nodes_over(p.side[i].nodes, &code, &lost));
        for (unsigned r = 0; r < RANKS; r++) {
            assert_int_equal(ta_board_get(p.side[i].board.rows[r].records), 0);
            assert_int_equal(ta_board_get(p.side[i].board.rows[r].ended), TA_ENDED_NO);
            assert_int_equal(ta_board_get(p.side[i].board.rows[r].lost), 0);
        }
    }
    end(&p);
}

/* Whatever allocation fails on one side: that side says so (or does without), nothing is kept, and neither hangs. */
static void no_memory(void **state) {
    (void)state;
    for (unsigned who = 0; who < NODES; who++) {
        for (unsigned n = 1;; n++) {
            struct pair p;
            begin(&p);
            size_t held = ta_mem_held_bytes();
            p.side[who].fail_nth = n;
            p.side[1 - who].patience_s = 0.3;
            meet(&p);
            bool both = p.side[0].status == TA_OK && p.side[1].status == TA_OK;
            ta_status status = p.side[who].status;
            if (status != TA_OK && status != TA_NO_MEMORY && status != TA_PEER)
                fail_msg("allocation %u of node %u: %s: %s", n, who, ta_status_name(status), p.side[who].why);
            for (unsigned i = NODES; i-- > 0;) {
                ta_nodes_close(p.side[i].nodes, TA_OK);
                p.side[i].nodes = NULL;
            }
            assert_int_equal(ta_mem_held_bytes(), held);
            end(&p);
            if (both || n > 40) break;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_board),
        cmocka_unit_test(misfit),
        cmocka_unit_test(nonsense),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
