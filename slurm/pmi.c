/* pmi: a line out, a line in, within the time there is. */
#include "pmi.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

enum { LINE_BYTES = 2048, NAME_BYTES = 256 };

static const char key[] = "tensair";

struct talk {
    const struct ta_pmi_config *config;
    int64_t until_ns;
    char answer[LINE_BYTES];
    char kvs[NAME_BYTES];
};

static ta_status await(const struct talk *t, short events) {
    for (;;) {
        int64_t left_ms = (t->until_ns - ta_clock_now_ns()) / 1000000;
        if (left_ms < 0)
            return ta_fail(TA_PEER, "PMI: not all launchers came within %g s: has one of them failed, or is one not "
                           "started by the same srun or mpiexec?", t->config->within_s);
        struct pollfd fds[2] = {{.fd = t->config->fd, .events = events}, {.fd = t->config->stop_fd, .events = POLLIN}};
        int ready = poll(fds, 2, left_ms < 1000 ? (int)left_ms + 1 : 1000);
        if (ready < 0 && errno != EINTR) return ta_fail_errno(TA_IO, "PMI: waiting for the launcher of this task");
        if (ready > 0 && t->config->stop_fd >= 0 && fds[1].revents != 0)
            return ta_fail(TA_REQUEUE, "stopped before all launchers had met");
        if (ready > 0 && fds[0].revents != 0) return TA_OK;
    }
}

/* No signal where the other side is gone, and no wait beyond the time. */
static ssize_t send_some(int fd, const char *at, size_t bytes) {
    ssize_t sent = send(fd, at, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 && errno == ENOTSOCK ? write(fd, at, bytes) : sent; /* a pipe */
}

static ta_status send_line(const struct talk *t, const char *line) {
    size_t bytes = strlen(line);
    for (size_t at = 0; at < bytes;) {
        ssize_t sent = send_some(t->config->fd, line + at, bytes - at);
        if (sent > 0) at += (size_t)sent;
        else if (sent < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
            return ta_fail_errno(TA_PEER, "PMI: the launcher of this task does not listen on descriptor %d",
                                 t->config->fd);
        else {
            ta_status status = await(t, POLLOUT);
            if (status != TA_OK) return status;
        }
    }
    return TA_OK;
}

/* Byte by byte: what follows the line is not ours to take. */
static ta_status receive_line(struct talk *t) {
    for (size_t n = 0;;) {
        ta_status status = await(t, POLLIN);
        if (status != TA_OK) return status;
        ssize_t got = read(t->config->fd, &t->answer[n], 1);
        if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)) continue;
        if (got < 0) return ta_fail_errno(TA_PEER, "PMI: the launcher of this task is gone");
        if (got == 0) return ta_fail(TA_PEER, "PMI: the launcher of this task has closed descriptor %d", t->config->fd);
        if (t->answer[n] == '\n') {
            t->answer[n] = '\0';
            return TA_OK;
        }
        if (t->answer[n] == '\0') return ta_fail(TA_FORMAT, "PMI: the answer holds a zero byte");
        if (++n == sizeof t->answer)
            return ta_fail(TA_FORMAT, "PMI: the answer is longer than %d bytes", LINE_BYTES - 1);
    }
}

/* The value of " NAME=VALUE" in the answer, up to the next blank. False: not there, or longer than fits. */
static bool field(const struct talk *t, const char *name, char *out, size_t bytes) {
    size_t length = strlen(name);
    for (const char *at = t->answer; (at = strchr(at, ' ')) != NULL;) {
        at++;
        if (strncmp(at, name, length) != 0 || at[length] != '=') continue;
        at += length + 1;
        size_t n = strcspn(at, " ");
        if (n == 0 || n >= bytes) return false;
        memcpy(out, at, n);
        out[n] = '\0';
        return true;
    }
    return false;
}

/* Asks, and takes the answer of that name; one that says rc says 0. */
static ta_status ask(struct talk *t, const char *line, const char *wanted) {
    ta_status status = send_line(t, line);
    if (status == TA_OK) status = receive_line(t);
    if (status != TA_OK) return status;
    size_t length = strlen(wanted);
    char rc[16] = "0";
    bool named = strncmp(t->answer, "cmd=", 4) == 0 && strncmp(t->answer + 4, wanted, length) == 0 &&
                 (t->answer[4 + length] == ' ' || t->answer[4 + length] == '\0');
    if (!named) return ta_fail(TA_FORMAT, "PMI: '%.60s' stands where cmd=%s should", t->answer, wanted);
    if (field(t, "rc", rc, sizeof rc) && strcmp(rc, "0") != 0)
        return ta_fail(TA_FORMAT, "PMI: the launcher of this task refuses: '%.80s'", t->answer);
    return TA_OK;
}

static bool is_text(const char *value) {
    size_t n = strnlen(value, TA_PMI_VALUE_BYTES);
    if (n == 0 || n >= TA_PMI_VALUE_BYTES) return false;
    for (size_t i = 0; i < n; i++)
        if (value[i] <= ' ' || value[i] > '~') return false;
    return true;
}

static ta_status begin(struct talk *t, size_t value_bytes) {
    char number[16] = "";
    ta_status status = ask(t, "cmd=init pmi_version=1 pmi_subversion=1\n", "response_to_init");
    if (status == TA_OK) status = ask(t, "cmd=get_maxes\n", "maxes");
    if (status != TA_OK) return status;
    long most = field(t, "vallen_max", number, sizeof number) ? strtol(number, NULL, 10) : 0;
    if (most <= 0) return ta_fail(TA_FORMAT, "PMI: '%.60s' names no vallen_max", t->answer);
    if (value_bytes >= (size_t)most)
        return ta_fail(TA_FORMAT, "PMI: a value may have %ld bytes here, ours has %zu", most, value_bytes);
    status = ask(t, "cmd=get_my_kvsname\n", "my_kvsname");
    if (status == TA_OK && !field(t, "kvsname", t->kvs, sizeof t->kvs))
        status = ta_fail(TA_FORMAT, "PMI: '%.60s' names no kvsname", t->answer);
    return status;
}

ta_status ta_pmi_share(const struct ta_pmi_config *config, char value[TA_PMI_VALUE_BYTES]) {
    struct talk t = {.config = config};
    char line[LINE_BYTES];
    bool speaks = config->rank == 0;
    if (config->within_s > 0) t.until_ns = ta_clock_now_ns() + (int64_t)(config->within_s * TA_NS_PER_S);
    if (speaks && !is_text(value))
        return ta_fail(TA_INVALID, "PMI: a value is 1 to %d printable characters without blanks",
                       TA_PMI_VALUE_BYTES - 1);
    ta_status status = begin(&t, speaks ? strlen(value) : 0);
    if (status == TA_OK && speaks) {
        snprintf(line, sizeof line, "cmd=put kvsname=%s key=%s value=%s\n", t.kvs, key, value);
        status = ask(&t, line, "put_result");
    }
    if (status == TA_OK) status = ask(&t, "cmd=barrier_in\n", "barrier_out");
    if (status == TA_OK && !speaks) {
        snprintf(line, sizeof line, "cmd=get kvsname=%s key=%s\n", t.kvs, key);
        status = ask(&t, line, "get_result");
        if (status == TA_OK && (!field(&t, "value", value, TA_PMI_VALUE_BYTES) || !is_text(value)))
            status = ta_fail(TA_FORMAT, "PMI: launcher 0 has said nothing that could be read");
    }
    return status == TA_OK ? ask(&t, "cmd=finalize\n", "finalize_ack") : status;
}
