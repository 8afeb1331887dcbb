/* ofi: what the files of this folder share: the transport, its paths, and the pieces of a put.
 *
 * A path has a life for each time it is connected. Everything libfabric may still hold a pointer to (the contexts of
 * its operations) belongs to a life, and a life that was given up is kept until nothing of it is under way: a
 * completion that comes late finds its own life, never the next one.
 */
#ifndef TA_OFI_H
#define TA_OFI_H

#include <rdma/fabric.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_rma.h>

#include "grants.h"
#include "helper.h"
#include "provider.h"
#include "shm_map.h"
#include "transport.h"

enum {
    TA_OFI_ADDRESS_BYTES = 128,
    TA_OFI_DEPTH = 8,     /* puts taken and not delivered, of a path */
    TA_OFI_OPS = 256,     /* operations under way, of a path */
    TA_OFI_OPS_LEAST = 16, /* .. where many paths share the memory for copies */
    TA_OFI_BLOCK_BYTES = 1984,      /* a copy; see ofi.c */
    TA_OFI_BLOCKS_BYTES = 64 << 20, /* copies of all paths together, about */
    TA_OFI_IOVS = 8,      /* pieces of memory in one operation, at most */
    TA_OFI_WHY_BYTES = 256,
};

/* A region of our window, and by which key it can be written. */
struct ta_ofi_range {
    struct ta_range range;
    uint64_t key;
};

/* What a window key carries. */
struct ta_ofi_place {
    char provider[32];
    uint32_t address_bytes, n_ranges;
    unsigned char address[TA_OFI_ADDRESS_BYTES];
    uint64_t base; /* of the window, where the device takes addresses; else 0, and ranges begin at 0 */
    uint64_t window_bytes;
    struct ta_ofi_range range[TA_MAX_GRANTS];
};

struct ta_ofi_life;

struct ta_ofi_put {
    struct ta_ofi_life *life;
    struct ta_put_segment segments[TA_PUT_MAX_SEGMENTS];
    struct ta_ofi_target {
        uint64_t key, address; /* of target_offset */
        void *desc;            /* of the source */
    } targets[TA_PUT_MAX_SEGMENTS];
    unsigned n_segments;
    unsigned ops_out;
    bool posted; /* all of it */
    struct ta_ofi_cursor {
        unsigned segment;
        size_t at; /* bytes, or rows, of it that were posted */
    } cursor;
};

struct ta_ofi_op {
    struct fi_context2 context; /* libfabric's; first, so that a context is an op */
    struct ta_ofi_put *put;
};

struct ta_ofi_life {
    struct ta_ofi_life *next; /* of all lives of the transport */
    unsigned peer;
    bool given_up;
    bool established;  /* something was delivered */
    bool starts_over;  /* as soon as what is under way has come back */
    unsigned tries;    /* of starting over, before anything was delivered */
    bool rests;        /* before it starts over */
    int64_t rests_since_ns; /* 0: since now */
    int64_t stuck_ns;  /* since when nothing can be posted and nothing is under way; 0: not so */
    fi_addr_t address;
    struct ta_ofi_place place;
    unsigned first, count; /* of the ring of puts */
    unsigned ops_out, n_free;
    unsigned char *blocks; /* [n_ops][block_bytes], one an operation; NULL: puts are sent from their source */
    struct ta_ofi_op *free_ops[TA_OFI_OPS];
    struct ta_ofi_op ops[TA_OFI_OPS];
    struct ta_ofi_put puts[TA_OFI_DEPTH];
};

struct ta_ofi_path {
    struct ta_grants granted;        /* to the peer, for all its keys */
    struct fid_mr *mr[TA_MAX_GRANTS]; /* these ranges registered, while a key is out */
    unsigned n_mr;
    size_t registered_bytes;
    enum ta_peer_state state;
    bool reported;
    struct ta_ofi_life *life; /* NULL: not connected */
    char why[TA_OFI_WHY_BYTES]; /* why it broke */
};

/* Memory registered until close: sources, and ranges that were opened to all. */
struct ta_ofi_region {
    const unsigned char *base;
    size_t bytes;
    struct fid_mr *mr;
};

struct ta_transport {
    struct ta_transport_config config;
    struct ta_ofi_choice choice;
    struct fid_fabric *fabric;
    struct fid_domain *domain;
    struct fid_av *av;
    struct fid_cq *cq;
    struct fid_ep *ep;
    struct ta_ofi_helper helper; /* runs where progress is manual */
    size_t max_op_bytes;
    unsigned n_ops;     /* of a path, at most TA_OFI_OPS */
    size_t block_bytes; /* 0: the device reads sources itself, in whole words */
    unsigned max_iovs;
    bool takes_addresses; /* FI_MR_VIRT_ADDR */
    struct ta_shm_map own; /* the window, where it is ours */
    struct ta_window window;
    struct ta_ofi_region *regions; /* [n_regions] */
    size_t n_regions, registered_bytes;
    struct ta_ofi_path *paths; /* [n_ranks] */
    struct ta_ofi_life *lives;
    unsigned unposted, unreported; /* lives with something to post; paths that broke and progress has not said so */
};

ta_status ta_ofi_fail(ta_status status, int error, const char *what); /* "libfabric: what: fi_strerror" */

/* region: what is registered, and for whom. Errors as of the operations of transport.h with these names. */
ta_status ta_ofi_source_register(struct ta_transport *t, const void *base, size_t bytes);
ta_status ta_ofi_range_open(struct ta_transport *t, size_t offset, size_t bytes, uint64_t *pass);
/* Registers what `peer` was granted, unless it is, and says so in `place`. Errors: DEVICE. */
ta_status ta_ofi_grants_register(struct ta_transport *t, unsigned peer, struct ta_ofi_place *place);
void ta_ofi_grants_drop(struct ta_transport *t, unsigned peer);
void ta_ofi_regions_close(struct ta_transport *t);
/* Where a segment goes and what describes its source. Errors: INVALID (not granted; not registered). */
ta_status ta_ofi_target_find(const struct ta_transport *t, const struct ta_ofi_life *life, unsigned segment,
                             const struct ta_put_segment *s, struct ta_ofi_target *out);

/* piece: one operation of a put. */
struct ta_ofi_piece {
    struct iovec source[TA_OFI_IOVS];
    void *desc[TA_OFI_IOVS];
    struct fi_rma_iov target[TA_OFI_IOVS];
    unsigned n, n_sources;
    bool ends_segment, ends_put;
};

/* The next operation of a put, from its cursor on, which goes past it; false: there is none. A small segment, whose
 * last word has to be last, is two: all but that word, and it. */
bool ta_ofi_piece_next(const struct ta_transport *t, const struct ta_ofi_put *put, struct ta_ofi_cursor *cursor,
                       struct ta_ofi_piece *out);

/* path: lives and puts. */
ta_status ta_ofi_path_open(struct ta_transport *t, unsigned peer, const struct ta_ofi_place *place);
void ta_ofi_path_close(struct ta_transport *t, unsigned peer);
ta_status ta_ofi_path_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                          unsigned n_segments);
ta_status ta_ofi_progress(struct ta_transport *t, int64_t now_ns);
void ta_ofi_lives_free(struct ta_transport *t, bool all);

#endif
