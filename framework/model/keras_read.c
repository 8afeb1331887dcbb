/* keras_read: weights out of a Keras HDF5 file, ours or Keras' own. First the list of what the file has, then its
 * pairing with the model's layers, then the numbers, each tensor checked against the model before it is read. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "keras.h"
#include "keras_words.h"
#include "mem.h"

enum { PATH_BYTES = 2048 };

/* A layer of the file that has weights. */
struct stored {
    char *name;
    char **weights; /* Keras' names: "dense/kernel:0" */
    size_t n_weights;
};

struct reader {
    struct ta_h5 *file;
    const char *path;
    const char *root; /* "/model_weights" or "" (files of save_weights) */
    const struct ta_model *model;
    struct stored *stored;
    size_t n_stored;
    uint32_t n_wanted; /* layers of the model that have weights */
};

static const char *const word_layers[2] = {"in", "out"};

static uint32_t count_wanted(const struct ta_model *model) {
    struct ta_tensor tensors[4];
    uint32_t n = model->words.rows > 0 ? 2 : 0;
    for (uint32_t i = 0; i < model->n_layers; i++) n += ta_layer_tensors(&model->layers[i], tensors) > 0;
    return n;
}

/* --- what the file has --- */

static ta_status open_root(struct reader *r) {
    if (ta_h5_attr_exists(r->file, "/model_weights", "layer_names") ||
        ta_h5_attr_exists(r->file, "/model_weights", "layer_names0")) {
        r->root = "/model_weights";
        return TA_OK;
    }
    r->root = "";
    if (ta_h5_attr_exists(r->file, "/", "layer_names") || ta_h5_attr_exists(r->file, "/", "layer_names0")) return TA_OK;
    if (ta_h5_exists(r->file, "/layers") || ta_h5_exists(r->file, "/_layer_checkpoint_dependencies"))
        return ta_fail(TA_FORMAT, "%s: a .weights.h5 file of Keras 3; save with model.save('model.h5') instead",
                       r->path);
    return ta_fail(TA_FORMAT, "%s: not a Keras file: neither / nor /model_weights has an attribute 'layer_names'",
                   r->path);
}

static ta_status list_layer(struct reader *r, const char *name) {
    char object[PATH_BYTES];
    if (name[0] == '\0' || (size_t)snprintf(object, sizeof object, "%s/%s", r->root, name) >= sizeof object)
        return ta_fail(TA_FORMAT, "%s: a layer's name in 'layer_names' is empty or too long", r->path);
    struct stored *s = &r->stored[r->n_stored];
    ta_status status = ta_h5_attr_get_texts(r->file, object, "weight_names", &s->weights, &s->n_weights);
    if (status != TA_OK) return status;
    if (s->n_weights > 0) {
        r->n_stored++; /* from here on free_list looks after it */
        return ta_mem_strdup(name, "the name of a layer", &s->name);
    }
    ta_h5_texts_free(s->weights, s->n_weights);
    s->weights = NULL;
    return TA_OK;
}

static ta_status list_layers(struct reader *r) {
    char **names;
    size_t count;
    ta_status status = ta_h5_attr_get_texts(r->file, r->root[0] != '\0' ? r->root : "/", "layer_names", &names, &count);
    if (status != TA_OK) return status;
    status = TA_NEW(&r->stored, count, "the list of a file's layers");
    for (size_t i = 0; i < count && status == TA_OK; i++) status = list_layer(r, names[i]);
    ta_h5_texts_free(names, count);
    return status;
}

static void free_list(struct reader *r) {
    for (size_t i = 0; i < r->n_stored; i++) {
        ta_mem_free(r->stored[i].name);
        ta_h5_texts_free(r->stored[i].weights, r->stored[i].n_weights);
    }
    ta_mem_free(r->stored);
}

/* --- pairing --- */

static const struct stored *find(const struct reader *r, const char *name) {
    for (size_t i = 0; i < r->n_stored; i++)
        if (strcmp(r->stored[i].name, name) == 0) return &r->stored[i];
    return NULL;
}

static bool all_by_name(const struct reader *r, const char **missing) {
    struct ta_tensor tensors[4];
    *missing = NULL;
    for (uint32_t i = 0; i < r->model->n_layers && *missing == NULL; i++)
        if (ta_layer_tensors(&r->model->layers[i], tensors) > 0 && find(r, r->model->layers[i].name) == NULL)
            *missing = r->model->layers[i].name;
    for (unsigned i = 0; r->model->words.rows > 0 && i < 2 && *missing == NULL; i++)
        if (find(r, word_layers[i]) == NULL) *missing = word_layers[i];
    return *missing == NULL;
}

/* --- numbers --- */

static void say_dims(char *text, size_t bytes, unsigned rank, const uint64_t *dims) {
    size_t at = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < rank && at < bytes; i++)
        at += (size_t)snprintf(text + at, bytes - at, "%s%llu", i == 0 ? "" : " x ", (unsigned long long)dims[i]);
}

ta_status ta_keras_check_dims(const char *path, const char *object, const struct ta_h5_shape *found, unsigned rank,
                              const uint64_t *dims) {
    bool same = found->rank == rank;
    for (unsigned i = 0; i < rank && same; i++) same = found->dims[i] == dims[i];
    if (same) return TA_OK;
    char has[160], wanted[160];
    say_dims(has, sizeof has, found->rank, found->dims);
    say_dims(wanted, sizeof wanted, rank, dims);
    return ta_fail(TA_FORMAT, "%s: %s has shape %s, the model needs %s; use the configuration it was trained with",
                   path, object, has, wanted);
}

