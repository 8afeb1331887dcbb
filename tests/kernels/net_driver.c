/* net_driver NET OPTIMIZER BATCH STEPS FOLDER: trains one of the tests' nets on raw files and leaves raw files.
 *
 * Reads FOLDER/w.f32 [n_params], x.f32 [STEPS][BATCH][h][w][c], y.i32 [STEPS][BATCH]; writes FOLDER/out.f32 (the
 * weights after) and losses.f32 [STEPS] (the mean loss of each step). `net_driver NET layout` prints the arena's map
 * instead: one line a tensor: layer number, kind, tensor, offset, count. Timing: `net_driver NET OPTIMIZER BATCH STEPS
 * time` prints the seconds of each step on made-up data. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build_net.h"
#include "clock.h"
#include "mem.h"

static const char *const optimizers[] = {"sgd", "momentum", "adam", "adagrad"};

static int read_file(const char *folder, const char *name, void *data, size_t bytes) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (f == NULL) return 1;
    int failed = fread(data, 1, bytes, f) != bytes;
    fclose(f);
    return failed;
}

static int write_file(const char *folder, const char *name, const void *data, size_t bytes) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (f == NULL) return 1;
    int failed = fwrite(data, 1, bytes, f) != bytes;
    return fclose(f) != 0 || failed;
}

static int print_layout(const struct test_net *t) {
    for (uint32_t i = 0; i < t->spec.n_layers; i++) {
        const struct ta_layer *l = &t->layer[i];
        const struct ta_param params[] = {l->kernel, l->bias, l->gamma, l->beta, l->mean, l->variance};
        const char *names[] = {"kernel", "bias", "gamma", "beta", "mean", "variance"};
        for (unsigned p = 0; p < 6; p++) {
            if (params[p].count > 0)
                printf("%u %d %s %zu %zu\n", i, (int)l->kind, names[p], params[p].offset, params[p].count);
        }
    }
    printf("total %zu\n", t->spec.n_params);
    return 0;
}

struct job {
    struct test_net t;
    struct ta_update how;
    uint64_t steps;
    float *w, *x, *grad, *m, *v, *losses, *mean_losses;
    int32_t *y;
};

/* The moving statistics are not trained: their "gradient" is this batch's, and goes into the moving average. */
static ta_status update(struct job *j, const struct ta_kernels_ops *ops, struct ta_kernels *k) {
    float saved[2][TEST_MAX_LAYERS][64];
    for (uint32_t i = 0; i < j->t.spec.n_layers; i++) {
        const struct ta_layer *l = &j->t.layer[i];
        if (l->kind != TA_LAYER_BATCH_NORM || l->mean.count > 64) continue;
        memcpy(saved[0][i], j->w + l->mean.offset, l->mean.count * sizeof(float));
        memcpy(saved[1][i], j->w + l->variance.offset, l->variance.count * sizeof(float));
    }
    ta_status status = ops->update(k, &j->how, j->t.spec.n_params, j->grad, j->w, j->m, j->v, j->w);
    for (uint32_t i = 0; i < j->t.spec.n_layers && status == TA_OK; i++) {
        const struct ta_layer *l = &j->t.layer[i];
        if (l->kind != TA_LAYER_BATCH_NORM || l->mean.count > 64) continue;
        memcpy(j->w + l->mean.offset, saved[0][i], l->mean.count * sizeof(float));
        memcpy(j->w + l->variance.offset, saved[1][i], l->variance.count * sizeof(float));
        status = ops->moving(k, l->mean.count, l->momentum, j->grad + l->mean.offset, j->w + l->mean.offset);
        if (status == TA_OK)
            status = ops->moving(k, l->variance.count, l->momentum, j->grad + l->variance.offset,
                                 j->w + l->variance.offset);
    }
    return status;
}

