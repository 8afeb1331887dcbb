/* sim_fabric: what the replicas of a simulated fabric share: virtual time, the moving paths, who lives.
 *
 * For sim.c only; users see sim.h. One thread.
 */
#ifndef TA_SIM_FABRIC_H
#define TA_SIM_FABRIC_H

#include "grants.h"
#include "sim.h"
#include "sim_path.h"
#include "transport.h"

/* One replica as the fabric sees it. */
struct ta_sim_rank {
    bool open, alive;
    uint32_t life;         /* counts openings, so that a key of a former life is refused */
    unsigned char *window; /* NULL: not created */
    const struct ta_openings *openings; /* of its window to all; NULL while it is closed */
    int64_t detect_ns;     /* dead: when its peers see it */
};

/* What the replicas of a node put through, one put after the other. */
struct ta_sim_node {
    int64_t nic_free_ns, memory_free_ns; /* when what was put so far has left it */
};

/* A path that moves, and when: in the heap by value, so that comparing touches nothing else. */
struct ta_sim_due {
    int64_t next_ns;
    uint64_t sequence; /* breaks ties: who was scheduled first */
    struct ta_sim_path *path;
};

struct ta_sim_fabric {
    struct ta_sim_config config;
    int64_t now_ns;
    uint64_t sequence;
    uint64_t refused; /* puts */
    uint64_t troubles; /* counts deaths and breaks; who has seen all of them need not look again */
    struct ta_sim_dice dice;
    struct ta_sim_rank *ranks;  /* [n_ranks] */
    struct ta_sim_node *nodes;  /* [n_ranks] at most */
    struct ta_sim_counts counts;
    struct ta_sim_path **paths; /* [n_ranks][n_ranks], from then to; NULL: never connected */
    unsigned char *cut;         /* [n_ranks][n_ranks] */
    uint32_t *turn;             /* [n_ranks][n_ranks], from then to: counts paths, so that an old key is refused */
    struct ta_sim_due *heap;    /* by (next_ns, sequence); room for all paths there are */
    size_t n_heap, n_paths, heap_room;
};

/* The path from one rank to another: NULL until they were connected. */
struct ta_sim_path **ta_sim_cell(struct ta_sim_fabric *f, unsigned from, unsigned to);
/* Everything that is due at now_ns arrives, in the order of its times. */
void ta_sim_advance(struct ta_sim_fabric *f, int64_t now_ns);
/* A rank dies now: its paths stop where they are; its peers may know `detect_ns` later. */
void ta_sim_die(struct ta_sim_fabric *f, unsigned rank, int64_t detect_ns);

/* Makes the path `from` -> `to` and room in the heap for it. Errors: NO_MEMORY. */
ta_status ta_sim_path_add(struct ta_sim_fabric *f, unsigned from, unsigned to);
void ta_sim_path_remove(struct ta_sim_fabric *f, unsigned from, unsigned to);
/* Breaks a path that is up, and voids the keys for it. `all_lost`: nothing in flight arrives; else at
 * random (sim.h). */
void ta_sim_path_break(struct ta_sim_fabric *f, unsigned from, unsigned to, bool all_lost);
/* The sender knows now. */
void ta_sim_path_broke(struct ta_sim_fabric *f, struct ta_sim_path *path);
uint32_t *ta_sim_turn(struct ta_sim_fabric *f, unsigned from, unsigned to);
/* Forgets what travels on it. */
void ta_sim_path_stop(struct ta_sim_fabric *f, struct ta_sim_path *path);
/* Appends a put; there is room. */
void ta_sim_path_put(struct ta_sim_fabric *f, struct ta_sim_path *path, const struct ta_sim_put *put);
/* Whether what it carries reaches a window: its peer lives, in the life it was connected to. */
bool ta_sim_path_reaches(const struct ta_sim_fabric *f, const struct ta_sim_path *path);
/* Its state as the sender may know it now; what is in flight is dropped when it turns DOWN. NULL: UNKNOWN. */
enum ta_peer_state ta_sim_path_state(struct ta_sim_fabric *f, struct ta_sim_path *path);

#endif
