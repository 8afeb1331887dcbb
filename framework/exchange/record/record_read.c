/* record_read: parses a recording, once with every check, then event by event. */
#include "record_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "mem.h"
#include "slot.h"

enum { LONGEST_VARINT = 10, MOST_TEXT = 1 << 24 };

/* Why an event could not be read. CUT: the file ends in it; EMPTY: zeros, which a killed process leaves. */
enum fault { FINE, CUT, EMPTY, NO_KIND, LONG_NUMBER, TOO_LARGE };

static bool take(const struct ta_record *r, size_t *at, void *out, size_t bytes) {
    if (r->end - *at < bytes) return false;
    memcpy(out, r->bytes + *at, bytes);
    *at += bytes;
    return true;
}

static enum fault take_varint(const struct ta_record *r, size_t *at, uint64_t *out) {
    *out = 0;
    for (unsigned i = 0; i < LONGEST_VARINT; i++) {
        unsigned char byte;
        if (!take(r, at, &byte, 1)) return CUT;
        if (i == LONGEST_VARINT - 1 && byte > 1) return LONG_NUMBER;
        *out |= (uint64_t)(byte & 127) << (7 * i);
        if (byte < 128) return FINE;
    }
    return LONG_NUMBER;
}

/* A number that has grown, and may not be above `most`. */
static enum fault take_growth(const struct ta_record *r, size_t *at, uint64_t most, uint64_t *number) {
    uint64_t growth;
    enum fault fault = take_varint(r, at, &growth);
    if (fault != FINE) return fault;
    if (growth > most || *number > most - growth) return TOO_LARGE;
    *number += growth;
    return FINE;
}

static enum fault read_step(struct ta_record_cursor *c, bool scaled) {
    const struct ta_record *r = c->record;
    enum fault fault = take_growth(r, &c->at, UINT64_MAX - 1, &c->position);
    for (uint64_t i = 0; i < r->head.n_ranks && fault == FINE; i++) {
        uint64_t most = i == r->head.rank ? c->steps : TA_SLOT_MAX_STEPS;
        fault = take_growth(r, &c->at, most, &c->versions[i]);
    }
    c->event.scaled = scaled;
    if (fault == FINE && scaled && !take(r, &c->at, &c->event.scale, sizeof c->event.scale)) return CUT;
    return fault;
}

static enum fault read_rest(struct ta_record_cursor *c) {
    uint64_t round;
    enum fault fault = take_varint(c->record, &c->at, &round);
    if (fault == FINE && round > TA_SLOT_MAX_ROUND) return TOO_LARGE;
    if (fault == FINE) fault = take_growth(c->record, &c->at, UINT64_MAX - 1, &c->position);
    if (fault != FINE) return fault;
    c->event.round = (uint32_t)round;
    return take(c->record, &c->at, &c->event.checksum, sizeof c->event.checksum) ? FINE : CUT;
}

static enum fault read_end(struct ta_record_cursor *c) {
    unsigned char reason;
    uint64_t rank;
    if (!take(c->record, &c->at, &reason, 1)) return CUT;
    enum fault fault = take_varint(c->record, &c->at, &rank);
    if (fault != FINE) return fault;
    if (reason < TA_RECORD_END_LOST || reason > TA_RECORD_END_JOINED || rank >= c->record->head.n_ranks)
        return TOO_LARGE;
    c->event.position = rank;
    c->event.round = reason;
    return FINE;
}

/* The event at the cursor, which is moved behind it. `steps` counts those before it. */
static enum fault read_event(struct ta_record_cursor *c) {
    unsigned char kind;
    c->event = (struct ta_record_event){0};
    if (c->at == c->record->end) return FINE;
    (void)take(c->record, &c->at, &kind, 1);
    bool scaled = (kind & TA_RECORD_SCALED) != 0;
    if (kind == TA_RECORD_NONE) return EMPTY;
    if (scaled) kind &= (unsigned char)~TA_RECORD_SCALED;
    if (kind > TA_RECORD_SEAL || (scaled && kind != TA_RECORD_STEP && kind != TA_RECORD_BAD)) return NO_KIND;
    c->event.kind = (enum ta_record_kind)kind;
    enum fault fault = FINE;
    switch (c->event.kind) {
        case TA_RECORD_STEP:
        case TA_RECORD_BAD: fault = read_step(c, scaled); break;
        case TA_RECORD_REST: fault = read_rest(c); break;
        case TA_RECORD_END: return read_end(c);
        case TA_RECORD_CHECK:
        case TA_RECORD_SEAL:
            if (!take(c->record, &c->at, &c->event.checksum, sizeof c->event.checksum)) fault = CUT;
            break;
        default: return NO_KIND;
    }
    c->event.position = c->position;
    return fault;
}

