/* plot: `tensair plot RUN_DIR`. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "plot.h"

static const char help[] =
    "usage: tensair plot RUN_DIR\n"
    "\n"
    "Draws PNG pictures of a run, finished or still going, into RUN_DIR/plots: loss, prequential accuracy, rate and lag,\n"
    "staleness over time and as a histogram, and all on one sheet (overview.png). Needs gnuplot (Debian: gnuplot-nox).\n";

static ta_status plot(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return TA_OK;
    }
    if (argc != 2 || argv[1][0] == '-') return ta_fail(TA_USAGE, "needs one run directory; see tensair plot --help");
    unsigned ranks;
    ta_status status = ta_plot_run(argv[1], &ranks);
    if (status == TA_OK) printf("plot: %u replica%s, %s/plots/overview.png\n", ranks, ranks == 1 ? "" : "s", argv[1]);
    return status;
}

const struct ta_verb ta_verb_plot = {.name = "plot", .summary = "draw PNG pictures of a run", .run = plot};
