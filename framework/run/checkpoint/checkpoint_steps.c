/* checkpoint_steps: what a writer's thread does on disk, in this order, so that a kill between any two steps leaves the
 * old checkpoint or the new one. Every rank: its own file. Then the lowest rank: model.h5, DONE, the name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "checkpoint_internal.h"
#include "clock.h"
#include "keras.h"
#include "mem.h"

enum { LOOK_EVERY_NS = 5000000, FENCE_PATIENCE_S = 10 };

/* One checkpoint while it is written. */
struct work {
    struct ta_ckpt_job *job;
    char tmp[TA_CKPT_PATH], final[TA_CKPT_PATH];
};

static void step(const struct work *w, const char *what) {
    const struct ta_checkpoint_config *c = w->job->config;
    if (c->on_step != NULL) c->on_step(c->context, what);
}

static bool leads(const struct ta_ckpt_job *job) { return job->writers[0] == job->snapshot.rank; }

/* --- room --- */

static ta_status check_room(const struct work *w) {
    const struct ta_snapshot *s = &w->job->snapshot;
    const char *directory = w->job->config->directory;
    unsigned arrays = 0u + (s->delta != NULL) + (s->w != NULL) + (s->w0 != NULL) + (s->m != NULL) + (s->v != NULL);
    double need = (double)arrays * (double)w->job->config->model->n_params * 4 + (double)s->done.words * 8 +
                  (double)s->names.text_bytes + (double)s->names.count * 8 + 65536;
    struct statvfs disk;
    if (statvfs(directory, &disk) != 0) return TA_OK; /* a file system that does not say: writing will tell */
    double room = (double)disk.f_bavail * (double)disk.f_frsize;
    if (room >= need) return TA_OK;
    return ta_fail(TA_IO,
                   "%s: the disk is full: a checkpoint needs %.1f MB, %.1f MB are left; make room or lower "
                   "checkpoint.keep (earlier checkpoints are untouched)",
                   directory, need / 1e6, room / 1e6);
}

/* --- one file: under a temporary name, synced, renamed --- */

static ta_status put_in_place(const struct work *w, const char *part, const char *name) {
    char path[TA_CKPT_PATH];
    ta_status status = ta_ckpt_path(path, "%s/%s", w->tmp, name);
    step(w, "sync a file");
    if (status == TA_OK) status = ta_ckpt_sync(part);
    if (status != TA_OK) return status;
    step(w, "name a file");
    if (rename(part, path) != 0) return ta_fail_errno(TA_IO, "%s: cannot rename it to %s", part, name);
    return TA_OK;
}

static ta_status write_own(const struct work *w) {
    const struct ta_ckpt_job *job = w->job;
    char part[TA_CKPT_PATH], name[32];
    snprintf(name, sizeof name, "replica-%05u.h5", job->snapshot.rank);
    ta_status status = ta_ckpt_path(part, "%s/%s.part", w->tmp, name);
    if (status != TA_OK) return status;
    step(w, "write the replica's file");
    status = ta_ckpt_file_write(part, &job->snapshot, job->config->model);
    return status == TA_OK ? put_in_place(w, part, name) : status;
}

static ta_status write_model(const struct work *w) {
    const struct ta_snapshot *s = &w->job->snapshot;
    const struct ta_keras_note note = {.run = w->job->config->directory,
                                       .steps = s->total_steps,
                                       .records = s->total_records,
                                       .input_scale = s->input_scale,
                                       .input_offset = s->input_offset,
                                       .names = &s->names};
    char part[TA_CKPT_PATH];
    ta_status status = ta_ckpt_path(part, "%s/model.h5.part", w->tmp);
    if (status != TA_OK) return status;
    step(w, "write the model");
    status = ta_keras_write(part, w->job->config->model, s->w, &note);
    return status == TA_OK ? put_in_place(w, part, "model.h5") : status;
}

