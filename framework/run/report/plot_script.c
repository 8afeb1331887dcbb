/* plot_script: five panels, each alone and all on one sheet. Columns are those of the tables in plot.c. */
#include "plot_script.h"

struct panel {
    const char *file;
    const char *title, *x_label, *y_label, *extra; /* extra: settings of this panel; x_label NULL: records, with marks */
    const char *curve[2];                          /* `using` of the curves */
    const char *name[2];
    const char *axes[2];
};

static const struct panel panels[] = {
    {"loss", "Prequential loss (window)", NULL, "loss", "set yrange [0:*]\n", {"11:4", NULL}, {"", NULL}, {"x1y1", NULL}},
    {"accuracy", "Prequential accuracy", NULL, "accuracy", "set yrange [0:1]\n", {"11:5", "11:6"}, {" window", " fading"},
     {"x1y1", "x1y1"}},
    {"rate", "Rate and lag", "seconds", "records/s",
     "set y2label 'lag (s)'\nset y2tics\nset y2range [0:*]\nset yrange [0:*]\n", {"1:3", "1:7"}, {" rate", " lag"},
     {"x1y1", "x1y2"}},
    {"staleness", "Staleness of gradients", "seconds", "updates missing", "set offsets graph 0, 0, 0.3, 0\nset yrange [0:*]\n",
     {"1:9", "1:10"}, {" mean", " max"}, {"x1y1", "x1y1"}},
};
enum { N_PANELS = sizeof panels / sizeof panels[0], RATE_PANEL = 2, STALENESS_PANEL = 3, MOST_NAMED = 8 };

/* What stands in for a panel when there is nothing on one of its axes, which gnuplot refuses or complains of. */
static const struct panel rate_alone = {"rate", "Rate", "seconds", "records/s", "set yrange [0:*]\n", {"1:3", NULL}, {"", NULL},
                                        {"x1y1", NULL}};
static const struct panel no_staleness = {"staleness", "Staleness of gradients: none", "seconds", "updates missing",
                                          "set yrange [0:1]\n", {"1:9", NULL}, {"", NULL}, {"x1y1", NULL}};

static const struct panel *panel_of(unsigned i, const struct ta_plot_facts *facts) {
    if (i == RATE_PANEL && !facts->lag) return &rate_alone;
    if (i == STALENESS_PANEL && !facts->stale) return &no_staleness;
    return &panels[i];
}

/* Colours that can be told apart by everyone (Okabe, Ito); grey for axes, so that the curves stand out. */
static void look_write(FILE *file) {
    static const char *const colours[MOST_NAMED] = {"#0072b2", "#d55e00", "#cc79a7", "#e69f00",
                                                    "#56b4e9", "#009e73", "#8c6d31", "#666666"};
    fputs("reset\nset border 3 lc rgb '#888888'\nset tics nomirror tc rgb '#444444'\nset grid lc rgb '#e4e4e4' lw 1\n", file);
    fputs("set key above horizontal width 1 samplen 2 tc rgb '#333333'\n", file);
    for (unsigned i = 0; i < MOST_NAMED; i++) fprintf(file, "set linetype %u lc rgb '%s'\n", i + 1, colours[i]);
    fprintf(file, "set linetype cycle %u\n", MOST_NAMED);
}

static void panel_write(FILE *file, const struct panel *p, const unsigned *ranks, unsigned count,
                        const struct ta_plot_facts *facts) {
    const char *records = facts->stream ? "records of the stream" : "records of the replica";
    look_write(file);
    fprintf(file, "%sset title '%s' font ',13'\nset xlabel '%s'\nset ylabel '%s'\n", p->extra, p->title,
            p->x_label != NULL ? p->x_label : records, p->y_label);
    if (p->x_label == NULL) {
        fputs("set format x '%.0f'\n", file);
        ta_plot_marks_write(facts->marks, file);
    }
    fputs("plot ", file);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < 2 && p->curve[k] != NULL; k++) {
            fprintf(file, "%s'rank-%05u.dat' using %s axes %s with lines lw %s dt %u lc %u", i + k > 0 ? ", \\\n     " : "",
                    ranks[i], p->curve[k], p->axes[k], k == 0 ? "2" : "1", k + 1, i % MOST_NAMED + 1);
            if (count > MOST_NAMED) fputs(" notitle", file);
            else fprintf(file, " title 'rank %u%s'", ranks[i], p->name[k]);
        }
    }
    if (p->x_label == NULL) ta_plot_marks_key(facts->marks, file);
    fputs("\n", file);
}

/* Staleness of all gradients of the run: a bar, with its gradients counted, for each value there is (from 32 on a range
 * of values, named by its upper end), side by side, since single ones may lie far away. */
static void histogram_write(FILE *file) {
    look_write(file);
    fputs("set title 'Staleness of all gradients' font ',13'\nset xlabel 'updates missing'\nset ylabel 'share of gradients'\n"
          "set yrange [0:1.08]\nset offsets 0.7, 0.7, 0, 0\nset boxwidth 0.8\nset style fill solid 0.8 noborder\nunset key\n"
          "set xtics rotate by -45 font ',9'\n"
          "plot 'staleness.dat' using 0:3:xtic(1) with boxes lc 1, '' using 0:3:2 with labels offset 0,0.6 font ',8'\n", file);
}

void ta_plot_script_write(FILE *file, const unsigned *ranks, unsigned count,
                          const struct ta_plot_facts *facts) {
    fputs("# Run again after editing: gnuplot plot.gp\nset datafile missing 'nan'\n", file);
    fputs("set terminal pngcairo size 1000,560 font 'sans,11'\n", file);
    for (unsigned i = 0; i < N_PANELS; i++) {
        fprintf(file, "set output '%s.png'\n", panels[i].file);
        panel_write(file, panel_of(i, facts), ranks, count, facts);
    }
    fputs("set output 'staleness_histogram.png'\n", file);
    histogram_write(file);
    fputs("set terminal pngcairo size 2400,1100 font 'sans,11'\nset output 'overview.png'\nset multiplot layout 2,3\n", file);
    for (unsigned i = 0; i < N_PANELS; i++) panel_write(file, panel_of(i, facts), ranks, count, facts);
    histogram_write(file);
    fputs("unset multiplot\n", file);
}
