/* replayer: the ring between the reader thread and its one consumer.
 *
 * The reader counts batches into the ring (`filled`), the consumer counts them out (`taken`) and back (`returned`). A
 * semaphore holds the free slots: the reader sleeps on it, the consumer only ever posts. What a slot holds belongs to
 * the reader until `filled` passes it, then to the consumer until it posts.
 */
#include "replayer.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "feeder.h"
#include "mem.h"

enum { DEFAULT_RING = 8, MAX_RING = 1 << 20, WHY_BYTES = 1024 };

struct slot {
    struct ta_batch batch; /* first: release gets its address */
    void *raw;             /* batch.raw, to write to */
    bool unread;           /* too late before it was read: only number, records and due are set */
    bool released;
};

struct ta_replayer {
    struct ta_replayer_config config;
    int64_t resume_due_ns; /* due time of the first record not yet trained */
    int64_t max_lag_ns;
    uint64_t total; /* records of the run */
    uint64_t end;   /* batches of the run */

    /* the reader's own */
    struct ta_share share;
    struct ta_feeder feeder;
    struct ta_pacer pacer;
    struct slot *slots;
    void *x; /* of all batches: float32, or as stored */
    float *targets;
    int32_t *classes;
    int64_t *due_each, *delays;
    bool have_semaphore, have_thread;
    pthread_t thread;

    /* between the two */
    sem_t free_slots;
    _Alignas(64) atomic_uint_fast64_t filled;
    atomic_int_fast64_t reading_due_ns; /* of the batch that is being read; INT64_MAX: none */
    atomic_bool ended;                  /* end_status and why are set, nothing more comes */
    ta_status end_status;
    char why[WHY_BYTES];
    _Alignas(64) atomic_int_fast64_t horizon_ns; /* what is due before this is too late */
    atomic_bool stop;

    /* the consumer's own */
    _Alignas(64) uint64_t taken;
    uint64_t returned;
    int64_t origin_ns;
    bool started, starving, told_end;
    struct ta_replayer_stats stats;
};

/* ---- the reader ---- */

static ta_status stamp(struct ta_replayer *r, struct ta_batch *batch) {
    size_t n = batch->records;
    if (r->config.pace.pace == TA_PACE_MAX) return TA_OK; /* all zero since birth */
    if (r->config.pace.pace == TA_PACE_TRACE) {
        ta_status status = ta_feeder_times(&r->feeder, batch->first_record, n, batch->due_each_ns);
        if (status != TA_OK) return status;
    }
    ta_pacer_seek(&r->pacer, batch->first_record);
    for (size_t i = 0; i < n; i++) batch->due_each_ns[i] = ta_pacer_due_ns(&r->pacer, batch->due_each_ns[i]);
    batch->due_ns = batch->due_each_ns[n - 1];
    return TA_OK;
}

static ta_status fill(struct ta_replayer *r, struct slot *slot, uint64_t number) {
    struct ta_batch *batch = &slot->batch;
    batch->number = number;
    batch->first_record = number * r->config.batch;
    uint64_t left = r->total - batch->first_record;
    batch->records = left < r->config.batch ? (uint32_t)left : r->config.batch;
    ta_status status = stamp(r, batch);
    if (status != TA_OK) return status;
    atomic_store_explicit(&r->reading_due_ns, batch->due_ns, memory_order_relaxed);
    slot->unread = batch->due_ns < atomic_load_explicit(&r->horizon_ns, memory_order_relaxed);
    if (slot->unread) return TA_OK;
    return ta_feeder_read(&r->feeder, batch->first_record, batch->records,
                          &(struct ta_feed){.x = batch->x,
                                            .raw = slot->raw,
                                            .classes = batch->classes,
                                            .targets = batch->targets,
                                            .delays = batch->delays});
}

/* The next batch of our share that is not done yet. END: there is none. */
static ta_status deal(struct ta_replayer *r, uint64_t *number) {
    while (ta_share_next(&r->share, r->end, number))
        if (!ta_frontier_has(&r->share.done, *number)) return TA_OK;
    return TA_END;
}

static ta_status read_one(struct ta_replayer *r, uint64_t number) {
    uint64_t filled = atomic_load_explicit(&r->filled, memory_order_relaxed);
    ta_status status = fill(r, &r->slots[filled % r->config.ring], number);
    if (status != TA_OK) return status;
    atomic_store_explicit(&r->filled, filled + 1, memory_order_release);
    atomic_store_explicit(&r->reading_due_ns, INT64_MAX, memory_order_relaxed);
    return TA_OK;
}

