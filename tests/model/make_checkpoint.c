/* make_checkpoint: KIND DIRECTORY STEPS...: made-up checkpoints of two ranks, for the scripts of this folder. KIND:
 * layers, words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshots.h"

int main(int argc, char **argv) {
    struct ta_model model;
    if (argc < 4) return 2;
    if (strcmp(argv[1], "words") == 0) small_word_model(&model);
    else small_model(&model);
    for (int i = 3; i < argc; i++) {
        struct ta_checkpoint_writer *w[2];
        const struct ta_checkpoint_config config = {.directory = argv[2], .model = &model, .keep = 8};
        for (unsigned rank = 0; rank < 2; rank++) {
            struct ta_snapshot s;
            if (ta_checkpoint_open(&config, &w[rank]) != TA_OK) return fprintf(stderr, "%s\n", ta_why()), 1;
            made_up(&model, rank, 2, strtoull(argv[i], NULL, 10), &s);
            if (ta_checkpoint_submit(w[rank], &s, (unsigned[]){0, 1}, 2) != TA_OK) return 1;
        }
        for (unsigned rank = 0; rank < 2; rank++)
            if (ta_checkpoint_close(w[rank]) != TA_OK) return fprintf(stderr, "%s\n", ta_why()), 1;
    }
    ta_model_free(&model);
    return 0;
}
