/* submit: `tensair submit CONFIG`. */
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "mem.h"
#include "run_config.h"
#include "run_dir.h"
#include "submit.h"

static const char help[] =
    "usage: tensair submit CONFIG.yaml [--nodes N] [--tasks-per-node M] [OPTIONS]\n"
    "\n"
    "Checks the configuration, writes a batch script into the run directory, and gives it to sbatch. The job survives what\n"
    "Slurm does to it: ahead of its time limit it writes a checkpoint and is queued again; lost replicas take no other with\n"
    "them; with --spares new ones take their place.\n"
    "\n"
    "  --nodes N              machines that train (1)\n"
    "  --tasks-per-node M     replicas a machine (1); or launchers, of -n / (N * M) replicas each\n"
    "  --gpus-per-node G, --cpus-per-task C, --mem SIZE, --time LIMIT, --partition P, --account A, --qos Q\n"
    "                         as sbatch takes them\n"
    "  --array LIST           one run for each number of the list, as 1-10 or 0-5%4, in RUN_DIR/task-NUMBER; %a in a --set\n"
    "                         becomes that number: --array 1-5 --set run.seed=%a\n"
    "  --spares S             replicas in reserve for lost ones, on nodes of their own, asked for besides the N\n"
    "  --signal-ahead S       stop that many seconds before the time limit (120): one step and one checkpoint must fit\n"
    "  --run-dir DIR          where everything of the run goes (runs/NAME-UTC); where a run stands there, it goes on\n"
    "  --set KEY=VALUE, -n REPLICAS, --mode MODE, --log-level LEVEL\n"
    "                         as for tensair train\n"
    "  --dry-run              print the script, write and submit nothing\n"
    "\n"
    "Exit status: 0 queued; 2 usage, configuration, or refused by sbatch; 69 there is no Slurm here; 74 input or output.\n";

enum {
    OPTION_NODES = 256, OPTION_TASKS, OPTION_GPUS, OPTION_CPUS, OPTION_MEM, OPTION_TIME, OPTION_PARTITION, OPTION_ACCOUNT,
    OPTION_QOS, OPTION_ARRAY, OPTION_SPARES, OPTION_AHEAD, OPTION_RUN_DIR, OPTION_SET, OPTION_MODE, OPTION_LOG_LEVEL,
    OPTION_DRY, OPTION_HELP
};

static const struct option options[] = {
    {"nodes", required_argument, NULL, OPTION_NODES},
    {"tasks-per-node", required_argument, NULL, OPTION_TASKS},
    {"ntasks-per-node", required_argument, NULL, OPTION_TASKS},
    {"gpus-per-node", required_argument, NULL, OPTION_GPUS},
    {"cpus-per-task", required_argument, NULL, OPTION_CPUS},
    {"mem", required_argument, NULL, OPTION_MEM},
    {"time", required_argument, NULL, OPTION_TIME},
    {"partition", required_argument, NULL, OPTION_PARTITION},
    {"account", required_argument, NULL, OPTION_ACCOUNT},
    {"qos", required_argument, NULL, OPTION_QOS},
    {"array", required_argument, NULL, OPTION_ARRAY},
    {"spares", required_argument, NULL, OPTION_SPARES},
    {"signal-ahead", required_argument, NULL, OPTION_AHEAD},
    {"run-dir", required_argument, NULL, OPTION_RUN_DIR},
    {"run_dir", required_argument, NULL, OPTION_RUN_DIR},
    {"set", required_argument, NULL, OPTION_SET},
    {"replicas", required_argument, NULL, 'n'},
    {"mode", required_argument, NULL, OPTION_MODE},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"dry-run", no_argument, NULL, OPTION_DRY},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

enum { LEAST_AHEAD_S = 10, MOST_AHEAD_S = 65535 /* sbatch(1) */, MOST_EXTRA = 4 };

