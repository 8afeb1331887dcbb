/* summary: the sum over the board, written twice. */
#include "summary.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "checkpoint.h"
#include "clock.h"
#include "devices.h"
#include "jsonl.h"
#include "latency.h"
#include "mem.h"
#include "progress.h"

void ta_summary_find_checkpoint(struct ta_summary *s) {
    char folder[TA_RUN_DIR_BYTES + 16];
    snprintf(folder, sizeof folder, "%s/checkpoint", s->dir->path);
    s->checkpoint[0] = '\0';
    struct ta_checkpoint_info *info;
    if (TA_NEW(&info, 1, "the checkpoint") != TA_OK) return;
    if (ta_checkpoint_latest(folder, NULL, info) == TA_OK) memcpy(s->checkpoint, info->path, sizeof s->checkpoint);
    ta_mem_free(info);
}

void ta_summary_find_latency(struct ta_summary *s, uint32_t life) {
    struct ta_latencies *all;
    unsigned found = 0;
    s->latency = NULL;
    if (TA_NEW(&all, 1, "latencies") != TA_OK) return;
    ta_status status = ta_latencies_gather(all, s->dir->path, life, s->board->n_rows, &found);
    if (status == TA_OK && found > 0) s->latency = ta_latencies_json(all);
    ta_mem_free(all);
}

struct figures {
    struct ta_board_sum sum;
    double seconds, rate, words_rate, accuracy, loss, s_avg;
};

static struct figures figure(const struct ta_summary *s) {
    struct figures f = {0};
    ta_board_add_up(s->board, &f.sum);
    if (f.sum.started_ns != 0 && f.sum.ended_ns > f.sum.started_ns)
        f.seconds = (double)(f.sum.ended_ns - f.sum.started_ns) / TA_NS_PER_S;
    f.rate = f.seconds > 0 ? (double)f.sum.life_records / f.seconds : 0;
    f.words_rate = f.seconds > 0 ? (double)f.sum.words / f.seconds : 0;
    f.accuracy = f.sum.records > 0 && s->classes ? (double)f.sum.hits / (double)f.sum.records : NAN;
    f.loss = f.sum.records > 0 ? f.sum.loss_sum / (double)f.sum.records : NAN;
    f.s_avg = f.sum.stale_count > 0 ? (double)f.sum.stale_sum / (double)f.sum.stale_count : 0;
    return f;
}

/* Of ranks from..to - 1 those that are lost, or, of spares, those that have joined. */
static bool is_listed(const struct ta_board_row *row, bool joined) {
    if (joined) return ta_board_get(row->started_ns) != 0;
    return ta_board_get(row->finished) == 0 &&
           (ta_board_get(row->ended) == TA_ENDED_KNOWN || ta_board_get(row->lost) != 0);
}

static json_t *list_ranks(const struct ta_summary *s, bool joined) {
    json_t *list = json_array();
    unsigned from = joined ? s->replicas : 0, to = joined ? s->board->n_rows : s->replicas;
    for (unsigned r = from; r < to; r++)
        if (is_listed(&s->board->rows[r], joined)) json_array_append_new(list, json_integer(r));
    return list;
}

/* " (ranks 2 3)"; nothing for none. */
static void print_ranks(const struct ta_summary *s, bool joined, FILE *out) {
    json_t *list = list_ranks(s, joined), *rank;
    size_t i, n = json_array_size(list);
    if (n > 0) fprintf(out, n == 1 ? " (rank" : " (ranks");
    json_array_foreach(list, i, rank) fprintf(out, " %d", (int)json_integer_value(rank));
    fprintf(out, n > 0 ? ")\n" : "\n");
    json_decref(list);
}

unsigned ta_summary_joined(const struct ta_summary *s) {
    json_t *list = list_ranks(s, true);
    unsigned n = (unsigned)json_array_size(list);
    json_decref(list);
    return n;
}

/* Of the time of all replicas together. */
static double recording_share(const struct ta_summary *s, const struct figures *f) {
    double all_s = f->seconds * s->replicas;
    return all_s > 0 ? (double)f->sum.recording_ns / TA_NS_PER_S / all_s : 0;
}

