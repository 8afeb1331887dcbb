/* checkpoint_file: replica-NNNNN.h5, what one replica needs to go on exactly. The names, units and descriptions of its
 * objects are written down once, in the tables below, for writing, reading and people. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint_internal.h"
#include "h5.h"
#include "mem.h"

static const char format[] = "tensair replica 1";

/* --- root attributes --- */

enum number { U32, U64, I64, F64 };

static const struct attribute {
    const char *name;
    enum number type;
    size_t offset;
} attributes[] = {
    {"rank", U32, offsetof(struct ta_snapshot, rank)},
    {"n_ranks", U32, offsetof(struct ta_snapshot, n_ranks)},
    {"epoch", U32, offsetof(struct ta_snapshot, epoch)},
    {"total_steps", U64, offsetof(struct ta_snapshot, total_steps)},
    {"total_records", U64, offsetof(struct ta_snapshot, total_records)},
    {"steps", U64, offsetof(struct ta_snapshot, steps)},
    {"records", U64, offsetof(struct ta_snapshot, records)},
    {"optimizer_step", U64, offsetof(struct ta_snapshot, optimizer_step)},
    {"optimizer_skipped", U64, offsetof(struct ta_snapshot, optimizer_skipped)},
    {"optimizer_reset_at", U64, offsetof(struct ta_snapshot, optimizer_reset_at)},
    {"cycle", U64, offsetof(struct ta_snapshot, cycle)},
    {"raised_left", U64, offsetof(struct ta_snapshot, raised_left)},
    {"raised", F64, offsetof(struct ta_snapshot, raised)},
    {"waiting_dropped", U64, offsetof(struct ta_snapshot, waiting_dropped)},
    {"dropped_records", U64, offsetof(struct ta_snapshot, dropped_records)},
    {"batch", U32, offsetof(struct ta_snapshot, batch)},
    {"seed", U64, offsetof(struct ta_snapshot, seed)},
    {"records_seen_ns", I64, offsetof(struct ta_snapshot, stream_ns)},
    {"score_records", U64, offsetof(struct ta_snapshot, score_records)},
    {"score_hits", U64, offsetof(struct ta_snapshot, score_hits)},
    {"score_lossless", U64, offsetof(struct ta_snapshot, score_lossless)},
    {"score_loss_sum", F64, offsetof(struct ta_snapshot, score_loss_sum)},
    {"score_fade_hits", F64, offsetof(struct ta_snapshot, score_fade_hits)},
    {"score_fade_loss", F64, offsetof(struct ta_snapshot, score_fade_loss)},
    {"score_fade_weight", F64, offsetof(struct ta_snapshot, score_fade_weight)},
};
enum { N_ATTRIBUTES = sizeof attributes / sizeof *attributes };

static const char about[] =
    "State of one replica of a training run. steps: updates made by this replica; records: records they were computed "
    "on; "
    "total_steps, total_records: the same of all replicas; epoch: life of the run, counted from 1; batch: records in a "
    "batch; records_seen_ns: due time reached in the stream, nanoseconds; score_*: prequential scores, over all and "
    "fading; raised: factor of the learning rate for the next raised_left labelled records; waiting_dropped: records that "
    "waited for labels until there was no room; "
    "fingerprint: of the model's layers and shapes. Weights = w0 + the deltas of all replicas, element by element. "
    "Word models: vocabulary_checksum: XXH3 of the words, 0 when they are found in the stream; without w0, tables "
    "start from table_seed; without delta, the weights are those of model.h5.";
static const char about_units[] =
    "steps, optimizer_step, optimizer_skipped: updates; records, dropped_records: records; records_seen_ns: ns";

static ta_status write_attribute(struct ta_h5 *file, const struct attribute *a, const struct ta_snapshot *s) {
    const char *at = (const char *)s + a->offset;
    if (a->type == F64) return ta_h5_attr_set_f64(file, "/", a->name, *(const double *)at);
    int64_t value = a->type == U32 ? (int64_t) * (const uint32_t *)at : *(const int64_t *)at;
    return ta_h5_attr_set_i64(file, "/", a->name, value);
}

