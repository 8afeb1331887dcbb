/* bench_kernels: `tensair bench kernels`: the time of each layer and of a whole training step, beside this machine's
 * sgemm. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "clock.h"
#include "device.h"
#include "kernels.h"
#include "mem.h"
#include "model.h"
#include "rng.h"

static const char help[] =
    "usage: tensair bench kernels [options]\n"
    "\n"
    "Trains a network on made-up data and prints where the time of a step goes, in images a second and GFLOP/s, "
    "beside\n"
    "the matrix product of this machine taken in the same run. GFLOP/s count every multiplication of the dense "
    "layers;\n"
    "backward passes behind a max-pool skip most of them, and so can show more than the machine multiplies.\n"
    "\n"
    "  --model NAME        cifar10 (default): the CNN of TensAIR, 122,570 parameters; mnist: a small CNN\n"
    "  --batch N           records a step (default 32)\n"
    "  --optimizer NAME    sgd (default), momentum, adam, adagrad\n"
    "  --seconds S         how long to measure (default 2)\n"
    "  --threads N         threads a step may use (default 1)\n"
    "  --device TYPE       auto (default: a GPU where there is one), cpu, cuda (--kernels is the same)\n"
    "  --number K          that GPU (default 0)\n"
    "  --compute TYPE      float32 (default), tf32, bfloat16: what layers compute in, on GPUs\n"
    "  --raw               print only the median seconds of a step, for programs\n";

struct options {
    const char *model, *optimizer, *device, *number, *compute;
    double seconds;
    unsigned batch, threads;
    bool raw;
};

/* What a step needs. */
struct bench {
    struct options o;
    struct ta_device device;
    const struct ta_kernels_ops *ops;
    struct ta_kernels *kernels;
    struct ta_run_config run; /* of it the section device */
    struct ta_model model;
    struct ta_net *net;
    struct ta_update update;
    float *w0, *w, *grad, *m, *v, *delta, *x;
    int32_t *classes;
    double *step_s; /* [steps] */
    unsigned steps;
    double median_s, update_s, peak; /* seconds of a step; of all updates; FLOP/s of sgemm */
};

enum { MAX_STEPS = 100000, PEAK_SIZE = 768 };

static const char *const optimizers[] = {"sgd", "momentum", "adam", "adagrad"};

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double since(int64_t start_ns) { return (double)(ta_clock_now_ns() - start_ns) * 1e-9; }

/* ---- the command line ---- */

static ta_status positive(const char *option, const char *text, double most, double *value) {
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(*value > 0) || *value > most)
        return ta_fail(TA_USAGE, "%s '%s' must be a number above 0 and at most %g", option, text, most);
    return TA_OK;
}

