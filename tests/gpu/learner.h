/* learner: a net on the device and the same on the CPU, both with all that an update needs. cmocka assertions inside.
 */
#ifndef TA_TEST_LEARNER_H
#define TA_TEST_LEARNER_H

#include "compare.h"
#include "cuda.h"
#include "hosted.h"

enum { BATCH = 6, ARENAS = 6 };

/* A net on the device with all that an update needs, and the same in host memory for the CPU make. */
struct learner {
    struct test_net t;
    struct hosted h;
    struct ta_net *net;
    float *w, *grad, *m, *v, *delta, *base; /* on the device */
    struct test_run cpu;                    /* w, x, labels of the host */
    float *cpu_m, *cpu_v, *cpu_delta, *cpu_base;
    struct ta_param trained[16];
    uint32_t n_trained;
};

/* The small net of these tests: every kind of layer that a step treats in its own way. */
void learner_shape(struct test_net *t);
void learner_open(struct learner *l, bool timed);
void learner_close(struct learner *l);
void learner_close_device(struct learner *l); /* close in two halves: where the device begins anew between them */
void learner_close_host(struct learner *l);

/* Another batch for every step. */
void learner_batch(struct learner *l, uint64_t step);
/* An update with everything on. */
struct ta_net_update learner_update(const struct learner *l, enum ta_optimizer_kind kind, uint64_t step);
/* w = base + delta, but for statistics, of which delta is the value itself: on the device. */
void learner_apply(struct learner *l);
/* Stages the batch of this step, begins it with an update and ends it. */
ta_status learner_step(struct learner *l, enum ta_optimizer_kind kind, uint64_t step, float *losses,
                       struct ta_net_outcome *outcome);
/* Steps of an optimizer: what the CPU make does one call after the other. Every step is begun before the apply of the
 * one before is known to be done, and its batch is staged before that. */
void learner_learn(enum ta_optimizer_kind kind, unsigned steps);
/* delta and weights of the device against those of the CPU. */
void learner_compare(struct learner *l, double tolerance, const char *what);

void learner_ok(ta_status status); /* asserts TA_OK */

#endif