static ta_status digest_all(const struct work *w, struct ta_ckpt_done *done) {
    const struct ta_ckpt_job *job = w->job;
    for (unsigned i = 0; i <= job->n_writers; i++) {
        struct ta_ckpt_entry *e = &done->entries[i];
        if (i == 0) snprintf(e->name, sizeof e->name, "model.h5");
        else snprintf(e->name, sizeof e->name, "replica-%05u.h5", job->writers[i - 1]);
        char path[TA_CKPT_PATH];
        ta_status status = ta_ckpt_path(path, "%s/%s", w->tmp, e->name);
        if (status == TA_OK) status = ta_ckpt_digest(path, &e->bytes, &e->xxh3);
        if (status != TA_OK) return status;
    }
    done->n_entries = job->n_writers + 1;
    return TA_OK;
}

static ta_status write_done(const struct work *w) {
    const struct ta_snapshot *s = &w->job->snapshot;
    struct ta_ckpt_done *done;
    char part[TA_CKPT_PATH];
    ta_status status = TA_NEW(&done, 1, "the list of a checkpoint's files");
    if (status != TA_OK) return status;
    done->total_steps = s->total_steps;
    done->total_records = s->total_records;
    done->epoch = s->epoch;
    done->n_ranks = s->n_ranks;
    done->fingerprint = w->job->config->model->fingerprint;
    status = digest_all(w, done);
    if (status == TA_OK) status = ta_ckpt_path(part, "%s/DONE.part", w->tmp);
    if (status == TA_OK) {
        step(w, "write DONE");
        status = ta_ckpt_done_write(part, done);
    }
    if (status == TA_OK) status = put_in_place(w, part, "DONE");
    ta_mem_free(done);
    return status;
}

/* --- the others --- */

static void nap(void) { ta_clock_sleep_until(ta_clock_now_ns() + LOOK_EVERY_NS, 0); }

static int64_t give_up_at(const struct work *w, double times) {
    double patience = w->job->config->patience_s > 0 ? w->job->config->patience_s : 30;
    return ta_clock_now_ns() + (int64_t)(times * patience * (double)TA_NS_PER_S);
}

static ta_status wait_for_file(const struct work *w, unsigned rank, int64_t end) {
    char path[TA_CKPT_PATH], failed[TA_CKPT_PATH];
    ta_status status = ta_ckpt_path(path, "%s/replica-%05u.h5", w->tmp, rank);
    if (status == TA_OK) status = ta_ckpt_path(failed, "%s/failed-%05u", w->tmp, rank);
    if (status != TA_OK) return status;
    while (true) {
        bool lost = atomic_load(&w->job->lost[rank]); /* before the look: what it wrote, it wrote before it was lost */
        if (ta_ckpt_is_there(path)) return TA_OK;
        if (ta_ckpt_is_there(failed))
            return ta_fail(TA_PEER, "%s: rank %u could not write its part; its log says why", w->final, rank);
        if (lost) return ta_fail(TA_PEER, "%s: rank %u was lost before it had written its part", w->final, rank);
        if (ta_clock_now_ns() >= end)
            return ta_fail(TA_PEER,
                           "%s: the file of rank %u did not come in time; is that replica alive, and does it see this "
                           "directory?", w->final, rank);
        nap();
    }
}

/* The lowest rank waits for everybody's file; who fails leaves a note. */
static ta_status wait_for_files(const struct work *w) {
    int64_t end = give_up_at(w, 1);
    ta_status status = TA_OK;
    for (unsigned i = 0; i < w->job->n_writers && status == TA_OK; i++)
        status = wait_for_file(w, w->job->writers[i], end);
    return status;
}

/* Another rank waits until the lowest one has given the directory its name, or up: then this rank's file is there no
 * more. (The directory may be: a rank taken for dead that is slow, not dead, makes it anew.) */
static ta_status wait_for_name(const struct work *w) {
    char own[TA_CKPT_PATH];
    ta_status status = ta_ckpt_path(own, "%s/replica-%05u.h5", w->tmp, w->job->snapshot.rank);
    if (status != TA_OK) return status;
    int64_t end = give_up_at(w, 2);
    while (true) {
        bool lost = atomic_load(&w->job->lost[w->job->writers[0]]);
        if (!ta_ckpt_is_there(own)) break;
        if (lost)
            return ta_fail(TA_PEER, "%s: rank %u was lost before it had completed it", w->final, w->job->writers[0]);
        if (ta_clock_now_ns() >= end)
            return ta_fail(TA_PEER, "%s: rank %u has not completed it in time", w->final, w->job->writers[0]);
        nap();
    }
    if (ta_ckpt_is_there(w->final)) return TA_OK;
    return ta_fail(TA_PEER, "%s: rank %u gave it up; its log says why", w->final, w->job->writers[0]);
}