static ta_status parse(int argc, char **argv, struct options *o, bool *helped) {
    static const struct option known[] = {{"model", required_argument, NULL, 'm'},
                                          {"batch", required_argument, NULL, 'b'},
                                          {"optimizer", required_argument, NULL, 'o'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"kernels", required_argument, NULL, 'd'},
                                          {"device", required_argument, NULL, 'd'},
                                          {"number", required_argument, NULL, 'n'},
                                          {"compute", required_argument, NULL, 'c'},
                                          {"raw", no_argument, NULL, 'r'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct options){.model = "cifar10", .optimizer = "sgd", .seconds = 2, .batch = 32, .threads = 1};
    ta_status status = TA_OK;
    double number = 0;
    optind = 0;
    opterr = 0;
    for (int c; status == TA_OK && (c = getopt_long(argc, argv, "+h", known, NULL)) != -1;) {
        switch (c) {
        case 'm': o->model = optarg; break;
        case 'o': o->optimizer = optarg; break;
        case 'd': o->device = optarg; break;
        case 'n': o->number = optarg; break;
        case 'c': o->compute = optarg; break;
        case 'r': o->raw = true; break;
        case 's': status = positive("--seconds", optarg, 3600, &o->seconds); break;
        case 'b':
            status = positive("--batch", optarg, 1 << 20, &number);
            o->batch = number < 1 ? 1 : (unsigned)number;
            break;
        case 't':
            status = positive("--threads", optarg, 1024, &number);
            o->threads = number < 1 ? 1 : (unsigned)number;
            break;
        case 'h':
            fputs(help, stdout);
            *helped = true;
            return TA_OK;
        default: return ta_fail(TA_USAGE, "option '%s' is not known or lacks its value; see --help", argv[optind - 1]);
        }
    }
    if (status == TA_OK && optind < argc) return ta_fail(TA_USAGE, "'%s' is one argument too many", argv[optind]);
    return status;
}

/* ---- the model ---- */

static ta_status build_model(const char *name, struct ta_model *model) {
    struct ta_layer_spec cifar[] = {
        {.type = TA_LAYER_CONV2D, .filters = 32, .kernel = 3, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_MAX_POOL, .pool = 2},
        {.type = TA_LAYER_CONV2D, .filters = 64, .kernel = 3, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_MAX_POOL, .pool = 2},
        {.type = TA_LAYER_CONV2D, .filters = 64, .kernel = 3, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_FLATTEN},
        {.type = TA_LAYER_DENSE, .units = 64, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_DENSE, .units = 10, .activation = TA_ACTIVATION_SOFTMAX},
    };
    struct ta_layer_spec mnist[] = {
        {.type = TA_LAYER_CONV2D, .filters = 16, .kernel = 3, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_MAX_POOL, .pool = 2},
        {.type = TA_LAYER_CONV2D, .filters = 32, .kernel = 3, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_MAX_POOL, .pool = 2},
        {.type = TA_LAYER_FLATTEN},
        {.type = TA_LAYER_DENSE, .units = 64, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_DENSE, .units = 10, .activation = TA_ACTIVATION_SOFTMAX},
    };
    bool is_cifar = strcmp(name, "cifar10") == 0;
    if (!is_cifar && strcmp(name, "mnist") != 0)
        return ta_fail(TA_USAGE, "--model '%s' is not one of cifar10, mnist", name);
    struct ta_model_spec spec = {.loss = TA_LOSS_CROSS_ENTROPY,
                                 .layers = is_cifar ? cifar : mnist,
                                 .layers_count = is_cifar ? sizeof cifar / sizeof *cifar
                                                          : sizeof mnist / sizeof *mnist};
    return ta_model_build(&spec, is_cifar ? (struct ta_shape){32, 32, 3} : (struct ta_shape){28, 28, 1}, 10, model);
}

static ta_status make_data(struct bench *b) {
    size_t record = ta_shape_count(b->model.input), n = b->model.n_params * sizeof(float);
    float *host = NULL;
    float **arenas[] = {&b->w0, &b->w, &b->grad, &b->m, &b->v, &b->delta};
    ta_status status = TA_NEW(&b->x, b->o.batch * record, "records");
    if (status == TA_OK) status = TA_NEW(&b->classes, b->o.batch, "classes");
    if (status == TA_OK) status = TA_NEW(&b->step_s, MAX_STEPS, "times");
    if (status == TA_OK) status = TA_NEW(&host, b->model.n_params, "weights");
    for (unsigned i = 0; i < 6 && status == TA_OK; i++)
        status = b->ops->alloc(b->kernels, n, "an arena", (void **)arenas[i]);
    if (status == TA_OK) {
        ta_model_init(&b->model, 1, host);
        status = b->ops->copy_in(b->kernels, b->w0, host, n);
        if (status == TA_OK) status = b->ops->copy_in(b->kernels, b->w, host, n);
        struct ta_rng rng = ta_rng_make(1, 1);
        for (size_t i = 0; i < b->o.batch * record; i++) b->x[i] = (float)ta_rng_normal(&rng);
        for (unsigned i = 0; i < b->o.batch; i++) b->classes[i] = (int32_t)ta_rng_below(&rng, 10);
    }
    ta_mem_free(host);
    return status;
}

static ta_status open_device(struct bench *b) {
    int compute = TA_COMPUTE_FLOAT32;
    if (b->o.compute != NULL)
        while (compute <= TA_COMPUTE_BFLOAT16 && strcmp(ta_device_compute_name(compute), b->o.compute) != 0) compute++;
    if (compute > TA_COMPUTE_BFLOAT16)
        return ta_fail(TA_USAGE, "--compute '%s' is not one of float32, tf32, bfloat16", b->o.compute);
    b->run.device = (struct ta_device_section){.type = (char *)b->o.device,
                                               .number = (char *)b->o.number,
                                               .threads = b->o.threads,
                                               .compute = (enum ta_compute)compute};
    ta_status status = ta_device_open(&b->run, &(struct ta_device_place){0}, &b->device);
    b->ops = b->device.kernel_ops;
    b->kernels = b->device.kernels;
    return status;
}

static ta_status open_bench(struct bench *b) {
    b->update = (struct ta_update){
        .rate = 1e-4F, .scale = 1, .grad_scale = 1, .momentum = 0.9F, .beta1 = 0.9F, .beta2 = 0.999F, .epsilon = 1e-7F};
    unsigned kind = 0;
    while (kind < 4 && strcmp(b->o.optimizer, optimizers[kind]) != 0) kind++;
    if (kind == 4)
        return ta_fail(TA_USAGE, "--optimizer '%s' is not one of sgd, momentum, adam, adagrad", b->o.optimizer);
    b->update.kind = (enum ta_optimizer_kind)kind;
    ta_status status = build_model(b->o.model, &b->model);
    if (status == TA_OK) status = open_device(b);
    if (status != TA_OK) return status;
    struct ta_net_spec spec = ta_model_net_spec(&b->model, b->o.batch, 1, false);
    spec.timed = !b->o.raw;
    status = b->ops->net_create(b->kernels, &spec, &b->net);
    return status == TA_OK ? make_data(b) : status;
}

static void close_bench(struct bench *b) {
    if (b->kernels != NULL) {
        float *arenas[] = {b->w0, b->w, b->grad, b->m, b->v, b->delta};
        for (unsigned i = 0; i < 6; i++) b->ops->free(b->kernels, arenas[i]);
        if (b->net != NULL) b->ops->net_destroy(b->net);
    }
    ta_device_close(&b->device);
    ta_mem_free(b->x);
    ta_mem_free(b->classes);
    ta_mem_free(b->step_s);
    ta_model_free(&b->model);
}

/* ---- measuring ---- */

/* The same of a device that updates by itself. The report has layers and updates apart, and so does not come here. */
static ta_status step_apart(struct bench *b, uint64_t number) {
    struct ta_labels labels = {.classes = b->classes};
    const float *registers[] = {b->delta};
    struct ta_param all = {0, b->model.n_params};
    struct ta_net_update update = {
        .how = b->update, .trained = &all, .n_trained = 1, .m = b->m, .v = b->v, .delta = b->delta};
    struct ta_net_step how = {.w = b->w, .grad = b->grad, .step = number, .update = &update};
    int64_t start = ta_clock_now_ns();
    update.how.step = number;
    ta_status status = b->ops->stage(b->net, b->x, &labels);
    if (status == TA_OK) status = b->ops->begin(b->net, &how);
    if (status == TA_OK) status = b->ops->end(b->net, NULL, NULL, NULL);
    if (status == TA_OK) status = b->ops->sum(b->kernels, b->model.n_params, b->w, b->w0, registers, 1);
    b->step_s[b->steps++] = since(start);
    return status;
}

/* One training step as a replica makes it: gradient, update, and the weights as the sum of their registers. */
static ta_status step(struct bench *b, uint64_t number) {
    struct ta_labels labels = {.classes = b->classes};
    const float *registers[] = {b->delta};
    if (b->o.raw && b->ops->stage != NULL) return step_apart(b, number);
    int64_t start = ta_clock_now_ns();
    ta_status status = b->ops->train(b->net, b->w, b->x, &labels, number, b->grad, NULL, NULL);
    if (status != TA_OK) return status;
    int64_t trained = ta_clock_now_ns();
    b->update.step = number;
    status = b->ops->update(b->kernels, &b->update, b->model.n_params, b->grad, b->w, b->m, b->v, b->delta);
    if (status == TA_OK) status = b->ops->sum(b->kernels, b->model.n_params, b->w, b->w0, registers, 1);
    float one; /* a device has only queued it */
    if (status == TA_OK && b->ops->on_gpu) status = b->ops->copy_out(b->kernels, &one, b->w, sizeof one);
    b->update_s += since(trained);
    b->step_s[b->steps++] = since(start);
    return status;
}

static ta_status measure(struct bench *b) {
    ta_status status = TA_OK;
    for (uint64_t i = 1; i <= 3 && status == TA_OK; i++) status = step(b, i);
    b->steps = 0;
    b->update_s = 0;
    int64_t start = ta_clock_now_ns();
    for (uint64_t i = 4; status == TA_OK && b->steps < MAX_STEPS; i++) {
        status = step(b, i);
        if (since(start) >= b->o.seconds && b->steps >= 3) break;
    }
    if (status != TA_OK) return status;
    qsort(b->step_s, b->steps, sizeof *b->step_s, ascending);
    b->median_s = b->step_s[b->steps / 2];
    return TA_OK;
}

/* The machine's own matrix product: a dense layer of PEAK_SIZE squared, through the same table. Best of several. */
static ta_status measure_peak(struct bench *b) {
    struct ta_layer dense = {.kind = TA_LAYER_DENSE,
                             .name = "sgemm",
                             .input = {TA_FROM_INPUT, TA_FROM_NONE},
                             .in = {1, 1, PEAK_SIZE},
                             .out = {1, 1, PEAK_SIZE},
                             .kernel = {0, (size_t)PEAK_SIZE * PEAK_SIZE}};
    struct ta_net_spec spec = {.layers = &dense,
                               .n_layers = 1,
                               .input = {1, 1, PEAK_SIZE},
                               .loss = TA_LOSS_SQUARED_ERROR,
                               .batch = PEAK_SIZE,
                               .n_params = dense.kernel.count,
                               .predict_only = true};
    struct ta_net *net = NULL;
    float *x = NULL, *w = NULL;
    double best = 0;
    ta_status status = TA_NEW(&x, dense.kernel.count, "a matrix");
    if (status == TA_OK) status = b->ops->alloc(b->kernels, dense.kernel.count * sizeof *w, "a matrix", (void **)&w);
    if (status == TA_OK) status = b->ops->net_create(b->kernels, &spec, &net);
    for (unsigned i = 0; i < 12 && status == TA_OK; i++) {
        int64_t start = ta_clock_now_ns();
        status = b->ops->predict(net, w, x, NULL, NULL, NULL);
        double seconds = since(start);
        if (i > 0 && (best == 0 || seconds < best)) best = seconds;
    }
    if (status == TA_OK) b->peak = 2.0 * PEAK_SIZE * PEAK_SIZE * PEAK_SIZE / best;
    if (net != NULL) b->ops->net_destroy(net);
    if (w != NULL) b->ops->free(b->kernels, w);
    ta_mem_free(x);
    return status;
}

/* ---- printing ---- */

/* Multiplications and additions of a forward pass over one record. */
static double forward_flop(const struct ta_layer *l) {
    if (l->kind == TA_LAYER_DENSE) return 2.0 * l->in.c * l->out.c;
    if (l->kind != TA_LAYER_CONV2D) return 0;
    return 2.0 * (double)ta_shape_count(l->out) * l->kernel_h * l->kernel_w * l->in.c;
}

/* Both gradients cost as much as forward; the first layer needs only one. */
static double backward_flop(const struct ta_layer *l) {
    return forward_flop(l) * (l->input[0] == TA_FROM_INPUT ? 1 : 2);
}

static void print_layers(const struct bench *b, double calls) {
    printf("%-32s %12s %9s %9s %9s %9s\n", "layer", "output", "fwd us", "GFLOP/s", "bwd us", "GFLOP/s");
    double forward = 0, backward = 0;
    char names[128] = "";
    for (uint32_t i = 0; i < b->model.n_layers; i++) {
        const struct ta_layer *l = &b->model.layers[i];
        struct ta_layer_times t = b->ops->net_times(b->net, i);
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? "+" : "", l->name);
        forward += forward_flop(l) * b->o.batch;
        backward += backward_flop(l) * b->o.batch;
        bool last = i + 1 == b->model.n_layers;
        if (t.forward_s + t.backward_s == 0 && !last) continue; /* its work is done with the next layer's */
        char shape[32], rate[2][16] = {"", ""};
        snprintf(shape, sizeof shape, "%ux%ux%u", l->out.h, l->out.w, l->out.c);
        if (forward > 0 && t.forward_s > 0) snprintf(rate[0], 16, "%.1f", forward * calls / t.forward_s * 1e-9);
        if (backward > 0 && t.backward_s > 0) snprintf(rate[1], 16, "%.1f", backward * calls / t.backward_s * 1e-9);
        printf("%-32s %12s %9.1f %9s %9.1f %9s\n", names, shape, t.forward_s / calls * 1e6, rate[0],
               t.backward_s / calls * 1e6, rate[1]);
        names[0] = '\0';
        forward = backward = 0;
    }
    printf("%-32s %12s %9s %9s %9.1f\n", "update and weights", "", "", "", b->update_s / b->steps * 1e6);
}

