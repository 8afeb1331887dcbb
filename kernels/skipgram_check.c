/* skipgram_check: shapes, numbers of rows, rates, labels. */
#include "skipgram_check.h"

static ta_status check_table(const struct ta_table *t, const char *name) {
    if (t->rows == 0 || t->rows > INT32_MAX)
        return ta_fail(TA_CONFIG, "the %s table has %u rows; 1 to %d are possible", name, t->rows, INT32_MAX);
    if (t->width == 0 || t->stride < t->width || t->stride % 8 != 0 || t->stride > 1U << 20)
        return ta_fail(
            TA_CONFIG,
            "the %s table's rows are %u floats wide and %u apart; the distance must be a multiple of 8, at least "
            "the width and at most 2^20",
            name, t->width, t->stride);
    if (t->offset % 16 != 0)
        return ta_fail(TA_CONFIG, "the %s table starts at float %zu, which is no multiple of 16", name, t->offset);
    return TA_OK;
}

static ta_status check_number(const char *name, uint32_t value, uint32_t most) {
    if (value >= 1 && value <= most) return TA_OK;
    return ta_fail(TA_CONFIG, "%s of a word model is %u; 1 to %u are possible", name, value, most);
}

ta_status ta_skipgram_check_spec(const struct ta_skipgram_spec *spec) {
    const struct ta_table *in = &spec->in, *out = &spec->out;
    ta_status status = check_table(in, "input");
    if (status == TA_OK) status = check_table(out, "output");
    if (status != TA_OK) return status;
    if (in->rows != out->rows || in->width != out->width || in->stride != out->stride)
        return ta_fail(TA_CONFIG,
                       "the input table has %u rows of %u floats %u apart, the output table %u of %u, %u apart: "
                       "they must be alike",
                       in->rows, in->width, in->stride, out->rows, out->width, out->stride);
    size_t size = (size_t)in->rows * in->stride;
    if (in->offset < out->offset + size && out->offset < in->offset + size)
        return ta_fail(TA_CONFIG, "two tables of %zu floats that start at floats %zu and %zu overlap", size, in->offset,
                       out->offset);
    status = check_number("`window`", spec->window, 100);
    if (status == TA_OK) status = check_number("`negative`", spec->negative, 64);
    if (status == TA_OK) status = check_number("the longest sentence", spec->length, 1U << 20);
    if (status == TA_OK && !(spec->sample >= 0 && spec->sample <= 1))
        status =
            ta_fail(TA_CONFIG, "`sample` of a word model is %g; 0 (keep all words) to 1 are possible", spec->sample);
    return status;
}

ta_status ta_skipgram_check_batch(const struct ta_skipgram_spec *spec, const struct ta_skipgram_batch *batch,
                                  uint64_t *words) {
    if (batch->length > spec->length)
        return ta_fail(TA_CONFIG, "sentences of %u words are longer than %u, for which the model was made",
                       batch->length, spec->length);
    if (!(batch->rate >= 0 && batch->rate <= 1e6F))
        return ta_fail(TA_CONFIG, "a rate of %g is no number from 0 to 1e6", (double)batch->rate);
    size_t n = (size_t)batch->sentences * batch->length, have = 0;
    uint32_t rows = spec->in.rows, worst = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t word = (uint32_t)batch->words[i] + 1;
        worst = word > worst ? word : worst;
        have += word != 0;
    }
    *words = have;
    if (worst <= rows) return TA_OK;
    size_t i = 0;
    while ((uint32_t)batch->words[i] + 1 <= rows) i++;
    return ta_fail(TA_CONFIG,
                   "sentence %zu, word %zu of the batch is row %d; the table has rows 0 to %u (-1: none): is the "
                   "text numbered by another vocabulary?",
                   i / batch->length, i % batch->length, batch->words[i], rows - 1);
}

ta_status ta_skipgram_check_pairs(const struct ta_skipgram_spec *spec, const struct ta_skipgram_pairs *batch,
                                  uint64_t *words) {
    size_t row = 1 + (size_t)batch->contexts;
    *words = 0;
    if (batch->contexts == 0) return ta_fail(TA_CONFIG, "records without contexts have nothing to learn from");
    if (!(batch->rate >= 0 && batch->rate <= 1e6F))
        return ta_fail(TA_CONFIG, "a rate of %g is no number from 0 to 1e6", (double)batch->rate);
    for (size_t i = 0; i < batch->records * row; i++) {
        int32_t word = batch->words[i];
        if (word < -1 || word >= (int64_t)spec->in.rows)
            return ta_fail(TA_CONFIG,
                           "record %zu, word %zu of the batch is row %d; the table has rows 0 to %u (-1: none)",
                           i / row, i % row, word, spec->in.rows - 1);
        if (i % row == 0) {
            *words += word >= 0;
            continue;
        }
        float label = batch->labels[i / row * batch->contexts + i % row - 1];
        if (!(label >= 0 && label <= 1))
            return ta_fail(TA_CONFIG, "record %zu: label %zu is %g; 0 to 1 are possible", i / row, i % row - 1,
                           (double)label);
    }
    return TA_OK;
}
