/* bench_net: training steps of a network on a GPU, as fast as they go, so that they can be measured in turns with
 * somebody else's: it does what its input says, a line at a time, and answers each by a line.
 *
 *     prepare NET BATCH COMPUTE UPDATE   ready PARAMETERS BYTES      COMPUTE: float32 | tf32 | bfloat16; UPDATE: 0 | 1
 *     round SECONDS                      rate RECORDS_PER_S STEPS LOSS
 *     free                               freed
 *
 * or `error WHY`. A step is what a replica makes: a batch goes from pinned memory to the device, forward, backward and,
 * with UPDATE, momentum into the delta and the weights as w0 + delta; the next batch is on its way meanwhile. Two
 * batches of made-up records in turns.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "bench_nets.h"
#include "clock.h"
#include "mem.h"
#include "rng.h"

enum { BATCHES = 2, LEAST_STEPS = 4, WARM_STEPS = 6 };

struct net {
    struct bench_gpu *b;
    const struct ta_kernels_ops *ops;
    struct ta_kernels *kernels;
    struct ta_model model;
    struct ta_net *net;
    struct ta_net_update update;
    struct ta_param trained;
    uint32_t batch;
    bool updates;
    float *w0, *w, *grad, *m, *delta; /* where the weights live */
    float *x[BATCHES];                /* pinned */
    int32_t *classes[BATCHES];
    float *losses;
    uint64_t staged, begun;
    double loss;
};

static void net_free(struct net *n) {
    if (n->kernels != NULL) {
        float *arrays[] = {n->w0, n->w, n->grad, n->m, n->delta};
        n->ops->net_destroy(n->net);
        for (unsigned i = 0; i < 5; i++) n->ops->free(n->kernels, arrays[i]);
        n->ops->close(n->kernels);
    }
    for (unsigned i = 0; i < BATCHES; i++) {
        n->b->gpu_ops->host_free(n->b->gpu, n->x[i]);
        ta_mem_free(n->classes[i]);
    }
    ta_mem_free(n->losses);
    ta_model_free(&n->model);
    *n = (struct net){.b = n->b, .ops = n->ops};
}

static ta_status make_batches(struct net *n) {
    size_t count = ta_shape_count(n->model.input) * n->batch;
    struct ta_rng rng = ta_rng_make(7, 1);
    ta_status status = TA_NEW(&n->losses, n->batch, "losses");
    for (unsigned i = 0; i < BATCHES && status == TA_OK; i++) {
        status = n->b->gpu_ops->host_alloc(n->b->gpu, count * sizeof(float), "records", (void **)&n->x[i]);
        if (status == TA_OK) status = TA_NEW(&n->classes[i], n->batch, "classes");
        for (size_t j = 0; j < count && status == TA_OK; j++) n->x[i][j] = (float)ta_rng_normal(&rng);
        for (unsigned j = 0; j < n->batch && status == TA_OK; j++)
            n->classes[i][j] = (int32_t)ta_rng_below(&rng, n->model.outputs);
    }
    return status;
}

static ta_status make_weights(struct net *n) {
    size_t bytes = n->model.n_params * sizeof(float);
    float **arrays[] = {&n->w0, &n->w, &n->grad, &n->m, &n->delta};
    float *host = NULL;
    ta_status status = TA_NEW(&host, n->model.n_params, "weights");
    for (unsigned i = 0; i < 5 && status == TA_OK; i++)
        status = n->ops->alloc(n->kernels, bytes, "an arena", (void **)arrays[i]);
    if (status == TA_OK) {
        ta_model_init(&n->model, 1, host);
        status = n->ops->copy_in(n->kernels, n->w0, host, bytes);
    }
    if (status == TA_OK) status = n->ops->copy_in(n->kernels, n->w, host, bytes);
    ta_mem_free(host);
    n->trained = (struct ta_param){n->model.segments[0].offset, n->model.segments[0].count};
    n->update = (struct ta_net_update){
        .how = {.kind = TA_MOMENTUM, .rate = 0.01F, .scale = 1, .grad_scale = 1, .momentum = 0.9F},
        .trained = &n->trained,
        .n_trained = 1,
        .m = n->m,
        .delta = n->delta};
    return status;
}

static ta_status begin(struct net *n) {
    n->update.how.step = ++n->begun;
    struct ta_net_step step = {.w = n->w, .grad = n->grad, .step = n->begun, .update = n->updates ? &n->update : NULL};
    ta_status status = n->ops->begin(n->net, &step);
    const float *registers[] = {n->delta};
    if (status == TA_OK && n->updates) status = n->ops->sum(n->kernels, n->model.n_params, n->w, n->w0, registers, 1);
    return status;
}

static ta_status stage(struct net *n) {
    unsigned which = n->staged++ % BATCHES;
    struct ta_labels labels = {.classes = n->classes[which]};
    return n->ops->stage(n->net, n->x[which], &labels);
}

