/* socket: listening, dialling, and what this host is called. */
#include "socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

enum { BACKLOG = 4096, KEEP_IDLE_S = 10, KEEP_INTERVAL_S = 3, KEEP_PROBES = 5, UNHEARD_MS = 25000 };

ta_status ta_store_socket_tune(int fd, bool serving) {
    static const int on = 1, idle = KEEP_IDLE_S, interval = KEEP_INTERVAL_S, probes = KEEP_PROBES, unheard = UNHEARD_MS;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes) != 0 ||
        (!serving && setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard, sizeof unheard) != 0))
        return ta_fail_errno(TA_IO, "store: setting up a socket");
    return TA_OK;
}

void ta_store_socket_peer(int fd, char text[TA_STORE_PEER_BYTES]) {
    struct sockaddr_storage peer;
    socklen_t n = sizeof peer;
    char host[INET6_ADDRSTRLEN] = "?", port[8] = "?";
    if (getpeername(fd, (struct sockaddr *)&peer, &n) == 0)
        (void)getnameinfo((struct sockaddr *)&peer, n, host, sizeof host, port, sizeof port,
                          NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(text, TA_STORE_PEER_BYTES, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
}

static void add_address(struct ta_store_server_file *file, const char *text) {
    for (unsigned i = 0; i < file->n_addresses; i++)
        if (strcmp(file->address[i], text) == 0) return;
    if (file->n_addresses == TA_STORE_ADDRESSES || text[0] == '\0') return;
    snprintf(file->address[file->n_addresses++], TA_STORE_ADDRESS_BYTES, "%s", text);
}

/* Addresses of one family; link-local ones lead nowhere without an interface's name. */
static void add_interfaces(struct ta_store_server_file *file, const struct ifaddrs *list, int family, bool loopback) {
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        char text[INET6_ADDRSTRLEN];
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != family || (i->ifa_flags & IFF_UP) == 0) continue;
        if (((i->ifa_flags & IFF_LOOPBACK) != 0) != loopback) continue;
        const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr;
        if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(six)) continue;
        const void *raw = family == AF_INET6 ? (const void *)six
                                             : &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
        if (inet_ntop(family, raw, text, sizeof text) != NULL) add_address(file, text);
    }
}

/* Numbers first: they need no name server. */
static void add_own_addresses(struct ta_store_server_file *file) {
    struct ifaddrs *list = NULL;
    char host[TA_STORE_ADDRESS_BYTES] = "";
    if (getifaddrs(&list) == 0) {
        add_interfaces(file, list, AF_INET, false);
        add_interfaces(file, list, AF_INET6, false);
        if (file->n_addresses == 0) {
            add_interfaces(file, list, AF_INET, true);
            add_interfaces(file, list, AF_INET6, true);
        }
        freeifaddrs(list);
    }
    if (file->n_addresses == TA_STORE_ADDRESSES) file->n_addresses--; /* the name is worth more than the last number */
    if (gethostname(host, sizeof host - 1) == 0) add_address(file, host);
}

static ta_status resolve(const char *address, unsigned port, bool passive, struct addrinfo **out) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0)};
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    int error = getaddrinfo(address, service, &hints, out);
    if (error == 0) return TA_OK;
    return ta_fail(passive ? TA_CONFIG : TA_PEER, "the address '%s' means nothing here: %s",
                   address == NULL ? "(all)" : address, gai_strerror(error));
}

static int listen_on(int family, const struct sockaddr *at, socklen_t n) {
    static const int off = 0;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    if (family == AF_INET6) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, at, n) == 0 && listen(fd, BACKLOG) == 0) return fd;
    int code = errno;
    close(fd);
    errno = code;
    return -1;
}

static int listen_everywhere(void) {
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    int fd = listen_on(AF_INET6, (struct sockaddr *)&six, sizeof six); /* of both families, where there is a sixth */
    return fd >= 0 ? fd : listen_on(AF_INET, (struct sockaddr *)&four, sizeof four);
}

static ta_status read_port(int fd, unsigned *port) {
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &n) != 0) return ta_fail_errno(TA_IO, "store: asking for our port");
    *port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                           : ((struct sockaddr_in *)&at)->sin_port);
    return TA_OK;
}

ta_status ta_store_listen(const char *address, struct ta_store_server_file *file, int *out) {
    struct addrinfo *list = NULL;
    ta_status status = TA_OK;
    *out = -1;
    file->n_addresses = 0;
    if (address == NULL) {
        *out = listen_everywhere();
        add_own_addresses(file);
    } else {
        status = resolve(address, 0, true, &list);
        for (struct addrinfo *i = list; i != NULL && *out < 0; i = i->ai_next)
            *out = listen_on(i->ai_family, i->ai_addr, i->ai_addrlen);
        add_address(file, address);
    }
    int code = errno;
    if (list != NULL) freeaddrinfo(list);
    errno = code;
    if (status == TA_OK && *out < 0)
        status = ta_fail_errno(errno == EADDRNOTAVAIL ? TA_CONFIG : TA_IO, "store: cannot listen on %s",
                               address == NULL ? "any address" : address);
    if (status == TA_OK) status = read_port(*out, &file->port);
    if (status != TA_OK && *out >= 0) {
        close(*out);
        *out = -1;
    }
    return status;
}

ta_status ta_store_await(int fd, short events, int64_t until_ns) {
    for (;;) {
        int64_t left_ns = until_ns - ta_clock_now_ns();
        struct pollfd ready = {.fd = fd, .events = events};
        int n = poll(&ready, 1, left_ns <= 0 ? 0 : (int)(left_ns / 1000000 + 1));
        if (n > 0) return TA_OK;
        if (n < 0 && errno != EINTR) return ta_fail_errno(TA_IO, "store: poll");
        if (n == 0 && left_ns <= 0) return ta_fail(TA_PEER, "no answer in time");
    }
}

static ta_status dial_one(const struct addrinfo *at, int64_t until_ns, int *out) {
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
    socklen_t n = sizeof error;
    if (fd < 0) return ta_fail_errno(TA_IO, "store: no socket");
    ta_status status = ta_store_socket_tune(fd, false);
    if (status == TA_OK && connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
        if (errno != EINPROGRESS)
            status = ta_fail_errno(TA_PEER, "connecting");
        else
            status = ta_store_await(fd, POLLOUT, until_ns);
        if (status == TA_OK && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error != 0)
            status = ta_fail(TA_PEER, "connecting: %s", strerror(error));
    }
    if (status == TA_OK)
        *out = fd;
    else
        close(fd);
    return status;
}

ta_status ta_store_dial(const char *address, unsigned port, int64_t until_ns, int *out) {
    struct addrinfo *list = NULL;
    *out = -1;
    ta_status status = resolve(address, port, false, &list);
    for (struct addrinfo *i = list; i != NULL && *out < 0; i = i->ai_next) status = dial_one(i, until_ns, out);
    if (list != NULL) freeaddrinfo(list);
    return *out >= 0 ? TA_OK : status;
}
