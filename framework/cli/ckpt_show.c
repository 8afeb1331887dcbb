/* ckpt_show: `tensair ckpt show` and `verify`. */
#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ckpt_verbs.h"
#include "jsonl.h"
#include "mem.h"

/* --- numbers of one file --- */

/* Attributes of a replica's file that are shown; a missing one is 0. */
struct replica {
    unsigned rank;
    int64_t steps, records, dropped, skipped, batches;
};

static int64_t number(struct ta_h5 *file, const char *name) {
    int64_t value = 0;
    if (ta_h5_attr_exists(file, "/", name)) (void)ta_h5_attr_get_i64(file, "/", name, &value);
    return value;
}

static double real_number(struct ta_h5 *file, const char *name, double otherwise) {
    double value = otherwise;
    if (ta_h5_attr_exists(file, "/", name)) (void)ta_h5_attr_get_f64(file, "/", name, &value);
    return value;
}

static int64_t done_batches(struct ta_h5 *file) {
    struct ta_h5_set *set;
    int64_t done = 0;
    if (ta_h5_set_open(file, "/stream/base", &set) != TA_OK) return 0;
    if (ta_h5_set_read(set, TA_H5_I64, 0, 1, &done) != TA_OK) done = 0;
    ta_h5_set_close(set);
    if (ta_h5_set_open(file, "/stream/bits", &set) != TA_OK) return done;
    const struct ta_h5_shape *shape = ta_h5_set_shape(set);
    uint64_t word, words = shape->rank == 1 ? shape->dims[0] : 0;
    for (uint64_t i = 0; i < words && ta_h5_set_read(set, TA_H5_U64, i, 1, &word) == TA_OK; i++)
        done += __builtin_popcountll(word);
    ta_h5_set_close(set);
    return done;
}

static ta_status read_replica(const struct ta_checkpoint_info *info, unsigned rank, struct replica *out) {
    char path[TA_CKPT_TARGET_PATH];
    struct ta_h5 *file;
    snprintf(path, sizeof path, "%s/replica-%05u.h5", info->path, rank);
    ta_status status = ta_h5_open(path, TA_H5_READ, &file);
    if (status != TA_OK) return status;
    *out = (struct replica){.rank = rank,
                            .steps = number(file, "steps"),
                            .records = number(file, "records"),
                            .dropped = number(file, "dropped_records"),
                            .skipped = number(file, "optimizer_skipped"),
                            .batches = done_batches(file)};
    return ta_h5_close(file);
}

static double norm(const struct ta_ckpt_tensor *t) {
    double sum = 0;
    for (uint64_t i = 0; i < t->count; i++) sum += (double)t->data[i] * (double)t->data[i];
    return sqrt(sum);
}

/* Of a word model: rows of its tables, and how many of them have a word; 0 for any other. */
struct vocabulary {
    size_t rows, words;
};

static ta_status read_vocabulary(const char *path, struct vocabulary *out) {
    struct ta_h5 *file;
    struct ta_names names = {0};
    *out = (struct vocabulary){0};
    ta_status status = ta_h5_open(path, TA_H5_READ, &file);
    if (status != TA_OK) return status;
    if (ta_h5_exists(file, "/vocabulary")) status = ta_names_read(&names, file, path);
    (void)ta_h5_close(file); /* nothing was written */
    out->rows = names.count;
    for (size_t i = 0; i < names.count; i++) out->words += ta_names_get(&names, i)[0] != '\0';
    ta_names_free(&names);
    return status;
}

/* --- for people --- */

static ta_status print_replicas(const struct ta_checkpoint_info *info) {
    printf("\n%-8s %12s %14s %14s %10s %10s\n", "rank", "steps", "records", "done batches", "dropped", "skipped");
    for (unsigned i = 0; i < info->n_writers; i++) {
        struct replica r;
        ta_status status = read_replica(info, info->writers[i], &r);
        if (status != TA_OK) return status;
        printf("%-8u %12" PRId64 " %14" PRId64 " %14" PRId64 " %10" PRId64 " %10" PRId64 "\n", r.rank, r.steps,
               r.records, r.batches, r.dropped, r.skipped);
    }
    return TA_OK;
}

