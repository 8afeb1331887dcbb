/* reference: the naive make's table, its nets, its losses and its loops over parameters. */
#include "reference.h"

#include <math.h>
#include <string.h>

#include "check.h"
#include "mem.h"
#include "rng.h"

struct ta_kernels {
    int unused;
};

struct ta_net {
    struct ta_net_spec spec;
    double **value;      /* [n_layers + 1]: value[0] is the input, value[i + 1] the output of layer i */
    double **slope;      /* gradients of the loss by value[i]; slope[0] is never used */
    double **statistics; /* [n_layers]: mean and variance of a batch_norm */
    unsigned char **kept;
    double *grad; /* [n_params] */
    double loss;
};

double ta_reference_loss(const struct ta_net *net) { return net->loss; }

static ta_status reference_open(const struct ta_kernels_config *config, struct ta_kernels **out) {
    (void)config;
    return TA_NEW(out, 1, "the reference kernels");
}

static void reference_close(struct ta_kernels *k) { ta_mem_free(k); }

static ta_status reference_alloc(struct ta_kernels *k, size_t bytes, const char *what, void **out) {
    (void)k;
    return ta_mem_alloc(bytes, 1, what, out);
}

static void reference_free(struct ta_kernels *k, void *block) {
    (void)k;
    ta_mem_free(block);
}

static ta_status reference_copy(struct ta_kernels *k, void *to, const void *from, size_t bytes) {
    (void)k;
    memcpy(to, from, bytes);
    return TA_OK;
}

static void reference_net_destroy(struct ta_net *net) {
    if (net == NULL) return;
    for (uint32_t i = 0; i <= net->spec.n_layers; i++) {
        if (net->value != NULL) ta_mem_free(net->value[i]);
        if (net->slope != NULL) ta_mem_free(net->slope[i]);
        if (i == net->spec.n_layers) break;
        if (net->statistics != NULL) ta_mem_free(net->statistics[i]);
        if (net->kept != NULL) ta_mem_free(net->kept[i]);
    }
    ta_mem_free(net->value);
    ta_mem_free(net->slope);
    ta_mem_free(net->statistics);
    ta_mem_free(net->kept);
    ta_mem_free(net->grad);
    ta_mem_free(net);
}

static ta_status allocate(struct ta_net *net) {
    const struct ta_net_spec *s = &net->spec;
    ta_status status = TA_NEW(&net->value, s->n_layers + 1, "values");
    if (status == TA_OK) status = TA_NEW(&net->slope, s->n_layers + 1, "gradients");
    if (status == TA_OK) status = TA_NEW(&net->statistics, s->n_layers, "statistics");
    if (status == TA_OK) status = TA_NEW(&net->kept, s->n_layers, "masks");
    if (status == TA_OK) status = TA_NEW(&net->grad, s->n_params, "gradient");
    for (uint32_t i = 0; i <= s->n_layers && status == TA_OK; i++) {
        size_t n = s->batch * ta_shape_count(i == 0 ? s->input : s->layers[i - 1].out);
        status = TA_NEW(&net->value[i], n, "values");
        if (status == TA_OK) status = TA_NEW(&net->slope[i], n, "gradients");
        if (i == s->n_layers) break;
        if (status == TA_OK) status = TA_NEW(&net->statistics[i], 2 * (size_t)s->layers[i].in.c, "statistics");
        if (status == TA_OK) status = TA_NEW(&net->kept[i], s->batch * ta_shape_count(s->layers[i].out), "masks");
    }
    return status;
}

static ta_status reference_net_create(struct ta_kernels *k, const struct ta_net_spec *spec, struct ta_net **out) {
    (void)k;
    *out = NULL;
    struct ta_net *net;
    ta_status status = ta_net_check(spec);
    if (status == TA_OK) status = TA_NEW(&net, 1, "a reference net");
    if (status != TA_OK) return status;
    net->spec = *spec;
    status = allocate(net);
    if (status != TA_OK) {
        reference_net_destroy(net);
        return status;
    }
    *out = net;
    return TA_OK;
}

static struct ta_layer_times reference_net_times(const struct ta_net *net, uint32_t layer) {
    (void)net;
    (void)layer;
    return (struct ta_layer_times){0}; /* nobody should time this make */
}

static size_t reference_net_bytes(const struct ta_net *net) { return sizeof *net; }

