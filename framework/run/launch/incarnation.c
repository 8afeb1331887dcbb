/* incarnation: a few lines of text, replaced as a whole. */
#include "incarnation.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

enum { PATH_BYTES = 4096, TEXT_BYTES = 512, TRIES = 3, PAUSE_NS = 50 * 1000 * 1000 };

static const char format_read[] =
    "tensair incarnation 1\njob %" SCNu64 "\nrestart %" SCNu32 "\nrun %" SCNx64 "\nnode %u\nhost %63[!-~]\nend%n";

static ta_status parse(const char *path, const char *text, struct ta_incarnation *out) {
    int end = -1;
    *out = (struct ta_incarnation){0};
    int got = sscanf(text, format_read, &out->job_id, &out->restart, &out->run_id, &out->node, out->host, &end);
    if (got == 5 && end > 0 && strcmp(text + end, "\n") == 0) return TA_OK;
    return ta_fail(TA_FORMAT, "%s is damaged or of another version of this program: remove it when no run is in there",
                   path);
}

static ta_status slurp(const char *path, char text[TEXT_BYTES]) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && (errno == ENOENT || errno == ESTALE)) return ta_fail(TA_AGAIN, "%s is not there", path);
    if (fd < 0) return ta_fail_errno(TA_IO, "%s: cannot read", path);
    ssize_t bytes = read(fd, text, TEXT_BYTES - 1);
    ta_status status = bytes < 0 ? ta_fail_errno(TA_IO, "%s: cannot read", path) : TA_OK;
    text[bytes > 0 ? bytes : 0] = '\0';
    close(fd);
    return status;
}

ta_status ta_incarnation_read(const char *run_dir, struct ta_incarnation *out) {
    char path[PATH_BYTES], text[TEXT_BYTES];
    *out = (struct ta_incarnation){0};
    snprintf(path, sizeof path, "%.3900s/incarnation", run_dir);
    ta_status status = slurp(path, text);
    return status == TA_OK ? parse(path, text, out) : status;
}

ta_status ta_incarnation_write(const char *run_dir, const struct ta_incarnation *in) {
    char path[PATH_BYTES], fresh[PATH_BYTES], text[TEXT_BYTES];
    snprintf(path, sizeof path, "%.3900s/incarnation", run_dir);
    snprintf(fresh, sizeof fresh, "%.3900s/.incarnation.%d", run_dir, (int)getpid());
    int length = snprintf(text, sizeof text,
                          "tensair incarnation 1\njob %" PRIu64 "\nrestart %" PRIu32 "\nrun %016" PRIx64
                          "\nnode %u\nhost %s\nend\n",
                          in->job_id, in->restart, in->run_id, in->node, in->host[0] != '\0' ? in->host : "localhost");
    (void)unlink(fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) return ta_fail_errno(TA_IO, "%s: cannot write", fresh);
    bool good = write(fd, text, (size_t)length) == length && (fsync(fd) == 0 || errno == EINVAL);
    good = close(fd) == 0 && good;
    if (good && rename(fresh, path) == 0) return TA_OK;
    ta_status status = ta_fail_errno(TA_IO, "%s: cannot write", path);
    (void)unlink(fresh);
    return status;
}

void ta_incarnation_describe(const struct ta_incarnation *in, char text[160]) {
    if (in->job_id == 0) snprintf(text, 160, "a run on %s", in->host);
    else
        snprintf(text, 160, "restart %" PRIu32 " of Slurm job %" PRIu64 " on %s", in->restart, in->job_id, in->host);
}

static bool is_with_us(const struct ta_fence *f, const struct ta_incarnation *it, const unsigned *ranks,
                       unsigned n_ranks) {
    if (it->node == f->node) return true;
    for (unsigned i = 0; i < n_ranks; i++)
        if ((f->per_node > 0 ? ranks[i] / f->per_node : 0) == it->node) return true;
    return false;
}

/* A file that is not there for a moment is a file system of the network at work; one that stays away is not ours. */
static ta_status read_patiently(const char *run_dir, struct ta_incarnation *out) {
    ta_status status = ta_incarnation_read(run_dir, out);
    for (int i = 1; status == TA_AGAIN && i < TRIES; i++) {
        ta_clock_sleep_until(ta_clock_now_ns() + PAUSE_NS, 0);
        status = ta_incarnation_read(run_dir, out);
    }
    return status == TA_AGAIN ? TA_PEER : status;
}

ta_status ta_fence_pass(const struct ta_fence *f, const unsigned *ranks, unsigned n_ranks, double patience_s) {
    if (f->run_dir == NULL) return TA_OK;
    int64_t until_ns = ta_clock_now_ns() + (int64_t)(patience_s * TA_NS_PER_S);
    for (;;) {
        struct ta_incarnation it;
        char who[160];
        ta_status status = read_patiently(f->run_dir, &it);
        if (status != TA_OK) return status;
        ta_incarnation_describe(&it, who);
        if (it.run_id != f->run_id)
            return ta_fail(TA_PEER, "%s belongs to %s now: this former life writes nothing there any more", f->run_dir,
                           who);
        if (is_with_us(f, &it, ranks, n_ranks)) return TA_OK;
        if (ta_clock_now_ns() >= until_ns)
            return ta_fail(TA_PEER,
                           "%s is held by node %u (%s), and no replica of it is with us: the network has split, and "
                           "this side writes nothing",
                           f->run_dir, it.node, who);
        ta_clock_sleep_until(ta_clock_now_ns() + PAUSE_NS, 0);
    }
}
