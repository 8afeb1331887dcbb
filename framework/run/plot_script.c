/* plot_script: four panels, each alone and all on one sheet. Columns are those of the tables in plot.c. */
#include "plot_script.h"

struct panel {
    const char *file;
    const char *title, *x_label, *y_label, *extra; /* extra: settings of this panel */
    const char *curve[2];                          /* `using` of the curves; %s stands for nothing else */
    const char *name[2];
    const char *axes[2];
};

static const struct panel panels[] = {
    {"loss", "Prequential loss (window)", "records of the replica", "loss", "set key top right\n", {"2:4", NULL}, {"", NULL}, {"x1y1", NULL}},
    {"accuracy", "Prequential accuracy", "records of the replica", "accuracy", "set key bottom right\nset yrange [0:1]\n", {"2:5", "2:6"},
     {" window", " fading"}, {"x1y1", "x1y1"}},
    {"rate", "Rate and lag", "seconds", "records/s",
     "set key bottom right\nset y2label 'lag (s)'\nset y2tics\nset y2range [0:*]\nset yrange [0:*]\n",
     {"1:3", "1:7"}, {" rate", " lag"}, {"x1y1", "x1y2"}},
    {"staleness", "Staleness of gradients", "seconds", "updates missing", "set key top right\nset offsets graph 0, 0, 0.3, 0\nset yrange [0:*]\n", {"1:9", "1:10"},
     {" mean", " max"}, {"x1y1", "x1y1"}},
};
enum { N_PANELS = sizeof panels / sizeof panels[0], RATE_PANEL = 2, STALENESS_PANEL = 3 };

/* What stands in for a panel when there is nothing on one of its axes, which gnuplot refuses or complains of. */
static const struct panel rate_alone = {"rate", "Rate", "seconds", "records/s", "set key bottom right\nset yrange [0:*]\n",
                                        {"1:3", NULL}, {"", NULL}, {"x1y1", NULL}};
static const struct panel no_staleness = {"staleness", "Staleness of gradients: none", "seconds", "updates missing",
                                          "set yrange [0:1]\n", {"1:9", NULL}, {"", NULL}, {"x1y1", NULL}};

static const struct panel *panel_of(unsigned i, const struct ta_plot_facts *facts) {
    if (i == RATE_PANEL && !facts->lag) return &rate_alone;
    if (i == STALENESS_PANEL && !facts->stale) return &no_staleness;
    return &panels[i];
}

static void panel_write(FILE *file, const struct panel *p, const unsigned *ranks, unsigned count) {
    fprintf(file, "reset\n%sset title '%s'\nset xlabel '%s'\nset ylabel '%s'\nset grid lc rgb '#dddddd'\n", p->extra, p->title,
            p->x_label, p->y_label);
    fputs(count > 8 ? "set key off\nplot " : "plot ", file);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < 2 && p->curve[k] != NULL; k++)
            fprintf(file, "%s'rank-%05u.dat' using %s axes %s with lines lw %s dt %u lc %u title 'rank %u%s'",
                    i + k > 0 ? ", \\\n     " : "", ranks[i], p->curve[k], p->axes[k], k == 0 ? "2" : "1", k + 1, i + 1,
                    ranks[i], p->name[k]);
    }
    fputs("\n", file);
}

void ta_plot_script_write(FILE *file, const unsigned *ranks, unsigned count,
                          const struct ta_plot_facts *facts) {
    fputs("# Run again after editing: gnuplot plot.gp\nset datafile missing 'nan'\n", file);
    fputs("set terminal pngcairo size 900,560 font 'sans,11'\n", file);
    for (unsigned i = 0; i < N_PANELS; i++) {
        fprintf(file, "set output '%s.png'\n", panels[i].file);
        panel_write(file, panel_of(i, facts), ranks, count);
    }
    fputs("set terminal pngcairo size 1600,1000 font 'sans,11'\nset output 'overview.png'\nset multiplot layout 2,2\n", file);
    for (unsigned i = 0; i < N_PANELS; i++) panel_write(file, panel_of(i, facts), ranks, count);
    fputs("unset multiplot\n", file);
}
