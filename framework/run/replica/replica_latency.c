/* replica_latency: when a replica looks at the clock for latency.h, and where it leaves what it found. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "replica_internal.h"

ta_status ta_replica_latency_open(struct ta_replica *r) {
    if (r->run->pace.pace == TA_PACE_MAX) return TA_OK; /* nothing is ever due */
    return ta_latency_open(&r->latency, r->run->stream.batch, r->run->metrics.warm_up_s, r->config.n_ranks == 1);
}

void ta_replica_latency_start(struct ta_replica *r) {
    ta_latency_start(&r->latency, r->start_ns, ta_replayer_origin_ns(r->replayer));
}

void ta_replica_latency_handed(struct ta_replica *r, const struct ta_batch *batch, int64_t now_ns) {
    if (r->latency.all == NULL) return;
    ta_latency_made(&r->latency, r->trained_ns); /* that of the batch before, by now */
    r->predicted_ns = r->trained_ns = 0;
    r->update_waits = false;
    int64_t lag_ns = now_ns - ta_replayer_origin_ns(r->replayer) - batch->due_ns;
    ta_lag_add(&r->latency.all->lag, now_ns - r->start_ns, lag_ns);
}

void ta_replica_latency_used(struct ta_replica *r, const struct ta_batch *batch, uint64_t steps_before) {
    if (r->latency.all == NULL) return;
    bool trained = r->x->steps > steps_before; /* else its step was dropped */
    struct ta_latency_batch done = {.due_ns = batch->due_each_ns,
                                    .records = batch->records,
                                    .predicted_ns = r->predicted_ns,
                                    .trained_ns = trained ? r->trained_ns : 0,
                                    .step = r->x->steps};
    if (trained && r->update_waits) ta_latency_hold(&r->latency, &done);
    else ta_latency_add(&r->latency, &done);
}

void ta_replica_latency_seen(struct ta_replica *r) {
    if (r->trained_ns != 0) ta_latency_made(&r->latency, r->trained_ns);
    if (ta_latency_waits(&r->latency))
        ta_latency_visible(&r->latency, r->exchange_ops->steps_visible(r->x), r->mark_ns);
}

void ta_replica_latency_end(struct ta_replica *r) {
    if (r->latency.all == NULL || r->config.run_dir == NULL) return;
    ta_latency_made(&r->latency, r->trained_ns);
    ta_replica_latency_seen(r);
    char path[4096];
    snprintf(path, sizeof path, "%s/latency", r->config.run_dir);
    bool there = mkdir(path, 0777) == 0 || errno == EEXIST;
    ta_status status = there ? TA_OK : ta_fail_errno(TA_IO, "%s: cannot make this folder", path);
    ta_latencies_path(path, sizeof path, r->config.run_dir, r->epoch, r->config.rank);
    if (status == TA_OK) status = ta_latencies_write(r->latency.all, path);
    if (status != TA_OK) ta_log_warn(r->config.log, "latencies are not kept: %s", ta_why());
}
