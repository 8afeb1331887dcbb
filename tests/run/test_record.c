/* record: worlds by seed, on fabrics that tear, delay, repeat and overtake puts, are recorded and repeated bit for bit.
 */
#include "checkpoint.h"
#include "replay_run.h"
#include "replica_world.h"

enum { DETECT_NS = 5 * 1000 * 1000, MOST_OVERRIDES = 6 };

/* What the replay must be told too, but for the folder. */
struct recorded {
    struct world w;
    char replicas[32], in_flight[48], folder[128], record[160];
    const char *overrides[MOST_OVERRIDES];
    size_t n_overrides;
};

static void begin(struct recorded *r, unsigned n, unsigned in_flight, const struct ta_sim_config *sim,
                  const char *more) {
    *r = (struct recorded){.w = {.n = n, .now_ns = 1000, .seed = sim->seed}};
    snprintf(r->w.folder, sizeof r->w.folder, "/tmp/tensair-record-XXXXXX");
    assert_non_null(mkdtemp(r->w.folder));
    snprintf(r->replicas, sizeof r->replicas, "run.replicas=%u", n);
    snprintf(r->in_flight, sizeof r->in_flight, "exchange.puts_in_flight=%u", in_flight);
    snprintf(r->folder, sizeof r->folder, "%s/record", r->w.folder);
    snprintf(r->record, sizeof r->record, "run.record=%s", r->folder);
    const char *overrides[] = {r->replicas, r->in_flight, r->record, more};
    r->n_overrides = more != NULL ? 4 : 3;
    memcpy(r->overrides, overrides, sizeof overrides);
    world_load(&r->w, r->overrides, r->n_overrides);
    assert_int_equal(ta_board_create(&r->w.board, n, 0), TA_OK);
    struct ta_sim_config fabric = *sim;
    fabric.n_ranks = n;
    assert_int_equal(ta_sim_create(&fabric, &r->w.fabric), TA_OK);
    for (unsigned i = 0; i < n; i++) world_join(&r->w, i);
}

static ta_status replay(struct recorded *r) {
    char config[128], run_dir[128];
    for (unsigned i = 0; i < r->w.n; i++) {
        ta_replica_close(r->w.replica[i]);
        r->w.replica[i] = NULL;
    }
    snprintf(config, sizeof config, "%s/run.yaml", r->w.folder);
    snprintf(run_dir, sizeof run_dir, "%s/again", r->w.folder);
    struct ta_replay_run how = {.config_path = config,
                                .overrides = r->overrides,
                                .n_overrides = r->n_overrides,
                                .folder = r->folder,
                                .run_dir = run_dir,
                                .quiet = true};
    return ta_replay_run(&how);
}

static uint64_t steps_in(const struct world *w, const char *run) {
    static struct ta_checkpoint_info info;
    char path[128];
    snprintf(path, sizeof path, "%s/%scheckpoint", w->folder, run);
    if (ta_checkpoint_latest(path, NULL, &info) != TA_OK)
        fail_msg("seed %llu: %s", (unsigned long long)w->seed, ta_why());
    return info.total_steps;
}

/* The rests are compared by the replay itself; a replay that stood still would have no last checkpoint. */
static void worlds_are_repeated(void **state) {
    (void)state;
    for (unsigned seed = 0; seed < 8; seed++) {
        const struct ta_sim_config sim = {.seed = seed,
                                          .latency_ns = 1000 << seed % 3 * 4,
                                          .jitter = seed % 4,
                                          .bytes_per_ns = seed % 2 == 0 ? 0.01 : 0,
                                          .duplicate = seed % 3 * 0.1,
                                          .depth = 1 + seed % 3};
        struct recorded r;
        begin(&r, 2 + seed % 3, 1 + seed % 3, &sim, seed % 5 == 4 ? "exchange.damping=inverse" : NULL);
        world_run(&r.w);
        world_agree(&r.w, TA_END);
        if (replay(&r) != TA_OK) fail_msg("seed %u: %s", seed, ta_why());
        assert_int_equal(steps_in(&r.w, ""), 200);
        assert_int_equal(steps_in(&r.w, "again/"), 200);
        world_end(&r.w);
    }
}

/* What a lost replica had written is there, and what the others wrote until they missed it. */
static void the_lost_end_it(void **state) {
    (void)state;
    for (unsigned moment = 0; moment < 3; moment++) {
        struct recorded r;
        begin(&r, 3, 1, &(struct ta_sim_config){.seed = moment, .latency_ns = 200000, .jitter = 1}, NULL);
        for (unsigned i = 0; i < 20 + moment * 12; i++) world_turn(&r.w);
        ta_sim_kill(r.w.fabric, moment % 3, r.w.now_ns, DETECT_NS);
        r.w.killed = 1U << moment % 3;
        atomic_store(&r.w.board.rows[moment % 3].ended, 1);
        world_run(&r.w);
        if (replay(&r) != TA_OK) fail_msg("moment %u: %s", moment, ta_why());
        world_end(&r.w);
    }
}

/* A replay that computes something else says where. */
static void differences_are_found(void **state) {
    (void)state;
    struct recorded r;
    begin(&r, 2, 1, &(struct ta_sim_config){.seed = 5, .latency_ns = 1000}, NULL);
    world_run(&r.w);
    char path[160];
    snprintf(path, sizeof path, "%s/run.yaml", r.w.folder);
    r.overrides[r.n_overrides++] = "optimizer.rate=0.03";
    assert_int_equal(replay(&r), TA_CONFIG);
    assert_non_null(strstr(ta_why(), "0.03"));
    world_end(&r.w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worlds_are_repeated),
        cmocka_unit_test(the_lost_end_it),
        cmocka_unit_test(differences_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
