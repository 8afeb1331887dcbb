/* server_loop: one thread waits for all sockets at once; what it got from some is sent on to others in passes.
 *
 * A pass comes at once when the server has little to do. When passes cost much (a thousand clients publishing at once)
 * the next one waits for four times as long as the last one took, so that each message carries much.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"
#include "server.h"

#define MS INT64_C(1000000)
#define JOIN_WITHIN_NS (5 * TA_NS_PER_S)
#define DRAIN_NS TA_NS_PER_S
#define MAX_PAUSE_NS (50 * MS)
#define DEAF_NS (100 * MS)

enum { EVENTS = 256, ACCEPTS = 64, FRAMES_AT_ONCE = 8, QUIET_MS = 20 };

static void link_add(struct ta_store_links *list, struct ta_store_link *l) {
    l->before = list->last;
    l->after = NULL;
    if (list->last != NULL)
        list->last->after = l;
    else
        list->first = l;
    list->last = l;
    list->n++;
}

static void link_remove(struct ta_store_links *list, struct ta_store_link *l) {
    if (l->before != NULL)
        l->before->after = l->after;
    else
        list->first = l->after;
    if (l->after != NULL)
        l->after->before = l->before;
    else
        list->last = l->before;
    l->before = l->after = NULL;
    list->n--;
}

/* Garbage may come in floods: only so many lines a second. */
static bool may_log(struct ta_store_server *s) {
    int64_t second = ta_clock_now_ns() / TA_NS_PER_S;
    if (second != s->log_second) {
        s->log_second = second;
        s->log_lines = 0;
    }
    return s->log_lines++ < TA_STORE_LOG_LINES_PER_S;
}

/* A process that was forked meanwhile may hold the same socket: closing alone would neither end the connection nor the
 * events of it. Freed at the end of the round: one of them may still be in our hands. */
static void hang_up(struct ta_store_server *s, struct ta_store_link *l) {
    if (l->fd < 0) return;
    (void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, l->fd, NULL);
    (void)shutdown(l->fd, SHUT_RDWR);
    close(l->fd);
    l->fd = -1;
    link_remove(l->joined ? &s->joined : &s->waiting, l);
    ta_store_conn_free(&l->conn, &s->house);
    link_add(&s->gone, l);
}

static void free_gone(struct ta_store_server *s) {
    while (s->gone.first != NULL) {
        struct ta_store_link *l = s->gone.first;
        link_remove(&s->gone, l);
        ta_mem_free(l);
    }
}

/* The connection broke the rules or was not let in; ta_why says how. */
static void turn_away(struct ta_store_server *s, struct ta_store_link *l, ta_status status) {
    char why[512];
    snprintf(why, sizeof why, "%s", ta_why());
    (void)ta_store_outgo_send(&l->conn.out, l->fd); /* what a refused client is told */
    if (may_log(s))
        ta_log_warn(s->house.log, "store: %s %s%s%s: %s", l->joined ? "hanging up on" : "refused", l->peer,
                    l->conn.who[0] == '\0' ? "" : ", ", l->conn.who, why);
    if (status == TA_FORMAT) atomic_fetch_add(&s->garbage, 1);
    if (status == TA_PEER || status == TA_CONFIG) atomic_fetch_add(&s->refused, 1);
    hang_up(s, l);
}

static void want(struct ta_store_server *s, struct ta_store_link *l, bool out) {
    if (l->wants_out == out) return;
    struct epoll_event event = {.events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0), .data.ptr = l};
    if (epoll_ctl(s->epoll, EPOLL_CTL_MOD, l->fd, &event) == 0) l->wants_out = out;
}

/* `how` is NULL when it closed in order. */
static void lost(struct ta_store_server *s, struct ta_store_link *l, const char *how) {
    if (!l->joined) {
        if (may_log(s))
            ta_log_warn(s->house.log, "store: %s went away before it had proven that it belongs to the run", l->peer);
        atomic_fetch_add(&s->garbage, 1);
    } else if (how == NULL) {
        ta_log_debug(s->house.log, "store: %s (%s) left", l->conn.who, l->peer);
    } else if (may_log(s)) {
        ta_log_warn(s->house.log, "store: %s (%s) is gone: %s", l->conn.who, l->peer, how);
    }
    hang_up(s, l);
}