static ta_status read_attribute(struct ta_h5 *file, const char *path, const struct attribute *a,
                                struct ta_snapshot *s) {
    char *at = (char *)s + a->offset;
    if (a->type == F64) {
        double value = 0;
        ta_status status = ta_h5_attr_get_f64(file, "/", a->name, &value);
        if (status == TA_OK && !isfinite(value))
            status = ta_fail(TA_FORMAT, "%s: attribute '%s' is not a finite number", path, a->name);
        *(double *)at = value;
        return status;
    }
    int64_t value = 0;
    ta_status status = ta_h5_attr_get_i64(file, "/", a->name, &value);
    if (status == TA_OK && a->type == U32 && (value < 0 || value > UINT32_MAX))
        status = ta_fail(TA_FORMAT, "%s: attribute '%s' is %" PRId64 ", out of range", path, a->name, value);
    if (status != TA_OK) return status;
    if (a->type == U32) *(uint32_t *)at = (uint32_t)value;
    else *(int64_t *)at = value;
    return TA_OK;
}

/* --- arrays --- */

static ta_status write_set(struct ta_h5 *file, const char *name, const struct ta_h5_shape *shape, const void *data) {
    static const struct {
        const char *name, *units, *text;
    } all[] = {
        {"/delta", "1", "sum of all updates this replica made, in the order of the model's parameters"},
        {"/w0", "1", "weights that the deltas of all replicas are added to"},
        {"/names/delta", "byte", "the words that this replica gave to rows of the tables, padded by NUL"},
        {"/names/w0", "byte", "the words that rows of the tables began with, padded by NUL"},
        {"/optimizer/m", "1", "optimizer: first moments"},
        {"/optimizer/v", "1", "optimizer: second moments"},
        {"/stream/base", "batches", "all batches of the stream below this number are done"},
        {"/stream/bits", "1", "bit i of word j set: batch base + 64 j + i is done too"},
        {"/peer_steps", "updates", "updates of each rank that this replica has applied"},
    };
    ta_status status = ta_h5_write_all(file, name, shape, data);
    for (size_t i = 0; i < sizeof all / sizeof *all && status == TA_OK; i++) {
        if (strcmp(all[i].name, name) != 0) continue;
        status = ta_h5_attr_set_text(file, name, "description", all[i].text);
        if (status == TA_OK) status = ta_h5_attr_set_text(file, name, "units", all[i].units);
    }
    return status;
}

static ta_status write_array(struct ta_h5 *file, const char *name, enum ta_h5_type type, uint64_t count,
                             const void *data) {
    return write_set(file, name, &(struct ta_h5_shape){.type = type, .rank = 1, .dims = {count}}, data);
}

/* Reads all of a one-dimensional array that must have `count` elements. */
static ta_status read_array(struct ta_h5 *file, const char *name, enum ta_h5_type type, uint64_t count, void *out) {
    struct ta_h5_shape shape = {.type = type, .rank = 1, .dims = {count}};
    return ta_h5_read_all(file, name, &shape, out);
}

static ta_status read_floats(struct ta_h5 *file, const char *name, const struct ta_model *model, float **out) {
    ta_status status = TA_NEW(out, model->n_params, name);
    return status == TA_OK ? read_array(file, name, TA_H5_F32, model->n_params, *out) : status;
}

/* A register is an arena: floats, and the names of an online vocabulary, which are bytes and stand in a set of their
 * own. */
struct arena {
    const char *floats, *names; /* the two sets */
    size_t n_floats, names_at;
    struct ta_h5_shape names_shape;
};

static struct arena arena_of(const struct ta_model *model, const char *floats, const char *names) {
    struct arena a = {.floats = floats, .n_floats = model->n_params};
    if (!model->words.online) return a;
    a.names = names;
    a.n_floats = a.names_at = model->segments[model->words.names].offset;
    a.names_shape = (struct ta_h5_shape){.type = TA_H5_U8, .rank = 2, .dims = {model->words.rows, TA_NAME_BYTES}};
    return a;
}