struct arguments {
    struct ta_submit submit;
    const char *config;
    const char **passed;    /* [2 * argc] to the script: "--set", "KEY=VALUE", ... */
    const char **overrides; /* [argc + MOST_EXTRA] to check the configuration with */
    char **owned;           /* [argc] overrides with %a replaced */
    size_t n_passed, n_overrides, n_owned;
    unsigned replicas;      /* 0: not said */
    char spares[48], replicas_text[48], mode[96], level[96];
    bool dry, help;
};

static ta_status parse_number(const char *option, const char *text, long least, long most, unsigned *out) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < least || value > most)
        return ta_fail(TA_USAGE, "%s %.40s: not a number from %ld to %ld", option, text, least, most);
    *out = (unsigned)value;
    return TA_OK;
}

static void pass(struct arguments *a, const char *option, const char *value) {
    a->passed[a->n_passed++] = option;
    a->passed[a->n_passed++] = value;
}

static ta_status parse_run(struct arguments *a, int option, const char *value) {
    switch (option) {
        case 'n':
            pass(a, "-n", value);
            return parse_number("-n", value, 1, TA_MAX_REPLICAS, &a->replicas);
        case OPTION_SET:
            pass(a, "--set", value);
            a->overrides[a->n_overrides++] = value;
            return TA_OK;
        case OPTION_MODE:
            pass(a, "--mode", value);
            snprintf(a->mode, sizeof a->mode, "online.mode=%s", value);
            return TA_OK;
        case OPTION_LOG_LEVEL:
            pass(a, "--log-level", value);
            snprintf(a->level, sizeof a->level, "run.log_level=%s", value);
            return TA_OK;
        case OPTION_RUN_DIR: a->submit.run_dir = value; return TA_OK;
        case OPTION_DRY: a->dry = true; return TA_OK;
        default: a->help = true; return TA_OK;
    }
}

static ta_status parse_option(struct arguments *a, int option, const char *value) {
    struct ta_submit *s = &a->submit;
    switch (option) {
        case OPTION_NODES: return parse_number("--nodes", value, 1, TA_MAX_REPLICAS, &s->nodes);
        case OPTION_TASKS: return parse_number("--tasks-per-node", value, 1, TA_MAX_REPLICAS, &s->tasks_per_node);
        case OPTION_GPUS: return parse_number("--gpus-per-node", value, 0, TA_MAX_REPLICAS, &s->gpus_per_node);
        case OPTION_CPUS: return parse_number("--cpus-per-task", value, 1, 65535, &s->cpus_per_task);
        case OPTION_SPARES: return parse_number("--spares", value, 0, TA_MAX_REPLICAS, &s->spares);
        case OPTION_AHEAD:
            return parse_number("--signal-ahead", value, LEAST_AHEAD_S, MOST_AHEAD_S, &s->signal_ahead_s);
        case OPTION_MEM: s->mem = value; return TA_OK;
        case OPTION_TIME: s->time = value; return TA_OK;
        case OPTION_PARTITION: s->partition = value; return TA_OK;
        case OPTION_ACCOUNT: s->account = value; return TA_OK;
        case OPTION_QOS: s->qos = value; return TA_OK;
        case OPTION_ARRAY: s->array = value; return TA_OK;
        default: return parse_run(a, option, value);
    }
}

static ta_status parse(int argc, char **argv, struct arguments *a) {
    opterr = 0;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, ":n:h", options, NULL)) != -1;) {
        if (option == ':') return ta_fail(TA_USAGE, "%s needs a value; see tensair submit --help", argv[optind - 1]);
        if (option == '?') return ta_fail(TA_USAGE, "unknown option '%s'; see tensair submit --help", argv[optind - 1]);
        ta_status status = parse_option(a, option, optarg);
        if (status != TA_OK) return status;
    }
    if (a->help) return TA_OK;
    if (optind >= argc) return ta_fail(TA_USAGE, "needs a configuration file; see tensair submit --help");
    if (optind + 1 < argc) return ta_fail(TA_USAGE, "'%s' is one argument too many", argv[optind + 1]);
    a->config = argv[optind];
    return TA_OK;
}

