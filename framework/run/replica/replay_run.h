/* replay_run: `tensair train CONFIG --replay FOLDER`: a recorded run (run_record.h) again, bit for bit, in this
 * process: all its replicas, turn by turn, in one thread. To look closely at what happened once.
 *
 * It goes as fast as it can, whatever the pace was, reads the same stream, goes on from the same checkpoint, and leaves
 * the same files in a run directory of its own. Every rest, and every register from time to time, is compared with what
 * was recorded; the first difference ends it (FAILED). Where the recordings end early it ends there, and says so (OK).
 */
#ifndef TA_REPLAY_RUN_H
#define TA_REPLAY_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

struct ta_replay_run {
    const char *config_path;
    const char *const *overrides; /* "key=value" */
    size_t n_overrides;
    const char *folder;           /* of the recording */
    const char *run_dir;          /* NULL: runs/NAME-UTC; refused where there are checkpoints */
    bool until;                   /* stops when rank `rank` has made its step `step`: prints what that step was, and */
    unsigned rank;
    uint64_t step;                /* writes RUN_DIR/until/model.h5: the weights its gradient was computed on */
    bool quiet;
};

/* "2:341" into rank and step. Errors: USAGE. */
ta_status ta_replay_run_until(const char *text, struct ta_replay_run *out);

/* Errors: CONFIG (another configuration, model or stream than recorded, both named), IO, FORMAT (a damaged recording),
 * FAILED (what came out is not what was recorded), NO_MEMORY. */
ta_status ta_replay_run(const struct ta_replay_run *how);

#endif
