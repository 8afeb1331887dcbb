/* pair: owners in this process or, behind a socket that asks what their window holds, in another. */
#include "pair.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"

#define STEP_NS INT64_C(1000)

const struct pair_kind pair_kinds[] = {
    {.name = "self", .ops = &ta_transport_self},
    {.name = "shm, one process", .ops = &ta_transport_shm, .has_peers = true},
    {.name = "shm, two processes", .ops = &ta_transport_shm, .has_peers = true, .forked = true},
    {.name = "sim, quick", .ops = &ta_transport_sim, .has_peers = true, .fabric = {.n_ranks = 2, .seed = 1}},
    {.name = "sim, slow link",
     .ops = &ta_transport_sim,
     .has_peers = true,
     .fabric = {.n_ranks = 2, .seed = 2, .latency_ns = 2000, .bytes_per_ns = 10, .jitter = 1}},
    {.name = "sim, everything",
     .ops = &ta_transport_sim,
     .has_peers = true,
     .fabric =
         {.n_ranks = 2, .seed = 3, .latency_ns = 2000, .bytes_per_ns = 1, .jitter = 3, .duplicate = 0.5, .depth = 4}},
};
const size_t n_pair_kinds = sizeof pair_kinds / sizeof pair_kinds[0];

struct request {
    enum { ASK_KEY, ASK_BYTES, ASK_QUIT } what;
    unsigned peer;
    size_t offset, bytes;
};

static void send_all(int fd, const void *data, size_t bytes) {
    for (const char *at = data; bytes > 0;) {
        ssize_t n = write(fd, at, bytes);
        if (n <= 0) _exit(3);
        at += n;
        bytes -= (size_t)n;
    }
}

