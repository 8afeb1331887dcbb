/* tree: live windows between neighbours alone. Private to this folder; the manual is exchange.h.
 *
 * Replicas form groups that form a tree (tree_shape.h). A replica puts to the members of a group its own delta plus
 * the bodies of all neighbours that are not in that group: all that is known here and did not come from there. A
 * body is state, as in live.h, so every update of every replica is in the weights of every other exactly once,
 * whatever is delayed, overtaken or repeated. Between two replicas there is one way, so nothing ever meets itself.
 *
 *     tree.c       the ops                    tree_rest.c   coming to rest, handing down the root's weights
 *     tree_sum.c   what is added up           tree_put.c    what is put to whom, when
 *     tree_hear.c  what neighbours say, loss  tree_shape.c  who is joined to whom
 *     tree_open.c  open, close                tree_regroup.c  a new tree after a loss
 *
 * Memory: neighbours + fan_out + 4 registers of d floats (bodies, of which fan_out wait for neighbours that others'
 * loss may bring; w0, delta, w, the owner's gradient), and one more a group where there are several: a group's outgoing
 * register. With fan-out k that is at most 3 k + 6, however many replicas there are; each neighbour that a loss brings
 * to where there was only one, or none of that group, costs an outgoing register more. Headers: some 200 bytes a rank.
 *
 * Traffic: one step of anybody makes at most one put to each neighbour: 4 d bytes and a header of
 * TA_TREE_HEADER_BYTES. A note (exchange.h) that changes costs 8 bytes a rank more, once a neighbour.
 *
 * Moving statistics (`mean` segments): a body holds the sum of the values of all who are behind it; how many those
 * are follows from the shape. So w has the mean over all replicas, as with topology full.
 *
 * Rest. Replicas of a tree agree to rounding only: everyone adds in another order. So a rest is made of waves along
 * the tree, numbered by a token that the root counts up:
 *     in        up    all have entered the round, or have finished
 *     halt      down  from here on bodies are put upwards only
 *     drained   up    the last body of all below has been added and put, and no body is on its way
 *     commit    down  the root's w, put into the body that the child had from its parent. Everyone starts from it anew:
 *                     w0 = w, delta and bodies zero (statistics: all have the mean). Nothing is lost by that:
 *                     w is the sum of all of them
 *     done      up    the caller is done with the rest, and the weights handed on have left
 *     released  down  bodies are put again
 * A body counts only if its header names the token that the reader starts from. So whatever was put before a commit
 * and arrives late is not added, and nothing needs to be cleared in a window.
 *
 * A checkpoint taken at rest is w0 = w and deltas of zero. Any checkpoint may be gone on from: deltas are added to
 * w0 at open.
 *
 * Losses (tree_regroup.c). What is behind a neighbour cannot be taken apart, but what is ours is ours: so after a loss
 * all form a new tree of those who are left, and each puts its own delta anew, from the last rest on, when
 * all stand on the same one. Who is gone is known by a set of bits that is passed on to all that can be reached; the
 * tree follows from the set, and a hash of the set, the *view*, names it. Headers of another view count for
 * nothing but that set. Waves of the new tree:
 *     same      up    all below are of this view, and start from the same token; who starts from an earlier one is put
 *               the weights of the later one, by whomever of its neighbours has them: somebody has committed, so all do
 *     go        down  training goes on, and so does the rest that was under way
 * So every update of every survivor counts once. What the lost one has made since the last rest is lost with it; what
 * it had made before is in w0. A slot of a window is never written by two, unless the process of the first one has
 * ended: so a neighbour that was held for dead and wakes up harms nothing. It reads in its window that it was given
 * up, and must leave; of two halves that hold each other for dead the higher rank gives way. A body slot is promised to
 * a new neighbour by a word of our header; when there is none left the run ends with PEER. So does it for whoever is
 * in the midst of a rest and loses a neighbour that it had not met: that one may have ended in order, with weights that
 * we do not have.
 *
 * Told of neighbours alone: gauges, puts, staleness (of all that is behind the neighbour together), steps_visible
 * (in the weights of all neighbours; others see them later by their distance). Of all: notes, requests, the total
 * of steps.
 *
 * Damping goes by all steps that are missing, as far as neighbours have heard of them; delay compensation, which
 * needs the weights of before, and a bound on staleness, which is by peer, go with topology full alone.
 *
 * One thread.
 */
#ifndef TA_TREE_H
#define TA_TREE_H

#include "damping.h"
#include "exchange.h"
#include "tree_shape.h"

enum { TA_TREE_WORDS = 24, TA_TREE_LINE = 8, TA_TREE_HEADER_BYTES = TA_TREE_WORDS * 8 };

/* What a header says: words of a view only rise, but gauge, basis and pulse. Put as three segments of 64 bytes, those
 * that others rest on first, and read the other way round. Each ends on the pulse: where all say the same, the second
 * and the third are of one header. */
