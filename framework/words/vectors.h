/* vectors: a table of word vectors and the words its rows stand for, read from a model or from word2vec's files.
 *
 * Three kinds of file, told apart by what they hold:
 *
 *     model.h5     /vocabulary, /vocabulary_count (names.h) and /model_weights/in/in/embeddings:0 float32 [rows][dim];
 *                  rows without a word are left out; commonest word first, equal counts in the order of the rows
 *     text         word2vec.c -binary 0: "rows dim\n", then "word number number ...\n", each line with its end
 *     binary       word2vec.c -binary 1: "rows dim\n", then "word " and dim float32 (little endian), then "\n" or
 * nothing
 *
 * A file of vectors says no counts; its order is kept and taken for commonest first, as every program that writes one
 * does. Nothing of a file is trusted: what it claims is held against its size before memory is asked for, every word
 * must be UTF-8 without control characters, at most TA_VECTORS_WORD_BYTES long, every number finite. A plain value;
 * once read, any thread may look at it.
 *
 * Errors: IO (cannot be read or written), FORMAT (which row, and what is wrong with it), NO_MEMORY.
 */
#ifndef TA_VECTORS_H
#define TA_VECTORS_H

#include <stdint.h>

#include "names.h"
#include "status.h"

enum { TA_VECTORS_WORD_BYTES = 4096, TA_VECTORS_MOST_DIM = 65536 };

enum ta_vectors_format { TA_VECTORS_TEXT, TA_VECTORS_BINARY };

struct ta_vectors {
    struct ta_names names; /* commonest first, none empty; names.count is the number of rows */
    float *v;              /* [names.count][dim] */
    uint32_t dim;
};

/* On failure *out is empty. */
ta_status ta_vectors_read(const char *path, struct ta_vectors *out);
void ta_vectors_free(struct ta_vectors *vectors); /* a zeroed one is fine */

/* Writes word2vec's format under a temporary name (PATH.part) and renames it: all of it or what was there before. Text
 * has nine digits, so that reading it gives the same floats. FORMAT also: a word holds white space. */
ta_status ta_vectors_write(const struct ta_vectors *vectors, enum ta_vectors_format format, const char *path);

const float *ta_vectors_row(const struct ta_vectors *vectors, size_t row);
/* out[dim] = the row at length 1; a row of zeros stays one. */
void ta_vectors_unit(const struct ta_vectors *vectors, size_t row, float *out);
/* The cosine of two rows, in double; 0 where one of them is zero. */
double ta_vectors_cosine(const struct ta_vectors *vectors, size_t a, size_t b);

#endif
