/* predictions: a ring of columns between the replica and a thread that appends them to their datasets. */
#include "predictions.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "agreement.h"
#include "clock.h"
#include "h5.h"
#include "mem.h"
#include "predictions_columns.h"

enum { CHUNK_ROWS = 16384, NAP_NS = 20000000, COLUMNS = TA_PREDICTIONS_FIELDS };

#define FLUSH_NS TA_NS_PER_S

/* One dataset and its part of the ring. */
struct column {
    struct ta_predictions_column is;
    unsigned char *ring; /* [TA_PREDICTIONS_ROOM][width] */
    size_t row_bytes;
    struct ta_h5_set *set;
};

struct ta_predictions {
    struct ta_predictions_config config;
    struct ta_h5 *file;
    struct column column[COLUMNS];
    pthread_t thread;
    bool has_thread;
    _Atomic uint64_t added, written, seen; /* rows: by the producer, to the file, flushed */
    atomic_bool stop;
    _Atomic int failed; /* ta_status; `why` is there once it is not OK */
    char why[512];
};

/* --- the writer --- */

/* Rows [first, first + n), which do not wrap. */
static ta_status write_rows(struct ta_predictions *p, uint64_t first, uint64_t n) {
    ta_status status = TA_OK;
    for (unsigned i = 0; i < COLUMNS && status == TA_OK; i++) {
        struct column *c = &p->column[i];
        if (c->is.width == 0) continue;
        const unsigned char *from = c->ring + first % TA_PREDICTIONS_ROOM * c->row_bytes;
        status = ta_h5_set_write(c->set, c->is.type, first, n, from);
    }
    return status;
}

static ta_status write_all(struct ta_predictions *p) {
    uint64_t end = atomic_load_explicit(&p->added, memory_order_acquire), at = atomic_load(&p->written);
    ta_status status = TA_OK;
    while (at < end && status == TA_OK) {
        uint64_t n = end - at, to_wrap = TA_PREDICTIONS_ROOM - at % TA_PREDICTIONS_ROOM;
        if (n > to_wrap) n = to_wrap;
        status = write_rows(p, at, n);
        if (status == TA_OK) atomic_store_explicit(&p->written, at += n, memory_order_release);
    }
    return status;
}

/* The record numbers last: who sees a row in them finds it in the others. */
static ta_status flush(struct ta_predictions *p) {
    ta_status status = TA_OK;
    for (unsigned i = COLUMNS; i-- > 0 && status == TA_OK;)
        if (p->column[i].is.width > 0) status = ta_h5_set_flush(p->column[i].set);
    if (status == TA_OK) atomic_store(&p->seen, atomic_load(&p->written));
    return status;
}

static void *thread_main(void *argument) {
    struct ta_predictions *p = argument;
    int64_t flush_ns = ta_clock_now_ns() + FLUSH_NS;
    ta_status status = TA_OK;
    while (status == TA_OK) {
        bool stop = atomic_load(&p->stop); /* before the look: what was added before it is written */
        uint64_t waiting = atomic_load(&p->added) - atomic_load(&p->written);
        int64_t now_ns = ta_clock_now_ns();
        bool late = now_ns >= flush_ns;
        if (stop || late || waiting >= CHUNK_ROWS) status = write_all(p);
        if (status == TA_OK && (stop || late)) {
            status = flush(p);
            flush_ns = now_ns + FLUSH_NS;
        }
        if (stop) break;
        if (status == TA_OK) ta_clock_sleep_until(now_ns + NAP_NS, 0);
    }
    if (status != TA_OK) {
        snprintf(p->why, sizeof p->why, "%s", ta_why());
        atomic_store(&p->failed, (int)status);
    }
    return NULL;
}

/* --- opening --- */

static ta_status make_column(struct ta_predictions *p, struct column *c) {
    c->row_bytes = c->is.width * ta_h5_type_bytes(c->is.type);
    ta_status status = ta_mem_alloc(TA_PREDICTIONS_ROOM, c->row_bytes, "the log of predictions", (void **)&c->ring);
    struct ta_h5_create how = {.shape = {.type = c->is.type, .rank = c->is.width > 1 ? 2 : 1, .dims = {0, c->is.width}},
                               .chunk_rows = CHUNK_ROWS};
    if (status == TA_OK) status = ta_h5_set_create(p->file, c->is.name, &how, &c->set);
    return status == TA_OK ? ta_predictions_describe(p->file, c->is.name, &c->is) : status;
}

static ta_status make_file(struct ta_predictions *p) {
    ta_status status = ta_h5_open(p->config.path, TA_H5_GROW, &p->file);
    if (status == TA_OK) status = ta_h5_attr_set_text(p->file, "/", "format", "tensair-predictions");
    if (status == TA_OK) status = ta_h5_attr_set_i64(p->file, "/", "version", 1);
    if (status == TA_OK) status = ta_h5_attr_set_i64(p->file, "/", "replica", p->config.rank);
    if (status == TA_OK) status = ta_h5_attr_set_i64(p->file, "/", "life", p->config.life);
    for (unsigned i = 0; i < COLUMNS && status == TA_OK; i++)
        if (p->column[i].is.width > 0) status = make_column(p, &p->column[i]);
    return status == TA_OK ? ta_h5_grow(p->file) : status;
}

