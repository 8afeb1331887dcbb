/* pair: owners in this process or, behind a socket that asks what their window holds, in another. */
#include "pair.h"

#include <errno.h>
#include <netdb.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "far_kinds.h"
#include "pair_owner.h"

#define STEP_NS INT64_C(1000)
#define PUT_AGAIN_NS INT64_C(50000000)

static struct ta_transport_spec *spec_of(const struct pair_kind *kind, bool of_owner, struct ta_transport_spec *spec) {
    *spec = (struct ta_transport_spec){.rails = kind->rails};
    spec->device = getenv(of_owner ? "TENSAIR_TEST_OWNER_DEVICE" : "TENSAIR_TEST_DEVICE");
    return spec;
}

/* "HOST:PORT" -> a socket; -1 and errno. */
static int dial(const char *host_and_port) {
    char host[256];
    const char *colon = strrchr(host_and_port, ':');
    struct addrinfo *found, hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    errno = EINVAL;
    if (colon == NULL || (size_t)(colon - host_and_port) >= sizeof host) return -1;
    snprintf(host, sizeof host, "%.*s", (int)(colon - host_and_port), host_and_port);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0) return -1;
    int fd = socket(found->ai_family, found->ai_socktype, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

int pair_quit_owner(const char *host_and_port) {
    struct opening opening = {.make = "quit"};
    int fd = dial(host_and_port);
    bool sent = fd >= 0 && send_all(fd, &opening, sizeof opening);
    if (fd >= 0) close(fd);
    return sent ? 0 : 1;
}

static struct opening opening_of(const struct pair_kind *kind, size_t window_bytes) {
    struct opening opening = {.rails = kind->rails, .window_bytes = window_bytes};
    struct ta_transport_spec spec;
    spec_of(kind, true, &spec);
    snprintf(opening.make, sizeof opening.make, "%s", kind->ops->name);
    if (spec.device != NULL) snprintf(opening.device, sizeof opening.device, "%s", spec.device);
    return opening;
}

static void open_owner_elsewhere(struct pair *pair, size_t window_bytes) {
    struct opening opening = opening_of(pair->kind, window_bytes);
    if (pair->kind->remote) {
        pair->socket = dial(getenv("TENSAIR_TEST_OWNER"));
        if (pair->socket < 0) fail_msg("no owner at %s: %s", getenv("TENSAIR_TEST_OWNER"), strerror(errno));
        assert_true(send_all(pair->socket, &opening, sizeof opening));
        return;
    }
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    pair->child = fork();
    assert_true(pair->child >= 0);
    if (pair->child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        _exit(owner_serve(ends[1], &opening));
    }
    close(ends[1]);
    pair->socket = ends[0];
}

static void open_owner(struct pair *pair, size_t window_bytes) {
    static struct ta_transport_spec spec; /* outlives the transport, as it must */
    struct ta_transport_config config = {
        .rank = 1, .n_ranks = 2, .run_id = PAIR_RUN, .fabric = pair->fabric, .spec = spec_of(pair->kind, true, &spec)};
    if (!pair->kind->has_peers) config = (struct ta_transport_config){.rank = 0, .n_ranks = 1, .run_id = PAIR_RUN};
    if (pair->kind->forked) {
        open_owner_elsewhere(pair, window_bytes);
        return;
    }
    if (pair->ops->open(&config, &pair->owner) != TA_OK) fail_msg("%s", ta_why());
    if (pair->ops->window_create(pair->owner, window_bytes, &pair->window) != TA_OK) fail_msg("%s", ta_why());
}

struct ta_transport_config pair_sender_config(const struct pair *pair) {
    static struct ta_transport_spec spec;
    return (struct ta_transport_config){
        .rank = 0, .n_ranks = 2, .run_id = PAIR_RUN, .fabric = pair->fabric, .spec = spec_of(pair->kind, false, &spec)};
}

void pair_start(struct pair *pair, const struct pair_kind *kind, size_t window_bytes) {
    *pair = (struct pair){.kind = kind, .ops = kind->ops, .socket = -1};
    if (kind->fabric.n_ranks > 0) assert_int_equal(ta_sim_create(&kind->fabric, &pair->fabric), TA_OK);
    open_owner(pair, window_bytes);
    if (!kind->has_peers) return;
    struct ta_transport_config config = pair_sender_config(pair);
    if (pair->ops->open(&config, &pair->sender) != TA_OK) fail_msg("%s", ta_why());
}

/* Asks the owner in the other process; its status comes back. */
static ta_status ask(struct pair *pair, const struct request *request) {
    ta_status status = TA_FAILED;
    if (!send_all(pair->socket, request, sizeof *request) || !receive_all(pair->socket, &status, sizeof status))
        fail_msg("the owner is gone; its last words are above");
    return status;
}

ta_status pair_owner_connect(struct pair *pair, const struct ta_key *key) {
    if (!pair->kind->forked) return pair->ops->connect(pair->owner, 0, key);
    struct request request = {.what = ASK_CONNECT, .peer = 0, .key = *key};
    return ask(pair, &request);
}

void pair_meet(struct pair *pair) {
    struct ta_window window;
    struct ta_key ours, theirs;
    if (!pair->kind->has_peers) return;
    ta_status status = pair->ops->key_make(pair->sender, 1, &ours);
    if (status == TA_INVALID) { /* no window yet */
        assert_int_equal(pair->ops->window_create(pair->sender, PAIR_SENDER_WINDOW, &window), TA_OK);
        status = pair->ops->key_make(pair->sender, 1, &ours);
    }
    if (status != TA_OK) fail_msg("%s", ta_why());
    pair_key(pair, 0, &theirs);
    if (pair_owner_connect(pair, &ours) != TA_OK) fail_msg("the owner cannot connect: %s", ta_why());
    if (pair->ops->connect(pair->sender, 1, &theirs) != TA_OK) fail_msg("%s", ta_why());
    assert_int_equal(pair->ops->peer_state(pair->sender, 1), TA_PEER_UP);
}

void pair_part(struct pair *pair) {
    struct request request = {.what = ASK_PART, .peer = 0};
    pair->ops->disconnect(pair->sender, 1);
    if (!pair->kind->forked) pair->ops->disconnect(pair->owner, 0);
    else assert_int_equal(ask(pair, &request), TA_OK);
}

void pair_open(struct pair *pair, const struct pair_kind *kind, size_t window_bytes) {
    pair_start(pair, kind, window_bytes);
    pair_meet(pair);
}

void pair_close(struct pair *pair) {
    pair->ops->close(pair->sender);
    pair->ops->close(pair->owner);
    struct request quit = {.what = ASK_QUIT};
    if (pair->socket >= 0) send_all(pair->socket, &quit, sizeof quit);
    if (pair->child > 0) {
        int status;
        assert_int_equal(waitpid(pair->child, &status, 0), pair->child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    if (pair->socket >= 0) close(pair->socket);
    ta_sim_destroy(pair->fabric);
    *pair = (struct pair){.socket = -1};
}

void pair_key(struct pair *pair, unsigned peer, struct ta_key *out) {
    struct request request = {.what = ASK_KEY, .peer = peer};
    ta_status status = pair->kind->forked ? ask(pair, &request) : pair->ops->key_make(pair->owner, peer, out);
    if (status != TA_OK) fail_msg("no key: %s", ta_why());
    if (pair->kind->forked) assert_true(receive_all(pair->socket, out, sizeof *out));
}

void pair_grant(struct pair *pair, size_t offset, size_t bytes) {
    struct request request = {.what = ASK_GRANT, .peer = 0, .offset = offset, .bytes = bytes};
    if (pair->kind->forked) assert_int_equal(ask(pair, &request), TA_OK);
    else assert_int_equal(pair->ops->grant(pair->owner, 0, offset, bytes), TA_OK);
}

uint64_t pair_range_open(struct pair *pair, size_t offset, size_t bytes) {
    uint64_t pass = 0;
    struct request request = {.what = ASK_OPEN, .offset = offset, .bytes = bytes};
    if (pair->kind->forked) {
        assert_int_equal(ask(pair, &request), TA_OK);
        assert_true(receive_all(pair->socket, &pass, sizeof pass));
    } else {
        assert_int_equal(pair->ops->range_open(pair->owner, offset, bytes, &pass), TA_OK);
    }
    assert_true(pass != 0);
    return pass;
}

void pair_lend(struct pair *pair, const void *base, size_t bytes) {
    if (pair->ops->source_register(pair->sender, base, bytes) != TA_OK) fail_msg("%s", ta_why());
}

static void pass_time(struct pair *pair) {
    if (pair->fabric == NULL) {
        pair->now_ns = ta_clock_now_ns();
    } else {
        int64_t next = ta_sim_next_ns(pair->fabric);
        pair->now_ns = next == INT64_MAX ? pair->now_ns + STEP_NS : next;
    }
}

ta_status pair_progress(struct pair *pair) {
    pass_time(pair);
    /* What breaks for the owner is looked at from the sender's side. */
    if (pair->owner != NULL && pair->fabric == NULL) pair->ops->progress(pair->owner, pair->now_ns);
    return pair->ops->progress(pair->sender, pair->now_ns);
}

static void progress_well(struct pair *pair) {
    ta_status status = pair_progress(pair);
    if (status != TA_OK) fail_msg("progress gave %s: %s", ta_status_name(status), ta_why());
}

void pair_put(struct pair *pair, const struct ta_put_segment *segments, unsigned n_segments) {
    ta_status status;
    while ((status = pair->ops->put(pair->sender, 1, segments, n_segments)) == TA_BUSY) progress_well(pair);
    if (status != TA_OK) fail_msg("a put gave %s: %s", ta_status_name(status), ta_why());
}

void pair_settle(struct pair *pair) {
    do progress_well(pair);
    while (pair->ops->in_flight(pair->sender, 1) > 0);
}

void pair_read(struct pair *pair, size_t offset, size_t bytes, void *out) {
    if (!pair->kind->forked) {
        ta_status status = far_kinds_read(pair->ops, pair->owner, &pair->window, offset, bytes, out);
        if (status != TA_OK) fail_msg("%s", ta_why());
        return;
    }
    struct request request = {.what = ASK_BYTES, .offset = offset, .bytes = bytes};
    assert_true(send_all(pair->socket, &request, sizeof request));
    assert_true(receive_all(pair->socket, out, bytes));
}

void pair_kill_owner(struct pair *pair) {
    struct request request = {.what = ASK_DIE};
    char nothing;
    if (pair->kind->remote) {
        assert_true(send_all(pair->socket, &request, sizeof request));
        assert_false(receive_all(pair->socket, &nothing, 1)); /* the end of the connection: it is dead */
    } else if (pair->kind->forked) {
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

static void bury_owner(struct pair *pair) {
    if (pair->child > 0) assert_int_equal(waitpid(pair->child, NULL, 0), pair->child);
    if (pair->child > 0 || pair->kind->remote) {
        close(pair->socket);
        pair->socket = -1;
    }
    pair->child = 0;
}

int64_t pair_wait_lost(struct pair *pair, const struct ta_put_segment *segment, int64_t limit_ns) {
    pass_time(pair);
    unsigned reports = 0;
    int64_t put_ns = pair->now_ns;
    for (int64_t begin_ns = pair->now_ns; pair->now_ns - begin_ns <= limit_ns;) {
        if (pair_progress(pair) == TA_PEER) reports++;
        if (segment != NULL && pair->now_ns - put_ns >= PUT_AGAIN_NS && reports == 0) {
            put_ns = pair->now_ns;
            pair->ops->put(pair->sender, 1, segment, 1);
        }
        enum ta_peer_state state = pair->ops->peer_state(pair->sender, 1);
        if ((state != TA_PEER_DOWN && state != TA_PEER_BROKEN) || reports == 0) continue;
        assert_int_equal(reports, 1);
        assert_int_equal(pair_progress(pair), TA_OK);
        bury_owner(pair);
        return pair->now_ns - begin_ns;
    }
    return -1;
}
