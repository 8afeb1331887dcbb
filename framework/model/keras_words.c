/* keras_words: see the header. */
#include "keras_words.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

enum { BLOCK_BYTES = 1 << 18, PATH_BYTES = 128 };

/* --- the JSON --- */

static json_t *input_json(const char *name) {
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:[n, i]}, s:[]}", "class_name", "InputLayer", "name", name, "config",
                     "name", name, "dtype", "int32", "batch_input_shape", 1, "inbound_nodes");
}

static json_t *table_json(const struct ta_word_model *words, const char *name, const char *from) {
    return json_pack("{s:s, s:s, s:{s:s, s:b, s:s, s:I, s:I}, s:[[[s, i, i, {}]]]}", "class_name", "Embedding", "name",
                     name, "config", "name", name, "trainable", 1, "dtype", "float32", "input_dim",
                     (json_int_t)words->rows, "output_dim", (json_int_t)words->dim, "inbound_nodes", from, 0, 0);
}

/* A layer without weights behind one other; `key`: its one setting. */
static json_t *plain_json(const char *class_name, const char *name, const char *key, const char *value,
                          const char *from) {
    return json_pack("{s:s, s:s, s:{s:s, s:b, s:s, s:s}, s:[[[s, i, i, {}]]]}", "class_name", class_name, "name", name,
                     "config", "name", name, "trainable", 1, "dtype", "float32", key, value, "inbound_nodes", from, 0,
                     0);
}

static json_t *dot_json(void) {
    return json_pack("{s:s, s:s, s:{s:s, s:b, s:s, s:i, s:b}, s:[[[s, i, i, {}], [s, i, i, {}]]]}", "class_name", "Dot",
                     "name", "dot", "config", "name", "dot", "trainable", 1, "dtype", "float32", "axes", 2, "normalize",
                     0, "inbound_nodes", "in", 0, 0, "out", 0, 0);
}

static json_t *model_json(const struct ta_word_model *words) {
    const char *name = words->type == TA_MODEL_CBOW ? "cbow" : "skipgram";
    return json_pack("{s:s, s:{s:s, s:b, s:[o, o, o, o, o, o, o], s:[[s, i, i], [s, i, i]], s:[[s, i, i]]}}",
                     "class_name", "Functional", "config", "name", name, "trainable", 1, "layers", input_json("word"),
                     input_json("context"), table_json(words, "in", "word"), table_json(words, "out", "context"),
                     dot_json(), plain_json("Flatten", "flatten", "data_format", "channels_last", "dot"),
                     plain_json("Activation", "sigmoid", "activation", "sigmoid", "flatten"), "input_layers", "word", 0,
                     0, "context", 0, 0, "output_layers", "sigmoid", 0, 0);
}

ta_status ta_keras_words_config(const struct ta_model *model, char **json) {
    *json = NULL;
    json_t *root = model_json(&model->words);
    char *text = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
    ta_status status = text != NULL ? ta_mem_strdup(text, "the model as JSON", json)
                                    : ta_fail(TA_NO_MEMORY, "the model as JSON: out of memory");
    free(text);
    json_decref(root);
    return status;
}

/* --- tables --- */

static size_t rows_of_block(const struct ta_table *table) {
    size_t rows = BLOCK_BYTES / (table->width * sizeof(float));
    return rows == 0 ? 1 : rows < table->rows ? rows : table->rows;
}

static ta_status write_rows(struct ta_h5_set *set, const struct ta_table *table, const float *w) {
    size_t step = rows_of_block(table), width = table->width;
    float *block;
    ta_status status = ta_mem_alloc(step * width, sizeof *block, "rows of a table to write", (void **)&block);
    for (size_t first = 0; first < table->rows && status == TA_OK; first += step) {
        size_t n = table->rows - first < step ? table->rows - first : step;
        const float *row = w + table->offset + first * table->stride;
        for (size_t i = 0; i < n; i++) memcpy(block + i * width, row + i * table->stride, width * sizeof *block);
        status = ta_h5_set_write(set, TA_H5_F32, first, n, block);
    }
    ta_mem_free(block);
    return status;
}

static ta_status write_table(struct ta_h5 *file, const char *layer, const struct ta_table *table, const float *w) {
    char name[PATH_BYTES];
    struct ta_h5_set *set;
    const struct ta_h5_create how = {.shape = {.type = TA_H5_F32, .rank = 2, .dims = {table->rows, table->width}}};
    snprintf(name, sizeof name, "/model_weights/%s/%s/embeddings:0", layer, layer);
    ta_status status = ta_h5_set_create(file, name, &how, &set);
    if (status != TA_OK) return status;
    status = write_rows(set, table, w);
    ta_h5_set_close(set);
    const char *text = strcmp(layer, "in") == 0 ? "vector of each word: row i is word i of /vocabulary"
                                                : "vector of each word as a neighbour: row i is word i of /vocabulary";
    if (status == TA_OK) status = ta_h5_attr_set_text(file, name, "description", text);
    return status == TA_OK ? ta_h5_attr_set_text(file, name, "units", "1") : status;
}

static ta_status write_layer(struct ta_h5 *file, const char *layer, const struct ta_table *table, const float *w) {
    char group[PATH_BYTES], weight[PATH_BYTES];
    const char *weights[1] = {weight};
    snprintf(group, sizeof group, "/model_weights/%s", layer);
    snprintf(weight, sizeof weight, "%s/embeddings:0", layer);
    ta_status status = ta_h5_group_create(file, group);
    if (status == TA_OK && table != NULL) status = write_table(file, layer, table, w);
    return status == TA_OK ? ta_h5_attr_set_texts(file, group, "weight_names", weights, table != NULL) : status;
}

