/* rendezvous: one file a pair of replicas, in a directory only the owner can enter.
 *
 * A record appears whole, by rename, or not at all; so one that does not fit is damaged, never half written. Names are
 * opened relative to the directory's descriptor, without following links.
 */
#include "rendezvous.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "mem.h"

enum { RECORD_FORMAT = 2, NAME_BYTES = 64 };

struct record {
    char magic[8];
    uint32_t format;
    uint32_t sender, receiver;
    uint32_t n_ranks, generation;
    uint64_t run_id;
    uint64_t fingerprint;
    struct ta_key key;
    uint64_t checksum; /* XXH64 of all before it */
};

static const char record_magic[8] = {'T', 'A', 'M', 'E', 'E', 'T', 'S', '\n'};

struct ta_rendezvous {
    struct ta_rendezvous_config config; /* directory: our copy */
    char *directory;
    int fd;                   /* of the directory */
    unsigned char *published; /* [n_ranks] */
};

static void name_of(char name[NAME_BYTES], unsigned sender, unsigned receiver) {
    snprintf(name, NAME_BYTES, "key-%05u-for-%05u", sender, receiver);
}

static uint64_t checksum_of(const struct record *record) {
    return XXH64(record, offsetof(struct record, checksum), RECORD_FORMAT);
}

static ta_status open_directory(const char *path, int *out) {
    struct stat dir;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return ta_fail_errno(TA_IO, "cannot make the rendezvous directory %s", path);
    *out = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*out < 0 && (errno == ELOOP || errno == ENOTDIR))
        return ta_fail(TA_CONFIG, "%s is a link or no directory: rendezvous wants a directory of its own; remove it",
                       path);
    if (*out < 0) return ta_fail_errno(TA_IO, "cannot open the rendezvous directory %s", path);
    ta_status status = TA_OK;
    if (fstat(*out, &dir) != 0)
        status = ta_fail_errno(TA_IO, "%s", path);
    else if (dir.st_uid != geteuid())
        status = ta_fail(TA_CONFIG,
                         "the rendezvous directory %s belongs to user %u, this program runs as %u; use another run "
                         "directory",
                         path, (unsigned)dir.st_uid, (unsigned)geteuid());
    else if ((dir.st_mode & 077) != 0)
        status = ta_fail(TA_CONFIG, "others can enter the rendezvous directory %s (mode %04o); chmod 700 %s", path,
                         (unsigned)(dir.st_mode & 07777), path);
    if (status != TA_OK) {
        close(*out);
        *out = -1;
    }
    return status;
}

ta_status ta_rendezvous_open(const struct ta_rendezvous_config *config, struct ta_rendezvous **out) {
    *out = NULL;
    if (config->n_ranks == 0 || config->rank >= config->n_ranks)
        return ta_fail(TA_CONFIG, "there is no rank %u among %u replicas", config->rank, config->n_ranks);
    struct ta_rendezvous *r;
    ta_status status = TA_NEW(&r, 1, "rendezvous");
    if (status != TA_OK) return status;
    r->config = *config;
    r->fd = -1;
    status = ta_mem_strdup(config->directory, "rendezvous: directory", &r->directory);
    if (status == TA_OK) status = TA_NEW(&r->published, config->n_ranks, "rendezvous: peers");
    if (status == TA_OK) status = open_directory(config->directory, &r->fd);
    r->config.directory = r->directory;
    if (status == TA_OK)
        *out = r;
    else
        ta_rendezvous_close(r);
    return status;
}

static ta_status check_peer(const struct ta_rendezvous *r, unsigned peer) {
    if (peer < r->config.n_ranks && peer != r->config.rank) return TA_OK;
    return ta_fail(TA_INVALID, "rank %u of %u has no peer %u", r->config.rank, r->config.n_ranks, peer);
}

static ta_status write_all(const struct ta_rendezvous *r, int fd, const char *name, const struct record *record) {
    const char *at = (const char *)record;
    for (size_t left = sizeof *record; left > 0;) {
        ssize_t n = write(fd, at, left);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ta_fail_errno(TA_IO, "writing %s/%s", r->directory, name);
        at += n;
        left -= (size_t)n;
    }
    /* A file system may keep the bad news (no space, quota) for the end. */
    return fchmod(fd, 0600) == 0 ? TA_OK : ta_fail_errno(TA_IO, "%s/%s", r->directory, name);
}

