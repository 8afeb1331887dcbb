/* checkpoint: the writer, one background thread that takes one snapshot at a time. What it does with it is in
 * checkpoint_steps.c. */
#include "checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "checkpoint_internal.h"
#include "clock.h"
#include "mem.h"

struct ta_checkpoint_writer {
    struct ta_checkpoint_config config;
    char *directory; /* owned; config.directory points to it */
    int lock;        /* descriptor of the directory, -1: none */
    pthread_t thread;
    pthread_mutex_t mutex; /* guards all below but `job` while busy: that is the thread's then */
    pthread_cond_t wake;
    bool has_mutex, has_wake, has_thread;
    bool busy, stop;
    struct ta_ckpt_job job;
    ta_status failed; /* of the last one, until somebody asked; TA_OK: it stands */
    char why[1024];
    char path[TA_CKPT_PATH]; /* of the last complete one */
};

static ta_status write_one(struct ta_checkpoint_writer *w, char path[TA_CKPT_PATH]) {
    int64_t start_ns = ta_clock_now_ns();
    ta_status status = ta_ckpt_run(&w->job, path);
    int64_t took_ns = ta_clock_now_ns() - start_ns;
    double seconds = (double)took_ns / (double)TA_NS_PER_S;
    if (status == TA_OK && w->config.took_ns != NULL)
        atomic_store_explicit(w->config.took_ns, took_ns, memory_order_relaxed);
    if (status != TA_OK) ta_log_error(w->config.log, "checkpoint: %s", ta_why());
    else if (w->job.writers[0] == w->job.snapshot.rank)
        ta_log_info(w->config.log, "checkpoint %s in %.2f s", path, seconds);
    ta_snapshot_free(&w->job.snapshot);
    return status;
}

