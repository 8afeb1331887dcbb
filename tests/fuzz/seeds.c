/* Writes what the fuzzers begin with: seeds DIRECTORY makes DIRECTORY/{config,stream,checkpoint,text,vectors,
 * store,store_file}/. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint_internal.h"
#include "keras.h"
#include "mem.h"
#include "record.h"
#include "small_model.h"
#include "store_seeds.h"
#include "vectors.h"
#include "writer.h"

static const char *directory;

static const char *path_of(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static ta_status write_text(const char *name, const char *text) {
    FILE *f = fopen(path_of(name), "w");
    if (f == NULL) return ta_fail_errno(TA_IO, "%s", path_of(name));
    fputs(text, f);
    fclose(f);
    return TA_OK;
}

static ta_status write_configs(void) {
    ta_status status = write_text(
        "config/run.yaml",
        "run: {seed: 1, replicas: 2}\nstream: {file: a.h5, batch: 32}\npace: {type: poisson, rate: 1e3}\n"
        "model:\n  input: [28, 28, 1]\n  loss: cross_entropy\n  layers:\n    - {type: conv2d, filters: 8, kernel: 3}\n"
        "    - {type: dense, units: 10, activation: softmax}\noptimizer: {type: adam, rate: 0.001}\n");
    if (status == TA_OK)
        status = write_text("config/whole.yaml",
                            "--set part.rate=0.25\n--set numbers[1]=7\ntitle: 'a'\nlabel: \"b\\x41\"\n"
                            "part: {tiny: -1, count: 0x10, rate: .5, on: yes, shade: dark}\n"
                            "pieces: [{shade: light, name: x, width: 1e6}]\nnumbers: [1, 2]\npair: [1, 2]\n"
                            "flags: [fast]\n");
    if (status == TA_OK) status = write_text("config/set.yaml", "--set pieces[0]={shade: dark}\n--set title=t\n");
    return status;
}

static ta_status write_stream(const char *name, enum ta_element element, enum ta_label_kind labels, int gzip) {
    enum { N = 40 };
    static unsigned char x[N * 12 * 4];
    static int32_t class[N];
    static float value[N * 2];
    static int64_t time_ns[N], delay[N];
    for (int i = 0; i < N; i++) class[i] = i % 3, value[2 * i] = (float)i, time_ns[i] = i * 1000, delay[i] = i % 5;
    for (size_t i = 0; i < sizeof x; i++) x[i] = (unsigned char)(element == TA_ELEMENT_U8 ? i : 0);
    struct ta_stream_info info = {.h = 2, .w = 3, .c = 2, .element = element, .scale = 1, .label_kind = labels,
                                  .classes = labels == TA_LABEL_CLASS ? 3 : 0,
                                  .targets = labels == TA_LABEL_VALUE ? 2 : 0,
                                  .has_time = true, .has_delay = labels == TA_LABEL_CLASS, .origin = "seed"};
    struct ta_stream_writer_config config = {
        .path = path_of(name), .force = true, .info = &info, .expected_records = N, .gzip = gzip};
    struct ta_stream_block block = {.x = x, .class = class, .value = value, .time_ns = time_ns, .delay = delay};
    struct ta_stream_writer *w;
    ta_status status = ta_stream_writer_open(&config, &w);
    if (status != TA_OK) return status;
    status = ta_stream_writer_append(w, N, &block);
    if (status == TA_OK) status = ta_stream_writer_commit(w);
    ta_stream_writer_close(w);
    return status;
}

static ta_status write_checkpoint(const struct ta_model *model, const char *model_h5, const char *replica_h5) {
    float *w = NULL;
    uint64_t peer_steps[2] = {3, 4};
    ta_status status = TA_NEW(&w, model->n_params, "weights");
    if (status == TA_OK) {
        struct ta_snapshot s = {.n_ranks = 2, .total_steps = 7, .steps = 3, .records = 96, .peer_steps = peer_steps,
                                .w = w, .w0 = w, .delta = w, .m = w, .v = w, .batch = 32, .seed = 1};
        if (model->words.rows > 0) s.m = s.v = NULL;
        ta_model_init(model, 1, w);
        status = ta_keras_write(path_of(model_h5), model, w, &(struct ta_keras_note){.run = "seed"});
        if (status == TA_OK) status = ta_ckpt_file_write(path_of(replica_h5), &s, model);
    }
    ta_mem_free(w);
    return status;
}

static ta_status write_checkpoints(void) {
    struct ta_model layers = {0}, words = {0};
    ta_status status = small_model(&layers);
    if (status == TA_OK) status = small_word_model(&words);
    if (status == TA_OK) status = write_checkpoint(&layers, "checkpoint/model.h5", "checkpoint/replica.h5");
    if (status == TA_OK) status = write_checkpoint(&words, "checkpoint/words.h5", "checkpoint/replica_words.h5");
    ta_model_free(&layers);
    ta_model_free(&words);
    return status;
}

static ta_status write_texts(void) {
    ta_status status = write_text("text/lines.txt",
                                  "to be or not to be\nthat is the question\n\n caf\xc3\xa9 \t \xe2\x82\xac\n");
    if (status == TA_OK) status = write_text("text/pairs.txt", "3 1 2 1 0\n0 4 5 1 0\n\n7 7 7 1 1\n");
    struct ta_names names = {0};
    struct ta_h5 *file = NULL;
    if (status == TA_OK) status = ta_names_add(&names, "caf\xc3\xa9", 5, 12);
    if (status == TA_OK) status = ta_names_add(&names, "", 0, 0);
    if (status == TA_OK) status = ta_h5_open(path_of("text/vocabulary.h5"), TA_H5_CREATE, &file);
    if (status == TA_OK) status = ta_names_write(&names, file);
    ta_status closed = ta_h5_close(file);
    ta_names_free(&names);
    return status == TA_OK ? closed : status;
}

/* Vectors in their three formats, and what is asked of them. */
static ta_status write_vectors(void) {
    static float numbers[] = {1, 0, .5F, 0, 1, -2, 3e-7F, 1, 1e8F};
    struct ta_vectors v = {.v = numbers, .dim = 3};
    struct ta_h5 *file = NULL;
    ta_status status = ta_names_add(&v.names, "king", 4, 7);
    if (status == TA_OK) status = ta_names_add(&v.names, "caf\xc3\xa9", 5, 9);
    if (status == TA_OK) status = ta_names_add(&v.names, "Queen", 5, 0);
    if (status == TA_OK) status = ta_vectors_write(&v, TA_VECTORS_TEXT, path_of("vectors/text"));
    if (status == TA_OK) status = ta_vectors_write(&v, TA_VECTORS_BINARY, path_of("vectors/binary"));
    if (status == TA_OK) status = ta_h5_open(path_of("vectors/model.h5"), TA_H5_CREATE, &file);
    if (status == TA_OK) status = ta_names_write(&v.names, file);
    if (status == TA_OK) status = ta_h5_group_create(file, "/model_weights/in/in");
    if (status == TA_OK)
        status = ta_h5_write_all(file, "/model_weights/in/in/embeddings:0",
                                 &(struct ta_h5_shape){TA_H5_F32, 2, {3, 3}}, numbers);
    ta_status closed = ta_h5_close(file);
    ta_names_free(&v.names);
    if (status == TA_OK) status = closed;
    if (status == TA_OK) status = write_text("vectors/questions", ": one\na b c d\n: gram2\nA e c d\na b c zz\n");
    return status == TA_OK ? write_text("vectors/pairs", "# people\na\tb\t1.5\nC d 7\n") : status;
}