static ta_status train(struct job *j, bool timed) {
    const struct ta_kernels_ops *ops = &ta_kernels_cpu;
    struct ta_kernels *k = NULL;
    struct ta_net *net = NULL;
    size_t record = ta_shape_count(j->t.spec.input), batch = j->t.spec.batch;
    ta_status status = ops->open(&(struct ta_kernels_config){.threads = 1}, &k);
    if (status == TA_OK) status = ops->net_create(k, &j->t.spec, &net);
    for (uint64_t s = 0; s < j->steps && status == TA_OK; s++) {
        struct ta_labels labels = {.classes = j->y + s * batch};
        int64_t start = ta_clock_now_ns();
        status = ops->train(net, j->w, j->x + s * batch * record, &labels, s, j->grad, NULL, j->losses);
        j->how.step = s + 1;
        if (status == TA_OK) status = update(j, ops, k);
        if (timed) printf("%.9f\n", (double)(ta_clock_now_ns() - start) * 1e-9);
        for (size_t r = 0; r < batch; r++) j->mean_losses[s] += j->losses[r] / (float)batch;
    }
    ops->net_destroy(net);
    ops->close(k);
    return status;
}

static ta_status allocate(struct job *j) {
    size_t n = j->t.spec.n_params, records = j->t.spec.batch * j->steps;
    ta_status status = TA_NEW(&j->w, n, "w");
    if (status == TA_OK) status = TA_NEW(&j->grad, n, "grad");
    if (status == TA_OK) status = TA_NEW(&j->m, n, "m");
    if (status == TA_OK) status = TA_NEW(&j->v, n, "v");
    if (status == TA_OK) status = TA_NEW(&j->x, records * ta_shape_count(j->t.spec.input), "x");
    if (status == TA_OK) status = TA_NEW(&j->y, records, "y");
    if (status == TA_OK) status = TA_NEW(&j->losses, j->t.spec.batch, "losses");
    return status == TA_OK ? TA_NEW(&j->mean_losses, j->steps, "losses") : status;
}

static int run(struct job *j, const char *folder) {
    size_t n = j->t.spec.n_params * sizeof(float), records = j->t.spec.batch * j->steps;
    size_t record = ta_shape_count(j->t.spec.input);
    bool timed = strcmp(folder, "time") == 0;
    if (timed) {
        test_fill_weights(&j->t, 1, j->w);
        test_fill(records * record, 2, -1, 1, j->x);
        test_fill_classes((uint32_t)records, 3, 10, j->y);
    } else if (read_file(folder, "w.f32", j->w, n) ||
               read_file(folder, "x.f32", j->x, records * record * sizeof(float)) ||
               read_file(folder, "y.i32", j->y, records * sizeof(int32_t))) {
        fprintf(stderr, "%s: w.f32, x.f32 or y.i32 is missing or too short\n", folder);
        return 1;
    }
    if (train(j, timed) != TA_OK) {
        fprintf(stderr, "%s\n", ta_why());
        return 1;
    }
    return timed ? 0
                 : write_file(folder, "out.f32", j->w, n) ||
                       write_file(folder, "losses.f32", j->mean_losses, j->steps * sizeof(float));
}

int main(int argc, char **argv) {
    static struct job j;
    uint32_t batch = argc > 3 ? (uint32_t)atoi(argv[3]) : 1;
    if (argc != 6 && !(argc == 3 && strcmp(argv[2], "layout") == 0)) {
        fprintf(stderr, "usage: net_driver cifar|residual OPTIMIZER BATCH STEPS FOLDER|time\n");
        return 2;
    }
    strcmp(argv[1], "cifar") == 0 ? test_cifar_cnn(&j.t, batch) : test_residual_net(&j.t, batch);
    if (argc == 3) return print_layout(&j.t);
    j.steps = (uint64_t)atoi(argv[4]);
    j.how = (struct ta_update){
        .rate = 0.01F, .scale = 1, .grad_scale = 1, .momentum = 0.9F, .beta1 = 0.9F, .beta2 = 0.999F, .epsilon = 1e-7F};
    for (unsigned o = 0; o < 4; o++) {
        if (strcmp(argv[2], optimizers[o]) == 0) j.how.kind = (enum ta_optimizer_kind)o;
    }
    if (j.how.kind == TA_ADAM) j.how.rate = 0.001F, j.how.epsilon = 1e-4F;
    if (allocate(&j) != TA_OK) {
        fprintf(stderr, "%s\n", ta_why());
        return 1;
    }
    int failed = run(&j, argv[5]);
    void *blocks[] = {j.w, j.grad, j.m, j.v, j.x, j.y, j.losses, j.mean_losses};
    for (unsigned i = 0; i < sizeof blocks / sizeof blocks[0]; i++) ta_mem_free(blocks[i]);
    return failed;
}
