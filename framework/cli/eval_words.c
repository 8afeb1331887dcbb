/* eval_words: `tensair eval words`: reads vectors, asks, hands over to be printed. */
#include <getopt.h>
#include <string.h>

#include "ckpt_verbs.h"
#include "config.h"
#include "data_verbs.h"
#include "eval_verbs.h"
#include "mem.h"
#include "vectors_index.h"

enum { MOST = 30000, TOP = 10, LARGEST_TOP = 10000 };

/* An unknown word, with the nearest one there is. */
static ta_status unknown(const struct ta_eval *e, const char *word) {
    const struct ta_names *names = &e->vectors.names;
    const char **list;
    ta_status status = TA_NEW(&list, names->count, "a list of words");
    if (status != TA_OK) return status;
    for (size_t i = 0; i < names->count; i++) list[i] = ta_names_get(names, i);
    const char *nearest = ta_config_nearest(word, list, names->count);
    ta_mem_free(list);
    if (nearest == NULL)
        return ta_fail(TA_USAGE, "--near: '%s' is not among the %zu words of %s", word, names->count, e->model);
    return ta_fail(TA_USAGE, "--near: '%s' is not among the %zu words of %s; did you mean '%s'?", word, names->count,
                   e->model, nearest);
}

static ta_status find_rows(struct ta_eval *e) {
    struct ta_word_index index;
    ta_status status = ta_word_index_open(&index, &e->vectors.names, e->vectors.names.count, e->fold);
    for (size_t i = 0; i < e->near_count && status == TA_OK; i++) {
        e->near[i].row = ta_word_index_find(&index, e->near[i].word);
        if (e->near[i].row == TA_WORD_MISSING) status = unknown(e, e->near[i].word);
        if (status == TA_OK) status = TA_NEW(&e->near[i].answers, e->top, "neighbours");
    }
    ta_word_index_close(&index);
    return status;
}

static ta_status find_neighbours(struct ta_eval *e) {
    size_t words = e->most == 0 || e->most > e->vectors.names.count ? e->vectors.names.count : (size_t)e->most;
    uint32_t *rows;
    float *question = NULL;
    ta_status status = TA_NEW(&rows, words, "words to look among");
    if (status == TA_OK) status = TA_NEW(&question, e->vectors.dim, "a vector");
    if (status == TA_OK) status = find_rows(e);
    for (size_t i = 0; i < words && status == TA_OK; i++) rows[i] = (uint32_t)i;
    for (size_t i = 0; i < e->near_count && status == TA_OK; i++) {
        const uint32_t but[1][3] = {{e->near[i].row, TA_NEAR_NOBODY, TA_NEAR_NOBODY}};
        ta_vectors_unit(&e->vectors, e->near[i].row, question);
        status = ta_near_find(&(struct ta_near){.vectors = &e->vectors,
                                                .words = rows,
                                                .n_words = words,
                                                .questions = question,
                                                .but = but,
                                                .n_questions = 1,
                                                .top = (unsigned)e->top},
                              e->near[i].answers);
    }
    ta_mem_free(question);
    ta_mem_free(rows);
    return status;
}

static ta_status read_model(struct ta_eval *e) {
    struct ta_ckpt_target *target;
    ta_status status = TA_NEW(&target, 1, "the checkpoint");
    if (status != TA_OK) return status;
    status = ta_ckpt_find_target(e->model, target);
    if (status == TA_OK) status = ta_vectors_read(target->model, &e->vectors);
    ta_mem_free(target);
    return status;
}

static ta_status bad_option(char **argv) {
    return ta_fail(TA_USAGE, "option '%s' is unknown, or its value is missing; see tensair eval --help",
                   optind > 0 ? argv[optind - 1] : "");
}

static ta_status parse(struct ta_eval *e, int argc, char **argv) {
    static const struct option known[] = {{"analogies", required_argument, NULL, 'a'},
                                          {"similarity", required_argument, NULL, 's'},
                                          {"near", required_argument, NULL, 'n'},
                                          {"top", required_argument, NULL, 't'},
                                          {"most", required_argument, NULL, 'm'},
                                          {"keep-case", no_argument, NULL, 'k'},
                                          {"json", no_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    ta_status status = TA_OK;
    opterr = 0;
    optind = 0; /* glibc: start afresh */
    for (int letter; status == TA_OK && (letter = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (letter) {
        case 'a': e->analogies_path = optarg; break;
        case 's': e->similarity_path = optarg; break;
        case 'n': e->near[e->near_count++].word = optarg; break;
        case 't': status = ta_data_number("top", optarg, 1, LARGEST_TOP, &e->top); break;
        case 'm': status = ta_data_number("most", optarg, 0, INT32_MAX, &e->most); break;
        case 'k': e->fold = false; break;
        case 'j': e->json = true; break;
        default: return bad_option(argv);
        }
    }
    if (status != TA_OK) return status;
    if (optind + 1 != argc) return ta_fail(TA_USAGE, "name one model; see tensair eval --help");
    e->model = argv[optind];
    if (e->analogies_path == NULL && e->similarity_path == NULL && e->near_count == 0)
        return ta_fail(TA_USAGE, "say what to ask: --analogies FILE, --similarity FILE or --near WORD");
    return TA_OK;
}

static ta_status ask(struct ta_eval *e) {
    ta_status status = read_model(e);
    if (status == TA_OK && e->analogies_path != NULL)
        status = ta_analogies_ask(&e->vectors, e->analogies_path, (size_t)e->most, e->fold, &e->analogies);
    if (status == TA_OK && e->similarity_path != NULL)
        status = ta_similarity_score(&e->vectors, e->similarity_path, e->fold, &e->similarity);
    if (status == TA_OK && e->near_count > 0) status = find_neighbours(e);
    return status;
}

ta_status ta_eval_words(int argc, char **argv) {
    struct ta_eval e = {.most = MOST, .top = TOP, .fold = true};
    ta_status status = TA_NEW(&e.near, (size_t)argc, "words to ask for");
    if (status == TA_OK) status = parse(&e, argc, argv);
    if (status == TA_OK) status = ask(&e);
    if (status == TA_OK && e.json) status = ta_eval_print_json(&e);
    if (status == TA_OK && !e.json) ta_eval_print(&e);
    for (size_t i = 0; i < e.near_count; i++) ta_mem_free(e.near[i].answers);
    ta_mem_free(e.near);
    ta_similarity_free(&e.similarity);
    ta_analogies_free(&e.analogies);
    ta_vectors_free(&e.vectors);
    return status;
}
