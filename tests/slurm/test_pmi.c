/* pmi: against a server of PMI-1 on a socket pair, which answers as Slurm and hydra do, badly, late, in pieces, or
 * not. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "clock.h"
#include "expect.h"
#include "pmi.h"

enum { MOST = 4, LINE = 2048 };

/* A server of `n` clients; one may be told other lines than the right ones. */
struct server {
    unsigned n;
    int fd[MOST];
    unsigned waiting, said;       /* in the barrier; answers given so far */
    char value[LINE];             /* of the key */
    const char *vallen_max;
    unsigned wrong_at;            /* the answer with that number is `wrong`, from 1; 0: none */
    const char *wrong;            /* NULL: the connection is closed instead */
    size_t wrong_bytes;
    bool in_pieces;               /* a byte at a time */
    atomic_bool finalized[MOST];
    atomic_bool over;
};

static void answer(struct server *s, unsigned i, const char *text) {
    size_t bytes = strlen(text);
    if (++s->said == s->wrong_at) {
        if (s->wrong == NULL) {
            (void)shutdown(s->fd[i], SHUT_RDWR);
            return;
        }
        text = s->wrong;
        bytes = s->wrong_bytes;
    }
    for (size_t at = 0; at < bytes;) {
        ssize_t sent = send(s->fd[i], text + at, s->in_pieces ? 1 : bytes - at, MSG_NOSIGNAL);
        if (sent <= 0) return;
        at += (size_t)sent;
    }
}

static void enter(struct server *s) {
    if (++s->waiting < s->n) return;
    s->waiting = 0;
    for (unsigned i = 0; i < s->n; i++) answer(s, i, "cmd=barrier_out\n");
}

static void serve_line(struct server *s, unsigned i, const char *line) {
    char text[LINE + 64];
    if (strncmp(line, "cmd=init ", 9) == 0) answer(s, i, "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n");
    else if (strcmp(line, "cmd=get_maxes") == 0) {
        snprintf(text, sizeof text, "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=%s\n", s->vallen_max);
        answer(s, i, text);
    } else if (strcmp(line, "cmd=get_my_kvsname") == 0) answer(s, i, "cmd=my_kvsname kvsname=kvs_4711_0\n");
    else if (strncmp(line, "cmd=put kvsname=kvs_4711_0 key=tensair value=", 45) == 0) {
        snprintf(s->value, sizeof s->value, "%s", line + 45);
        answer(s, i, "cmd=put_result rc=0 msg=success\n");
    } else if (strcmp(line, "cmd=barrier_in") == 0) enter(s);
    else if (strcmp(line, "cmd=get kvsname=kvs_4711_0 key=tensair") == 0) {
        snprintf(text, sizeof text, "cmd=get_result rc=%d msg=%s value=%s\n", s->value[0] == '\0',
                 s->value[0] == '\0' ? "key_not_found" : "success", s->value);
        answer(s, i, text);
    } else if (strcmp(line, "cmd=finalize") == 0) {
        atomic_store(&s->finalized[i], true);
        answer(s, i, "cmd=finalize_ack\n");
    } else fail_msg("the client says '%s'", line);
}

static void *serve(void *argument) {
    struct server *s = argument;
    char line[MOST][LINE];
    size_t held[MOST] = {0};
    while (!atomic_load(&s->over)) {
        struct pollfd fds[MOST];
        for (unsigned i = 0; i < s->n; i++) fds[i] = (struct pollfd){.fd = s->fd[i], .events = POLLIN};
        if (poll(fds, s->n, 5) <= 0) continue;
        for (unsigned i = 0; i < s->n; i++) {
            if (fds[i].revents == 0) continue;
            if (read(s->fd[i], &line[i][held[i]], 1) != 1) {
                usleep(1000);
                continue;
            }
            if (line[i][held[i]] != '\n') {
                held[i]++;
                assert_true(held[i] < LINE);
                continue;
            }
            line[i][held[i]] = '\0';
            held[i] = 0;
            serve_line(s, i, line[i]);
        }
    }
    return NULL;
}

struct client {
    struct ta_pmi_config config;
    char value[TA_PMI_VALUE_BYTES], why[256];
    ta_status status;
};

static void *run_client(void *argument) {
    struct client *c = argument;
    c->status = ta_pmi_share(&c->config, c->value);
    snprintf(c->why, sizeof c->why, "%s", c->status == TA_OK ? "" : ta_why());
    return NULL;
}

/* All clients of a server to their end. `absent`: the last one never comes. */
static void share(struct server *s, struct client *clients, const char *value, double within_s, bool absent) {
    pthread_t server, threads[MOST];
    int theirs[MOST];
    if (s->vallen_max == NULL) s->vallen_max = "1024";
    for (unsigned i = 0; i < s->n; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        s->fd[i] = pair[0];
        theirs[i] = pair[1];
        clients[i] = (struct client){.config = {.fd = pair[1], .rank = i, .within_s = within_s, .stop_fd = -1}};
    }
    snprintf(clients[0].value, sizeof clients[0].value, "%s", value);
    assert_int_equal(pthread_create(&server, NULL, serve, s), 0);
    for (unsigned i = 0; i < s->n - absent; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_client, &clients[i]), 0);
    for (unsigned i = 0; i < s->n - absent; i++) pthread_join(threads[i], NULL);
    atomic_store(&s->over, true);
    pthread_join(server, NULL);
    for (unsigned i = 0; i < s->n; i++) {
        close(s->fd[i]);
        close(theirs[i]);
    }
}

