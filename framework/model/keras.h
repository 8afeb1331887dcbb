/* keras: a model's weights as a Keras 2 HDF5 file (model.h5), readable by h5ls, h5dump, HDFView, h5py and Keras.
 *
 * Layout (keras/saving/hdf5_format.py of Keras 2): root attributes `backend` ("tensorflow"), `keras_version` ("2.11.0"),
 * `model_config` (JSON of a Functional or Sequential model that Keras can load), group /model_weights with attributes
 * `layer_names`, `backend`, `keras_version`, and a group a layer with attribute `weight_names` naming its datasets:
 * /model_weights/conv2d/conv2d/kernel:0. Extra root attributes of ours say units, run, step, fingerprint.
 *
 * Errors: IO, FORMAT (which layer or tensor, found and expected shape), NO_MEMORY.
 */
#ifndef TA_KERAS_H
#define TA_KERAS_H

#include "h5.h"
#include "model.h"

/* Writes the whole file; `w` [n_params] in host memory. The caller makes it atomic. `input_scale`: see stream.h; noted. */
struct ta_keras_note {
    const char *run;  /* free text: command or run directory; may be NULL */
    uint64_t steps;   /* local steps of all replicas in these weights */
    uint64_t records; /* trained on */
    float input_scale, input_offset;
};
ta_status ta_keras_write(const char *path, const struct ta_model *model, const float *w, const struct ta_keras_note *note);

/* Reads weights into w [n_params], matching layers by name, then checking every shape. */
ta_status ta_keras_read(const char *path, const struct ta_model *model, float *w, struct ta_keras_note *note);

#endif