static ta_status write_arena(struct ta_h5 *file, const struct arena *a, const float *data) {
    ta_status status = write_array(file, a->floats, TA_H5_F32, a->n_floats, data);
    if (status != TA_OK || a->names == NULL) return status;
    return write_set(file, a->names, &a->names_shape, data + a->names_at);
}

static ta_status read_arena(struct ta_h5 *file, const struct arena *a, const struct ta_model *model, float **out) {
    ta_status status = TA_NEW(out, model->n_params, a->floats);
    if (status == TA_OK) status = read_array(file, a->floats, TA_H5_F32, a->n_floats, *out);
    if (status != TA_OK || a->names == NULL) return status;
    return ta_h5_read_all(file, a->names, &a->names_shape, *out + a->names_at);
}

/* How long the bitmap is, from the file, but never more than the file could hold. */
static ta_status read_frontier(struct ta_h5 *file, const char *path, struct ta_frontier *f) {
    ta_status status = read_array(file, "/stream/base", TA_H5_U64, 1, &f->base);
    struct ta_h5_set *set;
    if (status == TA_OK) status = ta_h5_set_open(file, "/stream/bits", &set);
    if (status != TA_OK) return status;
    struct ta_h5_shape shape = *ta_h5_set_shape(set);
    struct stat about_file;
    uint64_t most = stat(path, &about_file) == 0 ? (uint64_t)about_file.st_size / sizeof *f->bits : 0;
    if (shape.rank != 1 || shape.dims[0] > most)
        status = ta_fail(TA_FORMAT,
                         "%s: /stream/bits has %u dimensions and %" PRIu64 " words; the file has room for %" PRIu64,
                         path, shape.rank, shape.dims[0], most);
    if (status == TA_OK) status = TA_NEW(&f->bits, shape.dims[0], "the batches that are done");
    if (status == TA_OK && shape.dims[0] > 0) status = ta_h5_set_read(set, TA_H5_U64, 0, shape.dims[0], f->bits);
    if (status == TA_OK) f->words = (size_t)shape.dims[0];
    ta_h5_set_close(set);
    return status;
}

/* --- the file --- */

/* Of word models alone: what tables start from, and which words rows are. */
static ta_status write_words(struct ta_h5 *file, const struct ta_snapshot *s, const struct ta_model *model) {
    static const char group_text[] = "words of an online vocabulary";
    char hex[24];
    if (model->words.rows == 0) return TA_OK;
    snprintf(hex, sizeof hex, "%016" PRIx64, model->words.vocabulary);
    ta_status status = ta_h5_attr_set_text(file, "/", "vocabulary_checksum", hex);
    if (status == TA_OK) status = ta_h5_attr_set_i64(file, "/", "table_seed", (int64_t)s->table_seed);
    if (status != TA_OK || !model->words.online || (s->delta == NULL && s->w0 == NULL)) return status;
    status = ta_h5_group_create(file, "/names");
    if (status == TA_OK) status = ta_h5_attr_set_text(file, "/names", "description", group_text);
    return status == TA_OK ? ta_h5_attr_set_text(file, "/names", "units", "see each array") : status;
}

static ta_status write_root(struct ta_h5 *file, const struct ta_snapshot *s, const struct ta_model *model) {
    char hex[24];
    snprintf(hex, sizeof hex, "%016" PRIx64, model->fingerprint);
    ta_status status = ta_h5_attr_set_text(file, "/", "format", format);
    if (status == TA_OK) status = ta_h5_attr_set_text(file, "/", "description", about);
    if (status == TA_OK) status = ta_h5_attr_set_text(file, "/", "units", about_units);
    if (status == TA_OK) status = ta_h5_attr_set_text(file, "/", "fingerprint", hex);
    for (size_t i = 0; i < N_ATTRIBUTES && status == TA_OK; i++) status = write_attribute(file, &attributes[i], s);
    return status == TA_OK ? write_words(file, s, model) : status;
}

static ta_status write_groups(struct ta_h5 *file) {
    static const struct {
        const char *group, *text;
    } groups[] = {{"/optimizer", "state of the optimizer"}, {"/stream", "which batches of the stream are done"}};
    ta_status status = TA_OK;
    for (size_t i = 0; i < 2 && status == TA_OK; i++) {
        status = ta_h5_group_create(file, groups[i].group);
        if (status == TA_OK) status = ta_h5_attr_set_text(file, groups[i].group, "description", groups[i].text);
        if (status == TA_OK) status = ta_h5_attr_set_text(file, groups[i].group, "units", "see each array");
    }
    return status;
}

