/* Sums, updates and norms of kernels/cuda/flat.h, to the bit of the CPU's where that is promised. */
#include "flat_device.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build_net.h"
#include "expect.h"
#include "kernels.h"

static float *filled(size_t n, uint64_t seed, float least, float most) {
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    test_fill(n, seed, least, most, x);
    return x;
}

enum { N = 2061, REGISTERS = 130 };

/* --- sums --- */

/* n registers of N floats that lie `shift` bytes behind 16; base in its own memory, or w itself. */
static void check_sum(unsigned n, size_t count, size_t shift, bool onto_base, bool mean) {
    struct test_device d;
    test_device_open(&d);
    float *base = filled(count, 7, -1, 1), *want = filled(count, 8, 0, 0), *got = filled(count, 9, 0, 0);
    float *all = filled((size_t)count * (n + 1), 10 + n, -1, 1);
    const float *host[REGISTERS], *device[REGISTERS];
    float *registers = test_up(&d, all, count * n * sizeof *all, shift);
    for (unsigned r = 0; r < n; r++) {
        /* Far apart in size, so that another order shows. */
        for (size_t i = 0; i < count; i++) all[r * count + i] *= ldexpf(1, (int)((r * 7 + i) % 23));
        host[r] = all + r * count;
    }
    assert_cuda(cudaMemcpyAsync(registers, all, count * n * sizeof *all, cudaMemcpyHostToDevice, d.stream));
    for (unsigned r = 0; r < n; r++) device[r] = registers + r * count;
    float *from = test_up(&d, base, count * sizeof *base, shift);
    float *w = onto_base ? from : test_room(&d, count * sizeof *base, shift);
    if (mean) {
        assert_ok(ta_kernels_cpu.mean(NULL, count, want, host, n));
        assert_cuda(ta_flat_mean(d.stream, count, w, device, n));
    } else {
        assert_ok(ta_kernels_cpu.sum(NULL, count, want, base, host, n));
        assert_cuda(ta_flat_sum(d.stream, count, w, from, device, n));
    }
    test_down(&d, got, w, count * sizeof *got);
    assert_memory_equal(got, want, count * sizeof *got);
    free(all);
    free(base);
    free(want);
    free(got);
    test_device_close(&d);
}

static void test_sums(void **state) {
    (void)state;
    for (unsigned n = 0; n <= 17; n++) {
        check_sum(n, 4 * 257, 0, n % 2 == 0, false); /* all in packs: every register at 16 */
        check_sum(n, N, n % 4 * 4, false, false);    /* registers at odd places */
        if (n > 0) check_sum(n, n % 2 ? N : 256, 0, false, true);
    }
    check_sum(64, 512, 0, true, false);
    check_sum(65, 512, 0, true, false);
    check_sum(REGISTERS, 300, 0, false, false);
    check_sum(REGISTERS, 300, 4, false, true);
    check_sum(3, 1, 0, false, false);
    check_sum(3, 4096 * 4 + 3, 0, true, false);
}

static void test_no_mean_of_nothing(void **state) {
    (void)state;
    struct test_device d;
    test_device_open(&d);
    float *w = test_room(&d, 64, 0);
    assert_int_equal(ta_flat_mean(d.stream, 16, w, NULL, 0), cudaErrorInvalidValue);
    assert_cuda(ta_flat_sum(d.stream, 16, w, w, NULL, 0)); /* nothing to do */
    test_device_close(&d);
}

/* --- updates --- */

struct arena {
    float *grad, *w, *m, *v, *delta;
};

static struct arena arena_of(size_t n) {
    return (struct arena){filled(n, 1, -2, 2), filled(n, 2, -1, 1), filled(n, 3, -1, 1), filled(n, 4, 0, 1),
                          filled(n, 5, -1, 1)};
}

static void arena_free(struct arena a) {
    float *all[] = {a.grad, a.w, a.m, a.v, a.delta};
    for (size_t i = 0; i < 5; i++) free(all[i]);
}

