/* drift_trail: counts, and a line when there are enough. */
#include "drift_trail.h"

#include <math.h>

#include "clock.h"
#include "jsonl.h"

uint32_t ta_drift_trail_length(uint32_t window) { return window < 20 ? 2 : window / 10; }

static void tell(const struct ta_drift_trail *t, struct ta_metrics *m, uint64_t trained, int64_t now_ns) {
    json_t *line = ta_metrics_line(m, "stretch", now_ns);
    if (line == NULL) return;
    json_object_set_new(line, "first", json_integer((json_int_t)t->first));
    json_object_set_new(line, "record", json_integer((json_int_t)t->last));
    json_object_set_new(line, "records", json_integer(t->records));
    json_object_set_new(line, "hits", json_integer(t->hits));
    json_object_set_new(line, "trained", json_integer((json_int_t)(trained - t->told)));
    json_object_set_new(line, "due_s", ta_json_real(t->due_ns < 0 ? NAN : (double)t->due_ns / TA_NS_PER_S));
    ta_metrics_write(m, line);
}

void ta_drift_trail_add(struct ta_drift_trail *t, struct ta_metrics *m, uint64_t record, bool hit, uint64_t trained,
                        int64_t now_ns) {
    if (t->length == 0) return;
    if (t->records == 0 || record < t->first) t->first = record;
    if (t->records == 0 || record > t->last) t->last = record;
    t->records++;
    t->hits += hit;
    if (t->records < t->length) return;
    tell(t, m, trained, now_ns);
    t->told = trained;
    t->records = t->hits = 0;
}
