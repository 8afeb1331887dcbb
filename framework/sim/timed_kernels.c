/* timed_kernels: each op hands on to the make that computes, then says what it costs. */
#include "timed_kernels.h"

#include <stdint.h>
#include <string.h>

#include "clock.h"
#include "mem.h"

/* A net as the make knows it; several replicas may use one. */
struct shared_net {
    struct shared_net *next;
    struct ta_net *net;
    struct ta_layer *layers; /* our copy: who asked for it first may be gone before the last one */
    struct ta_net_spec spec;
    unsigned users;
    bool own; /* of one replica alone */
};

struct ta_kernels {
    struct ta_timed_config config;
    struct shared_net *nets;
    int64_t real_ns;
};

struct ta_net {
    struct ta_kernels *k;
    struct shared_net *shared;
};

ta_status ta_timed_open(const struct ta_timed_config *config, struct ta_kernels **out) {
    ta_status status = TA_NEW(out, 1, "timed kernels");
    if (status == TA_OK) (*out)->config = *config;
    return status;
}

double ta_timed_real_s(const struct ta_kernels *k) { return (double)k->real_ns / TA_NS_PER_S; }

static ta_status timed_open(const struct ta_kernels_config *config, struct ta_kernels **out) {
    (void)config;
    *out = NULL;
    return ta_fail(TA_INVALID, "timed kernels are opened by ta_timed_open");
}

static void timed_close(struct ta_kernels *k) { ta_mem_free(k); }

/* Says that the call, begun at `real_ns` of this machine, has moved so many bytes. */
static ta_status told(struct ta_kernels *k, enum ta_timed_call call, int64_t real_ns, double bytes, ta_status status) {
    k->real_ns += ta_clock_now_ns() - real_ns;
    double seconds = call == TA_TIMED_TRAIN     ? k->config.step_s
                     : call == TA_TIMED_PREDICT ? k->config.predict_s
                                                : bytes / k->config.bytes_per_s;
    k->config.spend(k->config.owner, call, seconds);
    return status;
}

/* ---- memory ---- */

static ta_status timed_alloc(struct ta_kernels *k, size_t bytes, const char *what, void **out) {
    return k->config.ops->alloc(k->config.kernels, bytes, what, out);
}

static void timed_free(struct ta_kernels *k, void *block) { k->config.ops->free(k->config.kernels, block); }

static ta_status timed_copy_in(struct ta_kernels *k, void *device, const void *host, size_t bytes) {
    return k->config.ops->copy_in(k->config.kernels, device, host, bytes);
}

static ta_status timed_copy_out(struct ta_kernels *k, void *host, const void *device, size_t bytes) {
    return k->config.ops->copy_out(k->config.kernels, host, device, bytes);
}

/* ---- nets ---- */

static bool drops_out(const struct ta_net_spec *spec) {
    for (uint32_t i = 0; i < spec->n_layers; i++)
        if (spec->layers[i].kind == TA_LAYER_DROPOUT) return true;
    return false;
}

static void free_shared(struct ta_kernels *k, struct shared_net *s) {
    for (struct shared_net **at = &k->nets; *at != NULL; at = &(*at)->next) {
        if (*at != s) continue;
        *at = s->next;
        break;
    }
    if (s->net != NULL) k->config.ops->net_destroy(s->net);
    ta_mem_free(s->layers);
    ta_mem_free(s);
}

static ta_status make_shared(struct ta_kernels *k, const struct ta_net_spec *spec, struct shared_net **out) {
    struct shared_net *s;
    ta_status status = TA_NEW(&s, 1, "a net");
    if (status != TA_OK) return status;
    s->spec = *spec;
    s->own = drops_out(spec);
    status = TA_NEW(&s->layers, spec->n_layers, "layers of a net");
    if (status == TA_OK) {
        memcpy(s->layers, spec->layers, spec->n_layers * sizeof *s->layers);
        s->spec.layers = s->layers;
        status = k->config.ops->net_create(k->config.kernels, &s->spec, &s->net);
    }
    if (status != TA_OK) {
        free_shared(k, s);
        return status;
    }
    s->next = k->nets;
    k->nets = s;
    *out = s;
    return TA_OK;
}

static bool fits(const struct shared_net *s, const struct ta_net_spec *spec) {
    const struct ta_net_spec *have = &s->spec;
    return !s->own && have->batch == spec->batch && have->n_layers == spec->n_layers &&
           have->n_params == spec->n_params && have->loss == spec->loss && have->predict_only == spec->predict_only &&
           have->timed == spec->timed && memcmp(&have->input, &spec->input, sizeof have->input) == 0 &&
           memcmp(have->layers, spec->layers, spec->n_layers * sizeof *spec->layers) == 0;
}

static ta_status timed_net_create(struct ta_kernels *k, const struct ta_net_spec *spec, struct ta_net **out) {
    struct ta_net *net;
    *out = NULL;
    ta_status status = TA_NEW(&net, 1, "a net");
    if (status != TA_OK) return status;
    net->k = k;
    for (net->shared = k->nets; net->shared != NULL && !fits(net->shared, spec);) net->shared = net->shared->next;
    if (net->shared == NULL) status = make_shared(k, spec, &net->shared);
    if (status != TA_OK) {
        ta_mem_free(net);
        return status;
    }
    net->shared->users++;
    *out = net;
    return TA_OK;
}

static void timed_net_destroy(struct ta_net *net) {
    if (net == NULL) return;
    if (--net->shared->users == 0) free_shared(net->k, net->shared);
    ta_mem_free(net);
}

