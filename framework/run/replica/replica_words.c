/* replica_words: text or word numbers -> rows -> the kernel; and the online vocabulary's traffic with the exchange. */
#include "replica_words.h"

#include <math.h>
#include <string.h>

#include "mem.h"
#include "replica_internal.h"

enum { CHANGES = 256, FIRST_RECOUNT = 10000, NAME_FLOATS = TA_NAME_BYTES / sizeof(float) };

static ta_status check_stream(const struct ta_replica *r) {
    const struct ta_stream_info *info = &r->info;
    if (info->label_kind == TA_LABEL_CLASS)
        return ta_fail(TA_CONFIG,
                       "model: a word model learns from sentences, or from pairs with a value each, but the stream "
                       "has classes");
    if (info->label_kind == TA_LABEL_VALUE && info->targets + 1 != info->c)
        return ta_fail(TA_CONFIG,
                       "model: pairs need a label for each context, but the stream has %u contexts and %u labels a "
                       "record",
                       info->c - 1, info->targets);
    if (info->label_kind == TA_LABEL_VALUE && r->model.words.type == TA_MODEL_CBOW)
        return ta_fail(TA_CONFIG, "model.type: cbow needs sentences; the stream has pairs: use skipgram");
    return TA_OK;
}

static ta_status open_vocabulary(struct ta_replica *r) {
    struct ta_replica_words *w = &r->words;
    struct ta_vocabulary_config config = {.rows = r->model.words.rows,
                                          .admit = r->model.words.admit,
                                          .rank = r->config.rank,
                                          .n_ranks = r->config.n_ranks};
    ta_status status = ta_vocabulary_open(&config, &w->vocabulary);
    w->length = r->info.c / 2 + 1; /* a letter and a space each */
    if (status == TA_OK)
        status = TA_NEW(&w->numbers, (size_t)r->run->stream.batch * w->length, "the words of a batch");
    w->recount_at = FIRST_RECOUNT;
    return status;
}

ta_status ta_replica_words_open(struct ta_replica *r) {
    struct ta_replica_words *w = &r->words;
    const struct ta_word_model *m = &r->model.words;
    ta_status status = check_stream(r);
    if (status != TA_OK) return status;
    w->ops = r->kernel_ops->skipgram;
    if (w->ops == NULL)
        return ta_fail(TA_NOT_BUILT, "device.type: %s has no kernels for words; use cpu", r->kernel_ops->name);
    w->rate = r->run->optimizer;
    w->goal_records = (double)ta_run_config_goal(r->run, &r->info);
    w->pairs = r->info.label_kind == TA_LABEL_VALUE;
    w->length = r->info.c;
    status = ta_optimizer_check_words(&w->rate, m->type, w->goal_records > 0);
    if (status == TA_OK && m->online) status = open_vocabulary(r);
    else if (status == TA_OK && !w->pairs) status = ta_stream_names(r->run->stream.spec.file, &w->names);
    if (status != TA_OK) return status;
    struct ta_skipgram_spec spec = {
        .cbow = m->type == TA_MODEL_CBOW,
        .in = r->model.segments[m->in].table,
        .out = r->model.segments[m->out].table,
        .window = m->window,
        .negative = m->negative,
        .length = w->length,
        .sample = m->sample,
        .seed = r->run->run.seed,
        .lists = r->config.n_ranks > 1,
    };
    status = w->ops->create(r->kernels, &spec, &w->skipgram);
    if (status != TA_OK || m->online || w->pairs) return status;
    w->counted = true;
    return w->ops->counts(w->skipgram, w->names.counts);
}

void ta_replica_words_close(struct ta_replica_words *w) {
    if (w->ops != NULL) w->ops->destroy(w->skipgram);
    ta_vocabulary_close(w->vocabulary);
    ta_names_free(&w->names);
    ta_mem_free(w->numbers);
    *w = (struct ta_replica_words){0};
}

size_t ta_replica_words_bytes(const struct ta_replica_words *w) {
    size_t bytes = w->skipgram != NULL ? w->ops->bytes(w->skipgram) : 0;
    if (w->vocabulary != NULL) bytes += ta_vocabulary_bytes(w->vocabulary);
    return bytes + w->names.text_capacity + w->names.capacity * (sizeof *w->names.start + sizeof *w->names.counts);
}

