/* drift_report: a list made from the configuration, and one read back from the metrics. */
#include "drift_report.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inject.h"
#include "mem.h"
#include "metrics.h"

enum { MOST_CHANGES = 4096 };

/* --- the truth --- */

/* Changes among the first `seen` records of the run, pass after pass. Freed by ta_mem_free. */
static ta_status list_changes(const struct ta_stream_spec *stream, uint64_t records, uint64_t seen,
                              struct ta_inject_truth **out, size_t *n) {
    *n = 0;
    ta_status status = TA_NEW(out, MOST_CHANGES, "the truth about drift");
    for (uint64_t pass = 0; status == TA_OK && pass < seen && *n < MOST_CHANGES; pass += records) {
        uint64_t left = seen - pass < records ? seen - pass : records;
        size_t room = MOST_CHANGES - *n, all;
        all = ta_inject_truth(stream->inject, stream->inject_count, left, *out + *n, room);
        if (all > room) all = room;
        for (size_t i = 0; i < all; i++) (*out)[*n + i].record += pass;
        *n += all;
        if (records == UINT64_MAX || records == 0 || all == 0) break;
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

/* --- the alarms --- */

struct alarms {
    uint64_t change[MOST_CHANGES], record[MOST_CHANGES];
    size_t n;
};

static void take_alarm(struct alarms *a, uint64_t change, uint64_t record) {
    size_t i = 0;
    while (i < a->n && a->change[i] != change) i++;
    if (i == MOST_CHANGES) return;
    if (i == a->n) {
        a->change[a->n++] = change;
        a->record[i] = record;
    }
    if (record < a->record[i]) a->record[i] = record;
}

static ta_status read_alarms(const char *path, struct alarms *out) {
    FILE *file = fopen(path, "re");
    if (file == NULL) return errno == ENOENT ? TA_OK : ta_fail_errno(TA_IO, "%s: cannot read it", path);
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, file) >= 0) {
        json_t *o = strstr(line, "\"drift\"") != NULL ? json_loads(line, 0, NULL) : NULL;
        const char *kind = json_string_value(json_object_get(o, "kind"));
        if (kind != NULL && strcmp(kind, "drift") == 0)
            take_alarm(out, (uint64_t)json_integer_value(json_object_get(o, "change")),
                       (uint64_t)json_integer_value(json_object_get(o, "record")));
        json_decref(o);
    }
    free(line);
    fclose(file);
    return TA_OK;
}

static int by_number(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

ta_status ta_drift_report_make(const struct ta_run_dir *dir, const struct ta_stream_spec *stream, uint64_t records,
                               uint64_t seen, struct ta_drift_report *out) {
    *out = (struct ta_drift_report){0};
    if (stream->inject_count == 0) return TA_OK;
    struct ta_inject_truth *truth = NULL;
    struct alarms *alarms = NULL;
    uint64_t *drifts = NULL;
    ta_status status = list_changes(stream, records, seen, &truth, &out->made);
    if (status == TA_OK) status = TA_NEW(&alarms, 1, "alarms");
    if (status == TA_OK) status = TA_NEW(&drifts, out->made + 1, "the truth about drift");
    for (unsigned node = 0; status == TA_OK; node++) {
        char path[TA_RUN_DIR_BYTES + 64];
        ta_metrics_path(path, sizeof path, dir->path, node);
        if (node > 0 && access(path, F_OK) != 0) break;
        status = read_alarms(path, alarms);
    }
    for (size_t i = 0; i < out->made && status == TA_OK; i++) drifts[i] = truth[i].record;
    if (status == TA_OK) {
        qsort(alarms->record, alarms->n, sizeof alarms->record[0], by_number);
        out->alarms = alarms->n;
        ta_alarms_score(drifts, out->made, alarms->record, alarms->n, 0, &out->score, NULL);
    }
    ta_mem_free(truth);
    ta_mem_free(alarms);
    ta_mem_free(drifts);
    return status;
}
