/* predict: `tensair predict MODEL --stream STREAM`: a launch in mode predict that begins with the weights of a
 * checkpoint. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <time.h>

#include "cli.h"
#include "launcher.h"
#include "mem.h"
#include "predictions_view.h"
#include "pretrained.h"

static const char help[] =
    "usage: tensair predict CHECKPOINT|RUN_DIR|MODEL.h5 --stream STREAM.h5|CONFIG.yaml [--rate R] [--pace TYPE]\n"
    "                       [-n REPLICAS] [--run-dir DIR] [-o FILE.h5] [--device TYPE] [--replicas-per-gpu N] [--set KEY=VALUE]...\n"
    "                       [--log-level LEVEL] [--quiet]\n"
    "\n"
    "Predicts every record of a stream when it is due, with the weights of a checkpoint, and never trains. Any number of\n"
    "replicas, whatever number wrote the checkpoint. Records with a label are scored; none needs one.\n"
    "\n"
    "  CHECKPOINT           its directory; RUN_DIR: the newest whole one of that run; MODEL.h5: weights that Keras wrote\n"
    "  --stream STREAM.h5   a stream file; the rest of the configuration is that of the run that wrote the checkpoint\n"
    "  --stream CONFIG.yaml a configuration: its stream, pace and all the rest; its model must be the checkpoint's\n"
    "  --rate R             records a second of all replicas together (pace.rate, with pace.type: constant)\n"
    "  --pace TYPE          max (the default with STREAM.h5), constant, poisson, bursts, trace (pace.type)\n"
    "  -n, --replicas N     replicas, each a process on its own core (run.replicas; otherwise 1)\n"
    "  --run-dir DIR        where predictions.h5, metrics and logs go (otherwise runs/predict-UTC); again with the same\n"
    "                       DIR goes on where a stopped run was\n"
    "  -o FILE.h5           in the end all predictions as one plain file too, by record number\n"
    "  --device TYPE        auto (the default: a GPU where there is one), cpu, cuda (device.type)\n"
    "  --replicas-per-gpu N replicas that share a GPU (device.replicas_per_gpu)\n"
    "  --set KEY=VALUE      overrides a key of the configuration\n"
    "  --log-level LEVEL    least level shown on stderr: debug, info, warn (the default), error\n"
    "  --quiet              no progress\n"
    "\n"
    "DIR/predictions.h5 holds record number, due time, time of the answer, prediction, label, replica and version of the\n"
    "model, and can be read while it grows: h5py.File(path, 'r', swmr=True). The latencies are in the summary.\n"
    "Exit status: as tensair train.\n";

enum { OPTION_STREAM = 256, OPTION_RATE, OPTION_PACE, OPTION_DEVICE, OPTION_PER_GPU, OPTION_SET, OPTION_RUN_DIR, OPTION_LOG_LEVEL, OPTION_HELP };

static const struct option options[] = {
    {"stream", required_argument, NULL, OPTION_STREAM},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"pace", required_argument, NULL, OPTION_PACE},
    {"replicas", required_argument, NULL, 'n'},
    {"run-dir", required_argument, NULL, OPTION_RUN_DIR},
    {"run_dir", required_argument, NULL, OPTION_RUN_DIR},
    {"output", required_argument, NULL, 'o'},
    {"device", required_argument, NULL, OPTION_DEVICE},
    {"replicas-per-gpu", required_argument, NULL, OPTION_PER_GPU},
    {"replicas_per_gpu", required_argument, NULL, OPTION_PER_GPU},
    {"set", required_argument, NULL, OPTION_SET},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"log_level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

enum { OWN_OVERRIDES = 22, TEXT_BYTES = 2 * PATH_MAX + 64 };

struct arguments {
    struct ta_launch launch;
    const char *model, *stream, *output, *pace, *device, *per_gpu, *log_level;
    long replicas; /* 0: not given */
    double rate;   /* 0: not given */
    const char **given; /* --set */
    size_t n_given;
    const char **overrides; /* ours, then those given */
    char texts[OWN_OVERRIDES][TEXT_BYTES];
    unsigned n_texts;
    char from[TA_PRETRAINED_PATH], config[TA_PRETRAINED_PATH], stream_path[PATH_MAX], run_dir[PATH_MAX],
        again[4 * PATH_MAX];
    bool help;
};

/* --- the command line --- */

static ta_status parse_rate(struct arguments *a, const char *text) {
    char *end;
    a->rate = strtod(text, &end);
    if (*text != '\0' && *end == '\0' && isfinite(a->rate) && a->rate > 0) return TA_OK;
    return ta_fail(TA_USAGE, "--rate %s: not a number of records a second above 0", text);
}

