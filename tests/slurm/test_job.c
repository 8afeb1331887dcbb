/* job: what captured environments say (environments/: of a Slurm 22.05 of four nodes, by its launchers and below
 * others), and what becomes of them when a variable is missing, damaged or another's. */
#include <stdbool.h>

#include "expect.h"
#include "job.h"

enum { MOST_VARIABLES = 64 };

struct variables {
    unsigned n;
    char text[MOST_VARIABLES][256]; /* NAME=VALUE */
};

static const char *look_up(void *context, const char *name) {
    const struct variables *v = context;
    size_t length = strlen(name);
    for (unsigned i = 0; i < v->n; i++)
        if (strncmp(v->text[i], name, length) == 0 && v->text[i][length] == '=') return v->text[i] + length + 1;
    return NULL;
}

static void add(struct variables *v, const char *pair) {
    assert_true(v->n < MOST_VARIABLES);
    snprintf(v->text[v->n++], sizeof v->text[0], "%s", pair);
}

static void load(struct variables *v, const char *name) {
    char path[512], line[256];
    snprintf(path, sizeof path, "%s/%s.env", ENVIRONMENTS, name);
    *v = (struct variables){0};
    FILE *file = fopen(path, "r");
    if (file == NULL) fail_msg("%s is not there", path);
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        add(v, line);
    }
    fclose(file);
}

static const struct capture {
    const char *name;
    enum ta_job_origin origin;
    unsigned rank, size, local_rank, local_size, per_host;
    uint64_t job_id;
    uint32_t restart;
    bool in_step;
    int pmi_fd;
    unsigned nodes;
    const char *host, *node_list;
} captures[] = {
    {"srun-none-0", TA_JOB_SLURM, 0, 8, 0, 0, 0, 1, 0, true, -1, 4, "n1", "n[1-4]"},
    {"srun-none-5", TA_JOB_SLURM, 5, 8, 1, 0, 0, 1, 0, true, -1, 4, "n2", "n[1-4]"},
    {"srun-none-7", TA_JOB_SLURM, 7, 8, 0, 0, 0, 1, 0, true, -1, 4, "n4", "n[1-4]"},
    {"srun-pmi2-0", TA_JOB_PMI, 0, 8, 0, 0, 0, 2, 0, true, 11, 4, "n1", "n[1-4]"},
    {"srun-pmi2-5", TA_JOB_PMI, 5, 8, 1, 0, 0, 2, 0, true, 13, 4, "n2", "n[1-4]"},
    {"srun-pmix", TA_JOB_PMIX, 3, 8, 3, 0, 0, 3, 0, true, -1, 4, "n1", "n[1-4]"},
    {"srun-cyclic-0", TA_JOB_SLURM, 0, 8, 0, 0, 0, 4, 0, true, -1, 4, "n1", "n[1-4]"},
    {"srun-cyclic-4", TA_JOB_SLURM, 4, 8, 1, 0, 0, 4, 0, true, -1, 4, "n1", "n[1-4]"},
    {"srun-cyclic-7", TA_JOB_SLURM, 7, 8, 3, 0, 0, 4, 0, true, -1, 4, "n1", "n[1-4]"},
    {"srun-uneven", TA_JOB_SLURM, 2, 4, 0, 0, 0, 5, 0, true, -1, 3, "n2", "n[1-3]"},
    {"srun-one", TA_JOB_SLURM, 0, 1, 0, 1, 1, 6, 0, true, -1, 1, "n1", "n1"},
    {"even-block", TA_JOB_SLURM, 5, 8, 1, 2, 2, 1, 0, true, -1, 4, "n3", "n[1-4]"},
    {"even-cyclic", TA_JOB_PMI, 5, 8, 1, 2, 0, 2, 0, true, 13, 4, "n2", "n[1-4]"},
    {"mpirun-0", TA_JOB_OPENMPI, 0, 8, 0, 4, 4, 7, 1, false, -1, 4, "", "n[1-4]"},
    {"mpirun-7", TA_JOB_OPENMPI, 7, 8, 0, 1, 1, 7, 1, true, -1, 4, "", "n[1-4]"},
    {"hydra-1", TA_JOB_PMI, 1, 8, 1, 4, 4, 7, 1, true, 6, 4, "", "n[1-4]"},
    {"hydra-7", TA_JOB_PMI, 7, 8, 0, 1, 1, 7, 1, true, 5, 4, "", "n[1-4]"},
    {"batch-script", TA_JOB_ALONE, 0, 1, 0, 0, 0, 7, 0, false, -1, 4, "n1", "n[1-4]"},
    {"in-step-of-batch", TA_JOB_SLURM, 3, 8, 3, 0, 0, 7, 1, true, -1, 4, "n1", "n[1-4]"},
    {"requeued", TA_JOB_SLURM, 6, 8, 0, 0, 0, 7, 1, true, -1, 4, "n3", "n[1-4]"},
    {"array", TA_JOB_SLURM, 0, 1, 0, 1, 1, 8, 0, true, -1, 1, "n2", "n2"},
    {"het-0", TA_JOB_SLURM, 0, 3, 0, 0, 0, 9, 0, true, -1, 2, "n3", "n[3-4]"},
    {"het-2", TA_JOB_SLURM, 2, 3, 1, 0, 0, 9, 0, true, -1, 2, "n4", "n[3-4]"},
    {"salloc-shell", TA_JOB_ALONE, 0, 1, 0, 0, 0, 11, 0, false, -1, 2, "", "n[2-3]"},
};

