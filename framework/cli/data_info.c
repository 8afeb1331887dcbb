/* data_info: `tensair data info`: what a stream file holds, from its attributes and one pass over its records. */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data_verbs.h"
#include "digest.h"
#include "h5.h"
#include "mem.h"
#include "names.h"
#include "stream.h"

enum { BLOCK_BYTES = 1 << 20, COMMONEST = 10 };

static const char help[] =
    "usage: tensair data info FILE.h5 [--verify] [--json]\n"
    "\n"
    "Shape, types, classes with their counts, least, mean and largest x as stored, time span, chunks; of words how many\n"
    "there are, and the commonest ten of the vocabulary. Every record is read once, so damaged chunks, labels and words\n"
    "out of range and numbers that are not finite are found.\n"
    "\n"
    "  --verify    compute the checksum of all records and compare it with the one in the file\n"
    "  --json      one JSON object\n";

struct facts {
    const char *path;
    struct ta_stream *stream;
    struct ta_digest *digest;
    uint64_t *count; /* records of each class */
    uint64_t unlabelled;
    double least, most, sum;
    int64_t first_ns, last_ns;
    uint64_t computed, chunk_rows;
    char **names; /* of classes */
    size_t names_count;
    uint64_t words;                /* of a text, or numbers of them, in all records */
    struct ta_names vocabulary;    /* empty: not told */
    size_t commonest[COMMONEST];   /* words of it, by count */
    size_t commonest_count;
    bool verify;
};

/* ---- collecting ---- */

static double element(const struct ta_stream_info *info, const void *x, size_t i) {
    switch (info->element) {
    case TA_ELEMENT_U8: return ((const uint8_t *)x)[i];
    case TA_ELEMENT_I32: return ((const int32_t *)x)[i];
    default: return (double)((const float *)x)[i];
    }
}

/* Words of a block: numbers but padding, or what stands between white space in each record of a text. */
static uint64_t count_words(const struct ta_stream_info *info, const void *x, size_t rows) {
    size_t elements = rows * info->h * info->w * info->c;
    uint64_t words = 0;
    if (!info->text)
        for (size_t i = 0; i < elements; i++) words += ((const int32_t *)x)[i] >= 0;
    for (size_t i = 0; info->text && i < elements; i++) {
        static const char gaps[] = " \n\t\r\v\f"; /* and the NUL behind them */
        bool in = memchr(gaps, ((const char *)x)[i], sizeof gaps) == NULL;
        bool before = i % info->c > 0 && memchr(gaps, ((const char *)x)[i - 1], sizeof gaps) == NULL;
        words += in && !before;
    }
    return words;
}

static void count_block(struct facts *f, const struct ta_stream_block *block, uint64_t first, size_t rows) {
    const struct ta_stream_info *info = &f->stream->info;
    size_t elements = rows * info->h * info->w * info->c;
    double sum = 0;
    for (size_t i = 0; i < elements; i++) {
        double v = element(info, block->x, i);
        sum += v;
        f->least = v < f->least ? v : f->least;
        f->most = v > f->most ? v : f->most;
    }
    f->sum += sum;
    if (ta_stream_is_raw(info)) f->words += count_words(info, block->x, rows);
    for (size_t i = 0; i < rows && block->class != NULL; i++) {
        if (block->class[i] >= 0 && (uint32_t)block->class[i] < info -> classes)
            f->count[block->class[i]]++;
        else
            f->unlabelled++;
    }
    for (size_t i = 0; i < rows && block->value != NULL; i++)
        f->unlabelled += isnan(block->value[i * info->targets]) != 0;
    if (block->time_ns != NULL) {
        if (first == 0) f->first_ns = block->time_ns[0];
        f->last_ns = block->time_ns[rows - 1];
    }
    if (!f->verify) return;
    ta_digest_x(f->digest, block->x, rows * ta_stream_x_bytes(info));
    if (block->class != NULL) ta_digest_y(f->digest, block->class, rows * sizeof *block->class);
    if (block->value != NULL) ta_digest_y(f->digest, block->value, rows * info->targets * sizeof *block->value);
}

