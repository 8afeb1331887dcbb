/* doctor_slurm: `tensair doctor --slurm`, the pre-flight of a job: a task on every node, which all examine their node,
 * and together what lies between nodes: clocks, the directory of the run, puts. Node 0 tells.
 *
 * The tasks meet as the launchers of a run do: node 0 serves a store (store.h) in a folder of its own in that
 * directory, and the others find it there; who does not find it has another directory before him. Of several tasks on
 * one node the first works, the others leave.
 *
 * Threads: one; the store is served by a process of its own. No call waits for longer than its patience.
 */
#ifndef TA_DOCTOR_SLURM_H
#define TA_DOCTOR_SLURM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "doctor.h"
#include "job.h"
#include "store.h"

enum { TA_PREFLIGHT_PATH = 4096, TA_PREFLIGHT_MOST = 1024 /* tasks */ };

struct ta_preflight_ask {
    const char *directory;      /* of the run; it, or what there is of the way to it, is examined */
    long nodes, node;           /* --nodes, --node; -1: what the environment says (job.h) */
    double within_s;            /* patience with the other tasks */
    bool json;
};

struct ta_preflight {
    const struct ta_doctor *d;
    const struct ta_preflight_ask *ask;
    struct ta_job_place place;
    unsigned rank, size;                   /* of tasks */
    unsigned node, nodes;                  /* of nodes, in the order of their first tasks */
    bool works;                            /* this is the first task of its node */
    char name[TA_JOB_HOST_BYTES];          /* of this node */
    char (*names)[TA_JOB_HOST_BYTES];      /* [nodes] */
    char directory[TA_PREFLIGHT_PATH];     /* that is examined */
    char folder[TA_PREFLIGHT_PATH + 64];   /* of the meeting, in it */
    struct ta_store *store;
    pid_t server; /* node 0: the process that serves; 0: none */
    int leash;    /* node 0: it ends when this is closed */
    int lock;     /* node 0: of the folder */
    struct ta_findings *list; /* what this node finds */
};

/* The whole of it: prints what was found. Errors: USAGE (neither tasks nor flags), CONFIG (contradictory environment),
 * DEVICE (something is wrong), PEER (who did not come), IN_USE, IO, NO_MEMORY. */
ta_status ta_doctor_preflight(const struct ta_doctor *d, const struct ta_preflight_ask *ask);

/* --- doctor_meet.c --- */

/* Fills in all of *p but d, ask and list. Errors as above. */
ta_status ta_preflight_meet(struct ta_preflight *p);
/* `status` not OK: the others are told that this one ends, and why. Node 0 removes the folder. */
void ta_preflight_leave(struct ta_preflight *p, ta_status status);

ta_status ta_preflight_put(struct ta_preflight *p, const void *value, size_t bytes, const char *name, ...)
    __attribute__((format(printf, 4, 5)));
/* Waits for a value of so many bytes. Errors: PEER: it did not come in time, somebody ended the whole, the store is
 * gone. */
ta_status ta_preflight_hear(struct ta_preflight *p, void *value, size_t bytes, const char *name, ...)
    __attribute__((format(printf, 4, 5)));
/* Returns when all nodes have come to the same place. */
ta_status ta_preflight_together(struct ta_preflight *p, const char *place);

/* --- what is examined; each adds findings to p->list --- */

ta_status ta_preflight_clocks(struct ta_preflight *p); /* doctor_clocks.c */
ta_status ta_preflight_files(struct ta_preflight *p);  /* doctor_files.c */

struct ta_clock_sample {
    int64_t asked_ns, theirs_ns, answered_ns; /* wall clocks: ours, theirs, ours */
};
/* How far their clock is ahead of ours by the quickest of n answers, and how sure that is: half the time it took. */
void ta_clock_offset(const struct ta_clock_sample *samples, size_t n, int64_t *ahead_ns, int64_t *sure_ns);

/* --- doctor_pairs.c, doctor_matrix.c: puts from node to node --- */

enum ta_pair_state { TA_PAIR_NONE, TA_PAIR_MEASURED, TA_PAIR_FAILED };

struct ta_pair {
    enum ta_pair_state state;
    double gb_per_s, seen_us; /* of a large put; until a small one was seen */
    char why[256];            /* it failed */
};

/* Node 0: pairs[from * nodes + to] of all; others: NULL. */
ta_status ta_preflight_pairs(struct ta_preflight *p, struct ta_pair *pairs);

/* Whom `node` of n meets in `round`, from 0 to ta_matrix_rounds(n) - 1, in which each pair meets once; itself: it
 * rests. */
unsigned ta_matrix_partner(unsigned node, unsigned round, unsigned n);
unsigned ta_matrix_rounds(unsigned n);
/* The median of all that were measured; 0: none. A pair is odd when it has less than half of it; a node, when the
 * median of all from and to it has less than 0.7 of it. `odd`: [n]. Errors: NO_MEMORY. */
ta_status ta_matrix_judge(const struct ta_pair *pairs, unsigned n, double *median, bool *odd);
bool ta_matrix_pair_is_odd(const struct ta_pair *pair, double median);

#endif
