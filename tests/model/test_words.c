/* word models: the arena's map, every message, what tables start from, fingerprints, the optimizer they can have. */
#include <math.h>

#include "config_of.h"
#include "rng.h"
#include "scratch.h"

enum { WORDS = 37 };

static struct ta_model built(const char *text, size_t words) {
    struct ta_names names = {0};
    struct ta_model model;
    if (words > 0) some_names(&names, words);
    assert_ok(words_of(text, words > 0 ? &names : NULL, &model));
    ta_names_free(&names);
    return model;
}

/* A segment starts at a multiple of 16. */
#define UP(floats) (((floats) + 15) / 16 * 16)

static void assert_table(const struct ta_segment *s, enum ta_segment_kind kind, size_t offset, struct ta_table wanted) {
    assert_true(s->kind == kind && s->offset == offset && s->table.offset == offset);
    assert_true(s->table.rows == wanted.rows && s->table.width == wanted.width && s->table.stride == wanted.stride);
    assert_int_equal(s->count, (size_t)wanted.rows * wanted.stride);
    assert_true(s->table.range == wanted.range);
    assert_int_equal(offset % 16, 0);
}

static void the_map_of_the_arena(void **state) {
    (void)state;
    struct ta_model m = built("model: {type: skipgram}", WORDS);
    const struct ta_word_model *w = &m.words;
    assert_true(w->type == TA_MODEL_SKIPGRAM && !w->online && w->rows == WORDS && w->dim == 100);
    assert_true(w->window == 5 && w->negative == 5 && w->sample == 1e-4f && w->vocabulary != 0);
    assert_int_equal(m.n_segments, 2);
    struct ta_table t = {.rows = WORDS, .width = 100, .stride = 104, .range = .01f};
    assert_table(&m.segments[w->in], TA_SEGMENT_ROWS, 0, t);
    t.range = 0;
    assert_table(&m.segments[w->out], TA_SEGMENT_ROWS, UP(WORDS * 104), t);
    assert_int_equal(m.n_params, 2 * UP(WORDS * 104));
    assert_int_equal(m.n_weights, 2 * WORDS * 100);
    assert_true(m.n_layers == 0 && m.layers == NULL && m.outputs == 0);
    assert_false(ta_model_needs_own_prediction(&m));
    ta_model_free(&m);
    m = built("model: {type: cbow, dim: 17, window: 3, negative: 9, sample: -1, vocabulary: 37, admit: 2}", 0);
    assert_true(w->online && w->rows == WORDS && w->dim == 17 && w->window == 3 && w->negative == 9 && w->admit == 2);
    assert_true(w->sample == 0 && w->vocabulary == 0);
    assert_int_equal(m.n_segments, 3);
    t = (struct ta_table){.rows = WORDS, .width = TA_NAME_BYTES / 4, .stride = TA_NAME_BYTES / 4};
    assert_table(&m.segments[w->names], TA_SEGMENT_NAMES, 2 * UP(WORDS * 24), t);
    assert_int_equal(m.n_params, 2 * UP(WORDS * 24) + UP(WORDS * 8));
    assert_int_equal(m.n_weights, 2 * WORDS * 17);
    ta_model_free(&m);
    m = built("model: {type: cbow, vocabulary: 1000000}", WORDS); /* at most so many */
    assert_int_equal(w->rows, WORDS);
    ta_model_free(&m);
}

