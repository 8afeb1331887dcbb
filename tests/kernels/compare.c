/* compare: see the header. */
#include "compare.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "reference.h"
#include "rng.h"

static void ok(ta_status status) {
    if (status != TA_OK) fail_msg("%s: %s", ta_status_name(status), ta_why());
}

void test_run_begin(struct test_run *r, const struct ta_kernels_ops *ops, const struct test_net *t, uint64_t seed) {
    *r = (struct test_run){.ops = ops};
    size_t batch = t->spec.batch, outputs = test_outputs(t), in = ta_shape_count(t->spec.input);
    ok(ops->open(&(struct ta_kernels_config){.threads = 1}, &r->kernels));
    ok(ops->net_create(r->kernels, &t->spec, &r->net));
    ok(TA_NEW(&r->w, t->spec.n_params, "w"));
    ok(TA_NEW(&r->grad, t->spec.n_params, "grad"));
    ok(TA_NEW(&r->x, batch * in, "x"));
    ok(TA_NEW(&r->predictions, batch * outputs, "predictions"));
    ok(TA_NEW(&r->targets, batch * outputs, "targets"));
    ok(TA_NEW(&r->losses, batch, "losses"));
    ok(TA_NEW(&r->classes, batch, "classes"));
    test_fill_weights(t, seed, r->w);
    test_fill(batch * in, seed + 1, -1, 1, r->x);
    test_fill(batch * outputs, seed + 2, 0, 1, r->targets);
    test_fill_classes((uint32_t)batch, seed + 3, (uint32_t)outputs, r->classes);
    r->labels = (struct ta_labels){.classes = r->classes, .targets = r->targets};
}

void test_run_end(struct test_run *r) {
    void *blocks[] = {r->w, r->grad, r->x, r->predictions, r->targets, r->losses, r->classes};
    for (unsigned i = 0; i < sizeof blocks / sizeof blocks[0]; i++) ta_mem_free(blocks[i]);
    r->ops->net_destroy(r->net);
    r->ops->close(r->kernels);
}

void test_train(struct test_run *r, uint64_t step) {
    ok(r->ops->train(r->net, r->w, r->x, &r->labels, step, r->grad, r->predictions, r->losses));
}

void test_predict(struct test_run *r) {
    ok(r->ops->predict(r->net, r->w, r->x, &r->labels, r->predictions, r->losses));
}

double test_distance(size_t n, const float *a, const float *b) {
    double most = 0, scale = 0;
    for (size_t i = 0; i < n; i++) {
        double off = fabs((double)a[i] - b[i]);
        if (isnan(off)) return INFINITY;
        most = off > most ? off : most;
        scale = fabs(b[i]) > scale ? fabs(b[i]) : scale;
    }
    return scale > 0 ? most / scale : most;
}

static double largest(size_t n, const float *x) {
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fabs(x[i]) > most ? fabs(x[i]) : most;
    return most;
}

static void close_enough(const char *what, const struct ta_layer *l, size_t n, const float *a, const float *b,
                         double tolerance) {
    double off = test_distance(n, a, b);
    if (!(off <= tolerance))
        fail_msg("%s of %s (kind %d, %ux%ux%u -> %ux%ux%u): off by %.3g", what, l->name, (int)l->kind, l->in.h, l->in.w,
                 l->in.c, l->out.h, l->out.w, l->out.c, off);
}

static void same_outputs(const struct test_net *t, const struct test_run *a, const struct test_run *b,
                         double tolerance) {
    const struct ta_layer *last = &t->layer[t->spec.n_layers - 1];
    close_enough("predictions", last, t->spec.batch * test_outputs(t), a->predictions, b->predictions, tolerance);
    close_enough("losses", last, t->spec.batch, a->losses, b->losses, tolerance);
}

void test_against_reference(const struct test_net *t, uint64_t seed, double tolerance) {
    test_make_against_reference(&ta_kernels_cpu, t, seed, tolerance);
}

void test_make_against_reference(const struct ta_kernels_ops *ops, const struct test_net *t, uint64_t seed,
                                 double tolerance) {
    struct test_run a, b;
    test_run_begin(&a, ops, t, seed);
    test_run_begin(&b, &ta_kernels_reference, t, seed);
    /* What was in `grad` must not matter. */
    test_fill(t->spec.n_params, 99, -1, 1, a.grad);
    test_train(&a, 5);
    test_train(&b, 5);
    same_outputs(t, &a, &b, tolerance);
    double overall = largest(t->spec.n_params, b.grad);
    for (uint32_t i = 0; i < t->spec.n_layers; i++) {
        const struct ta_layer *l = &t->layer[i];
        const struct ta_param params[] = {l->kernel, l->bias, l->gamma, l->beta, l->mean, l->variance};
        const char *names[] = {"kernel", "bias", "gamma", "beta", "mean", "variance"};
        for (unsigned p = 0; p < 6; p++) {
            /* Some gradients are 0 by nature, as a bias before a batch_norm: what is left of them is rounding. */
            double own = largest(params[p].count, b.grad + params[p].offset);
            double allowed = own > overall / 100 ? tolerance : tolerance * overall / 100 / (own > 0 ? own : 1);
            close_enough(names[p], l, params[p].count, a.grad + params[p].offset, b.grad + params[p].offset, allowed);
        }
    }
    test_predict(&a);
    test_predict(&b);
    same_outputs(t, &a, &b, tolerance);
    test_run_end(&a);
    test_run_end(&b);
}

