/* transport: one-sided puts into a peer's window; a make is a file (self, shm, sim, mixed) or a folder (verbs, ofi).
 *
 * Each replica opens one transport, creates one window (memory that named peers may write into, see window.h), grants
 * each peer the ranges it may write, hands it a key, and connects to each peer with that peer's key. From then on `put`
 * writes into the peer's window without the peer taking part: no receive, no acknowledgement, no credit. Both sides of
 * a pair do all this: a path may need both (verbs), and then carries nothing before the second one has connected too.
 *
 * A path can break without its peer being dead (a link that flaps). Then the state is BROKEN: disconnect, make a new
 * key, let the peer do the same, connect: a new path, on which nothing of the old one arrives any more. What was in
 * flight when it broke may or may not have been delivered.
 *
 * A put is a list of segments, written in order. Three moments, apart:
 *   - source free: the source memory may be changed without the change being part of this put. (The exchange does not
 *     wait for it: it puts live state on purpose.) Reached when `in_flight` no longer counts the put.
 *   - delivered: the peer's memory holds all of it. A segment is delivered only after the segments before it, of this
 *     put and of earlier puts to the same peer: who sees the header sees the body (with acquire order: window.h).
 *   - visible to the peer's GPU: not before the peer's CPU saw the header, called `fetch` and queued its kernel after
 *     that, on the stream APPLY.
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

#include "log.h"
#include "status.h"
#include "window.h"

/* Opaque bytes that rendezvous carries from one replica to another. */
enum { TA_KEY_BYTES = 512 };

struct ta_key {
    uint32_t bytes;
    unsigned char data[TA_KEY_BYTES];
};

struct ta_gpu;
struct ta_gpu_ops; /* gpu.h */

/* What a user may ask for: section `transport` of a configuration. NULL and 0: not given. */
struct ta_transport_spec {
    char *type;       /* auto | self | shm | sim | mixed | verbs | ofi; NULL: auto */
    char *device;     /* verbs: "mlx5_0", "mlx5_0:1", several with commas (for rails); ofi: a domain; NULL: nearest */
    char *gid;        /* verbs: index in the port's table; NULL: the best RoCE v2 (or InfiniBand) one */
    char *provider;   /* ofi: as FI_PROVIDER, "tcp;ofi_rxm"; NULL: the best there is */
    char *gpu_direct; /* auto | require | off: registration of GPU memory */
    uint32_t rails;   /* verbs: ports to stripe bodies over; 0: 1 */
};

struct ta_transport_config {
    unsigned rank, n_ranks;
    unsigned per_node; /* rank r runs on node r / per_node; 0: all on this one */
    unsigned alone_from; /* ranks from here on may run anywhere, and count as alone on their node; 0: there are none */
    uint64_t run_id;   /* the same for all replicas of a run, different for every run: fences off former lives */
    void *fabric;      /* sim: the struct ta_sim_fabric all replicas share; others: NULL */
    const struct ta_transport_spec *spec; /* outlives the transport; NULL: nothing was asked for */
    const struct ta_gpu_ops *gpu_ops;     /* gpu.h: where far pieces of windows, and sources of puts, may lie; */
    struct ta_gpu *gpu;                   /* opened, outlives the transport; NULL: all memory is the CPU's */
    struct ta_log *log;                   /* may be NULL */
};

enum { TA_PUT_MAX_SEGMENTS = 16, TA_MAX_GRANTS = 2 };

/* One piece of memory; or, with `rows`, n_rows pieces of `bytes` each of two tables of that pitch, in the order listed:
 * source + rows[i] * bytes goes to target_offset + rows[i] * bytes. The list belongs to the source: it must stay as it
 * is until the source is free. Rows of one segment may be delivered in any order. */
struct ta_put_segment {
    const void *source;
    size_t bytes;         /* of the piece, or of a row */
    size_t target_offset; /* into the peer's window; checked against its size: beyond it is INVALID */
    const uint32_t *rows; /* NULL: one piece */
    size_t n_rows;
    uint64_t pass; /* of a range that was opened to all (range_open); 0: a range granted to this replica */
};

/* UNKNOWN: not connected. UP: connected and, as far as the transport can tell, alive. BROKEN: the path is of no use any
 * more, its peer may be alive. DOWN: the peer's process is gone, or we gave it up. */
enum ta_peer_state { TA_PEER_UNKNOWN, TA_PEER_UP, TA_PEER_DOWN, TA_PEER_BROKEN };

