/* plot: metrics lines -> one table a rank -> gnuplot. The look of the pictures is in plot_script.c. */
#include "plot.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem.h"
#include "metrics.h"
#include "plot_marks.h"
#include "plot_script.h"
#include "plot_stale.h"
#include "run_config.h"

enum { PATH_BYTES = 4096 };

struct plot {
    const char *run_dir;
    char folder[PATH_BYTES];
    FILE *table[TA_PLOT_MAX_RANKS]; /* NULL: that rank has not been seen */
    unsigned ranks;                 /* highest rank seen + 1 */
    struct ta_plot_facts facts;
    struct ta_plot_marks marks;
    struct ta_plot_stale stale;
};

static const char *const columns[] = {"t_s",         "records", "records_per_s", "loss",  "accuracy",
                                      "fading_accuracy", "lag_s",   "dropped",       "s_avg", "s_max", "record"};
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };

static ta_status table_open(struct plot *p, unsigned rank) {
    char path[PATH_BYTES + 32];
    snprintf(path, sizeof path, "%s/rank-%05u.dat", p->folder, rank);
    p->table[rank] = fopen(path, "w");
    if (p->table[rank] == NULL) return ta_fail_errno(TA_IO, "%s: cannot write", path);
    fputc('#', p->table[rank]);
    for (unsigned i = 0; i < N_COLUMNS; i++) fprintf(p->table[rank], " %s", columns[i]);
    fputc('\n', p->table[rank]);
    if (rank >= p->ranks) p->ranks = rank + 1;
    return TA_OK;
}

/* One object of the metrics; only windows are drawn. A number that is missing or null becomes NaN, which gnuplot
 * skips. */
static ta_status table_add(struct plot *p, const json_t *line) {
    const char *kind = json_string_value(json_object_get(line, "kind"));
    json_int_t rank = json_integer_value(json_object_get(line, "rank"));
    if (kind == NULL || strcmp(kind, "window") != 0 || rank < 0 || rank >= TA_PLOT_MAX_RANKS) return TA_OK;
    if (p->table[rank] == NULL) {
        ta_status status = table_open(p, (unsigned)rank);
        if (status != TA_OK) return status;
    }
    for (unsigned i = 0; i < N_COLUMNS; i++) {
        const json_t *value = json_object_get(line, columns[i]);
        if (strcmp(columns[i], "record") == 0) {
            if (value != NULL) p->facts.stream = true;
            else value = json_object_get(line, "records"); /* where nobody looks for drift */
        }
        if (json_is_number(value) && strcmp(columns[i], "lag_s") == 0) p->facts.lag = true;
        if (json_number_value(value) > 0 && strcmp(columns[i], "s_max") == 0) p->facts.stale = true;
        fprintf(p->table[rank], "%.9g ", json_is_number(value) ? json_number_value(value) : NAN);
    }
    fputc('\n', p->table[rank]);
    return TA_OK;
}

/* One file of metrics: that of a node. Lines of one life lie together. */
struct source {
    char path[PATH_BYTES + 32];
    FILE *file;
    json_t *line; /* next; NULL: there is no more */
    unsigned number;
};

/* A last line that is torn belongs to a run that was killed. */
static ta_status source_next(struct source *s, char **text, size_t *room) {
    json_decref(s->line);
    s->line = NULL;
    ssize_t length = getline(text, room, s->file);
    if (length <= 0) return TA_OK;
    json_error_t error;
    s->number++;
    s->line = json_loadb(*text, (size_t)length, 0, &error);
    if (s->line != NULL || (*text)[length - 1] != '\n') return TA_OK;
    return ta_fail(TA_FORMAT, "%s:%u: not a line of metrics: %s", s->path, s->number, error.text);
}

static json_int_t life_of(const struct source *s) { return json_integer_value(json_object_get(s->line, "epoch")); }

/* Life by life, as a rank may have been on another node in another life. */
static ta_status merge(struct plot *p, struct source *sources, unsigned n) {
    ta_status status = TA_OK;
    char *text = NULL;
    size_t room = 0;
    for (unsigned i = 0; status == TA_OK && i < n; i++) status = source_next(&sources[i], &text, &room);
    while (status == TA_OK) {
        struct source *first = NULL;
        for (struct source *s = sources; s < sources + n; s++)
            if (s->line != NULL && (first == NULL || life_of(s) < life_of(first))) first = s;
        if (first == NULL) break;
        ta_plot_marks_take(&p->marks, first->line);
        ta_plot_stale_take(&p->stale, first->line);
        status = table_add(p, first->line);
        if (status == TA_OK) status = source_next(first, &text, &room);
    }
    free(text);
    return status;
}

