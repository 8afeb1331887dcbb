/* Any bytes as a file of a checkpoint: model.h5, or the state of a replica, or any HDF5 file at all. */
#include "bytes_file.h"
#include "checkpoint_internal.h"
#include "h5_probe.h"
#include "keras.h"
#include "small_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void read_as(const char *path, const struct ta_model *model, float *w) {
    struct ta_keras_note note;
    struct ta_snapshot snapshot = {0};
    ta_why_clear();
    need_message(ta_keras_read(path, model, w, &note), ta_why());
    ta_why_clear();
    ta_status status = ta_ckpt_file_read(path, model, &snapshot);
    need_message(status, ta_why());
    if (status == TA_OK) ta_snapshot_free(&snapshot);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    static struct ta_model models[2]; /* built once, kept for the whole run */
    static float *w[2];
    char path[64];
    if (w[1] == NULL && (small_model(&models[0]) != TA_OK || small_word_model(&models[1]) != TA_OK ||
                         TA_NEW(&w[0], models[0].n_params, "weights") != TA_OK ||
                         TA_NEW(&w[1], models[1].n_params, "vectors") != TA_OK))
        __builtin_trap();
    int fd = bytes_file(bytes, count, path);
    if (fd < 0) return 0;

    for (int i = 0; i < 2; i++) read_as(path, &models[i], w[i]);
    struct h5_probe probe = h5_probe_file(path);
    if (probe.silent > 0) __builtin_trap();
    close(fd);
    return 0;
}