static ta_status end(struct net *n) {
    struct ta_net_outcome outcome = {.finite = true};
    ta_status status = n->ops->end(n->net, NULL, n->losses, n->updates ? &outcome : NULL);
    if (status == TA_OK && !outcome.finite) return ta_fail(TA_NUMERIC, "a gradient is not finite");
    n->loss = 0;
    for (unsigned i = 0; i < n->batch; i++) n->loss += n->losses[i] / n->batch;
    if (status == TA_OK && !isfinite(n->loss)) return ta_fail(TA_NUMERIC, "the loss is not finite");
    return status;
}

/* At least so many steps and so many seconds. The next step is begun before the last one has come to its end, so that
 * the device always has something to do; one batch stays staged for the next call. */
static ta_status steps(struct net *n, unsigned least, double seconds, unsigned *made, double *took) {
    *made = 0;
    ta_status status = n->b->gpu_ops->drain(n->b->gpu);
    int64_t start = ta_clock_now_ns();
    if (status == TA_OK && n->staged == n->begun) status = stage(n);
    if (status == TA_OK) status = begin(n);
    if (status == TA_OK) status = stage(n);
    while (status == TA_OK) {
        bool more = *made + 1 < least || (double)(ta_clock_now_ns() - start) * 1e-9 < seconds;
        if (more) status = begin(n);
        if (status == TA_OK) status = end(n);
        if (status == TA_OK) ++*made;
        if (!more || status != TA_OK) break;
        status = stage(n);
    }
    if (status == TA_OK) status = n->b->gpu_ops->drain(n->b->gpu);
    *took = (double)(ta_clock_now_ns() - start) * 1e-9;
    return status;
}

static ta_status prepare(struct net *n, const char *line) {
    static const char *const computes[] = {
        [TA_COMPUTE_FLOAT32] = "float32", [TA_COMPUTE_TF32] = "tf32", [TA_COMPUTE_BFLOAT16] = "bfloat16"};
    char name[32], compute[32];
    unsigned updates, kind = 0;
    if (n->kernels != NULL) net_free(n);
    if (sscanf(line, "prepare %31s %u %31s %u", name, &n->batch, compute, &updates) != 4 || n->batch == 0 ||
        n->batch > 65536)
        return ta_fail(TA_USAGE, "not understood: %s", line);
    while (kind < 3 && strcmp(compute, computes[kind]) != 0) kind++;
    if (kind == 3) return ta_fail(TA_USAGE, "compute '%s' is not one of float32, tf32, bfloat16", compute);
    n->updates = updates != 0;
    ta_status status = bench_nets_build(name, &n->model);
    struct ta_kernels_config config = {.compute = (enum ta_compute)kind, .gpu_ops = n->b->gpu_ops, .gpu = n->b->gpu};
    if (status == TA_OK) status = n->ops->open(&config, &n->kernels);
    struct ta_net_spec spec = {0};
    if (status == TA_OK) {
        spec = ta_model_net_spec(&n->model, n->batch, 1, false);
        status = n->ops->net_create(n->kernels, &spec, &n->net);
    }
    if (status == TA_OK) status = make_batches(n);
    if (status == TA_OK) status = make_weights(n);
    unsigned made;
    double took;
    if (status == TA_OK) status = steps(n, WARM_STEPS, 0, &made, &took);
    if (status == TA_OK) printf("ready %zu %zu\n", bench_nets_trained(&n->model), n->ops->net_bytes(n->net));
    return status;
}

static ta_status answer(struct net *n, const char *line) {
    double seconds, took;
    unsigned made;
    if (sscanf(line, "round %lf", &seconds) == 1) {
        if (n->net == NULL) return ta_fail(TA_USAGE, "nothing is prepared");
        ta_status status = steps(n, LEAST_STEPS, seconds < 60 ? seconds : 60, &made, &took);
        if (status == TA_OK) printf("rate %.6g %u %.5g\n", made * (double)n->batch / took, made, n->loss);
        return status;
    }
    if (strncmp(line, "free", 4) != 0) return prepare(n, line);
    net_free(n);
    puts("freed");
    return TA_OK;
}

int main(int argc, char **argv) {
    struct bench_gpu b = {0};
    struct net n = {.b = &b};
    char line[256];
    ta_status status = bench_open(&b, argc, argv);
    if (status == TA_OK) status = ta_kernels_find("cuda", &n.ops);
    if (status == TA_OK && n.ops->stage == NULL) status = ta_fail(TA_FAILED, "the make has no steps in pieces");
    while (status == TA_OK && fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (answer(&n, line) != TA_OK) {
            printf("error %s\n", ta_why());
            net_free(&n);
        }
        fflush(stdout);
        if (b.gpu_ops->lost(b.gpu)) break;
    }
    if (n.ops != NULL) net_free(&n);
    return bench_end(&b, status);
}
