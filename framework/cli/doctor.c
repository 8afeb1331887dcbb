/* doctor: `tensair doctor`: what this machine can do, what is missing, and the cure. */
#include "doctor.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "doctor_slurm.h"
#include "mem.h"

static const char help[] =
    "usage: tensair doctor [CONFIG.yaml] [-n REPLICAS] [--nodes M [--node K]] [--set KEY=VALUE]...\n"
    "                      [--quick] [--json]\n"
    "       srun --ntasks-per-node=1 tensair doctor --slurm [CONFIG.yaml] [--run-dir DIR] [--within SECONDS]...\n"
    "\n"
    "Says what this machine can do, what is missing, and the cure. With a configuration: what that asks for. It\n"
    "changes nothing, needs no root, and takes some seconds, most of them for a test of each transport.\n"
    "\n"
    "  -n, --replicas N   replicas in all (run.replicas, else what the batch system says)\n"
    "  --nodes M          machines they run on (TENSAIR_NODES, else what the batch system says, else 1)\n"
    "  --node K           which of them this is, from 0\n"
    "  --set KEY=VALUE    overrides a key of the configuration\n"
    "  --quick            without that test\n"
    "  --json             an array of {section, name, state, value, cure} instead of text\n"
    "  --slurm            before a job begins, from a task on each of its nodes (or with --nodes M --node K on each):\n"
    "                     what each node has, clocks, whether the run directory keeps its promises between nodes, and\n"
    "                     puts from every node to every other, the odd one marked. Task 0 tells. --quick: no puts\n"
    "  --run-dir DIR      the directory to try (TENSAIR_RUN_DIR, run.run_dir, else this one); it is left as it was\n"
    "  --within SECONDS   patience with the other tasks (20)\n"
    "\n"
    "A finding is ok; a note (works, worth knowing); missing (training works without it); or wrong (training on this\n"
    "machine, or something the configuration asks for, does not work).\n"
    "Exit status: 0 nothing is wrong; 2 usage or configuration; 69 something is wrong; 74 the configuration or its\n"
    "stream cannot be read.\n";

enum { OPTION_SET = 256, OPTION_JSON, OPTION_QUICK, OPTION_NODES, OPTION_NODE, OPTION_SLURM, OPTION_RUN_DIR,
       OPTION_WITHIN, OPTION_HELP };

