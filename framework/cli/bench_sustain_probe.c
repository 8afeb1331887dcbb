/* bench_sustain_probe: one run of this program at one rate, in a folder that goes away with it. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_sustain.h"
#include "clock.h"
#include "mem.h"

enum { SETTINGS = 16, SETTING_BYTES = 64, PATH_BYTES = 256, LINE_BYTES = 512 };

/* --- a command --- */

/* Until it ends; a signal that is for us ends it first. */
static ta_status wait_for(struct sustain_bench *b, pid_t child, int *code) {
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGCHLD);
    int state = 0;
    for (pid_t ended = 0; ended != child;) {
        int got = sigtimedwait(&ours, NULL, &(struct timespec){.tv_nsec = 200 * 1000 * 1000});
        if (got == SIGINT || got == SIGTERM) {
            b->signal = got;
            (void)kill(child, SIGTERM);
        }
        ended = waitpid(child, &state, WNOHANG);
        if (ended < 0 && errno != EINTR) return ta_fail_errno(TA_FAILED, "cannot wait for process %d", (int)child);
    }
    *code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    return b->signal == 0 ? TA_OK : ta_fail(TA_FAILED, "ended by signal %d (%s)", b->signal, strsignal(b->signal));
}

ta_status sustain_command(struct sustain_bench *b, char *const *argv, const char *in, const char *out, const char *err,
                          int *code) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, in, O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &b->before);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    pid_t child;
    int failed = posix_spawnp(&child, argv[0], &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) return ta_fail(TA_FAILED, "cannot start %s: %s", argv[0], strerror(failed));
    return wait_for(b, child, code);
}

/* --- its arguments --- */

struct arguments {
    char setting[SETTINGS][SETTING_BYTES];
    unsigned n_settings;
    char program[PATH_MAX], replicas[16];
    char **argv;
    size_t n;
};

static void set(struct arguments *a, const char *key, double value) {
    char *text = a->setting[a->n_settings++];
    snprintf(text, SETTING_BYTES, "%s=%.17g", key, value);
    a->argv[a->n++] = (char *)"--set";
    a->argv[a->n++] = text;
}

static void say(struct arguments *a, const char *setting) {
    a->argv[a->n++] = (char *)"--set";
    a->argv[a->n++] = (char *)setting;
}

/* So many passes that no probe sees the end. A word model whose rate falls over the run must have one. */
static void set_length(struct sustain_bench *b, const struct sustain_offer *offer, struct arguments *a) {
    bool words = b->config->model.type != TA_MODEL_LAYERS;
    if (!b->o.once) set(a, "run.epochs", words && offer->rate == 0 ? 1e6 : -1);
    bool bounded = offer->rate > 0 && !b->o.once;
    set(a, "run.max_records", bounded ? (double)(uint64_t)(2 * offer->rate * offer->seconds + 1e4) : 0);
    set(a, "run.max_seconds", offer->seconds);
}

static ta_status make_arguments(struct sustain_bench *b, const struct sustain_offer *offer, const char *run_dir,
                                struct arguments *a) {
    ta_status status = TA_NEW(&a->argv, 2 * (b->o.n_overrides + SETTINGS) + 16, "a command line");
    if (status != TA_OK) return status;
    ssize_t length = readlink("/proc/self/exe", a->program, sizeof a->program - 1);
    if (length <= 0) return ta_fail_errno(TA_FAILED, "cannot find this program");
    snprintf(a->replicas, sizeof a->replicas, "%u", offer->replicas);
    const char *fixed[] = {a->program, "train", b->o.config_path, "--quiet", "--resume",
                           "never",    "--run-dir", run_dir, "-n", a->replicas};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) a->argv[a->n++] = (char *)fixed[i];
    for (size_t i = 0; i < b->o.n_overrides; i++) say(a, b->o.overrides[i]);
    say(a, "checkpoint.off=true");
    if (offer->rate > 0) say(a, b->pace);
    else say(a, "pace.type=max");
    if (offer->rate > 0) set(a, "pace.rate", offer->rate);
    else say(a, "stream.on_overload=lag"); /* nothing is late that is never due */
    set(a, "pace.seed", (double)(b->config->pace.seed + offer->seed));
    set(a, "run.seed", (double)(b->config->run.seed + offer->seed));
    set(a, "stream.batch", offer->batch);
    set(a, "metrics.warm_up", offer->warm_up_s);
    set_length(b, offer, a);
    return TA_OK;
}