static ta_status read_all(struct facts *f) {
    const struct ta_stream_info *info = &f->stream->info;
    size_t x_bytes = ta_stream_x_bytes(info), rows = x_bytes >= BLOCK_BYTES ? 1 : BLOCK_BYTES / x_bytes;
    struct ta_stream_block block = {0};
    ta_status status = ta_mem_alloc(rows, x_bytes, "records to look at", &block.x);
    if (status == TA_OK && info->label_kind == TA_LABEL_CLASS)
        status = TA_NEW(&block.class, rows, "labels to look at");
    if (status == TA_OK && info->label_kind == TA_LABEL_VALUE)
        status = TA_NEW(&block.value, rows * info->targets, "values to look at");
    if (status == TA_OK && info->has_time) status = TA_NEW(&block.time_ns, rows, "times to look at");
    for (uint64_t first = 0; status == TA_OK && first < info->records;) {
        uint64_t left = info->records - first;
        size_t count = left < rows ? (size_t)left : rows;
        status = f->stream->ops->read(f->stream, first, count, &block);
        if (status == TA_OK) count_block(f, &block, first, count);
        first += count;
    }
    ta_mem_free(block.time_ns);
    ta_mem_free(block.value);
    ta_mem_free(block.class);
    ta_mem_free(block.x);
    return status;
}

/* The first places go to the largest counts, ties to the smaller number; words that were never counted get none. */
static void find_commonest(struct facts *f) {
    const struct ta_names *v = &f->vocabulary;
    for (size_t i = 0; i < v->count; i++) {
        size_t at = f->commonest_count;
        while (at > 0 && v->counts[f->commonest[at - 1]] < v->counts[i]) at--;
        if (at == COMMONEST || v->counts[i] == 0) continue;
        if (f->commonest_count < COMMONEST) f->commonest_count++;
        memmove(f->commonest + at + 1, f->commonest + at, (f->commonest_count - at - 1) * sizeof *f->commonest);
        f->commonest[at] = i;
    }
}

/* What the stream does not tell: chunks, and the names of classes and words. */
static ta_status read_layout(struct facts *f) {
    struct ta_h5 *file;
    struct ta_h5_set *x = NULL;
    ta_status status = ta_h5_open(f->path, TA_H5_READ, &file);
    if (status != TA_OK) return status;
    status = ta_h5_set_open(file, "/x", &x);
    if (status == TA_OK) {
        f->chunk_rows = ta_h5_set_chunk_rows(x);
        ta_h5_set_close(x);
        if (ta_h5_attr_exists(file, "/", "class_names"))
            status = ta_h5_attr_get_texts(file, "/", "class_names", &f->names, &f->names_count);
        if (status == TA_OK && f->stream->info.element == TA_ELEMENT_I32 && ta_h5_exists(file, "/vocabulary"))
            status = ta_names_read(&f->vocabulary, file, f->path);
        find_commonest(f);
    }
    ta_h5_close(file);
    return status;
}

static ta_status collect(struct facts *f) {
    f->least = INFINITY;
    f->most = -INFINITY;
    ta_status status = TA_NEW(&f->count, f->stream->info.classes + (size_t)1, "counts of classes");
    if (status == TA_OK) status = ta_digest_create(&f->digest);
    if (status == TA_OK) status = read_layout(f);
    if (status == TA_OK) status = read_all(f);
    if (status != TA_OK || !f->verify) return status;
    f->computed = ta_digest_value(f->digest);
    uint64_t stored = f->stream->info.checksum;
    if (stored == 0)
        return ta_fail(TA_FORMAT, "%s: carries no checksum to verify; import it again to get one", f->path);
    if (stored != f->computed)
        return ta_fail(TA_FORMAT,
                       "%s: its records give checksum %016" PRIx64 ", but the file says %016" PRIx64
                       ": it was changed after it was made; make or fetch it again",
                       f->path, f->computed, stored);
    return TA_OK;
}

/* ---- printing ---- */

static const char *element_name(enum ta_element element) {
    return element == TA_ELEMENT_U8 ? "uint8" : element == TA_ELEMENT_I32 ? "int32" : "float32";
}

