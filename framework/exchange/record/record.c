/* record: writes the events of one replica into a mapped file. */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "mem.h"

enum {
    MOST_GROWTH = 64 * TA_RECORD_RESERVE,
    VARINT_BYTES = 10,
    SEAL_BYTES = 2048 /* at least so many between two seals */
};

struct ta_recorder {
    unsigned n_ranks;
    int fd;
    char *map;         /* the file; NULL: it can no longer be written */
    size_t room, used; /* bytes mapped; written */
    size_t sealed;     /* up to here */
    uint64_t position, steps;
    uint64_t *versions;   /* [n_ranks] of the last step */
    unsigned char *event; /* the one that is being made */
    size_t length;
    bool ended;
    int64_t (*now_ns)(void);
    int64_t spent_ns;
    char *path;
    char why[256]; /* "": nothing to tell */
};

static void give_up(struct ta_recorder *r) {
    snprintf(r->why, sizeof r->why, "%s", ta_why());
    r->ended = true;
}

/* posix_fallocate, since a page that the disk has no room for would be a signal, not an error. */
static ta_status grow(struct ta_recorder *r, size_t bytes) {
    size_t more = r->room < TA_RECORD_RESERVE ? TA_RECORD_RESERVE : r->room;
    size_t room = r->room + (more < MOST_GROWTH ? more : MOST_GROWTH);
    while (room < bytes) room += MOST_GROWTH;
    errno = posix_fallocate(r->fd, 0, (off_t)room);
    if (errno != 0) return ta_fail_errno(TA_IO, "%s: cannot grow to %zu bytes", r->path, room);
    if (r->map != NULL) (void)munmap(r->map, r->room);
    void *map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
    r->map = map != MAP_FAILED ? map : NULL;
    r->room = room;
    return r->map != NULL ? TA_OK : ta_fail_errno(TA_IO, "%s: cannot map %zu bytes", r->path, room);
}

static void put_bytes(struct ta_recorder *r, const void *bytes, size_t n) {
    memcpy(r->event + r->length, bytes, n);
    r->length += n;
}

static void put_varint(struct ta_recorder *r, uint64_t value) {
    for (; value >= 128; value >>= 7) r->event[r->length++] = (unsigned char)(value | 128);
    r->event[r->length++] = (unsigned char)value;
}

static void begin(struct ta_recorder *r, unsigned kind) {
    r->event[0] = (unsigned char)kind;
    r->length = 1;
}

/* The kind last: a reader of what a killed process left finds the whole event or none. */
static void commit(struct ta_recorder *r) {
    if (r->used + r->length > r->room && grow(r, r->used + r->length) != TA_OK) {
        give_up(r);
        return;
    }
    memcpy(r->map + r->used + 1, r->event + 1, r->length - 1);
    __atomic_store_n(r->map + r->used, (char)r->event[0], __ATOMIC_RELEASE);
    r->used += r->length;
}

static void seal(struct ta_recorder *r, size_t least) {
    if (r->ended || r->used - r->sealed < least) return;
    uint64_t sum = XXH3_64bits(r->map + r->sealed, r->used - r->sealed);
    begin(r, TA_RECORD_SEAL);
    put_bytes(r, &sum, sizeof sum);
    commit(r);
    r->sealed = r->used;
}

static ta_status write_head(struct ta_recorder *r, const struct ta_record_head *h) {
    const char *texts[TA_RECORD_TEXTS] = {h->config, h->resume, h->program};
    uint64_t words[TA_RECORD_WORDS] = {
        TA_RECORD_MAGIC, 0,          h->rank,          h->n_ranks,         h->epoch,
        h->seed,         h->n_params, h->fingerprint, h->stream_records, h->stream_checksum,
        h->steps,        h->records, h->check_every};
    size_t bytes = sizeof words + sizeof(uint64_t), at = sizeof words;
    for (unsigned i = 0; i < TA_RECORD_TEXTS; i++) {
        words[2 + TA_RECORD_NUMBERS + i] = strlen(texts[i]) + 1;
        bytes += strlen(texts[i]) + 1;
    }
    words[1] = bytes;
    ta_status status = grow(r, bytes);
    if (status != TA_OK) return status;
    memcpy(r->map, words, sizeof words);
    for (unsigned i = 0; i < TA_RECORD_TEXTS; i++) {
        memcpy(r->map + at, texts[i], strlen(texts[i]) + 1);
        at += strlen(texts[i]) + 1;
    }
    uint64_t sum = XXH3_64bits(r->map, at);
    memcpy(r->map + at, &sum, sizeof sum);
    r->used = r->sealed = bytes;
    return TA_OK;
}

