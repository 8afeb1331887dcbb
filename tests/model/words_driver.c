/* words_driver: word models for keras_words.py, which knows what should come out.
 *
 *     model_words_driver write CONFIG.yaml WORDS SEED OUT.h5    what tables start from, and 1 / (2 + row) added to
 *                                                               `out`
 *     model_words_driver read CONFIG.yaml WORDS IN.h5 OUT       OUT: the arena, float32; first a line of segments:
 *                                                               offset rows width stride, for each
 *
 * WORDS: a file with a word a line, or "-": found in the stream, where row i then holds the word "row<i>".
 *
 * Prints the message and exits with the status' code on failure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_of.h"
#include "keras.h"
#include "mem.h"

static ta_status read_words(const char *path, struct ta_names *names) {
    char line[256];
    FILE *file = fopen(path, "r");
    ta_status status = file != NULL ? TA_OK : ta_fail_errno(TA_IO, "%s", path);
    while (status == TA_OK && fgets(line, sizeof line, file) != NULL)
        status = ta_names_add(names, line, strcspn(line, "\n"), 100 + names->count);
    if (file != NULL) fclose(file);
    return status;
}

static ta_status run_write(const struct ta_model *model, const struct ta_names *names, char **argv) {
    const struct ta_table *out = &model->segments[model->words.out].table, *rows;
    float *w;
    ta_status status = TA_NEW(&w, model->n_params, "weights");
    if (status != TA_OK) return status;
    ta_model_init(model, strtoull(argv[0], NULL, 10), w);
    for (uint32_t r = 0; r < out->rows; r++)
        for (uint32_t c = 0; c < out->width; c++) w[out->offset + (size_t)r * out->stride + c] += 1 / (2 + (float)r);
    rows = &model->segments[model->words.names].table;
    for (uint32_t r = 0; model->words.online && r < rows->rows; r++)
        snprintf((char *)(w + rows->offset + (size_t)r * rows->stride), TA_NAME_BYTES, "row%u", r);
    const struct ta_keras_note note = {.run = "a test", .steps = 12, .records = 384, .input_scale = 1, .names = names};
    status = ta_keras_write(argv[1], model, w, &note);
    ta_mem_free(w);
    return status;
}

static ta_status run_read(const struct ta_model *model, char **argv) {
    float *w;
    ta_status status = TA_NEW(&w, model->n_params, "weights");
    if (status == TA_OK) memset(w, 0x55, model->n_params * sizeof *w);
    if (status == TA_OK) status = ta_keras_read(argv[0], model, w, NULL);
    FILE *file = status == TA_OK ? fopen(argv[1], "wb") : NULL;
    if (file != NULL) {
        for (unsigned i = 0; i < model->n_segments; i++) {
            const struct ta_table *t = &model->segments[i].table;
            fprintf(file, "%zu %u %u %u ", t->offset, t->rows, t->width, t->stride);
        }
        fputc('\n', file);
        fwrite(w, sizeof *w, model->n_params, file);
        if (fclose(file) != 0) status = ta_fail_errno(TA_IO, "%s", argv[1]);
    }
    ta_mem_free(w);
    return status;
}

int main(int argc, char **argv) {
    if (argc != 6) return fputs("see the top of words_driver.c\n", stderr), 2;
    struct whole *whole = NULL;
    struct ta_model model = {0};
    struct ta_names names = {0};
    bool online = strcmp(argv[3], "-") == 0, writes = strcmp(argv[1], "write") == 0;
    ta_status status = ta_config_load(argv[2], &whole_schema, NULL, 0, (void **)&whole);
    if (status == TA_OK && !online) status = read_words(argv[3], &names);
    if (status == TA_OK) status = ta_model_build_words(&whole->model, online ? NULL : &names, &model);
    if (status == TA_OK) status = writes ? run_write(&model, &names, argv + 4) : run_read(&model, argv + 4);
    if (status != TA_OK) fprintf(stderr, "model_words_driver: %s\n", ta_why());
    ta_model_free(&model);
    ta_names_free(&names);
    ta_config_free(whole, &whole_schema);
    return ta_status_exit_code(status);
}
