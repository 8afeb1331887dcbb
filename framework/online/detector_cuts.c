/* detector_cuts: one cut follows from the one before, so that a table costs a few quantiles a row. */
#include "detector_cuts.h"

#include <math.h>
#include <stdbool.h>

#include "detector_quantile.h"

struct search {
    double rho, tail, tail_warning; /* 1 - delta', 1 - warning */
    bool welch;
    uint32_t length;
    double near_f, near_t, near_warning; /* the last quantiles: the next are close */
};

struct point {
    double f, t, df, spare; /* spare: rho less the right side */
};

static struct point look(struct search *s, uint32_t old) {
    double n = old, m = s->length - old;
    struct point p;
    p.f = ta_f_quantile(s->tail, n - 1, m - 1, s->near_f);
    double ratio = s->welch ? p.f : 1 / (p.f * p.f), sum = 1 / n + ratio / m;
    p.df = sum * sum / (1 / (n * n * (n - 1)) + ratio * ratio / (m * m * (m - 1)));
    p.t = ta_t_quantile(s->tail, p.df, s->near_t);
    p.spare = s->rho - p.t * sqrt(1 / n + p.f / m);
    s->near_f = p.f;
    s->near_t = p.t;
    return p;
}

/* The cut with most to spare, climbing from `from`. What is spared has one top. */
static uint32_t climb(struct search *s, uint32_t from, struct point *top) {
    uint32_t last = s->length - 2, at = from < 2 ? 2 : from > last ? last : from;
    *top = look(s, at);
    for (int step = 1; step >= -1; step -= 2) {
        while (at + (uint32_t)step >= 2 && at + (uint32_t)step <= last) {
            struct point next = look(s, at + (uint32_t)step);
            if (next.spare <= top->spare) break;
            at += (uint32_t)step;
            *top = next;
        }
    }
    return at;
}

/* The last cut that spares something, at or behind `from`, which does. */
static uint32_t walk_out(struct search *s, uint32_t from, struct point *p) {
    uint32_t low = from, high = s->length - 1;
    for (uint32_t stride = 1; low + 1 < high;) {
        uint32_t at = low + stride < high ? low + stride : low + (high - low) / 2;
        struct point next = look(s, at);
        if (next.spare >= 0) {
            low = at;
            *p = next;
            stride *= 2;
        } else {
            high = at;
            stride = 1;
        }
    }
    return low;
}

void ta_optwin_cuts(const struct ta_detector_spec *spec, struct ta_optwin_cut *cuts) {
    /* -expm1(log(c) / 4) is 1 - c^(1/4) with all its digits; the reference subtracts, and has lost none that count. */
    struct search s = {.rho = spec->optwin.rho,
                       .tail = -expm1(log(spec->optwin.confidence) / 4),
                       .tail_warning = 1 - spec->optwin.warning,
                       .welch = spec->variant == TA_OPTWIN_WELCH};
    uint32_t top = spec->optwin.window_min / 2, root = 0;
    for (uint32_t length = spec->optwin.window_min; length <= spec->optwin.window_max; length++) {
        s.length = length;
        struct point p = {0};
        /* Once there is a root, the next window's is mostly one further. */
        if (root > 0) {
            root++;
            p = look(&s, root);
            if (p.spare < 0) p = look(&s, --root);
        }
        if (root == 0 || p.spare < 0) {
            top = climb(&s, top, &p);
            root = p.spare >= 0 ? top : 0;
        }
        if (root > 0) root = walk_out(&s, root, &p);
        uint32_t old = root > 0 ? root : length / 2 + 1;
        if (root == 0) p = look(&s, old);
        s.near_warning = ta_t_quantile(s.tail_warning, p.df, s.near_warning);
        cuts[length] = (struct ta_optwin_cut){.f = p.f, .t = p.t, .t_warning = s.near_warning, .old = old};
    }
}