static void print_recording(const struct ta_summary *s, const struct figures *f, FILE *out) {
    if (f->sum.recorded_bytes == 0) return;
    fprintf(out, "recording    %.1f %% of the time, %.1f kB per replica\n", 100 * recording_share(s, f),
            (double)f->sum.recorded_bytes / s->replicas / 1e3);
}

static void print_oddities(const struct ta_summary *s, const struct figures *f, FILE *out) {
    char text[27], all[27];
    if (f->sum.dropped > 0)
        fprintf(out, "dropped      %s records came too late\n", ta_progress_group(f->sum.dropped, text));
    if (f->sum.unlabelled > 0)
        fprintf(out, "unlabelled   %s records were predicted only\n", ta_progress_group(f->sum.unlabelled, text));
    if (f->sum.skipped_steps > 0)
        fprintf(out, "skipped      %s steps: the gradient was not finite\n",
                ta_progress_group(f->sum.skipped_steps, text));
    if (s->lost > 0) {
        fprintf(out, "lost         %u of %u replicas", s->lost, s->replicas);
        print_ranks(s, false, out);
    }
    if (ta_summary_joined(s) > 0) {
        fprintf(out, "joined       %u", ta_summary_joined(s));
        print_ranks(s, true, out);
    }
    if (f->sum.trained < f->sum.life_records)
        fprintf(out, "trained on   %s of %s records\n", ta_progress_group(f->sum.trained, text),
                ta_progress_group(f->sum.life_records, all));
    if (s->untrained > 0)
        fprintf(out, "untrained    %s records that nobody trained on\n", ta_progress_group(s->untrained, text));
}

static void phases_of(const struct figures *f, double times[TA_PHASES]) {
    for (int i = 0; i < TA_PHASES; i++) times[i] = (double)f->sum.phase_ns[i];
}

/* Where the time went, of all replicas together, and what may be done about it. */
static void print_phases(const struct figures *f, FILE *out) {
    double times[TA_PHASES];
    char text[256];
    phases_of(f, times);
    ta_phases_print(times, text, sizeof text);
    if (text[0] != '\0') fprintf(out, "time         %s\n", text);
    ta_phases_advise(times, f->sum.lag_ns >= 0, text, sizeof text);
    if (text[0] != '\0') fprintf(out, "slowed by    %s\n", text);
}

static void add_phases(const struct figures *f, json_t *summary) {
    double times[TA_PHASES];
    char text[256];
    phases_of(f, times);
    json_t *o = json_object();
    for (int i = 0; i < TA_PHASES; i++) json_object_set_new(o, ta_phase_names[i], ta_json_real(times[i] / TA_NS_PER_S));
    json_object_set_new(summary, "phases_s", o);
    ta_phases_advise(times, f->sum.lag_ns >= 0, text, sizeof text);
    json_object_set_new(summary, "slowed_by", text[0] != '\0' ? json_string(text) : json_null());
}

static uint64_t p99_of(const struct figures *f) { return ta_stale_percentile(f->sum.stale_bin, f->sum.stale_max, 99); }

static void print_latency(const json_t *latency, FILE *out) {
    fprintf(out, "latency      ");
    for (unsigned m = 0; m < TA_MOMENTS; m++) {
        const json_t *o = json_object_get(latency, ta_moment_names[m]);
        if (o == NULL) continue;
        fprintf(out, "%s %.2f / %.2f ms  ", ta_moment_names[m], 1e3 * json_number_value(json_object_get(o, "p50_s")),
                1e3 * json_number_value(json_object_get(o, "p99_s")));
    }
    fprintf(out, "(from due times: median / 99 %%)\n");
}