static ta_status read_ahead(struct ta_replayer *r) {
    for (;;) {
        uint64_t number;
        ta_status status = deal(r, &number);
        if (status != TA_OK) return status;
        while (sem_wait(&r->free_slots) != 0 && errno == EINTR) {
        }
        if (atomic_load_explicit(&r->stop, memory_order_acquire)) return TA_END;
        status = read_one(r, number);
        if (status != TA_OK) return status;
    }
}

static void end_reading(struct ta_replayer *r, ta_status status) {
    r->end_status = status;
    if (status != TA_END) snprintf(r->why, sizeof r->why, "%s", ta_why());
    atomic_store_explicit(&r->ended, true, memory_order_release);
}

static void *reader(void *argument) {
    struct ta_replayer *r = argument;
    end_reading(r, read_ahead(r));
    return NULL;
}

/* ---- opening and closing ---- */

static ta_status check(const struct ta_replayer_config *c) {
    if (c->stream == NULL || c->share == NULL) return ta_fail(TA_INVALID, "replayer: no stream or no share");
    if (c->batch == 0) return ta_fail(TA_CONFIG, "batch is 0 records; it must be at least 1");
    if (c->ring > MAX_RING) return ta_fail(TA_CONFIG, "ring is %u batches; it must be at most %d", c->ring, MAX_RING);
    if (!isfinite(c->epochs) || c->epochs < 0)
        return ta_fail(TA_CONFIG, "epochs is %g; it must be above 0, or 0 for ever", c->epochs);
    if (c->pace.pace == TA_PACE_TRACE && !c->stream->info.has_time)
        return ta_fail(TA_CONFIG, "pace trace: the stream has no recorded times (/t); take another pace");
    if (c->on_overload != TA_OVERLOAD_DROP) return TA_OK;
    if (!isfinite(c->max_lag_s) || c->max_lag_s < 0)
        return ta_fail(TA_CONFIG, "max_lag is %g seconds; it must be 0 or more", c->max_lag_s);
    if (c->pace.pace == TA_PACE_MAX)
        return ta_fail(TA_CONFIG, "on_overload drop needs a pace with due times; with pace max nothing is ever in time");
    return TA_OK;
}

/* Records and batches of the run. */
static void count_records(struct ta_replayer *r) {
    const struct ta_replayer_config *c = &r->config;
    uint64_t records = c->stream->info.records;
    r->total = UINT64_MAX;
    if (records != UINT64_MAX && c->epochs > 0) {
        long double total = roundl((long double)records * (long double)c->epochs);
        if (total < 0x1p63L) r->total = (uint64_t)total;
    }
    if (records == 0) r->total = 0;
    if (c->max_records > 0 && c->max_records < r->total) r->total = c->max_records;
    r->end = r->total / c->batch + (r->total % c->batch != 0);
    if (r->total == UINT64_MAX) r->end = r->total / c->batch; /* for ever: no short last batch */
}

static ta_status find_resume_due(struct ta_replayer *r) {
    uint64_t base = r->config.share->start.base;
    if (base == 0 || base >= r->end) return TA_OK;
    struct ta_pacer pacer = r->pacer;
    int64_t recorded = 0;
    if (pacer.spec.pace == TA_PACE_TRACE) {
        ta_status status = ta_feeder_times(&r->feeder, base * r->config.batch, 1, &recorded);
        if (status != TA_OK) return status;
    }
    ta_pacer_seek(&pacer, base * r->config.batch);
    r->resume_due_ns = ta_pacer_due_ns(&pacer, recorded);
    return TA_OK;
}

/* Bytes of a record's x in the ring. */
static size_t ring_x_bytes(const struct ta_stream_info *info) {
    return ta_stream_is_raw(info) ? ta_stream_x_bytes(info) : (size_t)info->h * info->w * info->c * sizeof(float);
}

