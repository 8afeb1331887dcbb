/* analogies: reads questions, asks them some thousands at a time, so that memory does not follow the file. */
#include "analogies.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "near.h"
#include "vectors_index.h"

enum { BATCH = 4096, LINE_BYTES = 4 * (TA_VECTORS_WORD_BYTES + 1), MOST_SECTIONS = 10000 };

struct asker {
    const struct ta_vectors *vectors;
    const char *path;
    struct ta_analogies *out;
    struct ta_word_index index;
    uint32_t *words;              /* [out->words] rows to look among */
    float *questions;             /* [BATCH][dim] b - a + c */
    float *unit;                  /* [dim] */
    uint32_t (*but)[3];           /* [BATCH] a, b, c */
    uint32_t *answer;             /* [BATCH] d */
    size_t *section;              /* [BATCH] */
    struct ta_near_answer *found; /* [BATCH] */
    size_t n;
    unsigned long line;
    char text[LINE_BYTES + 2];
};

double ta_analogy_accuracy(const struct ta_analogy_score *score) {
    return score->asked > 0 ? (double)score->right / (double)score->asked : NAN;
}

void ta_analogies_free(struct ta_analogies *a) {
    ta_mem_free(a->sections);
    *a = (struct ta_analogies){0};
}

/* The questions that wait, answered and counted. */
static ta_status answer_all(struct asker *a) {
    struct ta_near near = {.vectors = a->vectors,
                           .words = a->words,
                           .n_words = a->out->words,
                           .questions = a->questions,
                           .but = (const uint32_t(*)[3])a->but,
                           .n_questions = a->n,
                           .top = 1};
    ta_status status = a->n > 0 ? ta_near_find(&near, a->found) : TA_OK;
    for (size_t i = 0; i < a->n && status == TA_OK; i++) {
        struct ta_analogy_score *score = &a->out->sections[a->section[i]].score;
        score->asked++;
        score->right += a->found[i].row == a->answer[i];
    }
    a->n = 0;
    return status;
}

static ta_status ask(struct asker *a, const uint32_t rows[4]) {
    static const float signs[3] = {-1, 1, 1};
    uint32_t dim = a->vectors->dim;
    float *question = a->questions + a->n * dim;
    memset(question, 0, dim * sizeof *question);
    for (int i = 0; i < 3; i++) {
        ta_vectors_unit(a->vectors, rows[i], a->unit);
        for (uint32_t k = 0; k < dim; k++) question[k] += signs[i] * a->unit[k];
        a->but[a->n][i] = rows[i];
    }
    a->answer[a->n] = rows[3];
    a->section[a->n] = a->out->count - 1;
    return ++a->n == BATCH ? answer_all(a) : TA_OK;
}

static ta_status begin_section(struct asker *a) {
    struct ta_analogies *out = a->out;
    char *name = a->text + 1 + strspn(a->text + 1, " \t");
    size_t bytes = strlen(name);
    while (bytes > 0 && name[bytes - 1] == ' ') bytes--;
    bool good = bytes > 0 && bytes <= TA_ANALOGY_NAME_BYTES && ta_names_utf8(name, bytes);
    for (size_t i = 0; i < bytes && good; i++) good = (unsigned char)name[i] >= ' ' && name[i] != 0x7f;
    if (!good)
        return ta_fail(TA_FORMAT, "%s:%lu: the name of a section must be UTF-8 of 1 to %d bytes", a->path, a->line,
                       TA_ANALOGY_NAME_BYTES);
    if (out->count == MOST_SECTIONS)
        return ta_fail(TA_FORMAT, "%s:%lu: more than %d sections", a->path, a->line, MOST_SECTIONS);
    ta_status status = ta_mem_resize((void **)&out->sections, (out->count + 1) * sizeof *out->sections, "sections");
    if (status == TA_OK) memcpy(out->sections[out->count++].name, name, bytes);
    return status;
}

