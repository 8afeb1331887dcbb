/* submit: a run as a batch job of Slurm: the script that starts it, and sbatch, which queues it.
 *
 * The script is slurm/train.sbatch with the values of one run in place of its own: what a person may read and edit and what
 * the program writes are one text. Source: sbatch(1).
 *
 * Threads: no state of its own; one call at a time on one object, from any thread.
 */
#ifndef TA_SLURM_SUBMIT_H
#define TA_SLURM_SUBMIT_H

#include <stddef.h>

#include "status.h"

struct ta_submit {
    /* For Slurm, as its options of these names take them; NULL or 0: left to the cluster. Only characters that such
     * values have: a blank, a quote or a control character is refused. */
    const char *job_name, *time, *partition, *account, *qos, *array, *mem;
    unsigned cpus_per_task, gpus_per_node;
    unsigned tasks_per_node; /* 0: 1 */
    unsigned nodes;          /* that train; 0: 1 */
    unsigned signal_ahead_s; /* the run is stopped so long before its time is up; 0: 120 */

    /* For the run: any text, quoted for the shell. */
    const char *folder;           /* where relative paths are meant from */
    const char *program, *config; /* tensair, and its configuration */
    const char *run_dir;          /* NULL: FOLDER/runs/NAME-JOBID */
    const char *const *arguments; /* further ones of `tensair train`; %a becomes the number of an array's task */
    size_t n_arguments;
    unsigned spares;  /* replicas in reserve, on nodes of their own */
    const char *memlock; /* "warn", "require", "off": where tasks may lock little memory */
};

/* Nodes that the spares need. */
unsigned ta_submit_reserve(const struct ta_submit *s);

/* The script, freed by ta_mem_free. Errors: USAGE (an option's value), NO_MEMORY. */
ta_status ta_submit_script(const struct ta_submit *s, char **text);

/* `value` as one word of bash on one line, freed by ta_mem_free: bare where it can be, else 'quoted', else $'quoted' where
 * it holds control characters. Errors: NO_MEMORY. */
ta_status ta_submit_quote(const char *value, char **word);

struct ta_submitted {
    char id[64];       /* of the job, as squeue and scancel take it */
    char warning[768]; /* what sbatch had to say nevertheless; "": nothing */
};

/* Queues the script `name` in `folder`, which the job is started in. Errors, with sbatch's own message: USAGE (it does not
 * take it: wrong partition, more nodes than there are), DEVICE (no Slurm here), PEER (its controller does not answer). */
ta_status ta_submit_send(const char *folder, const char *name, struct ta_submitted *out);

#endif
