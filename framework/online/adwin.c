/* adwin: a window as long as its two halves agree, kept as buckets of doubling size; see detector.h.
 *
 * Buckets of one size stand in a row, the oldest first; row i holds sums of 2^i numbers. All cuts between buckets are
 * judged at once in arrays, in the order of operations of the reference, so that the loops become vector code.
 */
#include <math.h>
#include <string.h>

#include "detector_ops.h"

enum { ROWS = 48 }; /* 2^48 numbers: longer than any stream */

struct state {
    double width, total, variance; /* of the window; variance: sum of squared deviations */
    uint64_t tick;
    uint32_t rows, drifted;
    uint32_t count[ROWS];
    double buckets[]; /* [rows][2][slots]: totals, then variances */
};

struct table {
    uint32_t slots;           /* max_buckets + 1 in a row */
    double *n0, *u0, *u1;     /* [ROWS * slots] numbers and sum before a cut, sum behind it */
    double *apart, *bound;    /* what the means differ, and what they may */
};

static ta_status fill(const struct ta_detector_spec *in, struct ta_detector_spec *out, size_t *state_bytes,
                      size_t *table_bytes) {
    out->adwin.delta = ta_detector_or(in->adwin.delta, .002);
    out->adwin.clock = in->adwin.clock == 0 ? 32 : in->adwin.clock;
    out->adwin.max_buckets = in->adwin.max_buckets == 0 ? 5 : in->adwin.max_buckets;
    out->adwin.min_window = in->adwin.min_window == 0 ? 5 : in->adwin.min_window;
    out->adwin.grace = in->adwin.grace == 0 ? 10 : in->adwin.grace;
    ta_status status = ta_detector_open_range("adwin.delta", out->adwin.delta, 0, 1);
    if (status == TA_OK) status = ta_detector_range("adwin.max_buckets", out->adwin.max_buckets, 2, 1000);
    size_t slots = out->adwin.max_buckets + 1;
    *state_bytes = sizeof(struct state) + 2 * ROWS * slots * sizeof(double);
    *table_bytes = sizeof(struct table) + 5 * ROWS * slots * sizeof(double);
    return status;
}

static void open(struct ta_detector *d) {
    struct table *t = d->table;
    t->slots = d->spec.adwin.max_buckets + 1;
    size_t n = (size_t)ROWS * t->slots;
    t->n0 = (double *)(t + 1);
    t->u0 = t->n0 + n;
    t->u1 = t->u0 + n;
    t->apart = t->u1 + n;
    t->bound = t->apart + n;
}

static void clear(struct state *s) {
    memset(s, 0, sizeof *s);
    s->rows = 1;
}

static void reset(struct ta_detector *d) { clear(d->state); }

static double *totals(struct state *s, uint32_t slots, uint32_t row) { return s->buckets + 2 * (size_t)row * slots; }
static double *variances(struct state *s, uint32_t slots, uint32_t row) { return totals(s, slots, row) + slots; }

static void drop_oldest(struct state *s, uint32_t slots, uint32_t row, uint32_t n) {
    double *total = totals(s, slots, row), *variance = variances(s, slots, row);
    s->count[row] -= n;
    memmove(total, total + n, s->count[row] * sizeof *total);
    memmove(variance, variance + n, s->count[row] * sizeof *variance);
}

/* Two buckets of a full row become one of the next. */
static void compress(struct state *s, uint32_t slots) {
    for (uint32_t row = 0; s->count[row] == slots && row + 1 < ROWS; row++) {
        if (row + 1 == s->rows) s->count[s->rows++] = 0;
        const double *total = totals(s, slots, row), *variance = variances(s, slots, row);
        double n = (double)(UINT64_C(1) << row), apart = total[0] / n - total[1] / n;
        uint32_t at = s->count[row + 1]++;
        totals(s, slots, row + 1)[at] = total[0] + total[1];
        variances(s, slots, row + 1)[at] = variance[0] + variance[1] + n * .5 * apart * apart;
        drop_oldest(s, slots, row, 2);
    }
}

static void insert(struct state *s, uint32_t slots, double x) {
    totals(s, slots, 0)[s->count[0]] = x;
    variances(s, slots, 0)[s->count[0]++] = 0;
    s->width += 1;
    if (s->width > 1) {
        double off = x - s->total / (s->width - 1);
        s->variance += (s->width - 1) * off * off / s->width;
    }
    s->total += x;
    compress(s, slots);
}

static void delete_oldest(struct state *s, uint32_t slots) {
    uint32_t row = s->rows - 1;
    double n = (double)(UINT64_C(1) << row), total = totals(s, slots, row)[0];
    s->width -= n;
    s->total -= total;
    double apart = total / n - s->total / s->width;
    s->variance -= variances(s, slots, row)[0] + n * s->width * apart * apart / (n + s->width);
    drop_oldest(s, slots, row, 1);
    if (s->count[row] == 0 && s->rows > 1) s->rows--;
}