/* --- the online vocabulary --- */

/* The vectors of rows that stand for another word now: what this replica has learned about the old one goes. */
static ta_status forget(struct ta_replica *r, const uint32_t *rows, size_t n) {
    if (n == 0) return TA_OK;
    ta_status status = r->exchange_ops->reset_rows(r->x, r->model.words.in, rows, n);
    return status == TA_OK ? r->exchange_ops->reset_rows(r->x, r->model.words.out, rows, n) : status;
}

/* Takes over what the keepers say of rows first .. first + n - 1 (or of those listed). */
static ta_status take_names(struct ta_replica *r, const uint32_t *rows, size_t n) {
    const float *names = r->x->w + r->model.segments[r->model.words.names].offset;
    uint32_t changed[CHANGES];
    char name[CHANGES][TA_NAME_BYTES];
    size_t n_changed = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t row = rows != NULL ? rows[i] : (uint32_t)i;
        size_t at = rows != NULL ? 0 : i % CHANGES, together = rows != NULL ? 1 : n - i < CHANGES ? n - i : CHANGES;
        if (at == 0) {
            ta_status status = r->kernel_ops->copy_out(r->kernels, name, names + (size_t)row * NAME_FLOATS,
                                                       together * TA_NAME_BYTES);
            if (status != TA_OK) return status;
        }
        if (!ta_vocabulary_set(r->words.vocabulary, row, name[at], 0)) continue;
        changed[n_changed++] = row;
        if (n_changed < CHANGES) continue;
        ta_status status = forget(r, changed, n_changed);
        if (status != TA_OK) return status;
        n_changed = 0;
    }
    return forget(r, changed, n_changed);
}

static ta_status hear_names(struct ta_replica *r) {
    uint32_t rows[CHANGES];
    size_t n = r->exchange_ops->renamed(r->x, rows, CHANGES);
    return n > CHANGES ? take_names(r, NULL, r->model.words.rows) : take_names(r, rows, n);
}

