/* checkpoint_done: the file DONE, a few lines of text whose last line is a checksum of the others.
 *
 *     tensair checkpoint 1
 *     steps 12000
 *     records 384000
 *     epoch 3
 *     ranks 4
 *     fingerprint 52cfa31ec7048494
 *     file model.h5 514872 9ae16a3b2f90404f
 *     file replica-00000.h5 1472044 d24ec4f1a98c6e5b
 *     end 3c1a8d3f0b7725a1
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "checkpoint_internal.h"
#include "mem.h"

enum { LINE_BYTES = 96, MOST_BYTES = (TA_CKPT_WRITERS + 10) * LINE_BYTES };
static const char magic[] = "tensair checkpoint 1\n";

/* --- writing --- */

static size_t print_done(char *text, const struct ta_ckpt_done *d) {
    size_t at = (size_t)snprintf(text, MOST_BYTES,
                                 "%ssteps %" PRIu64 "\nrecords %" PRIu64 "\nepoch %" PRIu32
                                 "\nranks %u\nfingerprint %016" PRIx64 "\n",
                                 magic, d->total_steps, d->total_records, d->epoch, d->n_ranks, d->fingerprint);
    for (unsigned i = 0; i < d->n_entries; i++)
        at += (size_t)snprintf(text + at, MOST_BYTES - at, "file %s %" PRIu64 " %016" PRIx64 "\n", d->entries[i].name,
                               d->entries[i].bytes, d->entries[i].xxh3);
    at += (size_t)snprintf(text + at, MOST_BYTES - at, "end %016" PRIx64 "\n", XXH3_64bits(text, at));
    return at;
}

ta_status ta_ckpt_done_write(const char *path, const struct ta_ckpt_done *done) {
    char *text;
    ta_status status = TA_NEW(&text, MOST_BYTES, "the text of DONE");
    if (status != TA_OK) return status;
    size_t bytes = print_done(text, done);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) status = ta_fail_errno(TA_IO, "%s: cannot make it", path);
    for (size_t at = 0; at < bytes && status == TA_OK;) {
        ssize_t wrote = write(fd, text + at, bytes - at);
        if (wrote > 0) at += (size_t)wrote;
        else if (wrote == 0 || errno != EINTR) status = ta_fail_errno(TA_IO, "%s: cannot write it", path);
    }
    if (fd >= 0 && close(fd) != 0 && status == TA_OK) status = ta_fail_errno(TA_IO, "%s: cannot write it", path);
    ta_mem_free(text);
    return status;
}

/* --- reading --- */

/* What is left of the text, and where it came from. */
struct scan {
    const char *at, *path;
    unsigned line;
};

static ta_status damaged(const struct scan *s, const char *expected) {
    return ta_fail(TA_FORMAT, "%s: line %u is not '%s...'; the file is damaged", s->path, s->line, expected);
}

static bool take(struct scan *s, const char *literal) {
    size_t length = strlen(literal);
    if (strncmp(s->at, literal, length) != 0) return false;
    s->at += length;
    return true;
}

/* Digits of the base up to and without `end`, which is passed. */
static bool take_number(struct scan *s, int base, char end, uint64_t *out) {
    const char *digits = base == 16 ? "0123456789abcdef" : "0123456789";
    size_t length = strspn(s->at, digits);
    if (length == 0 || length > 20 || s->at[length] != end) return false;
    errno = 0;
    *out = strtoull(s->at, NULL, base);
    if (errno != 0) return false;
    s->at += length + 1;
    if (end == '\n') s->line++;
    return true;
}

static ta_status take_line(struct scan *s, const char *key, int base, uint64_t most, uint64_t *out) {
    if (!take(s, key) || !take_number(s, base, '\n', out) || *out > most) return damaged(s, key);
    return TA_OK;
}

/* "replica-00003.h5" -> 3; false: not such a name. */
static bool replica_rank(const char *name, unsigned *rank) {
    char again[32];
    *rank = 0;
    if (sscanf(name, "replica-%5u.h5", rank) != 1) return false;
    snprintf(again, sizeof again, "replica-%05u.h5", *rank);
    return strcmp(name, again) == 0;
}

unsigned ta_ckpt_entry_rank(const struct ta_ckpt_entry *entry) {
    unsigned rank;
    return replica_rank(entry->name, &rank) ? rank : 0;
}