static ta_status make_ring(struct ta_replayer *r) {
    const struct ta_replayer_config *c = &r->config;
    const struct ta_stream_info *info = &c->stream->info;
    size_t x_bytes = ring_x_bytes(info), records;
    if (__builtin_mul_overflow((size_t)c->ring, (size_t)c->batch, &records))
        return ta_fail(TA_CONFIG, "a ring of %u batches of %u records is too large; lower either", c->ring, c->batch);
    ta_status status = TA_NEW(&r->slots, c->ring, "ring of batches");
    if (status == TA_OK) status = ta_mem_alloc(records, x_bytes, "ring of batches", &r->x);
    if (status == TA_OK) status = TA_NEW(&r->due_each, records, "due times of a ring of batches");
    if (status == TA_OK && info->has_delay) status = TA_NEW(&r->delays, records, "delays of a ring of batches");
    if (status == TA_OK && info->label_kind == TA_LABEL_CLASS)
        status = TA_NEW(&r->classes, records, "labels of a ring of batches");
    if (status == TA_OK && info->label_kind == TA_LABEL_VALUE)
        status = ta_mem_alloc(records, info->targets * sizeof *r->targets, "labels of a ring of batches",
                              (void **)&r->targets);
    for (size_t i = 0; i < c->ring && status == TA_OK; i++) {
        struct ta_batch *batch = &r->slots[i].batch;
        void *x = (char *)r->x + i * c->batch * x_bytes;
        if (ta_stream_is_raw(info)) batch->raw = r->slots[i].raw = x;
        else batch->x = x;
        batch->due_each_ns = r->due_each + i * c->batch;
        if (r->delays != NULL) batch->delays = r->delays + i * c->batch;
        if (r->classes != NULL) batch->classes = r->classes + i * c->batch;
        if (r->targets != NULL) batch->targets = r->targets + i * c->batch * info->targets;
    }
    return status;
}

/* The reader takes no signals: they are for the thread that knows what to do about them. */
static ta_status start_reader(struct ta_replayer *r) {
    if (sem_init(&r->free_slots, 0, r->config.ring) != 0) return ta_fail_errno(TA_FAILED, "replayer: no semaphore");
    r->have_semaphore = true;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&r->thread, NULL, reader, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0) return ta_fail(TA_FAILED, "replayer: no thread for the reader: %s", strerror(code));
    r->have_thread = true;
    return TA_OK;
}

static ta_status copy_share(struct ta_replayer *r) {
    const struct ta_share *from = r->config.share;
    ta_status status = ta_share_init(&r->share, from->rank, from->n_ranks, &from->start);
    return status == TA_OK ? ta_frontier_copy(&r->share.done, &from->done) : status;
}

ta_status ta_replayer_open(const struct ta_replayer_config *config, struct ta_replayer **out) {
    struct ta_replayer *r;
    *out = NULL;
    ta_status status = check(config);
    if (status == TA_OK) status = TA_NEW(&r, 1, "replayer");
    if (status != TA_OK) return status;
    r->config = *config;
    if (r->config.ring == 0) r->config.ring = DEFAULT_RING;
    r->max_lag_ns = config->max_lag_s < 1e9 ? (int64_t)(config->max_lag_s * 1e9) : INT64_MAX / 4;
    atomic_init(&r->horizon_ns, INT64_MIN);
    atomic_init(&r->reading_due_ns, INT64_MAX);
    count_records(r);
    status = ta_pacer_init(&r->pacer, &config->pace);
    if (status == TA_OK) status = copy_share(r);
    if (status == TA_OK)
        status = ta_feeder_open(&r->feeder, config->stream, config->batch, config->pace.pace == TA_PACE_TRACE);
    if (status == TA_OK) status = find_resume_due(r);
    if (status == TA_OK) status = make_ring(r);
    if (status == TA_OK && !r->config.in_line) status = start_reader(r);
    if (status != TA_OK) {
        ta_replayer_close(r);
        return status;
    }
    *out = r;
    return TA_OK;
}

void ta_replayer_close(struct ta_replayer *r) {
    if (r == NULL) return;
    if (r->have_thread) {
        atomic_store_explicit(&r->stop, true, memory_order_release);
        sem_post(&r->free_slots);
        pthread_join(r->thread, NULL);
    }
    if (r->have_semaphore) sem_destroy(&r->free_slots);
    ta_feeder_close(&r->feeder);
    ta_share_free(&r->share);
    ta_mem_free(r->slots);
    ta_mem_free(r->x);
    ta_mem_free(r->classes);
    ta_mem_free(r->targets);
    ta_mem_free(r->due_each);
    ta_mem_free(r->delays);
    ta_mem_free(r);
}

/* ---- the consumer ---- */

void ta_replayer_start(struct ta_replayer *r, int64_t start_ns) {
    r->origin_ns = start_ns - r->resume_due_ns;
    r->started = true;
}

int64_t ta_replayer_origin_ns(const struct ta_replayer *r) { return r->origin_ns; }

/* The oldest batch that waits in the ring, or NULL. */
static struct slot *head(struct ta_replayer *r) {
    if (atomic_load_explicit(&r->filled, memory_order_acquire) == r->taken) return NULL;
    return &r->slots[r->taken % r->config.ring];
}

/* Returns the slots that came back to the reader, in order: a slot released early waits for those before it. */
static void give_back(struct ta_replayer *r, struct slot *slot) {
    slot->released = true;
    while (r->returned < r->taken && r->slots[r->returned % r->config.ring].released) {
        r->slots[r->returned++ % r->config.ring].released = false;
        if (!r->config.in_line) sem_post(&r->free_slots);
    }
}

