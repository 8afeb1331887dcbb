/* nodes_internal: what the files of nodes share. Nobody else includes it.
 *
 *     nodes.c   the state of all nodes, from meeting to end      nodes_meet.c   the job, and who does not fit
 *     nodes_rows.c   rows of the board, out and in
 */
#ifndef TA_NODES_INTERNAL_H
#define TA_NODES_INTERNAL_H

#include "nodes.h"
#include "store.h"

enum { TA_NODES_FORMAT = 1, TA_NODES_TEXT_BYTES = 640 };

enum ta_node_state {
    TA_NODE_UNKNOWN, /* not heard yet */
    TA_NODE_HERE,
    TA_NODE_REFUSES, /* the job; text: why */
    TA_NODE_ENDED,   /* code, lost */
};

/* Value "node/K". Put anew as a heartbeat: the store counts its versions. */
struct ta_node_said {
    uint32_t format, bytes; /* of this struct */
    uint32_t state, code, lost, pid;
    uint64_t nonce; /* of this process: another one with our number is somebody else */
    char host[64];
    char text[TA_NODES_TEXT_BYTES]; /* REFUSES: why; else what its replicas put with */
};

struct ta_node {
    struct ta_node_said said;
    uint64_t version;
    int64_t silent_ns;
    int64_t clock_ns; /* its monotonic clock + this = ours; INT64_MAX: not known */
    bool silent;      /* for too long */
};

/* The last that was put of a rank of ours, or received of another. */
struct ta_node_row {
    uint64_t version;
    uint64_t news; /* a print of what others may wait for */
};

struct ta_nodes {
    struct ta_nodes_config config;
    struct ta_store_server *server; /* node 0 */
    struct ta_store *store;
    uint64_t run_id;
    bool lost_store;
    struct ta_node *node;    /* [nodes] */
    struct ta_node_row *row; /* [n_ranks] */
    unsigned char *dropped;  /* [n_ranks / 8 + 1] as it was put */
    int64_t tick_ns, put_ns, lock_ns;
    bool over; /* node 0 has had the last word, or said it: */
    int code;
    unsigned lost;
};

static inline unsigned ta_nodes_first_rank(const struct ta_nodes *n, unsigned node) {
    return node * (n->config.n_ranks / n->config.nodes);
}

static inline struct ta_node *ta_nodes_self(struct ta_nodes *n) { return &n->node[n->config.node]; }

/* A value whose name is PREFIX/NUMBER. */
void ta_nodes_put(struct ta_nodes *n, const char *prefix, unsigned number, const void *value, size_t bytes);
ta_status ta_nodes_get(const struct ta_nodes *n, const char *prefix, unsigned number, struct ta_store_value *out);
/* Puts what we say of ourselves. */
void ta_nodes_say(struct ta_nodes *n);
/* Moves the store on and takes what nodes say of themselves. */
void ta_nodes_listen(struct ta_nodes *n, int64_t now_ns);

/* nodes_meet.c: until all are here. */
ta_status ta_nodes_meet(struct ta_nodes *n, struct ta_nodes_job *job);

/* nodes_rows.c */
void ta_nodes_put_rows(struct ta_nodes *n, int64_t now_ns, bool all);
void ta_nodes_take_rows(struct ta_nodes *n, int64_t now_ns);

#endif
