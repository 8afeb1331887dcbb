/* job: variables of the environment -> a place. */
#include "job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whose variables are looked at, and what they are called. NULL: there is none. */
struct names {
    enum ta_job_origin origin;
    const char *who;
    const char *rank, *size, *local_rank, *local_size;
    const char *needs; /* must be set too, for the rank to count */
};

static const struct names origins[] = {
    {TA_JOB_TENSAIR, "TENSAIR_*", "TENSAIR_NODE", "TENSAIR_NODES", NULL, NULL, NULL},
    {TA_JOB_PMI, "PMI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "PMI_FD"},
    {TA_JOB_TORCHRUN, "torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "WORLD_SIZE"},
    {TA_JOB_OPENMPI, "mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE", NULL},
    {TA_JOB_PMIX, "PMIx", "PMIX_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", NULL, NULL},
    {TA_JOB_SLURM, "srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", NULL, "SLURM_STEP_ID"},
};

enum { N_ORIGINS = sizeof origins / sizeof origins[0], LIST_MOST = 4096 };

static const uint64_t first_step_name = 0xfffffff0; /* slurm.h: SLURM_BATCH_SCRIPT and its like lie above */

struct environment {
    ta_getenv_fn lookup;
    void *context;
};

static const char *value_of(const struct environment *e, const char *name) {
    const char *value = name != NULL ? e->lookup(e->context, name) : NULL;
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Digits alone, of a number up to `most`. */
static bool parse(const char *text, uint64_t most, uint64_t *out) {
    *out = 0;
    if (text == NULL || strspn(text, "0123456789") != strlen(text) || text[0] == '\0') return false;
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return errno == 0 && *out <= most;
}

/* 0 where it is not there, or no number. */
static uint64_t number_of(const struct environment *e, const char *name, uint64_t most) {
    uint64_t value;
    return parse(value_of(e, name), most, &value) ? value : 0;
}

/* A step that holds tasks: srun counts them from 0; batch, extern and interactive steps are names, or great numbers. */
static bool is_numbered_step(const struct environment *e) {
    uint64_t step;
    return parse(value_of(e, "SLURM_STEP_ID"), UINT32_MAX, &step) && step < first_step_name;
}

static bool decides(const struct environment *e, const struct names *n) {
    if (n->needs != NULL && value_of(e, n->needs) == NULL) return false;
    if (n->origin == TA_JOB_SLURM && !is_numbered_step(e)) return false;
    if (n->origin == TA_JOB_TENSAIR) return value_of(e, n->rank) != NULL || value_of(e, n->size) != NULL;
    return value_of(e, n->rank) != NULL;
}

static const char *shown(const struct environment *e, const char *name) {
    const char *value = value_of(e, name);
    return value != NULL ? value : "(not set)";
}

static ta_status take_rank(const struct environment *e, const struct names *n, struct ta_job_place *out) {
    uint64_t rank, size, local;
    if (!parse(value_of(e, n->size), TA_JOB_MOST, &size) || !parse(value_of(e, n->rank), TA_JOB_MOST, &rank) ||
        rank >= size)
        return ta_fail(TA_CONFIG,
                       "the environment says %s=%.40s and %s=%.40s (%s): a rank counts from 0 and is below the size; "
                       "unset both, or say which launcher this is by --nodes M --node K",
                       n->rank, shown(e, n->rank), n->size, shown(e, n->size), n->who);
    out->origin = n->origin;
    out->rank = (unsigned)rank;
    out->size = (unsigned)size;
    out->local_size = (unsigned)number_of(e, n->local_size, size);
    if (parse(value_of(e, n->local_rank), size - 1, &local)) out->local_rank = (unsigned)local;
    return TA_OK;
}

/* "2(x4)" or "3": as many tasks on every node of the step; "2(x3),1" is not. 0: not so. */
static unsigned equal_share(const char *text) {
    char *end;
    unsigned long each = text != NULL && text[0] >= '1' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
    if (each == 0 || each > TA_JOB_MOST) return 0;
    if (*end == '\0') return (unsigned)each;
    if (strncmp(end, "(x", 2) != 0 || strspn(end + 2, "0123456789") == 0) return 0;
    return strcmp(end + 2 + strspn(end + 2, "0123456789"), ")") == 0 ? (unsigned)each : 0;
}

/* The ranks of this node, "4,5": one after another, the first a multiple of how many they are. */
static bool is_block(const char *list, unsigned each) {
    unsigned long first = 0, expected = 0;
    unsigned count = 0;
    for (const char *at = list; at != NULL && *at >= '0' && *at <= '9' && count < LIST_MOST; count++) {
        char *end;
        unsigned long rank = strtoul(at, &end, 10);
        if (count == 0) first = expected = rank;
        if (rank != expected++) return false;
        at = *end == ',' ? end + 1 : end;
    }
    return count == each && first % each == 0;
}

/* Of a step of srun itself. Below another launcher the step's tasks are that one's daemons. */
static void deal_by_slurm(const struct environment *e, struct ta_job_place *out) {
    unsigned each = equal_share(value_of(e, "SLURM_STEP_TASKS_PER_NODE"));
    const char *own = value_of(e, "SLURM_GTIDS");
    uint64_t local;
    if (parse(value_of(e, "SLURM_LOCALID"), out->size - 1, &local)) out->local_rank = (unsigned)local;
    if (each == 0) return;
    out->local_size = each;
    if (is_block(own, each)) out->per_host = each;
}

/* What the local numbers allow to be said. */
static void deal_by_numbers(struct ta_job_place *out) {
    unsigned each = out->local_size;
    if (each == 0 || out->size % each != 0 || out->rank % each != out->local_rank) return;
    out->per_host = each;
}

/* The step's tasks are daemons of another launcher, one a node: what is said of them is not said of us. Of PMI that is
 * hydra, which alone numbers its ranks on a host. */
static bool is_below(const struct environment *e, const struct ta_job_place *p) {
    return p->origin == TA_JOB_OPENMPI || (p->origin == TA_JOB_PMI && value_of(e, "MPI_LOCALRANKID") != NULL);
}

static void take_job(const struct environment *e, struct ta_job_place *out) {
    bool below = is_below(e, out);
    out->job_id = number_of(e, "SLURM_JOB_ID", UINT64_MAX);
    if (out->job_id == 0) return;
    out->in_slurm = true;
    out->in_step = is_numbered_step(e);
    out->restart = (uint32_t)number_of(e, "SLURM_RESTART_COUNT", UINT32_MAX);
    out->epoch = ta_job_epoch(out->job_id, out->restart);
    const char *nodes = out->in_step && !below ? "SLURM_STEP_NUM_NODES" : "SLURM_JOB_NUM_NODES";
    out->nodes = (unsigned)number_of(e, nodes, TA_JOB_MOST);
    const char *list = value_of(e, out->in_step && !below ? "SLURM_STEP_NODELIST" : "SLURM_JOB_NODELIST");
    if (list != NULL && strlen(list) < sizeof out->node_list)
        snprintf(out->node_list, sizeof out->node_list, "%s", list);
    const char *host = below ? NULL : value_of(e, "SLURMD_NODENAME");
    if (host != NULL) snprintf(out->host, sizeof out->host, "%.*s", TA_JOB_HOST_BYTES - 1, host);
}

ta_status ta_job_find(ta_getenv_fn lookup, void *context, struct ta_job_place *out) {
    struct environment e = {lookup, context};
    uint64_t fd;
    *out = (struct ta_job_place){.size = 1, .pmi_fd = -1};
    for (size_t i = 0; i < N_ORIGINS; i++) {
        if (!decides(&e, &origins[i])) continue;
        ta_status status = take_rank(&e, &origins[i], out);
        if (status != TA_OK) {
            *out = (struct ta_job_place){.pmi_fd = -1};
            return status;
        }
        break;
    }
    take_job(&e, out);
    bool of_step = out->origin == TA_JOB_SLURM || out->origin == TA_JOB_PMIX || out->origin == TA_JOB_PMI;
    if (out->in_step && of_step && !is_below(&e, out)) deal_by_slurm(&e, out);
    else deal_by_numbers(out);
    if (out->origin == TA_JOB_PMI && parse(value_of(&e, "PMI_FD"), INT32_MAX, &fd)) out->pmi_fd = (int)fd;
    return TA_OK;
}

const char *ta_job_getenv(void *unused, const char *name) {
    (void)unused;
    return getenv(name);
}

const char *ta_job_origin_name(enum ta_job_origin origin) {
    static const char *const names[] = {
        [TA_JOB_ALONE] = "nothing says more: one launcher",
        [TA_JOB_TENSAIR] = "TENSAIR_NODE of TENSAIR_NODES",
        [TA_JOB_TORCHRUN] = "torchrun (RANK)",
        [TA_JOB_PMI] = "PMI (PMI_RANK)",
        [TA_JOB_PMIX] = "PMIx (PMIX_RANK)",
        [TA_JOB_OPENMPI] = "mpirun (OMPI_COMM_WORLD_RANK)",
        [TA_JOB_SLURM] = "srun (SLURM_PROCID)",
    };
    size_t n = sizeof names / sizeof names[0];
    return (size_t)origin < n ? names[origin] : "unknown";
}

/* SplitMix64 of both: lives that are neighbours are far apart. */
uint64_t ta_job_epoch(uint64_t job_id, uint32_t restart) {
    uint64_t x = job_id * 0x9e3779b97f4a7c15ULL + restart + 1;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    x ^= x >> 31;
    return x != 0 ? x : 1;
}
