/* ckpt_verbs: the verbs below `tensair ckpt`, and what they share: finding what a path means and reading it without a
 * configuration. argv[0] is the verb's name. */
#ifndef TA_CKPT_VERBS_H
#define TA_CKPT_VERBS_H

#include "checkpoint.h"
#include "h5.h"

ta_status ta_ckpt_show(int argc, char **argv);
ta_status ta_ckpt_verify(int argc, char **argv);
ta_status ta_ckpt_diff(int argc, char **argv);
ta_status ta_ckpt_export(int argc, char **argv);

/* The word vectors of a model into the file `out`, in word2vec's format "text" or "binary"; USAGE: neither. */
ta_status ta_ckpt_export_words(const char *model, const char *format, const char *out);

enum { TA_CKPT_TARGET_PATH = 4096 + 64 };

/* What PATH names: a checkpoint, a run directory (then its newest one), or an HDF5 file. */
struct ta_ckpt_target {
    bool is_file;                    /* a model.h5 or any Keras file: `info` is empty */
    char model[TA_CKPT_TARGET_PATH]; /* the file with the weights */
    struct ta_checkpoint_info info;  /* verified: sizes and checksums were right */
};

/* Errors: IO, FORMAT (damaged: what), USAGE (nothing of the kind is there). */
ta_status ta_ckpt_find_target(const char *path, struct ta_ckpt_target *out);
/* RUN_DIR/checkpoint when PATH is a run directory, PATH when it holds checkpoints itself; false: neither. */
bool ta_ckpt_folder(const char *path, char folder[TA_CKPT_TARGET_PATH]);

/* One tensor of a Keras file. */
struct ta_ckpt_tensor {
    char layer[256], name[256], object[1024]; /* "conv2d", "kernel", "/model_weights/conv2d/conv2d/kernel:0" */
    struct ta_h5_shape shape;
    uint64_t count;
    float *data; /* [count] */
};

struct ta_ckpt_weights {
    struct ta_ckpt_tensor *tensors;
    size_t n, layers; /* layers: all, those without weights too */
    uint64_t parameters;
};

/* Every tensor of a Keras file, in its order. Freed by ta_ckpt_weights_free. */
ta_status ta_ckpt_read_weights(const char *path, struct ta_ckpt_weights *out);
void ta_ckpt_weights_free(struct ta_ckpt_weights *w);
/* "3 x 3 x 1 x 32" */
void ta_ckpt_say_shape(const struct ta_h5_shape *shape, char *text, size_t bytes);

#endif
