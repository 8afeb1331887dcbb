/* The loops of a window in every build that this CPU can run: against doubles, against finite differences. */
#include <math.h>

#include "build_net.h"
#include "expect.h"
#include "rng.h"
#include "skipgram_builds.h"
#include "skipgram_reference.h"

enum { WIDEST_ROW = 160, STRIDE = 176, ROWS = TA_LOOPS_IN + TA_LOOPS_OUT };

/* A step on random rows, in floats and in doubles. With twins, contexts may be the same row. */
struct both {
    struct ta_loops_step step;
    struct test_step right;
    _Alignas(64) float row[ROWS][STRIDE];
    double row_right[ROWS][STRIDE];
    float label[TA_LOOPS_ROOM], scale[TA_LOOPS_ROOM];
};

static void make_both(struct both *b, struct ta_rng *rng, float reach, bool twins) {
    *b = (struct both){0};
    struct ta_loops_step *s = &b->step;
    struct test_step *r = &b->right;
    s->width = r->width = 1 + ta_rng_below(rng, WIDEST_ROW);
    s->n_in = r->n_in = 1 + ta_rng_below(rng, TA_LOOPS_IN);
    s->n_out = r->n_out = 1 + ta_rng_below(rng, TA_LOOPS_OUT);
    r->rate = (double)(float)(.1 * ta_rng_uniform(rng));
    for (uint32_t i = 0; i < ROWS; i++) {
        test_fill(s->width, ta_rng_u32(rng), -reach, reach, b->row[i]);
        for (uint32_t c = 0; c < STRIDE; c++) b->row_right[i][c] = (double)b->row[i][c];
    }
    for (uint32_t i = 0; i < s->n_in; i++) {
        uint32_t row = twins ? ta_rng_below(rng, s->n_in) : i;
        s->in[i] = b->row[row];
        r->in[i] = b->row_right[row];
    }
    for (uint32_t o = 0; o < s->n_out; o++) {
        s->out[o] = b->row[TA_LOOPS_IN + o];
        r->out[o] = b->row_right[TA_LOOPS_IN + o];
        r->weight[o] = 1 + ta_rng_below(rng, 3);
    }
    for (uint32_t p = 0; p < s->n_in * s->n_out; p++) {
        b->label[p] = ta_rng_below(rng, 2) == 0 ? (float)ta_rng_below(rng, 2) : (float)ta_rng_uniform(rng);
        b->scale[p] = (float)(r->rate * r->weight[p % s->n_out]);
        r->label[p] = (double)b->label[p];
    }
    s->label = b->label;
    s->scale = b->scale;
}

static void test_step_is_right(void **state) {
    (void)state;
    static struct both b;
    for (unsigned build = 0; build < TEST_BUILDS; build++) {
        const struct ta_skipgram_loops *loops = test_build(build);
        if (loops == NULL) continue;
        struct ta_rng rng = ta_rng_make(5, 1);
        for (int trial = 0; trial < 600; trial++) {
            make_both(&b, &rng, trial % 4 == 0 ? 4 : .5F, trial % 2 == 1);
            loops->step(&b.step);
            test_step_run(&b.right);
            double worst = 0;
            for (uint32_t i = 0; i < ROWS; i++) {
                for (uint32_t c = 0; c < STRIDE; c++)
                    worst = fmax(worst, fabs((double)b.row[i][c] - b.row_right[i][c]));
            }
            if (!(worst < 2e-5)) fail_msg("%s, trial %d: off by %g", loops->name, trial, worst);
        }
    }
}

