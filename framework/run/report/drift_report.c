/* drift_report: a list made from the configuration, and what the metrics say (drift_report_read.c) held against it. */
#include "drift_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "drift_report_internal.h"
#include "jsonl.h"
#include "mem.h"
#include "progress.h"

enum { MOST_TOLD = 256 };

/* --- the truth --- */

/* Whether a rule of the list holds where a pass ends: the next pass then begins with a change back. */
static bool holds_at_end(const struct ta_inject_truth *truth, size_t n, unsigned *change) {
    for (size_t i = n; i-- > 0;) {
        bool last = true;
        for (size_t k = i + 1; k < n; k++) last = last && truth[k].change != truth[i].change;
        *change = truth[i].change;
        if (last && truth[i].begins) return true;
    }
    return false;
}

/* Changes among the first `seen` records of the run, pass after pass. Freed by ta_mem_free. */
static ta_status list_changes(const struct ta_stream_spec *stream, uint64_t records, uint64_t seen,
                              struct ta_inject_truth **out, size_t *n) {
    unsigned change;
    *n = 0;
    ta_status status = TA_NEW(out, TA_DRIFT_MOST + 1, "the truth about drift");
    for (uint64_t pass = 0; status == TA_OK && pass < seen && *n < TA_DRIFT_MOST; pass += records) {
        uint64_t left = seen - pass < records ? seen - pass : records;
        if (pass > 0 && holds_at_end(*out, *n, &change))
            (*out)[(*n)++] = (struct ta_inject_truth){.record = pass, .change = change, .begins = 0};
        size_t room = TA_DRIFT_MOST - *n, all;
        all = ta_inject_truth(stream->inject, stream->inject_count, left, *out + *n, room);
        if (all > room) all = room;
        for (size_t i = 0; i < all; i++) (*out)[*n + i].record += pass;
        *n += all;
        if (records == UINT64_MAX || records == 0 || *n == 0) break;
    }
    return status;
}

ta_status ta_drift_truth_write(const struct ta_run_dir *dir, const struct ta_stream_spec *stream, uint64_t records,
                               uint64_t run_records) {
    struct ta_inject_truth *truth = NULL;
    size_t n;
    if (stream->inject_count == 0) return TA_OK;
    ta_status status = list_changes(stream, records, run_records > 0 ? run_records : UINT64_MAX, &truth, &n);
    json_t *list = json_array();
    for (size_t i = 0; i < n && status == TA_OK; i++) {
        const char *type = ta_inject_type_name(stream->inject[truth[i].change].type);
        json_array_append_new(list, json_pack("{s:I, s:I, s:s, s:b}", "record", (json_int_t)truth[i].record, "width",
                                              (json_int_t)truth[i].width, "type", type, "begins", truth[i].begins));
    }
    char *text = status == TA_OK ? json_dumps(list, JSON_INDENT(1)) : NULL;
    if (status == TA_OK && text == NULL) status = ta_fail(TA_NO_MEMORY, "the truth about drift");
    if (status == TA_OK) status = ta_run_dir_write(dir, "drift_truth.json", text);
    free(text);
    json_decref(list);
    ta_mem_free(truth);
    return status;
}

/* --- the score --- */

static ta_status score_alarms(const struct ta_drift_lines *lines, struct ta_drift_report *out) {
    uint64_t *drifts = NULL, *delays = NULL;
    ta_status status = TA_NEW(&drifts, out->made + 1, "drifts");
    if (status == TA_OK) status = TA_NEW(&delays, out->made + 1, "delays");
    if (status == TA_OK) {
        for (size_t i = 0; i < out->made; i++) drifts[i] = out->changes[i].truth.record;
        out->alarms = lines->alarms;
        ta_alarms_score(drifts, out->made, lines->alarm, lines->alarms, 0, &out->score, delays);
        for (size_t i = 0; i < out->made; i++) out->changes[i].delay = delays[i];
    }
    ta_mem_free(drifts);
    ta_mem_free(delays);
    return status;
}

static void score_recovery(const struct ta_drift_lines *lines, uint32_t window, struct ta_drift_report *out) {
    double records = 0, seconds = 0;
    for (size_t i = 0; i < out->made; i++) {
        struct ta_drift_change *c = &out->changes[i];
        struct ta_recovery_spec spec = {.drift = c->truth.record,
                                        .width = c->truth.width,
                                        .end = i + 1 < out->made ? c[1].truth.record : UINT64_MAX,
                                        .window = window,
                                        .fraction = TA_DRIFT_RECOVERED};
        ta_recovery_find(lines->stretches, lines->n_stretches, &spec, &c->recovery);
        if (c->recovery.records == UINT64_MAX) continue;
        out->recovered++;
        records += (double)c->recovery.records;
        seconds += c->recovery.seconds;
    }
    out->recovery = out->recovered > 0 ? records / (double)out->recovered : NAN;
    out->recovery_s = out->recovered > 0 ? seconds / (double)out->recovered : NAN;
}

