/* simulation: what a world is made from, and what is told of it. */
#include "simulation.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "world.h"

enum { OWN_OVERRIDES = 6, OF_METRICS = 2 };

ta_status ta_simulation_load(const char *path, const char *const *overrides, size_t n_overrides, unsigned n,
                             bool metrics, struct ta_run_config **out) {
    char replicas[32];
    snprintf(replicas, sizeof replicas, "run.replicas=%u", n);
    const char *const own[OWN_OVERRIDES] = {replicas, "run.spares=0", "transport.type=sim", "checkpoint.off=yes",
                                            "metrics.every_seconds=86400", "metrics.every_records=0"};
    const char **all;
    *out = NULL;
    ta_status status = TA_NEW(&all, n_overrides + OWN_OVERRIDES, "the command line");
    if (status != TA_OK) return status;
    for (size_t i = 0; i < n_overrides; i++) all[i] = overrides[i];
    size_t n_own = OWN_OVERRIDES - (metrics ? OF_METRICS : 0);
    for (size_t i = 0; i < n_own; i++) all[n_overrides + i] = own[i];
    status = ta_run_config_load(path, all, n_overrides + n_own, out);
    ta_mem_free(all);
    return status;
}

/* The checksum that all who came to the last rest share. */
static void find_agreement(const struct ta_world *w, struct ta_simulation_result *out) {
    out->agreed = ta_board_check_rest(&w->board) == TA_OK;
    for (unsigned r = 0; r < w->config->n && out->agreed; r++) {
        const struct ta_board_row *row = &w->board.rows[r];
        if (ta_board_get(row->finished) == 0 || ta_board_get(row->rest_round) == 0) continue;
        out->checksum = ta_board_get(row->checksum);
        return;
    }
}

static void add_up(const struct ta_world *w, struct ta_simulation_result *out) {
    struct ta_board_sum sum;
    ta_board_add_up(&w->board, &sum);
    struct ta_sim_counts counts = ta_sim_counts(w->fabric);
    bool classes = w->stream->info.label_kind == TA_LABEL_CLASS;
    out->finished = sum.finished;
    out->lost = w->config->n - sum.finished;
    if (sum.ended_ns > sum.started_ns) out->seconds = (double)(sum.ended_ns - sum.started_ns) / TA_NS_PER_S;
    out->records = sum.life_records;
    out->steps = sum.steps;
    out->skipped_steps = sum.skipped_steps;
    out->records_per_s = out->seconds > 0 ? (double)out->records / out->seconds : 0;
    out->accuracy = sum.records > 0 && classes ? (double)sum.hits / (double)sum.records : NAN;
    out->loss = sum.records > 0 ? sum.loss_sum / (double)sum.records : NAN;
    out->s_avg = sum.stale_count > 0 ? (double)sum.stale_sum / (double)sum.stale_count : 0;
    out->s_max = sum.stale_max;
    out->puts = counts.puts;
    out->bytes = counts.bytes;
    out->pieces = w->delivered;
    out->applies = w->applies;
    out->events = counts.puts + w->delivered + w->applies + sum.steps;
    for (unsigned r = 0; r < w->config->n; r++) out->held_bytes += ta_board_get(w->board.rows[r].held_bytes);
    find_agreement(w, out);
}

static ta_status judge(const struct ta_world *w, const struct ta_simulation_result *out) {
    if (!out->agreed) return ta_board_check_rest(&w->board);
    if (out->why[0] != '\0') {
        for (unsigned r = 0; r < w->config->n; r++) {
            ta_status result = w->members[r].result;
            if (result != TA_END && result != TA_REQUEUE && result != TA_PEER) return ta_fail(result, "%s", out->why);
        }
    }
    if (out->lost == 0) return TA_OK;
    return ta_fail(TA_PEER, "%u of %u simulated replicas were lost%s%s", out->lost, out->n,
                   out->why[0] != '\0' ? ": " : "", out->why);
}

static ta_status check(const struct ta_simulation_config *c) {
    if (c->n == 0 || c->n > TA_MAX_REPLICAS)
        return ta_fail(TA_CONFIG, "%u replicas cannot be simulated: 1 to %d can", c->n, TA_MAX_REPLICAS);
    if (!(c->machine.step_s > 0) || !(c->machine.predict_s > 0) || !(c->machine.bytes_per_s > 0) ||
        !(c->machine.jitter >= 0 && c->machine.jitter <= 3))
        return ta_fail(TA_CONFIG,
                       "a step of %g s, predictions in %g s, %g bytes/s of memory, jitter %g: times and bytes/s must "
                       "be above 0, jitter between 0 and 3",
                       c->machine.step_s, c->machine.predict_s, c->machine.bytes_per_s, c->machine.jitter);
    for (unsigned i = 0; i < c->n_slow; i++)
        if (c->slow[i].rank >= c->n || !(c->slow[i].factor > 0 && c->slow[i].factor <= 1e6))
            return ta_fail(TA_CONFIG,
                           "rank %u is to be %g times slower: ranks are 0 to %u, factors above 0 and at most 1e6",
                           c->slow[i].rank, c->slow[i].factor, c->n - 1);
    return TA_OK;
}

ta_status ta_simulate(const struct ta_simulation_config *config, struct ta_simulation_result *out) {
    *out = (struct ta_simulation_result){.n = config->n};
    int64_t begun_ns = ta_clock_now_ns();
    struct ta_world *w = NULL;
    ta_status status = check(config);
    if (status == TA_OK) status = TA_NEW(&w, 1, "a simulation");
    if (status != TA_OK) return status;
    status = ta_world_open(w, config, out);
    int64_t opened_ns = ta_clock_now_ns();
    if (status == TA_OK) status = ta_world_run(w);
    if (status == TA_OK) {
        out->real_s = (double)(ta_clock_now_ns() - opened_ns) / TA_NS_PER_S;
        out->open_s = (double)(opened_ns - begun_ns) / TA_NS_PER_S;
        out->compute_s = ta_timed_real_s(w->timed);
        add_up(w, out);
        status = judge(w, out);
    }
    ta_world_close(w);
    ta_mem_free(w);
    return status;
}