ta_status ta_rendezvous_publish(struct ta_rendezvous *r, unsigned peer, uint32_t generation, const struct ta_key *key) {
    ta_status status = check_peer(r, peer);
    if (status != TA_OK) return status;
    if (key->bytes > TA_KEY_BYTES) return ta_fail(TA_INVALID, "a key of %u bytes is over %d", key->bytes, TA_KEY_BYTES);
    struct record record = {.format = RECORD_FORMAT, .sender = r->config.rank, .receiver = peer, .key = *key};
    memcpy(record.magic, record_magic, sizeof record.magic);
    record.n_ranks = r->config.n_ranks;
    record.generation = generation;
    record.run_id = r->config.run_id;
    record.fingerprint = r->config.fingerprint;
    record.checksum = checksum_of(&record);
    char name[NAME_BYTES], fresh[NAME_BYTES + 32];
    name_of(name, r->config.rank, peer);
    snprintf(fresh, sizeof fresh, ".%s.%d", name, (int)getpid());
    unlinkat(r->fd, fresh, 0); /* of a process that died here and had our number */
    int fd = openat(r->fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return ta_fail_errno(TA_IO, "cannot make %s/%s", r->directory, fresh);
    status = write_all(r, fd, fresh, &record);
    if (close(fd) != 0 && status == TA_OK) status = ta_fail_errno(TA_IO, "closing %s/%s", r->directory, fresh);
    if (status == TA_OK && renameat(r->fd, fresh, r->fd, name) != 0)
        status = ta_fail_errno(TA_IO, "cannot put %s/%s in place", r->directory, name);
    if (status == TA_OK)
        r->published[peer] = 1;
    else
        unlinkat(r->fd, fresh, 0);
    return status;
}

static ta_status read_all(const struct ta_rendezvous *r, int fd, const char *name, struct record *record) {
    char *at = (char *)record;
    for (size_t left = sizeof *record; left > 0;) {
        ssize_t n = read(fd, at, left);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ta_fail_errno(TA_IO, "reading %s/%s", r->directory, name);
        if (n == 0)
            return ta_fail(TA_FORMAT, "%s/%s ends after %zu of %zu bytes; remove it and start the run again",
                           r->directory, name, sizeof *record - left, sizeof *record);
        at += n;
        left -= (size_t)n;
    }
    return TA_OK;
}

/* A file that could be a record: ours, closed to others, of the one size. */
static ta_status check_file(const struct ta_rendezvous *r, int fd, const char *name) {
    struct stat file;
    if (fstat(fd, &file) != 0) return ta_fail_errno(TA_IO, "%s/%s", r->directory, name);
    if (!S_ISREG(file.st_mode) || file.st_uid != geteuid() || (file.st_mode & 077) != 0)
        return ta_fail(TA_FORMAT, "%s/%s is not a file that only we can write (mode %06o, user %u); remove it",
                       r->directory, name, (unsigned)file.st_mode, (unsigned)file.st_uid);
    if (file.st_size != (off_t)sizeof(struct record))
        return ta_fail(TA_FORMAT, "%s/%s has %lld bytes, a record has %zu; remove it and start the run again",
                       r->directory, name, (long long)file.st_size, sizeof(struct record));
    return TA_OK;
}

/* Reads and checks that it is a record, whoever wrote it for whatever run. */
static ta_status read_record(const struct ta_rendezvous *r, const char *name, struct record *record) {
    /* O_NONBLOCK: a pipe by this name must not hang us. */
    int fd = openat(r->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return TA_AGAIN;
    if (fd < 0 && (errno == ELOOP || errno == ENXIO))
        return ta_fail(TA_FORMAT, "%s/%s is not a plain file; remove it and look who made it", r->directory, name);
    if (fd < 0) return ta_fail_errno(TA_IO, "cannot open %s/%s", r->directory, name);
    ta_status status = check_file(r, fd, name);
    if (status == TA_OK) status = read_all(r, fd, name, record);
    close(fd);
    if (status != TA_OK) return status;
    if (memcmp(record->magic, record_magic, sizeof record->magic) != 0 || record->checksum != checksum_of(record) ||
        record->key.bytes > TA_KEY_BYTES)
        return ta_fail(TA_FORMAT, "%s/%s is damaged (its checksum does not fit); remove it and start the run again",
                       r->directory, name);
    if (record->format != RECORD_FORMAT)
        return ta_fail(TA_FORMAT, "%s/%s has format %" PRIu32 ", this program reads %d; run one version everywhere",
                       r->directory, name, record->format, RECORD_FORMAT);
    return TA_OK;
}

ta_status ta_rendezvous_lookup(struct ta_rendezvous *r, unsigned peer, uint32_t *generation, struct ta_key *out) {
    *out = (struct ta_key){0};
    ta_status status = check_peer(r, peer);
    if (status != TA_OK) return status;
    struct record record;
    char name[NAME_BYTES];
    name_of(name, peer, r->config.rank);
    status = read_record(r, name, &record);
    if (status != TA_OK) return status;
    if (record.run_id != r->config.run_id) return TA_AGAIN;
    if (record.sender != peer || record.receiver != r->config.rank)
        return ta_fail(TA_FORMAT, "%s/%s holds the key of rank %" PRIu32 " for rank %" PRIu32 "; remove it",
                       r->directory, name, record.sender, record.receiver);
    if (record.n_ranks != r->config.n_ranks)
        return ta_fail(TA_CONFIG,
                       "replica %u was started as one of %" PRIu32 ", replica %u as one of %u; give all the same "
                       "number",
                       peer, record.n_ranks, r->config.rank, r->config.n_ranks);
    if (record.fingerprint != r->config.fingerprint)
        return ta_fail(TA_CONFIG,
                       "replica %u has another model (fingerprint %016" PRIx64 ", replica %u has %016" PRIx64
                       "); give all the same configuration",
                       peer, record.fingerprint, r->config.rank, r->config.fingerprint);
    *generation = record.generation;
    *out = record.key;
    return TA_OK;
}

/* What was published, unless another run has put its own there since. */
static void withdraw(struct ta_rendezvous *r, unsigned peer) {
    struct record record;
    char name[NAME_BYTES];
    name_of(name, r->config.rank, peer);
    if (read_record(r, name, &record) == TA_OK && record.run_id == r->config.run_id) unlinkat(r->fd, name, 0);
}

void ta_rendezvous_close(struct ta_rendezvous *r) {
    if (r == NULL) return;
    for (unsigned peer = 0; r->fd >= 0 && peer < r->config.n_ranks; peer++)
        if (r->published[peer]) withdraw(r, peer);
    if (r->fd >= 0) close(r->fd);
    ta_mem_free(r->published);
    ta_mem_free(r->directory);
    ta_mem_free(r);
}
