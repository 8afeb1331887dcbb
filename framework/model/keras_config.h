/* keras_config: a model as the JSON that Keras builds it from (the attribute `model_config` of model.h5).
 *
 * A chain becomes a Sequential, anything else a Functional model. Activations stand as Activation layers of their own,
 * as in the model. The form is that of Keras 2; Keras 3 reads it too. Private to this folder and its tests.
 */
#ifndef TA_KERAS_CONFIG_H
#define TA_KERAS_CONFIG_H

#include "model.h"

/* *json is NUL-terminated, freed by ta_mem_free. Errors: NO_MEMORY. */
ta_status ta_keras_config(const struct ta_model *model, char **json);

#endif
