/* verbs: what the files of this folder share. Users see transport.h only.
 *
 * A rail is a port of a device, opened: protection domain, completion queue. A path leads to a peer and has a lane on
 * each rail: a reliable queue pair. Writes of one lane arrive in the order in which they were posted; several lanes
 * know nothing of each other, so that what follows a body that was split over lanes waits until all its parts were
 * acknowledged.
 *
 * What the order rests on. The responder of a reliable connection executes requests in the order of their packet
 * sequence numbers, and the requester sends them in the order of the queue (InfiniBand Architecture Specification,
 * volume 1, section 9.5, transaction ordering). The card turns them into posted writes, which PCIe keeps in order as
 * long as none is marked as relaxed: nothing here asks for IBV_ACCESS_RELAXED_ORDERING (ibv_reg_mr(3)). That a CPU may
 * look at a buffer before a completion tells it to goes beyond the letter of the specification, and is what MPI
 * libraries, too, have polled on since MVAPICH; `tensair doctor` looks for the opposite. Inside one write the order of
 * words is the card's: ibv_query_qp_data_in_order(3) tells whether it is promised. Where it is not, a small segment
 * whose target does not lie in one line of 64 bytes (which arrives as one) is written in two pieces, its last word
 * second.
 *
 * With GPUs. What lies in far pieces (window.h) is registered GPU memory: cards read and write it without the CPU.
 * A body for a GPU and the header behind it, for the CPU, are posted writes of one card, issued in that order, but
 * to two places: that the header is seen does not say that the GPU has the body. What CUDA documents of it stands in
 * gpu_info.ordered (cudaDevAttrGPUDirectRDMAWritesOrdering): where writes are ordered for the GPU's own kernels, those
 * launched after the CPU has seen the header see the body; elsewhere `fetch` flushes first
 * (cudaDeviceFlushGPUDirectRDMAWrites). A word that is late all the same is a torn body: the next apply has it.
 *
 * Memory and queues: a peer costs sizeof(struct ta_verbs_path) here, and on each rail one queue pair of `depth` work
 * requests; a rail has one queue pair more, for hellos, and one completion queue with room for all lanes at once.
 */
#ifndef TA_VERBS_H
#define TA_VERBS_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stdint.h>

#include "choose.h"
#include "gpu.h"
#include "grants.h"
#include "key.h"
#include "rights.h"
#include "transport.h"

enum {
    TA_VERBS_DEPTH = 256, /* work requests of a lane, unless the completion queue cannot hold so many of all peers */
    TA_VERBS_LEAST_DEPTH = 16,
    TA_VERBS_BATCH = 32, /* work requests handed over at once; the last one of each batch is signalled */
    TA_VERBS_PUTS = 16,  /* puts of a peer that are remembered until the queue has taken them; then BUSY */
    TA_VERBS_STRIPE_BYTES = 1 << 20,
    TA_VERBS_WHY_BYTES = 512,
    /* A lane that gets no answer sends again after 4.096 us * 2^15 = 134 ms (the card may take up to four times that),
     * 6 times, and breaks: after 0.94 s. 7 would mean for ever on some devices (rxe). */
    TA_VERBS_TIMEOUT = 15,
    TA_VERBS_RETRIES = 6,
};

/* ---- rails: device.c ---- */

struct ta_verbs_rail {
    struct ta_verbs_place place;
    struct ibv_context *context;
    struct ibv_pd *pd;
    struct ibv_cq *cq;
    struct ibv_port_attr port;
    union ibv_gid gid;
    uint32_t gid_type;
    uint32_t depth, max_inline;
    uint32_t expected; /* work requests that are posted and not known to be done, over all lanes */
    bool stale;        /* the queue may hold completions of queue pairs that are gone */
    size_t max_message;
    bool windows_2; /* type 2 memory windows: a peer's rights are bound to its queue pair */
    bool dmabuf;    /* GPU memory can be registered by a dma-buf */
    const char *gpu_by; /* how GPU memory was registered last; NULL: never */
};

