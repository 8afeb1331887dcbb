/* vocabulary: which word has which row, found while the text arrives, in bounded memory.
 *
 * The words of a stream are not known beforehand and never all known. A vocabulary holds `rows` of them. A word that
 * has no row is watched in a bounded table of candidates (Metwally, Agrawal, El Abbadi, "Efficient computation of
 * frequent and top-k elements in data streams", ICDT 2005: Space-Saving); once it was seen `admit` times it gets a free
 * row, or the row of the least useful word, if that one is seen less often of late. Usefulness is a count that fades.
 * The word that had the row is watched again with three quarters of its count. Space-Saving is sure of a word that is
 * seen more often than (words without a row) / candidates: about four candidates a row find nearly what counting would.
 *
 * Replicas share rows, so they must agree which word a row is. Row r has one keeper, rank r mod n_ranks, and a word has
 * one, rank hash mod n_ranks: the keeper of a word alone decides on it, into rows of its own, from the share of the
 * stream that it sees (admit / n_ranks times there, rounded up). Decisions go to the others as state, through the
 * exchange (segment NAMES, a row of TA_NAME_BYTES a word), and come back in by `set`. A keeper that dies decides no
 * more; its words stay.
 *
 *     decide -> caller writes the name's row, resets the vectors' rows, tells the exchange     (keeper)
 *     renamed rows -> set -> caller resets its own part of the vectors' rows                    (everyone else)
 *
 * Words are what stands between white space (ASCII), cut to TA_VOCABULARY_WORD_BYTES at a character's end; what is not
 * UTF-8 is left out and counted. One thread. Plain C; knows nothing of exchange or kernels.
 */
#ifndef TA_VOCABULARY_H
#define TA_VOCABULARY_H

#include "names.h"
#include "status.h"

enum { TA_VOCABULARY_WORD_BYTES = 31 };

struct ta_vocabulary_config {
    uint32_t rows;          /* n_ranks .. 2^31 - 1 */
    uint32_t admit;         /* >= 1: times a word is seen in the whole stream before it gets a row */
    uint32_t candidates;    /* watched at a time; 0: as many as rows, at least 1,024 */
    uint64_t fade_words;    /* words of the whole stream after which a count has halved (here: / n_ranks, rounded up);
                               0: 100 times rows, at least 10 million */
    unsigned rank, n_ranks;
};

struct ta_vocabulary;

/* A row's new word. */
struct ta_vocabulary_change {
    uint32_t row;
    char name[TA_VOCABULARY_WORD_BYTES + 1]; /* padded by NUL */
};

struct ta_vocabulary_stats {
    uint64_t words;    /* read, without the garbled */
    uint64_t known;    /* of these, had a row */
    uint64_t admitted, evicted; /* by this keeper */
    uint64_t garbled;  /* not UTF-8: left out */
    uint32_t used;     /* rows with a word */
};

/* Errors: CONFIG (which number, and what it must be), NO_MEMORY; *out is NULL then. */
ta_status ta_vocabulary_open(const struct ta_vocabulary_config *config, struct ta_vocabulary **out);
void ta_vocabulary_close(struct ta_vocabulary *v); /* NULL is fine */

/* Reads text up to `bytes` or its first NUL: writes the row of each word, or -1, into words[0 .. most - 1], returns how
 * many words were found (never more than `most`; the rest of the text is left). Counts them all. Allocates nothing. */
size_t ta_vocabulary_read(struct ta_vocabulary *v, const char *text, size_t bytes, int32_t *words, size_t most);
/* What this keeper has decided since the last call, up to `most`; call until it returns 0. They hold at once here. */
size_t ta_vocabulary_decide(struct ta_vocabulary *v, struct ta_vocabulary_change *changes, size_t most);
/* Row `row` is now `name` (padded by NUL; empty: nobody's), as its keeper says. True when that is a change. `seen`:
 * what its count starts with. Bytes that are no word (torn, hostile) count as empty, a row that is not there as no
 * change. Of several rows of one name only one has the word (that of the word's keeper, else the lowest), the same one
 * everywhere once all names have arrived, in whatever order; the others have no word until it is renamed. */
bool ta_vocabulary_set(struct ta_vocabulary *v, uint32_t row, const char name[TA_VOCABULARY_WORD_BYTES + 1],
                       uint64_t seen);

/* [rows] faded counts of what this replica saw; 0: no word. Valid until the next call. */
const uint64_t *ta_vocabulary_counts(const struct ta_vocabulary *v);
/* All rows in order, empty names where there is no word; *out (overwritten) is to be freed. Errors: NO_MEMORY. */
ta_status ta_vocabulary_names(const struct ta_vocabulary *v, struct ta_names *out);
void ta_vocabulary_stats(const struct ta_vocabulary *v, struct ta_vocabulary_stats *out);
size_t ta_vocabulary_bytes(const struct ta_vocabulary *v);

#endif
