/* replica_report: what a replica says about itself: lines of metrics, its row of the board, events, its state on
 * request. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "jsonl.h"
#include "replica_internal.h"

enum {
    FEW_CLASSES = 20, /* told class by class */
    FEW_RANKS = 64,   /* each peer with its histogram */
};

static const char *const life_names[] = {"joining", "live", "left", "dead", "absent"};

void ta_replica_event(struct ta_replica *r, int64_t now_ns, const char *event, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ta_log_info(r->config.log, "%s: %s", event, text);
    json_t *line = ta_metrics_line(&r->metrics, "event", now_ns);
    if (line == NULL) return;
    json_object_set_new(line, "event", json_string(event));
    json_object_set_new(line, "text", json_string(text));
    if (r->state == TA_REPLICA_SETTLING || r->state == TA_REPLICA_FINISHING || r->state == TA_REPLICA_SNAPSHOT) {
        char hex[17];
        snprintf(hex, sizeof hex, "%016" PRIx64, (uint64_t)ta_board_get(ta_replica_row(r)->checksum));
        json_object_set_new(line, "round", json_integer(r->target));
        json_object_set_new(line, "steps", json_integer((json_int_t)ta_replica_total_steps(r)));
        json_object_set_new(line, "checksum", json_string(hex));
    }
    ta_metrics_write(&r->metrics, line);
}

void ta_replica_describe_model(const struct ta_replica *r, char *out, size_t bytes) {
    const struct ta_model *m = &r->model;
    if (ta_replica_of_words(r))
        snprintf(out, bytes, "%s of %" PRIu32 " words, %zu parameters",
                 m->words.type == TA_MODEL_CBOW ? "cbow" : "skipgram", m->words.rows, m->n_params);
    else
        snprintf(out, bytes, "%u layers, %u outputs, %zu parameters", m->n_layers, m->outputs, m->n_weights);
}

void ta_replica_look_at_peers(struct ta_replica *r, int64_t now_ns) {
    for (unsigned peer = 0; peer < r->config.n_ranks; peer++) {
        if (peer == r->config.rank || r->life[peer] == TA_PEER_DEAD || r->life[peer] == TA_PEER_LEFT) continue;
        struct ta_board_row *row = &r->config.board->rows[peer];
        /* Presumed is not known: then its silence towards us decides. */
        bool known = atomic_load_explicit(&row->ended, memory_order_acquire) == TA_ENDED_KNOWN;
        bool gone = known && ta_board_get(row->finished) == 0;
        r->exchange_ops->peer_stats(r->x, peer, &r->peer);
        if (gone && r->peer.life != TA_PEER_LEFT && r->peer.life != TA_PEER_DEAD) {
            r->exchange_ops->peer_lost(r->x, peer, now_ns);
            r->exchange_ops->peer_stats(r->x, peer, &r->peer);
        }
        if (r->life[peer] == TA_PEER_ABSENT && r->peer.life == TA_PEER_LIVE)
            ta_replica_event(r, now_ns, "peer_joined", "spare %u has joined", peer);
        r->life[peer] = (unsigned char)r->peer.life;
        if (r->peer.life != TA_PEER_DEAD) continue;
        struct ta_board_row *own = ta_replica_row(r);
        if (r->writer != NULL) ta_checkpoint_lost(r->writer, peer);
        ta_board_set(row->lost, 1);
        ta_board_set(own->peers_lost, ta_board_get(own->peers_lost) + 1);
        ta_replica_event(r, now_ns, "peer_lost",
                         "peer %u is gone after %" PRIu64 " steps of its own that reached us; what is left "
                         "of its share is %s",
                         peer, r->peer.steps_applied,
                         ta_replica_takes_over(r) ? "for the survivors" : "not trained in this life");
    }
}

/* Resident memory of this process, from the kernel. */
static json_int_t rss_bytes(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) return 0;
    if (fscanf(file, "%*s %ld", &pages) != 1) pages = 0;
    fclose(file);
    return (json_int_t)pages * sysconf(_SC_PAGESIZE);
}

/* What the four large holders of memory hold, and what the design derives for them: registers of d floats
 * (of live: peers + 4), the optimizer's state, the activations, the ring. The gradient is ours; it is one of the 4. A
 * word model needs neither gradient nor optimizer, and no w0 while its tables start from a seed, but w as it was last
 * folded into the delta; without peers w alone. */
