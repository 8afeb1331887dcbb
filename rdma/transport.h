/* transport: one-sided puts into a peer's window; a make is a file (self, shm, sim) or a folder (verbs/).
 *
 * Each replica opens one transport, creates one window (memory that named peers may write into, see window.h), hands
 * each peer a key to it, and connects to each peer with that peer's key. From then on `put` writes into the peer's
 * window without the peer taking part: no receive, no acknowledgement, no credit.
 *
 * A put is a list of segments, written in order. Three moments, apart:
 *   - source free: the source memory may be changed without the change being part of this put. (The exchange does not
 *     wait for it: it puts live state on purpose.) Reached when `in_flight` no longer counts the put.
 *   - delivered: the peer's memory holds all of it. A segment is delivered only after the segments before it, of this
 *     put and of earlier puts to the same peer: who sees the header sees the body (with acquire order: window.h).
 *   - visible to the peer's GPU: not before the peer's CPU saw the header and launched its kernel after that.
 * Each aligned 4-byte word is delivered whole (8-byte words too, of segments of 8 bytes) when source and target are
 * both aligned to it. Words of a segment may be delivered in any order, and a segment may be seen half delivered. One
 * kind of segment promises more: of at most 64 bytes, a multiple of 8, source and target aligned to 8. It is delivered
 * in whole 8-byte words, its last one after all the others: the place for a version, read by ta_window_load_u64.
 * A segment may be delivered twice; its source is then read again, and still counts as in flight.
 *
 * Threads: a transport belongs to one thread at a time. No call blocks. Nothing here interprets what is put.
 */
#ifndef TA_TRANSPORT_H
#define TA_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"
#include "window.h"

/* Opaque bytes that rendezvous carries from one replica to another. */
enum { TA_KEY_BYTES = 256 };

struct ta_key {
    uint32_t bytes;
    unsigned char data[TA_KEY_BYTES];
};

struct ta_transport_config {
    unsigned rank, n_ranks;
    uint64_t run_id; /* the same for all replicas of a run, different for every run: fences off former lives */
    void *fabric;    /* sim: the struct ta_sim_fabric all replicas share; others: NULL */
};

enum { TA_PUT_MAX_SEGMENTS = 16 };

/* One piece of memory; or, with `rows`, n_rows pieces of `bytes` each of two tables of that pitch, in the order listed:
 * source + rows[i] * bytes goes to target_offset + rows[i] * bytes. The list belongs to the source: it must stay as it
 * is until the source is free. Rows of one segment may be delivered in any order. */
struct ta_put_segment {
    const void *source;
    size_t bytes;         /* of the piece, or of a row */
    size_t target_offset; /* into the peer's window; checked against its size: beyond it is INVALID */
    const uint32_t *rows; /* NULL: one piece */
    size_t n_rows;
};

enum ta_peer_state { TA_PEER_UNKNOWN, TA_PEER_UP, TA_PEER_DOWN };

struct ta_transport;

struct ta_transport_ops {
    const char *name;    /* "self", "shm", "sim", "verbs" */
    const char *package; /* what to install when it is missing */

    /* Errors: NO_MEMORY, DEVICE, CONFIG (rank not below n_ranks). */
    ta_status (*open)(const struct ta_transport_config *config, struct ta_transport **out);
    void (*close)(struct ta_transport *t); /* drains or drops what is in flight; frees the window; NULL is fine */

    /* Creates the window of this replica: zeroed, page-aligned, once. shm: all pages are present when it returns, in
     * the memory nearest to the calling core: pin before. Errors: NO_MEMORY, INVALID (twice). */
    ta_status (*window_create)(struct ta_transport *t, size_t bytes, struct ta_window *out);
    /* Memory that puts read from lies in [base, base + bytes): registers it with the device. Others: nothing to do. */
    ta_status (*source_register)(struct ta_transport *t, const void *base, size_t bytes);

    /* What `peer` needs to write into our window. Errors: INVALID (no window yet). */
    ta_status (*key_make)(struct ta_transport *t, unsigned peer, struct ta_key *out);
    /* Opens the path to `peer` with the key it made for us. Errors: PEER (the peer is gone; the key is of another run,
     * for another receiver or damaged: both run ids are named), INVALID (no such peer; it is connected already:
     * disconnect first), NO_MEMORY, IO. */
    ta_status (*connect)(struct ta_transport *t, unsigned peer, const struct ta_key *key);
    /* Gives up a peer: nothing is put to it again, its state is DOWN, in_flight is 0. */
    void (*disconnect)(struct ta_transport *t, unsigned peer);

    /* Starts a put. OK: taken, in order. BUSY: no room, nothing was done; try after progress. PEER: the path is broken.
     * INVALID: not connected, too many segments, beyond the window. */
    ta_status (*put)(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments, unsigned n_segments);

    /* Moves things on; cheap when there is nothing to do. sim: delivers what is due at now_ns. Returns OK, or PEER once
     * for each peer whose path broke since the last call (ask peer_state). */
    ta_status (*progress)(struct ta_transport *t, int64_t now_ns);
    unsigned (*in_flight)(const struct ta_transport *t, unsigned peer); /* puts whose source is not free yet */
    /* UP: connected and, as far as the transport can tell, alive. DOWN: its process is gone or the path broke. */
    enum ta_peer_state (*peer_state)(struct ta_transport *t, unsigned peer);
};

extern const struct ta_transport_ops ta_transport_self; /* one replica: no peers; put is INVALID */
extern const struct ta_transport_ops ta_transport_shm;  /* replicas on one machine, a process (or thread) each */
extern const struct ta_transport_ops ta_transport_sim;  /* replicas in one thread, virtual time, faults: sim.h */

/* The make of that name; "auto": self for one replica, else shm. Errors: CONFIG (unknown: lists the names), NOT_BUILT
 * (known but not in this program: which package to install and build again). */
ta_status ta_transport_find(const char *name, unsigned n_ranks, const struct ta_transport_ops **out);

#endif
