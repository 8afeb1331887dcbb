/* vectors_internal: what the readers of one format each give to vectors.c. Nobody else includes it. */
#ifndef TA_VECTORS_INTERNAL_H
#define TA_VECTORS_INTERNAL_H

#include "vectors.h"

/* Both fill an empty *out; on failure it holds anything that ta_vectors_free can free. */
ta_status ta_vectors_read_model(const char *path, struct ta_vectors *out);
ta_status ta_vectors_read_word2vec(const char *path, struct ta_vectors *out);

#endif