/* --- what came of it --- */

/* The last line of a file that says something. */
static void last_line(const char *path, char *line, size_t bytes) {
    char text[LINE_BYTES];
    snprintf(line, bytes, "it said nothing");
    FILE *file = fopen(path, "r");
    if (file == NULL) return;
    while (fgets(text, sizeof text, file) != NULL) {
        text[strcspn(text, "\n")] = '\0';
        if (text[0] != '\0') snprintf(line, bytes, "%s", text);
    }
    fclose(file);
}

static ta_status read_summary(const char *run_dir, struct sustain_outcome *out) {
    char path[PATH_BYTES + 16];
    snprintf(path, sizeof path, "%s/metrics.jsonl", run_dir);
    FILE *file = fopen(path, "r");
    if (file == NULL) return ta_fail_errno(TA_IO, "%s: cannot read", path);
    json_t *line, *summary = NULL;
    while ((line = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL)) != NULL) {
        const char *kind = json_string_value(json_object_get(line, "kind"));
        if (kind != NULL && strcmp(kind, "summary") == 0) {
            json_decref(summary);
            summary = json_incref(line);
        }
        json_decref(line);
    }
    fclose(file);
    if (summary == NULL) return ta_fail(TA_FORMAT, "%s: the run left no summary", path);
    double records = json_number_value(json_object_get(summary, "records"));
    double words = json_number_value(json_object_get(summary, "words"));
    out->records_per_s = json_number_value(json_object_get(summary, "records_per_s"));
    out->dropped = (uint64_t)json_integer_value(json_object_get(summary, "dropped"));
    out->words_per_record = records > 0 ? words / records : 0;
    json_decref(summary);
    return TA_OK;
}

static ta_status read_latencies(const struct sustain_offer *offer, const char *run_dir, struct sustain_outcome *out) {
    unsigned found;
    ta_status status = ta_latencies_gather(out->latencies, run_dir, 1, offer->replicas, &found);
    if (status != TA_OK || found == offer->replicas) return status;
    return ta_fail(TA_FAILED, "%u of %u replicas left no latencies", offer->replicas - found, offer->replicas);
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *where) {
    (void)facts, (void)kind, (void)where;
    return remove(path);
}

static void remove_all(const char *path) { (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

static ta_status told(const struct sustain_offer *offer, const char *err, int code) {
    char line[LINE_BYTES];
    last_line(err, line, sizeof line);
    ta_status status = code == 2 ? TA_CONFIG : code == 69 ? TA_PEER : code == 74 ? TA_IO : TA_FAILED;
    char rate[48] = "unpaced";
    if (offer->rate > 0) snprintf(rate, sizeof rate, "%.4g records/s", offer->rate);
    return ta_fail(status, "%u replica%s, batch %u, %s: the run ended with exit status %d: %s", offer->replicas,
                   offer->replicas == 1 ? "" : "s", offer->batch, rate, code, line);
}

ta_status sustain_offer(struct sustain_bench *b, const struct sustain_offer *offer, struct sustain_outcome *out) {
    char run_dir[PATH_BYTES], said[PATH_BYTES], err[PATH_BYTES];
    snprintf(run_dir, sizeof run_dir, "%s/run", b->folder);
    snprintf(said, sizeof said, "%s/out", b->folder);
    snprintf(err, sizeof err, "%s/err", b->folder);
    struct arguments a = {.n = 0};
    int code = 0;
    int64_t start_ns = ta_clock_now_ns();
    ta_status status = make_arguments(b, offer, run_dir, &a);
    if (status == TA_OK) status = sustain_command(b, a.argv, "/dev/null", said, err, &code);
    out->seconds = (double)(ta_clock_now_ns() - start_ns) / TA_NS_PER_S;
    if (status == TA_OK && code != 0) status = told(offer, err, code);
    if (status == TA_OK) status = read_summary(run_dir, out);
    if (status == TA_OK && offer->rate > 0) status = read_latencies(offer, run_dir, out);
    remove_all(run_dir);
    ta_mem_free(a.argv);
    return status;
}

void sustain_clean(struct sustain_bench *b) {
    if (b->folder[0] != '\0') remove_all(b->folder);
}
