/* store: small values by name that the processes of a run write and read while they find each other: window keys, what
 * was decided for all, the rows of the board. One process of the run serves it, by TCP, in one thread of its own; all
 * others are clients. (PyTorch's TCPStore is the same noun; this one pushes, authenticates and never blocks a client.)
 *
 * The server listens on a port the system picks and writes DIRECTORY/server: its addresses, the port and a random
 * secret. The directory has mode 0700 and the file 0600: who can read it belongs to the run. Every connection begins by
 * both sides proving that they know the secret, and goes on encrypted and authenticated by keys made for it alone
 * (libsodium); a message that is damaged, repeated, out of turn, of another version or beyond the sizes below ends the
 * connection, with a line in the log that names who it was. Where both sides can reach munge, a munge credential of the
 * same user is asked for as well.
 *
 * A value is state, not a message: the newest one counts, and only that is pushed. Versions of a value rise.
 *
 * Threads: a client belongs to one thread at a time, none of its calls blocks (open with a patience excepted). The
 * server's calls are for the thread that made it.
 */
#ifndef TA_STORE_H
#define TA_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "log.h"
#include "status.h"

enum { TA_STORE_NAME_BYTES = 64, TA_STORE_VALUE_BYTES = 16384 };

/* --- the server --- */

struct ta_store_server_config {
    const char *directory; /* made with mode 0700 when missing; one that others can enter is refused (CONFIG) */
    const char *address;   /* to listen on and to publish; NULL: all, and the names and addresses of this host */
    uint64_t run_id;       /* clients of another run are told so and refused */
    unsigned max_clients;  /* 0: 4096 */
    const char *munge_socket; /* of munged; NULL: the system's */
    struct ta_log *log;    /* may be NULL */
};

struct ta_store_server;

struct ta_store_server_stats {
    unsigned clients;
    uint64_t names, bytes;     /* values held */
    uint64_t refused, garbage; /* connections: wrong secret, version, run or user; not this protocol at all */
};

/* Errors: CONFIG, IO (port, file), NO_MEMORY. */
ta_status ta_store_serve(const struct ta_store_server_config *config, struct ta_store_server **out);
void ta_store_server_stats(struct ta_store_server *s, struct ta_store_server_stats *out);
/* Drains what is on its way (a second at most), closes all connections, removes DIRECTORY/server. NULL is fine. */
void ta_store_server_close(struct ta_store_server *s);

/* --- a client --- */

struct ta_store_config {
    const char *directory; /* that holds the file `server` */
    const char *server_text; /* what stands in that file, where it came another way (and is as secret); NULL: it is read */
    const char *who;       /* "rank 3", "node 1": how the server names us in its log; at most 31 bytes */
    uint64_t run_id;       /* 0: whichever the server has (then ta_store_run_id tells) */
    double patience_s;     /* open waits so long for the file and the server; 0: for neither (a server that is there has
                              5 seconds to answer) */
    const char *munge_socket; /* of munged; NULL: the system's */
    struct ta_log *log;
};

struct ta_store;

/* Connected and authenticated when it returns. Errors: PEER (no server there in time, it closed, it refused us: why),
 * CONFIG (others can read or write the server file; another version), FORMAT (the file is damaged), IO, NO_MEMORY. */
ta_status ta_store_open(const struct ta_store_config *config, struct ta_store **out);
/* Sends what was put, with a second's patience; NULL is fine. */
void ta_store_close(struct ta_store *s);
/* In a fork of the process that opened it: frees, and leaves the connection to that one. NULL is fine. */
void ta_store_forget(struct ta_store *s);
uint64_t ta_store_run_id(const struct ta_store *s);

/* Takes the value; it goes out by and by. Errors: INVALID (name, size), NO_MEMORY, PEER (the server is gone). */
ta_status ta_store_put(struct ta_store *s, const char *name, const void *value, size_t bytes);
/* From now on the server sends every value whose name begins with `prefix`, those it has first. */
ta_status ta_store_watch(struct ta_store *s, const char *prefix);
/* Moves bytes both ways. OK; PEER: the server is gone (told at every call from then on; what was received stays);
 * NO_MEMORY: likewise the end of it. */
ta_status ta_store_poll(struct ta_store *s);

struct ta_store_value {
    const void *data; /* valid until the next poll or close */
    size_t bytes;
    uint64_t version; /* from 1, rises by one with every put of that name */
};

/* What was received of a watched name. AGAIN: nothing yet. */
ta_status ta_store_get(const struct ta_store *s, const char *name, struct ta_store_value *out);

#endif
