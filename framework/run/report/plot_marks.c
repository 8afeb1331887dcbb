/* plot_marks: collected line by line, drawn as gnuplot's arrows and rectangles. */
#include "plot_marks.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define MADE "dt 2 lw 2 lc rgb '#c0392b'"
#define FOUND "lw 2 lc rgb '#1e8449'"
#define SHADE "#e6ecf5"

static uint64_t whole(const json_t *line, const char *key) {
    json_int_t value = json_integer_value(json_object_get(line, key));
    return value > 0 ? (uint64_t)value : 0;
}

/* Keeps the list in order of changes, and of each the earliest record. */
static void keep(struct ta_plot_mark *list, unsigned *n, struct ta_plot_mark mark) {
    unsigned i = *n;
    while (i > 0 && list[i - 1].change >= mark.change) i--;
    if (i < *n && list[i].change == mark.change) {
        if (mark.record < list[i].record) list[i].record = mark.record;
        return;
    }
    if (*n == TA_PLOT_MOST_MARKS) return;
    memmove(list + i + 1, list + i, (*n - i) * sizeof *list);
    list[i] = mark;
    (*n)++;
}

ta_status ta_plot_marks_truth(struct ta_plot_marks *m, const char *run_dir) {
    char path[4096];
    json_error_t error;
    if ((size_t)snprintf(path, sizeof path, "%s/drift_truth.json", run_dir) >= sizeof path || access(path, F_OK) != 0)
        return TA_OK;
    json_t *list = json_load_file(path, 0, &error), *entry;
    if (list == NULL) return ta_fail(TA_FORMAT, "%s:%d: not a list of drifts: %s", path, error.line, error.text);
    size_t i;
    json_array_foreach(list, i, entry) {
        if (m->n_made == TA_PLOT_MOST_MARKS) break;
        m->made[m->n_made++] = (struct ta_plot_mark){.record = whole(entry, "record")};
    }
    json_decref(list);
    return TA_OK;
}

void ta_plot_marks_take(struct ta_plot_marks *m, const json_t *line) {
    const char *kind = json_string_value(json_object_get(line, "kind"));
    if (kind == NULL) return;
    struct ta_plot_mark mark = {.change = whole(line, "change"),
                                .record = whole(line, "record"),
                                .training = json_is_true(json_object_get(line, "training"))};
    if (strcmp(kind, "drift") == 0) keep(m->found, &m->n_found, mark);
    if (strcmp(kind, "mode") == 0) keep(m->mode, &m->n_modes, mark);
    if (strcmp(kind, "window") == 0 && mark.record > m->last) m->last = mark.record;
}

static bool predicts(const struct ta_plot_marks *m) {
    for (unsigned i = 0; i < m->n_modes; i++)
        if (!m->mode[i].training) return true;
    return false;
}

static unsigned made_in_sight(const struct ta_plot_marks *m) {
    unsigned n = 0;
    while (n < m->n_made && m->made[n].record <= m->last) n++;
    return n;
}

static void line_at(FILE *file, uint64_t record, const char *look) {
    fprintf(file, "set arrow from %" PRIu64 ", graph 0 to %" PRIu64 ", graph 1 nohead front %s\n", record, record,
            look);
}

void ta_plot_marks_write(const struct ta_plot_marks *m, FILE *file) {
    for (unsigned i = 0; i < m->n_modes; i++) {
        uint64_t end = i + 1 < m->n_modes ? m->mode[i + 1].record : m->last;
        if (m->mode[i].training || end <= m->mode[i].record) continue;
        fprintf(file,
                "set object rectangle from %" PRIu64 ", graph 0 to %" PRIu64 ", graph 1 behind fs solid 1 border rgb "
                "'#b8c4d8' fc rgb '" SHADE "'\n",
                m->mode[i].record, end);
    }
    /* What was found at once lies under what was made: dashes let it through. */
    for (unsigned i = 0; i < m->n_found; i++) line_at(file, m->found[i].record, FOUND);
    for (unsigned i = 0; i < made_in_sight(m); i++) line_at(file, m->made[i].record, MADE);
}

void ta_plot_marks_key(const struct ta_plot_marks *m, FILE *file) {
    if (made_in_sight(m) > 0) fputs(", \\\n     NaN with lines " MADE " title 'drift made'", file);
    if (m->n_found > 0) fputs(", \\\n     NaN with lines " FOUND " title 'drift found'", file);
    if (predicts(m))
        fputs(", \\\n     NaN with filledcurves closed fs solid fc rgb '" SHADE "' title 'predicting only'", file);
}
