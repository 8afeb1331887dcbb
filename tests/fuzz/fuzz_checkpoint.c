/* Any bytes as a file of a checkpoint: model.h5, or the state of a replica, or any HDF5 file at all. */
#include "bytes_file.h"
#include "checkpoint_internal.h"
#include "h5_probe.h"
#include "keras.h"
#include "small_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    static struct ta_model model; /* built once, kept for the whole run */
    static float *w;
    char path[64];
    if (w == NULL && (small_model(&model) != TA_OK || TA_NEW(&w, model.n_params, "weights") != TA_OK)) __builtin_trap();
    int fd = bytes_file(bytes, count, path);
    if (fd < 0) return 0;

    struct ta_keras_note note;
    struct ta_snapshot snapshot = {0};
    ta_why_clear();
    need_message(ta_keras_read(path, &model, w, &note), ta_why());
    ta_why_clear();
    ta_status status = ta_ckpt_file_read(path, &model, &snapshot);
    need_message(status, ta_why());
    if (status == TA_OK) ta_snapshot_free(&snapshot);
    struct h5_probe probe = h5_probe_file(path);
    if (probe.silent > 0) __builtin_trap();
    close(fd);
    return 0;
}
