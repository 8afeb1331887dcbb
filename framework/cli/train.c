/* train: `tensair train CONFIG`. */
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "launcher.h"
#include "mem.h"
#include "pretrained.h"
#include "replay_run.h"
#include "run_config.h"

static const char help[] =
    "usage: tensair train CONFIG.yaml [-n REPLICAS] [--set KEY=VALUE]... [--run-dir DIR] [--resume auto|PATH|never]\n"
    "                     [--from MODEL] [--mode MODE] [--device TYPE] [--replicas-per-gpu N] [--nodes M --node K] [--join K]\n"
    "                     [--record DIR] [--replay DIR [--until RANK:STEP]]\n"
    "                     [--log-level LEVEL] [--quiet] [--print-config]\n"
    "\n"
    "Trains a network on a stream with one or more replicas on this machine, or on several.\n"
    "\n"
    "  -n, --replicas N     replicas, each a process on its own core (run.replicas)\n"
    "  --set KEY=VALUE      overrides a key of the configuration: --set optimizer.rate=0.1 --set model.layers[0].units=64\n"
    "  --run-dir DIR        where everything of the run goes (TENSAIR_RUN_DIR, run.run_dir; otherwise runs/NAME-JOBID in a\n"
    "                       Slurm job, where a requeued life finds it again, else runs/NAME-UTC)\n"
    "  --resume auto        go on from the newest checkpoint in the run directory, if there is one (the default)\n"
    "  --resume PATH        go on from that checkpoint\n"
    "  --resume never       start anew; refused where a run with checkpoints lies\n"
    "  --from MODEL         begin with the weights of a checkpoint, of a run's newest one, or of a file that Keras wrote,\n"
    "                       and nothing else of it (run.from)\n"
    "  --mode MODE          train (the default), predict, or auto: train until converged, then predict, and train again\n"
    "                       when the world has changed (online.mode)\n"
    "  --device TYPE        auto (the default: a GPU where there is one), cpu, cuda (device.type)\n"
    "  --replicas-per-gpu N replicas that share a GPU (device.replicas_per_gpu; otherwise as many as fall on each)\n"
    "  --nodes M --node K   the run spans M machines, and this is number K of them, from 0 (TENSAIR_NODES, TENSAIR_NODE):\n"
    "                       start the same command on each, with one run directory that all of them see. A task of\n"
    "                       srun, mpirun, mpiexec or torchrun knows both by itself, and -n is then as many as there are tasks\n"
    "  --join K             start spare K (from 0) of the run that is under way in --run-dir, begun with run.spares above K:\n"
    "                       it goes on where a replica that was lost has stopped\n"
    "  --record DIR         write down in DIR which steps of its peers each replica had in its weights (run.record), so that\n"
    "  --replay DIR         repeats that run bit for bit, in one process, in a run directory of its own: same configuration\n"
    "  --until RANK:STEP    the replay stops after that step of that replica: its loss, gradient and weights\n"
    "  --log-level LEVEL    least level shown on stderr: debug, info, warn (the default), error (run.log_level)\n"
    "  --quiet              no progress\n"
    "  --print-config       print the effective configuration and exit\n"
    "\n"
    "SIGTERM, SIGUSR1, SIGINT: checkpoint and stop (exit status 75). SIGUSR2: print state. A second SIGINT: leave now.\n"
    "Exit status: 0 finished and saved; 1 failed; 2 usage or configuration; 69 a replica was lost; 74 input or output;\n"
    "75 checkpointed, please run again.\n";

enum { OPTION_SET = 256, OPTION_RUN_DIR, OPTION_RESUME, OPTION_FROM, OPTION_LOG_LEVEL, OPTION_MODE, OPTION_DEVICE, OPTION_PER_GPU, OPTION_NODES, OPTION_NODE, OPTION_JOIN, OPTION_RECORD, OPTION_REPLAY, OPTION_UNTIL, OPTION_PRINT, OPTION_HELP };