static ta_status start(struct ta_predictions *p) {
    sigset_t all, before; /* signals are for the thread that runs the replica */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    p->has_thread = pthread_create(&p->thread, NULL, thread_main, p) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return p->has_thread ? TA_OK : ta_fail(TA_FAILED, "predictions: no thread can be started; see ulimit -u");
}

ta_status ta_predictions_open(const struct ta_predictions_config *config, struct ta_predictions **out) {
    struct ta_predictions *p;
    *out = NULL;
    if (config->kind.outputs == 0) return ta_fail(TA_CONFIG, "predictions: a model without outputs predicts nothing");
    ta_status status = TA_NEW(&p, 1, "the log of predictions");
    if (status != TA_OK) return status;
    p->config = *config;
    struct ta_predictions_column columns[COLUMNS];
    ta_predictions_columns(&config->kind, columns);
    for (unsigned i = 0; i < COLUMNS; i++) p->column[i].is = columns[i];
    status = make_file(p);
    p->config.path = NULL; /* the caller's */
    if (status == TA_OK) status = start(p);
    if (status == TA_OK) *out = p;
    else (void)ta_predictions_close(p);
    return status;
}

ta_status ta_predictions_close(struct ta_predictions *p) {
    if (p == NULL) return TA_OK;
    if (p->has_thread) {
        atomic_store(&p->stop, true);
        pthread_join(p->thread, NULL);
    }
    for (unsigned i = 0; i < COLUMNS; i++) {
        ta_h5_set_close(p->column[i].set);
        ta_mem_free(p->column[i].ring);
    }
    ta_status closed = ta_h5_close(p->file), failed = (ta_status)atomic_load(&p->failed);
    if (failed != TA_OK) closed = ta_fail(failed, "%s", p->why);
    ta_mem_free(p);
    return closed;
}

/* --- the producer --- */

uint32_t ta_predictions_room(const struct ta_predictions *p) {
    uint64_t held = atomic_load_explicit(&p->added, memory_order_relaxed) -
                    atomic_load_explicit(&p->written, memory_order_acquire);
    return (uint32_t)(TA_PREDICTIONS_ROOM - held);
}

uint64_t ta_predictions_written(const struct ta_predictions *p) { return atomic_load(&p->seen); }

/* Column by column: a loop a column is a run of stores to one place. */
#define FILL(field, type, value)                                                       \
    do {                                                                               \
        type *ring_ = (type *)(void *)p->column[TA_PREDICTIONS_##field].ring;          \
        for (uint32_t i = 0; i < n; i++) ring_[(at + i) % TA_PREDICTIONS_ROOM] = (value); \
    } while (0)

static float confidence_of(const float *prediction, uint32_t outputs, int32_t class) {
    if (class < 0) return NAN;
    return outputs > 1 ? prediction[class] : class == 1 ? prediction[0] : 1 - prediction[0];
}

static void fill_classes(struct ta_predictions *p, uint64_t at, uint32_t n, const struct ta_predictions_rows *rows) {
    uint32_t outputs = p->config.kind.outputs;
    int32_t *class = (int32_t *)(void *)p->column[TA_PREDICTIONS_PREDICTION].ring;
    float *confidence = (float *)(void *)p->column[TA_PREDICTIONS_CONFIDENCE].ring;
    for (uint32_t i = 0; i < n; i++) {
        const float *prediction = rows->predictions + (size_t)i * outputs;
        uint64_t to = (at + i) % TA_PREDICTIONS_ROOM;
        class[to] = ta_agreement_class_of(prediction, outputs);
        confidence[to] = confidence_of(prediction, outputs, class[to]);
    }
    FILL(LABEL, int32_t, rows->classes != NULL ? rows->classes[i] : -1);
}

static void fill_values(struct ta_predictions *p, uint64_t at, uint32_t n, const struct ta_predictions_rows *rows) {
    uint32_t outputs = p->config.kind.outputs, targets = p->column[TA_PREDICTIONS_LABEL].is.width;
    float *values = (float *)(void *)p->column[TA_PREDICTIONS_PREDICTION].ring;
    float *labels = (float *)(void *)p->column[TA_PREDICTIONS_LABEL].ring;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t to = (at + i) % TA_PREDICTIONS_ROOM;
        memcpy(values + to * outputs, rows->predictions + (size_t)i * outputs, outputs * sizeof *values);
        for (uint32_t k = 0; k < targets; k++)
            labels[to * targets + k] = rows->targets != NULL ? rows->targets[(size_t)i * targets + k] : NAN;
    }
}

ta_status ta_predictions_add(struct ta_predictions *p, uint32_t n, const struct ta_predictions_rows *rows) {
    ta_status failed = (ta_status)atomic_load(&p->failed);
    if (failed != TA_OK) return ta_fail(failed, "%s", p->why);
    if (n > ta_predictions_room(p)) return TA_BUSY;
    uint64_t at = atomic_load_explicit(&p->added, memory_order_relaxed);
    FILL(RECORD, uint64_t, rows->first_record + i);
    FILL(DUE, int64_t, rows->due_ns[i]);
    FILL(ANSWERED, int64_t, rows->answered_ns);
    FILL(VERSION, uint64_t, rows->version);
    if (p->config.kind.classes) fill_classes(p, at, n, rows);
    else fill_values(p, at, n, rows);
    atomic_store_explicit(&p->added, at + n, memory_order_release);
    return TA_OK;
}