/* The sigmoid at both ends, where it is clamped, and of what is not a number. */
static void test_scores(void **state) {
    (void)state;
    static struct both b;
    for (unsigned build = 0; build < TEST_BUILDS; build++) {
        const struct ta_skipgram_loops *loops = test_build(build);
        if (loops == NULL) continue;
        struct ta_rng rng = ta_rng_make(6, 1);
        for (int i = -700; i <= 702; i++) {
            make_both(&b, &rng, 0, false);
            b.step.width = b.step.n_in = b.step.n_out = 1;
            b.row[0][0] = 1;
            double x = i == 701 ? 1e30 : i == 702 ? -1e30 : i * .05;
            b.row[TA_LOOPS_IN][0] = (float)x;
            loops->step(&b.step);
            double p = 1 / (1 + exp(-fmax(-30, fmin(30, (double)(float)x)))), off = fabs((double)b.step.score[0] - p);
            if (!(off <= (4e-7 + 2e-7 * fmin(30, fabs(x))) * p))
                fail_msg("%s: sigmoid(%g) is %g, not %g", loops->name, x, (double)b.step.score[0], p);
        }
        b.row[0][0] = NAN;
        loops->step(&b.step);
        assert_true(isnan(b.step.score[0]));
    }
}

/* What a step adds is minus the rate times the gradient of its loss. */
static void test_finite_difference(void **state) {
    (void)state;
    static struct both b;
    for (unsigned build = 0; build < TEST_BUILDS; build++) {
        const struct ta_skipgram_loops *loops = test_build(build);
        if (loops == NULL) continue;
        struct ta_rng rng = ta_rng_make(7, 1);
        for (int trial = 0; trial < 10; trial++) {
            make_both(&b, &rng, .5F, false);
            loops->step(&b.step);
            for (uint32_t row = 0; row < b.step.n_in + b.step.n_out; row++) {
                bool in = row < b.step.n_in;
                uint32_t column = ta_rng_below(&rng, b.step.width);
                double *at = (in ? b.right.in[row] : b.right.out[row - b.step.n_in]) + column, was = *at;
                *at = was + 1e-5;
                double more = test_step_loss(&b.right);
                *at = was - 1e-5;
                double slope = (more - test_step_loss(&b.right)) / 2e-5;
                *at = was;
                double now = (double)(in ? b.step.in[row] : b.step.out[row - b.step.n_in])[column];
                /* Contexts move the targets one after the other: they differ by nothing where contexts are not twins.
                 */
                double off = fabs(now - was + b.right.rate * slope);
                if (!(off < 1e-5)) fail_msg("%s: %g, not %g", loops->name, now - was, -b.right.rate * slope);
            }
        }
    }
}

static void test_rows(void **state) {
    (void)state;
    static struct both b;
    for (unsigned build = 0; build < TEST_BUILDS; build++) {
        const struct ta_skipgram_loops *loops = test_build(build);
        if (loops == NULL) continue;
        struct ta_rng rng = ta_rng_make(8, 1);
        for (int trial = 0; trial < 100; trial++) {
            make_both(&b, &rng, .5F, true);
            uint32_t width = b.step.width, n = b.step.n_in, whole = (width + 7) / 8 * 8;
            _Alignas(64) float mean[STRIDE] = {0}, now[STRIDE], table[STRIDE];
            loops->mean(width, n, b.step.in, mean);
            for (uint32_t c = 0; c < width; c++) {
                double right = 0;
                for (uint32_t i = 0; i < n; i++) right += (double)b.step.in[i][c] / n;
                assert_true(fabs((double)mean[c] - right) < 1e-5);
            }
            memcpy(now, mean, sizeof now);
            for (uint32_t c = 0; c < width; c++) now[c] += .25F;
            loops->spread(width, n, b.step.in, mean, now);
            for (uint32_t i = 0; i < n; i++) b.right.in[i][0] += (double)(now[0] - mean[0]);
            for (uint32_t i = 0; i < n; i++) assert_true(fabs((double)b.step.in[i][0] - b.right.in[i][0]) < 1e-5);

            test_fill(STRIDE, 3, -1, 1, table);
            memcpy(mean, table, sizeof mean);
            loops->copy(whole, b.row[0], table);
            for (uint32_t c = 0; c < STRIDE; c++) assert_true(table[c] == (c < whole ? b.row[0][c] : mean[c]));
        }
    }
}

int main(void) {
    for (unsigned i = 0; i < TEST_BUILDS; i++) {
        if (test_build(i) == NULL) printf("not on this CPU: %s\n", test_builds[i]->name);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_step_is_right), cmocka_unit_test(test_scores),
                                       cmocka_unit_test(test_finite_difference), cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