static const struct option options[] = {
    {"replicas", required_argument, NULL, 'n'},
    {"set", required_argument, NULL, OPTION_SET},
    {"run-dir", required_argument, NULL, OPTION_RUN_DIR},
    {"run_dir", required_argument, NULL, OPTION_RUN_DIR},
    {"resume", required_argument, NULL, OPTION_RESUME},
    {"from", required_argument, NULL, OPTION_FROM},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"log_level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"mode", required_argument, NULL, OPTION_MODE},
    {"device", required_argument, NULL, OPTION_DEVICE},
    {"replicas-per-gpu", required_argument, NULL, OPTION_PER_GPU},
    {"replicas_per_gpu", required_argument, NULL, OPTION_PER_GPU},
    {"nodes", required_argument, NULL, OPTION_NODES},
    {"node", required_argument, NULL, OPTION_NODE},
    {"join", required_argument, NULL, OPTION_JOIN},
    {"record", required_argument, NULL, OPTION_RECORD},
    {"replay", required_argument, NULL, OPTION_REPLAY},
    {"until", required_argument, NULL, OPTION_UNTIL},
    {"quiet", no_argument, NULL, 'q'},
    {"print-config", no_argument, NULL, OPTION_PRINT},
    {"print_config", no_argument, NULL, OPTION_PRINT},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

struct arguments {
    struct ta_launch launch;
    struct ta_replay_run replay; /* folder NULL: none */
    const char **overrides; /* [argc + 8] */
    char from_environment[2][96];
    char record[PATH_MAX + 16];
    char replicas[32], log_level[64], mode[64], device[64], per_gpu[64], found[TA_PRETRAINED_PATH], from[TA_PRETRAINED_PATH + 16];
    bool print, help;
};

static ta_status parse_replicas(struct arguments *a, const char *text) {
    char *end;
    long n = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || n < 1 || n > TA_MAX_REPLICAS)
        return ta_fail(TA_USAGE, "-n %s: not a number of replicas from 1 to %d", text, TA_MAX_REPLICAS);
    snprintf(a->replicas, sizeof a->replicas, "run.replicas=%ld", n);
    a->overrides[a->launch.n_overrides++] = a->replicas;
    return TA_OK;
}

/* Chosen here, once: a run that still trains writes newer ones meanwhile. */
static ta_status parse_from(struct arguments *a, const char *text) {
    ta_status status = ta_pretrained_find(text, NULL, a->found);
    if (status != TA_OK) return status;
    if (strchr(a->found, '\'') != NULL) return ta_fail(TA_CONFIG, "--from %s: the path has a quote in it", a->found);
    snprintf(a->from, sizeof a->from, "run.from='%s'", a->found);
    a->overrides[a->launch.n_overrides++] = a->from;
    return TA_OK;
}

/* In full: the replicas are told by it too, and `tensair train` again may be called from elsewhere. */
static ta_status parse_record(struct arguments *a, const char *text) {
    char here[PATH_MAX];
    if (strchr(text, '\'') != NULL) return ta_fail(TA_CONFIG, "--record %s: the path has a quote in it", text);
    if (getcwd(here, sizeof here) == NULL) return ta_fail_errno(TA_IO, "the current folder cannot be named");
    int n = snprintf(a->record, sizeof a->record, "run.record='%s%s%s'", text[0] == '/' ? "" : here,
                     text[0] == '/' ? "" : "/", text);
    if (n < 0 || (size_t)n >= sizeof a->record) return ta_fail(TA_CONFIG, "--record %s: the path is too long", text);
    a->overrides[a->launch.n_overrides++] = a->record;
    return TA_OK;
}

static ta_status replay(struct arguments *a) {
    const struct ta_launch *l = &a->launch;
    a->replay.config_path = l->config_path;
    a->replay.overrides = l->overrides;
    a->replay.n_overrides = l->n_overrides;
    a->replay.run_dir = l->run_dir;
    a->replay.quiet = l->quiet;
    return ta_replay_run(&a->replay);
}

static ta_status parse_node(const char *option, const char *text, long least, long *out) {
    char *end;
    *out = strtol(text, &end, 10);
    if (*text != '\0' && *end == '\0' && *out >= least && *out <= TA_MAX_REPLICAS) return TA_OK;
    return ta_fail(TA_USAGE, "%s %s: not a number from %ld to %d", option, text, least, TA_MAX_REPLICAS);
}

/* What the batch system's options have left (slurm/spank): before the command line, which counts more. */
static void take_environment(struct arguments *a) {
    static const char *const variables[2] = {"TENSAIR_TRANSPORT", "TENSAIR_LOG_LEVEL"};
    static const char *const keys[2] = {"transport.type", "run.log_level"};
    for (int i = 0; i < 2; i++) {
        const char *value = getenv(variables[i]);
        if (value == NULL || *value == '\0') continue;
        snprintf(a->from_environment[i], sizeof a->from_environment[i], "%s=%s", keys[i], value);
        a->overrides[a->launch.n_overrides++] = a->from_environment[i];
    }
}

