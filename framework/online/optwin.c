/* optwin: a window cut where a difference of rho deviations can just be told, tested by t and F; see detector.h. */
#include <math.h>

#include "detector_cuts.h"
#include "detector_ops.h"

/* Numbers on one side of the cut. */
struct side {
    double sum, squares;
    uint64_t n;
};

struct state {
    struct side old, new;
    uint32_t head, length; /* ring[head] is the oldest of `length` numbers */
    double ring[];         /* [window_max + 1]: one more than the window, which grows before it slides */
};

static ta_status fill(const struct ta_detector_spec *in, struct ta_detector_spec *out, size_t *state_bytes,
                      size_t *table_bytes) {
    out->optwin.confidence = ta_detector_or(in->optwin.confidence, .99);
    out->optwin.rho = ta_detector_or(in->optwin.rho, .5);
    out->optwin.warning = ta_detector_or(in->optwin.warning, .98);
    out->optwin.noise = ta_detector_or(in->optwin.noise, 1e-6);
    out->optwin.window_min = in->optwin.window_min == 0 ? 30 : in->optwin.window_min;
    out->optwin.window_max = in->optwin.window_max == 0 ? 25000 : in->optwin.window_max;
    double longest = out->optwin.window_max;
    ta_status status = ta_detector_range("optwin.confidence", out->optwin.confidence, .5, 1 - 1e-9);
    if (status == TA_OK) status = ta_detector_range("optwin.rho", out->optwin.rho, .001, 1000);
    if (status == TA_OK) status = ta_detector_range("optwin.warning", out->optwin.warning, .5, 1 - 1e-9);
    if (status == TA_OK) status = ta_detector_range("optwin.noise", out->optwin.noise, 1e-100, 1e100);
    if (status == TA_OK) status = ta_detector_range("optwin.window_max", longest, 10, 1e7);
    if (status == TA_OK) status = ta_detector_range("optwin.window_min", out->optwin.window_min, 10, longest);
    *state_bytes = sizeof(struct state) + (out->optwin.window_max + (size_t)1) * sizeof(double);
    *table_bytes = (out->optwin.window_max + (size_t)1) * sizeof(struct ta_optwin_cut);
    return status;
}

static void open(struct ta_detector *d) { ta_optwin_cuts(&d->spec, d->table); }

static void empty(struct state *s) {
    s->old = s->new = (struct side){0};
    s->head = s->length = 0;
}

static double at(const struct state *s, uint32_t slots, uint32_t index) {
    uint32_t place = s->head + index;
    return s->ring[place < slots ? place : place - slots];
}

static void add(struct side *side, double x) {
    side->sum += x;
    side->squares += x * x;
    side->n++;
}

/* Takes off a number that stood at the left end of the side, whose oldest is now number `first` of the window. A number
 * that outweighs all that is left would leave its rounding in place of them: then they are summed anew. */
static void take(struct state *s, uint32_t slots, struct side *side, double x, uint32_t first) {
    side->sum -= x;
    side->squares -= x * x;
    side->n--;
    if (x * x <= 1e6 * side->squares || x == 0) return;
    uint64_t n = side->n;
    *side = (struct side){0};
    for (uint32_t i = 0; i < n; i++) add(side, at(s, slots, first + i));
}

static void push(struct state *s, uint32_t slots, double x) {
    uint32_t place = s->head + s->length;
    s->ring[place < slots ? place : place - slots] = x;
    s->length++;
    add(&s->new, x);
}

/* The window's oldest number leaves, and the oldest of the new ones turns old. The cut stays at the same number. */
static void slide(struct state *s, uint32_t slots) {
    double oldest = at(s, slots, 0);
    s->head = s->head + 1 == slots ? 0 : s->head + 1;
    s->length--;
    take(s, slots, &s->old, oldest, 0);
    uint32_t cut = (uint32_t)s->old.n;
    double turning = at(s, slots, cut);
    take(s, slots, &s->new, turning, cut + 1);
    add(&s->old, turning);
}

