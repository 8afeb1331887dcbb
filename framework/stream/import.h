/* import: other people's files -> a stream file (stream.h), record by record, in bounded memory.
 *
 * Files may be gzip-compressed; that is seen by their first bytes, not their names. What is written appears at `out`
 * all or not at all (writer.h). Everything in a file is checked before it is believed: counts before allocation,
 * lengths before use, numbers before storage.
 *
 * Errors, all calls: USAGE (`out` exists, or options that make no sense), CONFIG (the schema of a CSV), IO (cannot be
 * read or written), FORMAT (the file is not what it should be: file, place, what was found, and the cure), NO_MEMORY.
 * Threads: any, one import each.
 */
#ifndef TA_IMPORT_H
#define TA_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum {
    TA_IMPORT_SIDE_MOST = 16384,            /* pixels: pictures larger than that in either direction are refused */
    TA_IMPORT_RECORD_BYTES_MOST = 64 << 20, /* of one record as stored */
    TA_IMPORT_LINE_BYTES_MOST = 1 << 20,    /* of one row of a CSV */
    TA_IMPORT_CATEGORIES_MOST = 65536,      /* of one column of a CSV, when they are learned */
    TA_IMPORT_WORD_BYTES_MOST = 99,         /* of a word of a text; longer ones are cut, as word2vec does */
    TA_IMPORT_TEXT_BYTES = 4096,            /* of a record of text */
    TA_IMPORT_CONTEXTS_MOST = 4096,         /* of a target word */
};

struct ta_import_options {
    const char *out;
    bool force; /* replace `out` */
    int gzip;   /* compress the stream: 0 (none) to 9 */
};

struct ta_import_report {
    uint64_t records; /* written */
    uint64_t skipped; /* rows or pictures left out on request */
    char note[512];   /* what a person should know about how it was done, or "" */
};

/* IDX files, as MNIST has them: images uint8 [n][h][w] or [n][h][w][c] (or vectors [n][c]), labels uint8 [n]. Records
 * keep their order; x is uint8 with scale 1/255; classes = largest label + 1. */
ta_status ta_import_idx(const char *images, const char *labels, const struct ta_import_options *options,
                        struct ta_import_report *report);

/* CIFAR-10 binary batches, one behind the other: 1 byte label, 3 x 32 x 32 bytes (channel, row, column). x is uint8
 * [32][32][3], scale 1/255. */
ta_status ta_import_cifar10(const char *const *files, size_t count, const struct ta_import_options *options,
                            struct ta_import_report *report);

/* Tables of text by a column schema: see import_schema.h. */
struct ta_import_csv {
    const char *data;
    const char *labels; /* a second file, row by row beside the first; NULL: none */
    const char *schema;
};
ta_status ta_import_csv(const struct ta_import_csv *csv, const struct ta_import_options *options,
                        struct ta_import_report *report);

/* A folder with a folder for each class, which holds JPEG and PNG pictures (also in folders below it). Classes are
 * numbered in the order of their names, bytewise. All pictures must have one size, unless `width` and `height` say
 * which. The order of records is shuffled by `seed`: a stream sorted by class cannot be learned from; `as_found`
 * keeps it (by class, then name). x is uint8 [h][w][3] (or 1 when `gray`), scale 1/255; transparent pixels are shown
 * on black. */
struct ta_import_images {
    const char *folder;
    const char *split;      /* a folder below `folder` to take alone ("train"); NULL: the folder itself */
    uint32_t width, height; /* resize by area averaging, without keeping the aspect; 0: as they are */
    bool gray;
    bool as_found;
    uint64_t seed;
    bool skip_unreadable;   /* leave damaged pictures out, and say how many; else the first one is an error */
};
ta_status ta_import_images(const struct ta_import_images *images, const struct ta_import_options *options,
                           struct ta_import_report *report);

/* Words separated by white space (ASCII), in UTF-8 -> sentences of word numbers. The vocabulary is the words that
 * occur `min_count` times or more, most frequent first, ties by first occurrence, at most `vocabulary_size`; other
 * words are dropped, as word2vec does. A sentence ends with a line, or after `sentence` words; sentences without a word
 * left are dropped. /x int32 [n][sentence], padded by -1; no /y; /vocabulary and /vocabulary_count as in names.h (in
 * h5py: f['vocabulary'][:].view('S%d' % width)). The file is read twice; memory holds the words and their counts.
 *
 * `online` keeps the text instead, for a vocabulary that is found while it is read: /x uint8
 * [n][TA_IMPORT_TEXT_BYTES], attribute content "text", no vocabulary. A record holds whole words with one byte
 * between them, a line's end where a line ended there, else a space; the rest is NUL. It ends when the next word has no
 * room, or with a line when it is more than half full. Nothing is dropped; the file is read once.
 *
 * Words of more than TA_IMPORT_WORD_BYTES_MOST bytes are cut at the end of a character; the note says how many. What is
 * not UTF-8, or holds a NUL, is FORMAT, and so is a text without words. */
struct ta_import_text {
    const char *file;
    bool online;              /* then the three below must be 0 */
    uint32_t min_count;       /* 0: 5 */
    uint32_t vocabulary_size; /* 0: no limit */
    uint32_t sentence;        /* words; 0: 1000 */
};
ta_status ta_import_text(const struct ta_import_text *text, const struct ta_import_options *options,
                         struct ta_import_report *report);

/* Rows of whole numbers between white space, as TensAIR's generator for word2vec writes them: a target word, `contexts`
 * context words (the first was seen beside it, the others were drawn), and a label of 0 or 1 for each. How many
 * contexts there are is found from the first row; blank lines are skipped. /x int32 [n][1 + contexts], /y float32
 * [n][contexts], attribute vocabulary. Errors, too: FORMAT (a row of another length, what is no number, a word beyond
 * the vocabulary, another label: file and line). */
struct ta_import_pairs {
    const char *file;
    uint32_t vocabulary; /* words; 0: the largest number found + 1; at most 2^31 */
};
ta_status ta_import_pairs(const struct ta_import_pairs *pairs, const struct ta_import_options *options,
                          struct ta_import_report *report);

#endif
