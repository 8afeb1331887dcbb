/* latency: histograms from due times, and who waits to become visible. Files are in latency_file.c. */
#include "latency.h"

#include <string.h>

#include "clock.h"
#include "mem.h"

enum { LEAST_ROOM = 1 << 16, BATCHES_OF_ROOM = 16 };

const char *const ta_moment_names[TA_MOMENTS] = {"predicted", "trained", "visible"};

struct ta_latency_step {
    uint64_t step;
    uint32_t records;
};

/* --- lag --- */

static void widen(struct ta_lag_series *lag) {
    for (unsigned i = 0; i < TA_LAG_STRETCHES; i++) {
        double sum_s = lag->sum_s[i];
        uint32_t samples = lag->samples[i];
        lag->sum_s[i] = 0;
        lag->samples[i] = 0;
        lag->sum_s[i / 2] += sum_s;
        lag->samples[i / 2] += samples;
    }
    lag->stretch_ns *= 2;
    lag->used = (lag->used + 1) / 2;
}

void ta_lag_add(struct ta_lag_series *lag, int64_t since_start_ns, int64_t lag_ns) {
    if (lag->stretch_ns == 0) lag->stretch_ns = TA_LAG_FIRST_NS;
    if (since_start_ns < 0) since_start_ns = 0;
    while (since_start_ns / lag->stretch_ns >= TA_LAG_STRETCHES) widen(lag);
    uint32_t i = (uint32_t)(since_start_ns / lag->stretch_ns);
    lag->sum_s[i] += (double)lag_ns / TA_NS_PER_S;
    lag->samples[i]++;
    if (i >= lag->used) lag->used = i + 1;
}

static void merge_lag(struct ta_lag_series *into, struct ta_lag_series from) {
    if (from.used == 0) return;
    if (into->used == 0) {
        *into = from;
        return;
    }
    while (into->stretch_ns < from.stretch_ns) widen(into);
    while (from.stretch_ns < into->stretch_ns) widen(&from);
    for (uint32_t i = 0; i < from.used; i++) {
        if (from.samples[i] == 0) continue;
        bool behind = into->samples[i] == 0 || from.sum_s[i] / from.samples[i] > into->sum_s[i] / into->samples[i];
        if (!behind) continue;
        into->sum_s[i] = from.sum_s[i];
        into->samples[i] = from.samples[i];
    }
    if (from.used > into->used) into->used = from.used;
}

void ta_latencies_merge(struct ta_latencies *into, const struct ta_latencies *from) {
    for (unsigned m = 0; m < TA_MOMENTS; m++) ta_hist_merge(&into->hist[m], &from->hist[m]);
    merge_lag(&into->lag, from->lag);
    into->unseen += from->unseen;
}

json_t *ta_latencies_json(const struct ta_latencies *l) {
    json_t *all = json_object();
    for (unsigned m = 0; m < TA_MOMENTS; m++) {
        const struct ta_hist *h = &l->hist[m];
        if (h->count == 0) continue;
        json_object_set_new(all, ta_moment_names[m],
                            json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "count", (json_int_t)h->count, "mean_s",
                                      ta_hist_mean(h) / TA_NS_PER_S, "p50_s",
                                      (double)ta_hist_percentile(h, 50) / TA_NS_PER_S, "p90_s",
                                      (double)ta_hist_percentile(h, 90) / TA_NS_PER_S, "p99_s",
                                      (double)ta_hist_percentile(h, 99) / TA_NS_PER_S, "p99.9_s",
                                      (double)ta_hist_percentile(h, 99.9) / TA_NS_PER_S, "max_s",
                                      (double)h->max / TA_NS_PER_S));
    }
    return all;
}

/* --- of one replica --- */