/* What this keeper has decided becomes part of its register. */
static ta_status tell_names(struct ta_replica *r) {
    struct ta_vocabulary_change changes[CHANGES];
    uint32_t rows[CHANGES];
    float *own = (r->x->delta != NULL ? r->x->delta : r->x->w) + r->model.segments[r->model.words.names].offset;
    for (size_t n; (n = ta_vocabulary_decide(r->words.vocabulary, changes, CHANGES)) > 0;) {
        for (size_t i = 0; i < n; i++) {
            rows[i] = changes[i].row;
            ta_status status = r->kernel_ops->copy_in(r->kernels, own + (size_t)rows[i] * NAME_FLOATS, changes[i].name,
                                                      TA_NAME_BYTES);
            if (status != TA_OK) return status;
        }
        ta_status status = r->exchange_ops->reset_rows(r->x, r->model.words.names, rows, n);
        if (status == TA_OK) status = forget(r, rows, n);
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

/* Counts move on as the text does: told often at first, later whenever a quarter more has been read. */
static ta_status recount(struct ta_replica *r) {
    struct ta_replica_words *w = &r->words;
    struct ta_vocabulary_stats stats;
    ta_vocabulary_stats(w->vocabulary, &stats);
    if (stats.used == 0 || (w->counted && stats.words < w->recount_at)) return TA_OK;
    uint64_t most = (uint64_t)r->model.words.rows * 20, step = stats.words / 4;
    if (step < FIRST_RECOUNT) step = FIRST_RECOUNT;
    w->recount_at = stats.words + (step < most ? step : most);
    ta_status status = w->ops->counts(w->skipgram, ta_vocabulary_counts(w->vocabulary));
    w->counted |= status == TA_OK;
    /* A vocabulary whose every word comes from other keepers and was not seen here yet: nothing to draw from. */
    return status == TA_CONFIG ? TA_OK : status;
}

static ta_status read_text(struct ta_replica *r, const struct ta_batch *batch) {
    struct ta_replica_words *w = &r->words;
    ta_status status = hear_names(r);
    for (uint32_t i = 0; status == TA_OK && i < batch->records; i++) {
        const char *text = (const char *)batch->raw + (size_t)i * r->info.c;
        int32_t *numbers = w->numbers + (size_t)i * w->length;
        size_t n = ta_vocabulary_read(w->vocabulary, text, r->info.c, numbers, w->length);
        for (; n < w->length; n++) numbers[n] = -1;
    }
    if (status == TA_OK) status = tell_names(r);
    return status == TA_OK ? recount(r) : status;
}

/* --- training --- */

/* The run's share that is done, from the batch's place: the same for all replicas, and after a resume. */
static float rate_at(const struct ta_replica *r, const struct ta_batch *batch) {
    const struct ta_replica_words *w = &r->words;
    double share = w->goal_records > 0 ? (double)batch->first_record / w->goal_records : 0;
    return ta_optimizer_rate_at(&w->rate, share) * r->x->scale;
}

static void touch(struct ta_replica *r, const struct ta_skipgram_made *made) {
    if (r->x->delta == NULL) return;
    r->exchange_ops->touched(r->x, r->model.words.in, made->in_rows, made->n_in_rows);
    r->exchange_ops->touched(r->x, r->model.words.out, made->out_rows, made->n_out_rows);
}

ta_status ta_replica_words_train(struct ta_replica *r, const struct ta_batch *batch, uint32_t *records, double *loss) {
    struct ta_replica_words *w = &r->words;
    struct ta_skipgram_made made = {0};
    ta_status status = w->vocabulary != NULL ? read_text(r, batch) : TA_OK;
    if (status == TA_OK && w->pairs) {
        struct ta_skipgram_pairs pairs = {batch->raw, batch->targets, batch->records, w->length - 1, rate_at(r, batch)};
        status = w->ops->pairs(w->skipgram, r->x->w, &pairs, &made);
    } else if (status == TA_OK && w->counted) {
        struct ta_skipgram_batch sentences = {
            .words = w->vocabulary != NULL ? w->numbers : batch->raw,
            .sentences = batch->records,
            .length = w->length,
            .rate = rate_at(r, batch),
            .number = batch->number,
        };
        status = w->ops->train(w->skipgram, r->x->w, &sentences, &made);
    }
    if (status != TA_OK) return status;
    touch(r, &made);
    w->words += made.words;
    w->centres += made.centres;
    w->pairs_made += made.pairs;
    *records = made.pairs > 0 ? batch->records : 0;
    *loss = made.loss_pairs > 0 ? made.loss_sum / (double)made.loss_pairs : NAN;
    return TA_OK;
}

/* --- checkpoints --- */

ta_status ta_replica_words_names(const struct ta_replica *r, struct ta_names *out) {
    const struct ta_replica_words *w = &r->words;
    if (w->vocabulary != NULL) return ta_vocabulary_names(w->vocabulary, out);
    ta_status status = TA_OK;
    for (uint32_t i = 0; status == TA_OK && i < r->model.words.rows; i++) {
        const char *word = i < w->names.count ? ta_names_get(&w->names, i) : "";
        status = ta_names_add(out, word, strlen(word), i < w->names.count ? w->names.counts[i] : 0);
    }
    return status;
}

void ta_replica_words_restore(struct ta_replica *r, const struct ta_names *names, float *w0) {
    struct ta_replica_words *w = &r->words;
    if (w->vocabulary == NULL) return;
    float *rows = w0 != NULL ? w0 + r->model.segments[r->model.words.names].offset : NULL;
    for (uint32_t i = 0; i < r->model.words.rows && i < names->count; i++) {
        char name[TA_NAME_BYTES] = "";
        const char *word = ta_names_get(names, i);
        size_t bytes = strlen(word);
        memcpy(name, word, bytes < sizeof name ? bytes : sizeof name - 1);
        if (rows != NULL) memcpy(rows + (size_t)i * NAME_FLOATS, name, sizeof name);
        (void)ta_vocabulary_set(w->vocabulary, i, name, names->counts[i]);
    }
}