static ta_status print_note(const char *path) {
    struct ta_h5 *file;
    ta_status status = ta_h5_open(path, TA_H5_READ, &file);
    if (status != TA_OK) return status;
    if (ta_h5_attr_exists(file, "/", "tensair_steps"))
        printf("weights      %" PRId64 " steps on %" PRId64 " records; input = stored * %g + %g\n",
               number(file, "tensair_steps"), number(file, "tensair_records"),
               real_number(file, "tensair_input_scale", 1), real_number(file, "tensair_input_offset", 0));
    return ta_h5_close(file);
}

static ta_status print_vocabulary(const char *path) {
    struct vocabulary v;
    ta_status status = read_vocabulary(path, &v);
    if (status == TA_OK && v.rows > 0) printf("vocabulary   %zu words in %zu rows\n", v.words, v.rows);
    return status;
}

static ta_status print_show(const struct ta_ckpt_target *target, const struct ta_ckpt_weights *w) {
    printf("%-12s %s\n", target->is_file ? "file" : "checkpoint", target->is_file ? target->model : target->info.path);
    if (!target->is_file)
        printf("%-12s %" PRIu64 " steps, %" PRIu64 " records, life %" PRIu32 ", written by %u of %u ranks; verified\n",
               "run", target->info.total_steps, target->info.total_records, target->info.epoch, target->info.n_writers,
               target->info.n_ranks);
    ta_status status = print_note(target->model);
    if (status == TA_OK) status = print_vocabulary(target->model);
    if (status != TA_OK) return status;
    printf("%-12s %zu layers, %zu tensors, %" PRIu64 " parameters\n\n", "model", w->layers, w->n, w->parameters);
    printf("%-28s %-16s %-22s %12s %12s\n", "layer", "tensor", "shape", "parameters", "norm");
    for (size_t i = 0; i < w->n; i++) {
        const struct ta_ckpt_tensor *t = &w->tensors[i];
        char shape[160];
        ta_ckpt_say_shape(&t->shape, shape, sizeof shape);
        printf("%-28s %-16s %-22s %12" PRIu64 " %12.6g\n", t->layer, t->name, shape, t->count, norm(t));
    }
    return target->is_file ? TA_OK : print_replicas(&target->info);
}

/* --- for programs --- */

static json_t *tensors_json(const struct ta_ckpt_weights *w) {
    json_t *list = json_array();
    for (size_t i = 0; i < w->n; i++) {
        const struct ta_ckpt_tensor *t = &w->tensors[i];
        json_t *shape = json_array();
        for (unsigned d = 0; d < t->shape.rank; d++)
            json_array_append_new(shape, json_integer((json_int_t)t->shape.dims[d]));
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o, s:I, s:o}", "layer", t->layer, "tensor", t->name, "shape",
                                        shape, "parameters", (json_int_t)t->count, "norm", ta_json_real(norm(t))));
    }
    return list;
}

static ta_status replicas_json(const struct ta_ckpt_target *target, json_t *list) {
    for (unsigned i = 0; i < target->info.n_writers; i++) {
        struct replica r;
        ta_status status = read_replica(&target->info, target->info.writers[i], &r);
        if (status != TA_OK) return status;
        json_array_append_new(list, json_pack("{s:i, s:I, s:I, s:I, s:I, s:I}", "rank", (int)r.rank, "steps",
                                              (json_int_t)r.steps, "records", (json_int_t)r.records, "done_batches",
                                              (json_int_t)r.batches, "dropped_records", (json_int_t)r.dropped,
                                              "skipped_steps", (json_int_t)r.skipped));
    }
    return TA_OK;
}