ta_status ta_latency_open(struct ta_latency *l, uint32_t batch, double warm_up_s, bool alone) {
    uint64_t room = (uint64_t)batch * BATCHES_OF_ROOM;
    *l = (struct ta_latency){
        .room = room > LEAST_ROOM ? room : LEAST_ROOM,
        .warm_up_ns = (int64_t)(warm_up_s * TA_NS_PER_S),
        .alone = alone,
    };
    ta_status status = TA_NEW(&l->all, 1, "histograms of latency");
    if (status == TA_OK) status = TA_NEW(&l->held_due, batch, "due times of the batch that is reduced");
    if (status == TA_OK && !alone) status = TA_NEW(&l->due, l->room, "due times of steps on their way");
    if (status == TA_OK && !alone) status = TA_NEW(&l->step, l->room, "steps on their way");
    return status;
}

void ta_latency_close(struct ta_latency *l) {
    ta_mem_free(l->all);
    ta_mem_free(l->held_due);
    ta_mem_free(l->due);
    ta_mem_free(l->step);
    *l = (struct ta_latency){0};
}

void ta_latency_start(struct ta_latency *l, int64_t start_ns, int64_t origin_ns) {
    l->start_ns = start_ns;
    l->origin_ns = origin_ns;
}

static void count(struct ta_hist *hist, int64_t due_ns, int64_t now_ns) {
    ta_hist_add(hist, now_ns > due_ns ? (uint64_t)(now_ns - due_ns) : 0);
}

static void forget_oldest(struct ta_latency *l) {
    const struct ta_latency_step *s = &l->step[l->step_tail++ % l->room];
    l->due_tail += s->records;
    l->all->unseen += s->records;
}

/* The records from `first` on wait for their step to become visible. */
static void queue(struct ta_latency *l, const struct ta_latency_batch *b, uint32_t first) {
    uint32_t n = b->records - first;
    if (n == 0 || n > l->room) return;
    while (l->room - (l->due_head - l->due_tail) < n) forget_oldest(l);
    for (uint32_t i = first; i < b->records; i++) l->due[l->due_head++ % l->room] = l->origin_ns + b->due_ns[i];
    l->step[l->step_head++ % l->room] = (struct ta_latency_step){.step = b->step, .records = n};
}

void ta_latency_add(struct ta_latency *l, const struct ta_latency_batch *b) {
    if (l->all == NULL) return;
    uint32_t first = 0; /* after the warm-up; due times never fall */
    int64_t from_ns = l->start_ns + l->warm_up_ns - l->origin_ns;
    while (first < b->records && b->due_ns[first] < from_ns) first++;
    struct ta_hist *hist = l->all->hist;
    for (uint32_t i = first; i < b->records && b->predicted_ns != 0; i++)
        count(&hist[TA_MOMENT_PREDICTED], l->origin_ns + b->due_ns[i], b->predicted_ns);
    if (b->trained_ns == 0) return;
    for (uint32_t i = first; i < b->records; i++)
        count(&hist[TA_MOMENT_TRAINED], l->origin_ns + b->due_ns[i], b->trained_ns);
    for (uint32_t i = first; i < b->records && l->alone; i++)
        count(&hist[TA_MOMENT_VISIBLE], l->origin_ns + b->due_ns[i], b->trained_ns);
    if (!l->alone) queue(l, b, first);
}

void ta_latency_hold(struct ta_latency *l, const struct ta_latency_batch *b) {
    if (l->all == NULL) return;
    l->held = *b;
    l->held.due_ns = l->held_due;
    memcpy(l->held_due, b->due_ns, b->records * sizeof *b->due_ns);
}

void ta_latency_made(struct ta_latency *l, int64_t trained_ns) {
    struct ta_latency_batch b = l->held;
    if (b.records == 0) return;
    l->held.records = 0;
    b.trained_ns = trained_ns;
    ta_latency_add(l, &b);
}

void ta_latency_visible(struct ta_latency *l, uint64_t steps, int64_t now_ns) {
    while (ta_latency_waits(l) && l->step[l->step_tail % l->room].step <= steps) {
        const struct ta_latency_step *s = &l->step[l->step_tail++ % l->room];
        for (uint32_t i = 0; i < s->records; i++)
            count(&l->all->hist[TA_MOMENT_VISIBLE], l->due[l->due_tail++ % l->room], now_ns);
    }
}
