/* eval_verbs: what `tensair eval words` was asked and what it found, between the file that finds and the one that
 * prints. */
#ifndef TA_EVAL_VERBS_H
#define TA_EVAL_VERBS_H

#include <stddef.h>
#include <stdint.h>

#include "analogies.h"
#include "near.h"
#include "similarity.h"

/* The neighbours of one word. */
struct ta_eval_near {
    const char *word;               /* as asked */
    uint32_t row;                   /* what it was found as */
    struct ta_near_answer *answers; /* [top] */
};

struct ta_eval {
    const char *model, *analogies_path, *similarity_path; /* paths NULL: not asked for */
    uint64_t most, top;
    bool fold, json;
    struct ta_vectors vectors;
    struct ta_analogies analogies;
    struct ta_similarity similarity;
    struct ta_eval_near *near; /* [near_count] */
    size_t near_count;
};

ta_status ta_eval_words(int argc, char **argv); /* argv[0] is "words" */

void ta_eval_print(const struct ta_eval *eval);           /* for people */
ta_status ta_eval_print_json(const struct ta_eval *eval); /* NO_MEMORY */

#endif
