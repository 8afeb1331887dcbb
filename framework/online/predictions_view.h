/* predictions_view: all that the replicas of a run have predicted, as one file.
 *
 * RUN_DIR/predictions.h5 stands over the logs of all replicas and lives (predictions.h), which keep the data: it is
 * made before they are, and follows them while they grow.
 *
 *     /replica, /life    uint32 [logs]            whose log a row of the others is
 *     /record, ...       as in predictions.h      [logs][n] or [logs][n][outputs]: row k of each log. Where a log has
 *                                                 fewer rows than the longest: record 2^64 - 1, class -1, value NaN
 *     /logs/life-0001-replica-00000 ...           each log as a whole
 *
 * It is an HDF5 virtual dataset over unlimited sources: HDF5 has one writer a file, and here are many. h5py reads it
 * while it grows by File(path, "r", swmr=True). A handle sees what there was when it was opened: for more rows open the
 * file again, or refresh the datasets below /logs. The folder moves as a whole: the names in the file are relative.
 *
 * A life that went on from a checkpoint predicts again what came after it: such a record stands in the logs of both
 * lives, and the later one counts.
 *
 * Errors: IO, NO_MEMORY.
 *
 * Threads: no state of its own; one call at a time on one object, from any thread.
 */
#ifndef TA_PREDICTIONS_VIEW_H
#define TA_PREDICTIONS_VIEW_H

#include <stddef.h>

#include "predictions.h"

/* Where a replica logs to. */
ta_status ta_predictions_log_path(char *out, size_t bytes, const char *run_dir, uint32_t life, unsigned rank);

/* Makes run_dir/predictions.h5 for a life that is about to begin with so many replicas, and the folder for their logs.
 * Logs of the same or a later number belong to a life that left no checkpoint: they are removed. Atomic: the old file
 * or the new one. */
ta_status ta_predictions_view_make(const char *run_dir, const struct ta_predictions_kind *kind, uint32_t life,
                                   unsigned replicas);

/* After the run: an ordinary file with a row for every record that was predicted, by record number, each once; columns
 * as in predictions.h, and /replica and /life uint32. Holds a column in memory. Errors: IO (there are no logs), FORMAT
 * (a log whose writer was killed: h5clear -s makes it readable), IO, NO_MEMORY. */
ta_status ta_predictions_gather(const char *run_dir, const char *path);

#endif
