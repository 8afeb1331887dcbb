/* socket: TCP as the store uses it: no delays, dead peers noticed, nothing that blocks but `dial`. */
#ifndef TA_STORE_SOCKET_H
#define TA_STORE_SOCKET_H

#include "server_file.h"

/* Listens on `address` (NULL: all of this host's) at a port the system picks; writes port and addresses into `file`:
 * `address` itself, or what the interfaces have (but loopback, where there is anything else) and this host's name.
 * Errors: CONFIG (no such address here), IO. */
ta_status ta_store_listen(const char *address, struct ta_store_server_file *file, int *out);

/* Not blocking, closed on exec, without delays; a peer whose machine is gone ends an idle connection within half a
 * minute. `serving`: what the other side does not take may wait for as long as it likes. The server itself always takes
 * what it is sent: a client gives it up when it has not done so for 25 s. */
ta_status ta_store_socket_tune(int fd, bool serving);

/* "10.0.0.7:40123" of the other side. */
enum { TA_STORE_PEER_BYTES = 64 };
void ta_store_socket_peer(int fd, char text[TA_STORE_PEER_BYTES]);

/* Connects, waiting until `until_ns` at most. Errors: PEER (nobody there), IO. */
ta_status ta_store_dial(const char *address, unsigned port, int64_t until_ns, int *out);
/* Waits until the socket is ready for `events` (poll.h). Errors: PEER (not in time). */
ta_status ta_store_await(int fd, short events, int64_t until_ns);

#endif
