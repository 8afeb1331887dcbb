/* compare: a net of the CPU make beside the same net of the reference. cmocka assertions inside. */
#ifndef TA_TEST_COMPARE_H
#define TA_TEST_COMPARE_H

#include "build_net.h"

/* Everything a step needs and gives, for one make. */
struct test_run {
    const struct ta_kernels_ops *ops;
    struct ta_kernels *kernels;
    struct ta_net *net;
    float *w, *x, *grad, *predictions, *losses, *targets;
    int32_t *classes;
    struct ta_labels labels;
};

void test_run_begin(struct test_run *r, const struct ta_kernels_ops *ops, const struct test_net *t, uint64_t seed);
void test_run_end(struct test_run *r);
void test_train(struct test_run *r, uint64_t step); /* asserts TA_OK */
void test_predict(struct test_run *r);

/* The largest |a - b| over the largest |b| (or |a - b| itself where b is all 0); NaN counts as infinite. */
double test_distance(size_t n, const float *a, const float *b);

/* Trains and predicts with both makes; predictions, losses and every parameter's gradient agree to `tolerance`. */
void test_against_reference(const struct test_net *t, uint64_t seed, double tolerance);
/* The same for another make, whose weights must be where the CPU can touch them. */
void test_make_against_reference(const struct ta_kernels_ops *ops, const struct test_net *t, uint64_t seed,
                                 double tolerance);

/* The reference's gradient against central differences of its loss, at up to `samples` parameters. */
void test_finite_differences(const struct test_net *t, uint64_t seed, unsigned samples, double tolerance);

/* The gradient of a make that computes in float32 against the rise of its own loss, along the gradient of each tensor. */
void test_make_slopes(const struct ta_kernels_ops *ops, const struct test_net *t, uint64_t seed, double tolerance);

#endif