static void count_words_memory(struct ta_replica *r) {
    uint64_t d = r->model.n_params * sizeof(float);
    uint64_t rest = ta_replayer_bytes(r->replayer) + ta_replica_words_bytes(&r->words), peers = r->config.n_ranks - 1;
    ta_board_set(ta_replica_row(r)->held_bytes, r->exchange_ops->bytes(r->x) + rest);
    uint64_t registers = peers > 0 ? peers + 3 + (r->x->w0 != NULL) : 1;
    ta_board_set(ta_replica_row(r)->derived_bytes, registers * d + rest);
}

static void count_memory(struct ta_replica *r) {
    uint64_t d = r->model.n_params * sizeof(float), ring = ta_replayer_bytes(r->replayer);
    uint64_t net = r->kernel_ops->net_bytes(r->net), optimizer = ta_optimizer_bytes(&r->optimizer);
    uint64_t held = r->exchange_ops->bytes(r->x) + d + optimizer + net + ring;
    uint64_t state = (uint64_t)((r->optimizer.m != NULL) + (r->optimizer.v != NULL)) * d;
    ta_board_set(ta_replica_row(r)->held_bytes, held);
    ta_board_set(ta_replica_row(r)->derived_bytes, r->x->n_registers * d + state + net + ring);
}

struct totals {
    uint64_t puts, bytes, rows, busy, stale_count, stale_max;
    double stale_sum;
    uint64_t stale_bin[TA_STALE_BINS];
};

static void add_histogram(json_t *object, const struct ta_hist *staleness) {
    uint64_t bins[TA_STALE_BINS];
    ta_stale_bins_of(staleness, bins);
    json_object_set_new(object, "staleness", ta_stale_json(bins, staleness->max));
}

/* Of all our gradients. Where the exchange does not count gradient by gradient: a gradient is stale by what all peers
 * had made, so means add up, counts do not. */
static void add_up_staleness(struct ta_replica *r, struct totals *t) {
    const struct ta_hist *all = r->x->staleness;
    if (all != NULL) {
        t->stale_sum = all->sum;
        t->stale_count = all->count;
        t->stale_max = all->max;
        ta_stale_bins_of(all, t->stale_bin);
        return;
    }
    for (unsigned peer = 0; peer < r->config.n_ranks; peer++) {
        const struct ta_hist *its = &r->peer.staleness;
        uint64_t bins[TA_STALE_BINS];
        if (peer == r->config.rank) continue;
        r->exchange_ops->peer_stats(r->x, peer, &r->peer);
        ta_stale_bins_of(its, bins);
        t->stale_sum += its->sum;
        if (its->count > t->stale_count) t->stale_count = its->count;
        if (its->max > t->stale_max) t->stale_max = its->max;
        for (unsigned b = 0; b < TA_STALE_BINS; b++) t->stale_bin[b] += bins[b];
    }
}

static json_t *list_peers(struct ta_replica *r, struct totals *t) {
    json_t *list = json_array();
    for (unsigned peer = 0; peer < r->config.n_ranks; peer++) {
        if (!ta_replica_meets(r, peer)) continue;
        struct ta_peer_stats *s = &r->peer;
        r->exchange_ops->peer_stats(r->x, peer, s);
        if (s->life == TA_PEER_ABSENT) continue;
        t->puts += s->puts;
        t->bytes += s->bytes;
        t->rows += s->rows;
        t->busy += s->busy;
        json_t *one = json_pack("{s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:I}", "rank", (int)peer,
                                "life", life_names[s->life], "puts", (json_int_t)s->puts, "bytes", (json_int_t)s->bytes,
                                "rows", (json_int_t)s->rows, "busy", (json_int_t)s->busy, "applied",
                                (json_int_t)s->steps_applied, "acked", (json_int_t)s->steps_acked, "s_avg",
                                ta_hist_mean(&s->staleness), "s_p50", (json_int_t)ta_hist_percentile(&s->staleness, 50),
                                "s_p99", (json_int_t)ta_hist_percentile(&s->staleness, 99), "s_max",
                                (json_int_t)s->staleness.max);
        if (r->config.n_ranks <= FEW_RANKS) add_histogram(one, &s->staleness);
        json_array_append_new(list, one);
    }
    add_up_staleness(r, t);
    return list;
}