struct ta_tree_said {
    uint64_t own, behind;       /* steps in the body: of the writer; all of them */
    uint64_t total;             /* steps of all replicas at the last commit */
    uint64_t ack;               /* of the reader's own steps, in the writer's w */
    uint64_t gauge, request;
    uint64_t fresh;             /* steps in the body since its basis */
    uint32_t view;              /* all that follows is of this tree; 0: the first */
    uint32_t slot;              /* 1 more than that for the reader's bodies in the writer's window; 0: none yet */
    uint32_t gives;             /* the body is the weights of this token; 0: it is not */
    uint32_t same, go;          /* tokens: of all below; the tree stands */
    uint32_t basis;             /* the token its body counts from, 0: none */
    uint32_t entered, finished; /* by all below */
    uint32_t halt, halt_round;  /* token, and the round it is for */
    uint32_t drained, based;    /* tokens: of all below; its own start */
    uint32_t commit, commit_round;
    uint32_t done, released;    /* tokens: of all below; of all */
    uint32_t left;
    uint32_t pulse, notes;
};

struct ta_tree_copy {
    uint64_t words[TA_TREE_WORDS];
};

/* Its place in the list is that of its slot in our window. */
struct ta_tree_neighbour {
    struct ta_tree_edge edge;
    bool near;                    /* of this view; else it was one before */
    bool adopted;                 /* it came by a loss */
    bool ended;                   /* its process is known to be no more */
    unsigned ranks;               /* behind it, itself included */
    uint32_t slot;                /* for our bodies in its window, 1 more; 0: it has not said yet */
    const char *in_control;       /* its, in ours */
    const float *in_body;         /* where the weights live; */
    size_t in_body_at;            /* its offset in our window */
    uint64_t fetched;             /* the pulse it was fetched after */
    const char *in_notes;
    enum ta_peer_life life;
    bool connected, broken, heard;
    bool met;                     /* it has said something of this view */
    uint32_t breaks;
    int64_t silent_ns;
    uint64_t foreign, foreign_seen;
    struct ta_tree_said known;    /* the newest */
    uint64_t news;                /* changes of its body */
    uint64_t in_w, own_in_w;      /* of known.behind and known.own, in our w */
    uint64_t based_own;           /* known.own at the last rest */
    struct ta_hist staleness;
    struct ta_tree_copy *copies;  /* [in_flight + 1] headers on their way */
    unsigned turn;
    bool joined;                  /* it was put something on the path there is now */
    bool moving;                  /* a body is on its way */
    uint64_t stamp;               /* of what is in the last body put */
    uint64_t told_own, told_behind, told_fresh;
    uint32_t body_basis, handed;  /* tokens: of that body; of the weights handed down on this path */
    uint32_t gives;               /* token of the weights that are the last body put; 0: they are not */
    uint32_t said_version, notes_version, gone_version, pulse;
    uint64_t acked;
    int64_t put_ns;
    uint64_t puts, bytes, busy;
};

/* Its outgoing register; with one group alone, delta itself. */
struct ta_tree_group {
    float *out;
    uint64_t stamp;       /* of what is in it */
    uint64_t own, behind, fresh; /* steps in it */
};

struct ta_tree {
    struct ta_exchange base; /* first */
    struct ta_exchange_config config;
    struct ta_tree_shape shape;
    struct ta_tree_neighbour *neighbour; /* [n_slots] of this view and of those before, */
    unsigned n_slots, n_known;           /* so many */
    struct ta_tree_neighbour **near;     /* [n_slots] those of this view */
    unsigned n_neighbours, n_groups, up; /* up: the parent's place; n_neighbours: we are the root */
    struct ta_tree_group *group;         /* [n_slots] */
    struct ta_tree_edge *edges;          /* [n_ranks] scratch */
    uint16_t *via;           /* [n_ranks] the neighbour behind whom a rank is; UINT16_MAX: it is gone */
    struct ta_window inboxes; /* of the transport; */
    char *window;             /* what of it is the CPU's: all but the floats of bodies, on a GPU */
    size_t control_bytes, body_bytes, notes_bytes;
    struct ta_tree_copy *copies;
    uint64_t *notes;         /* [n_ranks] the highest of each rank: put as they lie */
    uint64_t *gone;          /* behind them: who is, a bit a rank */
    unsigned n_gone;
    uint32_t gone_version, formed_version;
    int64_t crowded_ns;      /* since when slots are missing; 0: they are not */
    bool regroups;           /* the tree does not stand yet */
    bool in_doubt;           /* and somebody may have come to the rest that we were on our way to */
    bool doomed;             /* the run ends for us: */
    char why[192];
    const float **registers; /* [n_ranks + n_neighbours] scratch of sums */
    float *zeros;            /* of the longest `mean` segment */
    float *scratch;          /* host */
    unsigned in_flight;
    int64_t heartbeat_ns, dead_after_ns, last_ns;
    struct ta_tree_said said; /* what all neighbours are told alike */
    uint32_t said_version, notes_version;
    uint32_t entered, finished, resumed, done; /* ours: rounds; done: a token */
    struct ta_hist staleness; /* of our gradients: steps missing, of all peers together */
    struct ta_damping_rule damping;
    bool stale, left;
    bool at_rest;             /* settled, not resumed: w does not change */
    bool rest_in_last;        /* the last rest stands for the round that was asked for */
    uint32_t rest_round, rest_token;
    uint64_t based_steps;    /* of ours, in w0 */
    ta_status put_status;
    size_t held_bytes;
};

