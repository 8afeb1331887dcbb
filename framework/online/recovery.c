/* recovery: a look back from the drift, and a window that walks on from it. */
#include "recovery.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static int by_first(const void *a, const void *b) {
    const struct ta_stretch *x = a, *y = b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x->last < y->last ? -1 : x->last > y->last;
}

void ta_stretches_sort(struct ta_stretch *list, size_t n) {
    if (n > 1) qsort(list, n, sizeof *list, by_first);
}

static double accuracy(uint64_t hits, uint64_t records) { return (double)hits / (double)records; }

/* When the last record before this one was due, as far as it is known; NaN: it is not. */
static double due_before(const struct ta_stretch *list, size_t n, uint64_t record) {
    double due_s = NAN;
    for (size_t i = 0; i < n; i++)
        if (list[i].last < record && !(list[i].due_s <= due_s)) due_s = list[i].due_s;
    return due_s;
}

/* Of the last `window` records that lie wholly before the drift. */
static double before(const struct ta_stretch *list, size_t n, const struct ta_recovery_spec *spec) {
    uint64_t records = 0, hits = 0;
    for (size_t i = n; i-- > 0 && records < spec->window;) {
        if (list[i].last >= spec->drift) continue;
        records += list[i].records;
        hits += list[i].hits;
    }
    return records < spec->window ? NAN : accuracy(hits, records);
}

static bool lies_behind(const struct ta_stretch *s, const struct ta_recovery_spec *spec) {
    return s->first >= spec->drift && s->last < spec->end;
}

/* The first stretch from which on accuracy is back; n: never. `from`: the first that counts. */
static size_t back(const struct ta_stretch *list, size_t n, size_t from, const struct ta_recovery_spec *spec,
                   double wanted) {
    uint64_t records = 0, hits = 0;
    size_t head = from;
    for (size_t tail = from; tail < n; tail++) {
        if (!lies_behind(&list[tail], spec)) continue;
        for (; head < n && records < spec->window; head++) {
            if (!lies_behind(&list[head], spec)) continue;
            records += list[head].records;
            hits += list[head].hits;
        }
        if (records < spec->window) return n;
        if (accuracy(hits, records) >= wanted) return tail;
        records -= list[tail].records;
        hits -= list[tail].hits;
    }
    return n;
}

void ta_recovery_find(const struct ta_stretch *list, size_t n, const struct ta_recovery_spec *spec,
                      struct ta_recovery *out) {
    *out = (struct ta_recovery){.before = before(list, n, spec), .records = UINT64_MAX, .seconds = NAN};
    uint64_t complete = spec->drift + spec->width;
    size_t from = n;
    for (size_t i = 0; i < n; i++) {
        const struct ta_stretch *s = &list[i];
        if (s->first >= spec->drift && s->first < spec->end) out->trained += s->trained;
        if (from == n && s->first >= complete && lies_behind(s, spec)) from = i;
    }
    if (isnan(out->before) || from == n) return;
    size_t found = back(list, n, from, spec, spec->fraction * out->before);
    if (found == n) return;
    /* The first stretch begins wherever the one before it happened to end: nothing was lost until then. */
    uint64_t place = found == from ? complete : list[found].first;
    out->records = place - spec->drift;
    out->seconds = due_before(list, n, place) - due_before(list, n, spec->drift);
}