static void show(struct ta_replica *r, const struct totals *t, const struct ta_replayer_stats *stream) {
    struct ta_board_row *row = ta_replica_row(r);
    ta_board_set(row->puts, t->puts);
    ta_board_set(row->put_bytes, t->bytes);
    ta_board_set(row->put_rows, t->rows);
    ta_board_set(row->stale_count, t->stale_count);
    ta_board_set(row->stale_sum, (uint64_t)t->stale_sum);
    ta_board_set(row->stale_max, t->stale_max);
    for (unsigned b = 0; b < TA_STALE_BINS; b++) ta_board_set(row->stale_bin[b], t->stale_bin[b]);
    for (unsigned p = 0; p < TA_PHASES; p++)
        ta_board_set(row->phase_ns[p],
                     ta_board_get(row->phase_ns[p]) + (uint64_t)(r->phase_ns[p] > 0 ? r->phase_ns[p] : 0));
    ta_board_set(row->dropped, r->base_dropped + stream->dropped_records);
    ta_board_set(row->starved, stream->starved);
    /* Without due times there is nothing to be late for. */
    ta_board_set(row->lag_ns, r->run->pace.pace == TA_PACE_MAX ? -1 : stream->lag_ns);
}

static void set_real(json_t *line, const char *key, double value) {
    json_object_set_new(line, key, ta_json_real(value));
}

static void set_count(json_t *line, const char *key, uint64_t value) {
    json_object_set_new(line, key, json_integer((json_int_t)value));
}

static void add_scores(struct ta_replica *r, json_t *line) {
    bool classes = r->info.label_kind == TA_LABEL_CLASS;
    set_real(line, "loss", ta_score_window_loss(&r->score));
    set_real(line, "accuracy", classes ? ta_score_window_accuracy(&r->score) : NAN);
    set_real(line, "fading_accuracy", classes ? ta_score_fading_accuracy(&r->score) : NAN);
    set_real(line, "loss_mean", ta_replica_online_mean_loss(r));
    set_real(line, "loss_all", ta_score_loss(&r->score));
    set_real(line, "accuracy_all", classes ? ta_score_accuracy(&r->score) : NAN);
}

static void add_agreement(struct ta_replica *r, json_t *line) {
    struct ta_agreement_view v, all;
    if (r->online.agreement.classes == 0) return;
    ta_agreement_window(&r->online.agreement, &v);
    ta_agreement_all(&r->online.agreement, &all);
    set_real(line, "kappa_all", all.kappa);
    set_real(line, "kappa", v.kappa);
    set_real(line, "kappa_temporal", v.kappa_temporal);
    set_real(line, "kappa_majority", v.kappa_majority);
    set_real(line, "majority", v.majority);
    set_real(line, "no_change", v.no_change);
    if (r->online.agreement.classes > FEW_CLASSES) return;
    json_t *recall = json_array();
    for (uint32_t c = 0; c < r->online.agreement.classes; c++)
        json_array_append_new(recall, ta_json_real(ta_agreement_recall(&r->online.agreement, c)));
    json_object_set_new(line, "recall", recall);
}

static void add_cycle(struct ta_replica *r, json_t *line) {
    if (!r->online.watches) return;
    set_count(line, "record", r->online.trail.record);
    set_count(line, "change", r->online.cycle.number);
    json_object_set_new(line, "training", json_boolean(ta_cycle_trains(&r->online.cycle)));
    set_count(line, "alarms", r->online.cycle.alarms);
}

static void add_counts(struct ta_replica *r, json_t *line, const struct totals *t,
                       const struct ta_replayer_stats *stream) {
    set_real(line, "lag_s", r->run->pace.pace == TA_PACE_MAX ? NAN : (double)stream->lag_ns / TA_NS_PER_S);
    set_count(line, "dropped", r->base_dropped + stream->dropped_records);
    set_count(line, "starved", stream->starved);
    set_count(line, "unlabelled", r->unlabelled);
    if (r->online.waiting.room > 0) {
        set_count(line, "waiting", r->online.waiting.held);
        set_count(line, "waiting_dropped", r->online.waiting.dropped);
    }
    set_count(line, "steps", r->x->steps);
    set_count(line, "skipped_steps", r->optimizer.skipped);
    set_real(line, "s_avg", t->stale_count > 0 ? t->stale_sum / (double)t->stale_count : 0);
    set_count(line, "s_max", t->stale_max);
    json_object_set_new(line, "staleness", ta_stale_json(t->stale_bin, t->stale_max));
    set_count(line, "puts", t->puts);
    set_count(line, "bytes", t->bytes);
    set_count(line, "rows", t->rows);
    set_count(line, "busy", t->busy);
    set_count(line, "rss_bytes", (uint64_t)rss_bytes());
    set_count(line, "held_bytes", ta_board_get(ta_replica_row(r)->held_bytes));
    set_count(line, "derived_bytes", ta_board_get(ta_replica_row(r)->derived_bytes));
}