static double mean(const struct facts *f) {
    const struct ta_stream_info *info = &f->stream->info;
    double elements = (double)info->records * info->h * info->w * info->c;
    return elements > 0 ? f->sum / elements : 0;
}

static void print_x(const struct facts *f) {
    const struct ta_stream_info *info = &f->stream->info;
    if (info->text)
        printf("  x         text");
    else if (info->element == TA_ELEMENT_I32 && info->label_kind == TA_LABEL_NONE)
        printf("  x         int32, sentences of up to %zu words", ta_stream_x_bytes(info) / sizeof(int32_t));
    else if (info->h == 1 && info->w == 1)
        printf("  x         %s, vector of %u%s", element_name(info->element), info->c,
               info->element == TA_ELEMENT_I32 ? " words" : "");
    else
        printf("  x         %s, %u x %u x %u (height, width, channels)", element_name(info->element), info->h, info->w,
               info->c);
    printf(", %zu bytes a record\n", ta_stream_x_bytes(info));
    if (!ta_stream_is_raw(info))
        printf("            least %g, mean %g, largest %g; a model sees x * %g + %g\n", f->least, mean(f), f->most,
               (double)info->scale, (double)info->offset);
}

/* What a file calls a word must not talk to the terminal. */
static void print_word(const char *word) {
    for (; *word != '\0'; word++) putchar((unsigned char)*word < ' ' || *word == 0x7f ? '?' : *word);
}

static void print_words(const struct facts *f) {
    const struct ta_stream_info *info = &f->stream->info;
    printf("  words     %" PRIu64 ", %.1f a record", f->words,
           info->records > 0 ? (double)f->words / (double)info->records : 0);
    if (info->element == TA_ELEMENT_I32) printf("; numbers up to %.0f", f->most);
    putchar('\n');
    if (info->vocabulary > 0)
        printf("  vocabulary %u words%s\n", info->vocabulary, f->vocabulary.count == 0 ? ", without names" : "");
    for (size_t i = 0; i < f->commonest_count; i++) {
        printf("            %12" PRIu64 "  ", f->vocabulary.counts[f->commonest[i]]);
        print_word(ta_names_get(&f->vocabulary, f->commonest[i]));
        putchar('\n');
    }
}

static void print_text(const struct facts *f) {
    const struct ta_stream_info *info = &f->stream->info;
    printf("%s\n  origin    %s\n", f->path, info->origin[0] == '\0' ? "not told" : info->origin);
    printf("  records   %" PRIu64 "\n", info->records);
    print_x(f);
    if (ta_stream_is_raw(info)) print_words(f);
    if (f->chunk_rows == 0)
        printf("  chunks    none: one piece\n");
    else
        printf("  chunks    %" PRIu64 " records, %" PRIu64 " bytes\n", f->chunk_rows,
               f->chunk_rows * ta_stream_x_bytes(info));
    if (info->label_kind == TA_LABEL_NONE) printf("  labels    none\n");
    if (info->label_kind == TA_LABEL_VALUE) printf("  labels    %u values a record\n", info->targets);
    if (info->label_kind == TA_LABEL_CLASS) {
        printf("  labels    %u classes\n", info->classes);
        for (uint32_t i = 0; i < info->classes; i++)
            printf("            %5u  %-20s %12" PRIu64 "  %5.1f %%\n", i, i < f->names_count ? f->names[i] : "",
                   f->count[i], 100 * (double)f->count[i] / (double)info->records);
    }
    if (f->unlabelled > 0) printf("            without a label: %" PRIu64 "\n", f->unlabelled);
    if (info->has_time) printf("  time      %.3f s\n", (double)(f->last_ns - f->first_ns) * 1e-9);
    if (info->has_delay) printf("  labels come with delays\n");
    if (info->checksum == 0)
        printf("  checksum  none\n");
    else
        printf("  checksum  %016" PRIx64 "%s\n", info->checksum, f->verify ? ", verified" : "");
}

