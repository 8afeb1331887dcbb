/* doctor_meet: the tasks of a pre-flight find each other in the directory that a run would use, and wait for each
 * other. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "doctor_slurm.h"
#include "mem.h"

enum { WHY_BYTES = 512 };
static const double leave_within_s = 5;

struct word {
    int32_t status;
    char why[WHY_BYTES];
};

/* --- the server --- */

/* Never returns: serves until the other end of the leash is closed. */
static void serve(const char *folder, int leash, int report, pid_t parent) {
    struct ta_store_server *server = NULL;
    struct word word = {0};
    char byte;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    word.status = (int32_t)ta_store_serve(
        &(struct ta_store_server_config){.directory = folder, .run_id = (uint64_t)ta_clock_wall_ns() | 1}, &server);
    if (word.status != TA_OK) snprintf(word.why, sizeof word.why, "%.511s", ta_why());
    if (write(report, &word, sizeof word) != (ssize_t)sizeof word) word.status = TA_FAILED;
    while (word.status == TA_OK && read(leash, &byte, 1) < 0 && errno == EINTR) continue;
    ta_store_server_close(server);
    _exit(0);
}

/* A process of its own: this one forks later, and is to have no thread then. */
static ta_status start_server(struct ta_preflight *p) {
    int leash[2] = {-1, -1}, report[2] = {-1, -1};
    struct word word = {.status = TA_FAILED};
    if (pipe2(leash, O_CLOEXEC) != 0 || pipe2(report, O_CLOEXEC) != 0) return ta_fail_errno(TA_FAILED, "no pipe");
    fflush(stdout);
    pid_t parent = getpid();
    p->server = fork();
    if (p->server == 0) {
        close(leash[1]);
        close(report[0]);
        serve(p->folder, leash[0], report[1], parent);
    }
    close(leash[0]);
    close(report[1]);
    p->leash = leash[1];
    if (p->server < 0) p->server = 0;
    ssize_t got = p->server > 0 ? read(report[0], &word, sizeof word) : 0;
    close(report[0]);
    if (got != (ssize_t)sizeof word) return ta_fail(TA_FAILED, "no process that serves the store");
    return word.status == TA_OK ? TA_OK : ta_fail((ta_status)word.status, "%s", word.why);
}

/* --- the folder --- */

/* What there is of the way to the directory that was asked for. */
static ta_status find_directory(struct ta_preflight *p) {
    struct stat info;
    const char *asked = p->ask->directory;
    char here[TA_PREFLIGHT_PATH / 2] = "";
    if (asked[0] != '/' && getcwd(here, sizeof here) == NULL) return ta_fail_errno(TA_IO, "the current folder");
    if (strcmp(asked, ".") == 0) asked = "";
    const char *between = asked[0] == '/' || asked[0] == '\0' ? "" : "/";
    if ((size_t)snprintf(p->directory, sizeof p->directory, "%s%s%s", here, between, asked) >=
        sizeof p->directory)
        return ta_fail(TA_CONFIG, "%s: the path is too long", asked);
    while (stat(p->directory, &info) != 0 || !S_ISDIR(info.st_mode)) {
        char *slash = strrchr(p->directory, '/');
        if (slash == NULL || slash == p->directory)
            return ta_fail(TA_IO, "%s: no part of the way to it is there", asked);
        *slash = '\0';
    }
    /* A life of a job has a folder of its own: what a former one left does not mislead. */
    snprintf(p->folder, sizeof p->folder, "%s/.doctor-%016llx", p->directory, (unsigned long long)p->place.epoch);
    return TA_OK;
}

static void remove_folder(const struct ta_preflight *p) {
    DIR *dir = opendir(p->folder);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) (void)unlinkat(dirfd(dir), e->d_name, 0);
    if (dir != NULL) closedir(dir);
    (void)rmdir(p->folder);
}