/* The same masks as the other makes: see cpu/dropout.c. */
static void draw_mask(const struct ta_net *net, uint32_t i, uint64_t step) {
    const struct ta_layer *l = &net->spec.layers[i];
    uint64_t n = (uint64_t)net->spec.batch * ta_shape_count(l->out), blocks = (n + 3) / 4;
    for (uint64_t e = 0; e < n; e++) {
        uint32_t four[4];
        ta_rng_block(net->spec.seed, UINT64_C(0x64726f7000000000) + i, step * blocks + e / 4, four);
        net->kept[i][e] = four[e % 4] >= (uint32_t)((double)l->rate * 0x1p32);
    }
}

static struct ta_reference_layer layer_of(struct ta_net *net, uint32_t i, const float *w, bool training) {
    const struct ta_layer *l = &net->spec.layers[i];
    struct ta_reference_layer a = {.l = l, .batch = net->spec.batch, .w = w, .training = training, .grad = net->grad};
    for (unsigned k = 0; k < (l->kind == TA_LAYER_ADD ? 2U : 1U); k++) {
        a.in[k] = net->value[l->input[k] + 1];
        a.grad_in[k] = l->input[k] == TA_FROM_INPUT ? NULL : net->slope[l->input[k] + 1];
    }
    a.out = net->value[i + 1];
    a.grad_out = net->slope[i + 1];
    a.mean = net->statistics[i];
    a.variance = net->statistics[i] + l->in.c;
    a.kept = training ? net->kept[i] : NULL;
    return a;
}

/* Loss of one record by z, before softmax or sigmoid; predictions and the gradient by z, not yet scaled. */
static double loss_of(const struct ta_net_spec *s, const double *z, const struct ta_labels *labels, uint32_t r,
                      double *prediction, double *slope) {
    uint32_t n = (uint32_t)ta_shape_count(s->layers[s->n_layers - 1].out);
    double loss = 0, most = z[0], sum = 0;
    for (uint32_t j = 0; j < n; j++) most = z[j] > most ? z[j] : most;
    for (uint32_t j = 0; j < n; j++) sum += exp(z[j] - most);
    for (uint32_t j = 0; j < n; j++) {
        double y = 0, p = z[j];
        if (s->loss == TA_LOSS_CROSS_ENTROPY) {
            p = exp(z[j] - most) / sum;
            y = labels != NULL && labels->classes[r] == (int32_t)j;
            if (y == 1) loss = log(sum) + most - z[j];
            slope[j] = p - y;
        } else {
            if (labels != NULL) y = labels->targets[(size_t)r * n + j];
            if (s->loss == TA_LOSS_BINARY_CROSS_ENTROPY) {
                p = 1 / (1 + exp(-z[j]));
                loss += (fmax(z[j], 0) - z[j] * y + log1p(exp(-fabs(z[j])))) / n;
                slope[j] = (p - y) / n;
            } else {
                loss += (z[j] - y) * (z[j] - y) / n;
                slope[j] = 2 * (z[j] - y) / n;
            }
        }
        prediction[j] = p;
    }
    return loss;
}

static uint32_t logits_of(const struct ta_net_spec *s) {
    uint32_t last = s->n_layers;
    return ta_net_loss_takes_last(s) ? (uint32_t)(s->layers[last - 1].input[0] + 1) : last;
}

static ta_status run_losses(struct ta_net *net, const struct ta_labels *labels, float *predictions, float *losses) {
    const struct ta_net_spec *s = &net->spec;
    uint32_t n = (uint32_t)ta_shape_count(s->layers[s->n_layers - 1].out), z = logits_of(s);
    double *prediction, total = 0, given = labels != NULL ? ta_labels_given(s, labels) : 0;
    struct ta_labels used = {0};
    if (labels != NULL) used = *labels;
    if (s->loss == TA_LOSS_CROSS_ENTROPY) used.targets = NULL;
    ta_status status = TA_NEW(&prediction, n, "a prediction");
    if (status != TA_OK) return status;
    for (uint32_t r = 0; r < s->batch; r++) {
        size_t first = (size_t)r * n;
        double loss = loss_of(s, net->value[z] + first, labels, r, prediction, net->slope[z] + first);
        for (uint32_t j = 0; j < n && predictions != NULL; j++) predictions[first + j] = (float)prediction[j];
        bool counts = labels != NULL && ta_label_is_given(&used, n, r);
        if (losses != NULL) losses[r] = counts ? (float)loss : NAN;
        if (counts) total += loss / given;
        for (uint32_t j = 0; j < n; j++) net->slope[z][first + j] = counts ? net->slope[z][first + j] / given : 0;
    }
    net->loss = total;
    ta_mem_free(prediction);
    return TA_OK;
}

