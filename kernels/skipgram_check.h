/* skipgram_check: what every make asks of a word model, and of a batch before it touches the weights.
 *
 * Pure functions; any thread.
 */
#ifndef TA_SKIPGRAM_CHECK_H
#define TA_SKIPGRAM_CHECK_H

#include "skipgram.h"

/* Tables that fit each other, numbers in range. Errors: CONFIG (which number). */
ta_status ta_skipgram_check_spec(const struct ta_skipgram_spec *spec);

/* Length, rate and every row's number; how many words have a row. Errors: CONFIG (sentence and place). */
ta_status ta_skipgram_check_batch(const struct ta_skipgram_spec *spec, const struct ta_skipgram_batch *batch,
                                  uint64_t *words);
/* The same for explicit pairs and their labels; how many records have a centre. */
ta_status ta_skipgram_check_pairs(const struct ta_skipgram_spec *spec, const struct ta_skipgram_pairs *batch,
                                  uint64_t *words);

#endif
