/* snapshots: see the header. */
#include "snapshots.h"

#include <unistd.h>

#include "config_of.h"

enum { EPOCH = 3, WORDS = 3 };

void small_model(struct ta_model *model) {
    assert_ok(model_of("model: {input: [5], loss: cross_entropy, layers: [{type: dense, units: 7, activation: relu},"
                       " {type: batch_norm}, {type: dense, units: 3}]}",
                       (struct ta_shape){0, 0, 0}, 3, model));
}

void small_word_model(struct ta_model *model) {
    assert_ok(words_of("model: {type: cbow, dim: 20, vocabulary: 9}", NULL, model));
}

/* Numbers for the vectors; for the names any bytes, those of numbers that are none among them. */
static void fill_tables(const struct ta_model *model, unsigned what, uint64_t steps, float *out) {
    for (unsigned i = 0; i < model->n_segments; i++) {
        const struct ta_table *t = &model->segments[i].table;
        for (size_t r = 0; r < t->rows; r++) {
            float *row = out + t->offset + r * t->stride;
            if (model->segments[i].kind == TA_SEGMENT_NAMES) memset(row, (int)(255 - what - r), t->width * sizeof *row);
            for (size_t c = 0; model->segments[i].kind == TA_SEGMENT_ROWS && c < t->width; c++)
                row[c] = (float)(what + 1) * .001f + (float)steps + (float)(c * 7 + r * 3 + i) * .01f;
        }
    }
}

static void fill_names(const struct ta_model *model, const struct ta_names *names, float *out) {
    const struct ta_table *t = &model->segments[model->words.names].table;
    for (size_t r = 0; r < t->rows; r++) {
        memset(out + t->offset + r * t->stride, 0, TA_NAME_BYTES);
        memcpy(out + t->offset + r * t->stride, ta_names_get(names, r), strlen(ta_names_get(names, r)));
    }
}

static float *array(const struct ta_model *model, unsigned what, uint64_t steps) {
    float *out;
    assert_ok(TA_NEW(&out, model->n_params, "array"));
    for (uint32_t i = 0; i < model->n_layers; i++) {
        struct ta_tensor t[4];
        unsigned n = ta_layer_tensors(&model->layers[i], t);
        for (unsigned j = 0; j < n; j++)
            for (size_t k = 0; k < t[j].param.count; k++)
                out[t[j].param.offset + k] = (float)(what + 1) * .001f + (float)steps + (float)(k * 7 + i) * .01f;
    }
    if (model->words.rows > 0) fill_tables(model, what, steps, out);
    return out;
}

static void make_words(const struct ta_model *model, struct ta_snapshot *s) {
    ta_mem_free(s->m);
    ta_mem_free(s->v);
    s->m = s->v = NULL;
    s->table_seed = UINT64_MAX - 99 - s->total_steps;
    bool alone = s->n_ranks == 1;
    if (alone) ta_mem_free(s->delta);
    if (alone) s->delta = NULL;
    if (s->rank != 0) return;
    if (alone || s->total_steps % 2 == 0) ta_mem_free(s->w0);
    if (alone || s->total_steps % 2 == 0) s->w0 = NULL;
    some_names(&s->names, model->words.rows);
    fill_names(model, &s->names, s->w);
}

/* Every other rank has records that wait for their labels. */
static void make_waiting(const struct ta_model *model, struct ta_snapshot *s) {
    struct ta_snapshot_waiting *w = &s->waiting;
    w->inputs = model->input.c;
    if (s->rank % 2 != 0) return;
    assert_ok(ta_snapshot_waiting_room(w, WORDS + s->rank));
    for (; w->n < w->room; w->n++) {
        w->due[w->n] = s->total_steps * 32 + w->n;
        w->record[w->n] = w->n * 7;
        w->label[w->n] = (int32_t)(w->n % 4) - 1;
        w->said[w->n] = (int32_t)(w->n % 3);
        w->loss[w->n] = .25f * (float)w->n;
        w->scored[w->n] = w->n == 0;
        for (uint32_t i = 0; i < w->inputs; i++) w->x[w->n * w->inputs + i] = (float)(w->n * 10 + i);
    }
}