static ta_status parse(int argc, char **argv, struct arguments *a) {
    opterr = 0;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, ":n:qh", options, NULL)) != -1;) {
        ta_status status = TA_OK;
        switch (option) {
            case 'n': status = parse_replicas(a, optarg); break;
            case 'q': a->launch.quiet = true; break;
            case OPTION_SET: a->overrides[a->launch.n_overrides++] = optarg; break;
            case OPTION_RUN_DIR: a->launch.run_dir = optarg; break;
            case OPTION_RESUME: a->launch.resume = optarg; break;
            case OPTION_FROM: status = parse_from(a, optarg); break;
            case OPTION_LOG_LEVEL:
                snprintf(a->log_level, sizeof a->log_level, "run.log_level=%s", optarg);
                a->overrides[a->launch.n_overrides++] = a->log_level;
                break;
            case OPTION_MODE:
                snprintf(a->mode, sizeof a->mode, "online.mode=%s", optarg);
                a->overrides[a->launch.n_overrides++] = a->mode;
                break;
            case OPTION_DEVICE:
                snprintf(a->device, sizeof a->device, "device.type=%s", optarg);
                a->overrides[a->launch.n_overrides++] = a->device;
                break;
            case OPTION_PER_GPU:
                snprintf(a->per_gpu, sizeof a->per_gpu, "device.replicas_per_gpu=%s", optarg);
                a->overrides[a->launch.n_overrides++] = a->per_gpu;
                break;
            case OPTION_NODES: status = parse_node("--nodes", optarg, 1, &a->launch.nodes); break;
            case OPTION_NODE: status = parse_node("--node", optarg, 0, &a->launch.node); break;
            case OPTION_JOIN: status = parse_node("--join", optarg, 0, &a->launch.join); break;
            case OPTION_RECORD: status = parse_record(a, optarg); break;
            case OPTION_REPLAY: a->replay.folder = optarg; break;
            case OPTION_UNTIL: status = ta_replay_run_until(optarg, &a->replay); break;
            case OPTION_PRINT: a->print = true; break;
            case 'h':
            case OPTION_HELP: a->help = true; break;
            case ':': return ta_fail(TA_USAGE, "%s needs a value; see tensair train --help", argv[optind - 1]);
            default: return ta_fail(TA_USAGE, "unknown option '%s'; see tensair train --help", argv[optind - 1]);
        }
        if (status != TA_OK) return status;
    }
    if (a->help) return TA_OK;
    if (a->replay.until && a->replay.folder == NULL) return ta_fail(TA_USAGE, "--until goes with --replay alone");
    if (optind >= argc) return ta_fail(TA_USAGE, "needs a configuration file; see tensair train --help");
    if (optind + 1 < argc) return ta_fail(TA_USAGE, "'%s' is one argument too many", argv[optind + 1]);
    a->launch.config_path = argv[optind];
    return TA_OK;
}

static ta_status print_config(const struct ta_launch *launch) {
    struct ta_run_config *config;
    char *text = NULL;
    ta_status status = ta_run_config_load(launch->config_path, launch->overrides, launch->n_overrides, &config);
    if (status == TA_OK) status = ta_config_print(config, &ta_run_schema, &text);
    if (status == TA_OK) fputs(text, stdout);
    ta_mem_free(text);
    if (config != NULL) ta_run_config_free(config);
    return status;
}

void ta_cli_interrupted(const char *verb) {
    fprintf(stderr, "tensair %s: %s\n", verb, ta_why());
    fflush(stdout);
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
    sigprocmask(SIG_UNBLOCK, &interrupt, NULL);
}

static ta_status train(int argc, char **argv) {
    struct arguments a = {.launch = {.argc = argc, .argv = argv, .nodes = -1, .node = -1, .join = -1}};
    ta_status status = TA_NEW(&a.overrides, (size_t)argc + 8, "the command line");
    if (status != TA_OK) return status;
    a.launch.overrides = a.overrides;
    take_environment(&a);
    status = parse(argc, argv, &a);
    bool interrupted = false;
    if (status == TA_OK && a.help) fputs(help, stdout);
    else if (status == TA_OK && a.print) status = print_config(&a.launch);
    else if (status == TA_OK && a.replay.folder != NULL) status = replay(&a);
    else if (status == TA_OK && ta_launch_is_replica()) status = ta_launch_replica(&a.launch, &interrupted);
    else if (status == TA_OK && a.launch.join >= 0) status = ta_launch_join(&a.launch, &interrupted);
    else if (status == TA_OK) status = ta_launch(&a.launch, &interrupted);
    ta_mem_free(a.overrides);
    if (interrupted) ta_cli_interrupted("train");
    return status;
}

const struct ta_verb ta_verb_train = {.name = "train", .summary = "train a network on a stream", .run = train};