static ta_status read_tensor(const struct reader *r, const char *object, const struct ta_tensor *t, float *w) {
    struct ta_h5_set *set;
    ta_status status = ta_h5_set_open(r->file, object, &set);
    if (status != TA_OK) return status;
    status = ta_keras_check_dims(r->path, object, ta_h5_set_shape(set), t->rank, t->dims);
    if (status == TA_OK) status = ta_h5_set_read(set, TA_H5_F32, 0, t->dims[0], w + t->param.offset);
    ta_h5_set_close(set);
    for (size_t i = 0; i < t->param.count && status == TA_OK; i++)
        if (!isfinite(w[t->param.offset + i]))
            status = ta_fail(TA_FORMAT,
                             "%s: %s, element %zu is not a finite number; the file is damaged, or its run diverged",
                             r->path, object, i);
    return status;
}

static ta_status name_of_tensor(const struct reader *r, const struct stored *s, size_t i, char object[PATH_BYTES]) {
    int bytes = snprintf(object, PATH_BYTES, "%s/%s/%s", r->root, s->name, s->weights[i]);
    if (bytes >= 0 && bytes < PATH_BYTES) return TA_OK;
    return ta_fail(TA_FORMAT, "%s: the name of a tensor of layer '%s' is too long", r->path, s->name);
}

static ta_status check_count(const struct reader *r, const struct stored *s, const char *layer, unsigned n) {
    if (s->n_weights == n) return TA_OK;
    return ta_fail(TA_FORMAT, "%s: layer '%s' has %zu tensors, the model's '%s' needs %u", r->path, s->name,
                   s->n_weights, layer, n);
}

static ta_status read_layer(const struct reader *r, const struct ta_layer *l, const struct stored *s, float *w) {
    struct ta_tensor tensors[4];
    char object[PATH_BYTES];
    unsigned n = ta_layer_tensors(l, tensors);
    ta_status status = check_count(r, s, l->name, n);
    for (unsigned i = 0; i < n && status == TA_OK; i++) {
        status = name_of_tensor(r, s, i, object);
        if (status == TA_OK) status = read_tensor(r, object, &tensors[i], w);
    }
    return status;
}

static ta_status read_words(const struct reader *r, bool by_name, float *w) {
    const struct ta_word_model *words = &r->model->words;
    const unsigned segments[2] = {words->in, words->out};
    char object[PATH_BYTES];
    ta_status status = TA_OK;
    for (unsigned i = 0; i < 2 && status == TA_OK; i++) {
        const struct stored *s = by_name ? find(r, word_layers[i]) : &r->stored[i];
        status = check_count(r, s, word_layers[i], 1);
        if (status == TA_OK) status = name_of_tensor(r, s, 0, object);
        if (status == TA_OK)
            status = ta_keras_table_read(r->file, r->path, object, &r->model->segments[segments[i]].table, w);
    }
    return status == TA_OK ? ta_keras_vocabulary_read(r->file, r->path, r->model, w) : status;
}

static ta_status read_layers(const struct reader *r, float *w) {
    const char *missing;
    bool by_name = all_by_name(r, &missing);
    if (!by_name && r->n_stored != r->n_wanted)
        return ta_fail(TA_FORMAT,
                       "%s: has no layer '%s', and its %zu layers with weights cannot be the model's %u in order; use "
                       "the configuration it was trained with",
                       r->path, missing, r->n_stored, r->n_wanted);
    memset(w, 0, r->model->n_params * sizeof *w);
    if (r->model->words.rows > 0) return read_words(r, by_name, w);
    size_t next = 0;
    for (uint32_t i = 0; i < r->model->n_layers; i++) {
        const struct ta_layer *l = &r->model->layers[i];
        struct ta_tensor tensors[4];
        if (ta_layer_tensors(l, tensors) == 0) continue;
        ta_status status = read_layer(r, l, by_name ? find(r, l->name) : &r->stored[next++], w);
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

/* --- the note --- */

static uint64_t note_count(struct ta_h5 *file, const char *name) {
    int64_t value = -1;
    bool good = ta_h5_attr_exists(file, "/", name) && ta_h5_attr_get_i64(file, "/", name, &value) == TA_OK;
    return good && value >= 0 ? (uint64_t)value : 0;
}

static float note_number(struct ta_h5 *file, const char *name, float otherwise) {
    double value;
    bool good = ta_h5_attr_exists(file, "/", name) && ta_h5_attr_get_f64(file, "/", name, &value) == TA_OK &&
                isfinite((float)value);
    return good ? (float)value : otherwise;
}

/* What is not there, as in a file of Keras' own, or makes no sense, is as if nothing had been noted. */
static void read_note(struct ta_h5 *file, struct ta_keras_note *note) {
    *note = (struct ta_keras_note){.steps = note_count(file, "tensair_steps"),
                                   .records = note_count(file, "tensair_records"),
                                   .input_scale = note_number(file, "tensair_input_scale", 1),
                                   .input_offset = note_number(file, "tensair_input_offset", 0)};
}

ta_status ta_keras_read(const char *path, const struct ta_model *model, float *w, struct ta_keras_note *note) {
    struct reader r = {.path = path, .root = "", .model = model, .n_wanted = count_wanted(model)};
    ta_status status = ta_h5_open(path, TA_H5_READ, &r.file);
    if (status != TA_OK) return status;
    status = open_root(&r);
    if (status == TA_OK) status = list_layers(&r);
    if (status == TA_OK) status = read_layers(&r, w);
    if (status == TA_OK && note != NULL) read_note(r.file, note);
    free_list(&r);
    ta_status closed = ta_h5_close(r.file);
    return status != TA_OK ? status : closed;
}
