/* keras: writing model.h5, one pass over the layers. Reading is in keras_read.c, the JSON in keras_config.c. */
#include "keras.h"

#include <stdio.h>
#include <string.h>

#include "keras_config.h"
#include "keras_words.h"
#include "mem.h"

enum { PATH_BYTES = 2048 };

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        ta_status try_status = (call);                                                                                 \
        if (try_status != TA_OK) return try_status;                                                                    \
    } while (0)

/* --- writing --- */

static const char *describe(const char *tensor) {
    static const struct {
        const char *name, *text;
    } all[] = {
        {"kernel", "weights: dense [in][out], conv2d [height][width][in][out]"},
        {"bias", "added to each output or channel"},
        {"gamma", "batch normalisation: scale of each channel"},
        {"beta", "batch normalisation: offset of each channel"},
        {"moving_mean", "batch normalisation: moving mean of each channel, in units of the layer's input"},
        {"moving_variance", "batch normalisation: moving variance of each channel, squared units of the layer's input"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, tensor) == 0) return all[i].text;
    return "parameters";
}

static ta_status write_tensor(struct ta_h5 *file, const struct ta_layer *l, const struct ta_tensor *t, const float *w) {
    char name[PATH_BYTES];
    snprintf(name, sizeof name, "/model_weights/%s/%s/%s:0", l->name, l->name, t->name);
    struct ta_h5_shape shape = {.type = TA_H5_F32, .rank = t->rank};
    memcpy(shape.dims, t->dims, sizeof t->dims);
    TRY(ta_h5_write_all(file, name, &shape, w + t->param.offset));
    TRY(ta_h5_attr_set_text(file, name, "description", describe(t->name)));
    return ta_h5_attr_set_text(file, name, "units", "1");
}

static ta_status write_layer(struct ta_h5 *file, const struct ta_layer *l, const float *w) {
    char group[PATH_BYTES], names[4][TA_LAYER_NAME_BYTES + 24];
    snprintf(group, sizeof group, "/model_weights/%s", l->name);
    TRY(ta_h5_group_create(file, group));
    struct ta_tensor tensors[4];
    const char *pointers[4];
    unsigned n = ta_layer_tensors(l, tensors);
    for (unsigned i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "%s/%s:0", l->name, tensors[i].name);
        pointers[i] = names[i];
        TRY(write_tensor(file, l, &tensors[i], w));
    }
    return ta_h5_attr_set_texts(file, group, "weight_names", pointers, n);
}

static ta_status write_layers(struct ta_h5 *file, const struct ta_model *model, const float *w) {
    const char **names;
    TRY(TA_NEW(&names, model->n_layers, "the names of the layers"));
    ta_status status = ta_h5_group_create(file, "/model_weights");
    for (uint32_t i = 0; i < model->n_layers && status == TA_OK; i++) {
        names[i] = model->layers[i].name;
        status = write_layer(file, &model->layers[i], w);
    }
    if (status == TA_OK) status = ta_h5_attr_set_texts(file, "/model_weights", "layer_names", names, model->n_layers);
    ta_mem_free(names);
    return status;
}

static ta_status write_versions(struct ta_h5 *file, const char *object) {
    TRY(ta_h5_attr_set_text(file, object, "backend", "tensorflow"));
    return ta_h5_attr_set_text(file, object, "keras_version", "2.11.0");
}

static ta_status write_note(struct ta_h5 *file, const struct ta_model *model, const struct ta_keras_note *note) {
    static const struct ta_keras_note none = {.input_scale = 1};
    if (note == NULL) note = &none;
    char fingerprint[24];
    snprintf(fingerprint, sizeof fingerprint, "%016llx", (unsigned long long)model->fingerprint);
    TRY(ta_h5_attr_set_text(file, "/", "description",
                            "A neural network in the layout of Keras 2. tensair_run: what made it; tensair_steps: "
                            "updates of all replicas in these weights; tensair_records: records they were trained on; "
                            "input of the network = stored number * tensair_input_scale + tensair_input_offset; "
                            "tensair_fingerprint: of layers and shapes."));
    TRY(ta_h5_attr_set_text(file, "/", "units", "tensair_steps: updates; tensair_records: records; weights: 1"));
    TRY(ta_h5_attr_set_text(file, "/", "tensair_run", note->run != NULL ? note->run : ""));
    TRY(ta_h5_attr_set_i64(file, "/", "tensair_steps", (int64_t)note->steps));
    TRY(ta_h5_attr_set_i64(file, "/", "tensair_records", (int64_t)note->records));
    TRY(ta_h5_attr_set_f64(file, "/", "tensair_input_scale", (double)note->input_scale));
    TRY(ta_h5_attr_set_f64(file, "/", "tensair_input_offset", (double)note->input_offset));
    return ta_h5_attr_set_text(file, "/", "tensair_fingerprint", fingerprint);
}

static ta_status write_all(struct ta_h5 *file, const struct ta_model *model, const float *w,
                           const struct ta_keras_note *note) {
    char *json;
    bool words = model->words.rows > 0;
    TRY(words ? ta_keras_words_config(model, &json) : ta_keras_config(model, &json));
    ta_status status = ta_h5_attr_set_text(file, "/", "model_config", json);
    ta_mem_free(json);
    if (status == TA_OK) status = write_versions(file, "/");
    if (status == TA_OK && words) status = ta_keras_words_write(file, model, w, note != NULL ? note->names : NULL);
    else if (status == TA_OK) status = write_layers(file, model, w);
    if (status == TA_OK) status = write_versions(file, "/model_weights");
    /* Weights of the model itself, outside any layer: none, but Keras 2.9 and later write the group. */
    if (status == TA_OK) status = ta_h5_group_create(file, "/model_weights/top_level_model_weights");
    if (status == TA_OK)
        status = ta_h5_attr_set_texts(file, "/model_weights/top_level_model_weights", "weight_names", NULL, 0);
    return status == TA_OK ? write_note(file, model, note) : status;
}

ta_status ta_keras_write(const char *path, const struct ta_model *model, const float *w,
                         const struct ta_keras_note *note) {
    struct ta_h5 *file;
    TRY(ta_h5_open(path, TA_H5_CREATE, &file));
    ta_status status = write_all(file, model, w, note);
    if (status == TA_OK) return ta_h5_close(file);
    char why[1024]; /* closing may fail too; the first failure is the one to tell */
    snprintf(why, sizeof why, "%s", ta_why());
    (void)ta_h5_close(file);
    return ta_fail(status, "%s", why);
}
