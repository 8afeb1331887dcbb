/* ckpt_diff: `tensair ckpt diff`: two checkpoints number by number: every array of every file, and the numbers noted
 * beside them. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ckpt_verbs.h"
#include "mem.h"

enum { BLOCK_BYTES = 1 << 20 };

struct diff {
    const char *a, *b; /* the two files */
    struct ta_h5 *file_a, *file_b;
    double tolerance;
    unsigned compared, different;
};

static void say(struct diff *d, const char *what, const char *how) {
    printf("differs  %s\n         %s: %s\n", d->a, what, how);
    d->different++;
}

/* --- one array --- */

struct pair {
    struct ta_h5_set *a, *b;
    struct ta_h5_shape shape;
    bool floats;
    uint64_t row; /* elements */
    double *buffer[2];
};

/* What a comparison found so far. NaN equals NaN. */
struct found {
    double largest, sum2;
    uint64_t count, elements;
};

static void compare_block(const struct pair *p, size_t n, double tolerance, struct found *f) {
    const int64_t *ia = (const int64_t *)p->buffer[0], *ib = (const int64_t *)p->buffer[1];
    for (size_t i = 0; i < n; i++) {
        double a = p->floats ? p->buffer[0][i] : (double)ia[i], b = p->floats ? p->buffer[1][i] : (double)ib[i];
        double off = fabs(a - b);
        bool same = p->floats ? off <= tolerance || (isnan(a) && isnan(b)) : ia[i] == ib[i];
        f->elements++;
        if (same) continue;
        f->count++;
        f->sum2 += off * off;
        if (off > f->largest || isnan(off)) f->largest = off;
    }
}

static ta_status compare_rows(struct pair *p, double tolerance, struct found *f) {
    /* Signed and unsigned apart: converting between them would clip, and clipped numbers look equal. */
    bool is_signed = p->shape.type == TA_H5_I8 || p->shape.type == TA_H5_I32 || p->shape.type == TA_H5_I64;
    enum ta_h5_type type = p->floats ? TA_H5_F64 : is_signed ? TA_H5_I64 : TA_H5_U64;
    uint64_t rows = p->shape.rank == 0 ? 1 : p->shape.dims[0];
    uint64_t step = p->row > 0 && p->row < BLOCK_BYTES / 8 ? BLOCK_BYTES / 8 / p->row : 1;
    ta_status status = TA_OK;
    for (int i = 0; i < 2 && status == TA_OK; i++) status = TA_NEW(&p->buffer[i], step * p->row, "rows to compare");
    for (uint64_t at = 0; at < rows && status == TA_OK; at += step) {
        uint64_t n = rows - at < step ? rows - at : step;
        status = ta_h5_set_read(p->a, type, at, n, p->buffer[0]);
        if (status == TA_OK) status = ta_h5_set_read(p->b, type, at, n, p->buffer[1]);
        if (status == TA_OK) compare_block(p, n * p->row, tolerance, f);
    }
    for (int i = 0; i < 2; i++) ta_mem_free(p->buffer[i]);
    return status;
}

static bool same_shape(const struct ta_h5_shape *a, const struct ta_h5_shape *b) {
    bool floats = (a->type == TA_H5_F32 || a->type == TA_H5_F64) && (b->type == TA_H5_F32 || b->type == TA_H5_F64);
    bool same = a->rank == b->rank && (floats || a->type == b->type);
    for (unsigned i = 0; i < a->rank && same; i++) same = a->dims[i] == b->dims[i];
    return same;
}

static ta_status compare_sets(struct diff *d, const char *name) {
    struct pair p = {.row = 1};
    struct found f = {0};
    char how[320];
    ta_status status = ta_h5_set_open(d->file_a, name, &p.a);
    if (status != TA_OK) return status;
    status = ta_h5_set_open(d->file_b, name, &p.b);
    if (status != TA_OK) goto close_a;
    p.shape = *ta_h5_set_shape(p.a);
    p.floats = p.shape.type == TA_H5_F32 || p.shape.type == TA_H5_F64;
    for (unsigned i = 1; i < p.shape.rank; i++)
        if (__builtin_mul_overflow(p.row, p.shape.dims[i], &p.row) || p.row > (uint64_t)1 << 31) {
            status = ta_fail(TA_FORMAT, "%s: %s has rows too long to be true", d->a, name);
            goto close_b;
        }
    d->compared++;
    if (!same_shape(&p.shape, ta_h5_set_shape(p.b))) {
        char ours[120], theirs[120];
        ta_ckpt_say_shape(&p.shape, ours, sizeof ours);
        ta_ckpt_say_shape(ta_h5_set_shape(p.b), theirs, sizeof theirs);
        snprintf(how, sizeof how, "shape or type: %s, and %s", ours, theirs);
        say(d, name, how);
    } else {
        status = compare_rows(&p, d->tolerance, &f);
        snprintf(how, sizeof how, "%" PRIu64 " of %" PRIu64 " numbers, by at most %g, %g root mean square", f.count,
                 f.elements, f.largest, f.elements > 0 ? sqrt(f.sum2 / (double)f.elements) : 0);
        if (status == TA_OK && f.count > 0) say(d, name, how);
    }
close_b:
    ta_h5_set_close(p.b);
close_a:
    ta_h5_set_close(p.a);
    return status;
}

/* --- one file --- */

