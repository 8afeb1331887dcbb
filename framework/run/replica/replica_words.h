/* replica_words: what a replica of a word model has in place of a net, a gradient and an optimizer.
 *
 * A batch of text is turned into numbers of rows (a stream of word numbers has them already), and trained on in place:
 * loss first, then update, pair by pair. With an online vocabulary it is found here which word a row is: decided by the
 * row's keeper, heard of through the exchange by everyone else (vocabulary.h). Private to this folder.
 */
#ifndef TA_REPLICA_WORDS_H
#define TA_REPLICA_WORDS_H

#include "exchange.h"
#include "names.h"
#include "optimizer.h"
#include "replayer.h"
#include "skipgram.h"
#include "vocabulary.h"

struct ta_replica;
struct ta_snapshot;

struct ta_replica_words {
    const struct ta_skipgram_ops *ops;
    struct ta_skipgram *skipgram;
    struct ta_names names;            /* of a fixed vocabulary */
    struct ta_vocabulary *vocabulary; /* online; else NULL */
    int32_t *numbers;                 /* online: [batch][length] */
    uint32_t length;                  /* words of a record */
    bool pairs;                       /* records are pairs with labels, not sentences */
    bool counted;                     /* the kernel knows how often words are seen */
    uint64_t recount_at;              /* words after which it is told again */
    struct ta_optimizer_spec rate;    /* defaults filled in */
    double goal_records;              /* of the run; 0: it has no end */
    uint64_t words, centres, pairs_made; /* of this life */
    uint64_t reported_words;
};

/* Errors: CONFIG (the stream is not of words; an optimizer, schedule or kernels that cannot train words), NO_MEMORY. */
ta_status ta_replica_words_open(struct ta_replica *r);
void ta_replica_words_close(struct ta_replica_words *w);
/* One batch: reads, predicts and trains; `records` counts those that held something to train on, `loss` is their mean
 * loss per pair before training (NAN: none). */
ta_status ta_replica_words_train(struct ta_replica *r, const struct ta_batch *batch, uint32_t *records, double *loss);
/* The word of each row, for a checkpoint. Errors: NO_MEMORY. */
ta_status ta_replica_words_names(const struct ta_replica *r, struct ta_names *out);
/* The vocabulary of a checkpoint comes back; w0, if it is not NULL, gets the names' rows. */
void ta_replica_words_restore(struct ta_replica *r, const struct ta_names *names, float *w0);
size_t ta_replica_words_bytes(const struct ta_replica_words *w);

#endif
