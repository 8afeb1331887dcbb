/* keras_config: layers -> Keras' JSON, by jansson. Only what differs from Keras' defaults, or what a reader of the file
 * would look for, is written: Keras makes a layer by calling its constructor with these keys. */
#include "keras_config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

static const char input_name[] = "input_1";

/* float32 -> the shortest decimal that a person would have written for it (.99, not .9900000095). */
static json_t *number(float value) {
    char text[32];
    snprintf(text, sizeof text, "%.7g", (double)value);
    return json_real(strtod(text, NULL));
}

/* Keras tells a vector (c) from an image of one pixel (1, 1, c); our shapes do not. `images[i]` follows Keras' view of
 * what layer i gives. */
struct view {
    const struct ta_model *model;
    bool *images;
};

static bool source_is_image(const struct view *v, int32_t source) {
    if (source != TA_FROM_INPUT) return v->images[source];
    return v->model->input.h != 1 || v->model->input.w != 1;
}

static bool wants_image(const struct ta_layer *l) {
    return l->kind == TA_LAYER_CONV2D || l->kind == TA_LAYER_MAX_POOL || l->kind == TA_LAYER_AVG_POOL ||
           l->kind == TA_LAYER_GLOBAL_AVG_POOL;
}

static bool gives_image(const struct view *v, const struct ta_layer *l) {
    if (l->kind == TA_LAYER_CONV2D || l->kind == TA_LAYER_MAX_POOL || l->kind == TA_LAYER_AVG_POOL) return true;
    if (l->kind == TA_LAYER_DENSE || l->kind == TA_LAYER_FLATTEN || l->kind == TA_LAYER_GLOBAL_AVG_POOL) return false;
    return source_is_image(v, l->input[0]);
}

/* Whether what layer `l` reads has to be reshaped first, and into an image (or a vector). */
static bool needs_reshape(const struct view *v, const struct ta_layer *l, unsigned which, bool *into_image) {
    bool image = source_is_image(v, l->input[which]);
    *into_image = wants_image(l);
    if (l->kind == TA_LAYER_ADD) *into_image = source_is_image(v, l->input[0]);
    else if (l->kind != TA_LAYER_DENSE && !wants_image(l)) return false;
    return image != *into_image;
}

/* --- writing --- */

struct writer {
    struct view view;
    json_t *layers;
    bool chain;
    bool failed; /* jansson ran out of memory somewhere */
};

/* Both take `value` over; NULL is a value that could not be made. */
static void put(struct writer *w, json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value) != 0) w->failed = true;
}

static void add(struct writer *w, json_t *array, json_t *value) {
    if (json_array_append_new(array, value) != 0) w->failed = true;
}

static json_t *shape_json(struct writer *w, struct ta_shape s, bool image, bool with_batch) {
    json_t *list = json_array();
    if (with_batch) add(w, list, json_null());
    if (image) {
        add(w, list, json_integer(s.h));
        add(w, list, json_integer(s.w));
    }
    add(w, list, json_integer(s.c));
    return list;
}

/* --- one layer's own keys --- */

static const char *const init_names[] = {"glorot_uniform", "he_normal", "he_uniform", "zeros"};

static void put_window(struct writer *w, json_t *config, const struct ta_layer *l, const char *size_key) {
    bool padded = l->pad_top + l->pad_bottom + l->pad_left + l->pad_right > 0;
    put(w, config, size_key, json_pack("[i,i]", (int)l->kernel_h, (int)l->kernel_w));
    put(w, config, "strides", json_pack("[i,i]", (int)l->stride_h, (int)l->stride_w));
    put(w, config, "padding", json_string(padded ? "same" : "valid"));
    put(w, config, "data_format", json_string("channels_last"));
}

static void put_kernel(struct writer *w, json_t *config, const struct ta_layer *l, enum ta_init init) {
    put(w, config, "activation", json_string("linear"));
    put(w, config, "use_bias", json_boolean(l->bias.count > 0));
    put(w, config, "kernel_initializer", json_string(init_names[init]));
    put(w, config, "bias_initializer", json_string("zeros"));
}

/* Fills `config` and returns the class that Keras knows the layer by. */
static const char *put_keys(struct writer *w, json_t *config, const struct ta_layer *l, enum ta_init init) {
    switch (l->kind) {
    case TA_LAYER_DENSE:
        put(w, config, "units", json_integer(l->out.c));
        put_kernel(w, config, l, init);
        return "Dense";
    case TA_LAYER_CONV2D:
        put(w, config, "filters", json_integer(l->out.c));
        put_window(w, config, l, "kernel_size");
        put_kernel(w, config, l, init);
        return "Conv2D";
    case TA_LAYER_MAX_POOL: put_window(w, config, l, "pool_size"); return "MaxPooling2D";
    case TA_LAYER_AVG_POOL: put_window(w, config, l, "pool_size"); return "AveragePooling2D";
    case TA_LAYER_GLOBAL_AVG_POOL: return "GlobalAveragePooling2D";
    case TA_LAYER_BATCH_NORM:
        put(w, config, "axis", json_integer(-1));
        put(w, config, "momentum", number(l->momentum));
        put(w, config, "epsilon", number(l->epsilon));
        return "BatchNormalization";
    case TA_LAYER_DROPOUT: put(w, config, "rate", number(l->rate)); return "Dropout";
    case TA_LAYER_FLATTEN: return "Flatten";
    case TA_LAYER_ADD: return "Add";
    default: put(w, config, "activation", json_string(ta_layer_kind_name(l->kind))); return "Activation";
    }
}

