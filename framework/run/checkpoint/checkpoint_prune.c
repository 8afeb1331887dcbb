/* checkpoint_prune: which checkpoints there are, in order of age, and the removal of those nobody needs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_internal.h"
#include "mem.h"

static int newest_first(const void *a, const void *b) {
    const struct ta_ckpt_found *x = a, *y = b;
    if (x->epoch != y->epoch) return x->epoch < y->epoch ? 1 : -1;
    if (x->total_steps != y->total_steps) return x->total_steps < y->total_steps ? 1 : -1;
    return -strcmp(x->name, y->name);
}

ta_status ta_ckpt_find(const char *directory, struct ta_log *log, struct ta_ckpt_found **found, size_t *count) {
    char **names;
    size_t n_names;
    struct ta_ckpt_done *done = NULL;
    *found = NULL;
    *count = 0;
    ta_status status = ta_ckpt_names(directory, ta_ckpt_is_number, &names, &n_names);
    if (status == TA_OK) status = TA_NEW(found, n_names, "the list of checkpoints");
    if (status == TA_OK) status = TA_NEW(&done, 1, "the list of a checkpoint's files");
    for (size_t i = 0; i < n_names && status == TA_OK; i++) {
        char path[TA_CKPT_PATH];
        ta_status good = ta_ckpt_path(path, "%s/%s", directory, names[i]);
        if (good == TA_OK) good = ta_ckpt_done_read(path, done);
        if (good != TA_OK) {
            ta_log_warn(log, "passing over a checkpoint: %s", ta_why());
            continue;
        }
        struct ta_ckpt_found *f = &(*found)[(*count)++];
        snprintf(f->name, sizeof f->name, "%s", names[i]);
        f->total_steps = done->total_steps;
        f->epoch = done->epoch;
    }
    if (status == TA_OK && *count > 1) qsort(*found, *count, sizeof **found, newest_first);
    ta_mem_free(done);
    ta_ckpt_names_free(names, n_names);
    return status;
}

/* Under another name first: a kill in the middle then leaves nothing that looks like a damaged checkpoint. */
static void remove_one(const char *directory, const char *name) {
    char path[TA_CKPT_PATH], away[TA_CKPT_PATH];
    if (ta_ckpt_path(path, "%s/%s", directory, name) != TA_OK) return;
    if (ta_ckpt_path(away, "%s/.tmp-removed-%s", directory, name) != TA_OK) return;
    ta_ckpt_remove(away);
    if (rename(path, away) == 0) ta_ckpt_remove(away);
}

static bool is_stale(const char *name, const struct ta_snapshot *s) {
    unsigned long long steps;
    unsigned epoch;
    if (sscanf(name, ".tmp-%llu-%u", &steps, &epoch) != 2) return true; /* a removal that was cut short */
    return epoch < s->epoch || (epoch == s->epoch && steps <= s->total_steps);
}

static void remove_tmp(const char *directory, const struct ta_snapshot *s) {
    char **names, path[TA_CKPT_PATH];
    size_t count;
    if (ta_ckpt_names(directory, ta_ckpt_is_tmp, &names, &count) != TA_OK) return;
    for (size_t i = 0; i < count; i++)
        if ((s == NULL || is_stale(names[i], s)) && ta_ckpt_path(path, "%s/%s", directory, names[i]) == TA_OK)
            ta_ckpt_remove(path);
    ta_ckpt_names_free(names, count);
}

void ta_ckpt_clean(const char *directory) { remove_tmp(directory, NULL); }

static bool is_held(const struct ta_checkpoint_config *config, const char *name) {
    const char *slash = config->hold != NULL ? strrchr(config->hold, '/') : NULL;
    return slash != NULL && strcmp(slash + 1, name) == 0;
}

void ta_ckpt_prune(const struct ta_ckpt_job *job) {
    const struct ta_snapshot *s = &job->snapshot;
    const char *directory = job->config->directory;
    unsigned keep = job->config->keep > 0 ? job->config->keep : 2;
    struct ta_ckpt_found *found;
    size_t count;
    remove_tmp(directory, s);
    if (ta_ckpt_find(directory, job->config->log, &found, &count) == TA_OK)
        for (size_t i = keep; i < count; i++)
            if ((found[i].epoch != s->epoch || found[i].total_steps != s->total_steps) &&
                !is_held(job->config, found[i].name))
                remove_one(directory, found[i].name);
    ta_mem_free(found);
}
