/* bench_words: `tensair bench words`: words a second of the skip-gram kernels, beside word2vec's own loop. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "clock.h"
#include "kernels.h"
#include "mem.h"
#include "rng.h"
#include "skipgram.h"
#include "stream.h"

static const char help[] =
    "usage: tensair bench words STREAM.h5 [options]\n"
    "\n"
    "Trains word vectors on a stream of word numbers (tensair data import text) and prints words a second of each kernel,\n"
    "taken in turns on one core. Words are those in the vocabulary, before sub-sampling; reading is not in the time.\n"
    "\n"
    "  --dim N         numbers of a vector (default 100)\n"
    "  --window N      most words to either side (default 5)\n"
    "  --negative N    words drawn against each (default 5)\n"
    "  --sample X      sub-sampling of frequent words (default 1e-4; 0: none)\n"
    "  --batch N       sentences a call (default 32)\n"
    "  --words N       use the first N words of the stream (default 3,000,000)\n"
    "  --turns N       how often each kernel runs (default 3); the median counts\n"
    "  --cbow          CBOW instead of skip-gram\n"
    "\n"
    "Kernels: cpu, what a replica alone uses; cpu+lists, what a replica with peers uses; portable, plain C; word2vec, the\n"
    "loop of word2vec.c, pair by pair, as the yardstick. Lines that begin with FIGURE are for experiments/figures.sh.\n";

enum { KERNELS = 4, MAX_TURNS = 99 };

struct options {
    const char *file;
    double dim, window, negative, sample, batch, words, turns;
    bool cbow;
};

struct bench {
    struct options o;
    struct ta_stream *stream;
    struct ta_names names;
    struct ta_kernels *kernels;
    int32_t *text;        /* [sentences][length] */
    uint32_t length;
    uint64_t sentences, words;
    struct ta_table in, out;
    size_t floats;        /* of an arena */
    float *w;
    double per_s[KERNELS][MAX_TURNS];
};

static const struct contender {
    const char *name;
    const struct ta_skipgram_ops *ops;
    bool lists;
} contenders[KERNELS] = {
    {"cpu", &ta_skipgram_cpu, false},
    {"cpu+lists", &ta_skipgram_cpu, true},
    {"portable", &ta_skipgram_portable, false},
    {"word2vec", &ta_skipgram_word2vec, false},
};

/* ---- the command line ---- */

static ta_status number(const char *option, const char *text, double least, double most, double *value) {
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(*value >= least && *value <= most))
        return ta_fail(TA_USAGE, "%s '%s' must be a number from %g to %g", option, text, least, most);
    return TA_OK;
}