static ta_status take_entry(struct scan *s, struct ta_ckpt_done *d) {
    struct ta_ckpt_entry *e = &d->entries[d->n_entries];
    size_t length = strcspn(s->at, " \n");
    if (d->n_entries > TA_CKPT_WRITERS || length == 0 || length >= sizeof e->name || s->at[length] != ' ')
        return damaged(s, "file NAME BYTES XXH3");
    memcpy(e->name, s->at, length);
    e->name[length] = '\0';
    s->at += length + 1;
    if (!take_number(s, 10, ' ', &e->bytes) || !take_number(s, 16, '\n', &e->xxh3))
        return damaged(s, "file NAME BYTES XXH3");
    unsigned rank;
    bool good = d->n_entries == 0 ? strcmp(e->name, "model.h5") == 0
                                  : replica_rank(e->name, &rank) && rank < d->n_ranks &&
                                        (d->n_entries == 1 || rank > ta_ckpt_entry_rank(e - 1));
    if (!good) return ta_fail(TA_FORMAT, "%s: line %u: '%s' does not belong here", s->path, s->line - 1, e->name);
    d->n_entries++;
    return TA_OK;
}

static ta_status parse(struct scan *s, const char *text, struct ta_ckpt_done *d) {
    uint64_t epoch, ranks, sum;
    if (!take(s, magic)) return ta_fail(TA_FORMAT, "%s: this is no DONE of a checkpoint of ours, version 1", s->path);
    s->line++;
    ta_status status = take_line(s, "steps ", 10, UINT64_MAX, &d->total_steps);
    if (status == TA_OK) status = take_line(s, "records ", 10, UINT64_MAX, &d->total_records);
    if (status == TA_OK) status = take_line(s, "epoch ", 10, UINT32_MAX, &epoch);
    if (status == TA_OK) status = take_line(s, "ranks ", 10, TA_CKPT_WRITERS, &ranks);
    if (status == TA_OK) status = take_line(s, "fingerprint ", 16, UINT64_MAX, &d->fingerprint);
    if (status != TA_OK) return status;
    d->epoch = (uint32_t)epoch;
    d->n_ranks = (unsigned)ranks;
    while (status == TA_OK && take(s, "file ")) status = take_entry(s, d);
    if (status != TA_OK) return status;
    uint64_t actual = XXH3_64bits(text, (size_t)(s->at - text));
    status = take_line(s, "end ", 16, UINT64_MAX, &sum);
    if (status != TA_OK) return status;
    if (sum != actual || *s->at != '\0')
        return ta_fail(TA_FORMAT, "%s: its checksum is %016" PRIx64 ", not %016" PRIx64 "; the file is damaged",
                       s->path, actual, sum);
    if (d->n_entries < 2) return ta_fail(TA_FORMAT, "%s: names %u files, at least 2 are needed", s->path, d->n_entries);
    return TA_OK;
}

/* The whole file as a string; one byte more than the longest is asked for, to see that it is longer. */
static ta_status slurp(const char *path, char *text) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ta_fail_errno(TA_IO, "%s: cannot read it, so the checkpoint is not complete", path);
    size_t bytes = 0;
    ssize_t got = 0;
    while (bytes <= MOST_BYTES && (got = read(fd, text + bytes, MOST_BYTES + 1 - bytes)) != 0) {
        if (got < 0 && errno != EINTR) break;
        bytes += got > 0 ? (size_t)got : 0;
    }
    ta_status status = got < 0 ? ta_fail_errno(TA_IO, "%s: cannot read it", path) : TA_OK;
    close(fd);
    if (status == TA_OK && (bytes > MOST_BYTES || strlen(text) != bytes))
        status = ta_fail(TA_FORMAT, "%s: this is no DONE of a checkpoint: too long, or not text", path);
    return status;
}

ta_status ta_ckpt_done_read(const char *directory, struct ta_ckpt_done *done) {
    char path[TA_CKPT_PATH], *text;
    *done = (struct ta_ckpt_done){0};
    ta_status status = ta_ckpt_path(path, "%s/DONE", directory);
    if (status == TA_OK) status = TA_NEW(&text, MOST_BYTES + 2, "the text of DONE");
    if (status != TA_OK) return status;
    status = slurp(path, text);
    struct scan s = {.at = text, .path = path, .line = 1};
    if (status == TA_OK) status = parse(&s, text, done);
    ta_mem_free(text);
    return status;
}