static void leave_note(const struct work *w) {
    char path[TA_CKPT_PATH];
    if (ta_ckpt_path(path, "%s/replica-%05u.h5.part", w->tmp, w->job->snapshot.rank) == TA_OK) (void)unlink(path);
    if (ta_ckpt_path(path, "%s/failed-%05u", w->tmp, w->job->snapshot.rank) != TA_OK) return;
    FILE *note = fopen(path, "w"); /* empty: it says what it says by being there */
    if (note != NULL) fclose(note);
}

/* --- the name --- */

/* Before DONE, and once more, as digests of large files take their time, before the name. */
static ta_status pass_fence(const struct work *w, double patience_s) {
    const struct ta_fence *fence = w->job->config->fence;
    return fence != NULL ? ta_fence_pass(fence, w->job->writers, w->job->n_writers, patience_s) : TA_OK;
}

/* A checkpoint with as many steps is there: swap the two, so that one of them has the name at any moment. */
static ta_status replace(const struct work *w) {
    if (renameat2(AT_FDCWD, w->tmp, AT_FDCWD, w->final, RENAME_EXCHANGE) == 0) {
        step(w, "remove the old of the same name");
        ta_ckpt_remove(w->tmp);
        return TA_OK;
    }
    /* This file system cannot swap. The older one has the same weights; if it is whole, it may stay. */
    struct ta_checkpoint_info *info;
    ta_status status = TA_NEW(&info, 1, "the older checkpoint");
    if (status != TA_OK) return status;
    bool whole = ta_checkpoint_check(w->final, info) == TA_OK;
    ta_mem_free(info);
    if (whole) {
        ta_ckpt_remove(w->tmp);
        return TA_OK;
    }
    ta_ckpt_remove(w->final);
    if (rename(w->tmp, w->final) != 0) return ta_fail_errno(TA_IO, "%s: cannot rename it to %s", w->tmp, w->final);
    return TA_OK;
}

static ta_status name_it(const struct work *w) {
    ta_status status = ta_ckpt_sync(w->tmp);
    if (status != TA_OK) return status;
    step(w, "name the checkpoint");
    if (ta_ckpt_is_there(w->final)) status = replace(w);
    else if (rename(w->tmp, w->final) != 0)
        status = ta_fail_errno(TA_IO, "%s: cannot rename it to %s", w->tmp, w->final);
    step(w, "sync the directory");
    return status == TA_OK ? ta_ckpt_sync(w->job->config->directory) : status;
}

ta_status ta_ckpt_run(struct ta_ckpt_job *job, char path[TA_CKPT_PATH]) {
    struct work w = {.job = job};
    const struct ta_snapshot *s = &job->snapshot;
    const char *directory = job->config->directory;
    unsigned long long steps = s->total_steps;
    ta_status status = ta_ckpt_path(w.tmp, "%s/.tmp-%09llu-%u", directory, steps, s->epoch);
    if (status == TA_OK) status = ta_ckpt_path(w.final, "%s/%09llu", directory, steps);
    if (status == TA_OK) status = check_room(&w);
    step(&w, "make the directory");
    if (status == TA_OK) status = ta_ckpt_mkdirs(w.tmp);
    if (status == TA_OK) status = write_own(&w);
    if (!leads(job)) {
        if (status == TA_OK) status = wait_for_name(&w);
        else leave_note(&w);
        snprintf(path, TA_CKPT_PATH, "%s", w.final);
        return status;
    }
    if (status == TA_OK) status = write_model(&w);
    if (status == TA_OK) status = wait_for_files(&w);
    if (status == TA_OK) status = pass_fence(&w, FENCE_PATIENCE_S);
    if (status == TA_OK) status = write_done(&w);
    if (status == TA_OK) status = pass_fence(&w, 0);
    if (status == TA_OK) status = name_it(&w);
    snprintf(path, TA_CKPT_PATH, "%s", w.final);
    step(&w, status == TA_OK ? "remove older ones" : "remove what failed");
    if (status == TA_OK) ta_ckpt_prune(job);
    else ta_ckpt_remove(w.tmp);
    return status;
}