static void print_report(const struct bench *b) {
    double flop = 0;
    for (uint32_t i = 0; i < b->model.n_layers; i++)
        flop += forward_flop(&b->model.layers[i]) + backward_flop(&b->model.layers[i]);
    char device[256];
    ta_device_describe(&b->device, &b->run.device, device, sizeof device);
    printf("%s, batch %u, %s, %s, %u thread%s: %zu parameters, %.1f MiB for the net\n\n", b->o.model,
           b->o.batch, b->o.optimizer, device, b->o.threads, b->o.threads == 1 ? "" : "s", b->model.n_weights,
           (double)b->ops->net_bytes(b->net) / (1 << 20));
    print_layers(b, b->steps + 3.0);
    double rate = b->o.batch / b->median_s;
    printf("\nstep: %.3f ms median of %u (least %.3f); %.0f records/s; %.1f GFLOP/s = %.0f %% of sgemm's %.1f\n",
           b->median_s * 1e3, b->steps, b->step_s[0] * 1e3, rate, rate * flop * 1e-9, 100 * rate * flop / b->peak,
           b->peak * 1e-9);
}

ta_status ta_bench_kernels(int argc, char **argv) {
    struct bench b = {0};
    bool helped = false;
    ta_status status = parse(argc, argv, &b.o, &helped);
    if (status != TA_OK || helped) return status;
    status = open_bench(&b);
    if (status == TA_OK && !b.o.raw) status = measure_peak(&b);
    if (status == TA_OK) status = measure(&b);
    if (status == TA_OK && b.o.raw) printf("%.9f\n", b.median_s);
    if (status == TA_OK && !b.o.raw) print_report(&b);
    close_bench(&b);
    return status;
}