static void reaches_all(void **state) {
    (void)state;
    char longest[TA_PMI_VALUE_BYTES] = "";
    memset(longest, '~', sizeof longest - 1);
    const char *const values[] = {"x", "run,0123+port=40123;a:b%c", longest};
    for (unsigned v = 0; v < 3; v++)
        for (unsigned pieces = 0; pieces < 2; pieces++) {
            struct server s = {.n = MOST, .in_pieces = pieces != 0};
            struct client c[MOST];
            share(&s, c, values[v], 20, false);
            for (unsigned i = 0; i < MOST; i++) {
                if (c[i].status != TA_OK) fail_msg("client %u: %s", i, c[i].why);
                assert_string_equal(c[i].value, values[v]);
                assert_true(atomic_load(&s.finalized[i]));
            }
        }
}

static void not_a_value(void **state) {
    (void)state;
    char value[TA_PMI_VALUE_BYTES];
    const char *const values[] = {"", "a b", "a\nb", "\x7f", "\xc3\xa4"};
    for (unsigned v = 0; v < 5; v++) {
        snprintf(value, sizeof value, "%s", values[v]);
        assert_fails(TA_INVALID, "printable", ta_pmi_share(&(struct ta_pmi_config){.fd = -1, .stop_fd = -1}, value));
    }
    memset(value, 'x', sizeof value); /* no end */
    assert_fails(TA_INVALID, "printable", ta_pmi_share(&(struct ta_pmi_config){.fd = -1, .stop_fd = -1}, value));
    struct server s = {.n = 1, .vallen_max = "8"};
    struct client c[1];
    share(&s, c, "12345678", 20, false);
    assert_int_equal(c[0].status, TA_FORMAT);
    assert_non_null(strstr(c[0].why, "8 bytes here, ours has 8"));
}

/* Every answer in turn is replaced by something else: an error each time, never a value, never a wait beyond its
 * time. */
static void bad_answers(void **state) {
    (void)state;
    static char endless[4096];
    memset(endless, 'x', sizeof endless);
    static const char zero[] = "cmd=\0\n";
    const struct {
        const char *text;
        size_t bytes;
    } wrong[] = {{NULL, 0}, {"\n", 1}, {"cmd=nothing\n", 12}, {"cmd=", 4}, {endless, sizeof endless},
                 {zero, sizeof zero - 1}, {"cmd=maxes vallen_max=\n", 22}, {"cmd=maxes vallen_max=-3\n", 24},
                 {"cmd=response_to_init rc=1\n", 26}, {"cmd=get_result rc=0\n", 20},
                 {"cmd=get_result rc=0 value=\n", 27}, {"cmd=get_result rc=0 value=a\x01\n", 29},
                 {"cmd=my_kvsname\n", 15}, {"cmd=put_result rc=-1 msg=full\n", 30}};
    for (unsigned at = 1; at <= 6; at++)
        for (unsigned w = 0; w < sizeof wrong / sizeof wrong[0]; w++)
            for (unsigned rank = 0; rank < 2; rank++) {
                struct server s = {.n = 1, .wrong_at = at, .wrong = wrong[w].text, .wrong_bytes = wrong[w].bytes,
                                   .value = "set"};
                int pair[2];
                pthread_t server;
                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
                s.fd[0] = pair[0];
                s.vallen_max = "1024";
                assert_int_equal(pthread_create(&server, NULL, serve, &s), 0);
                struct client c = {.config = {.fd = pair[1], .rank = rank, .within_s = 0.02, .stop_fd = -1}};
                snprintf(c.value, sizeof c.value, "v");
                int64_t before_ns = ta_clock_now_ns();
                run_client(&c);
                assert_true(ta_clock_now_ns() - before_ns < 20 * TA_NS_PER_S);
                bool told = c.status == TA_FORMAT || c.status == TA_PEER;
                if (!told) fail_msg("answer %u as %u: %s", at, w, ta_status_name(c.status));
                assert_true(c.why[0] != '\0');
                atomic_store(&s.over, true);
                pthread_join(server, NULL);
                close(pair[0]);
                close(pair[1]);
            }
}

static void one_is_missing(void **state) {
    (void)state;
    struct server s = {.n = 3};
    struct client c[MOST];
    share(&s, c, "value", 0.2, true);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(c[i].status, TA_PEER);
        assert_non_null(strstr(c[i].why, "not all launchers came within 0.2 s"));
    }
}

static void nobody_there(void **state) {
    (void)state;
    char value[TA_PMI_VALUE_BYTES] = "value";
    int pair[2], stop[2];
    assert_fails(TA_PEER, "does not listen",
                 ta_pmi_share(&(struct ta_pmi_config){.fd = 999, .within_s = 1, .stop_fd = -1}, value));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(pipe(stop), 0);
    assert_int_equal(write(stop[1], "x", 1), 1);
    assert_fails(TA_REQUEUE, "stopped",
                 ta_pmi_share(&(struct ta_pmi_config){.fd = pair[1], .within_s = 20, .stop_fd = stop[0]}, value));
    close(pair[0]);
    assert_fails(TA_PEER, "PMI",
                 ta_pmi_share(&(struct ta_pmi_config){.fd = pair[1], .within_s = 1, .stop_fd = -1}, value));
    close(pair[1]);
    close(stop[0]);
    close(stop[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reaches_all),    cmocka_unit_test(not_a_value),  cmocka_unit_test(bad_answers),
        cmocka_unit_test(one_is_missing), cmocka_unit_test(nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