static ta_status bad_head(const char *name, const char *what) {
    return ta_fail(TA_FORMAT, "%s: its head is damaged: %s", name, what);
}

static ta_status read_texts(const char *name, struct ta_record *r, const uint64_t *lengths, size_t head_bytes) {
    const char **texts[TA_RECORD_TEXTS] = {&r->head.config, &r->head.resume, &r->head.program};
    size_t at = TA_RECORD_WORDS * sizeof(uint64_t), left = head_bytes - at - sizeof(uint64_t);
    for (unsigned i = 0; i < TA_RECORD_TEXTS; i++) {
        if (lengths[i] == 0 || lengths[i] > MOST_TEXT || lengths[i] > left)
            return bad_head(name, "a text does not fit into it");
        if (memchr(r->bytes + at, 0, lengths[i]) != r->bytes + at + lengths[i] - 1)
            return bad_head(name, "a text has no end");
        *texts[i] = r->bytes + at;
        at += lengths[i];
        left -= lengths[i];
    }
    return left == 0 ? TA_OK : bad_head(name, "there is more in it than it says");
}

static ta_status read_head(const char *name, size_t size, struct ta_record *r) {
    uint64_t words[TA_RECORD_WORDS], sum;
    if (size < sizeof words)
        return ta_fail(TA_FORMAT, "%s: %zu bytes are no recording: its head alone has %zu", name, size, sizeof words);
    memcpy(words, r->bytes, sizeof words);
    if (words[0] != TA_RECORD_MAGIC)
        return ta_fail(TA_FORMAT,
                       "%s: is no recording that this program knows: it begins with %016" PRIx64 ", not %016" PRIx64,
                       name, words[0], TA_RECORD_MAGIC);
    if (words[1] < sizeof words + sizeof sum || words[1] > size)
        return ta_fail(TA_FORMAT, "%s: says that its head has %" PRIu64 " bytes, but there are %zu in all", name,
                       words[1], size);
    memcpy(&sum, r->bytes + words[1] - sizeof sum, sizeof sum);
    if (XXH3_64bits(r->bytes, words[1] - sizeof sum) != sum) return bad_head(name, "its checksum is another");
    r->head = (struct ta_record_head){
        .rank = words[2], .n_ranks = words[3], .epoch = words[4], .seed = words[5], .n_params = words[6],
        .fingerprint = words[7], .stream_records = words[8], .stream_checksum = words[9], .steps = words[10],
        .records = words[11], .check_every = words[12]};
    if (r->head.n_ranks == 0 || r->head.n_ranks > TA_RECORD_MOST_RANKS || r->head.rank >= r->head.n_ranks)
        return ta_fail(TA_FORMAT, "%s: is of rank %" PRIu64 " of %" PRIu64 " replicas; there are 1 to %d", name,
                       r->head.rank, r->head.n_ranks, TA_RECORD_MOST_RANKS);
    if (r->head.check_every == 0 || r->head.steps > TA_SLOT_MAX_STEPS || r->head.epoch > UINT32_MAX)
        return bad_head(name, "a number is out of its range");
    r->first = words[1];
    return read_texts(name, r, words + 2 + TA_RECORD_NUMBERS, words[1]);
}

static ta_status explain(const char *name, size_t at, enum fault fault) {
    const char *what = fault == NO_KIND       ? "no event begins with this byte"
                       : fault == EMPTY       ? "there is nothing where an event should begin"
                       : fault == LONG_NUMBER ? "a number is too long"
                                              : "a number is out of its range";
    return ta_fail(TA_FORMAT, "%s: is damaged at byte %zu: %s", name, at, what);
}

/* A run that ended in order ends with the last rest, or with one of an odd number (replica_round.c). */
static bool ends_run(const struct ta_record_event *e) {
    return e->kind == TA_RECORD_REST && (e->round == 0 || e->round % 2 == 1);
}

