/* plot_marks: where drift was made and found, and where nothing but predictions was made, for the pictures of a run.
 *
 * Made: RUN_DIR/drift_truth.json. Found: `drift` lines of the metrics. Predictions only: `mode` lines; of each number
 * of changes (cycle.h) the earliest record counts, whoever told it. All in records of the stream. At most so many of
 * each are kept and drawn.
 */
#ifndef TA_PLOT_MARKS_H
#define TA_PLOT_MARKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "status.h"

enum { TA_PLOT_MOST_MARKS = 512 };

struct ta_plot_mark {
    uint64_t change, record;
    bool training; /* of a mode */
};

struct ta_plot_marks {
    struct ta_plot_mark made[TA_PLOT_MOST_MARKS], found[TA_PLOT_MOST_MARKS], mode[TA_PLOT_MOST_MARKS];
    unsigned n_made, n_found, n_modes;
    uint64_t last; /* record of the stream that was seen; 0: not told */
};

/* The truth beside a run; none is fine. Errors: IO, FORMAT. */
ta_status ta_plot_marks_truth(struct ta_plot_marks *m, const char *run_dir);
/* One line of the metrics; others than drift, mode and window are ignored. */
void ta_plot_marks_take(struct ta_plot_marks *m, const json_t *line);

/* Settings of a panel whose x are records: shades and lines; and what its `plot` command ends with, to name them in the
 * key. Nothing where there are no marks. */
void ta_plot_marks_write(const struct ta_plot_marks *m, FILE *file);
void ta_plot_marks_key(const struct ta_plot_marks *m, FILE *file);

#endif
