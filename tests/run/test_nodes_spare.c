/* nodes_spare: a rank is taken once; its row arrives as that of a node's replica does; who has no store says so. */
#include <unistd.h>

#include "clock.h"
#include "expect.h"
#include "nodes_internal.h"
#include "nodes_spare.h"

enum { RUN_ID = 4711, RANKS = 6, SPARE = 4 };

struct place {
    char folder[64];
    struct ta_store_server *server;
    struct ta_board board;
};

static int begin(void **state) {
    static struct place p;
    p = (struct place){{0}};
    snprintf(p.folder, sizeof p.folder, "/tmp/tensair-spare-XXXXXX");
    assert_non_null(mkdtemp(p.folder));
    struct ta_store_server_config config = {.directory = p.folder, .address = "127.0.0.1", .run_id = RUN_ID};
    assert_ok(ta_store_serve(&config, &p.server));
    assert_ok(ta_board_create(&p.board, RANKS, 0));
    *state = &p;
    return 0;
}

static int end(void **state) {
    struct place *p = *state;
    ta_store_server_close(p->server);
    ta_board_close(&p->board);
    return rmdir(p->folder); /* nothing was left in it */
}

static struct ta_nodes_spare_config config_of(struct place *p, unsigned rank) {
    return (struct ta_nodes_spare_config){
        .directory = p->folder, .run_id = RUN_ID, .rank = rank, .board = &p->board, .patience_s = 10};
}

static void a_rank_is_taken_once(void **state) {
    struct place *p = *state;
    struct ta_nodes_spare_config first = config_of(p, SPARE), other = config_of(p, SPARE + 1);
    struct ta_nodes_spare *a, *b, *c;
    assert_ok(ta_nodes_spare_open(&first, &a));
    assert_fails(TA_IN_USE, "spare 4 of the run was started already", ta_nodes_spare_open(&first, &b));
    assert_null(b);
    assert_ok(ta_nodes_spare_open(&other, &c));
    ta_nodes_spare_close(a);
    assert_fails(TA_IN_USE, "used once", ta_nodes_spare_open(&first, &b)); /* not after it has gone either */
    ta_nodes_spare_close(c);
    ta_nodes_spare_close(NULL);
}

/* What a node sees of that rank, within 10 s. */
static bool arrives(struct ta_store *store, struct ta_board *board, uint64_t records) {
    struct ta_node_row row = {0};
    int64_t its_clock_ns = INT64_MAX, until_ns = ta_clock_now_ns() + 10 * TA_NS_PER_S;
    while (ta_clock_now_ns() < until_ns) {
        assert_ok(ta_store_poll(store));
        (void)ta_node_row_take(store, board, SPARE, &row, &its_clock_ns, ta_clock_now_ns());
        if (ta_board_get(board->rows[SPARE].records) == records) return true;
        usleep(1000);
    }
    return false;
}

static void its_row_is_heard(void **state) {
    struct place *p = *state;
    struct ta_nodes_spare_config config = config_of(p, SPARE);
    struct ta_store_config client = {.directory = p->folder, .who = "node 1", .run_id = RUN_ID, .patience_s = 10};
    struct ta_board theirs;
    struct ta_store *store;
    struct ta_nodes_spare *s;
    assert_ok(ta_board_create(&theirs, RANKS, 0));
    assert_ok(ta_store_open(&client, &store));
    assert_ok(ta_store_watch(store, "row/"));
    assert_ok(ta_nodes_spare_open(&config, &s));
    ta_board_set(p->board.rows[SPARE].records, 77);
    ta_nodes_spare_tick(s, ta_clock_now_ns());
    assert_true(arrives(store, &theirs, 77));
    ta_board_set(p->board.rows[SPARE].records, 78);
    ta_nodes_spare_close(s); /* the last word, though no tick was due */
    assert_true(arrives(store, &theirs, 78));
    for (unsigned r = 0; r < RANKS; r++)
        if (r != SPARE) assert_int_equal(ta_board_get(theirs.rows[r].records), 0);
    ta_store_close(store);
    ta_board_close(&theirs);
}

static void without_a_board_nothing_is_put(void **state) {
    struct place *p = *state;
    struct ta_nodes_spare_config config = config_of(p, SPARE);
    struct ta_store_server_stats before, after;
    struct ta_nodes_spare *s;
    config.board = NULL;
    assert_ok(ta_nodes_spare_open(&config, &s));
    ta_store_server_stats(p->server, &before);
    ta_nodes_spare_tick(s, ta_clock_now_ns());
    ta_nodes_spare_close(s);
    ta_store_server_stats(p->server, &after);
    assert_int_equal(before.names, 1); /* that it is here */
    assert_int_equal(after.names, 1);
}

static void strangers_and_silence(void **state) {
    struct place *p = *state;
    struct ta_nodes_spare_config config = config_of(p, SPARE);
    struct ta_nodes_spare *s;
    config.run_id = RUN_ID + 1;
    assert_int_equal(ta_nodes_spare_open(&config, &s), TA_PEER);
    assert_null(s);
    config.run_id = RUN_ID;
    config.patience_s = 0.05;
    ta_store_server_close(p->server);
    p->server = NULL;
    assert_int_equal(ta_nodes_spare_open(&config, &s), TA_PEER);
    assert_null(s);
}

static void a_server_that_goes_is_borne(void **state) {
    struct place *p = *state;
    struct ta_nodes_spare_config config = config_of(p, SPARE);
    struct ta_nodes_spare *s;
    assert_ok(ta_nodes_spare_open(&config, &s));
    ta_store_server_close(p->server);
    p->server = NULL;
    for (int i = 0; i < 20; i++) ta_nodes_spare_tick(s, ta_clock_now_ns() + i * TA_NS_PER_S);
    ta_nodes_spare_close(s);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_rank_is_taken_once),  TEST(its_row_is_heard),            TEST(without_a_board_nothing_is_put),
        TEST(strangers_and_silence), TEST(a_server_that_goes_is_borne),
    };
    return cmocka_run_group_tests_name("nodes_spare", tests, NULL, NULL);
}
