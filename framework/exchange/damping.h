/* damping: what the staleness of a gradient does to the update that is made of it.
 *
 * tau = steps of others that were missing from the weights the gradient was computed on, as known when it is
 * ready, over all peers. The update is what the optimizer makes of the gradient, so moments are not damped, only what
 * goes into w.
 *
 *     none                 1
 *     inverse              1 / (1 + rate * tau)      rate 1:    Zhang, Gupta, Lian, Liu: "Staleness-aware Async-SGD for
 *                                                    distributed deep learning", IJCAI 2016, who divide by tau
 *     exponential          exp(-rate * tau)          rate 0.1:  Chan, Lane: "Distributed asynchronous optimization of
 *                                                    convolutional neural networks", Interspeech 2014
 *     delay-compensated    1, of another gradient:   rate 0.04: Zheng et al.: "Asynchronous stochastic gradient
 *                          g + rate * g * g          descent with delay compensation", ICML 2017 (their DC-ASGD-c)
 *                          * (w_now - w_basis)
 *
 * Delay compensation adds what has arrived to w first, and needs a copy of the weights the gradient was computed
 * on: one register more. g * g stands in for the diagonal of the Hessian; with a loss that is a sum rather than a
 * mean, or with gradients far above 1, the rate must be lower.
 */
#ifndef TA_DAMPING_H
#define TA_DAMPING_H

#include "exchange.h"

struct ta_damping_rule {
    enum ta_damping kind;
    double rate;
};

/* With the default where no rate is given. Errors: CONFIG (a rate below 0 or not finite; a model with tables, whose
 * steps are in w already when their staleness is known). */
ta_status ta_damping_make(const struct ta_exchange_spec *spec, const struct ta_model *model,
                          struct ta_damping_rule *out);
/* What the update is multiplied by: in (0, 1]. */
float ta_damping_scale(const struct ta_damping_rule *rule, uint64_t tau);

#endif