static ta_status parse_replicas(struct arguments *a, const char *text) {
    char *end;
    a->replicas = strtol(text, &end, 10);
    if (*text != '\0' && *end == '\0' && a->replicas >= 1 && a->replicas <= TA_MAX_REPLICAS) return TA_OK;
    return ta_fail(TA_USAGE, "-n %s: not a number of replicas from 1 to %d", text, TA_MAX_REPLICAS);
}

static ta_status parse(int argc, char **argv, struct arguments *a) {
    opterr = 0;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, ":n:o:qh", options, NULL)) != -1;) {
        ta_status status = TA_OK;
        switch (option) {
            case 'n': status = parse_replicas(a, optarg); break;
            case 'o': a->output = optarg; break;
            case 'q': a->launch.quiet = true; break;
            case OPTION_STREAM: a->stream = optarg; break;
            case OPTION_RATE: status = parse_rate(a, optarg); break;
            case OPTION_PACE: a->pace = optarg; break;
            case OPTION_DEVICE: a->device = optarg; break;
            case OPTION_PER_GPU: a->per_gpu = optarg; break;
            case OPTION_SET: a->given[a->n_given++] = optarg; break;
            case OPTION_RUN_DIR: a->launch.run_dir = optarg; break;
            case OPTION_LOG_LEVEL: a->log_level = optarg; break;
            case 'h':
            case OPTION_HELP: a->help = true; break;
            case ':': return ta_fail(TA_USAGE, "%s needs a value; see tensair predict --help", argv[optind - 1]);
            default: return ta_fail(TA_USAGE, "unknown option '%s'; see tensair predict --help", argv[optind - 1]);
        }
        if (status != TA_OK) return status;
    }
    if (a->help) return TA_OK;
    if (optind >= argc) return ta_fail(TA_USAGE, "needs a checkpoint; see tensair predict --help");
    if (optind + 1 < argc) return ta_fail(TA_USAGE, "'%s' is one argument too many", argv[optind + 1]);
    if (a->stream == NULL)
        return ta_fail(TA_USAGE, "needs --stream: what is to be predicted; see tensair predict --help");
    a->model = argv[optind];
    return TA_OK;
}

/* --- the configuration --- */