static ta_status parse(int argc, char **argv, struct options *o, bool *helped) {
    static const struct option known[] = {
        {"dim", required_argument, NULL, 'd'},    {"window", required_argument, NULL, 'w'},
        {"negative", required_argument, NULL, 'n'}, {"sample", required_argument, NULL, 's'},
        {"batch", required_argument, NULL, 'b'},  {"words", required_argument, NULL, 'm'},
        {"turns", required_argument, NULL, 't'},  {"cbow", no_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    *o = (struct options){.dim = 100, .window = 5, .negative = 5, .sample = 1e-4, .batch = 32, .words = 3e6, .turns = 3};
    ta_status status = TA_OK;
    optind = 0;
    opterr = 0;
    for (int c; status == TA_OK && (c = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        switch (c) {
        case 'd': status = number("--dim", optarg, 1, 65536, &o->dim); break;
        case 'w': status = number("--window", optarg, 1, 100, &o->window); break;
        case 'n': status = number("--negative", optarg, 1, 64, &o->negative); break;
        case 's': status = number("--sample", optarg, 0, 1, &o->sample); break;
        case 'b': status = number("--batch", optarg, 1, 1 << 20, &o->batch); break;
        case 'm': status = number("--words", optarg, 1, 1e12, &o->words); break;
        case 't': status = number("--turns", optarg, 1, MAX_TURNS, &o->turns); break;
        case 'c': o->cbow = true; break;
        case 'h':
            fputs(help, stdout);
            *helped = true;
            return TA_OK;
        default: return ta_fail(TA_USAGE, "option '%s' is not known or lacks its value; see --help", argv[optind - 1]);
        }
    }
    if (status != TA_OK) return status;
    if (optind + 1 != argc)
        return ta_fail(TA_USAGE, "give one stream of word numbers: tensair bench words STREAM.h5 (see --help)");
    o->file = argv[optind];
    return TA_OK;
}

/* ---- the text and the tables ---- */

static uint64_t words_of(const int32_t *sentence, uint32_t length) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < length; i++) n += sentence[i] >= 0;
    return n;
}

static ta_status read_text(struct bench *b) {
    ta_status status = ta_stream_hdf5_open(b->o.file, &b->stream);
    if (status != TA_OK) return status;
    const struct ta_stream_info *info = &b->stream->info;
    if (info->element != TA_ELEMENT_I32 || info->label_kind != TA_LABEL_NONE)
        return ta_fail(TA_CONFIG, "%s: not a stream of word numbers; make one by tensair data import text", b->o.file);
    b->length = info->c;
    status = ta_stream_names(b->o.file, &b->names);
    uint64_t most = info->records, room = (uint64_t)b->o.words / 8 + 1; /* a sentence of fewer words is rare */
    if (most > room) most = room;
    if (status == TA_OK) status = TA_NEW(&b->text, most * b->length, "the text");
    while (status == TA_OK && b->sentences < most && (double)b->words < b->o.words) {
        struct ta_stream_block block = {.x = b->text + b->sentences * b->length};
        status = b->stream->ops->read(b->stream, b->sentences, 1, &block);
        b->words += words_of(block.x, b->length);
        b->sentences++;
    }
    return status;
}

static ta_status make_tables(struct bench *b) {
    uint32_t dim = (uint32_t)b->o.dim, stride = (dim + 7) / 8 * 8, rows = (uint32_t)b->names.count;
    size_t table = ((size_t)rows * stride + 15) / 16 * 16;
    b->in = (struct ta_table){.offset = 0, .rows = rows, .width = dim, .stride = stride, .range = 1 / (float)dim};
    b->out = (struct ta_table){.offset = table, .rows = rows, .width = dim, .stride = stride};
    b->floats = 2 * table;
    const struct ta_kernels_ops *ops = &ta_kernels_cpu;
    ta_status status = ops->open(&(struct ta_kernels_config){.threads = 1}, &b->kernels);
    if (status == TA_OK) status = ops->alloc(b->kernels, b->floats * sizeof(float), "the tables", (void **)&b->w);
    return status;
}

static void start_anew(struct bench *b) {
    memset(b->w, 0, b->floats * sizeof(float));
    (void)ta_kernels_cpu.rows_sum(b->kernels, &b->in, 1, NULL, 0, b->w, NULL, NULL, 0);
}

/* ---- the measurement ---- */

static ta_status run(struct bench *b, const struct contender *c, double *per_s) {
    struct ta_skipgram_spec spec = {
        .cbow = b->o.cbow,
        .in = b->in,
        .out = b->out,
        .window = (uint32_t)b->o.window,
        .negative = (uint32_t)b->o.negative,
        .length = b->length,
        .sample = b->o.sample,
        .seed = 1,
        .lists = c->lists,
    };
    struct ta_skipgram *s = NULL;
    ta_status status = c->ops->create(b->kernels, &spec, &s);
    if (status == TA_OK) status = c->ops->counts(s, b->names.counts);
    start_anew(b);
    uint64_t words = 0;
    int64_t start_ns = ta_clock_now_ns();
    for (uint64_t first = 0; status == TA_OK && first < b->sentences; first += (uint64_t)b->o.batch) {
        uint64_t n = b->sentences - first < (uint64_t)b->o.batch ? b->sentences - first : (uint64_t)b->o.batch;
        struct ta_skipgram_batch batch = {.words = b->text + first * b->length,
                                          .sentences = (uint32_t)n,
                                          .length = b->length,
                                          .rate = .025F,
                                          .number = first};
        struct ta_skipgram_made made;
        status = c->ops->train(s, b->w, &batch, &made);
        words += made.words;
    }
    *per_s = (double)words / ((double)(ta_clock_now_ns() - start_ns) * 1e-9);
    c->ops->destroy(s);
    return status;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print(struct bench *b) {
    unsigned turns = (unsigned)b->o.turns;
    double median[KERNELS];
    printf("%s, dim %g, window %g, negative %g, sample %g: %llu words, vocabulary %zu\n",
           b->o.cbow ? "cbow" : "skipgram", b->o.dim, b->o.window, b->o.negative, b->o.sample,
           (unsigned long long)b->words, b->names.count);
    for (unsigned k = 0; k < KERNELS; k++) {
        qsort(b->per_s[k], turns, sizeof(double), ascending);
        median[k] = b->per_s[k][turns / 2];
    }
    printf("%-12s %14s %14s\n", "kernel", "words/s", "x word2vec");
    for (unsigned k = 0; k < KERNELS; k++)
        printf("%-12s %14.0f %14.2f\n", contenders[k].name, median[k], median[k] / median[KERNELS - 1]);
    if (b->o.cbow) return;
    printf("FIGURE words_vs_word2vec_d%g %.2f ratio asked >= 4\n", b->o.dim, median[0] / median[KERNELS - 1]);
}

static ta_status measure(struct bench *b) {
    ta_status status = read_text(b);
    if (status == TA_OK) status = make_tables(b);
    for (unsigned turn = 0; status == TA_OK && turn < (unsigned)b->o.turns; turn++)
        for (unsigned k = 0; status == TA_OK && k < KERNELS; k++) status = run(b, &contenders[k], &b->per_s[k][turn]);
    if (status == TA_OK) print(b);
    return status;
}

ta_status ta_bench_words(int argc, char **argv) {
    bool helped = false;
    struct bench *b;
    ta_status status = TA_NEW(&b, 1, "a measurement");
    if (status != TA_OK) return status;
    status = parse(argc, argv, &b->o, &helped);
    if (status == TA_OK && !helped) status = measure(b);
    if (b->kernels != NULL) {
        ta_kernels_cpu.free(b->kernels, b->w);
        ta_kernels_cpu.close(b->kernels);
    }
    ta_mem_free(b->text);
    ta_names_free(&b->names);
    ta_stream_close(b->stream);
    ta_mem_free(b);
    return status;
}