static int add_words(const struct facts *f, json_t *o) {
    const struct ta_stream_info *info = &f->stream->info;
    json_t *commonest = json_array();
    for (size_t i = 0; i < f->commonest_count; i++)
        json_array_append_new(commonest,
                              json_pack("[s,I]", ta_names_get(&f->vocabulary, f->commonest[i]),
                                        (json_int_t)f->vocabulary.counts[f->commonest[i]]));
    int failed = json_array_size(commonest) != f->commonest_count;
    failed |= json_object_set_new(o, "text", json_boolean(info->text));
    failed |= json_object_set_new(o, "words", json_integer((json_int_t)f->words));
    failed |= json_object_set_new(o, "vocabulary", json_integer(info->vocabulary));
    return failed | json_object_set_new(o, "commonest", commonest);
}

static ta_status print_json(const struct facts *f) {
    const struct ta_stream_info *info = &f->stream->info;
    static const char *const kinds[] = {"class", "value", "none"};
    char checksum[TA_DIGEST_TEXT_BYTES];
    ta_digest_text(info->checksum, checksum);
    json_t *o =
        json_pack("{s:s, s:s, s:I, s:s, s:[i,i,i], s:f, s:f, s:f, s:f, s:f, s:I, s:s}", "file", f->path, "origin",
                  info->origin, "records", (json_int_t)info->records, "element", element_name(info->element), "shape",
                  (int)info->h, (int)info->w, (int)info->c, "scale", (double)info->scale, "offset",
                  (double)info->offset, "min", f->least, "mean", mean(f), "max", f->most, "chunk_records",
                  (json_int_t)f->chunk_rows, "labels", kinds[info->label_kind]);
    if (o == NULL) return ta_fail(TA_NO_MEMORY, "%s: cannot be described as JSON (is a name not UTF-8?)", f->path);
    int failed = ta_stream_is_raw(info) ? add_words(f, o) : 0;
    if (info->label_kind == TA_LABEL_VALUE) failed |= json_object_set_new(o, "targets", json_integer(info->targets));
    if (info->label_kind == TA_LABEL_CLASS) {
        json_t *counts = json_array(), *names = json_array();
        for (uint32_t i = 0; i < info->classes; i++)
            failed |= json_array_append_new(counts, json_integer((json_int_t)f->count[i]));
        for (size_t i = 0; i < f->names_count; i++) failed |= json_array_append_new(names, json_string(f->names[i]));
        failed |= json_object_set_new(o, "class_counts", counts) | json_object_set_new(o, "class_names", names);
    }
    failed |= json_object_set_new(o, "unlabelled", json_integer((json_int_t)f->unlabelled));
    if (info->has_time)
        failed |= json_object_set_new(o, "seconds", json_real((double)(f->last_ns - f->first_ns) * 1e-9));
    failed |= json_object_set_new(o, "checksum", info->checksum == 0 ? json_null() : json_string(checksum));
    failed |= json_object_set_new(o, "verified", json_boolean(f->verify));
    if (failed == 0) failed = json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) != 0;
    putchar('\n');
    json_decref(o);
    return failed ? ta_fail(TA_NO_MEMORY, "%s: cannot be described as JSON", f->path) : TA_OK;
}

ta_status ta_data_info(int argc, char **argv) {
    static const struct option known[] = {{"verify", no_argument, NULL, 'v'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct facts f = {0};
    bool json = false;
    opterr = 0;
    optind = 0; /* glibc: start afresh */
    for (int letter; (letter = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        switch (letter) {
        case 'v': f.verify = true; break;
        case 'j': json = true; break;
        case 'h': fputs(help, stdout); return TA_OK;
        default: return ta_data_bad_option("info", argv);
        }
    }
    if (optind + 1 != argc) return ta_fail(TA_USAGE, "name one stream file; see tensair data info --help");
    f.path = argv[optind];
    ta_status status = ta_stream_hdf5_open(f.path, &f.stream);
    if (status == TA_OK) status = collect(&f);
    if (status == TA_OK && json) status = print_json(&f);
    if (status == TA_OK && !json) print_text(&f);
    ta_h5_texts_free(f.names, f.names_count);
    ta_names_free(&f.vocabulary);
    ta_digest_destroy(f.digest);
    ta_mem_free(f.count);
    ta_stream_close(f.stream);
    return status;
}
