/* pair_owner: the owner of a window in another process, asked by bytes through a socket. For pair.c and owner.c. */
#ifndef TA_TEST_PAIR_OWNER_H
#define TA_TEST_PAIR_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport.h"

enum ask { ASK_KEY, ASK_CONNECT, ASK_PART, ASK_GRANT, ASK_OPEN, ASK_BYTES, ASK_DIE, ASK_QUIT };

struct request {
    enum ask what;
    unsigned peer;
    size_t offset, bytes;
    struct ta_key key; /* of who asks, for ASK_CONNECT */
};

/* What the owner is to be; the first thing said on the socket. make "quit": the whole program is to end. */
struct opening {
    char make[16], device[64];
    uint32_t rails;
    size_t window_bytes;
};

/* Whole or not at all; false: the other side is gone. */
bool send_all(int fd, const void *data, size_t bytes);
bool receive_all(int fd, void *data, size_t bytes);

/* The life of an owner: returns its exit status when it is asked to quit. No cmocka in here, its answers are bytes. */
int owner_serve(int socket, const struct opening *opening);

#endif
