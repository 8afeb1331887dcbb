/* ib_write_bw and ib_write_lat of perftest, on the device and GID that our own puts use. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench_window.h"

enum { ARGUMENTS = 20, TEXT = 256, CLIENT_TRIES = 100, STEP_MS = 20, PATIENCE_MS = 120000, COLUMNS = 3 };

static const char *const programs[] = {"ib_write_bw", "ib_write_lat"};

static bool on_path(const char *name) {
    const char *path = getenv("PATH");
    for (const char *at = path != NULL ? path : ""; *at != '\0';) {
        size_t length = strcspn(at, ":");
        char file[512];
        snprintf(file, sizeof file, "%.*s/%s", (int)length, at, name);
        if (access(file, X_OK) == 0) return true;
        at += length + (at[length] == ':');
    }
    return false;
}

struct port {
    char device[64];
    unsigned number, gid;
};

/* The port and GID the transport would take, from what its probe says. */
static ta_status find_port(const struct ta_bench *b, struct port *out) {
    char said[256];
    ta_status status = b->ops->probe(&b->o.spec, said, sizeof said);
    if (status != TA_OK) return status;
    if (sscanf(said, "device %63[^ :,] port %u, gid %u", out->device, &out->number, &out->gid) != 3)
        return ta_fail(TA_CONFIG, "--perftest: no device, port and gid in '%s': choose one port by --device NAME:PORT",
                       said);
    return TA_OK;
}

ta_status ta_bench_perftest_check(const struct ta_bench *b) {
    struct port port;
    for (int i = 0; i < 2; i++)
        if (!on_path(programs[i]))
            return ta_fail(TA_CONFIG, "--perftest: there is no %s on PATH: apt-get install perftest", programs[i]);
    return find_port(b, &port);
}

/* ---- a program ---- */

struct command {
    char texts[ARGUMENTS][TEXT];
    char *argv[ARGUMENTS + 1];
    unsigned n;
};

static void add(struct command *c, const char *format, uint64_t value) {
    snprintf(c->texts[c->n], TEXT, format, value);
    c->argv[c->n] = c->texts[c->n];
    c->n++;
}

static void add_text(struct command *c, const char *text) {
    snprintf(c->texts[c->n], TEXT, "%s", text);
    c->argv[c->n] = c->texts[c->n];
    c->n++;
}

static void compose(const struct port *port, const struct ta_bench_job *job, uint32_t tcp_port, struct command *c) {
    *c = (struct command){.n = 0};
    add_text(c, programs[job->latency != 0]);
    add_text(c, "-F");
    add_text(c, "-d");
    add_text(c, port->device);
    add_text(c, "-i");
    add(c, "%" PRIu64, port->number);
    add_text(c, "-x");
    add(c, "%" PRIu64, port->gid);
    add_text(c, "-s");
    add(c, "%" PRIu64, job->bytes);
    add_text(c, "-n");
    add(c, "%" PRIu64, job->iterations);
    add_text(c, "-p");
    add(c, "%" PRIu64, tcp_port);
}

static ta_status start(struct command *c, struct ta_bench_program *out) {
    extern char **environ;
    posix_spawn_file_actions_t actions;
    out->output = memfd_create("perftest", MFD_CLOEXEC);
    if (out->output < 0) return ta_fail_errno(TA_IO, "a file in memory for %s", c->argv[0]);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out->output, 1);
    posix_spawn_file_actions_adddup2(&actions, out->output, 2);
    int code = posix_spawnp(&out->pid, c->argv[0], &actions, NULL, c->argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (code == 0) return TA_OK;
    out->pid = 0;
    close(out->output);
    out->output = -1;
    return ta_fail(TA_CONFIG, "cannot start %s (%s): apt-get install perftest", c->argv[0], strerror(code));
}

static void sleep_step(void) { nanosleep(&(struct timespec){.tv_nsec = STEP_MS * 1000000L}, NULL); }

