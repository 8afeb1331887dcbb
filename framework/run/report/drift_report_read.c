/* drift_report_read: `drift` and `stretch` lines of the metrics. A life begins where a rank starts that had started
 * before.
 *
 * A life that began at a checkpoint sees records again that the one before had seen behind it: what was scored there is
 * forgotten, as the weights are; so are alarms raised there.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drift_report_internal.h"
#include "mem.h"
#include "metrics.h"
#include "run_config.h"

struct reader {
    struct ta_drift_lines *out;
    json_int_t now;   /* life */
    bool started[TA_MAX_REPLICAS];
    json_int_t *life; /* [room] of each stretch; owned */
    size_t room;
    struct {
        json_int_t life;
        uint64_t change;
    } of[TA_DRIFT_MOST]; /* of each alarm */
};

static uint64_t whole(const json_t *line, const char *key) {
    json_int_t value = json_integer_value(json_object_get(line, key));
    return value > 0 ? (uint64_t)value : 0;
}

static void take_start(struct reader *r, const json_t *line) {
    const char *event = json_string_value(json_object_get(line, "event"));
    uint64_t rank = whole(line, "rank");
    if (event == NULL || strcmp(event, "start") != 0 || rank >= TA_MAX_REPLICAS) return;
    if (r->started[rank]) {
        r->now++;
        memset(r->started, 0, sizeof r->started);
    }
    r->started[rank] = true;
}

static void take_alarm(struct reader *r, uint64_t change, uint64_t record) {
    struct ta_drift_lines *out = r->out;
    size_t i = 0;
    while (i < out->alarms && (r->of[i].change != change || r->of[i].life != r->now)) i++;
    if (i == TA_DRIFT_MOST) return;
    if (i == out->alarms) {
        r->of[i].life = r->now;
        r->of[i].change = change;
        out->alarm[out->alarms++] = record;
    }
    if (record < out->alarm[i]) out->alarm[i] = record;
}

static ta_status take_stretch(struct reader *r, const json_t *line) {
    struct ta_drift_lines *out = r->out;
    if (out->n_stretches == r->room) {
        size_t room = r->room > 0 ? 2 * r->room : 1024;
        ta_status status = ta_mem_resize((void **)&out->stretches, room * sizeof *out->stretches,
                                         "scores around drift");
        if (status == TA_OK) status = ta_mem_resize((void **)&r->life, room * sizeof *r->life, "scores around drift");
        if (status != TA_OK) return status;
        r->room = room;
    }
    const json_t *due = json_object_get(line, "due_s");
    r->life[out->n_stretches] = r->now;
    out->stretches[out->n_stretches++] = (struct ta_stretch){.first = whole(line, "first"),
                                                             .last = whole(line, "record"),
                                                             .records = (uint32_t)whole(line, "records"),
                                                             .hits = (uint32_t)whole(line, "hits"),
                                                             .trained = whole(line, "trained"),
                                                             .due_s = json_is_number(due) ? json_number_value(due)
                                                                                          : NAN};
    return TA_OK;
}

static ta_status take(struct reader *r, const json_t *line) {
    const char *kind = json_string_value(json_object_get(line, "kind"));
    if (kind != NULL && strcmp(kind, "drift") == 0)
        take_alarm(r, whole(line, "change"), whole(line, "record"));
    if (kind != NULL && strcmp(kind, "event") == 0) take_start(r, line);
    if (kind != NULL && strcmp(kind, "stretch") == 0) return take_stretch(r, line);
    return TA_OK;
}

static ta_status read_file(struct reader *r, const char *path) {
    FILE *file = fopen(path, "re");
    if (file == NULL) return errno == ENOENT ? TA_OK : ta_fail_errno(TA_IO, "%s: cannot read it", path);
    char *line = NULL;
    size_t room = 0;
    ta_status status = TA_OK;
    while (status == TA_OK && getline(&line, &room, file) >= 0) {
        bool ours = strstr(line, "\"drift\"") != NULL || strstr(line, "\"stretch\"") != NULL ||
                    strstr(line, "\"start\"") != NULL;
        json_t *object = ours ? json_loads(line, 0, NULL) : NULL;
        if (object != NULL) status = take(r, object);
        json_decref(object);
    }
    free(line);
    fclose(file);
    return status;
}

/* The first record of the lives after this one. */
static uint64_t begun_again(const struct reader *r, json_int_t life) {
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < r->out->n_stretches; i++)
        if (r->life[i] > life && r->out->stretches[i].first < first) first = r->out->stretches[i].first;
    return first;
}

static void forget(struct reader *r) {
    struct ta_drift_lines *out = r->out;
    json_int_t last = 0;
    for (size_t i = 0; i < out->n_stretches; i++)
        if (r->life[i] > last) last = r->life[i];
    for (json_int_t life = 0; life < last; life++) {
        uint64_t limit = begun_again(r, life);
        size_t kept = 0;
        for (size_t i = 0; i < out->n_stretches; i++) {
            if (r->life[i] == life && out->stretches[i].last >= limit) continue;
            out->stretches[kept] = out->stretches[i];
            r->life[kept++] = r->life[i];
        }
        out->n_stretches = kept;
        kept = 0;
        for (size_t i = 0; i < out->alarms; i++) {
            if (r->of[i].life == life && out->alarm[i] >= limit) continue;
            out->alarm[kept] = out->alarm[i];
            r->of[kept++] = r->of[i];
        }
        out->alarms = kept;
    }
}

static int by_number(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

ta_status ta_drift_lines_read(const struct ta_run_dir *dir, struct ta_drift_lines *out) {
    struct reader *r;
    *out = (struct ta_drift_lines){0};
    ta_status status = TA_NEW(&r, 1, "what the metrics say of drift");
    if (status != TA_OK) return status;
    r->out = out;
    for (unsigned node = 0; status == TA_OK; node++) {
        char path[TA_RUN_DIR_BYTES + 64];
        ta_metrics_path(path, sizeof path, dir->path, node);
        if (node > 0 && access(path, F_OK) != 0) break;
        memset(r->started, 0, sizeof r->started);
        r->now = 0;
        status = read_file(r, path);
    }
    forget(r);
    ta_stretches_sort(out->stretches, out->n_stretches);
    qsort(out->alarm, out->alarms, sizeof out->alarm[0], by_number);
    ta_mem_free(r->life);
    ta_mem_free(r);
    return status;
}

void ta_drift_lines_close(struct ta_drift_lines *lines) {
    ta_mem_free(lines->stretches);
    *lines = (struct ta_drift_lines){0};
}
