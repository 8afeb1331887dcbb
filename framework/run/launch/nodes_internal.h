/* nodes_internal: what the files of nodes share. Nobody else includes it.
 *
 *     nodes.c   the state of all nodes, from meeting to end      nodes_meet.c   the job, and who does not fit
 *     nodes_rows.c   rows of the board, out and in                nodes_hosts.c  who shares a machine; whose clock is off
 *     nodes_spare.c  the launcher of a spare on another machine
 *     nodes_wire.c   how node 0 is found                          nodes_hold.c   who holds the run directory without it
 */
#ifndef TA_NODES_INTERNAL_H
#define TA_NODES_INTERNAL_H

#include "nodes.h"
#include "store.h"

enum { TA_NODES_FORMAT = 2, TA_NODES_TEXT_BYTES = 640 };

enum ta_node_state {
    TA_NODE_UNKNOWN, /* not heard yet */
    TA_NODE_ARRIVED, /* has read the job; waits for the rest */
    TA_NODE_HERE,    /* knows where all are, has chosen the transport */
    TA_NODE_REFUSES, /* the job; text: why */
    TA_NODE_ENDED,   /* code, lost */
};

/* Value "node/K". Put anew as a heartbeat: the store counts its versions. */
struct ta_node_said {
    uint32_t format, bytes; /* of this struct */
    uint32_t state, code, lost, pid;
    uint64_t nonce; /* of this process: another one with our number is somebody else */
    uint64_t machine; /* the same for all that could share memory */
    int64_t wall_ns;  /* time of day when this was said */
    char host[64];
    char transport[32];
    char text[TA_NODES_TEXT_BYTES]; /* REFUSES: why; else what its replicas put with */
};

struct ta_node {
    struct ta_node_said said;
    uint64_t version;
    int64_t silent_ns;
    int64_t clock_ns; /* its monotonic clock + this = ours; INT64_MAX: not known */
    int64_t wall_off_ns; /* its time of day - ours, when it arrived */
    bool silent;      /* for too long */
};

/* The last that was put of a rank of ours, or received of another. */
struct ta_node_row {
    uint64_t version;
    uint64_t news;              /* a print of what others may wait for */
    int64_t clock_ns, heard_ns; /* of a spare on another machine: as ta_node's; when its row came last */
};

/* What is known of the run directory since node 0 cannot be heard. */
struct ta_nodes_hold {
    int64_t look_ns, deaf_ns, still_ns; /* the next look; deaf, lock untouched since then; 0: not so */
    uint64_t pulse;
    unsigned beats; /* times the lock was touched since then */
    bool cut_off, settled; /* settled: who holds it is known */
};

struct ta_nodes {
    struct ta_nodes_config config;
    struct ta_store_server *server; /* node 0 */
    struct ta_store *store;
    uint64_t run_id;
    bool lost_store;
    struct ta_node *node;    /* [nodes] */
    struct ta_node_row *row; /* [rows of the board] */
    unsigned char *dropped;  /* [n_ranks / 8 + 1] as it was put */
    int64_t tick_ns, put_ns;
    struct ta_nodes_hosts hosts;
    char *server_text; /* as PMI brought it; NULL: it is in the run directory */
    struct ta_nodes_hold hold;
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

/* nodes_hosts.c. `learn` when all have arrived; errors: CONFIG: whose clock is off (node 0 alone looks). */
uint64_t ta_nodes_machine(void);
ta_status ta_nodes_learn_hosts(struct ta_nodes *n);

/* nodes_wire.c: by PMI, where it is there: node 0: after it serves; others: before they look for the store. What fails
 * is said in the log, and the run directory does. Errors: REQUEUE. */
ta_status ta_nodes_publish(struct ta_nodes *n);
ta_status ta_nodes_learn_server(struct ta_nodes *n);

/* nodes_hold.c */
void ta_nodes_hold(struct ta_nodes *n, int64_t now_ns);

/* nodes_rows.c. Puts the row of a rank: when it has news, or anyway. */
void ta_node_row_put(struct ta_store *store, struct ta_board *board, unsigned rank, struct ta_node_row *as, bool anyway,
                     int64_t now_ns);
/* Takes a rank's row into the board, all but what others say of it. *its_clock_ns: as ta_node's. True: it came anew. */
bool ta_node_row_take(const struct ta_store *store, struct ta_board *board, unsigned rank, struct ta_node_row *as,
                      int64_t *its_clock_ns, int64_t now_ns);
void ta_nodes_put_rows(struct ta_nodes *n, int64_t now_ns, bool all);
void ta_nodes_take_rows(struct ta_nodes *n, int64_t now_ns);

#endif