void test_finite_differences(const struct test_net *t, uint64_t seed, unsigned samples, double tolerance) {
    struct test_run r;
    test_run_begin(&r, &ta_kernels_reference, t, seed);
    test_train(&r, 5);
    float *grad;
    ok(TA_NEW(&grad, t->spec.n_params, "gradient"));
    memcpy(grad, r.grad, t->spec.n_params * sizeof *grad);
    double scale = 0;
    for (size_t i = 0; i < t->spec.n_params; i++) scale = fabs(grad[i]) > scale ? fabs(grad[i]) : scale;
    struct ta_rng rng = ta_rng_make(seed, 3);
    for (unsigned s = 0; s < samples; s++) {
        const struct ta_layer *l = &t->layer[ta_rng_below(&rng, t->spec.n_layers)];
        const struct ta_param params[] = {l->kernel, l->bias, l->gamma, l->beta};
        struct ta_param p = params[ta_rng_below(&rng, 4)];
        if (p.count == 0) continue;
        size_t i = p.offset + ta_rng_below(&rng, (uint32_t)p.count);
        float w = r.w[i], more = w + 0x1p-18F,
              less = w - 0x1p-18F; /* small: few kinks of ReLU and max are in between */
        r.w[i] = more;
        test_train(&r, 5);
        double up = ta_reference_loss(r.net);
        r.w[i] = less;
        test_train(&r, 5);
        double slope = (up - ta_reference_loss(r.net)) / ((double)more - less);
        r.w[i] = w;
        if (fabs(slope - grad[i]) > tolerance * scale)
            fail_msg("%s, parameter %zu: gradient %.9g but the loss rises by %.9g", l->name, i - p.offset, grad[i],
                     slope);
    }
    ta_mem_free(grad);
    test_run_end(&r);
}

static double mean_loss(const struct test_run *r, const struct test_net *t) {
    double sum = 0;
    for (uint32_t i = 0; i < t->spec.batch; i++) sum += r->losses[i];
    return sum / t->spec.batch;
}

/* The loss at w + by * direction, the direction being the gradient of one tensor. */
static double loss_beside(struct test_run *r, const struct test_net *t, struct ta_param p, const float *w,
                          const float *direction, double by) {
    for (size_t i = p.offset; i < p.offset + p.count; i++) r->w[i] = (float)(w[i] + by * direction[i]);
    test_train(r, 5);
    return mean_loss(r, t);
}

void test_make_slopes(const struct ta_kernels_ops *ops, const struct test_net *t, uint64_t seed, double tolerance) {
    struct test_run r;
    test_run_begin(&r, ops, t, seed);
    test_train(&r, 5);
    float *grad, *w;
    ok(TA_NEW(&grad, t->spec.n_params, "gradient"));
    ok(TA_NEW(&w, t->spec.n_params, "weights"));
    memcpy(grad, r.grad, t->spec.n_params * sizeof *grad);
    memcpy(w, r.w, t->spec.n_params * sizeof *w);
    double loss = mean_loss(&r, t);
    for (uint32_t i = 0; i < t->spec.n_layers; i++) {
        const struct ta_layer *l = &t->layer[i];
        const struct ta_param params[] = {l->kernel, l->bias, l->gamma, l->beta};
        for (unsigned k = 0; k < 4; k++) {
            double norm2 = 0;
            for (size_t j = params[k].offset; j < params[k].offset + params[k].count; j++)
                norm2 += (double)grad[j] * grad[j];
            if (norm2 < 1e-12 * loss * loss) continue; /* lost in the rounding of the loss, which is float32 */
            double by = 5e-4 * loss / norm2; /* small: few kinks of ReLU and max are in between */
            double up = loss_beside(&r, t, params[k], w, grad, by);
            double down = loss_beside(&r, t, params[k], w, grad, -by);
            memcpy(r.w, w, t->spec.n_params * sizeof *w);
            double slope = (up - down) / (2 * by);
            if (fabs(slope - norm2) > tolerance * norm2)
                fail_msg("%s, tensor %u: |gradient|^2 is %.9g but the loss rises by %.9g along it", l->name, k, norm2,
                         slope);
        }
    }
    ta_mem_free(w);
    ta_mem_free(grad);
    test_run_end(&r);
}