/* Sends what waits; then what is new for it is due. */
static void send_on(struct ta_store_server *s, struct ta_store_link *l) {
    if (ta_store_outgo_send(&l->conn.out, l->fd) != TA_OK) {
        lost(s, l, ta_why());
        return;
    }
    bool left = ta_store_outgo_left(&l->conn.out) > 0;
    if (l->wants_out && !left && l->joined) ta_store_values_due(&s->house.values, &l->conn.watcher);
    want(s, l, left);
}

static void receive(struct ta_store_server *s, struct ta_store_link *l) {
    ssize_t n = recv(l->fd, s->scratch, TA_STORE_SCRATCH_BYTES, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n <= 0) {
        lost(s, l, n == 0 ? NULL : strerror(errno));
        return;
    }
    ta_status status = ta_store_conn_take(&l->conn, &s->house, s->scratch, (size_t)n);
    if (status != TA_OK) {
        turn_away(s, l, status);
        return;
    }
    if (l->conn.stage == TA_STORE_JOINED && !l->joined) {
        link_remove(&s->waiting, l);
        l->joined = true;
        link_add(&s->joined, l);
        ta_log_debug(s->house.log, "store: %s joined from %s", l->conn.who, l->peer);
    }
    if (ta_store_outgo_left(&l->conn.out) > 0 && !l->wants_out) send_on(s, l);
}

/* One connection's share of a pass. */
static void pass_on(struct ta_store_server *s, struct ta_store_link *l) {
    bool more = true;
    for (int i = 0; i < FRAMES_AT_ONCE && more; i++) {
        if (ta_store_outgo_left(&l->conn.out) > 0) return; /* due again when it is sent */
        ta_status status = ta_store_conn_fill(&l->conn, &s->house, &more);
        if (status != TA_OK) {
            turn_away(s, l, status);
            return;
        }
        if (more) send_on(s, l);
        if (l->fd < 0) return;
    }
    if (more && !l->wants_out) ta_store_values_due(&s->house.values, &l->conn.watcher);
}

static void pass(struct ta_store_server *s, int64_t now_ns) {
    unsigned n = s->joined.n;
    for (unsigned i = 0; i < n; i++) {
        struct ta_store_watcher *w = ta_store_values_next_due(&s->house.values);
        if (w == NULL) break;
        pass_on(s, (struct ta_store_link *)(void *)w);
    }
    int64_t end_ns = ta_clock_now_ns(), pause_ns = 4 * (end_ns - now_ns);
    s->flush_ns = end_ns + (pause_ns < MAX_PAUSE_NS ? pause_ns : MAX_PAUSE_NS);
}

static void set_deaf(struct ta_store_server *s, bool deaf) {
    struct epoll_event event = {.events = deaf ? 0 : EPOLLIN, .data.ptr = &s->listener};
    if (epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->listener, &event) != 0) return;
    s->deaf = deaf;
    if (deaf) s->deaf_until_ns = ta_clock_now_ns() + DEAF_NS;
}

static void drop_oldest(struct ta_store_server *s, const char *why) {
    ta_fail(TA_FORMAT, "%s", why);
    turn_away(s, s->waiting.first, TA_FORMAT);
}

static void let_in(struct ta_store_server *s, int fd) {
    struct ta_store_link *l;
    if (ta_store_socket_tune(fd, true) != TA_OK || TA_NEW(&l, 1, "store: connection") != TA_OK) {
        if (may_log(s)) ta_log_warn(s->house.log, "store: a connection is dropped: %s", ta_why());
        close(fd);
        return;
    }
    l->fd = fd;
    l->since_ns = ta_clock_now_ns();
    ta_store_socket_peer(fd, l->peer);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = l};
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        close(fd);
        ta_mem_free(l);
        return;
    }
    link_add(&s->waiting, l);
    if (s->waiting.n > TA_STORE_MAX_WAITING)
        drop_oldest(s, "too many connections prove nothing, and it is the oldest of them");
}

