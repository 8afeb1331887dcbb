/* spank_tensair: options of srun, sbatch and salloc that set what `tensair train` finds in its environment.
 *
 *     srun --tensair-run-dir=/shared/run --tensair-log-level=info tensair train config.yaml
 *
 * A plugin of Slurm (spank(8)): an object of its own that only includes slurm/spank.h, and is loaded by srun and slurmstepd, not
 * by the program. One line in plugstack.conf, beside slurm.conf, on login and compute nodes:
 *
 *     optional /usr/local/lib/slurm/spank_tensair.so
 *
 * Values are checked as the command line is read, so that what is wrong is said at once and the job is not submitted.
 */
#include <stdint.h>

#include <slurm/spank.h>
#include <stdbool.h>
#include <string.h>

SPANK_PLUGIN(tensair, 1)

enum { VALUE_BYTES = 2048 };
enum choice { RUN_DIR, TRANSPORT, LOG_LEVEL, CHOICES };

static const char *const variables[CHOICES] = {"TENSAIR_RUN_DIR", "TENSAIR_TRANSPORT", "TENSAIR_LOG_LEVEL"};

/* Slurm loads a plugin once a process and calls it back without a context: what was chosen can stand nowhere else. */
static char chosen[CHOICES][VALUE_BYTES];

static bool is_one_of(const char *value, const char *const *words) {
    for (; *words != NULL; words++)
        if (strcmp(value, *words) == 0) return true;
    return false;
}

/* `remote`: in slurmstepd, with what srun has accepted. */
static int choose(int choice, const char *value, int remote) {
    static const char *const transports[] = {"auto", "self", "shm", "mixed", "verbs", "ofi", NULL};
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    (void)remote;
    if (choice < 0 || choice >= CHOICES || value == NULL) return -1;
    if (*value == '\0' || strlen(value) >= VALUE_BYTES) {
        slurm_error("tensair: the value has no or more than %d characters", VALUE_BYTES - 1);
        return -1;
    }
    if (choice == RUN_DIR && *value != '/') {
        slurm_error("tensair: --tensair-run-dir=%s: an absolute path is needed, which all nodes see", value);
        return -1;
    }
    if (choice == TRANSPORT && !is_one_of(value, transports)) {
        slurm_error("tensair: --tensair-transport=%s: it is auto, self, shm, mixed, verbs or ofi", value);
        return -1;
    }
    if (choice == LOG_LEVEL && !is_one_of(value, levels)) {
        slurm_error("tensair: --tensair-log-level=%s: it is debug, info, warn or error", value);
        return -1;
    }
    strcpy(chosen[choice], value);
    return 0;
}

static struct spank_option options[] = {
    {"tensair-run-dir", "DIR", "TensAIR: folder of the run, absolute", 1, RUN_DIR, choose},
    {"tensair-transport", "TYPE", "TensAIR: auto, self, shm, mixed, verbs or ofi", 1, TRANSPORT, choose},
    {"tensair-log-level", "LEVEL", "TensAIR: least level on stderr: debug, info, warn or error", 1, LOG_LEVEL, choose},
    SPANK_OPTIONS_TABLE_END,
};

int slurm_spank_init(spank_t spank, int argc, char **argv) {
    (void)argc;
    (void)argv;
    spank_context_t where = spank_context();
    if (where != S_CTX_LOCAL && where != S_CTX_ALLOCATOR && where != S_CTX_REMOTE) return 0;
    for (int i = 0; i < CHOICES; i++)
        if (spank_option_register(spank, &options[i]) != ESPANK_SUCCESS) {
            slurm_error("tensair: the option --%s is taken by another plugin", options[i].name);
            return -1;
        }
    return 0;
}

/* In slurmstepd, for each task. */
int slurm_spank_task_init(spank_t spank, int argc, char **argv) {
    (void)argc;
    (void)argv;
    for (int i = 0; i < CHOICES; i++)
        if (chosen[i][0] != '\0' && spank_setenv(spank, variables[i], chosen[i], 1) != ESPANK_SUCCESS) {
            slurm_error("tensair: cannot set %s", variables[i]);
            return -1;
        }
    return 0;
}