static const struct option options[] = {
    {"replicas", required_argument, NULL, 'n'}, {"set", required_argument, NULL, OPTION_SET},
    {"json", no_argument, NULL, OPTION_JSON},   {"nodes", required_argument, NULL, OPTION_NODES},
    {"node", required_argument, NULL, OPTION_NODE}, {"quick", no_argument, NULL, OPTION_QUICK},
    {"slurm", no_argument, NULL, OPTION_SLURM}, {"run-dir", required_argument, NULL, OPTION_RUN_DIR},
    {"within", required_argument, NULL, OPTION_WITHIN}, {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

const struct ta_doctor_section ta_doctor_sections[] = {
    {"program", ta_doctor_program, 5},
    {"configuration", ta_doctor_configuration, 5},
    {"identity", ta_doctor_job, 10},
    {"CPU", ta_doctor_cpu, 10},
    {"memory", ta_doctor_memory, 20},
    {"RDMA", ta_doctor_rdma, 20},
    {"GPU", ta_doctor_gpu, 20},
    {"network", ta_doctor_network, 15},
    {"system", ta_doctor_system, 10},
    {"transports", ta_doctor_transport, 20},
    {"words", ta_doctor_words, 30},
    {NULL, NULL, 0},
};

struct arguments {
    const char *path;
    const char **overrides; /* [argc + 4] */
    size_t n_overrides;
    char replicas_override[32];
    int replicas, nodes, node; /* 0, 0, -1: not given */
    bool json, quick, help, slurm;
    const char *run_dir;
    double within_s;
};

static ta_status number_of(const char *option, const char *text, int least, int *out) {
    char *end;
    long n = strtol(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || n < least || n > TA_MAX_REPLICAS)
        return ta_fail(TA_USAGE, "%s %s: not a number from %d to %d", option, text, least, TA_MAX_REPLICAS);
    *out = (int)n;
    return TA_OK;
}

static ta_status seconds_of(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    if (end != text && *end == '\0' && *out >= 1 && *out <= 3600) return TA_OK;
    return ta_fail(TA_USAGE, "--within %s: not a number of seconds from 1 to 3600", text);
}

static ta_status parse(int argc, char **argv, struct arguments *a) {
    opterr = 0;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, ":n:h", options, NULL)) != -1;) {
        ta_status status = TA_OK;
        switch (option) {
            case 'n': status = number_of("-n", optarg, 1, &a->replicas); break;
            case OPTION_NODES: status = number_of("--nodes", optarg, 1, &a->nodes); break;
            case OPTION_NODE: status = number_of("--node", optarg, 0, &a->node); break;
            case OPTION_SET: a->overrides[a->n_overrides++] = optarg; break;
            case OPTION_JSON: a->json = true; break;
            case OPTION_QUICK: a->quick = true; break;
            case OPTION_SLURM: a->slurm = true; break;
            case OPTION_RUN_DIR: a->run_dir = optarg; break;
            case OPTION_WITHIN: status = seconds_of(optarg, &a->within_s); break;
            case 'h':
            case OPTION_HELP: a->help = true; break;
            case ':': return ta_fail(TA_USAGE, "%s needs a value; see tensair doctor --help", argv[optind - 1]);
            default: return ta_fail(TA_USAGE, "unknown option '%s'; see tensair doctor --help", argv[optind - 1]);
        }
        if (status != TA_OK) return status;
    }
    if (optind + 1 < argc) return ta_fail(TA_USAGE, "'%s' is one argument too many", argv[optind + 1]);
    a->path = optind < argc ? argv[optind] : NULL;
    if (a->path == NULL && a->n_overrides > 0) return ta_fail(TA_USAGE, "--set needs a configuration file to change");
    if (a->node >= 0 && a->node >= a->nodes)
        return ta_fail(TA_USAGE, "--node %d of --nodes %d: nodes count from 0 to %d", a->node, a->nodes, a->nodes - 1);
    if (!a->slurm && (a->run_dir != NULL || a->within_s > 0))
        return ta_fail(TA_USAGE, "--run-dir and --within are for --slurm");
    if (a->slurm && a->nodes > 0 && a->node < 0)
        return ta_fail(TA_USAGE, "--nodes %d needs --node K: which of them this is", a->nodes);
    if (a->replicas == 0) return TA_OK;
    snprintf(a->replicas_override, sizeof a->replicas_override, "run.replicas=%d", a->replicas);
    a->overrides[a->n_overrides++] = a->replicas_override;
    return TA_OK;
}

/* A make that is asked for and not in this program is what a doctor is there to find: then the rest is checked without
 * it. `asked` is the configuration as it was written, `config` the one that can be checked. */
static ta_status load(struct arguments *a, struct ta_run_config **asked, struct ta_run_config **config) {
    void *loaded = NULL;
    ta_status status = ta_run_config_load(a->path, a->overrides, a->n_overrides, config);
    if (status != TA_OK && status != TA_NOT_BUILT) return status;
    bool absent = status == TA_NOT_BUILT;
    status = ta_config_load(a->path, &ta_run_schema, a->overrides, a->n_overrides, &loaded);
    *asked = loaded;
    if (status != TA_OK || !absent) return status;
    a->overrides[a->n_overrides] = "transport.type=auto";
    a->overrides[a->n_overrides + 1] = "device.type=auto";
    return ta_run_config_load(a->path, a->overrides, a->n_overrides + 2, config);
}

/* Who says how many: flags, else the configuration as it was written, else the batch system. */
static ta_status deal(const struct arguments *a, const struct ta_run_config *asked, struct ta_doctor *d) {
    unsigned replicas = 0, per_node = 0, nodes = 0;
    ta_doctor_job_size(&replicas, &per_node, &nodes);
    if (nodes == 0 && per_node != 0) nodes = (replicas + per_node - 1) / per_node;
    bool by_job = replicas != 0 && a->replicas == 0 && (asked == NULL || asked->run.replicas == 0);
    if (a->replicas != 0) replicas = (unsigned)a->replicas;
    else if (d->config != NULL && !by_job) replicas = d->config->run.replicas;
    if (replicas == 0) replicas = 1;
    if (nodes > replicas) nodes = replicas;
    if (a->nodes != 0) nodes = (unsigned)a->nodes;
    if (nodes == 0) nodes = 1;
    if (!a->slurm && a->nodes != 0 && replicas % nodes != 0 && (d->config != NULL || a->replicas != 0) && !by_job)
        return ta_fail(TA_CONFIG, "%u replicas cannot be dealt evenly to %u nodes: give a multiple of %u to -n",
                       replicas, nodes, nodes);
    replicas = (replicas + nodes - 1) / nodes * nodes;
    d->replicas = replicas;
    d->nodes = nodes;
    d->node = a->node;
    d->per_node = replicas / nodes;
    return TA_OK;
}

