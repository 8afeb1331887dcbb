/* server: the state of the serving thread, shared by what starts it (server.c) and what it does (server_loop.c). */
#ifndef TA_STORE_SERVER_H
#define TA_STORE_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "conn.h"
#include "server_file.h"
#include "socket.h"

enum { TA_STORE_SCRATCH_BYTES = 1 << 18, TA_STORE_MAX_WAITING = 1024, TA_STORE_LOG_LINES_PER_S = 20 };

/* A connection with its socket. */
struct ta_store_link {
    struct ta_store_conn conn; /* first: the due list is of watchers, which are first in a connection */
    struct ta_store_link *before, *after; /* waiting: by age; joined: all */
    int64_t since_ns;
    int fd;
    bool joined;  /* on the list of those */
    bool wants_out, closing;
    char peer[TA_STORE_PEER_BYTES];
};

struct ta_store_links {
    struct ta_store_link *first, *last;
    unsigned n;
};

struct ta_store_server {
    struct ta_store_house house;
    struct ta_store_links waiting, joined; /* waiting: not proven yet; the oldest first */
    struct ta_store_links gone;            /* closed in this round of events; freed at its end */
    int listener, epoll, wake;             /* wake: an eventfd */
    bool deaf;                             /* no descriptors left: the listener is not listened to for a while */
    int64_t deaf_until_ns, flush_ns;       /* flush_ns: what is due is not sent before this */
    int64_t log_second;
    unsigned log_lines;
    unsigned char *scratch; /* TA_STORE_SCRATCH_BYTES */
    pthread_t thread;
    bool running;
    atomic_bool stop;
    atomic_uint clients;
    _Atomic uint64_t names, bytes, refused, garbage;
    char *directory, *munge_socket;
    struct ta_store_file_id file;
    bool published;
};

/* The thread: serves until `stop`, then drains for a second at most. */
void *ta_store_server_loop(void *server);
/* After the thread has ended. */
void ta_store_server_hang_up(struct ta_store_server *s);

#endif