static ta_status take_line(struct asker *a) {
    char *words[5] = {0}, *rest = a->text;
    uint32_t rows[4];
    unsigned n = 0;
    bool known = true;
    if (a->text[0] == ':') return begin_section(a);
    while (n < 5 && (words[n] = strtok_r(rest, " \t", &rest)) != NULL) n++;
    if (n == 0) return TA_OK;
    if (n != 4)
        return ta_fail(TA_FORMAT, "%s:%lu: %s words, where a question has four and ': NAME' begins a section", a->path,
                       a->line,
                       n > 4    ? "more than four"
                       : n == 1 ? "one"
                       : n == 2 ? "two"
                                : "three");
    if (a->out->count == 0)
        return ta_fail(TA_FORMAT, "%s:%lu: a question before the first section; begin with a line ': NAME'", a->path,
                       a->line);
    for (int i = 0; i < 4; i++) {
        rows[i] = ta_word_index_find(&a->index, words[i]);
        known = known && rows[i] != TA_WORD_MISSING;
    }
    if (known) return ask(a, rows);
    a->out->sections[a->out->count - 1].score.left_out++;
    return TA_OK;
}

static ta_status read_questions(struct asker *a, FILE *file) {
    ta_status status = TA_OK;
    for (a->line = 1; status == TA_OK && fgets(a->text, sizeof a->text, file) != NULL; a->line++) {
        size_t bytes = strcspn(a->text, "\r\n");
        if (bytes > LINE_BYTES)
            return ta_fail(TA_FORMAT, "%s:%lu: a line of more than %d bytes; this is no file of questions", a->path,
                           a->line, LINE_BYTES);
        a->text[bytes] = '\0';
        status = take_line(a);
    }
    if (status == TA_OK && ferror(file)) status = ta_fail_errno(TA_IO, "%s: cannot read it", a->path);
    if (status == TA_OK && a->out->count == 0)
        status = ta_fail(TA_FORMAT,
                         "%s: has no section; a file of questions has lines ': NAME' and lines of four words", a->path);
    return status == TA_OK ? answer_all(a) : status;
}

static void sum_up(struct ta_analogies *out) {
    for (size_t i = 0; i < out->count; i++) {
        const struct ta_analogy_section *s = &out->sections[i];
        struct ta_analogy_score *sums[2] = {&out->all,
                                            strncmp(s->name, "gram", 4) == 0 ? &out->syntactic : &out->semantic};
        for (int k = 0; k < 2; k++) {
            sums[k]->asked += s->score.asked;
            sums[k]->right += s->score.right;
            sums[k]->left_out += s->score.left_out;
        }
    }
}

static ta_status prepare(struct asker *a, size_t most, bool fold) {
    const struct ta_names *names = &a->vectors->names;
    size_t dim = a->vectors->dim;
    most = most == 0 || most > names->count ? names->count : most;
    ta_status status = ta_word_index_open(&a->index, names, most, fold);
    if (status == TA_OK) status = TA_NEW(&a->words, most, "words to look among");
    if (status == TA_OK) status = TA_NEW(&a->questions, BATCH * dim, "questions");
    if (status == TA_OK) status = TA_NEW(&a->unit, dim, "a vector");
    if (status == TA_OK) status = TA_NEW(&a->but, BATCH, "questions");
    if (status == TA_OK) status = TA_NEW(&a->answer, BATCH, "questions");
    if (status == TA_OK) status = TA_NEW(&a->section, BATCH, "questions");
    if (status == TA_OK) status = TA_NEW(&a->found, BATCH, "answers");
    for (size_t i = 0; i < most && status == TA_OK; i++)
        if (ta_word_index_find(&a->index, ta_names_get(names, i)) == i) a->words[a->out->words++] = (uint32_t)i;
    return status;
}

ta_status ta_analogies_ask(const struct ta_vectors *vectors, const char *path, size_t most, bool fold,
                           struct ta_analogies *out) {
    struct asker *a;
    *out = (struct ta_analogies){0};
    ta_status status = TA_NEW(&a, 1, "questions");
    if (status != TA_OK) return status;
    a->vectors = vectors;
    a->path = path;
    a->out = out;
    FILE *file = fopen(path, "r");
    status = file != NULL ? prepare(a, most, fold) : ta_fail_errno(TA_IO, "%s: cannot read it", path);
    if (status == TA_OK) status = read_questions(a, file);
    if (file != NULL) fclose(file);
    sum_up(out);
    ta_mem_free(a->found);
    ta_mem_free(a->section);
    ta_mem_free(a->answer);
    ta_mem_free(a->but);
    ta_mem_free(a->unit);
    ta_mem_free(a->questions);
    ta_mem_free(a->words);
    ta_word_index_close(&a->index);
    ta_mem_free(a);
    if (status != TA_OK) ta_analogies_free(out);
    return status;
}
