/* faults by seed: whole replicas in one thread and in virtual time, some of whom are killed at any step, stand still,
 * have their paths cut or broken, or join late. What each batch does to the weights is countable: it adds one to a
 * weight of its own, so that the weights at the end say how often it was trained on.
 *
 * Usage: faults_seeds [SEED [NUMBER]]: one seed (or so many from there on), told step by step.
 */
#include <inttypes.h>

#include "board.h"
#include "expect.h"
#include "replica.h"
#include "rng.h"
#include "run_config.h"
#include "sim.h"
#include "sim_meeting.h"
#include "stream/fake.h"

enum { MOST_RANKS = 6, MOST_BATCHES = 64, MOST_EVENTS = 4, BATCH = 4, MOST_TURNS = 400000 };
#ifdef __SANITIZE_ADDRESS__
enum { RUNS = 200 };
#else
enum { RUNS = 2000 };
#endif

static const int64_t ms = 1000 * 1000, named_within_ns = INT64_C(3000) * 1000 * 1000;

static const char text[] =
    "stream: {generator: sea, batch: 4}\n"
    "model:\n"
    "  loss: squared_error\n"
    "  layers:\n"
    "    - {type: dense, units: 64, activation: relu, init: zeros}\n"
    "    - {type: dense, units: 2, init: zeros}\n"
    "optimizer: {type: sgd, rate: 1}\n"
    "transport: {type: sim}\n"
    "metrics: {every_seconds: 1000}\n";

enum kind { KILL, KILL_SILENT, STALL_SHORT, STALL_LONG, CUT, BREAK, KINDS };
static const char *const kind_names[] = {"killed", "killed, and nobody is told", "stands still for a while",
                                         "stands still for too long", "has a path cut", "has a path broken"};

struct event {
    enum kind kind;
    unsigned rank, other;
    int64_t at_ns, until_ns;
    bool begun;
};

struct world {
    struct ta_replica *replica[MOST_RANKS];
    ta_status result[MOST_RANKS];
    bool killed[MOST_RANKS];
    int64_t killed_ns[MOST_RANKS], asleep_until_ns[MOST_RANKS];
    unsigned n, founders, turn, batches;
    uint64_t records;
    int64_t now_ns, step_ns;
    int64_t end_ns, joins_ns; /* the last record is due; the spare joins, 0: there is none */
    bool stops, told;
    int64_t stop_ns;
    unsigned n_events;
    struct event events[MOST_EVENTS];
    unsigned trained[MOST_RANKS][MOST_BATCHES];
    const float *w[MOST_RANKS];
    float weights[MOST_RANKS][MOST_BATCHES];
    struct ta_sim_fabric *fabric;
    struct ta_board board;
    uint64_t seed;
    bool aloud;
};

static struct world *the_world; /* the kernels have no owner */
static struct ta_run_config *config;
static struct ta_kernels_ops kernel_ops;
static struct ta_kernels *kernels;
static struct fake_stream stream;

/* --- a net that counts --- */

struct ta_net {
    size_t n_params;
    uint32_t batch;
};

static ta_status net_create(struct ta_kernels *k, const struct ta_net_spec *spec, struct ta_net **out) {
    (void)k;
    ta_status status = TA_NEW(out, 1, "a net that counts");
    if (status == TA_OK) **out = (struct ta_net){spec->n_params, spec->batch};
    return status;
}

static void net_destroy(struct ta_net *net) { ta_mem_free(net); }
static size_t net_bytes(const struct ta_net *net) { return sizeof *net; }

static ta_status predict(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                         float *predictions, float *losses) {
    (void)x, (void)labels;
    the_world->w[the_world->turn] = w;
    if (predictions != NULL) memset(predictions, 0, 2 * sizeof(float) * net->batch);
    if (losses != NULL) memset(losses, 0, sizeof(float) * net->batch);
    return TA_OK;
}

static ta_status train(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                       uint64_t step, float *grad, float *predictions, float *losses) {
    (void)step;
    unsigned batch = (unsigned)x[0] / BATCH;
    memset(grad, 0, net->n_params * sizeof *grad);
    grad[batch] = -1;
    the_world->trained[the_world->turn][batch]++;
    return predict(net, w, x, labels, predictions, losses);
}

static int64_t clock_of(void *owner) { return ((struct world *)owner)->now_ns; }

/* --- a world --- */

#define complain(w, ...)                                      \
    do {                                                      \
        print_message("seed %" PRIu64 " failed:\n", (w)->seed); \
        fail_msg(__VA_ARGS__);                                \
    } while (0)

static int64_t some_ns(struct ta_rng *rng, int64_t least, int64_t most) {
    return least + (int64_t)(ta_rng_uniform(rng) * (double)(most - least));
}