static void what_is_wrong_is_said(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t words;
        const char *part;
    } cases[] = {
        {"type: skipgram", 0, "model.vocabulary is missing"},
        {"type: skipgram, vocabulary: 36", WORDS, "model.vocabulary: 36, but the stream has 37 words"},
        {"type: skipgram, admit: 3", WORDS, "model.admit: 3"},
        {"type: skipgram, vocabulary: 9, admit: 4000000", 0, "model.admit: 4000000; it must be 1 to 1000000"},
        {"type: skipgram, dim: 4097", WORDS, "model.dim: 4097; it must be 1 to 4096"},
        {"type: skipgram, window: 101", WORDS, "model.window: 101; it must be 1 to 100"},
        {"type: skipgram, negative: 65", WORDS, "model.negative: 65; it must be 1 to 64"},
        {"type: skipgram, sample: 1.5", WORDS, "model.sample: 1.5; it must be more than 0"},
        {"type: skipgram, sample: -0.5", WORDS, "model.sample: -0.5"},
        {"type: skipgram, layers: [{type: relu}]", WORDS, "model.layers means nothing to type: skipgram"},
        {"type: cbow, input: [3]", WORDS, "model.input means nothing to type: cbow"},
        {"type: cbow, loss: squared_error", WORDS, "model.loss means nothing to type: cbow"},
        {"type: cbow, dim: 4096, vocabulary: 524289", 0, "524289 words of 4096 numbers each (stored as 4096)"},
        {"type: cbow, dim: 1, vocabulary: 4294967295", 0, "more than the 2147483648 that fit"},
        {"type: layers", WORDS, "needs skipgram or cbow"},
        {"type: skipgrm", WORDS, "skipgram"},
        {"type: skipgram, dims: 3", WORDS, "did you mean 'dim'"},
    };
    size_t before = ta_mem_held_bytes();
    struct ta_names names = {0};
    struct ta_model m;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text, "model: {%s}", cases[i].text);
        if (cases[i].words > 0) some_names(&names, cases[i].words);
        ta_status status = words_of(text, cases[i].words > 0 ? &names : NULL, &m);
        if (status != TA_CONFIG) fail_msg("%s gave %s %s", text, ta_status_name(status), ta_why());
        if (strstr(ta_why(), cases[i].part) == NULL) fail_msg("%s said '%s'", text, ta_why());
        assert_true(m.n_params == 0 && m.words.rows == 0);
        ta_names_free(&names);
        assert_int_equal(ta_mem_held_bytes(), before);
    }
    assert_fails(TA_CONFIG, "vocabulary is empty", words_of("model: {type: cbow}", &names, &m));
    const struct ta_shape none = {0, 0, 0};
    assert_fails(TA_CONFIG, "model.layers is missing", model_of("model: {input: [3]}", none, 0, &m));
    assert_fails(TA_CONFIG, "say type: layers", model_of("model: {type: skipgram}", none, 0, &m));
    static const char *const keys[] = {"dim", "window", "negative", "sample", "vocabulary", "admit"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char text[128], part[64];
        snprintf(text, sizeof text, "model: {input: [3], layers: [{type: dense, units: 2}], %s: 1}", keys[i]);
        snprintf(part, sizeof part, "model.%s means nothing to a model of layers", keys[i]);
        assert_fails(TA_CONFIG, part, model_of(text, none, 0, &m));
    }
}

static void the_largest_tables_fit(void **state) {
    (void)state;
    struct ta_model m = built("model: {type: cbow, dim: 4096, vocabulary: 524288}", 0);
    assert_true(m.segments[m.words.out].count == (size_t)1 << 31 && m.segments[m.words.out].offset == (size_t)1 << 31);
    assert_true(m.segments[m.words.names].offset == (size_t)1 << 32);
    ta_model_free(&m);
}

/* Each number is what struct ta_table says; all of them together are uniform in +- .5 / dim. */
static void tables_start_from_the_seed(void **state) {
    (void)state;
    static const uint64_t seeds[] = {0, 1, UINT64_C(0xfedcba9876543210)};
    struct ta_model m = built("model: {type: skipgram, dim: 50, vocabulary: 4000}", 0);
    const struct ta_table *in = &m.segments[m.words.in].table;
    float *w;
    assert_ok(TA_NEW(&w, m.n_params, "w"));
    for (unsigned s = 0; s < 3; s++) {
        double sum = 0, sum2 = 0, most = 0, n = in->rows * in->width;
        memset(w, 0x55, m.n_params * sizeof *w);
        ta_model_init(&m, seeds[s], w);
        for (size_t i = 0; i < m.n_params; i++) {
            bool vector = i < m.segments[m.words.in].count && i % in->stride < in->width;
            float wanted = vector ? in->range * ta_rng_cell(seeds[s], i) : 0;
            if (w[i] != wanted) fail_msg("number %zu is %g, not %g", i, (double)w[i], (double)wanted);
            sum += (double)w[i], sum2 += (double)w[i] * (double)w[i], most = fmax(most, fabs((double)w[i]));
        }
        double sigma = .02 / sqrt(12);
        assert_true(most <= .01 && most > .0099);
        assert_true(fabs(sum / n) < 5 * sigma / sqrt(n) && fabs(sqrt(sum2 / n) / sigma - 1) < .01);
    }
    ta_mem_free(w);
    ta_model_free(&m);
}

static void fingerprints_tell_word_models_apart(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t words;
    } all[] = {{"type: skipgram", WORDS},
               {"type: cbow", WORDS},
               {"type: skipgram, dim: 99", WORDS},
               {"type: skipgram", WORDS + 1},
               {"type: skipgram, vocabulary: 37", 0},
               {"type: skipgram, vocabulary: 38", 0}};
    enum { N = sizeof all / sizeof *all };
    uint64_t prints[N];
    char text[128];
    for (unsigned i = 0; i < N; i++) {
        snprintf(text, sizeof text, "model: {%s}", all[i].text);
        struct ta_model m = built(text, all[i].words);
        prints[i] = m.fingerprint;
        ta_model_free(&m);
        for (unsigned j = 0; j < i; j++) assert_true(prints[i] != prints[j]);
    }
    /* How it is trained may change; a word or the order may not; how often a word was seen may. */
    struct ta_model m = built("model: {type: skipgram, window: 9, negative: 2, sample: -1}", WORDS);
    assert_true(m.fingerprint == prints[0]);
    struct ta_names names;
    some_names(&names, WORDS);
    names.counts[3]++;
    assert_ok(words_of("model: {type: skipgram}", &names, &m));
    assert_true(m.fingerprint == prints[0]);
    names.text[names.start[5]] ^= 1;
    assert_ok(words_of("model: {type: skipgram}", &names, &m));
    assert_true(m.fingerprint != prints[0]);
    ta_names_free(&names);
}