static ta_status visit_a(void *context, const char *name, bool is_group) {
    struct diff *d = context;
    if (is_group) return TA_OK;
    if (ta_h5_exists(d->file_b, name)) return compare_sets(d, name);
    say(d, name, "only in the first");
    return TA_OK;
}

static ta_status visit_b(void *context, const char *name, bool is_group) {
    struct diff *d = context;
    if (!is_group && !ta_h5_exists(d->file_a, name)) say(d, name, "only in the second");
    return TA_OK;
}

/* The numbers noted at the root of either kind of file. */
static void compare_attributes(struct diff *d) {
    static const char *const whole[] = {
        "rank",       "n_ranks",        "total_steps",       "total_records", "steps",           "records",
        "batch",      "optimizer_step", "optimizer_skipped", "seed",          "dropped_records", "score_records",
        "score_hits", "tensair_steps",  "tensair_records",   "table_seed"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        int64_t a = 0, b = 0;
        bool in_a =
            ta_h5_attr_exists(d->file_a, "/", whole[i]) && ta_h5_attr_get_i64(d->file_a, "/", whole[i], &a) == TA_OK;
        bool in_b =
            ta_h5_attr_exists(d->file_b, "/", whole[i]) && ta_h5_attr_get_i64(d->file_b, "/", whole[i], &b) == TA_OK;
        if (!in_a || !in_b || a == b) continue;
        char how[96];
        snprintf(how, sizeof how, "%" PRId64 ", and %" PRId64, a, b);
        say(d, whole[i], how);
    }
}

static ta_status compare_files(struct diff *d, const char *a, const char *b) {
    d->a = a;
    d->b = b;
    ta_status status = ta_h5_open(a, TA_H5_READ, &d->file_a);
    if (status != TA_OK) return status;
    status = ta_h5_open(b, TA_H5_READ, &d->file_b);
    if (status == TA_OK) {
        compare_attributes(d);
        status = ta_h5_walk(d->file_a, visit_a, d);
        if (status == TA_OK) status = ta_h5_walk(d->file_b, visit_b, d);
        (void)ta_h5_close(d->file_b); /* nothing was written */
    }
    (void)ta_h5_close(d->file_a);
    return status;
}

/* --- all files --- */

static bool wrote(const struct ta_checkpoint_info *info, unsigned rank) {
    for (unsigned i = 0; i < info->n_writers; i++)
        if (info->writers[i] == rank) return true;
    return false;
}

static ta_status compare_targets(struct diff *d, const struct ta_ckpt_target *a, const struct ta_ckpt_target *b) {
    ta_status status = compare_files(d, a->model, b->model);
    if (a->is_file || b->is_file) return status; /* then only the weights can be compared */
    unsigned most = a->info.n_ranks > b->info.n_ranks ? a->info.n_ranks : b->info.n_ranks;
    for (unsigned rank = 0; rank < most && status == TA_OK; rank++) {
        char path_a[TA_CKPT_TARGET_PATH], path_b[TA_CKPT_TARGET_PATH];
        snprintf(path_a, sizeof path_a, "%s/replica-%05u.h5", a->info.path, rank);
        snprintf(path_b, sizeof path_b, "%s/replica-%05u.h5", b->info.path, rank);
        bool in_a = wrote(&a->info, rank), in_b = wrote(&b->info, rank);
        d->a = path_a;
        if (in_a && in_b) status = compare_files(d, path_a, path_b);
        else if (in_a || in_b) say(d, "the file", in_a ? "only in the first" : "only in the second");
    }
    return status;
}

static ta_status parse(int argc, char **argv, struct diff *d, const char *paths[2]) {
    unsigned n = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--tolerance") == 0 && i + 1 < argc) {
            char *end;
            d->tolerance = strtod(argv[++i], &end);
            if (*end != '\0' || !(d->tolerance >= 0))
                return ta_fail(TA_USAGE, "--tolerance %s: must be a number of 0 or more", argv[i]);
        } else if (argv[i][0] != '-' && n < 2) {
            paths[n++] = argv[i];
        } else {
            return ta_fail(TA_USAGE, "diff takes two PATHs and --tolerance T, not '%s'; see tensair ckpt --help",
                           argv[i]);
        }
    }
    return n == 2 ? TA_OK : ta_fail(TA_USAGE, "diff needs two PATHs; see tensair ckpt --help");
}

ta_status ta_ckpt_diff(int argc, char **argv) {
    struct diff d = {0};
    const char *paths[2];
    struct ta_ckpt_target *targets;
    ta_status status = parse(argc, argv, &d, paths);
    if (status != TA_OK) return status;
    status = TA_NEW(&targets, 2, "the checkpoints");
    if (status != TA_OK) return status;
    for (int i = 0; i < 2 && status == TA_OK; i++) status = ta_ckpt_find_target(paths[i], &targets[i]);
    if (status == TA_OK) status = compare_targets(&d, &targets[0], &targets[1]);
    ta_mem_free(targets);
    if (status != TA_OK) return status;
    if (d.different > 0)
        return ta_fail(TA_FAILED, "%s and %s differ in %u places (%u arrays compared)", paths[0], paths[1], d.different,
                       d.compared);
    printf("equal    %u arrays%s\n", d.compared, d.tolerance > 0 ? ", within the tolerance" : ", to the bit");
    return TA_OK;
}