static void plan(struct world *w, struct ta_rng *rng) {
    w->founders = 2 + ta_rng_below(rng, 4);
    w->batches = 8 + ta_rng_below(rng, MOST_BATCHES - 8);
    w->records = w->batches * BATCH - ta_rng_below(rng, BATCH);
    bool spare = w->founders < MOST_RANKS && ta_rng_below(rng, 6) == 0;
    w->n = w->founders + spare;
    bool early = ta_rng_below(rng, 2) == 0; /* whatever happens is known while there is enough left to do */
    w->end_ns = early ? some_ns(rng, 5000 * ms, 7000 * ms) : some_ns(rng, 200 * ms, 5000 * ms);
    w->step_ns = some_ns(rng, ms / 20, 2 * ms);
    w->n_events = ta_rng_below(rng, MOST_EVENTS + 1);
    w->stops = !early && ta_rng_below(rng, 5) == 0;
    w->stop_ns = some_ns(rng, 0, w->end_ns);
    unsigned left = w->founders;
    for (unsigned i = 0; i < w->n_events; i++) {
        struct event *e = &w->events[i];
        *e = (struct event){.kind = ta_rng_below(rng, KINDS), .rank = ta_rng_below(rng, w->founders)};
        e->other = (e->rank + 1 + ta_rng_below(rng, w->founders - 1)) % w->founders;
        e->at_ns = early ? some_ns(rng, 100 * ms, w->end_ns - 4200 * ms) : some_ns(rng, 0, w->end_ns * 5 / 4);
        e->until_ns = e->at_ns + some_ns(rng, 10 * ms, 800 * ms);
        if (e->kind == STALL_LONG) e->until_ns = e->at_ns + some_ns(rng, 3500 * ms, 5000 * ms);
        bool ends = e->kind == KILL || e->kind == KILL_SILENT || e->kind == STALL_LONG;
        if (ends && left-- == 1) e->kind = BREAK, left = 1; /* somebody must be left */
        if (spare && e->kind == KILL && w->joins_ns == 0) w->joins_ns = e->at_ns + some_ns(rng, 0, 300 * ms);
    }
}

static void open_replica(struct world *w, unsigned rank, struct ta_sim_meeting *meeting) {
    static struct ta_replica_shared shared;
    shared = (struct ta_replica_shared){.kernel_ops = &kernel_ops, .kernels = kernels, .stream = &stream.base,
                                        .meeting = meeting, .clock_ns = clock_of, .owner = w};
    struct ta_replica_config replica = {.run = config, .rank = rank, .n_ranks = w->n, .spares = w->n - w->founders,
                                        .run_id = 9, .fabric = w->fabric, .shared = &shared, .board = &w->board};
    if (ta_replica_open(&replica, &w->replica[rank]) != TA_OK) complain(w, "replica %u: %s", rank, ta_why());
    w->result[rank] = TA_AGAIN;
}

static void begin(struct world *w, uint64_t seed, struct ta_sim_meeting *meeting) {
    struct ta_rng rng = ta_rng_make(seed, 77);
    bool aloud = w->aloud;
    *w = (struct world){.seed = seed, .now_ns = ms, .aloud = aloud};
    plan(w, &rng);
    config->run.seed = 1;
    config->run.replicas = w->founders;
    config->run.spares = w->n - w->founders;
    config->run.max_records = w->records;
    config->pace.pace = TA_PACE_CONSTANT;
    config->pace.rate_per_s = (double)w->records * 1e9 / (double)w->end_ns;
    struct ta_sim_config fabric = {.n_ranks = w->n, .seed = seed, .latency_ns = some_ns(&rng, 1000, 3 * ms),
                                   .jitter = 3 * ta_rng_uniform(&rng), .duplicate = ta_rng_below(&rng, 2) * 0.3,
                                   .depth = 1 + ta_rng_below(&rng, 3)};
    assert_ok(ta_sim_create(&fabric, &w->fabric));
    assert_ok(ta_board_create(&w->board, w->n, 0));
    for (unsigned r = 0; r < w->n; r++) w->result[r] = TA_END;
    for (unsigned r = 0; r < w->founders; r++) open_replica(w, r, meeting);
}

static void say(const struct world *w, unsigned rank, const char *what) {
    if (w->aloud) print_message("%9.3f ms: rank %u %s\n", (double)w->now_ns / 1e6, rank, what);
}