/* What a process that was killed had reserved, and at most one event that was not complete. */
static bool is_reserve(const struct ta_record *r, size_t at) {
    size_t behind = at + TA_RECORD_EVENT_BYTES + r->head.n_ranks * LONGEST_VARINT;
    if (r->end % TA_RECORD_RESERVE != 0) return false;
    for (size_t i = behind; i < r->end; i++)
        if (r->bytes[i] != 0) return false;
    return true;
}

/* Every event once, from `first`. What cannot be an event because the file ends is cut off. */
static ta_status check_events(const char *name, struct ta_record *r) {
    struct ta_record_cursor c = {.record = r, .at = r->first, .steps = r->head.steps};
    ta_status status = TA_NEW(&c.versions, r->head.n_ranks, "a recording");
    size_t sealed = r->first;
    while (status == TA_OK && c.at < r->end) {
        size_t at = c.at;
        enum fault fault = read_event(&c);
        if (fault == CUT || (fault == EMPTY && is_reserve(r, at))) {
            r->end = at;
            r->cut = true;
            break;
        }
        if (fault != FINE) status = explain(name, at, fault);
        else if (c.event.kind == TA_RECORD_SEAL) {
            if (XXH3_64bits(r->bytes + sealed, at - sealed) != c.event.checksum)
                status = ta_fail(TA_FORMAT, "%s: is damaged between bytes %zu and %zu: their checksum is another", name,
                                 sealed, at);
            sealed = c.at;
            continue;
        }
        c.steps += c.event.kind == TA_RECORD_STEP;
        r->finished = ends_run(&c.event);
        if (c.event.kind != TA_RECORD_END) continue;
        r->reason = (enum ta_record_end)c.event.round;
        r->ended_by = (unsigned)c.event.position;
    }
    r->steps = c.steps;
    ta_mem_free(c.versions);
    return status;
}

static ta_status check(const char *name, size_t size, struct ta_record *r) {
    ta_status status = read_head(name, size, r);
    r->end = size;
    if (status == TA_OK) status = check_events(name, r);
    if (status != TA_OK) ta_record_close(r);
    return status;
}

ta_status ta_record_parse(const char *name, const void *bytes, size_t size, struct ta_record *out) {
    *out = (struct ta_record){0};
    ta_status status = TA_NEW(&out->bytes, size, "a recording");
    if (status != TA_OK) return status;
    if (size > 0) memcpy(out->bytes, bytes, size);
    return check(name, size, out);
}

ta_status ta_record_open(const char *path, struct ta_record *out) {
    *out = (struct ta_record){0};
    FILE *file = fopen(path, "rbe");
    if (file == NULL) return ta_fail_errno(TA_IO, "%s: cannot open the recording", path);
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    ta_status status = TA_OK;
    if (size < 0 || fseek(file, 0, SEEK_SET) != 0) status = ta_fail_errno(TA_IO, "%s: cannot be read", path);
    if (status == TA_OK) status = TA_NEW(&out->bytes, (size_t)size, "a recording");
    if (status == TA_OK && fread(out->bytes, 1, (size_t)size, file) != (size_t)size)
        status = ta_fail(TA_IO, "%s: cannot be read", path);
    fclose(file);
    if (status == TA_OK) return check(path, (size_t)size, out);
    ta_record_close(out);
    return status;
}

void ta_record_close(struct ta_record *record) {
    ta_mem_free(record->bytes);
    *record = (struct ta_record){0};
}

/* --- the cursor --- */

static void read_on(struct ta_record_cursor *c) {
    do (void)read_event(c);
    while (c->event.kind == TA_RECORD_SEAL);
}

ta_status ta_record_cursor_open(struct ta_record_cursor *cursor, const struct ta_record *record) {
    *cursor = (struct ta_record_cursor){.record = record, .at = record->first, .steps = record->head.steps};
    ta_status status = TA_NEW(&cursor->versions, record->head.n_ranks, "a recording");
    if (status == TA_OK) read_on(cursor);
    return status;
}

void ta_record_cursor_close(struct ta_record_cursor *cursor) {
    ta_mem_free(cursor->versions);
    *cursor = (struct ta_record_cursor){0};
}

void ta_record_cursor_next(struct ta_record_cursor *cursor) {
    cursor->steps += cursor->event.kind == TA_RECORD_STEP;
    read_on(cursor);
}
