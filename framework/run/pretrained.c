/* pretrained: finding, and fitting. */
#include "pretrained.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint.h"
#include "keras.h"
#include "mem.h"

static bool is_folder(const char *path) {
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

static ta_status join(char out[TA_PRETRAINED_PATH], const char *folder, const char *name) {
    if (snprintf(out, TA_PRETRAINED_PATH, "%s/%s", folder, name) < TA_PRETRAINED_PATH) return TA_OK;
    return ta_fail(TA_IO, "%s: the path is too long", folder);
}

/* --- finding --- */

static ta_status newest_of(const char *run_dir, struct ta_log *log, char out[TA_PRETRAINED_PATH]) {
    struct ta_checkpoint_info *info;
    ta_status status = TA_NEW(&info, 1, "the checkpoint");
    if (status == TA_OK) status = ta_checkpoint_latest(run_dir, log, info);
    if (status == TA_OK) memcpy(out, info->path, TA_PRETRAINED_PATH);
    if (status == TA_AGAIN)
        status = ta_fail(TA_IO,
                         "%s: holds no whole checkpoint (`tensair ckpt verify` says what is wrong with those it has)",
                         run_dir);
    ta_mem_free(info);
    return status;
}

static ta_status verify(const char *directory) {
    struct ta_checkpoint_info *info;
    ta_status status = TA_NEW(&info, 1, "the checkpoint");
    if (status == TA_OK) status = ta_checkpoint_check(directory, info);
    ta_mem_free(info);
    return status;
}

ta_status ta_pretrained_find(const char *said, struct ta_log *log, char out[TA_PRETRAINED_PATH]) {
    char real[PATH_MAX], inside[TA_PRETRAINED_PATH];
    if (realpath(said, real) == NULL)
        return ta_fail_errno(TA_IO, "%s: no run, checkpoint or model file is there", said);
    ta_status status = join(inside, real, "checkpoint");
    if (status != TA_OK) return status;
    if (is_folder(inside)) return newest_of(inside, log, out);
    memcpy(out, real, sizeof real);
    return is_folder(real) ? verify(real) : TA_OK;
}

/* RUN_DIR/checkpoint/000012000[/model.h5] */
bool ta_pretrained_config(const char *found, char out[TA_PRETRAINED_PATH]) {
    char path[TA_PRETRAINED_PATH];
    snprintf(path, sizeof path, "%s", found);
    for (unsigned up = is_folder(found) ? 2 : 3; up > 0; up--) {
        char *slash = strrchr(path, '/');
        if (slash == NULL) return false;
        *slash = '\0';
        if (up == 2 && strcmp(strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path, "checkpoint") != 0)
            return false;
    }
    return join(out, path, "config.yaml") == TA_OK && access(out, R_OK) == 0;
}

/* --- fitting --- */

static const char *stream_name(const struct ta_run_config *run) {
    return run->stream.spec.file != NULL ? run->stream.spec.file : run->stream.spec.generator;
}

ta_status ta_pretrained_misfit(const struct ta_run_config *run, const struct ta_stream_info *info) {
    char why[768], labels[48] = "no labels";
    snprintf(why, sizeof why, "%s", ta_why());
    if (info->label_kind == TA_LABEL_CLASS) snprintf(labels, sizeof labels, "%" PRIu32 " classes", info->classes);
    if (info->label_kind == TA_LABEL_VALUE)
        snprintf(labels, sizeof labels, "%" PRIu32 " values as a label", info->targets);
    return ta_fail(TA_CONFIG,
                   "%s does not fit the stream %s (%" PRIu32 " x %" PRIu32 " x %" PRIu32 " numbers a record, %s): %s",
                   run->run.from, stream_name(run), info->h, info->w, info->c, labels, why);
}

/* The same weights may stand in another network (an activation, a rate of dropout): that is allowed, and told. */
static void compare_networks(const char *file, const struct ta_model *model, struct ta_log *log) {
    struct ta_h5 *h5;
    char theirs[24], ours[24];
    if (log == NULL || ta_h5_open(file, TA_H5_READ, &h5) != TA_OK) return;
    snprintf(ours, sizeof ours, "%016" PRIx64, model->fingerprint);
    if (ta_h5_attr_exists(h5, "/", "tensair_fingerprint") &&
        ta_h5_attr_get_text(h5, "/", "tensair_fingerprint", theirs, sizeof theirs) == TA_OK &&
        strcmp(ours, theirs) != 0)
        ta_log_warn(log, "%s is of a network with these shapes of weights that is not quite this one (fingerprint %s, "
                         "now %s)", file, theirs, ours);
    (void)ta_h5_close(h5); /* nothing was written */
}

static void compare_scales(const char *file, const struct ta_keras_note *note, const struct ta_stream_info *info,
                           struct ta_log *log) {
    bool same = fabsf(note->input_scale - info->scale) <= 1e-6f * fabsf(info->scale) &&
                fabsf(note->input_offset - info->offset) <= 1e-6f;
    if (log == NULL || same) return;
    ta_log_warn(log, "%s was trained on x * %g + %g; this stream is x * %g + %g", file, (double)note->input_scale,
                (double)note->input_offset, (double)info->scale, (double)info->offset);
}

ta_status ta_pretrained_load(const struct ta_run_config *run, const struct ta_stream_info *info,
                             const struct ta_model *model, struct ta_log *log, float *w, uint64_t *steps) {
    char file[TA_PRETRAINED_PATH];
    struct ta_keras_note note;
    const char *from = run->run.from;
    bool folder = is_folder(from);
    ta_status status = folder ? verify(from) : TA_OK;
    if (status == TA_OK) status = folder ? join(file, from, "model.h5") : TA_OK;
    if (status != TA_OK) return status;
    if (!folder) snprintf(file, sizeof file, "%s", from);
    status = ta_keras_read(file, model, w, &note);
    if (status == TA_FORMAT && folder) return ta_pretrained_misfit(run, info); /* it is whole, so it is another model's */
    if (status != TA_OK) return status;
    if (steps != NULL) *steps = note.steps;
    compare_networks(file, model, log);
    compare_scales(file, &note, info, log);
    return TA_OK;
}

ta_status ta_pretrained_try(const struct ta_run_config *run, const struct ta_stream_info *info,
                            const struct ta_model *model) {
    if (run->run.from == NULL) return TA_OK;
    float *w;
    ta_status status = TA_NEW(&w, model->n_params, "the weights to begin with");
    if (status == TA_OK) status = ta_pretrained_load(run, info, model, NULL, w, NULL);
    ta_mem_free(w);
    return status;
}
