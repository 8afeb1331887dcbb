/* checkpoint_internal: what the sources of checkpoint.h share; private to them.
 *
 *     checkpoint.c         the writer: its thread, submit and poll
 *     checkpoint_steps.c   what the thread does on disk, step by step
 *     checkpoint_file.c    replica-NNNNN.h5
 *     checkpoint_waiting.c its group /waiting
 *     checkpoint_done.c    DONE
 *     checkpoint_dir.c     directories: paths, listing, removal, syncing
 *     checkpoint_prune.c   which there are; removal of old ones
 *     checkpoint_read.c    latest, check, load
 */
#ifndef TA_CHECKPOINT_INTERNAL_H
#define TA_CHECKPOINT_INTERNAL_H

#include <stdatomic.h>

#include "checkpoint.h"

enum { TA_CKPT_PATH = 4096, TA_CKPT_WRITERS = 1024 };

/* --- checkpoint_dir.c --- */

/* printf into a path; IO when it does not fit. */
ta_status ta_ckpt_path(char out[TA_CKPT_PATH], const char *format, ...) __attribute__((format(printf, 2, 3)));
ta_status ta_ckpt_mkdirs(const char *path);
bool ta_ckpt_is_there(const char *path);
/* Removes a directory with the plain files in it; what is not there is fine. Errors are not told: what stays is tried
 * again next time. */
void ta_ckpt_remove(const char *directory);
/* fsync of a file or a directory. Errors: IO. */
ta_status ta_ckpt_sync(const char *path);
/* Size and XXH3 of a file. Errors: IO, NO_MEMORY. */
ta_status ta_ckpt_digest(const char *path, uint64_t *bytes, uint64_t *xxh3);
/* The names in a directory that `wanted` accepts; freed by ta_ckpt_names_free. A missing directory has none. */
ta_status ta_ckpt_names(const char *directory, bool (*wanted)(const char *name), char ***names, size_t *count);
void ta_ckpt_names_free(char **names, size_t count);
bool ta_ckpt_is_number(const char *name); /* a complete checkpoint's name: digits only */
bool ta_ckpt_is_tmp(const char *name);    /* one that is being written, or was when its run died */

/* --- checkpoint_file.c --- */

/* Writes `path` whole; the caller syncs and renames. */
ta_status ta_ckpt_file_write(const char *path, const struct ta_snapshot *s, const struct ta_model *model);
/* Everything but w, w0 and names. Checks every shape. Errors: IO, FORMAT, CONFIG (another model, another vocabulary),
 * NO_MEMORY. */
ta_status ta_ckpt_file_read(const char *path, const struct ta_model *model, struct ta_snapshot *out);
/* out->w0 alone; for tables that start from a seed it stays NULL, and out->table_seed is read. */
ta_status ta_ckpt_file_read_w0(const char *path, const struct ta_model *model, struct ta_snapshot *out);

/* --- checkpoint_waiting.c --- */

struct ta_h5;
/* The group /waiting of such a file; nothing when nothing waits. Read: every shape and class is checked. */
ta_status ta_ckpt_waiting_write(struct ta_h5 *file, const struct ta_snapshot_waiting *w);
ta_status ta_ckpt_waiting_read(struct ta_h5 *file, const char *path, const struct ta_model *model,
                               struct ta_snapshot_waiting *out);

/* --- checkpoint_done.c --- */

struct ta_ckpt_entry {
    char name[32]; /* "model.h5", "replica-00003.h5" */
    uint64_t bytes, xxh3;
};

struct ta_ckpt_done {
    uint64_t total_steps, total_records, fingerprint;
    uint32_t epoch;
    unsigned n_ranks, n_entries;
    struct ta_ckpt_entry entries[TA_CKPT_WRITERS + 1]; /* model.h5, then the replicas, rising */
};

/* Writes DONE as `path`; the caller syncs and renames. */
ta_status ta_ckpt_done_write(const char *path, const struct ta_ckpt_done *done);
/* Reads and checks directory/DONE, not the files it names. Errors: IO, FORMAT, NO_MEMORY. */
ta_status ta_ckpt_done_read(const char *directory, struct ta_ckpt_done *done);
unsigned ta_ckpt_entry_rank(const struct ta_ckpt_entry *entry); /* of replica-NNNNN.h5 */

/* --- checkpoint_steps.c --- */

struct ta_ckpt_job {
    const struct ta_checkpoint_config *config;
    struct ta_snapshot snapshot;
    unsigned writers[TA_CKPT_WRITERS], n_writers;
    atomic_bool lost[TA_CKPT_WRITERS]; /* by rank: will write nothing any more */
};

/* Does this rank's part; `path` gets the complete checkpoint. Errors: IO, PEER, NO_MEMORY. */
ta_status ta_ckpt_run(struct ta_ckpt_job *job, char path[TA_CKPT_PATH]);

/* --- checkpoint_prune.c --- */

/* Removes everything that is not complete: for when nobody else is using the directory. */
void ta_ckpt_clean(const char *directory);
/* After `job` is complete: removes what is older than the newest `keep`, and parts of earlier ones. Errors are not
 * told: what stays is tried again next time. */
void ta_ckpt_prune(const struct ta_ckpt_job *job);
struct ta_ckpt_found {
    char name[32];
    uint64_t total_steps;
    uint32_t epoch;
};
/* Complete checkpoints by their DONE (files not looked at), newest (see checkpoint.h) first; freed by ta_mem_free.
 * Those with a bad DONE are named in the log, when there is one. */
ta_status ta_ckpt_find(const char *directory, struct ta_log *log, struct ta_ckpt_found **found, size_t *count);

#endif
