/* command: runs one of Slurm's programs (squeue, sbatch) and takes what it prints, within a time limit.
 *
 * Programs instead of libslurm: its ABI changes with every version and its licence is the GPL's; the programs are on every
 * cluster, and are what its administrators expect users to start. Thread-safe; nothing of this process is changed, and the
 * child has default signals, an empty mask and no input.
 */
#ifndef TA_SLURM_COMMAND_H
#define TA_SLURM_COMMAND_H

#include "status.h"

enum { TA_COMMAND_OUT_BYTES = 8192, TA_COMMAND_ERR_BYTES = 768 };

struct ta_command {
    const char *const *argv; /* ends with NULL; argv[0] is looked for in PATH */
    const char *folder;      /* to be started in; NULL: this one */
    double within_s;
};

/* What it said, as text: cut where it is longer, bytes of zero are '?'. */
struct ta_command_answer {
    int exit_code; /* 128 + n: ended by signal n */
    char out[TA_COMMAND_OUT_BYTES];
    char err[TA_COMMAND_ERR_BYTES]; /* without the newline at its end */
};

/* OK: it ran and ended, whatever its exit code. Errors: DEVICE (there is no such program), PEER (it did not end in time;
 * it and what it started are killed), FAILED (no process or pipe). */
ta_status ta_command_run(const struct ta_command *c, struct ta_command_answer *answer);

#endif