static void set(struct arguments *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void set(struct arguments *a, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(a->texts[a->n_texts], TEXT_BYTES, format, args);
    va_end(args);
    a->overrides[a->launch.n_overrides++] = a->texts[a->n_texts++];
}

/* A single-quoted YAML scalar. */
static void set_path(struct arguments *a, const char *key, const char *path) {
    char quoted[2 * PATH_MAX], *at = quoted;
    for (const char *c = path; *c != '\0' && at < quoted + sizeof quoted - 2; c++) {
        if (*c == '\'') *at++ = '\'';
        *at++ = *c;
    }
    *at = '\0';
    set(a, "%s='%s'", key, quoted);
}

static ta_status is_stream_file(const char *path, bool *out) {
    unsigned char head[8] = {0};
    FILE *file = fopen(path, "re");
    if (file == NULL) return ta_fail_errno(TA_IO, "--stream %s: cannot open", path);
    *out = fread(head, 1, sizeof head, file) == sizeof head && memcmp(head, "\211HDF\r\n\032\n", sizeof head) == 0;
    fclose(file);
    return TA_OK;
}

/* What belonged to the stream that the run was trained on says nothing of this one. */
static void set_stream_file(struct arguments *a) {
    set_path(a, "stream.file", a->stream_path);
    set(a, "stream.generator=");
    set(a, "stream.records=0");
    set(a, "stream.drift=");
    set(a, "stream.inject_drift=[]");
    set(a, "online.label_delay=0");
    set(a, "run.max_records=0");
    set(a, "run.epochs=1");
    set(a, "run.max_seconds=0");
    set(a, "pace.schedule=[]");
    if (a->pace == NULL) a->pace = a->rate > 0 ? "constant" : "max";
    if (a->replicas == 0) a->replicas = 1;
}

static ta_status configure(struct arguments *a) {
    bool file = false;
    ta_status status = is_stream_file(a->stream, &file);
    if (status == TA_OK) status = ta_pretrained_find(a->model, NULL, a->from);
    if (status != TA_OK) return status;
    if (realpath(a->stream, a->stream_path) == NULL) return ta_fail_errno(TA_IO, "--stream %s", a->stream);
    if (file && !ta_pretrained_config(a->from, a->config))
        return ta_fail(TA_CONFIG,
                       "%s does not lie in a run directory, so nothing says what network its weights belong to: give "
                       "--stream a configuration with that model and this stream",
                       a->from);
    a->launch.config_path = file ? a->config : a->stream_path;
    if (file) set_stream_file(a);
    set(a, "online.mode=predict");
    set(a, "online.predictions=yes");
    set(a, "online.answers=[]");
    set(a, "run.run_dir=");
    set_path(a, "run.from", a->from);
    if (a->pace == NULL && a->rate > 0) a->pace = "constant";
    if (a->pace != NULL) set(a, "pace.type=%s", a->pace);
    if (a->rate > 0) set(a, "pace.rate=%.17g", a->rate);
    if (a->replicas > 0) set(a, "run.replicas=%ld", a->replicas);
    if (a->device != NULL) set(a, "device.type=%s", a->device);
    if (a->per_gpu != NULL) set(a, "device.replicas_per_gpu=%s", a->per_gpu);
    if (a->log_level != NULL) set(a, "run.log_level=%s", a->log_level);
    for (size_t i = 0; i < a->n_given; i++) a->overrides[a->launch.n_overrides++] = a->given[i];
    a->launch.overrides = a->overrides;
    return TA_OK;
}

/* --- the run directory --- */

/* runs/predict-20261121T091843Z, with -2, -3 ... behind it. */
static ta_status make_run_dir(struct arguments *a) {
    char day[20];
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(day, sizeof day, "%Y%m%dT%H%M%SZ", &parts);
    if (mkdir("runs", 0755) != 0 && errno != EEXIST) return ta_fail_errno(TA_IO, "runs: cannot create the folder");
    for (unsigned i = 1; i < 1000; i++) {
        int used = snprintf(a->run_dir, sizeof a->run_dir, "runs/predict-%s", day);
        if (i > 1) snprintf(a->run_dir + used, sizeof a->run_dir - (size_t)used, "-%u", i);
        if (mkdir(a->run_dir, 0755) == 0) return TA_OK;
        if (errno != EEXIST) return ta_fail_errno(TA_IO, "%s: cannot create the run directory", a->run_dir);
    }
    return ta_fail(TA_IO, "%s: too many runs of this second: give --run-dir", a->run_dir);
}

/* The run that was trained must not be gone on with as one that predicts. */
static ta_status choose_run_dir(struct arguments *a) {
    char theirs[TA_PRETRAINED_PATH], ours[PATH_MAX];
    if (a->launch.run_dir == NULL) {
        ta_status status = make_run_dir(a);
        a->launch.run_dir = a->run_dir;
        return status;
    }
    if (!ta_pretrained_config(a->from, theirs)) return TA_OK;
    *strrchr(theirs, '/') = '\0';
    if (realpath(a->launch.run_dir, ours) == NULL || strcmp(ours, theirs) != 0) return TA_OK;
    return ta_fail(TA_CONFIG, "--run-dir %s is the run that wrote the checkpoint: give another one for its predictions",
                   a->launch.run_dir);
}

static ta_status serve(struct arguments *a, bool *interrupted) {
    ta_status status = configure(a);
    if (status == TA_OK) status = choose_run_dir(a);
    if (status != TA_OK) return status;
    snprintf(a->again, sizeof a->again, "tensair predict %s --stream %s --run-dir %s", a->model, a->stream,
             a->launch.run_dir);
    a->launch.again = a->again;
    pid_t launcher = getpid();
    status = ta_launch(&a->launch, interrupted);
    if (status != TA_OK || getpid() != launcher) return status; /* another process: one of its replicas, at its end */
    printf("predictions  %s/predictions.h5\n", a->launch.run_dir);
    if (a->output == NULL) return TA_OK;
    status = ta_predictions_gather(a->launch.run_dir, a->output);
    if (status == TA_OK) printf("             %s, by record number\n", a->output);
    return status;
}

static ta_status predict(int argc, char **argv) {
    struct arguments *a;
    bool interrupted = false;
    ta_status status = TA_NEW(&a, 1, "the command line");
    if (status != TA_OK) return status;
    a->launch = (struct ta_launch){.argc = argc, .argv = argv, .nodes = -1, .node = -1};
    status = TA_NEW(&a->given, (size_t)argc, "the command line");
    if (status == TA_OK) status = TA_NEW(&a->overrides, (size_t)argc + OWN_OVERRIDES, "the command line");
    if (status == TA_OK) status = parse(argc, argv, a);
    if (status == TA_OK && a->help) fputs(help, stdout);
    else if (status == TA_OK) status = serve(a, &interrupted);
    ta_mem_free(a->given);
    ta_mem_free(a->overrides);
    ta_mem_free(a);
    if (interrupted) ta_cli_interrupted("predict");
    return status;
}

const struct ta_verb ta_verb_predict = {
    .name = "predict", .summary = "serve a checkpoint over a stream", .run = predict};