static void assert_waiting(const struct ta_snapshot_waiting *a, const struct ta_snapshot_waiting *b) {
    assert_int_equal(a->n, b->n);
    if (a->n == 0) return;
    assert_int_equal(a->inputs, b->inputs);
    assert_memory_equal(a->due, b->due, a->n * sizeof *a->due);
    assert_memory_equal(a->record, b->record, a->n * sizeof *a->record);
    assert_memory_equal(a->label, b->label, a->n * sizeof *a->label);
    assert_memory_equal(a->said, b->said, a->n * sizeof *a->said);
    assert_memory_equal(a->loss, b->loss, a->n * sizeof *a->loss);
    assert_memory_equal(a->scored, b->scored, a->n * sizeof *a->scored);
    assert_memory_equal(a->x, b->x, a->n * a->inputs * sizeof *a->x);
}

void made_up(const struct ta_model *model, unsigned rank, unsigned n_ranks, uint64_t steps, struct ta_snapshot *s) {
    *s = (struct ta_snapshot){
        .rank = rank,
        .n_ranks = n_ranks,
        .epoch = EPOCH,
        .total_steps = steps,
        .steps = steps / n_ranks + rank,
        .records = 32 * steps + rank,
        .total_records = 1000 * steps,
        .delta = array(model, 10 * rank, steps),
        .m = array(model, 10 * rank + 1, steps),
        .v = rank % 2 == 0 ? array(model, 10 * rank + 2, steps) : NULL,
        .optimizer_step = steps + 5 + rank,
        .optimizer_skipped = 2 + rank,
        .optimizer_reset_at = 1 + rank,
        .cycle = 6 + rank,
        .raised_left = 11 * rank,
        .raised = 2.5 + rank,
        .waiting_dropped = 3 + rank,
        .done = {.base = 64 * 9 + 1, .words = WORDS},
        .dropped_records = 77 + rank,
        .batch = 32,
        .seed = UINT64_MAX - 4,
        .stream_ns = 123456789012345 + rank,
        .score_records = 4000 + rank,
        .score_hits = 3000 + rank,
        .score_lossless = 5 + rank,
        .score_loss_sum = 12.125 + rank,
        .score_fade_hits = .1 + rank,
        .score_fade_loss = 1e-300,
        .score_fade_weight = 9.75,
        .input_scale = 1 / 255.f,
        .input_offset = -.5f,
    };
    assert_ok(TA_NEW(&s->peer_steps, n_ranks, "steps"));
    for (unsigned i = 0; i < n_ranks; i++) s->peer_steps[i] = steps / n_ranks + i;
    assert_ok(TA_NEW(&s->done.bits, WORDS, "bits"));
    for (unsigned i = 0; i < WORDS; i++) s->done.bits[i] = UINT64_C(0x8000000000000006) + rank * 8 + i * 16;
    if (model->words.rows == 0) make_waiting(model, s);
    if (rank == 0) s->w = array(model, 500, steps);
    if (rank == 0) s->w0 = array(model, 600, steps);
    if (model->words.rows > 0) make_words(model, s);
}

static void assert_names(const struct ta_names *a, const struct ta_names *b) {
    assert_int_equal(a->count, b->count);
    assert_true(ta_names_checksum(a) == ta_names_checksum(b));
    assert_memory_equal(a->counts, b->counts, a->count * sizeof *a->counts);
}

static void assert_array(const struct ta_model *model, const float *a, const float *b) {
    assert_int_equal(a == NULL, b == NULL);
    if (a != NULL) assert_memory_equal(a, b, model->n_params * sizeof *a);
}

