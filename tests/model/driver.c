/* driver: the model and the optimizer for the scripts of this folder, which know what should come out.
 *
 *     model_driver write CONFIG.yaml SEED OUT.h5              shaken weights as model.h5
 *     model_driver predict CONFIG.yaml IN.h5 BATCH X Y        reads weights, X [BATCH][...] float32, writes Y
 *     model_driver optimize CONFIG.yaml STEPS GRADS W0 OUT    GRADS [STEPS][n], W0 [n]; OUT [STEPS][n]: weights after
 * each
 *
 * The model of `optimize` has one tensor of n numbers. Prints the message and exits with the status' code on failure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_of.h"
#include "keras.h"
#include "mem.h"

static ta_status read_floats(const char *path, float *out, size_t count) {
    FILE *file = fopen(path, "rb");
    size_t got = file != NULL ? fread(out, sizeof *out, count, file) : 0;
    if (file != NULL) fclose(file);
    return got == count ? TA_OK : ta_fail(TA_IO, "%s: %zu numbers, expected %zu", path, got, count);
}

static ta_status write_floats(const char *path, const float *in, size_t count) {
    FILE *file = fopen(path, "wb");
    size_t put = file != NULL ? fwrite(in, sizeof *in, count, file) : 0;
    if (file != NULL && fclose(file) != 0) put = 0;
    return put == count ? TA_OK : ta_fail(TA_IO, "%s: cannot write", path);
}

static ta_status run_write(const struct ta_model *model, char **argv) {
    float *w;
    ta_status status = TA_NEW(&w, model->n_params, "weights");
    if (status != TA_OK) return status;
    shaken_weights(model, strtoull(argv[0], NULL, 10), w);
    const struct ta_keras_note note = {
        .run = "a test", .steps = 12, .records = 384, .input_scale = .5f, .input_offset = 1};
    status = ta_keras_write(argv[1], model, w, &note);
    ta_mem_free(w);
    return status;
}

static ta_status run_predict(const struct ta_model *model, char **argv) {
    const struct ta_kernels_ops *ops = &ta_kernels_cpu;
    uint32_t batch = (uint32_t)strtoul(argv[1], NULL, 10);
    size_t n_x = batch * ta_shape_count(model->input), n_y = (size_t)batch * model->outputs;
    struct ta_kernels *k = NULL;
    struct ta_net *net = NULL;
    float *x = NULL, *y = NULL, *w = NULL;
    ta_status status = ops->open(&(struct ta_kernels_config){.threads = 1}, &k);
    if (status == TA_OK) status = TA_NEW(&x, n_x, "x");
    if (status == TA_OK) status = TA_NEW(&y, n_y, "y");
    if (status == TA_OK) status = ops->alloc(k, model->n_params * sizeof *w, "w", (void **)&w);
    if (status == TA_OK) status = ta_keras_read(argv[0], model, w, NULL);
    if (status == TA_OK) status = read_floats(argv[2], x, n_x);
    struct ta_net_spec spec = ta_model_net_spec(model, batch, 1, true);
    if (status == TA_OK) status = ops->net_create(k, &spec, &net);
    if (status == TA_OK) status = ops->predict(net, w, x, NULL, y, NULL);
    if (status == TA_OK) status = write_floats(argv[3], y, n_y);
    if (net != NULL) ops->net_destroy(net);
    if (w != NULL) ops->free(k, w);
    ops->close(k);
    ta_mem_free(x);
    ta_mem_free(y);
    return status;
}

static ta_status run_optimize(const struct ta_model *model, const struct ta_optimizer_spec *spec, char **argv) {
    const struct ta_kernels_ops *ops = &ta_kernels_cpu;
    size_t steps = strtoul(argv[0], NULL, 10), n = model->n_weights, room = model->n_params;
    struct ta_kernels *k = NULL;
    struct ta_optimizer o = {0};
    float *grad = NULL, *w = NULL, *delta = NULL, *grads = NULL, *w0 = NULL, *out = NULL;
    ta_status status = ops->open(&(struct ta_kernels_config){.threads = 1}, &k);
    if (status == TA_OK) status = ops->alloc(k, room * sizeof *w, "grad", (void **)&grad);
    if (status == TA_OK) status = ops->alloc(k, room * sizeof *w, "w", (void **)&w);
    if (status == TA_OK) status = ops->alloc(k, room * sizeof *w, "delta", (void **)&delta);
    if (status == TA_OK) status = TA_NEW(&grads, steps * n, "gradients");
    if (status == TA_OK) status = TA_NEW(&out, steps * n, "out");
    if (status == TA_OK) status = TA_NEW(&w0, n, "w0");
    if (status == TA_OK) status = read_floats(argv[1], grads, steps * n);
    if (status == TA_OK) status = read_floats(argv[2], w0, n);
    if (status == TA_OK) status = ta_optimizer_open(&o, spec, model, ops, k);
    for (size_t s = 0; s < steps && status == TA_OK; s++) {
        for (size_t i = 0; i < n; i++) w[i] = w0[i] + delta[i];
        memcpy(grad, grads + s * n, n * sizeof *grad);
        status = ta_optimizer_step(&o, grad, w, 1, delta);
        for (size_t i = 0; i < n; i++) out[s * n + i] = w0[i] + delta[i];
    }
    for (size_t i = n; i < room && status == TA_OK; i++)
        if (delta[i] != 0) status = ta_fail(TA_FAILED, "the gap at %zu became %g", i, (double)delta[i]);
    if (status == TA_OK) status = write_floats(argv[3], out, steps * n);
    if (o.ops != NULL) ta_optimizer_close(&o);
    float *theirs[] = {grad, w, delta}, *ours[] = {grads, out, w0};
    for (int i = 0; i < 3; i++) {
        if (theirs[i] != NULL) ops->free(k, theirs[i]);
        ta_mem_free(ours[i]);
    }
    ops->close(k);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 5) return fputs("see the top of driver.c\n", stderr), 2;
    struct whole *whole = NULL;
    struct ta_model model = {0};
    ta_status status = ta_config_load(argv[2], &whole_schema, NULL, 0, (void **)&whole);
    if (status == TA_OK) status = ta_model_build(&whole->model, (struct ta_shape){0, 0, 0}, 0, &model);
    if (status == TA_OK) {
        if (strcmp(argv[1], "write") == 0) status = run_write(&model, argv + 3);
        else if (strcmp(argv[1], "predict") == 0 && argc == 7) status = run_predict(&model, argv + 3);
        else if (strcmp(argv[1], "optimize") == 0 && argc == 7)
            status = run_optimize(&model, &whole->optimizer, argv + 3);
        else status = ta_fail(TA_USAGE, "%s: unknown, or too few arguments", argv[1]);
    }
    if (status != TA_OK) fprintf(stderr, "model_driver: %s\n", ta_why());
    ta_model_free(&model);
    ta_config_free(whole, &whole_schema);
    return ta_status_exit_code(status);
}
