/* inject: drift made to order: a stream whose records, from given ones on, follow another rule; a stream around a
 * stream.
 *
 * In a configuration, `stream.inject_drift` is a list of changes:
 *
 *     inject_drift:
 *       - {type: swap, at: 10000, classes: [3, 7]}               labels 3 and 7 change places
 *       - {type: rotate, at: 20000, by: 1}                       label y becomes (y + by) mod classes
 *       - {type: shift, at: 30000, amount: 0.5, features: [0, 4]}   0.5 is added to features 0 to 4, as the model sees
 *                                                                them; all of them when `features` is left out
 *       - {type: permute, at: 40000}                             features (of pictures: pixels) in another order
 *       - {type: mix, at: 50000, width: 5000, file: night.h5}    records come from another stream of the same shape
 *       - {type: known, at: 60000}                               nothing: the stream is known to change here by itself,
 *                                                                and runs are scored by it as by the others
 *
 * Each takes `width` (0: abrupt; else record at + i follows the new rule with probability (i + 0.5) / width, drawn for
 * itself, till it does for good), `every` (0: for good; else the rule holds for `every` records, then the old one for
 * as many, and so on: recurring drift; each return takes `width` too), and `seed`. Changes apply in the order listed,
 * each to what the ones before it made; so a swap may undo a swap. Positions are record numbers of the stream; another
 * pass over a finite stream meets them again. Uint8 features are moved in their own steps and held to 0 .. 255.
 *
 * A record is a pure function of (stream, list, record number): read seeks, two readers see the same bytes.
 *
 * The truth. ta_inject_truth lists the records at which a change begins, for scoring detectors.
 */
#ifndef TA_INJECT_H
#define TA_INJECT_H

#include "stream.h"

enum ta_inject_type {
    TA_INJECT_SWAP,
    TA_INJECT_ROTATE,
    TA_INJECT_SHIFT,
    TA_INJECT_PERMUTE,
    TA_INJECT_MIX,
    TA_INJECT_KNOWN
};

enum { TA_INJECT_MOST = 256 };

/* One entry of the list. */
struct ta_inject_change {
    enum ta_inject_type type;
    uint64_t at, width, every, seed;
    uint32_t *classes; /* swap: [2] */
    unsigned classes_count;
    uint32_t by;       /* rotate; 0: 1 */
    double amount;     /* shift */
    uint32_t *features; /* shift: [2] first and last; NULL: all */
    unsigned features_count;
    char *file;        /* mix */
};

/* Takes `inner` over: closing the result closes it, and on failure it is closed too. Errors: CONFIG (which entry: a
 * class or feature the stream does not have, labels of another kind, text, overlapping width and every, another shape
 * of the mixed stream), those of opening the other stream, NO_MEMORY. */
ta_status ta_inject_open(struct ta_stream *inner, const struct ta_inject_change *changes, unsigned n,
                         struct ta_stream **out);

struct ta_inject_truth {
    uint64_t record, width; /* it begins here, and is complete `width` records later */
    unsigned change;        /* number of the entry in the list, from 0 */
    int begins;             /* 1: the new rule; 0: back to the old one */
};

/* The first `most` of them in [0, records), in order of records (then of entries); returns how many there are in
 * all. */
size_t ta_inject_truth(const struct ta_inject_change *changes, unsigned n, uint64_t records,
                       struct ta_inject_truth *out, size_t most);

const char *ta_inject_type_name(enum ta_inject_type type); /* "swap" */

#endif