static void move_cut(struct state *s, uint32_t slots, uint32_t cut) {
    while (s->old.n < cut) {
        uint32_t index = (uint32_t)s->old.n;
        double x = at(s, slots, index);
        take(s, slots, &s->new, x, index + 1);
        add(&s->old, x);
    }
    if (s->old.n == cut) return;
    /* To the left only in tables with more than one root; the sums of old lose their last numbers, not their first. */
    while (s->old.n > cut) {
        double x = at(s, slots, (uint32_t)s->old.n - 1);
        add(&s->new, x);
        take(s, slots, &s->old, x, 0);
    }
}

/* Standard deviation; per_n is 1 / n. */
static double deviation(const struct side *side, double per_n, double noise) {
    double spread = (double)side->n * side->squares - side->sum * side->sum; /* below 0 by rounding */
    return (spread > 0 ? sqrt(spread) * per_n : 0) + noise;
}

static enum ta_detector_verdict drift(struct ta_detector *d, struct state *s, uint32_t slots, double x) {
    empty(s);
    if (d->spec.code == TA_DETECTOR_REFERENCE) push(s, slots, x);
    return TA_DETECTOR_DRIFT;
}

static enum ta_detector_verdict update(struct ta_detector *d, double x) {
    struct state *s = d->state;
    uint32_t slots = d->spec.optwin.window_max + 1;
    push(s, slots, x);
    if (s->length == slots) slide(s, slots);
    if (s->length < d->spec.optwin.window_min) return TA_DETECTOR_OK;
    const struct ta_optwin_cut *cut = (const struct ta_optwin_cut *)d->table + s->length;
    move_cut(s, slots, cut->old);
    double per_old = 1 / (double)s->old.n, per_new = 1 / (double)s->new.n;
    double mean_old = s->old.sum * per_old, rise = s->new.sum * per_new - mean_old;
    double dev_old = deviation(&s->old, per_old, d->spec.optwin.noise);
    double dev_new = deviation(&s->new, per_new, d->spec.optwin.noise);
    double v_old = dev_old * dev_old, v_new = dev_new * dev_new;
    bool welch = d->spec.variant == TA_OPTWIN_WELCH;
    double error = sqrt((welch ? v_new : dev_new) * per_new + (welch ? v_old : dev_old) * per_old);
    if (fabs(rise) <= 1e-11 * fabs(mean_old)) rise = 0; /* sums of equal numbers differ by that */
    if (rise > cut->t * error) return drift(d, s, slots, x);
    bool wider = v_new > cut->f * v_old;
    if (wider && rise > 0) return drift(d, s, slots, x);
    if (wider && d->spec.code == TA_DETECTOR_CAPYMOA) {
        empty(s);
        return TA_DETECTOR_OK;
    }
    return rise > cut->t_warning * error ? TA_DETECTOR_WARNING : TA_DETECTOR_OK;
}

static bool sane(const struct ta_detector *d, const void *state) {
    const struct state *s = state;
    const struct ta_optwin_cut *cuts = d->table;
    uint32_t longest = d->spec.optwin.window_max, shortest = d->spec.optwin.window_min;
    if (s->length > longest || s->head > longest || s->old.n + s->new.n != s->length) return false;
    return s->old.n == (s->length < shortest ? 0 : cuts[s->length].old);
}

const struct ta_detector_ops ta_detector_optwin = {
    .name = "optwin",
    .summary = "a window cut where a difference can just be told, by t and F (Tosi, Theobald 2023)",
    .type = TA_DETECTOR_OPTWIN,
    .sides = 1u << TA_DETECTOR_RISE,
    .codes = 1u << TA_DETECTOR_CAPYMOA,
    .fill = fill,
    .open = open,
    .update = update,
    .sane = sane,
};