static ta_status nothing_there(struct ta_replayer *r, int64_t now_ns) {
    int64_t due_ns = atomic_load_explicit(&r->reading_due_ns, memory_order_relaxed);
    bool due = due_ns != INT64_MAX && r->origin_ns + due_ns <= now_ns;
    if (due && !r->starving) {
        r->stats.starved++;
        r->starving = true;
    }
    return TA_AGAIN;
}

static ta_status drop(struct ta_replayer *r, struct slot *slot) {
    ta_status status = ta_share_done(r->config.share, slot->batch.number);
    if (status != TA_OK) return status;
    r->stats.dropped_batches++;
    r->stats.dropped_records += slot->batch.records;
    r->taken++;
    give_back(r, slot);
    return TA_OK;
}

/* In the caller, where there is no reader and the ring is empty. */
static void read_in_line(struct ta_replayer *r) {
    uint64_t number;
    bool full = r->taken - r->returned >= r->config.ring;
    if (!r->config.in_line || full || atomic_load_explicit(&r->ended, memory_order_relaxed) || head(r) != NULL) return;
    ta_status status = deal(r, &number);
    if (status == TA_OK) status = read_one(r, number);
    if (status != TA_OK) end_reading(r, status);
}

ta_status ta_replayer_next(struct ta_replayer *r, int64_t now_ns, const struct ta_batch **out) {
    *out = NULL;
    if (!r->started) return ta_fail(TA_INVALID, "replayer: next before start");
    bool may_drop = r->config.on_overload == TA_OVERLOAD_DROP;
    int64_t horizon_ns = now_ns - r->origin_ns - r->max_lag_ns;
    if (may_drop) atomic_store_explicit(&r->horizon_ns, horizon_ns, memory_order_relaxed);
    for (;;) {
        read_in_line(r);
        bool ended = atomic_load_explicit(&r->ended, memory_order_acquire); /* before the ring: then all is in it */
        struct slot *slot = head(r);
        if (slot == NULL && !ended) return nothing_there(r, now_ns);
        if (slot == NULL && r->end_status != TA_END) return ta_fail(r->end_status, "%s", r->why);
        if (slot == NULL) {
            r->told_end = true;
            return TA_END;
        }
        if (slot->unread || (may_drop && slot->batch.due_ns < horizon_ns)) {
            ta_status status = drop(r, slot);
            if (status != TA_OK) return status;
            continue;
        }
        int64_t lag_ns = now_ns - r->origin_ns - slot->batch.due_ns;
        if (lag_ns < 0) return TA_AGAIN;
        r->taken++;
        r->starving = false;
        r->stats.batches++;
        r->stats.records += slot->batch.records;
        r->stats.lag_ns = lag_ns;
        *out = &slot->batch;
        return TA_OK;
    }
}

void ta_replayer_release(struct ta_replayer *r, const struct ta_batch *batch) {
    size_t i = (size_t)((const struct slot *)(const void *)batch - r->slots);
    give_back(r, &r->slots[i]);
}

int64_t ta_replayer_wake_ns(struct ta_replayer *r, int64_t now_ns) {
    bool ended = atomic_load_explicit(&r->ended, memory_order_acquire);
    const struct slot *slot = head(r);
    /* Only next ends a run: the reader may have ended since next said AGAIN, and who asks now would sleep for ever. */
    if (slot == NULL && ended) return r->told_end ? INT64_MAX : now_ns;
    int64_t due_ns = slot != NULL ? slot->batch.due_ns : atomic_load_explicit(&r->reading_due_ns, memory_order_relaxed);
    if (due_ns == INT64_MAX || r->origin_ns + due_ns < now_ns) return now_ns;
    return r->origin_ns + due_ns;
}

void ta_replayer_stats(const struct ta_replayer *r, struct ta_replayer_stats *out) { *out = r->stats; }

size_t ta_replayer_bytes(const struct ta_replayer *r) {
    const struct ta_stream_info *info = &r->config.stream->info;
    size_t label = info->label_kind == TA_LABEL_CLASS   ? sizeof(int32_t)
                   : info->label_kind == TA_LABEL_VALUE ? info->targets * sizeof(float)
                                                        : 0;
    size_t record = ring_x_bytes(info) + label + (info->has_delay ? 2 : 1) * sizeof(int64_t);
    return r->config.ring * (sizeof(struct slot) + r->config.batch * record) + ta_feeder_bytes(&r->feeder);
}