/* The effective configuration of a run is read again by its next life. */
static void what_is_printed_is_read_again(void **state) {
    (void)state;
    struct whole *w, *again;
    char *text;
    assert_ok(whole_parse("model: {type: cbow, dim: 30, sample: -1, vocabulary: 12}\n"
                          "optimizer: {rate: 0.5, schedule: linear, schedule_factor: 0.125}",
                          &w));
    assert_ok(ta_config_print(w, &whole_schema, &text));
    assert_ok(whole_parse(text, &again));
    assert_true(again->model.type == TA_MODEL_CBOW && again->model.dim == 30 && again->model.sample == -1);
    assert_true(again->model.vocabulary == 12 && again->model.layers_count == 0 && again->model.window == 0);
    assert_true(again->optimizer.schedule == TA_SCHEDULE_LINEAR && again->optimizer.schedule_factor == .125f);
    struct ta_model m;
    assert_ok(ta_model_build_words(&again->model, NULL, &m));
    ta_mem_free(text);
    ta_config_free(w, &whole_schema);
    ta_config_free(again, &whole_schema);
}

static ta_status optimizer_of(const char *text, enum ta_model_type type, bool ends, struct ta_optimizer_spec *out) {
    char whole[256];
    struct whole *w;
    snprintf(whole, sizeof whole, "optimizer: {%s}", text);
    ta_status status = whole_parse(whole, &w);
    if (status != TA_OK) return status;
    *out = w->optimizer;
    ta_config_free(w, &whole_schema);
    return ta_optimizer_check_words(out, type, ends);
}

static void optimizers_are_plain(void **state) {
    (void)state;
    static const char *const refused[][2] = {
        {"type: adam", "optimizer.type: adam"},
        {"type: momentum", "optimizer.type: momentum"},
        {"type: adagrad", "say type: sgd"},
        {"momentum: 0.9", "optimizer.momentum means nothing to a word model"},
        {"nesterov: true", "optimizer.nesterov"},
        {"beta1: 0.9", "optimizer.beta1"},
        {"beta2: 0.9", "optimizer.beta2"},
        {"epsilon: 0.9", "optimizer.epsilon"},
        {"weight_decay: 0.1", "optimizer.weight_decay"},
        {"decoupled: true", "optimizer.decoupled"},
        {"clip_norm: 1", "optimizer.clip_norm"},
        {"clip_value: 1", "optimizer.clip_value"},
        {"warmup_steps: 1", "optimizer.warmup_steps"},
        {"schedule: linear, schedule_steps: 1", "optimizer.schedule_steps"},
        {"schedule: step", "say schedule: linear"},
        {"schedule: exponential", "counts steps"},
        {"schedule: cosine", "counts steps"},
        {"schedule: inverse", "counts steps"},
        {"schedule_factor: 0.1", "schedule is constant"},
        {"schedule: linear, schedule_factor: 1.5", "schedule_factor: 1.5"},
        {"schedule: linear, schedule_factor: -1", "schedule_factor: -1"},
        {"rate: -1", "rate: -1"},
        {"rate: 1.5", "rate: 1.5; it must be more than 0 and at most 1"},
    };
    struct ta_optimizer_spec s;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_fails(TA_CONFIG, refused[i][1], optimizer_of(refused[i][0], TA_MODEL_CBOW, true, &s));
    assert_fails(TA_CONFIG, "this run has none", optimizer_of("schedule: linear", TA_MODEL_CBOW, false, &s));
    assert_ok(optimizer_of("type: sgd", TA_MODEL_SKIPGRAM, false, &s));
    assert_true(s.rate == .025f && ta_optimizer_rate_at(&s, .5) == .025f);
    assert_ok(optimizer_of("type: sgd, schedule: linear", TA_MODEL_CBOW, true, &s));
    assert_true(s.rate == .05f && ta_optimizer_rate_at(&s, 0) == .05f && ta_optimizer_rate_at(&s, .5) == .025f);
    assert_true(ta_optimizer_rate_at(&s, 1) == .05f * 1e-4f && ta_optimizer_rate_at(&s, 7) == .05f * 1e-4f);
    assert_true(ta_optimizer_rate_at(&s, -1) == .05f && ta_optimizer_rate_at(&s, (double)NAN) == .05f);
    assert_ok(optimizer_of("rate: 0.5, schedule: linear, schedule_factor: 0.25", TA_MODEL_SKIPGRAM, true, &s));
    assert_true(ta_optimizer_rate_at(&s, .5) == .25f && ta_optimizer_rate_at(&s, .99) == .125f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_map_of_the_arena),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(the_largest_tables_fit),
        cmocka_unit_test(tables_start_from_the_seed),
        cmocka_unit_test(fingerprints_tell_word_models_apart),
        cmocka_unit_test(what_is_printed_is_read_again),
        cmocka_unit_test(optimizers_are_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
