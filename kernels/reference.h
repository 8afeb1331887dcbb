/* reference: a make of naive loops in double precision, written to be read: the oracle of the other makes.
 *
 * The same table and the same contract as any make (kernels.h), hundreds of times slower. Not among the names of
 * ta_kernels_find: only tests link it.
 */
#ifndef TA_REFERENCE_H
#define TA_REFERENCE_H

#include "kernels.h"

extern const struct ta_kernels_ops ta_kernels_reference;

/* The mean loss over the batch of the last train or predict, before it was rounded to float: finite differences of it
 * are good to eight digits. */
double ta_reference_loss(const struct ta_net *net);

/* Inside: one layer on double arrays, batch records at once. `w` is the whole arena. */
struct ta_reference_layer {
    const struct ta_layer *l;
    uint32_t batch;
    const float *w;
    const double *in[2];
    double *out;
    const double *grad_out;
    double *grad_in[2];        /* added to; NULL: the net's own input */
    double *grad;              /* [n_params], added to; at moving statistics: written */
    double *mean, *variance;   /* [c] batch statistics, kept from forward to backward */
    const unsigned char *kept; /* dropout's mask, NULL: everything is kept */
    bool training;
};
void ta_reference_forward(struct ta_reference_layer *a);
void ta_reference_backward(struct ta_reference_layer *a);

#endif