/* --- the list of layers --- */

/* Appends a layer; `inbound`: array of [name, 0, 0, {}], taken over. */
static void append(struct writer *w, const char *class_name, const char *name, json_t *config, json_t *inbound) {
    put(w, config, "name", json_string(name));
    put(w, config, "trainable", json_true());
    put(w, config, "dtype", json_string("float32"));
    json_t *layer = json_object();
    put(w, layer, "class_name", json_string(class_name));
    put(w, layer, "config", config);
    if (w->chain) {
        json_decref(inbound);
    } else {
        put(w, layer, "name", json_string(name));
        json_t *nodes = json_array();
        if (json_array_size(inbound) > 0) add(w, nodes, inbound);
        else json_decref(inbound);
        put(w, layer, "inbound_nodes", nodes);
    }
    add(w, w->layers, layer);
}

static json_t *reference(const char *name) { return json_pack("[s,i,i,{}]", name, 0, 0); }

static void append_input(struct writer *w) {
    const struct ta_model *model = w->view.model;
    json_t *config = json_object();
    bool image = source_is_image(&w->view, TA_FROM_INPUT);
    put(w, config, "batch_input_shape", shape_json(w, model->input, image, true));
    append(w, "InputLayer", input_name, config, json_array());
    json_object_del(config, "trainable"); /* InputLayer knows no such key */
}

static void append_layer(struct writer *w, uint32_t i) {
    const struct ta_model *model = w->view.model;
    const struct ta_layer *l = &model->layers[i];
    json_t *inbound = json_array();
    for (unsigned which = 0; which < 2 && l->input[which] != TA_FROM_NONE; which++) {
        int32_t source = l->input[which];
        const char *from = source == TA_FROM_INPUT ? input_name : model->layers[source].name;
        char reshaped[TA_LAYER_NAME_BYTES + 16];
        bool into_image;
        if (needs_reshape(&w->view, l, which, &into_image)) {
            struct ta_shape s = source == TA_FROM_INPUT ? model->input : model->layers[source].out;
            snprintf(reshaped, sizeof reshaped, "%s_reshape%s", l->name, which == 0 ? "" : "_1");
            json_t *config = json_object();
            put(w, config, "target_shape", shape_json(w, s, into_image, false));
            json_t *only = json_array();
            add(w, only, reference(from));
            append(w, "Reshape", reshaped, config, only);
            from = reshaped;
        }
        add(w, inbound, reference(from));
    }
    w->view.images[i] = gives_image(&w->view, l);
    json_t *config = json_object();
    const char *class_name = put_keys(w, config, l, model->inits[i]);
    append(w, class_name, l->name, config, inbound);
}

static json_t *whole(struct writer *w) {
    const struct ta_model *model = w->view.model;
    append_input(w);
    for (uint32_t i = 0; i < model->n_layers; i++) append_layer(w, i);
    json_t *config = json_object(), *root = json_object();
    put(w, config, "name", json_string(w->chain ? "sequential" : "model"));
    put(w, config, "layers", json_incref(w->layers));
    if (!w->chain) {
        put(w, config, "trainable", json_true());
        put(w, config, "input_layers", json_pack("[[s,i,i]]", input_name, 0, 0));
        put(w, config, "output_layers", json_pack("[[s,i,i]]", model->layers[model->n_layers - 1].name, 0, 0));
    }
    put(w, root, "class_name", json_string(w->chain ? "Sequential" : "Functional"));
    put(w, root, "config", config);
    return root;
}

static bool is_chain(const struct ta_model *model) {
    for (uint32_t i = 0; i < model->n_layers; i++)
        if (model->layers[i].input[0] != (int32_t)i - 1 || model->layers[i].kind == TA_LAYER_ADD) return false;
    return true;
}

ta_status ta_keras_config(const struct ta_model *model, char **json) {
    struct writer w = {.view = {.model = model}, .chain = is_chain(model)};
    *json = NULL;
    ta_status status = TA_NEW(&w.view.images, model->n_layers, "the model as JSON");
    if (status != TA_OK) return status;
    w.layers = json_array();
    json_t *root = whole(&w);
    char *text = w.failed ? NULL : json_dumps(root, JSON_COMPACT);
    if (text != NULL) status = ta_mem_strdup(text, "the model as JSON", json);
    else status = ta_fail(TA_NO_MEMORY, "the model as JSON: out of memory");
    free(text);
    json_decref(root);
    json_decref(w.layers);
    ta_mem_free(w.view.images);
    return status;
}