/* Sums on both sides of every cut, the oldest cut first; returns how many. */
static uint32_t line_up(struct state *s, const struct table *t) {
    double n0 = 0, u0 = 0, u1 = s->total;
    uint32_t cuts = 0;
    for (uint32_t row = s->rows; row-- > 0;) {
        double n = (double)(UINT64_C(1) << row);
        const double *total = totals(s, t->slots, row);
        for (uint32_t k = 0; k < s->count[row]; k++, cuts++) {
            t->n0[cuts] = n0 += n;
            t->u0[cuts] = u0 += total[k];
            t->u1[cuts] = u1 -= total[k];
        }
    }
    return cuts > 0 ? cuts - 1 : 0; /* behind the last there is nothing */
}

/* Is there a cut whose sides differ? */
static bool must_shrink(struct ta_detector *d) {
    struct state *s = d->state;
    const struct table *t = d->table;
    double *restrict apart = t->apart, *restrict bound = t->bound;
    const double *restrict all_n0 = t->n0, *restrict u0 = t->u0, *restrict u1 = t->u1;
    uint32_t cuts = line_up(s, t);
    /* MOA's sides must have two numbers more than the bound allows for. */
    double least = d->spec.adwin.min_window, shortest = d->spec.code == TA_DETECTOR_MOA ? least + 2 : least;
    double width = s->width, spread = (s->variance > 0 ? s->variance : 0) / width;
    double log_term = log(2 * log(width) / d->spec.adwin.delta), linear = 2. / 3 * log_term;
    /* What running sums of equal numbers may be off by. */
    double rounding = 1e-16 * fabs(s->total) * (width < 1e6 ? width : 1e6);
    for (uint32_t i = 0; i < cuts; i++) {
        double n0 = all_n0[i], n1 = width - n0;
        double m = 1 / (n0 - least + 1) + 1 / (n1 - least + 1);
        apart[i] = fabs(u0[i] / n0 - u1[i] / n1);
        bound[i] = sqrt(2 * m * spread * log_term) + linear * m;
    }
    for (uint32_t i = 0; i < cuts; i++) {
        double n0 = all_n0[i], n1 = width - n0;
        if (apart[i] > bound[i] && n0 >= shortest && n1 >= shortest && apart[i] > rounding * (1 / n0 + 1 / n1))
            return true;
    }
    return false;
}

static bool on_the_side(const struct ta_detector *d, double before, double after) {
    enum ta_detector_side side = d->spec.side;
    if (side == TA_DETECTOR_SIDE_DEFAULT) side = d->spec.code == TA_DETECTOR_MOA ? TA_DETECTOR_RISE : TA_DETECTOR_BOTH;
    return side == TA_DETECTOR_BOTH || (side == TA_DETECTOR_RISE ? after > before : after < before);
}

static enum ta_detector_verdict update(struct ta_detector *d, double x) {
    struct state *s = d->state;
    uint32_t slots = ((const struct table *)d->table)->slots;
    if (s->drifted != 0) clear(s);
    double before = s->width > 0 ? s->total / s->width : 0;
    insert(s, slots, x);
    if (++s->tick < d->spec.adwin.clock) return TA_DETECTOR_OK;
    s->tick = 0;
    if (s->width <= d->spec.adwin.grace) return TA_DETECTOR_OK;
    bool shrunk = false;
    while (must_shrink(d)) {
        delete_oldest(s, slots);
        shrunk = true;
    }
    if (!shrunk || !on_the_side(d, before, s->total / s->width)) return TA_DETECTOR_OK;
    s->drifted = d->spec.code == TA_DETECTOR_REFERENCE;
    return TA_DETECTOR_DRIFT;
}

static bool sane(const struct ta_detector *d, const void *state) {
    const struct state *s = state;
    double width = 0;
    if (s->rows < 1 || s->rows > ROWS || s->drifted > 1 || s->tick >= d->spec.adwin.clock) return false;
    for (uint32_t row = 0; row < s->rows; row++) {
        if (s->count[row] > d->spec.adwin.max_buckets) return false;
        width += s->count[row] * (double)(UINT64_C(1) << row);
    }
    return width == s->width && (s->rows == 1 || s->count[s->rows - 1] > 0);
}

const struct ta_detector_ops ta_detector_adwin = {
    .name = "adwin",
    .summary = "a window as long as its halves agree (Bifet, Gavalda 2007)",
    .type = TA_DETECTOR_ADWIN,
    .sides = 1u << TA_DETECTOR_RISE | 1u << TA_DETECTOR_FALL | 1u << TA_DETECTOR_BOTH,
    .codes = 1u << TA_DETECTOR_MOA,
    .fill = fill,
    .open = open,
    .reset = reset,
    .update = update,
    .sane = sane,
};