static ta_status print_json(const struct ta_ckpt_target *target, const struct ta_ckpt_weights *w) {
    const struct ta_checkpoint_info *info = &target->info;
    json_t *replicas = json_array();
    struct vocabulary v = {0};
    ta_status status = replicas_json(target, replicas);
    if (status == TA_OK) status = read_vocabulary(target->model, &v);
    json_t *root = json_pack("{s:s, s:I, s:I, s:I, s:i, s:i, s:i, s:I, s:o, s:o}", "path",
                             target->is_file ? target->model : info->path, "steps", (json_int_t)info->total_steps,
                             "records", (json_int_t)info->total_records, "epoch", (json_int_t)info->epoch, "ranks",
                             (int)info->n_ranks, "writers", (int)info->n_writers, "layers", (int)w->layers,
                             "parameters", (json_int_t)w->parameters, "tensors", tensors_json(w), "replicas", replicas);
    if (root != NULL && v.rows > 0) json_object_set_new(root, "words", json_integer((json_int_t)v.words));
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(1)) : NULL;
    if (status == TA_OK && text == NULL)
        status = ta_fail(TA_NO_MEMORY, "%s: out of memory, or a name in it is not UTF-8", target->model);
    if (status == TA_OK) printf("%s\n", text);
    free(text);
    json_decref(root);
    return status;
}

ta_status ta_ckpt_show(int argc, char **argv) {
    const char *path = NULL;
    bool json = false, good = true;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) json = true;
        else if (argv[i][0] != '-' && path == NULL) path = argv[i];
        else good = false;
    }
    if (!good || path == NULL)
        return ta_fail(TA_USAGE, "show needs one PATH and takes --json; see tensair ckpt --help");
    struct ta_ckpt_target *target;
    struct ta_ckpt_weights w = {0};
    ta_status status = TA_NEW(&target, 1, "the checkpoint");
    if (status != TA_OK) return status;
    status = ta_ckpt_find_target(path, target);
    if (status == TA_OK) status = ta_ckpt_read_weights(target->model, &w);
    if (status == TA_OK) status = json ? print_json(target, &w) : print_show(target, &w);
    ta_ckpt_weights_free(&w);
    ta_mem_free(target);
    return status;
}

/* --- verify --- */

static ta_status verify_one(const char *path, struct ta_checkpoint_info *info) {
    ta_status status = ta_checkpoint_check(path, info);
    if (status != TA_OK) printf("damaged  %s\n         %s\n", path, ta_why());
    else
        printf("good     %s: %u files, %" PRIu64 " steps, %" PRIu64 " records\n", path, info->n_writers + 1,
               info->total_steps, info->total_records);
    return status;
}

/* Every checkpoint of a run; the worst of them is the outcome. */
static ta_status verify_all(const char *folder, struct ta_checkpoint_info *info) {
    struct dirent **entries;
    ta_status worst = TA_OK;
    unsigned checked = 0, bad = 0;
    int n = scandir(folder, &entries, NULL, alphasort);
    if (n < 0) return ta_fail_errno(TA_IO, "%s: cannot list this directory", folder);
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        char path[TA_CKPT_TARGET_PATH + 256];
        if (strspn(name, "0123456789") == strlen(name)) {
            snprintf(path, sizeof path, "%s/%s", folder, name);
            ta_status status = verify_one(path, info);
            checked++;
            bad += status != TA_OK;
            if (status != TA_OK) worst = status;
        }
        free(entries[i]);
    }
    free(entries);
    if (checked == 0) return ta_fail(TA_FORMAT, "%s: there is no checkpoint in it", folder);
    return worst == TA_OK ? TA_OK : ta_fail(worst, "%s: %u of %u checkpoints are damaged", folder, bad, checked);
}

ta_status ta_ckpt_verify(int argc, char **argv) {
    if (argc != 2 || argv[1][0] == '-') return ta_fail(TA_USAGE, "verify needs one PATH; see tensair ckpt --help");
    char folder[TA_CKPT_TARGET_PATH];
    struct ta_ckpt_target *target;
    ta_status status = TA_NEW(&target, 1, "the checkpoint");
    if (status != TA_OK) return status;
    if (ta_ckpt_folder(argv[1], folder)) {
        status = verify_all(folder, &target->info);
    } else {
        struct ta_ckpt_weights w = {0};
        status = ta_ckpt_find_target(argv[1], target);
        if (status == TA_OK) status = ta_ckpt_read_weights(target->model, &w);
        if (status == TA_OK)
            printf("good     %s: %s%zu tensors, %" PRIu64 " parameters\n", argv[1],
                   target->is_file ? "readable (a single file has no checksums): " : "", w.n, w.parameters);
        ta_ckpt_weights_free(&w);
    }
    ta_mem_free(target);
    return status;
}
