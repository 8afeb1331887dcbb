/* eval_print: what `tensair eval words` found, as a table and as JSON. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "eval_verbs.h"
#include "jsonl.h"

/* --- for people --- */

static void print_score(const char *name, const struct ta_analogy_score *score) {
    char percent[16] = "-";
    if (score->asked > 0) snprintf(percent, sizeof percent, "%.1f", 100 * ta_analogy_accuracy(score));
    printf("  %-32s %8" PRIu64 " %8" PRIu64 " %7s %9" PRIu64 "\n", name, score->right, score->asked, percent,
           score->left_out);
}

static void print_analogies(const struct ta_eval *e) {
    printf("\n%-34s %8s %8s %7s %9s\n", "analogies", "right", "asked", "%", "left out");
    for (size_t i = 0; i < e->analogies.count; i++)
        print_score(e->analogies.sections[i].name, &e->analogies.sections[i].score);
    print_score("semantic", &e->analogies.semantic);
    print_score("syntactic", &e->analogies.syntactic);
    print_score("all", &e->analogies.all);
    printf("  looked for among %zu words\n", e->analogies.words);
}

static void print_similarity(const struct ta_similarity *s) {
    if (isnan(s->spearman))
        printf("\nsimilarity   no rank correlation: ");
    else
        printf("\nsimilarity   rank correlation %.3f: ", s->spearman);
    printf("%zu of %zu pairs have vectors\n", s->found, s->count);
}

void ta_eval_print(const struct ta_eval *e) {
    const struct ta_names *names = &e->vectors.names;
    printf("%s: %zu words, %" PRIu32 " numbers each\n", e->model, names->count, e->vectors.dim);
    if (e->analogies_path != NULL) print_analogies(e);
    if (e->similarity_path != NULL) print_similarity(&e->similarity);
    for (size_t i = 0; i < e->near_count; i++) {
        printf("\nnear %s\n", ta_names_get(names, e->near[i].row));
        for (size_t k = 0; k < e->top && e->near[i].answers[k].row != TA_NEAR_NOBODY; k++)
            printf("  %-32s %6.4f\n", ta_names_get(names, e->near[i].answers[k].row),
                   (double)e->near[i].answers[k].score);
    }
}

/* --- for programs: jansson gives NULL when out of memory, and takes a NULL as a failure --- */

static json_t *score_json(const struct ta_analogy_score *score) {
    return json_pack("{s:I, s:I, s:I, s:o}", "asked", (json_int_t)score->asked, "right", (json_int_t)score->right,
                     "left_out", (json_int_t)score->left_out, "accuracy", ta_json_real(ta_analogy_accuracy(score)));
}

static json_t *analogies_json(const struct ta_eval *e) {
    const struct ta_analogies *a = &e->analogies;
    json_t *sections = json_array();
    int failed = 0;
    for (size_t i = 0; i < a->count; i++) {
        json_t *one = score_json(&a->sections[i].score);
        failed |= json_object_set_new(one, "name", json_string(a->sections[i].name));
        failed |= json_array_append_new(sections, one);
    }
    json_t *o = json_pack("{s:s, s:I, s:o, s:o, s:o, s:o}", "file", e->analogies_path, "words", (json_int_t)a->words,
                          "all", score_json(&a->all), "semantic", score_json(&a->semantic), "syntactic",
                          score_json(&a->syntactic), "sections", sections);
    if (failed == 0) return o;
    json_decref(o);
    return NULL;
}

static json_t *similarity_json(const struct ta_eval *e) {
    const struct ta_similarity *s = &e->similarity;
    json_t *pairs = json_array();
    int failed = 0;
    for (size_t i = 0; i < s->count; i++)
        failed |= json_array_append_new(pairs, json_pack("{s:[s,s], s:f, s:o}", "words", ta_names_get(&s->words, 2 * i),
                                                         ta_names_get(&s->words, 2 * i + 1), "score", s->pairs[i].score,
                                                         "cosine", ta_json_real(s->pairs[i].cosine)));
    json_t *o = json_pack("{s:s, s:I, s:I, s:o, s:o}", "file", e->similarity_path, "pairs", (json_int_t)s->count,
                          "found", (json_int_t)s->found, "spearman", ta_json_real(s->spearman), "cosines", pairs);
    if (failed == 0) return o;
    json_decref(o);
    return NULL;
}

static json_t *near_json(const struct ta_eval *e) {
    json_t *list = json_array();
    int failed = 0;
    for (size_t i = 0; i < e->near_count; i++) {
        json_t *words = json_array();
        for (size_t k = 0; k < e->top && e->near[i].answers[k].row != TA_NEAR_NOBODY; k++)
            failed |= json_array_append_new(words, json_pack("{s:s, s:f}", "word",
                                                             ta_names_get(&e->vectors.names, e->near[i].answers[k].row),
                                                             "cosine", (double)e->near[i].answers[k].score));
        failed |= json_array_append_new(
            list, json_pack("{s:s, s:o}", "word", ta_names_get(&e->vectors.names, e->near[i].row), "near", words));
    }
    if (failed == 0) return list;
    json_decref(list);
    return NULL;
}

ta_status ta_eval_print_json(const struct ta_eval *e) {
    json_t *o = json_pack("{s:s, s:I, s:I}", "model", e->model, "words", (json_int_t)e->vectors.names.count, "dim",
                          (json_int_t)e->vectors.dim);
    int failed = o == NULL;
    if (e->analogies_path != NULL) failed |= json_object_set_new(o, "analogies", analogies_json(e));
    if (e->similarity_path != NULL) failed |= json_object_set_new(o, "similarity", similarity_json(e));
    if (e->near_count > 0) failed |= json_object_set_new(o, "near", near_json(e));
    if (failed == 0) failed = json_dumpf(o, stdout, JSON_INDENT(1)) != 0;
    if (failed == 0) putchar('\n');
    json_decref(o);
    return failed == 0 ? TA_OK : ta_fail(TA_NO_MEMORY, "%s: out of memory, or a path is not UTF-8", e->model);
}
