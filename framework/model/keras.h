/* keras: a model's weights as a Keras 2 HDF5 file (model.h5), readable by h5ls, h5dump, HDFView, h5py and Keras.
 *
 * Layout (keras/saving/hdf5_format.py of Keras 2): root attributes `backend` ("tensorflow"), `keras_version`
 * ("2.11.0"), `model_config` (JSON that Keras can load: Sequential for a chain of layers, Functional otherwise; a
 * softmax or sigmoid that the loss added is part of it), group /model_weights with attributes `layer_names`, `backend`,
 * `keras_version`, and a group a layer with attribute `weight_names` naming its datasets:
 * /model_weights/conv2d/conv2d/kernel:0. Extra root attributes of ours say units, run, step, fingerprint.
 *
 * A word model is two Embedding layers, "in" and "out" (keras_words.h), stored row by row without padding or a copy:
 * /model_weights/in/in/embeddings:0 float32 [rows][dim]. What the rows stand for is in /vocabulary and
 * /vocabulary_count (names.h); of an online vocabulary that is where names in the arena come from when it is read.
 *
 * Errors: IO, FORMAT (which layer or tensor, found and expected shape), NO_MEMORY.
 */
#ifndef TA_KERAS_H
#define TA_KERAS_H

#include "h5.h"
#include "model.h"

/* What is noted in a file beside the weights. */
struct ta_keras_note {
    const char *run;  /* free text: command or run directory; may be NULL */
    uint64_t steps;   /* local steps of all replicas in these weights */
    uint64_t records; /* trained on */
    float input_scale, input_offset;
    const struct ta_names *names; /* word models: /vocabulary of the file; reading: ignored, see ta_names_read */
};

/* Writes the whole file; `w` [n_params] in host memory; `note` NULL: nothing noted. The caller makes it atomic: on
 * failure a part of the file may be there. */
ta_status ta_keras_write(const char *path, const struct ta_model *model, const float *w,
                         const struct ta_keras_note *note);

/* Reads weights into w [n_params], host memory; gaps become zero. Takes files of ours, of Keras' model.save('x.h5') and
 * of Keras 2's model.save_weights('x.h5') (layers at the root). Layers are matched by name; when one of the model's
 * names is not there but the file has as many layers with weights as the model, by order. Every shape is checked before
 * it is read, every number must be finite. Nothing of a file is trusted; on failure w holds anything. `note` may be
 * NULL; its `run` is NULL after reading, and what the file does not note is 0 (input_scale: 1). */
ta_status ta_keras_read(const char *path, const struct ta_model *model, float *w, struct ta_keras_note *note);

#endif
