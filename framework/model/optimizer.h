/* optimizer: gradient -> update of the delta, over the whole arena, with schedule, clipping and the non-finite guard.
 *
 * State (m, v) lives where the weights live. One thread.
 */
#ifndef TA_OPTIMIZER_H
#define TA_OPTIMIZER_H

#include "kernels.h"
#include "model.h"
#include "spec.h"

struct ta_optimizer {
    const struct ta_kernels_ops *ops;
    struct ta_kernels *kernels;
    const struct ta_model *model;
    struct ta_optimizer_spec spec; /* defaults filled in */
    float *m, *v;                  /* [n_params] or NULL where the kind has none */
    struct ta_param *trained;      /* [n_trained] the `sum` segments: what is descended */
    uint32_t n_trained;
    uint64_t step;                 /* updates made */
    uint64_t reset_at;             /* of them, before the moments were last reset */
    uint64_t skipped;              /* updates dropped because the gradient was not finite */
    double last_norm;              /* of the last gradient */
    float raised;                  /* the rate is multiplied by it; 1 from open on */
};

/* Checks the spec. Errors: CONFIG (key, value, allowed range; schedule: linear, which is for word models),
 * NO_MEMORY. */
ta_status ta_optimizer_open(struct ta_optimizer *o, const struct ta_optimizer_spec *spec, const struct ta_model *model,
                            const struct ta_kernels_ops *ops, struct ta_kernels *kernels);
void ta_optimizer_close(struct ta_optimizer *o);

/* Moments from zero, as before the first step (Adam's correction of their bias too). Errors: of the kernels. */
ta_status ta_optimizer_reset(struct ta_optimizer *o);

/* delta += scale * update(grad); `mean` segments of delta take the moving average of the batch statistics. A gradient
 * that is not finite changes nothing, is counted in `skipped` and gives NUMERIC (message made; the caller may go on).
 * In `sum` segments grad, w, delta, m and v must be zero in the gaps between tensors; they stay so. */
ta_status ta_optimizer_step(struct ta_optimizer *o, const float *grad, const float *w, float scale, float *delta);

/* The same for a device that makes the update behind its gradient (kernels.h: struct ta_net_update): what the next step's is
 * to be, as ta_optimizer_step would choose it, and what came of it, counted alike. `out` refers to the optimizer's own
 * memory, and holds until `done`. NUMERIC as above. */
void ta_optimizer_plan(const struct ta_optimizer *o, float scale, float *delta, struct ta_net_update *out);
ta_status ta_optimizer_done(struct ta_optimizer *o, const struct ta_net_outcome *outcome);

/* A word model has no gradient of the whole arena and so no ta_optimizer: its kernel makes plain SGD steps at a rate
 * that follows the share of the run that is done. Checks what that can take (type sgd; schedule constant, or linear
 * when the run `ends`; neither momentum, decay, clipping nor warm-up) and fills in the rate that is not given: .025
 * (skipgram) or .05 (cbow), as word2vec. Errors: CONFIG (which key, and the cure). */
ta_status ta_optimizer_check_words(struct ta_optimizer_spec *spec, enum ta_model_type type, bool ends);
/* The rate of a word model when `share` (0 .. 1) of the run's records is done; a run without an end has share 0. */
float ta_optimizer_rate_at(const struct ta_optimizer_spec *spec, double share);

/* The rate used for update number `step` (from 1). */
float ta_optimizer_rate(const struct ta_optimizer_spec *spec, uint64_t step);
size_t ta_optimizer_bytes(const struct ta_optimizer *o);

#endif