/* The first task of an array stands for all: its number in place of each %a. */
static ta_status with_number(struct arguments *a, const char *text, const char **out) {
    char number[24];
    snprintf(number, sizeof number, "%.*s", (int)strspn(a->submit.array, "0123456789"), a->submit.array);
    size_t room = strlen(text) * sizeof number + 1;
    char *copy, *at;
    ta_status status = TA_NEW(&copy, room, "an override");
    if (status != TA_OK) return status;
    a->owned[a->n_owned++] = at = copy;
    while (*text != '\0') {
        bool marked = text[0] == '%' && text[1] == 'a';
        at += sprintf(at, "%.*s", marked ? (int)strlen(number) : 1, marked ? number : text);
        text += marked ? 2 : 1;
    }
    *out = copy;
    return TA_OK;
}

/* As `tensair train --print-config` would, so that what is wrong is said here and not from a queue tomorrow. */
static ta_status check_config(struct arguments *a) {
    struct ta_submit *s = &a->submit;
    unsigned long launchers = (unsigned long)(s->nodes > 0 ? s->nodes : 1) *
                              (s->tasks_per_node > 0 ? s->tasks_per_node : 1);
    if (a->replicas == 0 && s->spares > 0 && launchers <= TA_MAX_REPLICAS) a->replicas = (unsigned)launchers; /* as the script does */
    if (a->replicas > 0) {
        if (a->replicas % launchers != 0)
            return ta_fail(TA_USAGE,
                           "-n %u: replicas are dealt evenly to the %lu tasks of --nodes and --tasks-per-node: give a "
                           "multiple of %lu",
                           a->replicas, launchers, launchers);
        snprintf(a->replicas_text, sizeof a->replicas_text, "run.replicas=%u", a->replicas);
        a->overrides[a->n_overrides++] = a->replicas_text;
    }
    if (s->array != NULL && (s->array[0] < '0' || s->array[0] > '9'))
        return ta_fail(TA_USAGE, "--array '%.40s' does not begin with a number: give a list as 1-10 or 0,3,5-9%%4",
                       s->array);
    ta_status status = TA_OK;
    for (size_t i = 0; s->array != NULL && status == TA_OK && i < a->n_overrides; i++)
        status = with_number(a, a->overrides[i], &a->overrides[i]);
    if (a->mode[0] != '\0') a->overrides[a->n_overrides++] = a->mode;
    if (a->level[0] != '\0') a->overrides[a->n_overrides++] = a->level;
    if (s->spares > 0) {
        snprintf(a->spares, sizeof a->spares, "run.spares=%u", s->spares);
        a->overrides[a->n_overrides++] = a->spares;
    }
    struct ta_run_config *config;
    if (status == TA_OK) status = ta_run_config_load(a->config, a->overrides, a->n_overrides, &config);
    if (status != TA_OK) return status;
    const char *transport = config->transport.type;
    s->memlock = transport != NULL && strcmp(transport, "verbs") == 0 ? "require" : "warn";
    if (s->run_dir == NULL && config->run.run_dir != NULL)
        status = ta_mem_strdup(config->run.run_dir, "a path", &a->owned[a->n_owned]);
    if (status == TA_OK && a->owned[a->n_owned] != NULL) s->run_dir = a->owned[a->n_owned++];
    ta_run_config_free(config);
    return status;
}