static struct ta_flat_arena arena_up(struct test_device *d, const struct arena *a, size_t n, size_t shift) {
    size_t bytes = n * sizeof(float);
    return (struct ta_flat_arena){test_up(d, a->grad, bytes, shift), test_up(d, a->w, bytes, shift),
                                  test_up(d, a->m, bytes, shift), test_up(d, a->v, bytes, shift),
                                  test_up(d, a->delta, bytes, shift)};
}

static void arena_compare(struct test_device *d, const struct ta_flat_arena *device, const struct arena *want,
                          size_t n) {
    float *got = filled(n, 0, 0, 0);
    const float *from[] = {device->m, device->v, device->delta}, *to[] = {want->m, want->v, want->delta};
    for (int i = 0; i < 3; i++) {
        test_down(d, got, from[i], n * sizeof *got);
        assert_memory_equal(got, to[i], n * sizeof *got);
    }
    free(got);
}

static struct ta_update update_number(unsigned i) {
    return (struct ta_update){.kind = (enum ta_optimizer_kind)(i % 4),
                              .step = 1 + i / 4,
                              .rate = .1F,
                              .scale = i & 4 ? .5F : 1,
                              .grad_scale = i & 8 ? .25F : 1,
                              .clip_value = i & 16 ? .7F : 0,
                              .weight_decay = i & 32 ? .1F : 0,
                              .momentum = .9F,
                              .beta1 = .9F,
                              .beta2 = .999F,
                              .epsilon = 1e-7F,
                              .nesterov = i & 4,
                              .decoupled = i & 8};
}

static void test_updates(void **state) {
    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        const size_t n = i % 3 == 0 ? N : 1 + 97 * i;
        struct test_device d;
        test_device_open(&d);
        struct arena a = arena_of(n);
        a.grad[0] = i % 8 == 0 ? NAN : INFINITY;
        struct ta_flat_arena device = arena_up(&d, &a, n, i % 5 == 0 ? 4 : 0);
        struct ta_update how = update_number(i);
        struct ta_flat_scalars scalars;
        ta_flat_scalars_of(&how, 0, &scalars);
        assert_cuda(ta_flat_update(d.stream, how.kind, &scalars, n, &device));
        assert_ok(ta_kernels_cpu.update(NULL, &how, n, a.grad, a.w, a.m, a.v, a.delta));
        float *got = filled(n, 0, 0, 0);
        test_down(&d, got, device.delta, n * sizeof *got);
        assert_true(isnan(got[0]) == isnan(a.delta[0]));
        if (!isnan(got[0])) assert_true(got[0] == a.delta[0]);
        assert_memory_equal(got + 1, a.delta + 1, (n - 1) * sizeof *got);
        test_down(&d, got, device.m, n * sizeof *got);
        assert_memory_equal(got + 1, a.m + 1, (n - 1) * sizeof *got);
        test_down(&d, got, device.v, n * sizeof *got);
        assert_memory_equal(got + 1, a.v + 1, (n - 1) * sizeof *got);
        free(got);
        arena_free(a);
        test_device_close(&d);
    }
}

/* --- the update of a whole step --- */

enum { RANGES = 100, STATISTICS = 98, ARENA = RANGES * 96 };

struct step {
    struct test_device d;
    struct arena a;
    struct ta_flat_arena device;
    struct ta_param trained[RANGES], statistics[STATISTICS];
    struct ta_flat_moving_range moving[STATISTICS];
    struct ta_flat_scalars *scalars;
    struct ta_flat_outcome *outcome;
    void *scratch;
};

