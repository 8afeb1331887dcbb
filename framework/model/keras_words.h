/* keras_words: a word model in model.h5: two Embedding layers, "in" and "out", and how Keras puts them together.
 *
 *     word    (int32 [batch][1]) -> in  [batch][1][dim] \
 *                                                        dot -> flatten -> sigmoid [batch][1]
 *     context (int32 [batch][1]) -> out [batch][1][dim] /
 *
 * What comes out is how likely the two words are neighbours. Tables are stored without padding, [rows][dim], and go
 * through a small buffer: they are too large to copy. Private to this folder.
 */
#ifndef TA_KERAS_WORDS_H
#define TA_KERAS_WORDS_H

#include "h5.h"
#include "model.h"

/* Attribute `model_config`; freed by ta_mem_free. Errors: NO_MEMORY. */
ta_status ta_keras_words_config(const struct ta_model *model, char **json);
/* /model_weights with all layers, and /vocabulary: `names` (NULL: none, or of an online vocabulary what stands in w).
 * Errors: INVALID (names that are not the model's, as in ta_keras_vocabulary_read), IO, NO_MEMORY. */
ta_status ta_keras_words_write(struct ta_h5 *file, const struct ta_model *model, const float *w,
                               const struct ta_names *names);
/* A dataset [rows][width] into a table of the arena `w`. Errors: FORMAT (its shape, a number that is not finite), IO,
 * NO_MEMORY. */
ta_status ta_keras_table_read(struct ta_h5 *file, const char *path, const char *object, const struct ta_table *table,
                              float *w);
/* /vocabulary must be the model's: as many words as rows and, where the vocabulary is fixed, these very words (a file
 * of Keras' own has none, which is fine). Names of an online vocabulary go into the arena. Errors: FORMAT, IO,
 * NO_MEMORY. */
ta_status ta_keras_vocabulary_read(struct ta_h5 *file, const char *path, const struct ta_model *model, float *w);

/* keras_read.c: FORMAT unless the dataset has these dims. */
ta_status ta_keras_check_dims(const char *path, const char *object, const struct ta_h5_shape *found, unsigned rank,
                              const uint64_t *dims);

#endif