static void apply(struct world *w, struct event *e) {
    unsigned a = e->rank, b = e->other;
    bool over = e->begun && e->kind == CUT && w->now_ns >= e->until_ns;
    if (over) {
        ta_sim_cut(w->fabric, a, b, 0);
        e->kind = KINDS;
    }
    if (e->begun || w->now_ns < e->at_ns || w->result[a] != TA_AGAIN || w->killed[a]) return;
    e->begun = true;
    say(w, a, kind_names[e->kind]);
    if (e->kind == CUT) ta_sim_cut(w->fabric, a, b, 1);
    if (e->kind == BREAK && w->result[b] == TA_AGAIN && !w->killed[b]) ta_sim_break(w->fabric, a, b, w->now_ns);
    if (e->kind == STALL_SHORT || e->kind == STALL_LONG) w->asleep_until_ns[a] = e->until_ns;
    if (e->kind != KILL && e->kind != KILL_SILENT) return;
    bool told = e->kind == KILL;
    ta_sim_kill(w->fabric, a, w->now_ns, told ? 5 * ms : INT64_MAX / 4);
    w->killed[a] = true;
    w->killed_ns[a] = w->now_ns;
    if (told) atomic_store(&w->board.rows[a].ended, TA_ENDED_KNOWN);
}

static bool runs(const struct world *w, unsigned rank) { return w->result[rank] == TA_AGAIN && !w->killed[rank]; }

/* The dead are named in time by whoever is there. */
static void check_named(struct world *w) {
    for (unsigned r = 0; r < w->founders; r++) {
        if (!w->killed[r] || atomic_load(&w->board.rows[r].lost) != 0) continue;
        /* For somebody of whom not a word was heard the others wait longer: it may still be reading its data. */
        if (w->killed_ns[r] < 100 * ms || w->now_ns - w->killed_ns[r] <= named_within_ns) continue;
        for (unsigned p = 0; p < w->founders; p++)
            if (runs(w, p) && w->asleep_until_ns[p] == 0 && ta_replica_state(w->replica[p]) != TA_REPLICA_SAVING)
                complain(w, "replica %u did not name %u within three seconds", p, r);
    }
}

static bool turn(struct world *w, struct ta_sim_meeting *meeting) {
    bool running = false, moved = false;
    for (unsigned i = 0; i < w->n_events; i++) apply(w, &w->events[i]);
    if (w->joins_ns != 0 && w->now_ns >= w->joins_ns) {
        say(w, w->founders, "joins");
        open_replica(w, w->founders, meeting);
        w->joins_ns = 0;
    }
    if (w->stops && w->now_ns >= w->stop_ns)
        for (unsigned r = 0; r < w->founders && !w->told; r++)
            if (runs(w, r)) w->told = true, say(w, r, "is asked to stop"), ta_replica_stop(w->replica[r]);
    for (unsigned r = 0; r < w->n; r++) {
        if (!runs(w, r)) continue;
        running = true;
        if (w->now_ns < w->asleep_until_ns[r]) continue;
        w->turn = r;
        ta_status status = ta_replica_tick(w->replica[r], w->now_ns);
        moved |= status == TA_OK;
        if (status == TA_OK || status == TA_AGAIN) continue;
        w->result[r] = status;
        if (w->w[r] != NULL) memcpy(w->weights[r], w->w[r], sizeof w->weights[r]);
        say(w, r, ta_status_name(status));
        ta_replica_close(w->replica[r]);
        w->replica[r] = NULL;
        atomic_store(&w->board.rows[r].ended, TA_ENDED_KNOWN);
    }
    int64_t next_ns = ta_sim_next_ns(w->fabric), soon_ns = w->now_ns + w->step_ns, latest_ns = w->now_ns + 20 * ms;
    w->now_ns = moved || next_ns < soon_ns ? soon_ns : next_ns < latest_ns ? next_ns : latest_ns;
    check_named(w);
    return running;
}

/* --- what must hold --- */

static bool survived(const struct world *w, unsigned rank) {
    return !w->killed[rank] && (w->result[rank] == TA_END || w->result[rank] == TA_REQUEUE) && w->w[rank] != NULL;
}

/* No fault, none that costs anybody his life, or all early enough for those who go on to do what is left. */
static bool all_is_done(const struct world *w) {
    if (w->stops || w->n > w->founders || w->batches <= w->founders + 1) return false;
    /* Somebody may have come to his last batch by then. */
    int64_t last_ns = w->end_ns / w->batches * (w->batches - w->founders - 1);
    for (unsigned i = 0; i < w->n_events; i++) {
        const struct event *e = &w->events[i];
        bool ends = e->kind == KILL || e->kind == KILL_SILENT || e->kind == STALL_LONG;
        int64_t known_ns = e->at_ns + (e->kind == KILL ? 500 : 4000) * ms;
        if (ends && (known_ns > last_ns || e->at_ns < 100 * ms)) return false;
        if (!ends && e->until_ns > last_ns - 1000 * ms) return false;
    }
    return true;
}