static ta_status write_store(void) {
    for (size_t i = 0; i < sizeof store_seeds / sizeof store_seeds[0]; i++) {
        FILE *f = fopen(path_of(store_seeds[i].name), "w");
        if (f == NULL) return ta_fail_errno(TA_IO, "%s", path_of(store_seeds[i].name));
        fwrite(store_seeds[i].text, 1, store_seeds[i].bytes, f);
        fclose(f);
    }
    return TA_OK;
}

static ta_status write_record(void) {
    struct ta_recorder *r;
    struct ta_recorder_config config = {.path = path_of("record/alone"),
                                        .head = {.n_ranks = 1, .epoch = 1, .n_params = 4, .check_every = 64,
                                                 .config = "run: {}\n", .resume = "", .program = "1"}};
    ta_status status = ta_recorder_open(&config, &r);
    for (uint64_t i = 0; i < 40 && status == TA_OK; i++) {
        ta_recorder_step(r, &(struct ta_recorded_step){.position = i + 1, .versions = &i, .finite = true, .scaled = i % 7 == 0});
        if (i % 9 == 8) ta_recorder_rest(r, (uint32_t)i, i, i);
        if (i % 9 == 3) ta_recorder_check(r, i);
    }
    if (status != TA_OK) return status;
    ta_recorder_end(r, TA_RECORD_END_LOST, 0);
    return ta_recorder_close(r);
}

int main(int argc, char **argv) {
    static const char *const folders[] = {"",     "config",  "stream", "checkpoint",
                                          "text", "vectors", "store",  "store_file", "record"};
    if (argc != 2) {
        fputs("usage: seeds DIRECTORY\n", stderr);
        return 2;
    }
    directory = argv[1];
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) mkdir(path_of(folders[i]), 0755);
    ta_status status = write_configs();
    if (status == TA_OK) status = write_stream("stream/u8.h5", TA_ELEMENT_U8, TA_LABEL_CLASS, 0);
    if (status == TA_OK) status = write_stream("stream/f32.h5", TA_ELEMENT_F32, TA_LABEL_VALUE, 0);
    if (status == TA_OK) status = write_stream("stream/gzip.h5", TA_ELEMENT_U8, TA_LABEL_NONE, 6);
    if (status == TA_OK) status = write_checkpoints();
    if (status == TA_OK) status = write_texts();
    if (status == TA_OK) status = write_vectors();
    if (status == TA_OK) status = write_store();
    if (status == TA_OK) status = write_record();
    if (status != TA_OK) fprintf(stderr, "seeds: %s\n", ta_why());
    return status == TA_OK ? 0 : 1;
}
