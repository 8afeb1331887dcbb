/* metrics: RUN_DIR/metrics.jsonl, one JSON object a line, appended to by all replicas of a run (and its later lives).
 * Replicas on node K > 0 have RUN_DIR/metrics-0000K.jsonl: what two machines append to one file of a network file
 * system may be lost.
 *
 * Each line is one write(2) to a descriptor opened with O_APPEND, so lines of different processes do not mix; the last
 * line of a killed run may be torn. Numbers that do not exist (accuracy before the first record) are null.
 *
 * Every line: schema (1), kind, rank (-1: the launcher), epoch (life of the run), t_s (monotonic seconds since training
 * began in this life), wall (UTC).
 * kind "window", every metrics.every_seconds, or every_records if that is sooner, a replica:
 *     records            scored so far, former lives included
 *     records_per_s      since the line before
 *     loss, accuracy     of the last metrics.window records, before training on them (test, then train)
 *     fading_accuracy    fading factor metrics.fading
 *     loss_mean          mean of `loss` over the live replicas, as they told each other through their windows; by it a
 *                        plateau is judged (cycle.h)
 *     loss_all, accuracy_all     over everything scored
 *     lag_s              behind the due time, at the last batch; null with pace max, which knows no due times
 *     latency            of this life, with due times: {predicted, trained, visible: {count, mean_s, p50_s, p90_s, p99_s,
 *                        p99.9_s, max_s}} (latency.h)
 *     dropped            records dropped (on_overload: drop); starved: times the reader was late
 *     unlabelled         records without a label: predicted, not trained on
 *     steps, skipped_steps       local steps made; dropped because the gradient was not finite
 *     s_avg, s_max       staleness: steps made elsewhere that were missing from the weights of a gradient, all peers together:
 *                        mean and most over the gradients of this life
 *     staleness          [[value, gradients], ...] the same as a histogram, not per window: what adds up over replicas
 *                        exactly (stale_bins.h: exact below 32, then the highest value of a bin)
 *     peers              [{rank, life, puts, bytes, busy, applied, acked, s_avg, s_p50, s_p99, s_max, staleness}]
 *                        staleness towards each alone; as a histogram with at most 64 replicas
 *     puts, bytes, busy  sums over peers
 *     stream_s, predict_s, compute_s, apply_s, put_s, wait_s, rest_s, idle_s      where the time went since the line before
 *     rows               of tables put to peers; in `bytes` too
 *     words, words_per_s, centres, pairs     word models: words read that have a row, in this life; those trained on after
 *                        sub-sampling; products of two vectors
 *     vocabulary, admitted, evicted, garbled  online vocabulary: rows in use; this keeper's decisions; words not UTF-8
 *     rss_bytes          resident memory of the process; held_bytes, derived_bytes: what exchange, optimizer, net and ring hold,
 *                        and what the design allows for them
 *     kappa_all          of classes, over this life
 *     kappa, kappa_temporal, kappa_majority     of classes, over the window (agreement.h); majority, no_change: accuracies of
 *                        the baselines; recall: class by class, where there are at most 20
 *     waiting, waiting_dropped   records that wait for their labels; those given up
 *     record, change, training, alarms   where there is a detector: last record of the stream predicted, number of changes,
 *                        whether it trains, its own alarms (cycle.h)
 * kind "drift": our own detector's alarm: record, change
 * kind "mode": the cycle went on: record (last one predicted), change, training
 * kind "stretch": where drift is made to order, see drift_trail.h
 * kind "event": event (start, transport, stop, rest, peer_lost, takeover, untrained, path_broken, path_restored,
 *     checkpoint_failed,
 *     disagreement, mode, converged, drift, drift_warning, answer_failed), text, and for `rest`: round, steps
 *     (all replicas), checksum (XXH3 of w, hex: equal on all replicas at rest). The last round is 4294967295.
 * kind "summary", once at the end by the launcher or the single replica: records, seconds, records_per_s, accuracy_all,
 *     accuracy, loss_all, s_avg, s_max, steps, skipped_steps, dropped, unlabelled, puts, bytes, replicas, lost, exit_code,
 *     words, words_per_s, rows (word models),
 *     trained (records trained on in this life, each counted once),
 *     drift (made to order, see drift_report.h),
 *     latency (as in a window, of all replicas), s_p99, staleness (of all gradients of all replicas),
 *     phases_s (seconds of all replicas, by phase: stream, predict, ...), slowed_by (a sentence, or null: phases.h),
 *     untrained (records that nobody has trained on, as some replica was lost), checkpoint (path or null).
 */
#ifndef TA_METRICS_H
#define TA_METRICS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

struct ta_metrics {
    int fd; /* -1: nobody listens */
    int rank;
    uint32_t epoch;
    int64_t start_ns;
};

/* The file of a node. */
void ta_metrics_path(char *out, size_t bytes, const char *run_dir, unsigned node);
/* Opens for appending. Errors: IO. `path` NULL: lines go nowhere. */
ta_status ta_metrics_open(struct ta_metrics *m, const char *path, int rank);
void ta_metrics_close(struct ta_metrics *m);

/* A new line with the common fields; NULL when memory ran out (ta_metrics_write takes that). */
json_t *ta_metrics_line(const struct ta_metrics *m, const char *kind, int64_t now_ns);
/* Appends `line` and drops it. What cannot be written is lost: metrics never stop a run. */
void ta_metrics_write(struct ta_metrics *m, json_t *line);
#endif