/* Ranges of every length up to 60 and one that is long; statistics between them; gaps that must stay. */
static void step_begin(struct step *s) {
    test_device_open(&s->d);
    s->a = arena_of(ARENA);
    for (unsigned i = 0; i < RANGES; i++) s->trained[i] = (struct ta_param){96 * (size_t)i, i % 61};
    s->trained[RANGES - 1].count = 0;
    for (unsigned i = 0; i < STATISTICS; i++) {
        s->statistics[i] = (struct ta_param){96 * (size_t)i + 64, 1 + i % 30};
        s->moving[i] = (struct ta_flat_moving_range){s->statistics[i].offset, s->statistics[i].count,
                                                     .5F + .004F * (float)i};
    }
    s->device = arena_up(&s->d, &s->a, ARENA, 0);
    s->scalars = test_room(&s->d, sizeof *s->scalars, 0);
    s->outcome = test_room(&s->d, sizeof *s->outcome, 0);
    s->scratch = test_room(&s->d, TA_FLAT_NORM_SCRATCH, 0);
}

static void step_end(struct step *s) {
    arena_free(s->a);
    test_device_close(&s->d);
}

static struct ta_flat_outcome step_run(struct step *s, const struct ta_update *how, float clip_norm) {
    struct ta_flat_scalars scalars;
    ta_flat_scalars_of(how, clip_norm, &scalars);
    assert_cuda(cudaMemcpyAsync(s->scalars, &scalars, sizeof scalars, cudaMemcpyHostToDevice, s->d.stream));
    const struct ta_flat_norm norm = {.grad = s->device.grad,
                                      .trained = s->trained,
                                      .statistics = s->statistics,
                                      .n_trained = RANGES,
                                      .n_statistics = STATISTICS,
                                      .how = s->scalars,
                                      .scratch = s->scratch,
                                      .outcome = s->outcome};
    const struct ta_flat_ranges ranges = {.kind = how->kind,
                                          .how = s->scalars,
                                          .outcome = s->outcome,
                                          .trained = s->trained,
                                          .n_trained = RANGES,
                                          .arena = s->device};
    assert_cuda(ta_flat_norm2(s->d.stream, &norm));
    assert_cuda(ta_flat_update_ranges(s->d.stream, &ranges));
    assert_cuda(ta_flat_moving_ranges(s->d.stream, s->outcome, s->moving, STATISTICS, s->device.grad, s->device.delta));
    struct ta_flat_outcome outcome;
    test_down(&s->d, &outcome, s->outcome, sizeof outcome);
    return outcome;
}

/* The same by the CPU's calls, one after the other. */
static void step_on_cpu(struct step *s, struct ta_update how, float clip_norm, double norm2) {
    double norm = sqrt(norm2);
    how.grad_scale = clip_norm > 0 && norm > (double)clip_norm ? (float)((double)clip_norm / norm) : 1;
    for (unsigned i = 0; i < RANGES; i++) {
        size_t at = s->trained[i].offset;
        assert_ok(ta_kernels_cpu.update(NULL, &how, s->trained[i].count, s->a.grad + at, s->a.w + at, s->a.m + at,
                                        s->a.v + at, s->a.delta + at));
    }
    for (unsigned i = 0; i < STATISTICS; i++)
        assert_ok(ta_kernels_cpu.moving(NULL, s->moving[i].count, s->moving[i].momentum,
                                        s->a.grad + s->moving[i].offset, s->a.delta + s->moving[i].offset));
}

static void test_steps(void **state) {
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        struct step s;
        step_begin(&s);
        double want = 0;
        for (unsigned i = 0; i < RANGES; i++)
            for (size_t j = 0; j < s.trained[i].count; j++)
                want += pow((double)s.a.grad[s.trained[i].offset + j], 2);
        struct ta_update how = update_number(kind + 4 * 5);
        how.grad_scale = 77; /* not looked at */
        const float clip_norm = kind % 2 ? 2.5F : 0;
        struct ta_flat_outcome outcome = step_run(&s, &how, clip_norm);
        assert_true(outcome.finite == 1);
        assert_true(fabs(outcome.norm2 - want) < 1e-12 * want);
        step_on_cpu(&s, how, clip_norm, outcome.norm2);
        arena_compare(&s.d, &s.device, &s.a, ARENA);
        step_end(&s);
    }
}

