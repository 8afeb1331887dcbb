/* fence: whose the run directory is (incarnation), what a node that is deaf makes of it (nodes_hold), and who shares a
 * machine with whom (nodes_hosts). */
#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "clock.h"
#include "expect.h"
#include "incarnation.h"
#include "nodes_internal.h"

enum { RUN = 4711, NODES = 2, RANKS = 4, MOST_NODES = 8 };

static const struct ta_incarnation first_life = {.job_id = 77, .restart = 1, .run_id = RUN, .node = 0, .host = "n1"};

static void make_folder(char folder[64]) {
    snprintf(folder, 64, "/tmp/tensair-fence-XXXXXX");
    assert_non_null(mkdtemp(folder));
}

static void remove_folder(const char *folder) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

static void written_and_read(void **state) {
    (void)state;
    char folder[64], path[96], text[512], who[160];
    struct ta_incarnation it;
    make_folder(folder);
    assert_int_equal(ta_incarnation_read(folder, &it), TA_AGAIN);
    assert_ok(ta_incarnation_write(folder, &first_life));
    assert_ok(ta_incarnation_read(folder, &it));
    assert_memory_equal(&it, &first_life, sizeof it);
    ta_incarnation_describe(&it, who);
    assert_string_equal(who, "restart 1 of Slurm job 77 on n1");
    snprintf(path, sizeof path, "%s/incarnation", folder);
    FILE *file = fopen(path, "r");
    size_t bytes = fread(text, 1, sizeof text, file);
    fclose(file);
    for (size_t cut = 0; cut <= bytes; cut++) { /* cut at every byte, and one more than there should be */
        file = fopen(path, "w");
        fwrite(text, 1, cut, file);
        if (cut == bytes) fputs("more\n", file);
        fclose(file);
        assert_fails(TA_FORMAT, "incarnation is damaged", ta_incarnation_read(folder, &it));
    }
    assert_fails(TA_IO, "nowhere", ta_incarnation_write("/nowhere/at/all", &first_life));
    remove_folder(folder);
}

static void *take_over_later(void *folder) {
    usleep(100 * 1000);
    struct ta_incarnation own = first_life;
    own.node = 1;
    return ta_incarnation_write(folder, &own) == TA_OK ? NULL : folder;
}

static void let_through(void **state) {
    (void)state;
    char folder[64];
    const unsigned ours[] = {2, 3}, both[] = {1, 2};
    make_folder(folder);
    struct ta_fence none = {.run_id = 1}, fence = {.run_dir = folder, .run_id = RUN, .per_node = 2, .node = 1};
    assert_ok(ta_fence_pass(&none, ours, 2, 0));
    assert_int_equal(ta_fence_pass(&fence, ours, 2, 0), TA_PEER); /* no file: not ours */
    assert_ok(ta_incarnation_write(folder, &first_life));
    assert_ok(ta_fence_pass(&fence, both, 2, 0)); /* rank 1 is of node 0 */
    assert_fails(TA_PEER, "held by node 0", ta_fence_pass(&fence, ours, 2, 0.1));
    assert_fails(TA_PEER, "held by node 0", ta_fence_pass(&fence, NULL, 0, 0));
    pthread_t other;
    void *failed;
    assert_int_equal(pthread_create(&other, NULL, take_over_later, folder), 0);
    assert_ok(ta_fence_pass(&fence, ours, 2, 30)); /* the launcher of node 1 takes over meanwhile */
    pthread_join(other, &failed);
    assert_null(failed);
    fence.run_id = RUN + 1;
    assert_fails(TA_PEER, "belongs to restart 1 of Slurm job 77", ta_fence_pass(&fence, both, 2, 30));
    remove_folder(folder);
}

/* Node 1, which cannot hear node 0; `holder` is node 0's hold of the directory. */
struct deaf {
    char folder[64];
    struct ta_run_dir holder, dir;
    struct ta_board board;
    struct ta_log log;
    struct ta_nodes nodes;
    struct ta_node node[NODES];
    int64_t now_ns;
};