void ta_summary_print(const struct ta_summary *s, FILE *out) {
    struct figures f = figure(s);
    char records[27], rate[27], window[27];
    fprintf(out, "records      %s\n", ta_progress_group(f.sum.records, records));
    fprintf(out, "rate         %s records/s over %.1f s, %u replica%s\n", ta_progress_group((uint64_t)f.rate, rate),
            f.seconds, s->replicas, s->replicas == 1 ? "" : "s");
    if (f.sum.words > 0)
        fprintf(out, "words        %s, %s words/s\n", ta_progress_group(f.sum.words, records),
                ta_progress_group((uint64_t)f.words_rate, rate));
    if (s->classes && f.sum.records > 0)
        fprintf(out, "accuracy     %.2f %% prequential, %.2f %% over the last %s records of each replica\n",
                100 * f.accuracy, 100 * f.sum.window_accuracy, ta_progress_group(s->window, window));
    if (f.sum.records > 0)
        fprintf(out, "loss         %.5f prequential, %.5f over the last\n", f.loss, f.sum.window_loss);
    fprintf(out, "staleness    S_avg %.3f, S_max %" PRIu64 ", p99 %" PRIu64 "\n", f.s_avg, f.sum.stale_max, p99_of(&f));
    ta_devices_print(s->board, out);
    print_phases(&f, out);
    if (json_object_size(s->latency) > 0) print_latency(s->latency, out);
    print_oddities(s, &f, out);
    print_recording(s, &f, out);
    if (s->drift.made > 0) ta_drift_report_print(&s->drift, out);
    fprintf(out, "checkpoint   %s\n", s->checkpoint[0] != '\0' ? s->checkpoint : "none");
    fprintf(out, "metrics      %s/metrics.jsonl\n", s->dir->path);
    fflush(out);
}

json_t *ta_summary_json(const struct ta_summary *s) {
    struct figures f = figure(s);
    json_t *o = json_pack("{s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:I}", "records",
                          (json_int_t)f.sum.records, "seconds", f.seconds, "records_per_s", f.rate, "steps",
                          (json_int_t)f.sum.steps, "skipped_steps", (json_int_t)f.sum.skipped_steps, "dropped",
                          (json_int_t)f.sum.dropped, "unlabelled", (json_int_t)f.sum.unlabelled, "puts",
                          (json_int_t)f.sum.puts, "bytes", (json_int_t)f.sum.put_bytes, "replicas", (int)s->replicas,
                          "lost", (int)s->lost, "exit_code", s->exit_code, "s_max", (json_int_t)f.sum.stale_max);
    if (o == NULL) return NULL;
    json_object_set_new(o, "accuracy_all", ta_json_real(f.accuracy));
    json_object_set_new(o, "accuracy", ta_json_real(s->classes ? f.sum.window_accuracy : NAN));
    json_object_set_new(o, "loss_all", ta_json_real(f.loss));
    json_object_set_new(o, "loss", ta_json_real(f.sum.window_loss));
    if (f.sum.words > 0) {
        json_object_set_new(o, "words", json_integer((json_int_t)f.sum.words));
        json_object_set_new(o, "words_per_s", ta_json_real(f.words_rate));
        json_object_set_new(o, "rows", json_integer((json_int_t)f.sum.put_rows));
    }
    if (s->drift.made > 0) json_object_set_new(o, "drift", ta_drift_report_json(&s->drift));
    if (f.sum.recorded_bytes > 0) {
        json_object_set_new(o, "recording_share", ta_json_real(recording_share(s, &f)));
        json_object_set_new(o, "recorded_bytes", json_integer((json_int_t)f.sum.recorded_bytes));
    }
    json_object_set_new(o, "trained", json_integer((json_int_t)f.sum.trained));
    if (s->latency != NULL) json_object_set(o, "latency", s->latency);
    json_object_set_new(o, "untrained", json_integer((json_int_t)s->untrained));
    json_object_set_new(o, "lost_ranks", list_ranks(s, false));
    json_object_set_new(o, "joined_ranks", list_ranks(s, true));
    json_object_set_new(o, "s_avg", ta_json_real(f.s_avg));
    json_object_set_new(o, "s_p99", json_integer((json_int_t)p99_of(&f)));
    json_object_set_new(o, "staleness", ta_stale_json(f.sum.stale_bin, f.sum.stale_max));
    json_object_set_new(o, "devices", ta_devices_json(s->board));
    add_phases(&f, o);
    json_object_set_new(o, "checkpoint", s->checkpoint[0] != '\0' ? json_string(s->checkpoint) : json_null());
    return o;
}