/* Slurm shows this name in its lists, and files are called by it: no blanks, and nothing that means something there. */
static void name_job(const char *config, char name[64]) {
    const char *slash = strrchr(config, '/'), *base = slash != NULL ? slash + 1 : config;
    const char *dot = strrchr(base, '.');
    int length = snprintf(name, 64, "%.*s", dot == NULL || dot == base ? 63 : (int)(dot - base), base);
    for (int i = 0; i < length && i < 63; i++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-", name[i]) == NULL) name[i] = '_';
    if (name[0] == '\0' || name[0] == '-') name[0] = '_';
}

static void tell(const struct ta_submitted *job, const char *run_dir, bool array) {
    printf("job          %s%s\n", job->id, job->warning[0] != '\0' ? ", with a warning" : "");
    if (job->warning[0] != '\0') printf("%s\n", job->warning);
    printf("run          %s%s\n", run_dir, array ? "/task-NUMBER" : "");
    printf("script       %s/train.sbatch\n", run_dir);
    printf("follow       tensair watch %s%s\n", run_dir, array ? "/task-NUMBER" : "");
    printf("stop         scancel --batch --signal=TERM %s   (after a checkpoint, and not queued again)\n", job->id);
}

static ta_status send(struct arguments *a) {
    struct ta_run_dir dir;
    struct ta_submitted job;
    char *text = NULL;
    ta_status status = ta_run_dir_open(&dir, a->submit.run_dir, a->config);
    if (status == TA_OK) {
        a->submit.run_dir = dir.path;
        status = ta_submit_script(&a->submit, &text);
    }
    if (status == TA_OK) status = ta_run_dir_write(&dir, "train.sbatch", text);
    ta_run_dir_close(&dir); /* free again before the job may start */
    if (status == TA_OK) status = ta_submit_send(dir.path, "train.sbatch", &job);
    if (status == TA_OK) tell(&job, dir.path, a->submit.array != NULL);
    ta_mem_free(text);
    return status;
}

static ta_status prepare(struct arguments *a, char *folder, char *program, char *config) {
    ssize_t length = readlink("/proc/self/exe", program, PATH_MAX - 1);
    if (length < 0) return ta_fail_errno(TA_FAILED, "/proc/self/exe: cannot tell where this program lies");
    program[length] = '\0';
    if (getcwd(folder, PATH_MAX) == NULL) return ta_fail_errno(TA_IO, "the current folder has no name");
    if (realpath(a->config, config) == NULL) return ta_fail_errno(TA_IO, "%s: cannot read", a->config);
    a->submit.folder = folder;
    a->submit.program = program;
    a->submit.config = config;
    a->submit.arguments = a->passed;
    a->submit.n_arguments = a->n_passed;
    return TA_OK;
}

static ta_status print_script(struct arguments *a) {
    char *text = NULL;
    ta_status status = ta_submit_script(&a->submit, &text);
    if (status == TA_OK) fputs(text, stdout);
    ta_mem_free(text);
    return status;
}

static ta_status submit(int argc, char **argv) {
    struct arguments a = {0};
    char folder[PATH_MAX], program[PATH_MAX], config[PATH_MAX], name[64];
    ta_status status = TA_NEW(&a.passed, 2 * (size_t)argc, "the command line");
    if (status == TA_OK) status = TA_NEW(&a.overrides, (size_t)argc + MOST_EXTRA, "the command line");
    if (status == TA_OK) status = TA_NEW(&a.owned, (size_t)argc + MOST_EXTRA, "the command line");
    if (status == TA_OK) status = parse(argc, argv, &a);
    if (status == TA_OK && a.help) {
        fputs(help, stdout);
    } else if (status == TA_OK) {
        status = check_config(&a);
        if (status == TA_OK) status = prepare(&a, folder, program, config);
        if (status == TA_OK) {
            name_job(a.config, name);
            a.submit.job_name = name;
            status = a.dry ? print_script(&a) : send(&a);
        }
    }
    for (size_t i = 0; i < a.n_owned; i++) ta_mem_free(a.owned[i]);
    ta_mem_free(a.owned);
    ta_mem_free(a.overrides);
    ta_mem_free(a.passed);
    return status;
}

const struct ta_verb ta_verb_submit = {
    .name = "submit", .summary = "queue a run as a batch job of Slurm", .run = submit};
