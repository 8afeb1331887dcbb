/* ckpt_weights: the tensors of a Keras file, as the file names them: no configuration is needed to look at one. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ckpt_verbs.h"
#include "mem.h"

void ta_ckpt_say_shape(const struct ta_h5_shape *shape, char *text, size_t bytes) {
    size_t at = 0;
    snprintf(text, bytes, "%s", shape->rank == 0 ? "scalar" : "");
    for (unsigned i = 0; i < shape->rank && at < bytes; i++)
        at +=
            (size_t)snprintf(text + at, bytes - at, "%s%llu", i == 0 ? "" : " x ", (unsigned long long)shape->dims[i]);
}

void ta_ckpt_weights_free(struct ta_ckpt_weights *w) {
    for (size_t i = 0; i < w->n; i++) ta_mem_free(w->tensors[i].data);
    ta_mem_free(w->tensors);
    *w = (struct ta_ckpt_weights){0};
}

/* "conv2d/kernel:0" -> "kernel" */
static void short_name(const char *weight, char name[256]) {
    const char *slash = strrchr(weight, '/');
    snprintf(name, 256, "%s", slash != NULL ? slash + 1 : weight);
    char *colon = strrchr(name, ':');
    if (colon != NULL) *colon = '\0';
}

/* A file cannot make us ask for much more memory than it takes on disk (weights are hardly compressible). */
static ta_status check_size(const char *path, struct ta_ckpt_tensor *t) {
    struct stat info;
    uint64_t most = stat(path, &info) == 0 ? 64 * (uint64_t)info.st_size : 0;
    t->count = 1;
    for (unsigned i = 0; i < t->shape.rank; i++)
        if (__builtin_mul_overflow(t->count, t->shape.dims[i], &t->count)) t->count = UINT64_MAX;
    if (t->count <= most) return TA_OK;
    return ta_fail(TA_FORMAT, "%s: %s claims %llu numbers, far more than the file holds; it is damaged", path,
                   t->object, (unsigned long long)t->count);
}

static ta_status read_tensor(struct ta_h5 *file, const char *path, struct ta_ckpt_tensor *t) {
    struct ta_h5_set *set;
    ta_status status = ta_h5_set_open(file, t->object, &set);
    if (status != TA_OK) return status;
    t->shape = *ta_h5_set_shape(set);
    status = check_size(path, t);
    if (status == TA_OK) status = TA_NEW(&t->data, t->count, "a tensor");
    uint64_t rows = t->shape.rank == 0 ? 1 : t->shape.dims[0];
    if (status == TA_OK && t->count > 0) status = ta_h5_set_read(set, TA_H5_F32, 0, rows, t->data);
    ta_h5_set_close(set);
    return status;
}

static ta_status add_tensor(struct ta_h5 *file, const char *path, const char *group, const char *weight,
                            struct ta_ckpt_weights *out) {
    if (out->n % 64 == 0) {
        struct ta_ckpt_tensor *more;
        ta_status status = TA_NEW(&more, out->n + 64, "the list of tensors");
        if (status != TA_OK) return status;
        if (out->n > 0) memcpy(more, out->tensors, out->n * sizeof *more);
        ta_mem_free(out->tensors);
        out->tensors = more;
    }
    struct ta_ckpt_tensor *t = &out->tensors[out->n];
    *t = (struct ta_ckpt_tensor){0};
    snprintf(t->layer, sizeof t->layer, "%s", strrchr(group, '/') + 1);
    short_name(weight, t->name);
    int bytes = snprintf(t->object, sizeof t->object, "%s/%s", group, weight);
    if ((size_t)bytes >= sizeof t->object) return ta_fail(TA_FORMAT, "%s: a name below %s is too long", path, group);
    ta_status status = read_tensor(file, path, t);
    if (status != TA_OK) {
        ta_mem_free(t->data);
        return status;
    }
    out->n++;
    out->parameters += t->count;
    return TA_OK;
}

static ta_status read_layer(struct ta_h5 *file, const char *path, const char *root, const char *layer,
                            struct ta_ckpt_weights *out) {
    char group[512], **weights;
    size_t n;
    int bytes = snprintf(group, sizeof group, "%s/%s", root, layer);
    if ((size_t)bytes >= sizeof group) return ta_fail(TA_FORMAT, "%s: the name of a layer is too long", path);
    ta_status status = ta_h5_attr_get_texts(file, group, "weight_names", &weights, &n);
    if (status != TA_OK) return status;
    for (size_t i = 0; i < n && status == TA_OK; i++) status = add_tensor(file, path, group, weights[i], out);
    ta_h5_texts_free(weights, n);
    return status;
}

ta_status ta_ckpt_read_weights(const char *path, struct ta_ckpt_weights *out) {
    struct ta_h5 *file;
    char **layers;
    *out = (struct ta_ckpt_weights){0};
    ta_status status = ta_h5_open(path, TA_H5_READ, &file);
    if (status != TA_OK) return status;
    bool whole = ta_h5_exists(file, "/model_weights");
    status = ta_h5_attr_get_texts(file, whole ? "/model_weights" : "/", "layer_names", &layers, &out->layers);
    for (size_t i = 0; status == TA_OK && i < out->layers; i++)
        status = read_layer(file, path, whole ? "/model_weights" : "", layers[i], out);
    if (status == TA_OK) ta_h5_texts_free(layers, out->layers);
    (void)ta_h5_close(file); /* nothing was written */
    if (status != TA_OK) ta_ckpt_weights_free(out);
    return status;
}