static size_t timed_net_bytes(const struct ta_net *net) { return net->k->config.ops->net_bytes(net->shared->net); }

static struct ta_layer_times timed_net_times(const struct ta_net *net, uint32_t layer) {
    return net->k->config.ops->net_times(net->shared->net, layer);
}

static ta_status timed_train(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                             uint64_t step, float *grad, float *predictions, float *losses) {
    int64_t real_ns = ta_clock_now_ns();
    ta_status status =
        net->k->config.ops->train(net->shared->net, w, x, labels, step, grad, predictions, losses);
    return told(net->k, TA_TIMED_TRAIN, real_ns, 0, status);
}

static ta_status timed_predict(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                               float *predictions, float *losses) {
    int64_t real_ns = ta_clock_now_ns();
    ta_status status = net->k->config.ops->predict(net->shared->net, w, x, labels, predictions, losses);
    return told(net->k, TA_TIMED_PREDICT, real_ns, 0, status);
}

/* ---- arenas: `arrays` of n floats are read or written ---- */

static double traffic(size_t n, unsigned arrays) { return (double)n * sizeof(float) * arrays; }

static ta_status timed_grad_norm2(struct ta_kernels *k, size_t n, const float *grad, double *norm2) {
    int64_t real_ns = ta_clock_now_ns();
    ta_status status = k->config.ops->grad_norm2(k->config.kernels, n, grad, norm2);
    return told(k, TA_TIMED_UPDATE, real_ns, traffic(n, 1), status);
}

static ta_status timed_update(struct ta_kernels *k, const struct ta_update *how, size_t n, const float *grad,
                              const float *w, float *m, float *v, float *delta) {
    int64_t real_ns = ta_clock_now_ns();
    ta_status status = k->config.ops->update(k->config.kernels, how, n, grad, w, m, v, delta);
    unsigned arrays = 1 + (how->weight_decay > 0) + 2 * ((m != NULL) + (v != NULL)) + 2;
    return told(k, TA_TIMED_UPDATE, real_ns, traffic(n, arrays), status);
}

static ta_status timed_moving(struct ta_kernels *k, size_t n, float momentum, const float *statistic, float *value) {
    int64_t real_ns = ta_clock_now_ns();
    ta_status status = k->config.ops->moving(k->config.kernels, n, momentum, statistic, value);
    return told(k, TA_TIMED_UPDATE, real_ns, traffic(n, 3), status);
}

static ta_status timed_compensate(struct ta_kernels *k, size_t n, float rate, const float *w, const float *basis,
                                  float *grad) {
    int64_t real_ns = ta_clock_now_ns();
    ta_status status = k->config.ops->compensate(k->config.kernels, n, rate, w, basis, grad);
    return told(k, TA_TIMED_UPDATE, real_ns, traffic(n, 4), status);
}

static ta_status timed_sum(struct ta_kernels *k, size_t n, float *w, const float *base, const float *const *registers,
                           unsigned n_registers) {
    int64_t real_ns = ta_clock_now_ns();
    ta_status status = k->config.ops->sum(k->config.kernels, n, w, base, registers, n_registers);
    return told(k, TA_TIMED_APPLY, real_ns, traffic(n, n_registers + 2), status);
}

static ta_status timed_mean(struct ta_kernels *k, size_t n, float *w, const float *const *registers,
                            unsigned n_registers) {
    int64_t real_ns = ta_clock_now_ns();
    ta_status status = k->config.ops->mean(k->config.kernels, n, w, registers, n_registers);
    return told(k, TA_TIMED_APPLY, real_ns, traffic(n, n_registers + 1), status);
}

/* ---- tables ---- */

static ta_status no_tables(void) {
    return ta_fail(TA_CONFIG, "tensair sim simulates models made of layers: this one has tables of rows");
}

static ta_status timed_rows_sum(struct ta_kernels *k, const struct ta_table *table, uint64_t seed, const uint32_t *rows,
                                size_t n_rows, float *w, const float *base, const float *const *registers,
                                unsigned n_registers) {
    (void)k, (void)table, (void)seed, (void)rows, (void)n_rows, (void)w, (void)base, (void)registers, (void)n_registers;
    return no_tables();
}

static ta_status timed_rows_pick(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows,
                                 size_t n_rows, float *w, const float *base, const float *const *registers,
                                 unsigned n_registers) {
    (void)k, (void)table, (void)rows, (void)n_rows, (void)w, (void)base, (void)registers, (void)n_registers;
    return no_tables();
}

static ta_status timed_rows_fold(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows,
                                 size_t n_rows, const float *w, float *folded, float *delta) {
    (void)k, (void)table, (void)rows, (void)n_rows, (void)w, (void)folded, (void)delta;
    return no_tables();
}

const struct ta_kernels_ops ta_timed_kernels = {
    .name = "cpu", /* of the make that computes: its memory is the host's */
    .package = "",
    .open = timed_open,
    .close = timed_close,
    .alloc = timed_alloc,
    .free = timed_free,
    .copy_in = timed_copy_in,
    .copy_out = timed_copy_out,
    .net_create = timed_net_create,
    .net_destroy = timed_net_destroy,
    .net_bytes = timed_net_bytes,
    .net_times = timed_net_times,
    .train = timed_train,
    .predict = timed_predict,
    .grad_norm2 = timed_grad_norm2,
    .update = timed_update,
    .moving = timed_moving,
    .compensate = timed_compensate,
    .sum = timed_sum,
    .mean = timed_mean,
    .rows_sum = timed_rows_sum,
    .rows_pick = timed_rows_pick,
    .rows_fold = timed_rows_fold,
};