/* Its end, or its end by us when it takes too long; what it printed, cut to `bytes`. False: it failed. */
static bool finish(struct ta_bench_program *program, char *text, size_t bytes) {
    int status = 0;
    pid_t ended = 0;
    for (int waited = 0; ended == 0 && waited < PATIENCE_MS; waited += STEP_MS) {
        ended = waitpid(program->pid, &status, WNOHANG);
        if (ended == 0) sleep_step();
    }
    if (ended == 0) {
        kill(program->pid, SIGKILL);
        while (waitpid(program->pid, &status, 0) < 0 && errno == EINTR) continue;
    }
    ssize_t n = pread(program->output, text, bytes - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    close(program->output);
    *program = (struct ta_bench_program){.output = -1};
    return ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The line of it that tells most. */
static const char *last_line(char *text) {
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '-')) text[--length] = '\0';
    char *line = strrchr(text, '\n');
    return line != NULL ? line + 1 : text;
}

/* ---- the answerer ---- */

static ta_status free_port(uint32_t *out) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool found = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                 getsockname(fd, (struct sockaddr *)&address, &bytes) == 0;
    *out = ntohs(address.sin_port);
    ta_status status = found ? TA_OK : ta_fail_errno(TA_IO, "a free port for perftest");
    if (fd >= 0) close(fd);
    return status;
}

ta_status ta_bench_perftest_serve(const struct ta_bench *b, const struct ta_bench_job *job,
                                  struct ta_bench_program *out, uint32_t *port) {
    struct port device;
    struct command command;
    if (out->pid > 0) return ta_fail(TA_PEER, "the other side asked for a second program before the first had ended");
    ta_status status = find_port(b, &device);
    if (status == TA_OK) status = free_port(port);
    if (status != TA_OK) return status;
    compose(&device, job, *port, &command);
    return start(&command, out);
}

ta_status ta_bench_perftest_reap(struct ta_bench_program *program) {
    char text[8192];
    if (program->pid <= 0)
        return ta_fail(TA_PEER, "the other side asked for the end of a program that it never started");
    return finish(program, text, sizeof text) ? TA_OK : ta_fail(TA_FAILED, "perftest's server: %s", last_line(text));
}

/* ---- the asker ---- */

/* The row of the table that begins with this size; its columns after bytes and iterations. */
static bool read_row(const char *text, uint64_t bytes, double columns[COLUMNS]) {
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        uint64_t size, n;
        line += *line == '\n';
        int found = sscanf(line, " %" SCNu64 " %" SCNu64 " %lf %lf %lf", &size, &n, &columns[0], &columns[1],
                           &columns[2]);
        if (found >= 4 && size == bytes) return true;
    }
    return false;
}

ta_status ta_bench_perftest(struct ta_bench *b, const struct ta_bench_job *job, double *out) {
    struct port device;
    struct command command;
    struct ta_bench_program program = {.output = -1};
    uint32_t tcp_port = 0;
    char text[8192] = "";
    double columns[COLUMNS] = {0};
    bool ended_well = false;
    ta_status status = find_port(b, &device);
    if (status == TA_OK) status = ta_bench_link_send(&b->link, TA_BENCH_PERFTEST, job, sizeof *job);
    if (status == TA_OK) status = ta_bench_link_expect(&b->link, TA_BENCH_PERFTEST, &tcp_port, sizeof tcp_port);
    if (status != TA_OK) return status;
    compose(&device, job, tcp_port, &command);
    add_text(&command, b->o.host[0] != '\0' ? b->o.host : "127.0.0.1");
    for (int i = 0; i < CLIENT_TRIES && !ended_well; i++) { /* until the server listens */
        if (i > 0) sleep_step();
        status = start(&command, &program);
        if (status != TA_OK) return status;
        ended_well = finish(&program, text, sizeof text);
        if (!ended_well && strstr(text, "ouldn't connect") == NULL) break;
    }
    if (!ended_well || !read_row(text, job->bytes, columns))
        return ta_fail(TA_FAILED, "%s: %s", command.argv[0], last_line(text));
    /* MiB/s on average; typical time in microseconds. */
    *out = job->latency != 0 ? columns[2] * 1e3 : columns[1] * 1048576;
    status = ta_bench_link_send(&b->link, TA_BENCH_REAP, NULL, 0);
    return status == TA_OK ? ta_bench_link_expect(&b->link, TA_BENCH_REAP, NULL, 0) : status;
}
