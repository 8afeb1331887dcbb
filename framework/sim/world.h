/* world: simulated replicas and who is next. Private to this folder; the manual is simulation.h. */
#ifndef TA_SIM_WORLD_H
#define TA_SIM_WORLD_H

#include "fiber.h"
#include "replica.h"
#include "rng.h"
#include "sim.h"
#include "sim_meeting.h"
#include "simulation.h"
#include "timed_kernels.h"

enum { TA_WORLD_START = 1000 }; /* ns; 0 says "not yet" in many places */

struct ta_world;

/* A replica, and when it goes on. */
struct ta_member_fiber {
    struct ta_world *world;
    unsigned rank;
    struct ta_replica *replica;
    struct ta_fiber *fiber;
    struct ta_rng rng;
    double slow;
    int64_t due_ns, stalled_ns; /* goes on then; not before */
    uint64_t sequence;          /* breaks ties */
    size_t place;               /* in the queue */
    bool asleep;                /* has nothing to do: news wakes it */
    bool news;                  /* something was delivered to it, or from it, since it last looked */
    bool fresh;                 /* its gradient waits for the update, whose time is part of the step's */
    bool batch;                 /* it has used one since it last looked: the next is to be read */
    bool over;
    ta_status result;
    uint64_t records, hits;     /* as last seen on the board */
    double loss_sum;
};

/* What happens to a rank from outside. */
struct ta_world_event {
    int64_t at_ns, for_ns;
    unsigned rank;
    enum { TA_WORLD_KILL, TA_WORLD_STALL, TA_WORLD_NOTICE } what;
};

struct ta_world {
    const struct ta_simulation_config *config;
    int64_t now_ns;
    uint64_t sequence;
    struct ta_sim_fabric *fabric;
    struct ta_sim_meeting *meeting;
    struct ta_stream *stream;
    const struct ta_kernels_ops *make;
    struct ta_kernels *real, *timed;
    struct ta_replica_shared shared;
    struct ta_board board;
    struct ta_member_fiber *members; /* [n] */
    struct ta_member_fiber **queue;  /* [n] a heap by (due_ns, sequence) */
    size_t queued;
    struct ta_member_fiber *current; /* who runs; NULL: the driver */
    struct ta_world_event *events;   /* [n_events] by time */
    size_t n_events, next_event;
    int64_t moved_ns;                /* when somebody last had a batch */
    uint64_t delivered, applies, records, hits;
    double loss_sum;
    uint64_t goal;                   /* records of the run; 0: unknown */
    struct ta_simulation_result *out;
    uint64_t point_records, point_hits;
    double point_loss;
};

/* Opens everything and joins nothing yet. A world that failed to open is to be closed too. */
ta_status ta_world_open(struct ta_world *w, const struct ta_simulation_config *config,
                        struct ta_simulation_result *out);
/* To the end. Errors: FAILED (nothing happens any more). */
ta_status ta_world_run(struct ta_world *w);
void ta_world_close(struct ta_world *w);

/* world_queue.c */
void ta_world_enqueue(struct ta_world *w, struct ta_member_fiber *m,
                      int64_t due_ns); /* also: moves it to an earlier time */
struct ta_member_fiber *ta_world_dequeue(struct ta_world *w);                         /* the first; there is one */
void ta_world_remove(struct ta_world *w, struct ta_member_fiber *m);

#endif