ta_status ta_drift_report_make(const struct ta_run_dir *dir, const struct ta_run_config *config, uint64_t records,
                               uint64_t seen, struct ta_drift_report *out) {
    const struct ta_stream_spec *stream = &config->stream.spec;
    *out = (struct ta_drift_report){0};
    if (stream->inject_count == 0) return TA_OK;
    struct ta_inject_truth *truth = NULL;
    struct ta_drift_lines *lines = NULL;
    ta_status status = list_changes(stream, records, seen, &truth, &out->made);
    if (status == TA_OK) status = TA_NEW(&out->changes, out->made, "changes");
    if (status == TA_OK) status = TA_NEW(&lines, 1, "what the metrics say of drift");
    if (status == TA_OK) status = ta_drift_lines_read(dir, lines);
    for (size_t i = 0; i < out->made && status == TA_OK; i++)
        out->changes[i] = (struct ta_drift_change){.truth = truth[i], .type = stream->inject[truth[i].change].type};
    if (status == TA_OK) status = score_alarms(lines, out);
    if (status == TA_OK) score_recovery(lines, config->metrics.window, out);
    if (status != TA_OK) ta_drift_report_free(out);
    if (lines != NULL) ta_drift_lines_close(lines);
    ta_mem_free(lines);
    ta_mem_free(truth);
    return status;
}

void ta_drift_report_free(struct ta_drift_report *report) {
    ta_mem_free(report->changes);
    *report = (struct ta_drift_report){0};
}

/* --- telling it --- */

/* Values have no accuracy, and a run may end before its first window is full: then nothing is said of recovery. */
void ta_drift_report_print(const struct ta_drift_report *d, FILE *out) {
    char text[27];
    fprintf(out, "drift        %zu made, %" PRIu32 " found, %" PRIu32 " false alarm%s", d->made, d->score.found,
            d->score.false_alarms, d->score.false_alarms == 1 ? "" : "s");
    if (d->score.found > 0) fprintf(out, ", after %.0f records", d->score.delay);
    bool known = false;
    for (size_t i = 0; i < d->made; i++) known = known || !isnan(d->changes[i].recovery.before);
    fputc('\n', out);
    if (!known) return;
    fprintf(out, "recovered    from %zu of %zu to %.0f %% of the accuracy before", d->recovered, d->made,
            100 * TA_DRIFT_RECOVERED);
    if (d->recovered > 0) fprintf(out, ", after %s records", ta_progress_group((uint64_t)d->recovery, text));
    if (d->recovered > 0 && !isnan(d->recovery_s)) fprintf(out, " (%.3g s)", d->recovery_s);
    if (d->recovered < d->made) fprintf(out, "; never from %zu", d->made - d->recovered);
    fputc('\n', out);
}

static json_t *count_or_null(uint64_t value) {
    return value == UINT64_MAX ? json_null() : json_integer((json_int_t)value);
}

static json_t *change_json(const struct ta_drift_change *c) {
    const struct ta_recovery *r = &c->recovery;
    return json_pack("{s:I, s:I, s:s, s:b, s:o, s:o, s:o, s:o, s:I}", "record", (json_int_t)c->truth.record, "width",
                     (json_int_t)c->truth.width, "type", ta_inject_type_name(c->type), "begins", c->truth.begins,
                     "delay", count_or_null(c->delay), "before", ta_json_real(r->before), "recovery",
                     count_or_null(r->records), "recovery_s", ta_json_real(r->seconds), "trained",
                     (json_int_t)r->trained);
}

json_t *ta_drift_report_json(const struct ta_drift_report *d) {
    json_t *changes = json_array();
    for (size_t i = 0; i < d->made && i < MOST_TOLD; i++) json_array_append_new(changes, change_json(&d->changes[i]));
    return json_pack("{s:I, s:i, s:i, s:i, s:o, s:I, s:o, s:o, s:f, s:o}", "made", (json_int_t)d->made, "found",
                     (int)d->score.found, "missed", (int)d->score.missed, "false_alarms", (int)d->score.false_alarms,
                     "delay", ta_json_real(d->score.delay), "recovered", (json_int_t)d->recovered, "recovery",
                     ta_json_real(d->recovery), "recovery_s", ta_json_real(d->recovery_s), "fraction",
                     TA_DRIFT_RECOVERED, "changes", changes);
}
