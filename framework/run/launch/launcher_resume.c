/* launcher_resume: which checkpoint a job goes on from. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launcher_internal.h"
#include "mem.h"

/* Going on from an older checkpoint than the newest leaves a branch behind: this life must still count as newer than
 * that. */
ta_status ta_job_choose_resume(struct ta_job *j) {
    const char *said = j->launch->resume != NULL ? j->launch->resume : "auto";
    bool automatic = strcmp(said, "auto") == 0, never = strcmp(said, "never") == 0;
    char folder[TA_RUN_DIR_BYTES + 16];
    snprintf(folder, sizeof folder, "%s/checkpoint", j->dir.path);
    struct ta_checkpoint_info *newest;
    ta_status status = TA_NEW(&newest, 1, "the checkpoint");
    if (status != TA_OK) return status;
    status = access(folder, F_OK) == 0 ? ta_checkpoint_latest(folder, &j->log, newest) : TA_AGAIN;
    j->life = status == TA_OK ? newest->epoch + 1 : 1;
    if (j->life <= j->place.restart) j->life = j->place.restart + 1; /* a former one may not have come to a checkpoint */
    if (status == TA_OK && never)
        status =
            ta_fail(TA_CONFIG, "%s holds a run with checkpoints: go on with --resume auto, or give another --run-dir",
                    j->dir.path);
    if (status == TA_AGAIN && !automatic) status = TA_OK;
    if (status == TA_OK && !automatic && !never) {
        status = ta_checkpoint_check(said, newest);
        if (newest->epoch >= j->life) j->life = newest->epoch + 1;
    }
    if (status == TA_OK && !never) {
        j->resumed = newest;
        return TA_OK;
    }
    ta_mem_free(newest);
    return status == TA_AGAIN ? TA_OK : status;
}