static void accept_some(struct ta_store_server *s) {
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            let_in(s, fd);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) return;
        if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) continue;
        if (may_log(s))
            ta_log_warn(s->house.log, "store: cannot accept a connection beside %u others: %s; raise the limit of open "
                        "files (ulimit -n)", s->joined.n + s->waiting.n, strerror(errno));
        if (s->waiting.n > 0) drop_oldest(s, "descriptors ran out, and it has proven nothing");
        set_deaf(s, true);
        return;
    }
}

static void expire(struct ta_store_server *s, int64_t now_ns) {
    while (s->waiting.first != NULL && now_ns - s->waiting.first->since_ns >= JOIN_WITHIN_NS)
        drop_oldest(s, "it did not prove within 5 s that it belongs to the run");
    if (s->deaf && now_ns >= s->deaf_until_ns) set_deaf(s, false);
}

static int wait_ms(const struct ta_store_server *s, int64_t now_ns) {
    int64_t until_ns = INT64_MAX;
    if (s->house.values.due_first != NULL) until_ns = s->flush_ns;
    if (s->waiting.first != NULL && s->waiting.first->since_ns + JOIN_WITHIN_NS < until_ns)
        until_ns = s->waiting.first->since_ns + JOIN_WITHIN_NS;
    if (s->deaf && s->deaf_until_ns < until_ns) until_ns = s->deaf_until_ns;
    if (until_ns == INT64_MAX) return -1;
    return until_ns <= now_ns ? 0 : (int)((until_ns - now_ns + MS - 1) / MS);
}

static void handle(struct ta_store_server *s, const struct epoll_event *event) {
    if (event->data.ptr == &s->wake) {
        uint64_t n;
        while (read(s->wake, &n, sizeof n) < 0 && errno == EINTR) {}
    } else if (event->data.ptr == &s->listener) {
        accept_some(s);
    } else {
        struct ta_store_link *l = event->data.ptr;
        if (l->fd >= 0 && (event->events & EPOLLOUT) != 0) send_on(s, l);
        if (l->fd >= 0 && (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) receive(s, l);
    }
}

/* One round; returns how many events there were. */
static int serve_round(struct ta_store_server *s, int timeout_ms, bool hurry) {
    struct epoll_event events[EVENTS];
    int n = epoll_wait(s->epoll, events, EVENTS, timeout_ms);
    for (int i = 0; i < n; i++) handle(s, &events[i]);
    int64_t now_ns = ta_clock_now_ns();
    expire(s, now_ns);
    if (s->house.values.due_first != NULL && (hurry || now_ns >= s->flush_ns)) pass(s, now_ns);
    free_gone(s);
    atomic_store(&s->clients, s->joined.n);
    atomic_store(&s->names, s->house.values.items.n);
    atomic_store(&s->bytes, s->house.values.bytes);
    return n;
}

static bool all_sent(const struct ta_store_server *s) {
    if (s->house.values.due_first != NULL) return false;
    for (const struct ta_store_link *l = s->joined.first; l != NULL; l = l->after)
        if (ta_store_outgo_left(&l->conn.out) > 0) return false;
    return true;
}

void *ta_store_server_loop(void *server) {
    struct ta_store_server *s = server;
    while (!atomic_load(&s->stop)) serve_round(s, wait_ms(s, ta_clock_now_ns()), false);
    int64_t until_ns = ta_clock_now_ns() + DRAIN_NS;
    while (ta_clock_now_ns() < until_ns)
        if (serve_round(s, QUIET_MS, true) == 0 && all_sent(s)) break;
    return NULL;
}

void ta_store_server_hang_up(struct ta_store_server *s) {
    for (struct ta_store_link *l = s->joined.first; l != NULL; l = l->after) {
        if (ta_store_outgo_left(&l->conn.out) == 0) (void)ta_store_conn_say(&l->conn, &s->house, TA_STORE_BYE, "");
        (void)ta_store_outgo_send(&l->conn.out, l->fd);
    }
    while (s->joined.first != NULL) hang_up(s, s->joined.first);
    while (s->waiting.first != NULL) hang_up(s, s->waiting.first);
    free_gone(s);
    ta_store_values_free(&s->house.values);
}