ta_status ta_verbs_rail_open(struct ta_verbs_rail *rail, const struct ta_verbs_place *place, unsigned n_peers);
void ta_verbs_rail_close(struct ta_verbs_rail *rail); /* a zeroed one is fine */
/* The address may have moved in the port's table since (a link that went down and came up). Errors: DEVICE. */
ta_status ta_verbs_rail_refresh(struct ta_verbs_rail *rail);
/* What the device says unasked: breaks the paths it is about. Never blocks. */
void ta_verbs_rail_listen(struct ta_transport *t, unsigned rail);

/* ---- memory: memory.c ---- */

struct ta_verbs_memory {
    enum ta_mem_kind kind;
    const void *base;
    size_t bytes;
};

/* One registration by the rail; the table of memory kinds. `access` as of ibv_reg_mr(3). Errors: CONFIG (too little
 * memory may be locked: what to type), DEVICE (this device cannot register that kind), NO_MEMORY. */
ta_status ta_verbs_register(struct ta_transport *t, unsigned rail, const struct ta_verbs_memory *memory, int access,
                            struct ibv_mr **out);
void ta_verbs_deregister(struct ta_transport *t, struct ibv_mr **mr); /* NULL is fine */

struct ta_verbs_source { /* what puts read from; or a range that was opened to all */
    struct ta_verbs_source *next;
    const unsigned char *base;
    size_t bytes;
    bool of_gpu; /* the CPU must not read it: nothing of it goes inline */
    struct ibv_mr *mr[TA_VERBS_MAX_RAILS];
};

/* Where our window lies. */
struct ta_verbs_ground ta_verbs_ground_of(const struct ta_transport *t);
/* Whether all rails can register memory of config.gpu: tried with a little. `said`: how. Errors: DEVICE: what is
 * missing, and the cure. */
ta_status ta_verbs_gpu_probe(struct ta_transport *t, char *said, size_t bytes);

/* Registers a range on all rails and prepends it to the list. */
ta_status ta_verbs_source_add(struct ta_transport *t, struct ta_verbs_source **list,
                              const struct ta_verbs_memory *memory, int access);
void ta_verbs_sources_free(struct ta_transport *t, struct ta_verbs_source **list);

/* ---- paths: path.c ---- */

struct ta_verbs_key_rail {
    uint8_t gid[16];
    uint32_t qpn, psn;
    uint32_t rkey[TA_VERBS_RIGHTS];
    uint16_t lid;
    uint8_t mtu, link, gid_type, zero[3];
    char device[24]; /* for messages */
};

struct ta_verbs_key {
    uint64_t window_base, window_bytes;
    uint64_t far_base; /* GPU memory of the far pieces */
    uint64_t nonce;    /* of this path: hellos show it */
    uint32_t n_rails, hello_qpn, hello_qkey, zero;
    struct ta_grants grants;
    struct ta_window_far far;
    struct ta_verbs_key_rail rail[TA_VERBS_MAX_RAILS];
};

_Static_assert(sizeof(struct ta_verbs_key) <= TA_KEY_PAYLOAD_BYTES, "a key holds all rails");

struct ta_verbs_lane {
    struct ibv_qp *qp;
    uint32_t psn, max_inline;
    bool in_order;                    /* the device promises the order of words inside a write */
    uint32_t posted, done;            /* work requests since it was made */
    struct ibv_mr *mr[TA_VERBS_RIGHTS]; /* what the peer may write; with memory windows: what they are bound to */
    struct ibv_mw *mw[TA_VERBS_RIGHTS];
    uint32_t rkey[TA_VERBS_RIGHTS];
};

struct ta_verbs_put {
    struct ta_put_segment segment[TA_PUT_MAX_SEGMENTS];
    const struct ta_verbs_source *source[TA_PUT_MAX_SEGMENTS];
    uint8_t right[TA_PUT_MAX_SEGMENTS]; /* which of the peer's */
    unsigned n, at;                     /* segments; the one that is being posted */
    size_t within;                      /* bytes of it, or rows of its list, that were posted */
    uint32_t end[TA_VERBS_MAX_RAILS];   /* posted: it is done when `done` of each lane has come so far */
};