static bool receive_all(int fd, void *data, size_t bytes) {
    for (char *at = data; bytes > 0;) {
        ssize_t n = read(fd, at, bytes);
        if (n <= 0) return false;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* The life of a forked owner: no cmocka in here, its answers are bytes and its exit status. */
static void serve(int socket, const struct ta_transport_ops *ops, size_t window_bytes) {
    struct ta_transport *t;
    struct ta_window window;
    struct ta_transport_config config = {.rank = 1, .n_ranks = 2, .run_id = PAIR_RUN};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ops->open(&config, &t) != TA_OK || ops->window_create(t, window_bytes, &window) != TA_OK) _exit(1);
    struct request request;
    while (receive_all(socket, &request, sizeof request) && request.what != ASK_QUIT) {
        if (request.what == ASK_KEY) {
            struct ta_key key;
            if (ops->key_make(t, request.peer, &key) != TA_OK) _exit(2);
            send_all(socket, &key, sizeof key);
        } else {
            send_all(socket, (char *)window.base + request.offset, request.bytes);
        }
    }
    ops->close(t);
    _exit(0);
}

static void open_owner(struct pair *pair, size_t window_bytes) {
    struct ta_transport_config config = {.rank = 1, .n_ranks = 2, .run_id = PAIR_RUN, .fabric = pair->fabric};
    if (!pair->kind->has_peers) config = (struct ta_transport_config){.rank = 0, .n_ranks = 1, .run_id = PAIR_RUN};
    if (!pair->kind->forked) {
        assert_int_equal(pair->ops->open(&config, &pair->owner), TA_OK);
        assert_int_equal(pair->ops->window_create(pair->owner, window_bytes, &pair->window), TA_OK);
        return;
    }
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    pair->child = fork();
    assert_true(pair->child >= 0);
    if (pair->child == 0) {
        close(ends[0]);
        serve(ends[1], pair->ops, window_bytes);
    }
    close(ends[1]);
    pair->socket = ends[0];
}

void pair_open(struct pair *pair, const struct pair_kind *kind, size_t window_bytes) {
    *pair = (struct pair){.kind = kind, .ops = kind->ops, .socket = -1};
    if (kind->fabric.n_ranks > 0) assert_int_equal(ta_sim_create(&kind->fabric, &pair->fabric), TA_OK);
    open_owner(pair, window_bytes);
    if (!kind->has_peers) return;
    struct ta_transport_config config = {.rank = 0, .n_ranks = 2, .run_id = PAIR_RUN, .fabric = pair->fabric};
    assert_int_equal(pair->ops->open(&config, &pair->sender), TA_OK);
    struct ta_key key;
    pair_key(pair, 0, &key);
    assert_int_equal(pair->ops->connect(pair->sender, 1, &key), TA_OK);
    assert_int_equal(pair->ops->peer_state(pair->sender, 1), TA_PEER_UP);
}

void pair_close(struct pair *pair) {
    pair->ops->close(pair->sender);
    pair->ops->close(pair->owner);
    if (pair->child > 0) {
        int status;
        struct request quit = {.what = ASK_QUIT};
        send_all(pair->socket, &quit, sizeof quit);
        assert_int_equal(waitpid(pair->child, &status, 0), pair->child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    if (pair->socket >= 0) close(pair->socket);
    ta_sim_destroy(pair->fabric);
    *pair = (struct pair){.socket = -1};
}

void pair_key(struct pair *pair, unsigned peer, struct ta_key *out) {
    if (!pair->kind->forked) {
        assert_int_equal(pair->ops->key_make(pair->owner, peer, out), TA_OK);
        return;
    }
    struct request request = {.what = ASK_KEY, .peer = peer};
    send_all(pair->socket, &request, sizeof request);
    assert_true(receive_all(pair->socket, out, sizeof *out));
}

/* Time passes: really where it does, else as far as the next delivery. */
static void pass_time(struct pair *pair) {
    if (pair->fabric == NULL) {
        pair->now_ns = ta_clock_now_ns();
    } else {
        int64_t next = ta_sim_next_ns(pair->fabric);
        pair->now_ns = next == INT64_MAX ? pair->now_ns + STEP_NS : next;
    }
}

void pair_put(struct pair *pair, const struct ta_put_segment *segments, unsigned n_segments) {
    ta_status status;
    while ((status = pair->ops->put(pair->sender, 1, segments, n_segments)) == TA_BUSY) {
        pass_time(pair);
        assert_int_equal(pair->ops->progress(pair->sender, pair->now_ns), TA_OK);
    }
    assert_int_equal(status, TA_OK);
}

void pair_settle(struct pair *pair) {
    do {
        pass_time(pair);
        assert_int_equal(pair->ops->progress(pair->sender, pair->now_ns), TA_OK);
    } while (pair->ops->in_flight(pair->sender, 1) > 0);
}

void pair_read(struct pair *pair, size_t offset, size_t bytes, void *out) {
    if (!pair->kind->forked) {
        memcpy(out, (char *)pair->window.base + offset, bytes);
        return;
    }
    struct request request = {.what = ASK_BYTES, .offset = offset, .bytes = bytes};
    send_all(pair->socket, &request, sizeof request);
    assert_true(receive_all(pair->socket, out, bytes));
}

void pair_kill_owner(struct pair *pair) {
    if (pair->kind->forked) {
        kill(pair->child, SIGKILL);
        /* Reaped only in a second step, so that the sender must see the death of a zombie. */
        siginfo_t info;
        assert_int_equal(waitid(P_PID, (id_t)pair->child, &info, WEXITED | WNOWAIT), 0);
    } else if (pair->fabric != NULL) {
        ta_sim_kill(pair->fabric, 1, pair->now_ns, 50 * STEP_NS);
    } else {
        pair->ops->close(pair->owner);
        pair->owner = NULL;
    }
}

int64_t pair_wait_down(struct pair *pair, int64_t limit_ns) {
    pass_time(pair);
    unsigned reports = 0;
    for (int64_t begin_ns = pair->now_ns; pair->now_ns - begin_ns <= limit_ns; pass_time(pair)) {
        if (pair->ops->progress(pair->sender, pair->now_ns) == TA_PEER) reports++;
        if (pair->ops->peer_state(pair->sender, 1) != TA_PEER_DOWN || reports == 0) continue;
        assert_int_equal(reports, 1);
        assert_int_equal(pair->ops->progress(pair->sender, pair->now_ns), TA_OK);
        if (pair->child > 0) {
            assert_int_equal(waitpid(pair->child, NULL, 0), pair->child);
            pair->child = 0;
        }
        return pair->now_ns - begin_ns;
    }
    return -1;
}