static void forward(struct ta_net *net, const float *w, const float *x, bool training, uint64_t step) {
    const struct ta_net_spec *s = &net->spec;
    for (size_t i = 0; i < s->batch * ta_shape_count(s->input); i++) net->value[0][i] = x[i];
    for (uint32_t i = 0; i < s->n_layers; i++) {
        memset(net->slope[i + 1], 0, s->batch * ta_shape_count(s->layers[i].out) * sizeof(double));
        if (training && s->layers[i].kind == TA_LAYER_DROPOUT) draw_mask(net, i, step);
        struct ta_reference_layer a = layer_of(net, i, w, training);
        ta_reference_forward(&a);
    }
}

static ta_status reference_train(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                                 uint64_t step, float *grad, float *predictions, float *losses) {
    const struct ta_net_spec *s = &net->spec;
    if (s->predict_only) return ta_fail(TA_INVALID, "a net that was created to predict cannot train");
    if (labels == NULL) return ta_fail(TA_INVALID, "training needs labels");
    ta_status status = ta_labels_check(s, labels);
    if (status != TA_OK) return status;
    memset(net->grad, 0, s->n_params * sizeof(double));
    forward(net, w, x, true, step);
    status = run_losses(net, labels, predictions, losses);
    if (status != TA_OK) return status;
    for (uint32_t i = logits_of(s); i-- > 0;) {
        struct ta_reference_layer a = layer_of(net, i, w, true);
        ta_reference_backward(&a);
    }
    for (size_t i = 0; i < s->n_params; i++) grad[i] = (float)net->grad[i];
    return TA_OK;
}

static ta_status reference_predict(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                                   float *predictions, float *losses) {
    if (labels == NULL && losses != NULL) return ta_fail(TA_INVALID, "losses need labels");
    ta_status status = labels == NULL ? TA_OK : ta_labels_check(&net->spec, labels);
    if (status != TA_OK) return status;
    forward(net, w, x, false, 0);
    return run_losses(net, labels, predictions, losses);
}

static ta_status reference_norm2(struct ta_kernels *k, size_t n, const float *grad, double *norm2) {
    (void)k;
    *norm2 = 0;
    for (size_t i = 0; i < n; i++) *norm2 += (double)grad[i] * grad[i];
    return TA_OK;
}

static double direction(const struct ta_update *how, double g, float *m, float *v, size_t i) {
    switch (how->kind) {
    case TA_MOMENTUM: m[i] = (float)(how->momentum * m[i] + g); return how->nesterov ? g + how->momentum * m[i] : m[i];
    case TA_ADAM: {
        double t = (double)how->step, b1 = how->beta1, b2 = how->beta2;
        m[i] = (float)(b1 * m[i] + (1 - b1) * g);
        v[i] = (float)(b2 * v[i] + (1 - b2) * g * g);
        return m[i] / (1 - pow(b1, t)) / (sqrt(v[i] / (1 - pow(b2, t))) + how->epsilon);
    }
    case TA_ADAGRAD: v[i] = (float)(v[i] + g * g); return g / (sqrt(v[i]) + how->epsilon);
    default: return g;
    }
}

static ta_status reference_update(struct ta_kernels *k, const struct ta_update *how, size_t n, const float *grad,
                                  const float *w, float *m, float *v, float *delta) {
    (void)k;
    for (size_t i = 0; i < n; i++) {
        double g = (double)grad[i] * how->grad_scale, clip = how->clip_value;
        if (clip > 0) g = g > clip ? clip : g < -clip ? -clip : g;
        if (!how->decoupled) g += (double)how->weight_decay * w[i];
        double u = -(double)how->rate * direction(how, g, m, v, i);
        if (how->decoupled) u -= (double)how->rate * how->weight_decay * w[i];
        delta[i] = (float)(delta[i] + how->scale * u);
    }
    return TA_OK;
}

static ta_status reference_moving(struct ta_kernels *k, size_t n, float momentum, const float *statistic,
                                  float *value) {
    (void)k;
    for (size_t i = 0; i < n; i++) value[i] = momentum * value[i] + (1 - momentum) * statistic[i];
    return TA_OK;
}

