/* store_wire: sockets of a test on this machine, and somebody in the middle who changes what goes by. */
#ifndef TA_TEST_STORE_WIRE_H
#define TA_TEST_STORE_WIRE_H

#include "store_place.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "server_file.h"

static inline int wire_listen(unsigned *port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&at, n) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) != 0)
        return -1;
    *port = ntohs(at.sin_port);
    return fd;
}

static inline int wire_connect(unsigned port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0) return fd;
    close(fd);
    return -1;
}

/* Whether the other side has closed, or does so within a time. */
static inline bool wire_closed(int fd, int within_ms) {
    char byte[256];
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    while (poll(&ready, 1, within_ms) > 0)
        if (recv(fd, byte, sizeof byte, 0) <= 0) return true;
    return false;
}

enum change { LEAVE, FLIP, DROP, REPEAT, CUT, SWAP, CHANGES };
enum { TO_SERVER, TO_CLIENT };

struct middle {
    int listener, ends[2]; /* client, server */
    unsigned port, target;
    enum change change;
    int direction;
    size_t at;
    _Atomic size_t passed[2];
    size_t recorded;
    unsigned char record[4096]; /* what the client said */
    atomic_bool stop, changed;
    pthread_t thread;
};

static inline bool pass_bytes(struct middle *m, int direction, unsigned char *bytes, size_t n) {
    size_t before = m->passed[direction], at = m->at - before;
    int to = m->ends[direction == TO_SERVER ? 1 : 0];
    bool here = m->change != LEAVE && direction == m->direction && m->at >= before && at < n, cut = false;
    m->passed[direction] += n;
    for (size_t i = 0; direction == TO_SERVER && i < n && m->recorded < sizeof m->record; i++)
        m->record[m->recorded++] = bytes[i];
    if (here && m->change == SWAP && (at + 1 == n || bytes[at] == bytes[at + 1])) here = false;
    if (here) atomic_store(&m->changed, true);
    if (here && m->change == FLIP) bytes[at] ^= (unsigned char)(1U << m->at % 8);
    if (here && m->change == SWAP) {
        unsigned char first = bytes[at];
        bytes[at] = bytes[at + 1];
        bytes[at + 1] = first;
    }
    if (here && m->change == DROP) memmove(bytes + at, bytes + at + 1, --n - at);
    if (here && m->change == CUT) {
        n = at;
        cut = true;
    }
    if (n > 0 && send(to, bytes, n, MSG_NOSIGNAL) < 0) return false;
    if (here && m->change == REPEAT && send(to, bytes, at + 1, MSG_NOSIGNAL) < 0) return false;
    return !cut;
}

static inline void between(struct middle *m) {
    unsigned char bytes[16384];
    for (;;) {
        struct pollfd ready[2] = {{.fd = m->ends[0], .events = POLLIN}, {.fd = m->ends[1], .events = POLLIN}};
        /* When something was changed and nobody says anything more, somebody waits for what will not come. */
        int n = poll(ready, 2, 20);
        if (atomic_load(&m->stop) || (n == 0 && atomic_load(&m->changed))) return;
        for (int direction = 0; direction < 2; direction++) {
            if (ready[direction].revents == 0) continue;
            ssize_t got = recv(ready[direction].fd, bytes, sizeof bytes, 0);
            if (got <= 0 || !pass_bytes(m, direction, bytes, (size_t)got)) return;
        }
    }
}

static inline void *middle_loop(void *arg) {
    struct middle *m = arg;
    struct pollfd ready = {.fd = m->listener, .events = POLLIN};
    while (!atomic_load(&m->stop)) {
        if (poll(&ready, 1, 5) <= 0) continue;
        m->ends[0] = accept(m->listener, NULL, NULL);
        m->ends[1] = wire_connect(m->target);
        if (m->ends[0] >= 0 && m->ends[1] >= 0) between(m);
        for (int i = 0; i < 2; i++)
            if (m->ends[i] >= 0) close(m->ends[i]);
    }
    return NULL;
}

static inline void middle_open(struct middle *m, unsigned target) {
    m->target = target;
    m->listener = wire_listen(&m->port);
    assert_true(m->listener >= 0);
    assert_int_equal(pthread_create(&m->thread, NULL, middle_loop, m), 0);
}

static inline void middle_close(struct middle *m) {
    atomic_store(&m->stop, true);
    pthread_join(m->thread, NULL);
    close(m->listener);
}

/* The server's file, and its directory made to point elsewhere. */
static inline struct ta_store_server_file file_of(const struct place *p) {
    struct ta_store_server_file file;
    assert_ok(ta_store_server_file_read(p->meet, &file));
    return file;
}

static inline void point_to(const struct place *p, struct ta_store_server_file file, unsigned port) {
    struct ta_store_file_id id;
    file.port = port;
    assert_ok(ta_store_server_file_write(p->meet, &file, &id));
}

#endif
