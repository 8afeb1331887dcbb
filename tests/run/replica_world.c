/* replica_world: see the header. */
#include "replica_world.h"

enum { MOST_TURNS = 1000000, LONG_IDLE = 20000, DETECT_NS = 5 * 1000 * 1000 };

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

void world_load(struct world *w, const char *const *overrides, size_t n_overrides) {
    char path[128];
    snprintf(path, sizeof path, "%s/run.yaml", w->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    ta_status status = ta_run_config_load(path, overrides, n_overrides, &w->config);
    if (status != TA_OK) fail_msg("%s", ta_why());
}

void world_join(struct world *w, unsigned rank) {
    struct ta_replica_config config = {.run = w->config,
                                       .rank = rank,
                                       .n_ranks = w->n,
                                       .spares = w->spares,
                                       .run_id = 99,
                                       .run_dir = w->folder,
                                       .fabric = w->fabric,
                                       .board = &w->board};
    w->result[rank] = TA_AGAIN;
    if (ta_replica_open(&config, &w->replica[rank]) != TA_OK) fail_msg("%s", ta_why());
}

static void begin(struct world *w, unsigned founders, unsigned spares, const struct ta_sim_config *sim,
                  const char *override, bool paced) {
    unsigned n = founders + spares;
    *w = (struct world){.n = n, .spares = spares, .now_ns = 1000, .seed = sim->seed};
    snprintf(w->folder, sizeof w->folder, "/tmp/tensair-replica-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    char replicas[32];
    snprintf(replicas, sizeof replicas, "run.replicas=%u", founders);
    char kept[32];
    snprintf(kept, sizeof kept, "run.spares=%u", spares);
    /* Slow enough for somebody to come in; a checkpoint under way would wait for the file of who was lost. */
    const char *overrides[] = {replicas, override != NULL ? override : replicas, "pace.type=constant", "pace.rate=1600", kept,
                               "checkpoint.every_records=0"};
    world_load(w, overrides, spares > 0 ? 6 : paced ? 4 : 2);
    assert_int_equal(ta_board_create(&w->board, n, 0), TA_OK);
    struct ta_sim_config fabric = *sim;
    fabric.n_ranks = n;
    assert_int_equal(ta_sim_create(&fabric, &w->fabric), TA_OK);
    for (unsigned i = 0; i < n; i++) w->result[i] = TA_END; /* a spare: until it joins */
    for (unsigned i = 0; i < founders; i++) world_join(w, i);
}

void world_begin(struct world *w, unsigned n, const struct ta_sim_config *sim, const char *override) {
    begin(w, n, 0, sim, override, false);
}

void world_begin_paced(struct world *w, unsigned n, const struct ta_sim_config *sim, const char *override) {
    begin(w, n, 0, sim, override, true);
}

void world_begin_with_spares(struct world *w, unsigned founders, unsigned spares, const struct ta_sim_config *sim,
                             const char *override) {
    begin(w, founders, spares, sim, override, true);
}

bool world_turn(struct world *w) {
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

void world_run(struct world *w) {
    for (long turns = 0; world_turn(w); turns++) {
        if (turns < MOST_TURNS) continue;
        for (unsigned i = 0; i < w->n; i++)
            if (w->replica[i] != NULL)
                print_message("replica %u: %s, killed %u, %s\n", i,
                              ta_replica_state_name(ta_replica_state(w->replica[i])), w->killed >> i & 1,
                              ta_status_name(w->result[i]));
        fail_msg("no end after %ld turns (seed %llu)", turns, (unsigned long long)w->seed);
    }
}

void world_end(struct world *w) {
    for (unsigned i = 0; i < w->n; i++) ta_replica_close(w->replica[i]);
    ta_sim_destroy(w->fabric);
    ta_board_close(&w->board);
    ta_run_config_free(w->config);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", w->folder);
    assert_int_equal(system(command), 0);
}

void world_agree(struct world *w, ta_status expected) {
    uint64_t first = 0;
    for (unsigned i = 0, seen = 0; i < w->n; i++) {
        if ((w->killed >> i & 1) || w->replica[i] == NULL) continue;
        if (w->result[i] != expected) fail_msg("replica %u: %s: %s", i, ta_status_name(w->result[i]), ta_why());
        uint64_t sum = atomic_load(&w->board.rows[i].checksum);
        if (seen++ == 0) first = sum;
        assert_int_equal(sum, first);
    }
}

unsigned world_events(const struct world *w, const char *event) {
    char path[128], wanted[64], line[8192];
    snprintf(path, sizeof path, "%s/metrics.jsonl", w->folder);
    snprintf(wanted, sizeof wanted, "\"event\":\"%s\"", event);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    unsigned n = 0;
    while (fgets(line, sizeof line, file) != NULL) n += strstr(line, wanted) != NULL;
    fclose(file);
    return n;
}

void world_lose(struct world *w, unsigned rank) {
    assert_int_equal(w->result[rank], TA_AGAIN);
    ta_sim_kill(w->fabric, rank, w->now_ns, DETECT_NS);
    w->killed |= 1U << rank;
    atomic_store(&w->board.rows[rank].ended, TA_ENDED_KNOWN);
}

struct ta_frontier world_done_in_checkpoint(struct world *w, struct ta_checkpoint_info *out) {
    static struct ta_checkpoint_info info;
    char path[128];
    snprintf(path, sizeof path, "%s/checkpoint", w->folder);
    assert_int_equal(ta_checkpoint_latest(path, NULL, &info), TA_OK);
    struct ta_stream *stream;
    struct ta_model model;
    assert_int_equal(ta_stream_open(&w->config->stream.spec, &stream), TA_OK);
    assert_int_equal(ta_replica_model(w->config, &stream->info, &model), TA_OK);
    struct ta_frontier done = {0};
    for (unsigned i = 0; i < info.n_writers; i++) {
        struct ta_snapshot s = {0};
        assert_int_equal(ta_checkpoint_load(&info, &model, info.writers[i], false, &s), TA_OK);
        assert_int_equal(ta_frontier_merge(&done, &s.done), TA_OK);
        ta_snapshot_free(&s);
    }
    ta_model_free(&model);
    ta_stream_close(stream);
    if (out != NULL) *out = info;
    return done;
}