static ta_status tables_fill(struct plot *p) {
    struct source *sources;
    ta_status status = TA_NEW(&sources, TA_MAX_REPLICAS, "files of metrics");
    if (status != TA_OK) return status;
    unsigned n = 0;
    for (unsigned node = 0; node < TA_MAX_REPLICAS; node++) {
        struct source *s = &sources[n];
        ta_metrics_path(s->path, sizeof s->path, p->run_dir, node);
        s->file = fopen(s->path, "r");
        if (s->file != NULL) n++;
        else if (node == 0)
            status = ta_fail_errno(TA_IO, "%s: cannot read: is '%s' a run directory?", s->path, p->run_dir);
        if (s->file == NULL) break; /* nodes are numbered without gaps */
    }
    if (status == TA_OK) status = merge(p, sources, n);
    if (status == TA_OK && p->ranks == 0)
        status = ta_fail(TA_FORMAT, "%s: holds no window yet: let the run go on for a moment", sources[0].path);
    for (unsigned i = 0; i < n; i++) {
        json_decref(sources[i].line);
        fclose(sources[i].file);
    }
    ta_mem_free(sources);
    return status;
}

static ta_status tables_close(struct plot *p, ta_status status) {
    for (unsigned i = 0; i < TA_PLOT_MAX_RANKS; i++) {
        if (p->table[i] != NULL && fclose(p->table[i]) != 0 && status == TA_OK)
            status = ta_fail_errno(TA_IO, "%s/rank-%05u.dat: cannot write", p->folder, i);
    }
    return status;
}

static ta_status script_write(const struct plot *p) {
    char path[PATH_BYTES + 32];
    snprintf(path, sizeof path, "%s/plot.gp", p->folder);
    FILE *file = fopen(path, "w");
    if (file == NULL) return ta_fail_errno(TA_IO, "%s: cannot write", path);
    unsigned drawn[TA_PLOT_MAX_RANKS], count = 0;
    for (unsigned i = 0; i < p->ranks; i++)
        if (p->table[i] != NULL) drawn[count++] = i;
    ta_plot_script_write(file, drawn, count, &p->facts);
    if (fclose(file) != 0) return ta_fail_errno(TA_IO, "%s: cannot write", path);
    return TA_OK;
}

static ta_status gnuplot_run(const struct plot *p) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, p->folder);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", 0, 0);
    char *argv[] = {"gnuplot", "plot.gp", NULL};
    pid_t child;
    int code = posix_spawnp(&child, "gnuplot", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (code != 0)
        return ta_fail(TA_NOT_BUILT, "cannot run gnuplot (%s): apt-get install gnuplot-nox; the script is %s/plot.gp",
                       strerror(code), p->folder);
    int state;
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(state) && WEXITSTATUS(state) == 0) return TA_OK;
    return ta_fail(TA_FAILED, "gnuplot %s/plot.gp ended with status %d", p->folder,
                   WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state));
}

ta_status ta_plot_run(const char *run_dir, unsigned *ranks) {
    struct plot p = {.run_dir = run_dir};
    p.facts.marks = &p.marks;
    if ((size_t)snprintf(p.folder, sizeof p.folder, "%s/plots", run_dir) >= sizeof p.folder)
        return ta_fail(TA_IO, "%s: the path is too long", run_dir);
    if (access(run_dir, F_OK) != 0) return ta_fail_errno(TA_IO, "%s: no such run directory", run_dir);
    if (mkdir(p.folder, 0755) != 0 && errno != EEXIST) return ta_fail_errno(TA_IO, "%s: cannot create", p.folder);
    ta_status status = ta_plot_marks_truth(&p.marks, run_dir);
    if (status == TA_OK) status = tables_fill(&p);
    if (status == TA_OK) status = ta_plot_stale_write(&p.stale, p.folder);
    if (status == TA_OK) status = script_write(&p);
    status = tables_close(&p, status);
    if (status == TA_OK) status = gnuplot_run(&p);
    ta_plot_stale_close(&p.stale);
    if (ranks != NULL) *ranks = p.ranks;
    return status;
}
