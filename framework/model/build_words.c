/* build_words: a specification -> a word model: two tables of vectors, and the names of an online vocabulary. */
#include <stddef.h>
#include <xxhash.h>

#include "build.h"
#include "rng.h"

enum {
    DIM_MOST = 4096,
    WINDOW_MOST = 100, /* as skipgram.h */
    NEGATIVE_MOST = 64,
    ADMIT_MOST = 1000000,
    NAME_FLOATS = TA_NAME_BYTES / sizeof(float),
};

static uint64_t align_up(uint64_t floats) { return (floats + TA_PARAM_ALIGN - 1) / TA_PARAM_ALIGN * TA_PARAM_ALIGN; }

/* --- keys --- */

const char *ta_build_word_key(const struct ta_model_spec *spec) {
    const struct {
        const char *key;
        bool given;
    } keys[] = {
        {"dim", spec->dim != 0},       {"window", spec->window != 0},         {"negative", spec->negative != 0},
        {"sample", spec->sample != 0}, {"vocabulary", spec->vocabulary != 0}, {"admit", spec->admit != 0},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].given) return keys[i].key;
    return NULL;
}

static const char *type_name(enum ta_model_type type) { return type == TA_MODEL_CBOW ? "cbow" : "skipgram"; }

static ta_status check_layer_keys(const struct ta_model_spec *spec) {
    const char *key = NULL;
    if (spec->loss != TA_LOSS_CROSS_ENTROPY) key = "loss"; /* the first one: not given */
    if (spec->input_count > 0) key = "input";
    if (spec->layers_count > 0) key = "layers";
    if (key == NULL) return TA_OK;
    return ta_fail(TA_CONFIG, "model.%s means nothing to type: %s; remove it, or say type: layers", key,
                   type_name(spec->type));
}

static ta_status take(const char *key, uint32_t given, uint32_t otherwise, uint32_t most, uint32_t *out) {
    *out = given == 0 ? otherwise : given;
    if (*out <= most) return TA_OK;
    return ta_fail(TA_CONFIG, "model.%s: %u; it must be 1 to %u", key, given, most);
}

static ta_status take_numbers(const struct ta_model_spec *spec, struct ta_word_model *w) {
    ta_status status = take("dim", spec->dim, 100, DIM_MOST, &w->dim);
    if (status == TA_OK) status = take("window", spec->window, 5, WINDOW_MOST, &w->window);
    if (status == TA_OK) status = take("negative", spec->negative, 5, NEGATIVE_MOST, &w->negative);
    if (status != TA_OK) return status;
    w->sample = spec->sample == 0 ? 1e-4f : spec->sample == -1 ? 0 : spec->sample;
    if (spec->sample == -1 || (w->sample > 0 && w->sample <= 1)) return TA_OK;
    return ta_fail(TA_CONFIG,
                   "model.sample: %g; it must be more than 0 and at most 1: words that make up a larger share of the "
                   "text are thinned out (-1: none are)",
                   (double)spec->sample);
}

static ta_status take_fixed(const struct ta_model_spec *spec, const struct ta_names *names, struct ta_word_model *w) {
    if (spec->admit != 0)
        return ta_fail(TA_CONFIG,
                       "model.admit: %u, but the words of this stream were chosen when it was imported; remove it, or "
                       "train on a stream of text",
                       spec->admit);
    if (names->count == 0)
        return ta_fail(TA_CONFIG, "model: the stream's vocabulary is empty; import the text again, with a lower "
                                  "--min-count");
    if (spec->vocabulary != 0 && names->count > spec->vocabulary)
        return ta_fail(TA_CONFIG,
                       "model.vocabulary: %u, but the stream has %zu words; raise it, leave it out, or import the text "
                       "with fewer words",
                       spec->vocabulary, names->count);
    w->rows = names->count < UINT32_MAX ? (uint32_t)names->count : UINT32_MAX;
    w->vocabulary = ta_names_checksum(names);
    return TA_OK;
}

static ta_status take_online(const struct ta_model_spec *spec, struct ta_word_model *w) {
    if (spec->vocabulary == 0)
        return ta_fail(TA_CONFIG,
                       "model.vocabulary is missing; the words are found in the text, so say how many to hold "
                       "(vocabulary: 100000)");
    w->online = true;
    w->rows = spec->vocabulary;
    return take("admit", spec->admit, 5, ADMIT_MOST, &w->admit);
}

/* --- the arena --- */

static unsigned place(struct ta_model *model, enum ta_segment_kind kind, struct ta_table table) {
    table.offset = model->n_params;
    size_t count = (size_t)table.rows * table.stride;
    model->segments[model->n_segments] = (struct ta_segment){kind, table.offset, count, table};
    model->n_params = align_up(table.offset + count);
    return model->n_segments++;
}

static ta_status layout(struct ta_model *model) {
    struct ta_word_model *w = &model->words;
    /* Whole vectors of 8: more would only cost memory, rows of 100 numbers lie in 7 cache lines either way. */
    uint32_t stride = (w->dim + 7) / 8 * 8;
    uint64_t count = (uint64_t)w->rows * stride;
    if (count > TA_MAX_COUNT)
        return ta_fail(TA_CONFIG,
                       "model: %u words of %u numbers each (stored as %u) are %llu, more than the %llu that fit in a "
                       "table; hold fewer words, or lower model.dim",
                       w->rows, w->dim, stride, (unsigned long long)count, (unsigned long long)TA_MAX_COUNT);
    const struct ta_table vectors = {.rows = w->rows, .width = w->dim, .stride = stride};
    struct ta_table in = vectors;
    in.range = 1 / (float)w->dim;
    w->in = place(model, TA_SEGMENT_ROWS, in);
    w->out = place(model, TA_SEGMENT_ROWS, vectors);
    if (w->online)
        w->names = place(model, TA_SEGMENT_NAMES,
                         (struct ta_table){.rows = w->rows, .width = NAME_FLOATS, .stride = NAME_FLOATS});
    model->n_weights = 2 * (size_t)w->rows * w->dim;
    return TA_OK;
}

/* What decides which number stands where, and of which word; not how they are trained. */
static uint64_t fingerprint(const struct ta_word_model *w) {
    const uint64_t all[] = {(uint64_t)w->type, w->online, w->rows, w->dim, w->vocabulary};
    return XXH3_64bits_withSeed(all, sizeof all, UINT64_C(0x776f726473) /* "words" */);
}

ta_status ta_model_build_words(const struct ta_model_spec *spec, const struct ta_names *names, struct ta_model *out) {
    *out = (struct ta_model){0};
    struct ta_model model = {.words = {.type = spec->type}};
    if (spec->type != TA_MODEL_SKIPGRAM && spec->type != TA_MODEL_CBOW)
        return ta_fail(TA_CONFIG, "model.type: a stream of words needs skipgram or cbow");
    ta_status status = check_layer_keys(spec);
    if (status == TA_OK) status = take_numbers(spec, &model.words);
    if (status == TA_OK && names != NULL) status = take_fixed(spec, names, &model.words);
    else if (status == TA_OK) status = take_online(spec, &model.words);
    if (status == TA_OK) status = layout(&model);
    if (status != TA_OK) return status;
    model.fingerprint = fingerprint(&model.words);
    *out = model;
    return TA_OK;
}

void ta_build_table(const struct ta_table *table, uint64_t seed, float *w) {
    for (uint32_t r = 0; r < table->rows; r++) {
        size_t row = table->offset + (size_t)r * table->stride;
        for (uint32_t c = 0; c < table->width; c++) w[row + c] = table->range * ta_rng_cell(seed, row + c);
    }
}