struct ta_transport;

struct ta_transport_ops {
    const char *name;    /* "self", "shm", "sim", "mixed", "verbs", "ofi" */
    const char *package; /* what to install when it is missing */

    /* Whether this make can work on this machine as asked, without keeping anything open; `said` gets one line on what
     * it would use ("device rxe0 port 1, gid 1 ::ffff:10.77.0.1 RoCE v2"). Errors: DEVICE, CONFIG: what is missing, and
     * the cure. */
    ta_status (*probe)(const struct ta_transport_spec *spec, char *said, size_t bytes);

    /* Errors: NO_MEMORY, DEVICE, CONFIG (rank not below n_ranks). */
    ta_status (*open)(const struct ta_transport_config *config, struct ta_transport **out);
    void (*close)(struct ta_transport *t); /* drains or drops what is in flight; frees the window; NULL is fine */

    /* Creates the window of this replica: zeroed, in whole pages, once. shm: all pages are present when it returns, in
     * the memory nearest to the calling core: pin before. Errors: NO_MEMORY, INVALID (twice). */
    ta_status (*window_create)(struct ta_transport *t, size_t bytes, struct ta_window *out);
    /* The same with far pieces, in the memory of config.gpu. A segment of a put, with all its rows, lies in a far piece
     * of the peer's wholly or not at all (else INVALID); its source may be GPU memory or the CPU's. What such a put
     * reads is at least what the work writes that was queued on the streams COMPUTE and APPLY when it was started.
     * Everybody's windows must be of one kind, far or not: connect says so (CONFIG). NULL: this make knows no GPUs, but
     * `staged` can stand before it: see ta_transport_open_gpu. Errors: as window_create; INVALID (no GPU was given;
     * pieces that do not lie in the window, one behind the other); as probe_far; of the GPU's alloc. */
    ta_status (*window_create_far)(struct ta_transport *t, size_t bytes, const struct ta_window_far *far,
                                   struct ta_window *out);
    /* Whether window_create_far can work with config.gpu on this machine; `said` gets one line on how. NULL together
     * with it. DEVICE: what is off, and the cure. */
    ta_status (*probe_far)(struct ta_transport *t, char *said, size_t bytes);
    /* What has been delivered into a range of our window, all of it in one far piece, is seen by work that is queued on
     * the GPU's stream APPLY from now on. The range is [offset, offset + bytes), or with `rows` (read before the call
     * returns) n_rows of `bytes` each: offset + rows[i] * bytes. Queues, does not wait. NULL: nothing to do. Errors:
     * INVALID (not far); of the GPU. */
    ta_status (*fetch)(struct ta_transport *t, size_t offset, size_t bytes, const uint32_t *rows, size_t n_rows);
    /* Makes memory that somebody else owns (until this transport is closed) the window. Errors: as window_create. */
    ta_status (*window_adopt)(struct ta_transport *t, const struct ta_window *window);
    /* Lets `peer` write [offset, offset + bytes) of our window, and nothing outside of what it was granted (at most
     * TA_MAX_GRANTS ranges; after none at all: the whole window). To be called before key_make, which puts it into the
     * key; it lasts for all later keys. How hard it is: verbs and ofi: the peer's device is refused by ours. shm: the
     * sender's put checks it; a process that may write our memory at all may write all of it. Offsets of puts are into
     * the whole window everywhere. Errors: INVALID (no such peer, beyond the window, too many). */
    ta_status (*grant)(struct ta_transport *t, unsigned peer, size_t offset, size_t bytes);
    /* Lets every connected peer write a range, from now on, if it shows `pass` (not 0; carried to them by the caller)
     * in its segments. Open until close. Errors: INVALID; DEVICE, NO_MEMORY. */
    ta_status (*range_open)(struct ta_transport *t, size_t offset, size_t bytes, uint64_t *pass);
    /* Memory that puts read from lies in [base, base + bytes): registers it with the device. Others: nothing to do.
     * source_register_gpu: the same for memory of config.gpu; NULL together with window_create_far. A put tells by the
     * address which of the two a source is, so GPU sources must be registered, with every make, and live until the
     * transport is closed. */
    ta_status (*source_register)(struct ta_transport *t, const void *base, size_t bytes);
    ta_status (*source_register_gpu)(struct ta_transport *t, const void *base, size_t bytes);