struct ta_verbs_path {
    enum ta_peer_state state;
    bool made, connected; /* a key was made; the peer's was taken */
    bool bound, ready;    /* our windows are open; the peer said that its are */
    bool reported;
    uint64_t nonce;
    struct ta_grants granted;
    struct ta_verbs_lane lane[TA_VERBS_MAX_RAILS];
    struct ta_verbs_key peer;
    struct ta_verbs_right right[TA_VERBS_RIGHTS]; /* in its window */
    unsigned n_rights;
    struct ibv_ah *ah; /* for hellos */
    int64_t hello_ns;  /* when the last one was said */
    unsigned n_hellos;
    struct ta_verbs_put ring[TA_VERBS_PUTS];
    unsigned head, count, n_posted; /* the first `n_posted` of `count` are with the device */
    char why[TA_VERBS_WHY_BYTES];   /* it broke */
};

ta_status ta_verbs_path_make_key(struct ta_transport *t, unsigned peer, struct ta_verbs_key *out);
ta_status ta_verbs_path_connect(struct ta_transport *t, unsigned peer, const struct ta_verbs_key *key);
/* Takes all of it back but what was granted; the state becomes `state`. */
void ta_verbs_path_clear(struct ta_transport *t, struct ta_verbs_path *path, enum ta_peer_state state);
/* Of no use any more; `why` was written. Once. */
void ta_verbs_path_break(struct ta_transport *t, struct ta_verbs_path *path);

/* ---- hellos: hello.c ---- */

/* A queue pair refuses what arrives before it was told of its peer, and the sender would take that for a death. So each
 * side says when it is ready, in datagrams that are said again until the other one is heard, and puts are BUSY before.
 */
struct ta_verbs_hello {
    struct ibv_cq *cq;
    struct ibv_qp *qp;
    struct ibv_mr *mr;
    unsigned char *buffers; /* receive slots, then send slots */
    uint32_t qkey;
    uint32_t sent, sent_done;
    int64_t listened_ns;
};

ta_status ta_verbs_hello_open(struct ta_transport *t);
void ta_verbs_hello_close(struct ta_transport *t);
ta_status ta_verbs_hello_address(struct ta_transport *t, struct ta_verbs_path *path);
void ta_verbs_hello_progress(struct ta_transport *t, int64_t now_ns);

/* ---- puts: post.c, complete.c, errors.c ---- */

/* Takes a put that was found right into the ring (which has room). */
ta_status ta_verbs_put_check(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                             unsigned n_segments, struct ta_verbs_put *out);
/* Hands to the devices what they have room for. */
void ta_verbs_post(struct ta_transport *t, unsigned peer);
/* Opens the memory windows of a path to their peer. */
ta_status ta_verbs_bind(struct ta_transport *t, unsigned peer);
/* Forgets the puts that are done. */
void ta_verbs_finish(const struct ta_transport *t, struct ta_verbs_path *path);
void ta_verbs_complete(struct ta_transport *t, unsigned rail);

/* What a work request is, in its 64 bits: peer, life of the path, segment, and the lane's count with it. */
struct ta_verbs_tag {
    uint32_t count;
    unsigned segment, peer;
};
uint64_t ta_verbs_tag_pack(const struct ta_verbs_tag *tag);
struct ta_verbs_tag ta_verbs_tag_unpack(uint64_t wr_id);

/* A failed completion in words: peer, work request, state of the queue pair, and a hint. */
void ta_verbs_explain(const struct ta_transport *t, const struct ta_verbs_path *path, unsigned rail,
                      const struct ibv_wc *wc, char *out, size_t bytes);
/* "device rxe0 port 1, gid 1 ::ffff:10.77.0.1 RoCE v2". */
void ta_verbs_place_text(const struct ta_verbs_place *place, char *out, size_t bytes);

struct ta_transport {
    struct ta_transport_config config;
    struct ta_verbs_rail rail[TA_VERBS_MAX_RAILS];
    unsigned n_rails;
    struct ta_verbs_hello hello;
    struct ta_window window;
    bool window_is_ours;
    bool flushes; /* what is written to the GPU is seen by its kernels after a flush */
    struct ta_verbs_source *sources, *openings, *last_source;
    struct ta_verbs_path **path; /* [n_ranks]; NULL: nothing was ever said of that peer */
    uint64_t registered_bytes;   /* locked for devices */
    unsigned n_paths;            /* that have queue pairs */
    unsigned unready;            /* paths that wait for a hello */
    unsigned unreported;
    int64_t listened_ns;
    bool listened;
};

#endif