static void begin(struct deaf *d) {
    *d = (struct deaf){.now_ns = TA_NS_PER_S};
    make_folder(d->folder);
    assert_ok(ta_run_dir_open(&d->holder, d->folder, NULL));
    assert_ok(ta_run_dir_join(&d->dir, d->folder));
    assert_ok(ta_incarnation_write(d->folder, &first_life));
    assert_ok(ta_board_create(&d->board, RANKS, 0));
    assert_ok(ta_log_open(&d->log, TA_LOG_ERROR, -1, false, NULL));
    d->nodes = (struct ta_nodes){
        .config = {.node = 1, .nodes = NODES, .n_ranks = RANKS, .dir = &d->dir, .board = &d->board, .log = &d->log},
        .run_id = RUN,
        .lost_store = true,
        .node = d->node};
}

static void end(struct deaf *d) {
    ta_run_dir_close(&d->dir);
    ta_run_dir_close(&d->holder);
    ta_board_close(&d->board);
    ta_log_close(&d->log);
    remove_folder(d->folder);
}

/* So many seconds of ticks, during which the holder touches its lock or does not. */
static void pass(struct deaf *d, double seconds, bool touched) {
    for (int i = 0; i < (int)(seconds * 4); i++) {
        const struct timespec fresh[2] = {{.tv_sec = d->now_ns / TA_NS_PER_S}, {.tv_sec = d->now_ns / TA_NS_PER_S}};
        if (touched && i % 4 == 3) assert_int_equal(futimens(d->holder.lock, fresh), 0);
        d->now_ns += TA_NS_PER_S / 4;
        ta_nodes_hold(&d->nodes, d->now_ns);
    }
}

static unsigned writing_node(const struct deaf *d) {
    struct ta_incarnation it;
    assert_ok(ta_incarnation_read(d->folder, &it));
    return it.node;
}

static void split(void **state) {
    (void)state;
    struct deaf d;
    begin(&d);
    pass(&d, 8, true); /* node 0 lives, and its replicas are with ours */
    assert_false(ta_nodes_cut_off(&d.nodes));
    assert_true(d.dir.lock < 0);
    atomic_store(&d.board.rows[0].lost, 1);
    pass(&d, 4, true); /* one of them is */
    assert_false(ta_nodes_cut_off(&d.nodes));
    atomic_store(&d.board.rows[1].ended, TA_ENDED_KNOWN);
    pass(&d, 1, true); /* none is */
    assert_true(ta_nodes_cut_off(&d.nodes));
    d.nodes.lost_store = false;
    pass(&d, 1, true); /* it is heard again */
    assert_false(ta_nodes_cut_off(&d.nodes));
    assert_int_equal(writing_node(&d), 0);
    end(&d);
}

static void taken_over(void **state) {
    (void)state;
    struct deaf d;
    begin(&d);
    pass(&d, 20, false); /* it stands still, but holds the lock */
    assert_true(d.dir.lock < 0 && d.nodes.hold.settled && !d.nodes.hold.cut_off);
    close(d.holder.lock); /* it died; the file of its lock stays */
    d.holder.lock = -1;
    pass(&d, 1, false);
    assert_true(d.dir.lock >= 0 && d.nodes.hold.settled);
    assert_int_equal(writing_node(&d), 1);
    end(&d);
    begin(&d); /* it has just touched the lock, and is gone: a machine whose locks do not reach here might go on */
    pass(&d, 1, true);
    close(d.holder.lock);
    d.holder.lock = -1;
    pass(&d, 2, false);
    assert_true(d.dir.lock < 0);
    pass(&d, 3, false);
    assert_true(d.dir.lock >= 0);
    end(&d);
    begin(&d); /* it has left in order */
    ta_run_dir_close(&d.holder);
    pass(&d, 1, false);
    assert_true(d.dir.lock >= 0);
    end(&d);
    begin(&d); /* the directory is another life's by now */
    struct ta_incarnation other = first_life;
    other.run_id++;
    assert_ok(ta_incarnation_write(d.folder, &other));
    ta_run_dir_close(&d.holder);
    pass(&d, 8, false);
    assert_true(d.dir.lock < 0);
    end(&d);
}

