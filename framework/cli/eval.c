/* eval: `tensair eval`: what a trained model knows, asked from outside. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "eval_verbs.h"

static const char help[] =
    "usage: tensair eval words MODEL [--analogies FILE] [--similarity FILE] [--near WORD]... [--json]\n"
    "\n"
    "Looks at the word vectors of MODEL: a model.h5 of a skipgram or cbow model, a checkpoint, a run directory (its "
    "newest\n"
    "checkpoint), or a file in word2vec's text or binary format, whoever wrote it. At least one of:\n"
    "\n"
    "  --analogies FILE     questions like 'king is to queen as man is to what?' (questions-words.txt): lines ': "
    "SECTION'\n"
    "                       and lines of four words. The answer is the word nearest to b - a + c, of unit vectors, "
    "other\n"
    "                       than these three; questions with a word missing are left out and counted\n"
    "  --similarity FILE    lines 'WORD WORD SCORE' (WordSim-353): Spearman's rank correlation of the scores with the\n"
    "                       cosines of the vectors\n"
    "  --near WORD          the words with the largest cosine to this one; may be given several times\n"
    "\n"
    "  --top N              neighbours shown (10)\n"
    "  --most N             answers and neighbours are looked for among the N commonest words (30000; 0: all)\n"
    "  --keep-case          'Paris' and 'paris' are two words; otherwise A to Z count as a to z everywhere\n"
    "  --json               one JSON object, with the cosine of every pair\n";

static ta_status eval(int argc, char **argv) {
    bool wants_help = argc >= 2 && strcmp(argv[1], "-h") == 0;
    for (int i = 1; i < argc && !wants_help; i++) wants_help = strcmp(argv[i], "--help") == 0;
    if (wants_help) {
        fputs(help, stdout);
        return TA_OK;
    }
    if (argc >= 2 && strcmp(argv[1], "words") == 0) return ta_eval_words(argc - 1, argv + 1);
    return ta_fail(TA_USAGE, "say words: tensair eval words MODEL ...; see tensair eval --help");
}

const struct ta_verb ta_verb_eval = {.name = "eval", .summary = "ask word vectors what they have learned", .run = eval};