static void check_end(struct world *w) {
    unsigned first = w->n;
    uint64_t done = 0, counted = 0, sure = 0;
    for (unsigned r = 0; r < w->n; r++) {
        bool late = r >= w->founders || w->result[r] == TA_PEER;
        bool lost = w->killed[r] || (late && (w->result[r] == TA_PEER || w->result[r] == TA_CONFIG));
        if (!lost && w->result[r] != TA_END && w->result[r] != TA_REQUEUE)
            complain(w, "replica %u: %s", r, ta_status_name(w->result[r]));
        if (!survived(w, r)) continue;
        if (first == w->n) first = r;
        if (memcmp(w->weights[r], w->weights[first], w->batches * sizeof(float)) != 0)
            complain(w, "replicas %u and %u rest on different weights", first, r);
        if (atomic_load(&w->board.rows[r].done_records) > done) done = atomic_load(&w->board.rows[r].done_records);
    }
    if (first == w->n) return;
    for (unsigned b = 0; b < w->batches; b++) {
        unsigned by_living = 0, by_lost = 0, weight = (unsigned)w->weights[first][b];
        uint64_t records = b + 1 < w->batches ? BATCH : w->records - (uint64_t)b * BATCH;
        for (unsigned r = 0; r < w->n; r++) *(survived(w, r) ? &by_living : &by_lost) += w->trained[r][b];
        if (by_living > 1) complain(w, "batch %u was trained on %u times by those who survived", b, by_living);
        if (weight < by_living || weight > by_living + by_lost)
            complain(w, "batch %u counts %u times; the living trained on it %u times, the lost %u times", b, weight,
                     by_living, by_lost);
        counted += weight > 0 ? records : 0;
        sure += by_living > 0 ? records : 0;
    }
    bool ended = w->result[first] == TA_END;
    if (ended && (done > counted || done < sure))
        complain(w,
                 "%" PRIu64 " records are said to be done; %" PRIu64 " are in the weights, %" PRIu64 " by the living",
                 done, counted, sure);
    if (ended && all_is_done(w) && done != w->records)
        complain(w, "%" PRIu64 " of %" PRIu64 " records were done", done, w->records);
}

static void one_run(struct world *w, uint64_t seed) {
    struct ta_sim_meeting *meeting;
    assert_ok(ta_sim_meeting_open(&meeting));
    begin(w, seed, meeting);
    if (w->aloud)
        print_message("seed %" PRIu64 ": %u replicas, %u spares, %u batches in %.3f ms, %u faults\n", seed, w->founders,
                      w->n - w->founders, w->batches, (double)w->end_ns / 1e6, w->n_events);
    for (long turns = 0; turn(w, meeting); turns++)
        if (turns > MOST_TURNS) {
            for (unsigned r = 0; r < w->n; r++)
                if (runs(w, r))
                    print_message("replica %u: %s\n", r, ta_replica_state_name(ta_replica_state(w->replica[r])));
            complain(w, "no end");
        }
    check_end(w);
    for (unsigned r = 0; r < w->n; r++) ta_replica_close(w->replica[r]);
    ta_board_close(&w->board);
    ta_sim_destroy(w->fabric);
    ta_sim_meeting_close(meeting);
}

static void load(void) {
    char path[] = "/tmp/tensair-faults-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
    close(fd);
    assert_ok(ta_run_config_load(path, NULL, 0, &config));
    unlink(path);
    const struct ta_kernels_ops *cpu;
    assert_ok(ta_kernels_find("cpu", &cpu));
    assert_ok(cpu->open(&(struct ta_kernels_config){.threads = 1}, &kernels));
    kernel_ops = *cpu;
    kernel_ops.net_create = net_create;
    kernel_ops.net_destroy = net_destroy;
    kernel_ops.net_bytes = net_bytes;
    kernel_ops.predict = predict;
    kernel_ops.train = train;
    fake_open(&stream, &(struct fake_options){.records = UINT64_MAX, .c = 1, .bad_record = UINT64_MAX, .values = true});
}

static uint64_t first_seed, n_seeds = RUNS;

static void by_seed(void **state) {
    (void)state;
    static struct world w;
    the_world = &w;
    w.aloud = n_seeds == 1;
    load();
    for (uint64_t seed = first_seed; seed < first_seed + n_seeds; seed++) one_run(&w, seed);
    kernel_ops.close(kernels);
    ta_run_config_free(config);
}

int main(int argc, char **argv) {
    if (argc > 1) first_seed = strtoull(argv[1], NULL, 10), n_seeds = 1;
    if (argc > 2) n_seeds = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_seed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