/* A lock that another life has put in the place of ours is not ours to touch, nor to remove. */
static void lock_replaced(void **state) {
    (void)state;
    char folder[64], path[96];
    struct ta_run_dir former, later, third;
    make_folder(folder);
    snprintf(path, sizeof path, "%s/lock", folder);
    assert_ok(ta_run_dir_open(&former, folder, NULL));
    assert_ok(ta_run_dir_find(&later, folder, NULL));
    assert_fails(TA_IN_USE, "in use by process", ta_run_dir_claim(&later, false));
    assert_ok(ta_run_dir_claim(&later, true));
    uint64_t pulse = ta_run_dir_pulse(&later);
    ta_run_dir_touch(&former);
    assert_true(ta_run_dir_pulse(&later) == pulse);
    usleep(20 * 1000);
    ta_run_dir_touch(&later);
    assert_true(ta_run_dir_pulse(&later) != pulse);
    ta_run_dir_close(&former);
    assert_int_equal(access(path, F_OK), 0);
    assert_ok(ta_run_dir_find(&third, folder, NULL));
    assert_fails(TA_IN_USE, "in use by process", ta_run_dir_claim(&third, false));
    ta_run_dir_close(&later);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(ta_run_dir_pulse(&third), 0);
    remove_folder(folder);
}

static void dealt(void **state) {
    (void)state;
    static const struct {
        const char *machines; /* of each node, a letter */
        unsigned per_host, node, local_rank, local_size;
    } cases[] = {
        {"aa", 2, 1, 1, 2},     {"ab", 1, 1, 0, 1},     {"aabb", 2, 3, 1, 2},   {"abab", 1, 2, 1, 2},
        {"aab", 1, 1, 1, 2},    {"abb", 1, 2, 1, 2},    {"aaaa", 4, 2, 2, 4},   {"aabbaa", 1, 4, 2, 4},
        {"aabbcc", 2, 0, 0, 2}, {"aabbbb", 1, 5, 3, 4}, {"aaabbb", 3, 3, 0, 3}, {"abc", 1, 2, 0, 1},
    };
    for (unsigned c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct ta_node node[MOST_NODES] = {0};
        unsigned n = (unsigned)strlen(cases[c].machines);
        struct ta_nodes nodes = {.config = {.node = cases[c].node, .nodes = n}, .node = node};
        for (unsigned i = 0; i < n; i++) node[i].said.machine = (uint64_t)cases[c].machines[i];
        assert_ok(ta_nodes_learn_hosts(&nodes));
        print_message("%s\n", cases[c].machines);
        assert_int_equal(nodes.hosts.per_host, cases[c].per_host);
        assert_int_equal(nodes.hosts.local_rank, cases[c].local_rank);
        assert_int_equal(nodes.hosts.local_size, cases[c].local_size);
    }
    assert_true(ta_nodes_machine() != 0 && ta_nodes_machine() == ta_nodes_machine());
}

static void clocks(void **state) {
    (void)state;
    struct ta_node node[2] = {{.said.host = "n1"}, {.said.host = "n2"}};
    struct ta_nodes nodes = {.config = {.node = 0, .nodes = 2}, .node = node};
    node[1].wall_off_ns = 59 * TA_NS_PER_S;
    assert_ok(ta_nodes_learn_hosts(&nodes));
    node[1].wall_off_ns = 3600 * TA_NS_PER_S;
    assert_fails(TA_CONFIG, "clock of node 1 (n2) is 3600 s ahead of that of node 0 (n1)",
                 ta_nodes_learn_hosts(&nodes));
    node[1].wall_off_ns = -61 * TA_NS_PER_S;
    assert_fails(TA_CONFIG, "61 s behind that of node 0", ta_nodes_learn_hosts(&nodes));
    nodes.config.node = 1; /* node 0 alone hears all at once */
    assert_ok(ta_nodes_learn_hosts(&nodes));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_and_read), cmocka_unit_test(let_through),   cmocka_unit_test(split),
        cmocka_unit_test(taken_over),       cmocka_unit_test(lock_replaced), cmocka_unit_test(dealt),
        cmocka_unit_test(clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