static ta_status write_arrays(struct ta_h5 *file, const struct ta_snapshot *s, const struct ta_model *model) {
    const struct arena delta = arena_of(model, "/delta", "/names/delta"), w0 = arena_of(model, "/w0", "/names/w0");
    ta_status status = write_groups(file);
    if (status == TA_OK && s->delta != NULL) status = write_arena(file, &delta, s->delta);
    if (status == TA_OK && s->w0 != NULL) status = write_arena(file, &w0, s->w0);
    if (status == TA_OK && s->m != NULL) status = write_array(file, "/optimizer/m", TA_H5_F32, model->n_params, s->m);
    if (status == TA_OK && s->v != NULL) status = write_array(file, "/optimizer/v", TA_H5_F32, model->n_params, s->v);
    if (status == TA_OK) status = ta_ckpt_waiting_write(file, &s->waiting);
    if (status == TA_OK) status = write_array(file, "/peer_steps", TA_H5_U64, s->n_ranks, s->peer_steps);
    if (status == TA_OK) status = write_array(file, "/stream/base", TA_H5_U64, 1, &s->done.base);
    const uint64_t none = 0; /* an empty set has no words, but an array wants one */
    bool empty = s->done.words == 0;
    if (status == TA_OK)
        status = write_array(file, "/stream/bits", TA_H5_U64, empty ? 1 : s->done.words, empty ? &none : s->done.bits);
    return status;
}

/* Closes, keeping the message of an earlier failure. */
static ta_status close_after(struct ta_h5 *file, ta_status status) {
    char why[1024];
    snprintf(why, sizeof why, "%s", ta_why());
    ta_status closed = ta_h5_close(file);
    return status != TA_OK ? ta_fail(status, "%s", why) : closed;
}

ta_status ta_ckpt_file_write(const char *path, const struct ta_snapshot *s, const struct ta_model *model) {
    struct ta_h5 *file;
    ta_status status = ta_h5_open(path, TA_H5_CREATE, &file);
    if (status != TA_OK) return status;
    status = write_root(file, s, model);
    if (status == TA_OK) status = write_arrays(file, s, model);
    return close_after(file, status);
}

static ta_status read_hex(struct ta_h5 *file, const char *path, const char *name, uint64_t *out) {
    char text[64], *end;
    ta_status status = ta_h5_attr_get_text(file, "/", name, text, sizeof text);
    if (status != TA_OK) return status;
    *out = strtoull(text, &end, 16);
    if (*end == '\0' && end != text) return TA_OK;
    return ta_fail(TA_FORMAT, "%s: the %s '%s' is not a hexadecimal number", path, name, text);
}

static void say_words(uint64_t checksum, char text[40]) {
    if (checksum == 0) snprintf(text, 40, "words found in the stream");
    else snprintf(text, 40, "words %016" PRIx64, checksum);
}

/* Tables of other words are the likelier mistake: the text was imported anew, or is another one. */
static ta_status other_model(struct ta_h5 *file, const char *path, const struct ta_model *model, uint64_t found) {
    uint64_t words = 0;
    bool both = model->words.rows > 0 && ta_h5_attr_exists(file, "/", "vocabulary_checksum");
    ta_status status = both ? read_hex(file, path, "vocabulary_checksum", &words) : TA_OK;
    if (status != TA_OK) return status;
    if (both && words != model->words.vocabulary) {
        char theirs[40], ours[40];
        say_words(words, theirs);
        say_words(model->words.vocabulary, ours);
        return ta_fail(TA_CONFIG,
                       "%s: has another vocabulary (%s, fingerprint %016" PRIx64
                       "; now it is %s, fingerprint %016" PRIx64
                       "); use the stream it was trained with, or --resume never",
                       path, theirs, found, ours, model->fingerprint);
    }
    return ta_fail(TA_CONFIG,
                   "%s: is of another model (fingerprint %016" PRIx64 ", the configuration's is %016" PRIx64
                   "); use the configuration it was trained with, or --resume never",
                   path, found, model->fingerprint);
}