ta_status ta_recorder_open(const struct ta_recorder_config *config, struct ta_recorder **out) {
    struct ta_recorder *r;
    *out = NULL;
    ta_status status = TA_NEW(&r, 1, "a recorder");
    if (status != TA_OK) return status;
    unsigned n = (unsigned)config->head.n_ranks;
    r->fd = -1;
    r->n_ranks = n;
    r->now_ns = config->now_ns;
    status = ta_mem_strdup(config->path, "a recorder", &r->path);
    if (status == TA_OK) status = TA_NEW(&r->versions, n, "a recorder");
    if (status == TA_OK) status = TA_NEW(&r->event, TA_RECORD_EVENT_BYTES + (size_t)n * VARINT_BYTES, "a recorder");
    if (status == TA_OK) {
        r->fd = open(config->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (r->fd < 0) status = ta_fail_errno(TA_IO, "%s: cannot make the recording", config->path);
    }
    if (status == TA_OK) status = write_head(r, &config->head);
    if (status == TA_OK) {
        *out = r;
        return TA_OK;
    }
    r->ended = true;
    (void)ta_recorder_close(r);
    return status;
}

ta_status ta_recorder_close(struct ta_recorder *r) {
    if (r == NULL) return TA_OK;
    ta_status status = TA_OK;
    seal(r, 1);
    if (r->map != NULL) (void)munmap(r->map, r->room);
    if (r->fd >= 0 && ftruncate(r->fd, (off_t)r->used) != 0)
        status = ta_fail_errno(TA_IO, "%s: cannot be cut to its %zu bytes", r->path, r->used);
    if (r->fd >= 0 && close(r->fd) != 0 && status == TA_OK)
        status = ta_fail_errno(TA_IO, "%s: cannot be written", r->path);
    ta_mem_free(r->event);
    ta_mem_free(r->versions);
    ta_mem_free(r->path);
    ta_mem_free(r);
    return status;
}

static void put_position(struct ta_recorder *r, uint64_t position) {
    put_varint(r, position - r->position);
    r->position = position;
}

void ta_recorder_step(struct ta_recorder *r, const struct ta_recorded_step *step) {
    if (r->ended) return;
    begin(r, (step->finite ? TA_RECORD_STEP : TA_RECORD_BAD) | (step->scaled ? TA_RECORD_SCALED : 0U));
    put_position(r, step->position);
    for (unsigned i = 0; i < r->n_ranks; i++) {
        put_varint(r, step->versions[i] - r->versions[i]);
        r->versions[i] = step->versions[i];
    }
    if (step->scaled) put_bytes(r, &step->scale, sizeof step->scale);
    commit(r);
    r->steps += step->finite;
    seal(r, SEAL_BYTES);
}

void ta_recorder_check(struct ta_recorder *r, uint64_t checksum) {
    if (r->ended) return;
    begin(r, TA_RECORD_CHECK);
    put_bytes(r, &checksum, sizeof checksum);
    commit(r);
}

void ta_recorder_rest(struct ta_recorder *r, uint32_t round, uint64_t position, uint64_t checksum) {
    if (r->ended) return;
    begin(r, TA_RECORD_REST);
    put_varint(r, round);
    put_position(r, position);
    put_bytes(r, &checksum, sizeof checksum);
    commit(r);
    seal(r, 1);
}

void ta_recorder_end(struct ta_recorder *r, enum ta_record_end reason, unsigned rank) {
    if (r->ended) return;
    unsigned char byte = (unsigned char)reason;
    begin(r, TA_RECORD_END);
    put_bytes(r, &byte, 1);
    put_varint(r, rank);
    commit(r);
    seal(r, 1);
    r->ended = true;
}

bool ta_recorder_ended(const struct ta_recorder *r) { return r->ended; }

int64_t ta_recorder_begin(const struct ta_recorder *r) { return r->now_ns != NULL ? r->now_ns() : 0; }

void ta_recorder_spent(struct ta_recorder *r, int64_t since_ns) {
    if (r->now_ns != NULL) r->spent_ns += r->now_ns() - since_ns;
}

void ta_recorder_cost(const struct ta_recorder *r, struct ta_record_cost *out) {
    *out = (struct ta_record_cost){.spent_ns = r->spent_ns, .bytes = r->used, .steps = r->steps};
}

const char *ta_recorder_why(struct ta_recorder *r) {
    if (r->why[0] == '\0') return NULL;
    (void)ta_fail(TA_IO, "%s", r->why);
    r->why[0] = '\0';
    return ta_why();
}