/* A NaN or an infinity in a trained range or in a statistic: nothing moves. In a gap it is nobody's. */
static void test_not_finite(void **state) {
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct step s;
        step_begin(&s);
        const size_t at[] = {s.trained[60].offset + 59, s.statistics[STATISTICS - 1].offset, s.trained[1].offset, 62};
        const float bad[] = {NAN, INFINITY, -INFINITY, NAN};
        assert_cuda(cudaMemcpyAsync((float *)(uintptr_t)s.device.grad + at[i], bad + i, sizeof(float),
                                    cudaMemcpyHostToDevice, s.d.stream));
        struct ta_update how = update_number(2);
        struct ta_flat_outcome outcome = step_run(&s, &how, 1);
        assert_true(outcome.finite == (i == 3));
        if (i < 3) arena_compare(&s.d, &s.device, &s.a, ARENA);
        step_end(&s);
    }
}

static void test_norms(void **state) {
    (void)state;
    const size_t sizes[] = {0, 1, 1023, 1025, 70001};
    for (size_t i = 0; i < 5; i++) {
        struct test_device d;
        test_device_open(&d);
        float *x = filled(sizes[i] + 1, i, -1, 1);
        if (i == 4) x[5] = FLT_MAX; /* its square is beyond a float */
        const struct ta_param all = {.offset = 1, .count = sizes[i]};
        struct ta_flat_outcome *outcome = test_room(&d, sizeof *outcome, 0), got;
        const struct ta_flat_norm norm = {.grad = test_up(&d, x, (sizes[i] + 1) * sizeof *x, 0),
                                          .trained = &all,
                                          .n_trained = 1,
                                          .scratch = test_room(&d, TA_FLAT_NORM_SCRATCH, 0),
                                          .outcome = outcome};
        double want;
        assert_ok(ta_kernels_cpu.grad_norm2(NULL, sizes[i], x + 1, &want));
        assert_cuda(ta_flat_norm2(d.stream, &norm));
        test_down(&d, &got, outcome, sizeof got);
        assert_true(fabs(got.norm2 - want) <= 1e-12 * want);
        assert_true(got.finite == 1 && got.grad_scale == 1);
        free(x);
        test_device_close(&d);
    }
}

static void test_moving_and_compensate(void **state) {
    (void)state;
    for (size_t n = 1; n < 3000; n = n * 3 + 1) {
        struct test_device d;
        test_device_open(&d);
        struct arena a = arena_of(n);
        struct ta_flat_arena device = arena_up(&d, &a, n, 0);
        float *grad = (float *)(uintptr_t)device.grad, *got = filled(n, 0, 0, 0);
        assert_cuda(ta_flat_compensate(d.stream, n, .3F, device.w, device.m, grad));
        assert_cuda(ta_flat_moving(d.stream, n, .99F, grad, device.delta));
        assert_ok(ta_kernels_cpu.compensate(NULL, n, .3F, a.w, a.m, a.grad));
        assert_ok(ta_kernels_cpu.moving(NULL, n, .99F, a.grad, a.delta));
        test_down(&d, got, grad, n * sizeof *got);
        assert_memory_equal(got, a.grad, n * sizeof *got);
        test_down(&d, got, device.delta, n * sizeof *got);
        assert_memory_equal(got, a.delta, n * sizeof *got);
        free(got);
        arena_free(a);
        test_device_close(&d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),       cmocka_unit_test(test_no_mean_of_nothing),
        cmocka_unit_test(test_updates),    cmocka_unit_test(test_steps),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_norms),
        cmocka_unit_test(test_moving_and_compensate),
    };
    return test_in_orders(tests, sizeof tests / sizeof tests[0]);
}