    /* What `peer` needs to write into our window. Once for each connect: a key made after a disconnect is for a new
     * path. Errors: INVALID (no window yet), DEVICE, NO_MEMORY. */
    ta_status (*key_make)(struct ta_transport *t, unsigned peer, struct ta_key *out);
    /* Opens the path to `peer` with the key it made for us. Errors: PEER (the peer is gone; the key is of another run,
     * for another receiver or damaged: both run ids are named), INVALID (no such peer; it is connected already:
     * disconnect first), NO_MEMORY, IO. */
    ta_status (*connect)(struct ta_transport *t, unsigned peer, const struct ta_key *key);
    /* Gives up a path: nothing is put on it again, the state is DOWN, in_flight is 0. After BROKEN: the first step to a
     * new path. */
    void (*disconnect)(struct ta_transport *t, unsigned peer);

    /* Starts a put. OK: taken, in order. BUSY: no room, nothing was done; try after progress. PEER: the path is broken.
     * INVALID: not connected, too many segments, beyond the window or what was granted. */
    ta_status (*put)(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments, unsigned n_segments);

    /* Moves things on; cheap when there is nothing to do. sim: delivers what is due at now_ns. Returns OK, or PEER once
     * for each peer whose path broke since the last call (ask peer_state). */
    ta_status (*progress)(struct ta_transport *t, int64_t now_ns);
    unsigned (*in_flight)(const struct ta_transport *t, unsigned peer); /* puts whose source is not free yet */
    enum ta_peer_state (*peer_state)(struct ta_transport *t, unsigned peer);
    /* One line on what is in use: device, port, address, MTU, paths, memory registered and held. */
    void (*describe)(const struct ta_transport *t, char *out, size_t bytes);
};

extern const struct ta_transport_ops ta_transport_self;  /* one replica: no peers; put is INVALID */
extern const struct ta_transport_ops ta_transport_shm;   /* replicas on one machine, a process (or thread) each */
extern const struct ta_transport_ops ta_transport_sim;   /* replicas in one thread, virtual time, faults: sim.h */
extern const struct ta_transport_ops ta_transport_mixed; /* shm within a node, verbs or ofi between nodes */
extern const struct ta_transport_ops ta_transport_verbs; /* RDMA writes by libibverbs; where it was built in */
extern const struct ta_transport_ops ta_transport_ofi;   /* libfabric; where it was built in */

/* The memory of a GPU by staging, over any other make, which it opens, owns and hands calls on to: what goes out is
 * copied into pinned memory first, what came in is copied to the GPU by `fetch`. Far pieces take memory of the CPU
 * besides, and so does each put of GPU memory in flight: as much as its sources span. A put of GPU memory that
 * what the peer granted or opened does not fit is found late: it is dropped, with a word in the log, when it shows a
 * pass; else progress gives INVALID. Errors: INVALID (`inner` NULL, no GPU); of inner's open. */
ta_status ta_staged_open(const struct ta_transport_ops *inner, const struct ta_transport_config *config,
                         struct ta_transport **out);
extern const struct ta_transport_ops ta_transport_staged; /* opened by ta_staged_open alone */

/* Opens `ops` for windows in the memory of config->gpu: as it is where it can (and for one replica), else staged; what
 * it was, and why, is said in one line to config->log. spec->gpu_direct: "require" makes it DEVICE where it cannot,
 * "off" stages at once. Without a GPU: ops->open. *made: whose table to call from now on. Errors: CONFIG (another
 * gpu_direct); of open. */
ta_status ta_transport_open_gpu(const struct ta_transport_ops *ops, const struct ta_transport_config *config,
                                const struct ta_transport_ops **made, struct ta_transport **out);

/* The make of that name (not "auto"). Errors: CONFIG (unknown: lists the names), NOT_BUILT (known but not in this
 * program: which package to install and build again). */
ta_status ta_transport_find(const char *name, const struct ta_transport_ops **out);

/* The make that spec->type asks for, or, for auto: self for one replica; shm for one node; for several, verbs where its
 * probe succeeds, else ofi, and mixed where a node has several replicas. `why` gets one line: what was chosen and, for
 * auto, why not the better ones. A make asked for by name is that one or an error, never another. Errors: as find and
 * probe; DEVICE (several nodes and neither verbs nor ofi works: both reasons). */
ta_status ta_transport_choose(const struct ta_transport_spec *spec, unsigned n_ranks, unsigned per_node,
                              const struct ta_transport_ops **out, char *why, size_t bytes);

#endif