static ta_status make_folder(struct ta_preflight *p) {
    char path[sizeof p->folder + 8];
    if (mkdir(p->folder, 0700) != 0 && errno != EEXIST)
        return ta_fail_errno(TA_IO, "%s: a run could not write there either", p->folder);
    snprintf(path, sizeof path, "%s/lock", p->folder);
    p->lock = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (p->lock < 0) return ta_fail_errno(TA_IO, "%s", path);
    if (flock(p->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return TA_OK;
    close(p->lock);
    p->lock = -1;
    return ta_fail(TA_IN_USE, "%s: another doctor is at work there: wait for its end", p->folder);
}

/* --- values --- */

ta_status ta_preflight_put(struct ta_preflight *p, const void *value, size_t bytes, const char *name, ...) {
    char full[TA_STORE_NAME_BYTES];
    va_list arguments;
    va_start(arguments, name);
    vsnprintf(full, sizeof full, name, arguments);
    va_end(arguments);
    ta_status status = ta_store_put(p->store, full, value, bytes);
    return status == TA_OK ? ta_store_poll(p->store) : status;
}

/* AGAIN: not there. */
static ta_status look(struct ta_preflight *p, const char *name, void *value, size_t bytes) {
    struct ta_store_value got;
    ta_status gone = ta_store_poll(p->store);
    ta_status status = ta_store_get(p->store, name, &got);
    if (status == TA_OK && got.bytes == bytes) {
        memcpy(value, got.data, bytes);
        return TA_OK;
    }
    if (status == TA_OK)
        return ta_fail(TA_PEER, "'%s' has %zu bytes, not %zu: another version?", name, got.bytes, bytes);
    if (ta_store_get(p->store, "stop", &got) == TA_OK && got.bytes == sizeof(struct word)) {
        struct word word;
        memcpy(&word, got.data, sizeof word);
        word.why[sizeof word.why - 1] = '\0';
        return ta_fail(TA_PEER, "%s", word.why);
    }
    return gone != TA_OK ? gone : status;
}

static ta_status hear(struct ta_preflight *p, const char *name, void *value, size_t bytes, double within_s) {
    int64_t begin_ns = ta_clock_now_ns();
    for (;;) {
        ta_status status = look(p, name, value, bytes);
        int64_t waited_ns = ta_clock_now_ns() - begin_ns;
        if (status != TA_AGAIN) return status;
        if ((double)waited_ns > within_s * TA_NS_PER_S)
            return ta_fail(TA_PEER, "%s: '%s' did not come within %g s", p->name, name, within_s);
        /* An answer that is on its way is soon here, and times are measured by it. */
        if (waited_ns < TA_NS_PER_S / 200) sched_yield();
        else usleep(1000);
    }
}

ta_status ta_preflight_hear(struct ta_preflight *p, void *value, size_t bytes, const char *name, ...) {
    char full[TA_STORE_NAME_BYTES];
    va_list arguments;
    va_start(arguments, name);
    vsnprintf(full, sizeof full, name, arguments);
    va_end(arguments);
    return hear(p, full, value, bytes, p->ask->within_s);
}

ta_status ta_preflight_together(struct ta_preflight *p, const char *place) {
    char here = 1, name[TA_STORE_NAME_BYTES];
    ta_status status = ta_preflight_put(p, &here, 1, "at/%s/%u", place, p->node);
    for (unsigned node = 0; node < p->nodes && status == TA_OK; node++) {
        snprintf(name, sizeof name, "at/%s/%u", place, node);
        status = hear(p, name, &here, 1, p->ask->within_s);
        if (status == TA_PEER && node != p->node && strstr(ta_why(), name) != NULL)
            status = ta_fail(TA_PEER, "%s did not come to '%s' within %g s", p->names[node], place, p->ask->within_s);
    }
    return status;
}

/* --- the meeting --- */

/* Node 0: which tasks are not there. */
static ta_status name_missing(struct ta_preflight *p, const bool *here) {
    char missing[WHY_BYTES / 2] = "";
    unsigned n = 0;
    for (unsigned r = 0; r < p->size; r++) {
        size_t used = strlen(missing);
        if (here[r]) n++;
        else snprintf(missing + used, sizeof missing - used, "%s%u", used > 0 ? " " : "", r);
    }
    return ta_fail(TA_PEER,
                   "%u of %u tasks came to %s within %g s, not these: %s; they were not started, or %s is not the same "
                   "directory on their nodes: give one that all nodes share",
                   n, p->size, p->directory, p->ask->within_s, missing, p->directory);
}

/* Names of all tasks; the first of each name works for its node. */
static ta_status learn_names(struct ta_preflight *p) {
    char(*all)[TA_JOB_HOST_BYTES] = NULL;
    bool *here = NULL;
    int64_t until_ns = ta_clock_now_ns() + (int64_t)(p->ask->within_s * TA_NS_PER_S);
    ta_status status = TA_NEW(&all, p->size, "the names of all tasks");
    if (status == TA_OK) status = TA_NEW(&here, p->size, "the tasks that are here");
    if (status == TA_OK) status = TA_NEW(&p->names, p->size, "the names of all nodes");
    for (unsigned missing = p->size; status == TA_OK && missing > 0; usleep(2000)) {
        missing = 0;
        for (unsigned r = 0; r < p->size && status == TA_OK; r++) {
            char name[TA_STORE_NAME_BYTES];
            snprintf(name, sizeof name, "task/%u", r);
            ta_status one = here[r] ? TA_OK : look(p, name, all[r], sizeof all[r]);
            here[r] = one == TA_OK;
            missing += one == TA_AGAIN;
            if (one != TA_AGAIN) status = one;
        }
        if (status == TA_OK && missing > 0 && ta_clock_now_ns() > until_ns) status = name_missing(p, here);
    }
    for (unsigned r = 0; r < p->size && status == TA_OK; r++) {
        unsigned node = 0;
        all[r][sizeof all[r] - 1] = '\0';
        while (node < p->nodes && strcmp(p->names[node], all[r]) != 0) node++;
        if (r == p->rank) {
            p->works = node == p->nodes;
            p->node = node;
        }
        if (node == p->nodes) memcpy(p->names[p->nodes++], all[r], sizeof all[r]);
    }
    ta_mem_free(here);
    ta_mem_free(all);
    return status;
}

static ta_status find_place(struct ta_preflight *p) {
    ta_status status = ta_job_find(ta_job_getenv, NULL, &p->place);
    if (status != TA_OK) return status;
    p->rank = p->ask->nodes >= 0 ? (unsigned)p->ask->node : p->place.rank;
    p->size = p->ask->nodes >= 0 ? (unsigned)p->ask->nodes : p->place.size;
    if (p->ask->nodes < 0 && p->place.origin == TA_JOB_ALONE)
        return ta_fail(TA_USAGE, "--slurm examines a job from a task on each of its nodes: srun --ntasks-per-node=1 "
                                 "tensair doctor --slurm (without Slurm: --nodes M --node K)");
    if (p->size > TA_PREFLIGHT_MOST)
        return ta_fail(TA_CONFIG, "%u tasks, at most %d: srun --ntasks-per-node=1", p->size, TA_PREFLIGHT_MOST);
    if (p->ask->nodes >= 0) snprintf(p->name, sizeof p->name, "node%u", p->rank);
    else if (p->place.host[0] != '\0') snprintf(p->name, sizeof p->name, "%s", p->place.host);
    else if (gethostname(p->name, sizeof p->name - 1) != 0) return ta_fail_errno(TA_FAILED, "this host has no name");
    return TA_OK;
}

ta_status ta_preflight_meet(struct ta_preflight *p) {
    p->lock = p->leash = -1;
    char who[32];
    ta_status status = find_place(p);
    if (status == TA_OK) status = find_directory(p);
    if (status == TA_OK && p->rank == 0) status = make_folder(p);
    if (status == TA_OK && p->rank == 0) status = start_server(p);
    snprintf(who, sizeof who, "task %u", p->rank);
    const struct ta_store_config config = {.directory = p->folder, .who = who, .patience_s = p->ask->within_s};
    if (status == TA_OK) status = ta_store_open(&config, &p->store);
    if (status == TA_PEER && p->rank != 0)
        return ta_fail(TA_PEER,
                       "%s: nothing of task 0 came to %s within %g s: it was not started, or this is not the directory "
                       "that it sees under that name: give one that all nodes share (df %s, on each)",
                       p->name, p->directory, p->ask->within_s, p->directory);
    if (status == TA_OK) status = ta_store_watch(p->store, "");
    if (status == TA_OK) status = ta_preflight_put(p, p->name, sizeof p->name, "task/%u", p->rank);
    return status == TA_OK ? learn_names(p) : status;
}

void ta_preflight_leave(struct ta_preflight *p, ta_status status) {
    char over = 1, name[TA_STORE_NAME_BYTES], why[WHY_BYTES];
    snprintf(why, sizeof why, "%.511s", ta_why());
    if (p->store != NULL && status != TA_OK) {
        struct word word = {.status = (int32_t)status};
        memcpy(word.why, why, sizeof why);
        (void)ta_preflight_put(p, &word, sizeof word, "stop");
    } else if (p->store != NULL && p->works) {
        (void)ta_preflight_put(p, &over, 1, "over/%u", p->node);
        for (unsigned node = 0; p->node == 0 && node < p->nodes; node++) {
            snprintf(name, sizeof name, "over/%u", node);
            (void)hear(p, name, &over, 1, leave_within_s);
        }
    }
    ta_store_close(p->store);
    if (p->leash >= 0) close(p->leash);
    while (p->server > 0 && waitpid(p->server, NULL, 0) < 0 && errno == EINTR) continue;
    if (p->lock >= 0) {
        remove_folder(p);
        close(p->lock);
    }
    ta_mem_free(p->names);
    if (status != TA_OK) (void)ta_fail(status, "%s", why); /* what was said meanwhile counts less */
}
