/* learner: two generators, four changes, naive Bayes, and what is done when the detector warns and alarms. */
#include "learner.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "streams.h"
#include "synthetic.h"

enum { CONCEPTS = 5, RECORDS = 100000, PERIOD = 20000, ATTRIBUTES = 9, VALUES = 20 };

/* --- streams --- */

struct record {
    double x[ATTRIBUTES];
    int class;
};

/* Five generators of one seed, and the four gates between them: gate k lets through to the concepts behind k. */
struct source {
    enum learner_stream kind;
    unsigned width;
    struct java generator[CONCEPTS], gate[CONCEPTS - 1];
    double passed[CONCEPTS - 1]; /* records asked of a gate */
};

static const int functions[2][CONCEPTS] = {{1, 2, 3, 1, 2}, {5, 4, 3, 2, 1}};

static void draw_stagger(struct java *r, int function, struct record *out) {
    int size = java_below(r, 3), colour = java_below(r, 3), shape = java_below(r, 3);
    out->x[0] = size, out->x[1] = colour, out->x[2] = shape;
    out->class = function == 1 ? size == 0 && colour == 0 : function == 2 ? colour == 2 || shape == 0 : size != 0;
}

static double perturb(struct java *r, double value, double range, double least, double most) {
    value += range * (2 * (java_uniform(r) - .5)) * .05;
    return value < least ? least : value > most ? most : value;
}

static void draw_agrawal(struct java *r, int function, struct record *out) {
    double *x = out->x;
    x[0] = 20000 + 130000 * java_uniform(r);
    x[1] = x[0] >= 75000 ? 0 : 10000 + 65000 * java_uniform(r);
    x[2] = 20 + java_below(r, 61);
    x[3] = java_below(r, 5);
    x[4] = java_below(r, 20);
    x[5] = java_below(r, 9);
    double house = (9 - x[5]) * 100000;
    x[6] = house * (.5 + java_uniform(r));
    x[7] = 1 + java_below(r, 30);
    x[8] = java_uniform(r) * 500000;
    float same[ATTRIBUTES];
    for (int i = 0; i < ATTRIBUTES; i++) same[i] = (float)x[i];
    out->class = ta_agrawal_class(same, (uint32_t)function);
    x[0] = perturb(r, x[0], 130000, 20000, 150000);
    if (x[1] > 0) x[1] = perturb(r, x[1], 65000, 10000, 75000);
    x[2] = floor(perturb(r, x[2], 60, 20, 80) + .5);
    x[6] = perturb(r, x[6], house, 0, 135000);
    x[7] = floor(perturb(r, x[7], 29, 1, 30) + .5);
    x[8] = perturb(r, x[8], 500000, 0, 500000);
}

static void next_record(struct source *s, struct record *out) {
    int concept = 0;
    for (; concept < CONCEPTS - 1; concept++) {
        double past = ++s->passed[concept] - PERIOD;
        if (java_uniform(&s->gate[concept]) > 1 / (1 + exp(-4 * past / s->width))) break;
    }
    int function = functions[s->kind][concept];
    (s->kind == STAGGER ? draw_stagger : draw_agrawal)(&s->generator[concept], function, out);
}

/* --- naive Bayes: counts for what has names, normal distributions for numbers --- */

struct bayes {
    double n[2];                            /* records of a class */
    double count[2][ATTRIBUTES][VALUES];    /* of named values */
    int named[2][ATTRIBUTES];               /* largest value seen + 1 */
    double mean[2][ATTRIBUTES], squares[2][ATTRIBUTES];
};

static bool is_named(enum learner_stream kind, int attribute) {
    return kind == STAGGER || (attribute >= 3 && attribute <= 5);
}

static int attributes(enum learner_stream kind) { return kind == STAGGER ? 3 : ATTRIBUTES; }

static void train(struct bayes *b, enum learner_stream kind, const struct record *record) {
    int class = record->class;
    double n = ++b->n[class];
    for (int i = 0; i < attributes(kind); i++) {
        double x = record->x[i], off = x - b->mean[class][i];
        if (is_named(kind, i)) {
            b->count[class][i][(int)x]++;
            if (b->named[class][i] <= (int)x) b->named[class][i] = (int)x + 1;
            continue;
        }
        b->mean[class][i] += off / n;
        b->squares[class][i] += off * (x - b->mean[class][i]);
    }
}

static double likelihood(const struct bayes *b, enum learner_stream kind, const struct record *record, int class) {
    double n = b->n[class], p = n / (b->n[0] + b->n[1]);
    if (n == 0) return 0;
    for (int i = 0; i < attributes(kind); i++) {
        double x = record->x[i], off = x - b->mean[class][i];
        double variance = n > 1 ? b->squares[class][i] / (n - 1) : 0;
        if (is_named(kind, i))
            p *= (b->count[class][i][(int)x] + 1) / (n + b->named[class][i]);
        else if (variance > 0)
            p *= exp(-off * off / (2 * variance)) / sqrt(2 * M_PI * variance);
        else
            p *= off == 0;
    }
    return p;
}

static int predict(const struct bayes *b, enum learner_stream kind, const struct record *record) {
    return likelihood(b, kind, record, 1) > likelihood(b, kind, record, 0);
}

/* --- the watched learner --- */

/* A second learner is trained from the warning on, and takes over at the alarm. */
struct watched {
    struct bayes learner, next;
    bool calm; /* no warning just before: the second one begins anew */
};

static void learn(struct watched *w, enum learner_stream kind, const struct record *record,
                  enum ta_detector_verdict verdict) {
    if (verdict == TA_DETECTOR_OK) w->calm = true;
    if (verdict == TA_DETECTOR_WARNING) {
        if (w->calm) memset(&w->next, 0, sizeof w->next);
        w->calm = false;
        train(&w->next, kind, record);
    }
    if (verdict == TA_DETECTOR_DRIFT) {
        w->learner = w->next;
        memset(&w->next, 0, sizeof w->next);
    }
    train(&w->learner, kind, record);
}

struct learner_score learner_run(struct ta_detector *d, enum learner_stream kind, unsigned width, uint64_t seed) {
    struct source source = {.kind = kind, .width = width};
    for (int i = 0; i < CONCEPTS; i++) source.generator[i] = java_make(seed);
    for (int i = 0; i < CONCEPTS - 1; i++) source.gate[i] = java_make(1);
    struct watched watched = {.calm = false};
    struct learner_score score = {0, 0, 0, 0};
    int seen_in = 0, seen = 0; /* the last part of the stream with an alarm (the first has nothing to find); how many */
    int soon = kind == AGRAWAL ? 10000 : PERIOD;
    ta_detector_reset(d);
    for (int i = 0; i < RECORDS; i++) {
        struct record record;
        next_record(&source, &record);
        bool wrong = predict(&watched.learner, kind, &record) != record.class;
        score.accuracy += !wrong / (double)RECORDS;
        enum ta_detector_verdict verdict = ta_detector_update(d, wrong);
        learn(&watched, kind, &record, verdict);
        if (verdict != TA_DETECTOR_DRIFT) continue;
        bool first = i / PERIOD != seen_in, true_alarm = first && i % PERIOD < soon;
        score.found += true_alarm;
        score.false_alarms += !true_alarm;
        if (!first) continue;
        seen_in = i / PERIOD;
        seen++;
        score.delay += i % PERIOD;
    }
    score.delay = seen > 0 ? score.delay / seen : NAN;
    return score;
}