static void add_words(struct ta_replica *r, json_t *line, double seconds) {
    struct ta_replica_words *w = &r->words;
    set_count(line, "words", w->words);
    set_real(line, "words_per_s", seconds > 0 ? (double)(w->words - w->reported_words) / seconds : NAN);
    set_count(line, "centres", w->centres);
    set_count(line, "pairs", w->pairs_made);
    w->reported_words = w->words;
    if (w->vocabulary == NULL) return;
    struct ta_vocabulary_stats stats;
    ta_vocabulary_stats(w->vocabulary, &stats);
    set_count(line, "vocabulary", stats.used);
    set_count(line, "admitted", stats.admitted);
    set_count(line, "evicted", stats.evicted);
    set_count(line, "garbled", stats.garbled);
}

void ta_replica_report(struct ta_replica *r, int64_t now_ns) {
    struct totals t = {0};
    struct ta_replayer_stats stream;
    ta_replayer_stats(r->replayer, &stream);
    json_t *peers = list_peers(r, &t), *line = ta_metrics_line(&r->metrics, "window", now_ns);
    show(r, &t, &stream);
    if (ta_replica_of_words(r)) count_words_memory(r);
    else count_memory(r);
    double seconds = (double)(now_ns - r->reported_ns) / TA_NS_PER_S;
    if (line != NULL) {
        set_count(line, "records", r->score.records);
        set_real(line, "records_per_s", seconds > 0 ? (double)(r->life_records - r->reported_records) / seconds : NAN);
        add_scores(r, line);
        add_agreement(r, line);
        add_cycle(r, line);
        add_counts(r, line, &t, &stream);
        if (ta_replica_of_words(r)) add_words(r, line, seconds);
        if (r->latency.all != NULL) json_object_set_new(line, "latency", ta_latencies_json(r->latency.all));
        for (int i = 0; i < TA_PHASES; i++) {
            char key[16];
            snprintf(key, sizeof key, "%s_s", ta_phase_names[i]);
            set_real(line, key, (double)r->phase_ns[i] / TA_NS_PER_S);
        }
        json_object_set(line, "peers", peers);
        ta_metrics_write(&r->metrics, line);
    }
    json_decref(peers);
    for (int i = 0; i < TA_PHASES; i++) r->phase_ns[i] = 0;
    r->reported_ns = now_ns;
    r->reported_records = r->life_records;
    r->report_ns = now_ns + (int64_t)(r->run->metrics.every_seconds * TA_NS_PER_S);
    /* A checkpoint that failed is told once and the run goes on: the next one may work. SAVING looks for itself. */
    if (r->writer == NULL || r->state == TA_REPLICA_SAVING || r->state == TA_REPLICA_DONE) return;
    ta_status status = ta_checkpoint_poll(r->writer, NULL, 0);
    if (status == TA_OK || status == TA_BUSY) return;
    ta_log_error(r->config.log, "checkpoint failed, the run goes on: %s", ta_why());
    ta_replica_event(r, now_ns, "checkpoint_failed", "%s", ta_why());
}

void ta_replica_print(struct ta_replica *r, int64_t now_ns) {
    struct ta_replayer_stats stream = {0};
    if (r->replayer != NULL) ta_replayer_stats(r->replayer, &stream); /* a spare outside has none yet */
    ta_log_warn(r->config.log,
                "state %s, %" PRIu64 " records scored, %" PRIu64 " steps, %" PRIu64 " dropped steps, lag %.3f s, "
                "round %" PRIu32 ", %.1f s of training",
                ta_replica_state_name(r->state), r->score.records, r->x->steps, r->optimizer.skipped,
                (double)stream.lag_ns / TA_NS_PER_S, r->round,
                r->start_ns == 0 ? 0 : (double)(now_ns - r->start_ns) / TA_NS_PER_S);
    for (unsigned peer = 0; peer < r->config.n_ranks; peer++) {
        if (!ta_replica_meets(r, peer)) continue;
        r->exchange_ops->peer_stats(r->x, peer, &r->peer);
        ta_log_warn(r->config.log,
                    "peer %u: %s, %" PRIu64 " of its steps applied here, %" PRIu64 " of ours applied there, "
                    "%" PRIu64 " puts, staleness %.2f",
                    peer, life_names[r->peer.life], r->peer.steps_applied, r->peer.steps_acked, r->peer.puts,
                    ta_hist_mean(&r->peer.staleness));
    }
}
