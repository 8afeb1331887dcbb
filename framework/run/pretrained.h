/* pretrained: weights that a run begins with (run.from, `train --from`, `predict`) in place of drawn ones: those of a
 * checkpoint, whatever number of replicas wrote it, or of any model file that Keras wrote (keras.h). Weights alone: no
 * optimizer, no scores, no place in a stream.
 *
 * What is taken is a file, or a checkpoint's directory, whose sizes and checksums are verified first.
 *
 * Threads: no state of its own; one call at a time on one object, from any thread.
 */
#ifndef TA_PRETRAINED_H
#define TA_PRETRAINED_H

#include "log.h"
#include "model.h"
#include "run_config.h"
#include "stream.h"

enum { TA_PRETRAINED_PATH = 4096 };

/* What a person names, as an absolute path: a run directory stands for its newest whole checkpoint; a checkpoint, a
 * model file. Errors: IO (nothing there, no checkpoint in it), FORMAT (damaged). */
ta_status ta_pretrained_find(const char *said, struct ta_log *log, char out[TA_PRETRAINED_PATH]);

/* The configuration of the run that wrote it; false: it does not lie in a run directory. */
bool ta_pretrained_config(const char *found, char out[TA_PRETRAINED_PATH]);

/* Reads run.from into w [n_params], host memory; *steps: what its file notes of the steps in these weights (0:
 * nothing); may be NULL. Says in the log when the model was another one of the same shapes, or
 * saw its records on another scale. Errors: CONFIG (it does not fit model and stream: both named), IO, FORMAT,
 * NO_MEMORY. */
ta_status ta_pretrained_load(const struct ta_run_config *run, const struct ta_stream_info *info,
                             const struct ta_model *model, struct ta_log *log, float *w, uint64_t *steps);

/* Once, before replicas are started: does it fit? Loads, and drops it. OK when there is no run.from. */
ta_status ta_pretrained_try(const struct ta_run_config *run, const struct ta_stream_info *info,
                            const struct ta_model *model);

/* Names model and stream before what the layer below has said (ta_why) of a model that cannot be built. */
ta_status ta_pretrained_misfit(const struct ta_run_config *run, const struct ta_stream_info *info);

#endif
