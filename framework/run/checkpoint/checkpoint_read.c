/* checkpoint_read: finds, verifies and loads checkpoints. Nothing that a file says is used before it was checked. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint_internal.h"
#include "keras.h"
#include "mem.h"

static ta_status verify_file(const char *directory, const struct ta_ckpt_entry *e) {
    char path[TA_CKPT_PATH];
    uint64_t bytes = 0, xxh3 = 0;
    ta_status status = ta_ckpt_path(path, "%s/%s", directory, e->name);
    if (status == TA_OK) status = ta_ckpt_digest(path, &bytes, &xxh3);
    if (status != TA_OK) return status;
    if (bytes != e->bytes)
        return ta_fail(TA_FORMAT, "%s: has %" PRIu64 " bytes, DONE says %" PRIu64 "; the file is damaged", path, bytes,
                       e->bytes);
    if (xxh3 != e->xxh3)
        return ta_fail(TA_FORMAT, "%s: has checksum %016" PRIx64 ", DONE says %016" PRIx64 "; the file is damaged",
                       path, xxh3, e->xxh3);
    return TA_OK;
}

ta_status ta_checkpoint_check(const char *path, struct ta_checkpoint_info *out) {
    struct ta_ckpt_done *done;
    *out = (struct ta_checkpoint_info){0};
    ta_status status = TA_NEW(&done, 1, "the list of a checkpoint's files");
    if (status != TA_OK) return status;
    status = ta_ckpt_path(out->path, "%s", path);
    if (status == TA_OK) status = ta_ckpt_done_read(path, done);
    for (unsigned i = 0; i < done->n_entries && status == TA_OK; i++) status = verify_file(path, &done->entries[i]);
    if (status == TA_OK) {
        out->n_ranks = done->n_ranks;
        out->n_writers = done->n_entries - 1;
        for (unsigned i = 0; i < out->n_writers; i++) out->writers[i] = ta_ckpt_entry_rank(&done->entries[i + 1]);
        out->total_steps = done->total_steps;
        out->total_records = done->total_records;
        out->epoch = done->epoch;
    }
    ta_mem_free(done);
    return status;
}

ta_status ta_checkpoint_latest(const char *directory, struct ta_log *log, struct ta_checkpoint_info *out) {
    struct ta_ckpt_found *found;
    size_t count;
    *out = (struct ta_checkpoint_info){0};
    ta_status status = ta_ckpt_find(directory, log, &found, &count);
    bool good = false;
    for (size_t i = 0; i < count && status == TA_OK && !good; i++) {
        char path[TA_CKPT_PATH];
        status = ta_ckpt_path(path, "%s/%s", directory, found[i].name);
        if (status != TA_OK) break;
        good = ta_checkpoint_check(path, out) == TA_OK;
        if (!good) ta_log_warn(log, "passing over a checkpoint: %s", ta_why());
    }
    ta_mem_free(found);
    return status != TA_OK || good ? status : TA_AGAIN;
}

/* Which words rows are; Keras' own files have no list of them. */
static ta_status load_names(const char *path, struct ta_names *names) {
    struct ta_h5 *file;
    ta_status status = ta_h5_open(path, TA_H5_READ, &file);
    if (status != TA_OK) return status;
    if (ta_h5_exists(file, "/vocabulary")) status = ta_names_read(names, file, path);
    (void)ta_h5_close(file); /* nothing was written */
    return status;
}

static ta_status load_weights(const struct ta_checkpoint_info *info, const struct ta_model *model,
                              struct ta_snapshot *out) {
    char path[TA_CKPT_PATH];
    struct ta_keras_note note;
    ta_status status = ta_ckpt_path(path, "%s/replica-%05u.h5", info->path, info->writers[0]);
    if (status == TA_OK) status = ta_ckpt_file_read_w0(path, model, out);
    if (status == TA_OK) status = ta_ckpt_path(path, "%s/model.h5", info->path);
    if (status == TA_OK) status = TA_NEW(&out->w, model->n_params, "the weights");
    if (status == TA_OK) status = ta_keras_read(path, model, out->w, &note);
    if (status == TA_OK && model->words.rows > 0) status = load_names(path, &out->names);
    if (status != TA_OK) return status;
    out->input_scale = note.input_scale;
    out->input_offset = note.input_offset;
    return TA_OK;
}

ta_status ta_checkpoint_load(const struct ta_checkpoint_info *info, const struct ta_model *model, unsigned rank,
                             bool with_weights, struct ta_snapshot *out) {
    char path[TA_CKPT_PATH];
    *out = (struct ta_snapshot){0};
    ta_status status = ta_ckpt_path(path, "%s/replica-%05u.h5", info->path, rank);
    if (status == TA_OK) status = ta_ckpt_file_read(path, model, out);
    if (status == TA_OK && (out->rank != rank || out->n_ranks != info->n_ranks || out->epoch != info->epoch ||
                            out->total_steps != info->total_steps))
        status =
            ta_fail(TA_FORMAT,
                    "%s: is of rank %u of %u at step %" PRIu64 " of life %" PRIu32 ", the checkpoint's is %u of %u at "
                    "%" PRIu64 " of %" PRIu32 "; the directory was put together from several",
                    path, out->rank, out->n_ranks, out->total_steps, out->epoch, rank, info->n_ranks, info->total_steps,
                    info->epoch);
    if (status == TA_OK && with_weights) status = load_weights(info, model, out);
    if (status != TA_OK) ta_snapshot_free(out);
    return status;
}