static ta_status reference_compensate(struct ta_kernels *k, size_t n, float rate, const float *w, const float *basis,
                                      float *grad) {
    (void)k;
    for (size_t i = 0; i < n; i++) {
        double g = grad[i];
        grad[i] = (float)(g + (double)rate * g * g * ((double)w[i] - (double)basis[i]));
    }
    return TA_OK;
}

/* In float, and in order: this is the definition, not an approximation of it. */
static ta_status reference_sum(struct ta_kernels *k, size_t n, float *w, const float *base,
                               const float *const *registers, unsigned n_registers) {
    (void)k;
    for (size_t i = 0; i < n; i++) {
        float sum = base[i];
        for (unsigned r = 0; r < n_registers; r++) sum += registers[r][i];
        w[i] = sum;
    }
    return TA_OK;
}

static ta_status reference_mean(struct ta_kernels *k, size_t n, float *w, const float *const *registers,
                                unsigned n_registers) {
    (void)k;
    if (n_registers == 0) return ta_fail(TA_INVALID, "the mean of no registers");
    for (size_t i = 0; i < n; i++) {
        float sum = registers[0][i];
        for (unsigned r = 1; r < n_registers; r++) sum += registers[r][i];
        w[i] = sum * (1.0F / (float)n_registers);
    }
    return TA_OK;
}

static ta_status reference_rows_sum(struct ta_kernels *k, const struct ta_table *table, uint64_t seed,
                                    const uint32_t *rows, size_t n_rows, float *w, const float *base,
                                    const float *const *registers, unsigned n_registers) {
    (void)k;
    for (size_t i = 0; i < (rows == NULL ? table->rows : n_rows); i++) {
        uint64_t at = table->offset + (uint64_t)(rows == NULL ? i : rows[i]) * table->stride;
        for (uint64_t place = at; place < at + table->width; place++) {
            float sum = base != NULL ? base[place] : table->range == 0 ? 0 : table->range * ta_rng_cell(seed, place);
            for (unsigned r = 0; r < n_registers; r++) sum += registers[r][place];
            w[place] = sum;
        }
    }
    return TA_OK;
}

static ta_status reference_rows_pick(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows,
                                     size_t n_rows, float *w, const float *base, const float *const *registers,
                                     unsigned n_registers) {
    (void)k;
    for (size_t i = 0; i < (rows == NULL ? table->rows : n_rows); i++) {
        uint32_t row = rows == NULL ? (uint32_t)i : rows[i], first = 0;
        size_t at = table->offset + (size_t)row * table->stride, bytes = table->width * sizeof *w;
        const float *from = n_registers > 0 ? registers[row % n_registers] + at : NULL;
        if (from != NULL && bytes > 0) memcpy(&first, from, sizeof first);
        if (first == 0) from = base != NULL ? base + at : NULL;
        if (from != NULL)
            memcpy(w + at, from, bytes);
        else
            memset(w + at, 0, bytes);
    }
    return TA_OK;
}

static ta_status reference_rows_fold(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows,
                                     size_t n_rows, const float *w, float *folded, float *delta) {
    (void)k;
    for (size_t i = 0; i < n_rows; i++) {
        size_t at = table->offset + (size_t)rows[i] * table->stride;
        for (size_t place = at; place < at + table->width; place++) {
            delta[place] += w[place] - folded[place];
            folded[place] = w[place];
        }
    }
    return TA_OK;
}

const struct ta_kernels_ops ta_kernels_reference = {
    .name = "reference",
    .package = "",
    .open = reference_open,
    .close = reference_close,
    .alloc = reference_alloc,
    .free = reference_free,
    .copy_in = reference_copy,
    .copy_out = reference_copy,
    .net_create = reference_net_create,
    .net_destroy = reference_net_destroy,
    .net_bytes = reference_net_bytes,
    .net_times = reference_net_times,
    .train = reference_train,
    .predict = reference_predict,
    .grad_norm2 = reference_norm2,
    .update = reference_update,
    .moving = reference_moving,
    .compensate = reference_compensate,
    .sum = reference_sum,
    .mean = reference_mean,
    .rows_sum = reference_rows_sum,
    .rows_pick = reference_rows_pick,
    .rows_fold = reference_rows_fold,
};