void assert_made_up(const struct ta_model *model, unsigned rank, unsigned n_ranks, uint64_t steps, bool weights,
                    const struct ta_snapshot *s) {
    struct ta_snapshot x, lead;
    made_up(model, rank, n_ranks, steps, &x);
    made_up(model, 0, n_ranks, steps, &lead);
    assert_array(model, s->delta, x.delta);
    assert_array(model, s->m, x.m);
    assert_array(model, s->v, x.v);
    assert_array(model, s->w, weights ? lead.w : NULL);
    assert_array(model, s->w0, weights ? lead.w0 : NULL);
    assert_true(s->table_seed == x.table_seed);
    if (weights && lead.names.count > 0) assert_names(&s->names, &lead.names);
    else assert_int_equal(s->names.count, 0);
    assert_memory_equal(s->peer_steps, x.peer_steps, n_ranks * sizeof *x.peer_steps);
    assert_waiting(&s->waiting, &x.waiting);
    assert_true(s->score_lossless == x.score_lossless);
    assert_true(s->raised_left == x.raised_left && s->raised == x.raised && s->waiting_dropped == x.waiting_dropped);
    assert_true(s->done.base == x.done.base && s->done.words == x.done.words);
    assert_memory_equal(s->done.bits, x.done.bits, x.done.words * sizeof *x.done.bits);
    /* What is left are plain numbers: compare them as bytes with the pointers made alike. */
    struct ta_snapshot a = *s, b = x;
    a.peer_steps = b.peer_steps = NULL;
    a.w = b.w = a.w0 = b.w0 = a.delta = b.delta = a.m = b.m = a.v = b.v = NULL;
    a.done.bits = b.done.bits = NULL;
    if (!weights) a.input_scale = b.input_scale, a.input_offset = b.input_offset; /* they are in model.h5 */
    assert_true(a.rank == b.rank && a.n_ranks == b.n_ranks && a.epoch == b.epoch && a.total_steps == b.total_steps);
    assert_true(a.steps == b.steps && a.records == b.records && a.total_records == b.total_records);
    assert_true(a.optimizer_step == b.optimizer_step && a.optimizer_skipped == b.optimizer_skipped);
    assert_true(a.optimizer_reset_at == b.optimizer_reset_at && a.cycle == b.cycle);
    assert_true(a.dropped_records == b.dropped_records && a.batch == b.batch && a.seed == b.seed);
    assert_true(a.stream_ns == b.stream_ns && a.score_records == b.score_records && a.score_hits == b.score_hits);
    assert_true(a.score_loss_sum == b.score_loss_sum && a.score_fade_hits == b.score_fade_hits);
    assert_true(a.score_fade_loss == b.score_fade_loss && a.score_fade_weight == b.score_fade_weight);
    assert_true(a.input_scale == b.input_scale && a.input_offset == b.input_offset);
    ta_snapshot_free(&x);
    ta_snapshot_free(&lead);
}

ta_status wait_for(struct ta_checkpoint_writer *w, char *path, size_t bytes) {
    ta_status status;
    while ((status = ta_checkpoint_poll(w, path, bytes)) == TA_BUSY) usleep(1000);
    return status;
}

ta_status write_and_wait(struct ta_checkpoint_writer *w, struct ta_snapshot *s, const unsigned *writers, unsigned n) {
    ta_status status;
    while ((status = ta_checkpoint_submit(w, s, writers, n)) == TA_BUSY) usleep(1000);
    return status == TA_OK ? wait_for(w, NULL, 0) : status;
}

struct ta_checkpoint_writer *writer_of(const char *directory, const struct ta_model *model, unsigned keep) {
    struct ta_checkpoint_writer *w;
    const struct ta_checkpoint_config config = {.directory = directory, .model = model, .keep = keep, .patience_s = 5};
    assert_ok(ta_checkpoint_open(&config, &w));
    return w;
}

void write_alone(const char *directory, const struct ta_model *model, uint64_t steps) {
    struct ta_checkpoint_writer *w = writer_of(directory, model, 2);
    struct ta_snapshot s;
    made_up(model, 0, 1, steps, &s);
    assert_ok(write_and_wait(w, &s, (unsigned[]){0}, 1));
    assert_true(s.borrowed || s.delta == NULL); /* taken */
    assert_ok(ta_checkpoint_close(w));
}
