/* plot: PNG pictures of a run, drawn by gnuplot from RUN_DIR/metrics.jsonl and, of other nodes, metrics-NNNNN.jsonl.
 *
 * Writes into RUN_DIR/plots/: rank-00000.dat, ... (one line a window, columns named in its first line), plot.gp (the
 * script, to be edited and run again with `gnuplot plot.gp`), and loss.png, accuracy.png, rate.png, staleness.png,
 * staleness_histogram.png (from staleness.dat), overview.png (all five).
 *
 * Errors: IO (no metrics, the folder cannot be written), FORMAT (metrics without a single window; which line is not
 * JSON: a torn last line of a killed run is skipped), NOT_BUILT (no gnuplot here: what to install; the .dat and .gp
 * files are written all the same), FAILED (gnuplot's exit status), NO_MEMORY.
 */
#ifndef TA_PLOT_H
#define TA_PLOT_H

#include "status.h"

enum { TA_PLOT_MAX_RANKS = 64 }; /* replicas drawn; the rest is left out of the pictures */

/* `ranks` tells how many replicas were drawn; may be NULL. */
ta_status ta_plot_run(const char *run_dir, unsigned *ranks);

#endif