static void *thread_main(void *argument) {
    struct ta_checkpoint_writer *w = argument;
    char path[TA_CKPT_PATH];
    pthread_mutex_lock(&w->mutex);
    while (true) {
        while (!w->busy && !w->stop) pthread_cond_wait(&w->wake, &w->mutex);
        if (!w->busy) break;
        pthread_mutex_unlock(&w->mutex);
        ta_status status = write_one(w, path);
        pthread_mutex_lock(&w->mutex);
        w->failed = status;
        if (status == TA_OK) snprintf(w->path, sizeof w->path, "%s", path);
        else snprintf(w->why, sizeof w->why, "%s", ta_why());
        w->busy = false;
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* Whoever gets the directory alone is the first of this life: what is under way there belongs to a dead one. A file
 * system without locks gets no cleaning; stale parts are then removed after the next complete checkpoint. */
static void lock_and_clean(struct ta_checkpoint_writer *w) {
    w->lock = open(w->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (w->lock < 0) return;
    if (flock(w->lock, LOCK_EX | LOCK_NB) == 0) ta_ckpt_clean(w->directory);
    while (flock(w->lock, LOCK_SH) != 0 && errno == EINTR) continue;
}

static ta_status start(struct ta_checkpoint_writer *w) {
    w->has_mutex = pthread_mutex_init(&w->mutex, NULL) == 0;
    w->has_wake = w->has_mutex && pthread_cond_init(&w->wake, NULL) == 0;
    sigset_t all, before; /* signals are for the thread that runs the replica */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    w->has_thread = w->has_wake && pthread_create(&w->thread, NULL, thread_main, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return w->has_thread ? TA_OK : ta_fail(TA_FAILED, "checkpoint: no thread can be started; see ulimit -u");
}

ta_status ta_checkpoint_open(const struct ta_checkpoint_config *config, struct ta_checkpoint_writer **out) {
    struct ta_checkpoint_writer *w;
    ta_status status = TA_NEW(&w, 1, "the checkpoint writer");
    *out = NULL;
    if (status != TA_OK) return status;
    w->config = *config;
    w->lock = -1;
    status = ta_mem_strdup(config->directory, "the checkpoint's directory", &w->directory);
    w->config.directory = w->directory;
    w->job.config = &w->config;
    if (status == TA_OK) status = ta_ckpt_mkdirs(w->directory);
    if (status == TA_OK) lock_and_clean(w);
    if (status == TA_OK) status = start(w);
    if (status == TA_OK) *out = w;
    else (void)ta_checkpoint_close(w);
    return status;
}

ta_status ta_checkpoint_close(struct ta_checkpoint_writer *w) {
    if (w == NULL) return TA_OK;
    if (w->has_thread) {
        pthread_mutex_lock(&w->mutex);
        w->stop = true;
        pthread_cond_signal(&w->wake);
        pthread_mutex_unlock(&w->mutex);
        pthread_join(w->thread, NULL);
    }
    if (w->has_wake) pthread_cond_destroy(&w->wake);
    if (w->has_mutex) pthread_mutex_destroy(&w->mutex);
    if (w->lock >= 0) close(w->lock); /* and with it the lock */
    ta_status status = w->failed == TA_OK ? TA_OK : ta_fail(w->failed, "%s", w->why);
    ta_snapshot_free(&w->job.snapshot);
    ta_mem_free(w->directory);
    ta_mem_free(w);
    return status;
}

/* Tables may start from a seed, and one replica alone has no register apart from its weights. */
static ta_status check_arrays(const struct ta_model *model, const struct ta_snapshot *s, bool lead) {
    bool words = model->words.rows > 0, alone = words && s->n_ranks == 1;
    if ((s->delta == NULL && !alone) || s->peer_steps == NULL || (lead && (s->w == NULL || (s->w0 == NULL && !words))))
        return ta_fail(TA_INVALID, "checkpoint: the snapshot of rank %u lacks delta, peer_steps, w or w0", s->rank);
    if (words && (s->m != NULL || s->v != NULL))
        return ta_fail(TA_INVALID,
                       "checkpoint: the snapshot of rank %u has moments, but word models are trained without", s->rank);
    if (s->names.count == 0 || (words && s->names.count == model->words.rows)) return TA_OK;
    return ta_fail(TA_INVALID, "checkpoint: the snapshot of rank %u has %zu names for %u rows", s->rank, s->names.count,
                   model->words.rows);
}

static ta_status check_submission(const struct ta_model *model, const struct ta_snapshot *s, const unsigned *writers,
                                  unsigned n_writers) {
    bool listed = false, rising = n_writers >= 1 && n_writers <= TA_CKPT_WRITERS;
    for (unsigned i = 0; i < n_writers && rising; i++) {
        listed |= writers[i] == s->rank;
        rising = writers[i] < s->n_ranks && (i == 0 || writers[i] > writers[i - 1]);
    }
    if (!rising || !listed || s->n_ranks > TA_CKPT_WRITERS)
        return ta_fail(TA_INVALID, "checkpoint: writers must be rising ranks below %u, at most %d, rank %u among them",
                       s->n_ranks, TA_CKPT_WRITERS, s->rank);
    return check_arrays(model, s, writers[0] == s->rank);
}

ta_status ta_checkpoint_submit(struct ta_checkpoint_writer *w, struct ta_snapshot *s, const unsigned *writers,
                               unsigned n_writers) {
    ta_status status = check_submission(w->config.model, s, writers, n_writers);
    if (status != TA_OK) return status;
    pthread_mutex_lock(&w->mutex);
    if (w->busy) {
        status = TA_BUSY;
    } else {
        w->job.snapshot = *s;
        *s = (struct ta_snapshot){0};
        memcpy(w->job.writers, writers, n_writers * sizeof *writers);
        w->job.n_writers = n_writers;
        w->busy = true;
        pthread_cond_signal(&w->wake);
    }
    pthread_mutex_unlock(&w->mutex);
    return status;
}

void ta_checkpoint_lost(struct ta_checkpoint_writer *w, unsigned rank) {
    if (rank < TA_CKPT_WRITERS) atomic_store(&w->job.lost[rank], true);
}

ta_status ta_checkpoint_poll(struct ta_checkpoint_writer *w, char *path, size_t path_bytes) {
    pthread_mutex_lock(&w->mutex);
    ta_status status = w->busy ? TA_BUSY : w->failed;
    if (!w->busy && w->failed != TA_OK) {
        ta_fail(w->failed, "%s", w->why);
        w->failed = TA_OK;
    }
    if (path != NULL) snprintf(path, path_bytes, "%s", w->path);
    pthread_mutex_unlock(&w->mutex);
    return status;
}