enum { N_CAPTURES = sizeof captures / sizeof captures[0] };

static void what_was_seen(void **state) {
    (void)state;
    for (unsigned i = 0; i < N_CAPTURES; i++) {
        const struct capture *c = &captures[i];
        struct variables v;
        struct ta_job_place p;
        load(&v, c->name);
        print_message("%s\n", c->name);
        assert_ok(ta_job_find(look_up, &v, &p));
        assert_int_equal(p.origin, c->origin);
        assert_int_equal(p.rank, c->rank);
        assert_int_equal(p.size, c->size);
        assert_int_equal(p.local_rank, c->local_rank);
        assert_int_equal(p.local_size, c->local_size);
        assert_int_equal(p.per_host, c->per_host);
        assert_int_equal(p.job_id, c->job_id);
        assert_int_equal(p.restart, c->restart);
        assert_true(p.in_slurm);
        assert_int_equal(p.in_step, c->in_step);
        assert_int_equal(p.pmi_fd, c->pmi_fd);
        assert_int_equal(p.nodes, c->nodes);
        assert_string_equal(p.host, c->host);
        assert_string_equal(p.node_list, c->node_list);
        assert_int_equal(p.epoch, ta_job_epoch(c->job_id, c->restart));
    }
}

/* --- what has no capture --- */

static const struct made {
    const char *pairs[8];
    ta_status status;
    enum ta_job_origin origin;
    unsigned rank, size, per_host;
    const char *part; /* of the message */
} made[] = {
    {{NULL}, TA_OK, TA_JOB_ALONE, 0, 1, 0, ""},
    {{"RANK=3", "WORLD_SIZE=8", "LOCAL_RANK=1", "LOCAL_WORLD_SIZE=2"}, TA_OK, TA_JOB_TORCHRUN, 3, 8, 2, ""},
    {{"RANK=3", "WORLD_SIZE=8"}, TA_OK, TA_JOB_TORCHRUN, 3, 8, 0, ""},
    {{"RANK=3"}, TA_OK, TA_JOB_ALONE, 0, 1, 0, ""}, /* anybody's RANK */
    {{"TENSAIR_NODE=1", "TENSAIR_NODES=2", "RANK=3", "WORLD_SIZE=8"}, TA_OK, TA_JOB_TENSAIR, 1, 2, 0, ""},
    {{"TENSAIR_NODE=1"}, TA_CONFIG, 0, 0, 0, 0, "TENSAIR_NODES=(not set)"},
    {{"TENSAIR_NODES=2"}, TA_CONFIG, 0, 0, 0, 0, "TENSAIR_NODE=(not set)"},
    {{"PMI_RANK=1", "PMI_SIZE=2"}, TA_OK, TA_JOB_ALONE, 0, 1, 0, ""}, /* left over: nobody listens */
    {{"PMI_RANK=2", "PMI_SIZE=2", "PMI_FD=5"}, TA_CONFIG, 0, 0, 0, 0, "PMI_RANK=2 and PMI_SIZE=2"},
    {{"PMIX_RANK=2"}, TA_CONFIG, 0, 0, 0, 0, "SLURM_STEP_NUM_TASKS=(not set)"}, /* of how many? */
    {{"OMPI_COMM_WORLD_RANK=0"}, TA_CONFIG, 0, 0, 0, 0, "OMPI_COMM_WORLD_SIZE"},
    {{"OMPI_COMM_WORLD_RANK=-1", "OMPI_COMM_WORLD_SIZE=4"}, TA_CONFIG, 0, 0, 0, 0, "OMPI_COMM_WORLD_RANK=-1"},
    {{"OMPI_COMM_WORLD_RANK=", "RANK="}, TA_OK, TA_JOB_ALONE, 0, 1, 0, ""},
    {{"RANK=0", "WORLD_SIZE=99999999999999999999"}, TA_CONFIG, 0, 0, 0, 0, "WORLD_SIZE=9999"},
    {{"RANK=0", "WORLD_SIZE=0"}, TA_CONFIG, 0, 0, 0, 0, "WORLD_SIZE=0"},
    {{"SLURM_JOB_ID=5", "SLURM_STEP_ID=4294967291", "SLURM_PROCID=0", "SLURM_STEP_NUM_TASKS=8"}, TA_OK, TA_JOB_ALONE, 0,
     1, 0, ""}, /* the batch step, where it has a number */
    {{"SLURM_JOB_ID=5", "SLURM_STEP_ID=0", "SLURM_PROCID=8", "SLURM_STEP_NUM_TASKS=8"}, TA_CONFIG, 0, 0, 0, 0,
     "SLURM_PROCID=8 and SLURM_STEP_NUM_TASKS=8"},
    {{"SLURM_JOB_ID=5", "SLURM_STEP_ID=0", "SLURM_PROCID=1", "SLURM_STEP_NUM_TASKS=4", "SLURM_STEP_TASKS_PER_NODE=2(x2",
      "SLURM_GTIDS=0,1"}, TA_OK, TA_JOB_SLURM, 1, 4, 0, ""},
    {{"SLURM_JOB_ID=5", "SLURM_STEP_ID=0", "SLURM_PROCID=1", "SLURM_STEP_NUM_TASKS=4", "SLURM_STEP_TASKS_PER_NODE=2(x2)",
      "SLURM_GTIDS=1,2"}, TA_OK, TA_JOB_SLURM, 1, 4, 0, ""},
};