/* All sections; text as it comes, since some take seconds. */
static ta_status examine(const struct ta_doctor *d, bool json, struct ta_findings *list) {
    ta_status status = TA_OK;
    for (const struct ta_doctor_section *s = ta_doctor_sections; s->name != NULL && status == TA_OK; s++) {
        size_t from = list->n;
        status = ta_doctor_apart(d, s, list);
        if (status == TA_OK && !json) ta_doctor_print(list, from);
    }
    if (status == TA_OK && json) status = ta_doctor_print_json(list);
    return status;
}

ta_status ta_doctor_verdict(const struct ta_findings *list, bool json) {
    unsigned counts[4] = {0};
    char wrong[512] = "";
    for (size_t i = 0; i < list->n; i++) {
        const struct ta_finding *f = &list->all[i];
        size_t used = strlen(wrong);
        counts[f->state]++;
        if (f->state != TA_FINDING_WRONG) continue;
        snprintf(wrong + used, sizeof wrong - used, "%s%s: %s", used > 0 ? "; " : "", f->section, f->name);
    }
    if (!json)
        printf("\n%u ok, %u notes, %u missing, %u wrong\n", counts[TA_FINDING_OK], counts[TA_FINDING_NOTE],
               counts[TA_FINDING_MISSING], counts[TA_FINDING_WRONG]);
    if (counts[TA_FINDING_WRONG] == 0) return TA_OK;
    return ta_fail(TA_DEVICE, "%u finding%s wrong (%s): the cure stands below each", counts[TA_FINDING_WRONG],
                   counts[TA_FINDING_WRONG] == 1 ? " is" : "s are", wrong);
}

static ta_status preflight(const struct arguments *a, const struct ta_doctor *d) {
    const char *directory = a->run_dir != NULL ? a->run_dir : getenv("TENSAIR_RUN_DIR");
    if ((directory == NULL || directory[0] == '\0') && d->config != NULL) directory = d->config->run.run_dir;
    if (directory == NULL || directory[0] == '\0') directory = ".";
    const struct ta_preflight_ask ask = {.directory = directory,
                                         .nodes = a->nodes > 0 ? a->nodes : -1,
                                         .node = a->node,
                                         .within_s = a->within_s > 0 ? a->within_s : 20,
                                         .json = a->json};
    return ta_doctor_preflight(d, &ask);
}

static ta_status doctor(int argc, char **argv) {
    static const struct ta_transport_spec nothing;
    struct arguments a = {.node = -1};
    struct ta_run_config *config = NULL, *asked = NULL;
    struct ta_doctor d = {.transport = &nothing, .device = "auto"};
    struct ta_findings list = {0};
    ta_status measured = TA_OK, status = TA_NEW(&a.overrides, (size_t)argc + 4, "the command line");
    if (status == TA_OK) status = parse(argc, argv, &a);
    if (status == TA_OK && a.help) fputs(help, stdout);
    if (status != TA_OK || a.help) goto free_arguments;
    if (a.path != NULL) status = load(&a, &asked, &config);
    if (status != TA_OK) goto free_configuration;
    d.path = a.path;
    d.config = config;
    d.quick = a.quick;
    if (asked != NULL) d.transport = &asked->transport;
    if (asked != NULL && asked->device.type != NULL) d.device = asked->device.type;
    status = deal(&a, asked, &d);
    if (status != TA_OK) goto free_configuration;
    if (config != NULL) measured = ta_doctor_measure(&d);
    if (measured != TA_OK) snprintf(d.why, sizeof d.why, "%.511s", ta_why());
    if (a.slurm) {
        status = preflight(&a, &d);
        goto free_configuration;
    }
    status = examine(&d, a.json, &list);
    if (status == TA_OK) status = ta_doctor_verdict(&list, a.json);
    if (status == TA_DEVICE && measured != TA_OK) status = ta_fail(measured, "%s", d.why);
    ta_doctor_forget(&list);
free_configuration:
    ta_run_config_free(config);
    ta_run_config_free(asked);
free_arguments:
    ta_mem_free(a.overrides);
    return status;
}

const struct ta_verb ta_verb_doctor = {
    .name = "doctor", .summary = "what this machine can do, what is missing, and the cure", .run = doctor};
