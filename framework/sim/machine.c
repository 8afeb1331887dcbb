/* machine: how long this machine takes for what a simulated replica will compute. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "mem.h"
#include "optimizer.h"
#include "replica.h"
#include "rng.h"
#include "simulation.h"
#include "stream.h"

enum { ROUNDS = 31, REGISTERS = 4 };
static const double LEAST_ROUND_S = 2e-4; /* shorter calls are repeated within a round */

/* Everything a step needs. */
struct rig {
    const struct ta_kernels_ops *ops;
    struct ta_kernels *kernels;
    struct ta_stream *stream;
    struct ta_model model;
    struct ta_net *net;
    struct ta_optimizer optimizer;
    float *arena[3 + REGISTERS]; /* w, gradient, delta, registers */
    float *x, *predictions, *targets;
    int32_t *classes;
};

static void tear_down(struct rig *g) {
    ta_optimizer_close(&g->optimizer);
    if (g->net != NULL) g->ops->net_destroy(g->net);
    for (unsigned i = 0; i < 3 + REGISTERS && g->kernels != NULL; i++) g->ops->free(g->kernels, g->arena[i]);
    if (g->kernels != NULL) g->ops->close(g->kernels);
    ta_model_free(&g->model);
    ta_stream_close(g->stream);
    ta_mem_free(g->x);
    ta_mem_free(g->predictions);
    ta_mem_free(g->targets);
    ta_mem_free(g->classes);
}

static ta_status make_batch(struct rig *g, const struct ta_run_config *run) {
    size_t batch = run->stream.batch, numbers = batch * ta_shape_count(g->model.input);
    ta_status status = TA_NEW(&g->x, numbers, "a batch");
    if (status == TA_OK) status = TA_NEW(&g->predictions, batch * g->model.outputs, "predictions");
    if (status == TA_OK) status = TA_NEW(&g->targets, batch * g->model.outputs, "targets");
    if (status == TA_OK) status = TA_NEW(&g->classes, batch, "classes");
    struct ta_rng rng = ta_rng_make(1, 0);
    for (size_t i = 0; status == TA_OK && i < numbers; i++) g->x[i] = (float)ta_rng_uniform(&rng);
    return status;
}

static ta_status set_up(struct rig *g, const struct ta_run_config *run) {
    ta_status status = ta_stream_open(&run->stream.spec, &g->stream);
    if (status == TA_OK) status = ta_replica_model(run, &g->stream->info, &g->model);
    if (status == TA_OK && g->model.words.rows > 0)
        status = ta_fail(TA_CONFIG, "tensair sim simulates models made of layers; model.type is a word model");
    if (status == TA_OK) status = ta_kernels_find("cpu", &g->ops);
    struct ta_kernels_config config = {.threads = 1, .compute = TA_COMPUTE_FLOAT32};
    if (status == TA_OK) status = g->ops->open(&config, &g->kernels);
    if (status != TA_OK) return status;
    struct ta_net_spec spec = ta_model_net_spec(&g->model, run->stream.batch, 1, false);
    status = g->ops->net_create(g->kernels, &spec, &g->net);
    size_t bytes = g->model.n_params * sizeof(float);
    for (unsigned i = 0; i < 3 + REGISTERS && status == TA_OK; i++)
        status = g->ops->alloc(g->kernels, bytes, "parameters", (void **)&g->arena[i]);
    if (status == TA_OK) status = make_batch(g, run);
    if (status == TA_OK) ta_model_init(&g->model, 1, g->arena[0]);
    if (status == TA_OK) status = ta_optimizer_open(&g->optimizer, &run->optimizer, &g->model, g->ops, g->kernels);
    return status;
}

static ta_status step(struct rig *g) {
    struct ta_labels labels = {.classes = g->classes, .targets = g->targets};
    ta_status status = g->ops->train(g->net, g->arena[0], g->x, &labels, 0, g->arena[1], g->predictions, NULL);
    if (status != TA_OK) return status;
    status = ta_optimizer_step(&g->optimizer, g->arena[1], g->arena[0], 1, g->arena[2]);
    return status == TA_NUMERIC ? TA_OK : status;
}

static ta_status predict(struct rig *g) {
    return g->ops->predict(g->net, g->arena[0], g->x, NULL, g->predictions, NULL);
}

static ta_status apply(struct rig *g) {
    const float *registers[REGISTERS];
    for (unsigned i = 0; i < REGISTERS; i++) registers[i] = g->arena[3 + i];
    return g->ops->sum(g->kernels, g->model.n_params, g->arena[1], g->arena[2], registers, REGISTERS);
}

static int rising(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Three digits: as it will be printed. */
static double rounded(double value) {
    char text[32];
    snprintf(text, sizeof text, "%.2e", value);
    return strtod(text, NULL);
}

/* The median of some rounds. */
static ta_status time_of(struct rig *g, ta_status (*call)(struct rig *), double *seconds) {
    double rounds[ROUNDS];
    unsigned calls = 1;
    for (int i = -3; i < ROUNDS; i++) {
        int64_t begun_ns = ta_clock_now_ns();
        for (unsigned c = 0; c < calls; c++) {
            ta_status status = call(g);
            if (status != TA_OK) return status;
        }
        double each_s = (double)(ta_clock_now_ns() - begun_ns) / TA_NS_PER_S / calls;
        if (i < 0) calls = each_s >= LEAST_ROUND_S ? 1 : (unsigned)(LEAST_ROUND_S / (each_s + 1e-9)) + 1;
        else rounds[i] = each_s;
    }
    qsort(rounds, ROUNDS, sizeof rounds[0], rising);
    *seconds = rounded(rounds[ROUNDS / 2]);
    return TA_OK;
}

ta_status ta_machine_measure(const struct ta_run_config *run, struct ta_machine *machine) {
    struct rig g = {0};
    double apply_s = 0;
    if (machine->step_s > 0 && machine->predict_s > 0 && machine->bytes_per_s > 0) return TA_OK;
    ta_status status = set_up(&g, run);
    if (status == TA_OK && machine->step_s <= 0) status = time_of(&g, step, &machine->step_s);
    if (status == TA_OK && machine->predict_s <= 0) status = time_of(&g, predict, &machine->predict_s);
    if (status == TA_OK && machine->bytes_per_s <= 0) {
        status = time_of(&g, apply, &apply_s);
        double bytes = (double)g.model.n_params * sizeof(float) * (REGISTERS + 2);
        if (status == TA_OK) machine->bytes_per_s = rounded(bytes / fmax(apply_s, 1e-9));
    }
    tear_down(&g);
    return status;
}
