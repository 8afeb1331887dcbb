/* online_config: section `online` of a configuration: what is done with predictions, losses and drift while training.
 *
 *     online:
 *       mode: train | predict | auto
 *       label_delay: 0            # records after which a label is known, where the stream has no /label_delay
 *       waiting: 65536            # records of a replica that wait for their labels at most
 *       predictions: no | yes     # a log of every prediction: RUN_DIR/predictions.h5 (predictions_view.h)
 *       watch: loss | error       # what the detector sees of a labelled record
 *       average: 1                # records whose mean the detector sees as one number; not for detectors of errors
 *       detector: {type: optwin, optwin: {rho: 0.5}}        # detector.h; absent: nobody looks for drift
 *       plateau: {stretch: 1000, patience: 10, factor: 1.02, floor: 1e-4}
 *       cool_down: 0              # labelled records of a replica after a change during which it does not look
 *       answers:                  # to drift, besides training on; all of them are given
 *         - {type: raise_rate, factor: 5, records: 2000}    # the rate is so much higher for so many records of a replica
 *         - {type: reset_optimizer}                         # moments start from zero
 *         - {type: reset_head, layers: 1}                   # the last layers with weights start anew
 *         - {type: rehearse, policy: fifo | reservoir | balanced, room: 1000, records: 5000}
 *                                                           # a step on remembered records after each of the next ones
 *
 * Answers are given when the cycle (cycle.h) says that the world has changed, in every replica. reset_head is given by
 * the lowest live replica: what it changes reaches the others as every update does. The memory of `rehearse` begins
 * anew with each change, so it holds records of the new world only.
 */
#ifndef TA_ONLINE_CONFIG_H
#define TA_ONLINE_CONFIG_H

#include "config.h"
#include "cycle.h"
#include "rehearsal.h"

enum ta_answer_type { TA_ANSWER_RAISE_RATE, TA_ANSWER_RESET_OPTIMIZER, TA_ANSWER_RESET_HEAD, TA_ANSWER_REHEARSE };

enum { TA_MAX_ANSWERS = 8 };

struct ta_answer {
    enum ta_answer_type type;
    double factor;                   /* raise_rate; 0: 5 */
    uint64_t records;                /* raise_rate, rehearse; 0: 2000 */
    uint32_t layers;                 /* reset_head; 0: 1 */
    enum ta_rehearsal_policy policy; /* rehearse */
    uint32_t room;                   /* rehearse; 0: 1000 */
};

struct ta_online_section {
    enum ta_mode mode;
    uint64_t label_delay;
    uint32_t waiting;               /* 0: 65536 */
    uint32_t predictions;           /* 0: no, 1: yes */
    uint32_t watch;                 /* 0: loss, 1: error */
    struct ta_detector_spec *detector; /* NULL: none */
    struct ta_plateau_spec plateau;
    uint64_t cool_down;
    uint32_t average;               /* 0: 1 */
    struct ta_answer *answers;
    unsigned answers_count;
};

extern const cyaml_schema_field_t ta_online_schema[];

/* Fills in defaults, checks what can be checked without a stream. Errors: CONFIG (which key, what is allowed). */
ta_status ta_online_check(struct ta_online_section *o);

#endif