enum { TA_TREE_SCRATCH_FLOATS = 4096 };

static inline struct ta_tree *ta_tree_of(struct ta_exchange *x) { return (struct ta_tree *)x; }
static inline const struct ta_tree *ta_tree_of_const(const struct ta_exchange *x) { return (const struct ta_tree *)x; }
static inline bool ta_tree_is_root(const struct ta_tree *t) { return t->up == t->n_neighbours; }
/* A halt is under way: the weights are not to be added up before they are handed down. */
static inline bool ta_tree_halted(const struct ta_tree *t) { return t->said.halt > t->said.based; }
/* Bodies may be put to all. */
static inline bool ta_tree_running(const struct ta_tree *t) {
    return !t->regroups && !ta_tree_halted(t) && t->said.released == t->said.based;
}
/* In a round, or waiting in the last one: must not step. */
static inline bool ta_tree_resting(const struct ta_tree *t) { return t->finished || t->entered > t->resumed; }

/* tree_open.c */
ta_status ta_tree_open(const struct ta_exchange_config *config, const struct ta_exchange_start *start,
                       struct ta_exchange **out);
void ta_tree_close(struct ta_exchange *x);
/* As the configuration calls it. */
static inline const char *ta_tree_topology(const struct ta_exchange_config *config) {
    return config->spec->topology != NULL ? config->spec->topology : "tree";
}

/* tree_sum.c. Errors: of the kernels. */
ta_status ta_tree_start(struct ta_tree *t, const struct ta_exchange_start *start);
/* w from the registers. */
ta_status ta_tree_apply(struct ta_tree *t);
/* What the members of a group are to get: `source`, up to date. */
ta_status ta_tree_gather(struct ta_tree *t, unsigned group, const float **source);
/* What has arrived in the body of `n` is read by what the kernels are given from now on: on a GPU. Errors: of the
 * transport. */
ta_status ta_tree_fetch(struct ta_tree *t, struct ta_tree_neighbour *n);
/* All start anew from `w0`, which may be w or a body. */
ta_status ta_tree_rebase(struct ta_tree *t, const float *from);
/* Rises with every change of what the members of a group are to get. */
uint64_t ta_tree_stamp(const struct ta_tree *t, unsigned group);
/* Steps known here, of our own and of all that did not come from `group`; n_groups: of all. */
uint64_t ta_tree_behind(const struct ta_tree *t, unsigned group);
/* Steps since the last rest, as ta_tree_behind. */
uint64_t ta_tree_fresh(const struct ta_tree *t, unsigned group);
/* Steps in the weights that are nobody's who is known here. */
uint64_t ta_tree_rest_of(const struct ta_tree *t);
/* Steps behind a neighbour. At rest all of them, exactly. */
uint64_t ta_tree_steps_of(const struct ta_tree *t, unsigned place);

/* tree_put.c */
void ta_tree_flush(struct ta_tree *t, int64_t now_ns);
bool ta_tree_push(struct ta_tree *t, struct ta_tree_neighbour *n, int64_t now_ns);

/* tree_hear.c */
void ta_tree_hear(struct ta_tree *t, int64_t now_ns);
/* Steps behind a neighbour as its header says at this moment. */
uint64_t ta_tree_made(const struct ta_tree_neighbour *n);
void ta_tree_encode(const struct ta_tree *t, const struct ta_tree_said *said, uint64_t words[TA_TREE_WORDS]);

/* tree_regroup.c. A rank is lost, for that reason. */
void ta_tree_lose(struct ta_tree *t, unsigned rank, const char *why);
/* Who is gone as `n` knows, of whom we hold something. */
void ta_tree_hear_gone(struct ta_tree *t, struct ta_tree_neighbour *n);
/* Makes the tree of all that are not gone. Errors: NO_MEMORY, DEVICE; PEER (no slot is left). */
ta_status ta_tree_form(struct ta_tree *t);
/* Forms a new tree when somebody was lost since, and moves its waves on. Errors: as form; of the kernels; PEER: we must
 * leave. */
ta_status ta_tree_regroup(struct ta_tree *t);

/* tree_open.c: an arena that puts may read. */
ta_status ta_tree_arena(struct ta_tree *t, size_t floats, const char *what, float **out);

/* tree_rest.c: everything starts anew from the weights of that token. Errors: of the kernels. */
ta_status ta_tree_commit(struct ta_tree *t, uint32_t token, uint32_t round, const float *from, uint64_t total);
/* The waves move on as far as they can. Errors: of the kernels. */
ta_status ta_tree_rest(struct ta_tree *t);
ta_status ta_tree_settle(struct ta_exchange *x, uint32_t round, int64_t now_ns);
ta_status ta_tree_resume(struct ta_exchange *x, uint32_t round, int64_t now_ns);
void ta_tree_request(struct ta_exchange *x, uint32_t round, uint32_t reason);
uint32_t ta_tree_requested(const struct ta_exchange *x, uint32_t *reason);

#endif