ta_status ta_keras_table_read(struct ta_h5 *file, const char *path, const char *object, const struct ta_table *table,
                              float *w) {
    struct ta_h5_set *set;
    size_t step = rows_of_block(table), width = table->width;
    float *block = NULL;
    ta_status status = ta_h5_set_open(file, object, &set);
    if (status != TA_OK) return status;
    status = ta_keras_check_dims(path, object, ta_h5_set_shape(set), 2, (uint64_t[]){table->rows, width});
    if (status == TA_OK)
        status = ta_mem_alloc(step * width, sizeof *block, "rows of a table to read", (void **)&block);
    for (size_t first = 0; first < table->rows && status == TA_OK; first += step) {
        size_t n = table->rows - first < step ? table->rows - first : step;
        float *row = w + table->offset + first * table->stride;
        status = ta_h5_set_read(set, TA_H5_F32, first, n, block);
        for (size_t i = 0; i < n * width && status == TA_OK; i++)
            if (!isfinite(block[i]))
                status = ta_fail(TA_FORMAT,
                                 "%s: %s, row %zu is not finite; the file is damaged, or its run diverged", path,
                                 object, first + i / width);
        for (size_t i = 0; i < n && status == TA_OK; i++)
            memcpy(row + i * table->stride, block + i * width, width * sizeof *block);
    }
    ta_mem_free(block);
    ta_h5_set_close(set);
    return status;
}

/* --- the vocabulary --- */

/* The names that stand in the arena; bytes that are no word count as none. */
static ta_status names_of(const struct ta_model *model, const float *w, struct ta_names *out) {
    const struct ta_table *table = &model->segments[model->words.names].table;
    ta_status status = TA_OK;
    for (size_t r = 0; r < table->rows && status == TA_OK; r++) {
        char name[TA_NAME_BYTES];
        memcpy(name, w + table->offset + r * table->stride, sizeof name);
        size_t bytes = strnlen(name, sizeof name);
        bool word = bytes < sizeof name && ta_names_utf8(name, bytes);
        status = ta_names_add(out, name, word ? bytes : 0, 0);
    }
    return status;
}

/* Nothing is written that would be refused when it is read: both ask this, each with a status of its own. */
static ta_status check_names(ta_status wrong, const char *path, const struct ta_model *model,
                             const struct ta_names *names) {
    const struct ta_word_model *words = &model->words;
    if (names->count != words->rows)
        return ta_fail(wrong,
                       "%s: /vocabulary has %zu words, the model has %u rows; use the configuration and the stream it "
                       "was trained with",
                       path, names->count, words->rows);
    if (!words->online && ta_names_checksum(names) != words->vocabulary)
        return ta_fail(wrong,
                       "%s: /vocabulary has other words than the stream, though as many (%u); use the stream it was "
                       "trained with",
                       path, words->rows);
    for (size_t r = 0; words->online && r < names->count; r++)
        if (strlen(ta_names_get(names, r)) >= TA_NAME_BYTES)
            return ta_fail(wrong,
                           "%s: /vocabulary: word %zu has %zu bytes, at most %d fit a vocabulary that is found in the "
                           "stream",
                           path, r, strlen(ta_names_get(names, r)), TA_NAME_BYTES - 1);
    return TA_OK;
}

static ta_status write_names(struct ta_h5 *file, const struct ta_model *model, const float *w,
                             const struct ta_names *names) {
    struct ta_names found = {0};
    ta_status status = TA_OK;
    if (names != NULL && names->count == 0) names = NULL;
    if (names == NULL && !model->words.online) return TA_OK;
    if (names == NULL) {
        status = names_of(model, w, &found);
        names = &found;
    }
    if (status == TA_OK) status = check_names(TA_INVALID, "model.h5", model, names);
    if (status == TA_OK) status = ta_names_write(names, file);
    ta_names_free(&found);
    return status;
}

ta_status ta_keras_vocabulary_read(struct ta_h5 *file, const char *path, const struct ta_model *model, float *w) {
    if (!ta_h5_exists(file, "/vocabulary") && !model->words.online) return TA_OK;
    struct ta_names names = {0};
    ta_status status = ta_names_read(&names, file, path);
    if (status == TA_OK) status = check_names(TA_FORMAT, path, model, &names);
    const struct ta_table *table = &model->segments[model->words.names].table;
    for (size_t r = 0; status == TA_OK && model->words.online && r < table->rows; r++) {
        const char *word = ta_names_get(&names, r);
        memcpy(w + table->offset + r * table->stride, word, strlen(word));
    }
    ta_names_free(&names);
    return status;
}

ta_status ta_keras_words_write(struct ta_h5 *file, const struct ta_model *model, const float *w,
                               const struct ta_names *names) {
    static const char *const layers[] = {"word", "context", "in", "out", "dot", "flatten", "sigmoid"};
    enum { N = sizeof layers / sizeof *layers };
    const struct ta_table *tables[N] = {
        [2] = &model->segments[model->words.in].table,
        [3] = &model->segments[model->words.out].table,
    };
    ta_status status = ta_h5_group_create(file, "/model_weights");
    for (unsigned i = 0; i < N && status == TA_OK; i++) status = write_layer(file, layers[i], tables[i], w);
    if (status == TA_OK) status = ta_h5_attr_set_texts(file, "/model_weights", "layer_names", layers, N);
    return status == TA_OK ? write_names(file, model, w, names) : status;
}
