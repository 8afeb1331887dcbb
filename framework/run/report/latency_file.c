/* latency_file: latencies in HDF5, so that those of many replicas, or of many runs, can be merged exactly. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "h5.h"
#include "latency.h"
#include "mem.h"

void ta_latencies_path(char *out, size_t bytes, const char *run_dir, uint32_t life, unsigned rank) {
    snprintf(out, bytes, "%s/latency/life-%05" PRIu32 "-replica-%05u.h5", run_dir, life, rank);
}

/* --- writing --- */

static ta_status write_hist(struct ta_h5 *file, const char *name, const struct ta_hist *hist) {
    struct ta_h5_create how = {
        .shape = {TA_H5_U64, 1, {TA_HIST_BUCKETS}}, .chunk_rows = TA_HIST_BUCKETS, .gzip = 1, .shuffle = true};
    struct ta_h5_set *set;
    ta_status status = ta_h5_set_create(file, name, &how, &set);
    if (status != TA_OK) return status;
    status = ta_h5_set_write(set, TA_H5_U64, 0, TA_HIST_BUCKETS, hist->bucket);
    ta_h5_set_close(set);
    if (status == TA_OK) status = ta_h5_attr_set_i64(file, name, "count", (int64_t)hist->count);
    if (status == TA_OK) status = ta_h5_attr_set_i64(file, name, "max", (int64_t)hist->max);
    if (status == TA_OK) status = ta_h5_attr_set_f64(file, name, "sum", hist->sum);
    return status;
}

static ta_status write_lag(struct ta_h5 *file, const struct ta_latencies *l) {
    struct ta_h5_shape sums = {TA_H5_F64, 1, {l->lag.used}}, samples = {TA_H5_U32, 1, {l->lag.used}};
    ta_status status = ta_h5_write_all(file, "lag_s", &sums, l->lag.sum_s);
    if (status == TA_OK) status = ta_h5_write_all(file, "lag_samples", &samples, l->lag.samples);
    if (status == TA_OK) status = ta_h5_attr_set_i64(file, "lag_s", "stretch_ns", l->lag.stretch_ns);
    if (status == TA_OK) status = ta_h5_attr_set_i64(file, "lag_s", "unseen", (int64_t)l->unseen);
    return status;
}

ta_status ta_latencies_write(const struct ta_latencies *l, const char *path) {
    struct ta_h5 *file;
    ta_status status = ta_h5_open(path, TA_H5_CREATE, &file);
    if (status != TA_OK) return status;
    for (unsigned m = 0; m < TA_MOMENTS && status == TA_OK; m++)
        status = write_hist(file, ta_moment_names[m], &l->hist[m]);
    if (status == TA_OK) status = write_lag(file, l);
    ta_status closed = ta_h5_close(file);
    return status == TA_OK ? closed : status;
}

/* --- reading --- */

static ta_status read_hist(struct ta_h5 *file, const char *path, const char *name, struct ta_hist *out) {
    struct ta_h5_shape shape = {TA_H5_U64, 1, {TA_HIST_BUCKETS}};
    int64_t count = 0, max = 0;
    ta_status status = ta_h5_read_all(file, name, &shape, out->bucket);
    if (status == TA_OK) status = ta_h5_attr_get_i64(file, name, "count", &count);
    if (status == TA_OK) status = ta_h5_attr_get_i64(file, name, "max", &max);
    if (status == TA_OK) status = ta_h5_attr_get_f64(file, name, "sum", &out->sum);
    if (status != TA_OK) return status;
    out->count = (uint64_t)count;
    out->max = (uint64_t)max;
    uint64_t counted = 0;
    for (unsigned i = 0; i < TA_HIST_BUCKETS; i++) counted += out->bucket[i];
    if (counted == out->count) return TA_OK;
    return ta_fail(TA_FORMAT, "%s: /%s holds %" PRIu64 " records in its buckets, but says %" PRIu64, path, name,
                   counted, out->count);
}

static ta_status read_lag(struct ta_h5 *file, const char *path, struct ta_latencies *out) {
    struct ta_h5_set *set;
    ta_status status = ta_h5_set_open(file, "lag_s", &set);
    if (status != TA_OK) return status;
    struct ta_h5_shape shape = *ta_h5_set_shape(set);
    ta_h5_set_close(set);
    if (shape.rank != 1 || shape.dims[0] > TA_LAG_STRETCHES)
        return ta_fail(TA_FORMAT, "%s: /lag_s is not a list of at most %d stretches", path, TA_LAG_STRETCHES);
    struct ta_h5_shape samples = {TA_H5_U32, 1, {shape.dims[0]}};
    int64_t unseen = 0;
    out->lag.used = (uint32_t)shape.dims[0];
    status = ta_h5_read_all(file, "lag_s", &shape, out->lag.sum_s);
    if (status == TA_OK) status = ta_h5_read_all(file, "lag_samples", &samples, out->lag.samples);
    if (status == TA_OK) status = ta_h5_attr_get_i64(file, "lag_s", "stretch_ns", &out->lag.stretch_ns);
    if (status == TA_OK) status = ta_h5_attr_get_i64(file, "lag_s", "unseen", &unseen);
    out->unseen = (uint64_t)unseen;
    if (status != TA_OK || out->lag.used == 0) return status;
    int64_t times = out->lag.stretch_ns / TA_LAG_FIRST_NS;
    bool doubled = times > 0 && (times & (times - 1)) == 0 && out->lag.stretch_ns % TA_LAG_FIRST_NS == 0;
    if (doubled && times < INT64_C(1) << 32) return TA_OK;
    return ta_fail(TA_FORMAT, "%s: stretches of %" PRId64 " ns are not %d ns doubled", path, out->lag.stretch_ns,
                   TA_LAG_FIRST_NS);
}

ta_status ta_latencies_read(struct ta_latencies *out, const char *path) {
    struct ta_h5 *file;
    memset(out, 0, sizeof *out);
    ta_status status = ta_h5_open(path, TA_H5_READ, &file);
    if (status != TA_OK) return status;
    for (unsigned m = 0; m < TA_MOMENTS && status == TA_OK; m++)
        status = read_hist(file, path, ta_moment_names[m], &out->hist[m]);
    if (status == TA_OK) status = read_lag(file, path, out);
    ta_status closed = ta_h5_close(file);
    return status == TA_OK ? closed : status;
}

ta_status ta_latencies_gather(struct ta_latencies *out, const char *run_dir, uint32_t life, unsigned replicas,
                              unsigned *found) {
    struct ta_latencies *one;
    memset(out, 0, sizeof *out);
    *found = 0;
    ta_status status = TA_NEW(&one, 1, "latencies of a replica");
    for (unsigned rank = 0; rank < replicas && status == TA_OK; rank++) {
        char path[4096];
        ta_latencies_path(path, sizeof path, run_dir, life, rank);
        if (access(path, F_OK) != 0) continue; /* it was killed, or there were no due times */
        status = ta_latencies_read(one, path);
        if (status != TA_OK) break;
        ta_latencies_merge(out, one);
        (*found)++;
    }
    ta_mem_free(one);
    return status;
}
