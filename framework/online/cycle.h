/* cycle: when does a replica train, when does it only predict, and when has the world changed? All replicas together.
 *
 * Mode `train` trains on every labelled record and says when drift was found. `predict` never trains. `auto` is
 * TensAIR's cycle: train until converged (plateau.h), then predict only and watch, train again once drift is found.
 *
 * What has happened so far is one number that only rises, the same for all replicas: every change adds to it. Even:
 * training is on (or would be); odd: only predictions (auto alone). A replica that finds drift raises its number, tells
 * it to the others, and whoever hears a higher number than its own takes it over: so one alarm anywhere is an alarm
 * everywhere, two at once are one, and messages may be lost, late or repeated as long as the newest number comes
 * through. Training ends when all live replicas have converged at the same number: the lowest of them then raises it.
 *
 * Whether training has converged is judged by the mean loss of all live replicas, each of which tells the others its
 * own (TensAIR's plateau rule, over all of them). The detector sees the losses of its own replica, one by one: records
 * are dealt batch by batch, so what has changed in the stream has changed in every share of it, and whoever is sure
 * first speaks for all. The losses of all would have to travel one by one to be seen by one detector; the price is that
 * it takes a change n times as many records of the stream to show itself to each of n replicas, in as much time.
 *
 * The detector sees what happens while it counts: in `auto` only while predicting (a loss that still comes down is no
 * steady state), in the other modes always; not during the `cool_down` records after each change. It begins anew with
 * every change.
 *
 * A plain value apart from detector and plateau; no clock, no threads. Not told by this: what is done about drift.
 */
#ifndef TA_CYCLE_H
#define TA_CYCLE_H

#include <stdbool.h>
#include <stdint.h>

#include "detector.h"
#include "plateau.h"

enum ta_mode { TA_MODE_TRAIN, TA_MODE_PREDICT, TA_MODE_AUTO };

struct ta_cycle_spec {
    enum ta_mode mode;
    struct ta_detector_spec detector; /* never: none. Losses want side: rise, which is made the default here */
    bool watch_errors;                /* the detector gets 1 for a wrong class and 0 for a right one; else the loss */
    struct ta_plateau_spec plateau;
    uint64_t cool_down; /* labelled records of this replica */
    uint32_t average;   /* records whose mean is one number to the detector; 0: 1. A mean of many is nearer to normal, which
                         * OPTWIN takes its numbers to be, than an error or a loss is */
};

enum ta_cycle_news { TA_CYCLE_NOTHING, TA_CYCLE_WARNING, TA_CYCLE_DRIFT, TA_CYCLE_CONVERGED };

struct ta_cycle {
    struct ta_cycle_spec spec;
    struct ta_detector detector;
    struct ta_plateau plateau;
    uint64_t number;         /* of changes */
    bool converged;          /* at this number */
    uint64_t deaf;           /* records left of the cool-down */
    double sum;              /* of `summed` records on their way into a mean */
    uint32_t summed;
    uint64_t alarms, warnings; /* of our own detector */
    bool warned;             /* since the last OK */
};

/* Errors: CONFIG (which key), NO_MEMORY; freeing after is fine. */
ta_status ta_cycle_init(struct ta_cycle *c, const struct ta_cycle_spec *spec);
void ta_cycle_free(struct ta_cycle *c);

bool ta_cycle_trains(const struct ta_cycle *c);

/* One labelled record that was predicted. DRIFT: our number has risen (tell the others). CONVERGED: told once a number.
 * WARNING: the detector's, told once until it is OK again. */
enum ta_cycle_news ta_cycle_add(struct ta_cycle *c, double loss, bool hit);

/* The losses of those other live replicas that are at our number, added up: for the plateau. */
void ta_cycle_others(struct ta_cycle *c, double sum, uint32_t others);

/* Another replica is at `number`. True: ours has risen to it. */
bool ta_cycle_hear(struct ta_cycle *c, uint64_t number);
/* For the lowest live rank: all live replicas, we among them, have converged at our number. True: it has risen. */
bool ta_cycle_rest(struct ta_cycle *c);

/* For checkpoints: goes on at this number, with a fresh detector and plateau. */
void ta_cycle_resume(struct ta_cycle *c, uint64_t number);

#endif
