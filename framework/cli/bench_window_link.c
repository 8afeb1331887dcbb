/* The socket between the two sides of `tensair bench window`: keys and orders travel over it. Nothing of it is
 * measured. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench_window.h"
#include "clock.h"

enum { MAX_MESSAGE = 65536, CONNECT_TRIES = 100, TRY_MS = 100, LISTEN_MS = 600000, WAIT_MS = 300000, MOVE_MS = 1 };

static const uint32_t magic = 0x62774154; /* "TAwb" */

struct head {
    uint32_t magic, kind, bytes;
};


/* Until there is something to read; the transport is given progress meanwhile, and may have its own worries. */
static ta_status wait_readable(struct ta_bench_link *link, int wait_ms, const char *what) {
    int64_t end_ns = ta_clock_now_ns() + (int64_t)wait_ms * 1000000;
    struct pollfd socket = {.fd = link->socket, .events = POLLIN};
    for (;;) {
        int ready = poll(&socket, 1, link->side != NULL ? MOVE_MS : 1000);
        if (ready > 0) return TA_OK;
        if (ready < 0 && errno != EINTR) return ta_fail_errno(TA_IO, "poll");
        int64_t now_ns = ta_clock_now_ns();
        if (link->side != NULL) (void)link->side->ops->progress(link->side->transport, now_ns);
        if (now_ns > end_ns) return ta_fail(TA_PEER, "%s in %d s", what, wait_ms / 1000);
    }
}

ta_status ta_bench_link_listen(unsigned port, struct ta_bench_link *out) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)}; /* of any address */
    struct ta_bench_link door = {.socket = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    ta_status status = TA_OK;
    int on = 1, off = 0;
    if (door.socket < 0) return ta_fail_errno(TA_IO, "socket");
    (void)setsockopt(door.socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(door.socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(door.socket, (struct sockaddr *)&address, sizeof address) != 0 || listen(door.socket, 1) != 0)
        status = ta_fail_errno(TA_IO, "--listen: port %u", port);
    if (status == TA_OK) status = wait_readable(&door, LISTEN_MS, "nobody connected");
    if (status == TA_OK) {
        out->socket = accept4(door.socket, NULL, NULL, SOCK_CLOEXEC);
        if (out->socket < 0) status = ta_fail_errno(TA_IO, "accept");
    }
    close(door.socket);
    if (status == TA_OK) (void)setsockopt(out->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return status;
}

static int try_connect(const struct addrinfo *all) {
    int fd = -1;
    for (const struct addrinfo *at = all; at != NULL && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, at->ai_addr, at->ai_addrlen) == 0) continue;
        int why = errno;
        close(fd);
        errno = why;
        fd = -1;
    }
    return fd;
}

ta_status ta_bench_link_connect(const char *host, unsigned port, struct ta_bench_link *out) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *all;
    char service[16];
    snprintf(service, sizeof service, "%u", port);
    int code = getaddrinfo(host, service, &hints, &all);
    if (code != 0) return ta_fail(TA_USAGE, "--connect: no address of '%s': %s", host, gai_strerror(code));
    for (int i = 0; i < CONNECT_TRIES && out->socket < 0; i++) {
        if (i > 0) nanosleep(&(struct timespec){.tv_nsec = TRY_MS * 1000000L}, NULL);
        out->socket = try_connect(all);
        if (out->socket < 0 && errno != ECONNREFUSED) break;
    }
    if (out->socket < 0)
        (void)ta_fail_errno(TA_PEER, "nobody listens on %s port %u; start `tensair bench window --listen %u` there",
                            host, port, port);
    freeaddrinfo(all);
    if (out->socket < 0) return TA_PEER;
    int on = 1;
    (void)setsockopt(out->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return TA_OK;
}

void ta_bench_link_close(struct ta_bench_link *link) {
    if (link->socket >= 0) close(link->socket);
    link->socket = -1;
}

static ta_status send_all(struct ta_bench_link *link, const void *data, size_t bytes) {
    for (const char *at = data; bytes > 0;) {
        ssize_t n = send(link->socket, at, bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return ta_fail_errno(TA_PEER, "the other side is gone");
        at += n;
        bytes -= (size_t)n;
    }
    return TA_OK;
}

ta_status ta_bench_link_send(struct ta_bench_link *link, enum ta_bench_message kind, const void *data, size_t bytes) {
    const struct head head = {.magic = magic, .kind = kind, .bytes = (uint32_t)bytes};
    ta_status status = send_all(link, &head, sizeof head);
    return status == TA_OK && bytes > 0 ? send_all(link, data, bytes) : status;
}

static ta_status receive_all(struct ta_bench_link *link, void *data, size_t bytes) {
    for (char *at = data; bytes > 0;) {
        ta_status status = wait_readable(link, WAIT_MS, "the other side said nothing");
        if (status != TA_OK) return status;
        ssize_t n = recv(link->socket, at, bytes, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ta_fail_errno(TA_PEER, "the other side is gone");
        if (n == 0) return ta_fail(TA_PEER, "the other side closed the connection");
        at += n;
        bytes -= (size_t)n;
    }
    return TA_OK;
}

/* What it said last, without what a terminal would take for orders. */
static ta_status their_failure(struct ta_bench_link *link, size_t bytes) {
    char why[1024];
    if (bytes >= sizeof why) return ta_fail(TA_PEER, "the other side failed, with %zu bytes to say about it", bytes);
    ta_status status = receive_all(link, why, bytes);
    if (status != TA_OK) return status;
    why[bytes] = '\0';
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)why[i] < ' ' || why[i] == 127) why[i] = ' ';
    return ta_fail(TA_PEER, "the other side: %s", why);
}

ta_status ta_bench_link_receive(struct ta_bench_link *link, enum ta_bench_message *kind, void *data, size_t bytes) {
    struct head head;
    ta_status status = receive_all(link, &head, sizeof head);
    if (status != TA_OK) return status;
    if (head.magic != magic || head.kind >= TA_BENCH_MESSAGES || head.bytes > MAX_MESSAGE)
        return ta_fail(TA_PEER, "what connected is no `tensair bench window`");
    if (head.kind == TA_BENCH_FAILED) return their_failure(link, head.bytes);
    bool any = *kind == TA_BENCH_MESSAGES;
    if ((!any && head.kind != *kind) || (head.bytes != bytes && !(any && head.bytes == 0)))
        return ta_fail(TA_PEER, "the other side sent message %u of %u bytes, not %u of %zu: is it of this version?",
                       head.kind, head.bytes, *kind, bytes);
    *kind = head.kind;
    return head.bytes > 0 ? receive_all(link, data, head.bytes) : TA_OK;
}

ta_status ta_bench_link_expect(struct ta_bench_link *link, enum ta_bench_message kind, void *data, size_t bytes) {
    return ta_bench_link_receive(link, &kind, data, bytes);
}