static void what_was_made(void **state) {
    (void)state;
    for (unsigned i = 0; i < sizeof made / sizeof made[0]; i++) {
        const struct made *m = &made[i];
        struct variables v = {0};
        struct ta_job_place p;
        for (unsigned k = 0; k < 8 && m->pairs[k] != NULL; k++) add(&v, m->pairs[k]);
        print_message("%s ...\n", m->pairs[0] != NULL ? m->pairs[0] : "nothing");
        if (m->status != TA_OK) {
            assert_fails(m->status, m->part, ta_job_find(look_up, &v, &p));
            assert_int_equal(p.size, 0);
            assert_int_equal(p.pmi_fd, -1);
            continue;
        }
        assert_ok(ta_job_find(look_up, &v, &p));
        assert_int_equal(p.origin, m->origin);
        assert_int_equal(p.rank, m->rank);
        assert_int_equal(p.size, m->size);
        assert_int_equal(p.per_host, m->per_host);
    }
}

static void never_nonsense(const struct variables *v) {
    struct ta_job_place p;
    ta_status status = ta_job_find(look_up, (void *)v, &p);
    if (status != TA_OK) {
        assert_int_equal(status, TA_CONFIG);
        assert_int_equal(p.size, 0);
        return;
    }
    assert_true(p.rank < p.size && p.size <= TA_JOB_MOST && p.local_rank < p.size);
    assert_true(p.per_host == 0 || p.per_host <= p.size);
    assert_true(p.in_slurm || (p.job_id == 0 && p.epoch == 0));
    assert_int_equal(p.epoch != 0, p.in_slurm);
    if (p.origin == TA_JOB_ALONE) assert_true(p.size == 1 && p.rank == 0);
}

/* Every variable of every capture missing, empty, cut at every byte, or something else. */
static void damaged(void **state) {
    (void)state;
    static const char *const others[] = {"",    "-1",   "x",    "18446744073709551616", "4294967296", "1048576", "0",
                                         "7(x", "1,,2", "(x4)", "9999999999(x2)"};
    for (unsigned i = 0; i < N_CAPTURES; i++) {
        struct variables whole, v;
        load(&whole, captures[i].name);
        for (unsigned k = 0; k < whole.n; k++) {
            char *value = strchr(whole.text[k], '=') + 1;
            for (unsigned o = 0; o < sizeof others / sizeof others[0]; o++) {
                v = whole;
                snprintf(strchr(v.text[k], '=') + 1, 64, "%s", others[o]);
                never_nonsense(&v);
            }
            for (size_t cut = 0; cut <= strlen(value); cut++) {
                v = whole;
                strchr(v.text[k], '=')[1 + cut] = '\0';
                never_nonsense(&v);
            }
            v = whole;
            v.text[k][0] = '#';
            never_nonsense(&v);
        }
    }
}

static void epochs_differ(void **state) {
    (void)state;
    uint64_t seen[64 * 8];
    for (unsigned job = 0; job < 64; job++)
        for (uint32_t restart = 0; restart < 8; restart++) {
            uint64_t epoch = ta_job_epoch(job + 1, restart);
            assert_true(epoch != 0);
            for (unsigned i = 0; i < job * 8 + restart; i++) assert_true(seen[i] != epoch);
            seen[job * 8 + restart] = epoch;
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_seen),
        cmocka_unit_test(what_was_made),
        cmocka_unit_test(damaged),
        cmocka_unit_test(epochs_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