static ta_status check_root(struct ta_h5 *file, const char *path, const struct ta_model *model) {
    char text[64];
    uint64_t found;
    ta_status status = ta_h5_attr_get_text(file, "/", "format", text, sizeof text);
    if (status != TA_OK) return status;
    if (strcmp(text, format) != 0)
        return ta_fail(TA_FORMAT, "%s: its format is '%s', this program reads '%s'", path, text, format);
    status = read_hex(file, path, "fingerprint", &found);
    if (status != TA_OK) return status;
    return found == model->fingerprint ? TA_OK : other_model(file, path, model, found);
}

static ta_status read_table_seed(struct ta_h5 *file, const struct ta_model *model, struct ta_snapshot *s) {
    int64_t seed = 0;
    if (model->words.rows == 0) return TA_OK;
    ta_status status = ta_h5_attr_get_i64(file, "/", "table_seed", &seed);
    s->table_seed = (uint64_t)seed;
    return status;
}

static ta_status read_arrays(struct ta_h5 *file, const char *path, const struct ta_model *model,
                             struct ta_snapshot *s) {
    const struct arena delta = arena_of(model, "/delta", "/names/delta");
    ta_status status = TA_OK;
    if (s->n_ranks == 0 || s->n_ranks > TA_CKPT_WRITERS || s->rank >= s->n_ranks)
        status = ta_fail(TA_FORMAT, "%s: rank %u of %u cannot be", path, s->rank, s->n_ranks);
    bool alone = model->words.rows > 0 && s->n_ranks == 1 && !ta_h5_exists(file, delta.floats);
    if (status == TA_OK && !alone) status = read_arena(file, &delta, model, &s->delta);
    if (status == TA_OK && ta_h5_exists(file, "/optimizer/m")) status = read_floats(file, "/optimizer/m", model, &s->m);
    if (status == TA_OK && ta_h5_exists(file, "/optimizer/v")) status = read_floats(file, "/optimizer/v", model, &s->v);
    if (status == TA_OK) status = TA_NEW(&s->peer_steps, s->n_ranks, "the peers' steps");
    if (status == TA_OK) status = read_array(file, "/peer_steps", TA_H5_U64, s->n_ranks, s->peer_steps);
    if (status == TA_OK) status = ta_ckpt_waiting_read(file, path, model, &s->waiting);
    return status == TA_OK ? read_frontier(file, path, &s->done) : status;
}

ta_status ta_ckpt_file_read(const char *path, const struct ta_model *model, struct ta_snapshot *out) {
    *out = (struct ta_snapshot){0};
    struct ta_h5 *file;
    ta_status status = ta_h5_open(path, TA_H5_READ, &file);
    if (status != TA_OK) return status;
    status = check_root(file, path, model);
    for (size_t i = 0; i < N_ATTRIBUTES && status == TA_OK; i++)
        status = read_attribute(file, path, &attributes[i], out);
    if (status == TA_OK) status = read_table_seed(file, model, out);
    if (status == TA_OK) status = read_arrays(file, path, model, out);
    status = close_after(file, status);
    if (status != TA_OK) ta_snapshot_free(out);
    return status;
}

ta_status ta_ckpt_file_read_w0(const char *path, const struct ta_model *model, struct ta_snapshot *out) {
    const struct arena w0 = arena_of(model, "/w0", "/names/w0");
    struct ta_h5 *file;
    ta_status status = ta_h5_open(path, TA_H5_READ, &file);
    if (status != TA_OK) return status;
    status = check_root(file, path, model);
    if (status == TA_OK) status = read_table_seed(file, model, out);
    bool seeded = model->words.rows > 0 && !ta_h5_exists(file, w0.floats);
    if (status == TA_OK && !seeded) status = read_arena(file, &w0, model, &out->w0);
    status = close_after(file, status);
    if (status == TA_OK) return TA_OK;
    ta_mem_free(out->w0);
    out->w0 = NULL;
    return status;
}
