/* atomicity: a pair of transports, the thread that changes, the thread that puts, and the caller who reads. */
#include "atomicity.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"
#include "mem.h"

enum {
    DEFAULT_WORDS = (1 << 20) / 4,
    HEADER = 0, /* 64 bytes, all words the version, the last one last */
    HEADER_WORDS = 8,
    CELLS = 64, /* 8 bytes each, the version twice, a segment each */
    N_CELLS = 8,
    BODY = 4096,
    LAST_VERSION = 65535, /* what half a word holds */
    PUTTER = 0,
    READER = 1,
};

/* What is put: registered with the device as one piece. */
struct source {
    _Atomic uint64_t header[HEADER_WORDS];
    _Atomic uint64_t cells[N_CELLS];
    _Atomic uint32_t body[]; /* [words] */
};

struct pair {
    const struct ta_transport_ops *ops;
    struct ta_transport *t[2];
    struct ta_window window; /* of the reader */
    struct source *source;
    uint32_t words;
    int64_t until_ns, at_last_ns; /* the end; the end while there were too few looks */
    _Atomic uint32_t looks;
    _Atomic uint32_t whole; /* all words of the body carry at least this version */
    _Atomic int stop;
    uint64_t puts;
    ta_status status; /* of the putter */
    char why[256];
};

static uint32_t encode(uint32_t version, uint32_t place) {
    return (version << 16 | (~version & 0xffff)) ^ place * 2654435761u;
}

/* The version a word carries; -1: none. */
static int64_t decode(uint32_t word, uint32_t place) {
    word ^= place * 2654435761u;
    return (word >> 16) == (~word & 0xffff) ? (int64_t)(word >> 16) : -1;
}

static bool goes_on(const struct pair *p) {
    if (atomic_load_explicit(&p->stop, memory_order_relaxed)) return false;
    bool few = atomic_load_explicit(&p->looks, memory_order_relaxed) < TA_ATOMICITY_LOOKS;
    return ta_clock_now_ns() < (few ? p->at_last_ns : p->until_ns);
}

static void *keep_changing(void *argument) {
    struct pair *p = argument;
    for (uint32_t v = 1; v <= LAST_VERSION && goes_on(p); v++) {
        for (uint32_t i = 0; i < p->words; i++)
            atomic_store_explicit(&p->source->body[i], encode(v, i), memory_order_relaxed);
        atomic_store_explicit(&p->whole, v, memory_order_release);
    }
    return NULL;
}

/* ---- the putter ---- */

static ta_status put_live(struct pair *p) {
    struct source *s = p->source;
    uint64_t version = atomic_load_explicit(&p->whole, memory_order_acquire);
    struct ta_put_segment put[2 + N_CELLS] = {
        {.source = (const void *)s->body, .bytes = 4 * (size_t)p->words, .target_offset = BODY}};
    for (unsigned i = 0; i < N_CELLS; i++) {
        atomic_store_explicit(&s->cells[i], version << 32 | version, memory_order_relaxed);
        put[1 + i] = (struct ta_put_segment){
            .source = (const void *)&s->cells[i], .bytes = sizeof s->cells[i], .target_offset = CELLS + 8 * i};
    }
    for (unsigned i = 0; i < HEADER_WORDS; i++)
        atomic_store_explicit(&s->header[i], version, memory_order_relaxed);
    put[1 + N_CELLS] = (struct ta_put_segment){
        .source = (const void *)s->header, .bytes = sizeof s->header, .target_offset = HEADER};
    return p->ops->put(p->t[PUTTER], READER, put, 2 + N_CELLS);
}

/* Header and cells belong to one put until their source is free, so one put is in flight at a time. */
static ta_status put_until_the_end(struct pair *p) {
    struct ta_transport *t = p->t[PUTTER];
    ta_status status = TA_OK;
    while (status == TA_OK && goes_on(p)) {
        status = p->ops->progress(t, ta_clock_now_ns());
        if (status != TA_OK || p->ops->in_flight(t, READER) > 0) continue;
        status = put_live(p);
        p->puts += status == TA_OK;
        if (status == TA_BUSY) status = TA_OK;
    }
    return status;
}

static void *keep_putting(void *argument) {
    struct pair *p = argument;
    p->status = put_until_the_end(p);
    /* A message is its thread's own: it is carried to the caller's. */
    size_t length = p->status == TA_OK ? 0 : strnlen(ta_why(), sizeof p->why - 1);
    memcpy(p->why, ta_why(), length);
    p->why[length] = '\0';
    atomic_store(&p->stop, 1);
    return NULL;
}

/* ---- the reader ---- */

static void look_at_header(const unsigned char *base, int64_t version, struct ta_atomicity *f) {
    for (unsigned i = 0; i + 1 < HEADER_WORDS; i++)
        f->late_header += (int64_t)ta_window_load_u64(base + HEADER + 8 * i) < version;
    for (unsigned i = 0; i < N_CELLS; i++) {
        uint64_t cell = ta_window_load_u64(base + CELLS + 8 * i);
        f->torn_longs += cell >> 32 != (cell & UINT32_MAX);
        f->late_words += (int64_t)(cell >> 32) < version;
    }
}

