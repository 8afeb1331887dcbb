/* snapshots: made-up states of replicas, the model they belong to, and their comparison. */
#ifndef TA_TEST_SNAPSHOTS_H
#define TA_TEST_SNAPSHOTS_H

#include "checkpoint.h"
#include "scratch.h"

/* A small model with both kinds of segment, and gaps. */
void small_model(struct ta_model *model);
/* A word model with names, every table wider than its rows. Its weights hold the words of `some_names`. */
void small_word_model(struct ta_model *model);
/* The state of `rank` of `n_ranks` after so many steps: every field its own number, arrays that follow from (rank,
 * steps); rank 0 has w and w0. Of a word model one rank alone has neither delta nor w0, several have no w0 when
 * `steps` is even, and the names in their deltas are any bytes. */
void made_up(const struct ta_model *model, unsigned rank, unsigned n_ranks, uint64_t steps, struct ta_snapshot *s);
/* Everything equal to made_up of the same arguments. w and w0 are compared when `weights`. */
void assert_made_up(const struct ta_model *model, unsigned rank, unsigned n_ranks, uint64_t steps, bool weights,
                    const struct ta_snapshot *s);
/* Submits (retrying while BUSY) and waits; the outcome. */
ta_status write_and_wait(struct ta_checkpoint_writer *w, struct ta_snapshot *s, const unsigned *writers, unsigned n);
ta_status wait_for(struct ta_checkpoint_writer *w, char *path, size_t bytes);
/* A writer that waits five seconds for the others. keep: 0 for the default. */
struct ta_checkpoint_writer *writer_of(const char *directory, const struct ta_model *model, unsigned keep);
/* The made-up state of one replica alone, written; two checkpoints are kept. */
void write_alone(const char *directory, const struct ta_model *model, uint64_t steps);

#endif