static void look(const struct pair *p, struct ta_atomicity *f) {
    const unsigned char *base = p->window.base;
    int64_t version = (int64_t)ta_window_load_u64(base + HEADER + 8 * (HEADER_WORDS - 1)), first = -1;
    bool mixed = false;
    if (version == 0) return;
    look_at_header(base, version, f);
    /* From the end: a put that came late would still be ahead of who reads from the front. */
    for (uint32_t i = p->words; i-- > 0;) {
        const void *at = base + BODY + 4 * (size_t)i;
        int64_t v = decode(atomic_load_explicit((const _Atomic uint32_t *)at, memory_order_relaxed), i);
        f->torn_words += v < 0;
        f->late_words += v >= 0 && v < version;
        if (first < 0) first = v;
        mixed |= v >= 0 && v != first;
    }
    f->looks++;
    f->mixed += mixed;
}

/* A transport may need its own thread to take in what peers write: progress, between two looks. */
static ta_status read_until_the_end(struct pair *p, struct ta_atomicity *f) {
    ta_status status = TA_OK;
    while (status == TA_OK && goes_on(p)) {
        look(p, f);
        atomic_store_explicit(&p->looks, f->looks < UINT32_MAX ? (uint32_t)f->looks : UINT32_MAX, memory_order_relaxed);
        status = p->ops->progress(p->t[READER], ta_clock_now_ns());
    }
    return status;
}

/* ---- the pair ---- */

static ta_status open_one(struct pair *p, const struct ta_atomicity_config *config, uint64_t run_id, unsigned rank) {
    struct ta_transport_config transport = {.rank = rank, .n_ranks = 2, .run_id = run_id, .spec = config->spec};
    struct ta_window window;
    ta_status status = p->ops->open(&transport, &p->t[rank]);
    if (status != TA_OK) return status;
    size_t bytes = rank == READER ? BODY + 4 * (size_t)p->words : BODY;
    status = p->ops->window_create(p->t[rank], bytes, &window);
    if (status == TA_OK && rank == READER) p->window = window;
    return status;
}

static ta_status connect_pair(struct pair *p, const struct ta_atomicity_config *config) {
    uint64_t run_id;
    struct ta_key keys[2];
    size_t bytes = sizeof *p->source + 4 * (size_t)p->words;
    if (getrandom(&run_id, sizeof run_id, 0) != sizeof run_id)
        return ta_fail_errno(TA_FAILED, "no random numbers from the system");
    ta_status status = open_one(p, config, run_id, PUTTER);
    if (status == TA_OK) status = open_one(p, config, run_id, READER);
    if (status == TA_OK) status = p->ops->source_register(p->t[PUTTER], p->source, bytes);
    for (unsigned r = 0; r < 2 && status == TA_OK; r++) status = p->ops->key_make(p->t[r], 1 - r, &keys[r]);
    for (unsigned r = 0; r < 2 && status == TA_OK; r++) status = p->ops->connect(p->t[r], 1 - r, &keys[1 - r]);
    return status;
}

static ta_status run(struct pair *p, const struct ta_atomicity_config *config, struct ta_atomicity *out) {
    pthread_t changer, putter;
    for (uint32_t i = 0; i < p->words; i++) atomic_store(&p->source->body[i], encode(0, i));
    p->until_ns = ta_clock_now_ns() + config->duration_ns;
    p->at_last_ns = p->until_ns + config->patience_ns;
    if (pthread_create(&changer, NULL, keep_changing, p) != 0) return ta_fail(TA_FAILED, "cannot start a thread");
    bool both = pthread_create(&putter, NULL, keep_putting, p) == 0;
    ta_status status = both ? read_until_the_end(p, out) : ta_fail(TA_FAILED, "cannot start a second thread");
    atomic_store(&p->stop, 1);
    if (both) pthread_join(putter, NULL);
    pthread_join(changer, NULL);
    out->puts = p->puts;
    if (status == TA_OK && p->status != TA_OK) status = ta_fail(p->status, "%s", p->why);
    if (status == TA_OK && out->looks == 0)
        status = ta_fail(TA_PEER, "transport %s: nothing arrived within %.1f s, after %llu puts", p->ops->name,
                         (double)(config->duration_ns + config->patience_ns) / TA_NS_PER_S,
                         (unsigned long long)p->puts);
    return status;
}

ta_status ta_atomicity_test(const struct ta_atomicity_config *config, struct ta_atomicity *out) {
    struct pair p = {.ops = config->ops, .words = config->words != 0 ? config->words : DEFAULT_WORDS};
    *out = (struct ta_atomicity){0};
    if (config->ops == NULL || p.words > TA_ATOMICITY_MAX_WORDS)
        return ta_fail(TA_INVALID, "a test of words needs a transport and at most %d words: %u were asked for",
                       TA_ATOMICITY_MAX_WORDS, p.words);
    ta_status status = ta_mem_alloc(1, sizeof *p.source + 4 * (size_t)p.words, "words to put", (void **)&p.source);
    if (status == TA_OK) status = connect_pair(&p, config);
    if (status == TA_OK) status = run(&p, config, out);
    for (unsigned r = 0; r < 2; r++)
        if (p.t[r] != NULL) p.ops->close(p.t[r]);
    ta_mem_free(p.source);
    return status;
}

bool ta_atomicity_holds(const struct ta_atomicity *found) {
    return found->torn_words == 0 && found->torn_longs == 0 && found->late_words == 0 && found->late_header == 0;
}
