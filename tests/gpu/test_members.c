/* The CUDA make's members for parameters and rows, called as an exchange and an optimizer call them: one behind the
 * other, without a wait between, on two streams. To the bit of the CPU's. */
#include "flat_device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build_net.h"
#include "expect.h"
#include "gpu_cuda.h"
#include "kernels.h"
#include "rng.h"

extern const struct ta_kernels_ops ta_kernels_cuda;

struct pair {
    float *host, *device;
};

struct world {
    struct ta_gpu *gpu;
    struct ta_kernels *k;
    struct pair all[16];
    unsigned n;
};

static void world_open(struct world *o) {
    *o = (struct world){0};
    assert_ok(ta_gpu_cuda.open(0, &o->gpu));
    const struct ta_kernels_config config = {.gpu_ops = &ta_gpu_cuda, .gpu = o->gpu};
    assert_ok(ta_kernels_cuda.open(&config, &o->k));
}

static void world_close(struct world *o) {
    while (o->n > 0) {
        ta_kernels_cuda.free(o->k, o->all[--o->n].device);
        free(o->all[o->n].host);
    }
    ta_kernels_cuda.close(o->k);
    ta_gpu_cuda.close(o->gpu);
}

/* The same numbers on both sides. */
static struct pair pair_of(struct world *o, size_t n, float least, float most) {
    struct pair p = {.host = malloc(n * sizeof(float))};
    assert_non_null(p.host);
    test_fill(n, 1 + o->n, least, most, p.host);
    assert_ok(ta_kernels_cuda.alloc(o->k, n * sizeof(float), "a test", (void **)&p.device));
    assert_ok(ta_kernels_cuda.copy_in(o->k, p.device, p.host, n * sizeof(float)));
    return o->all[o->n++] = p;
}

static void compare(struct world *o, struct pair p, size_t n) {
    float *got = malloc(n * sizeof *got);
    assert_ok(ta_kernels_cuda.copy_out(o->k, got, p.device, n * sizeof *got));
    assert_memory_equal(got, p.host, n * sizeof *got);
    free(got);
}

enum { N = 5003, ROUNDS = 6 };

/* Compensate, update, sum, mean, moving: each reads what the one before has written. */
static void test_rounds(void **state) {
    (void)state;
    struct world o;
    world_open(&o);
    struct pair grad = pair_of(&o, N, -1, 1), w = pair_of(&o, N, -1, 1), basis = pair_of(&o, N, -1, 1);
    struct pair m = pair_of(&o, N, -1, 1), v = pair_of(&o, N, 0, 1), delta = pair_of(&o, N, -1, 1);
    struct pair w0 = pair_of(&o, N, -1, 1), inbox = pair_of(&o, N, -1, 1), mean = pair_of(&o, N, -1, 1);
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        struct ta_update how = {.kind = (enum ta_optimizer_kind)(i % 4), .step = i, .rate = .1F, .scale = .5F};
        how.grad_scale = 1, how.momentum = .9F, how.beta1 = .9F, how.beta2 = .99F, how.epsilon = 1e-6F;
        const float *registers[] = {delta.device, inbox.device, delta.device};
        const float *on_host[] = {delta.host, inbox.host, delta.host};
        const struct ta_kernels_ops *ops = &ta_kernels_cuda, *cpu = &ta_kernels_cpu;
        assert_ok(ops->compensate(o.k, N, .3F, w.device, basis.device, grad.device));
        assert_ok(ops->update(o.k, &how, N, grad.device, w.device, m.device, v.device, delta.device));
        assert_ok(ops->sum(o.k, N, w.device, w0.device, registers, 3));
        assert_ok(ops->mean(o.k, N, mean.device, registers, 2));
        assert_ok(ops->moving(o.k, N, .9F, w.device, basis.device));
        assert_ok(cpu->compensate(NULL, N, .3F, w.host, basis.host, grad.host));
        assert_ok(cpu->update(NULL, &how, N, grad.host, w.host, m.host, v.host, delta.host));
        assert_ok(cpu->sum(NULL, N, w.host, w0.host, on_host, 3));
        assert_ok(cpu->mean(NULL, N, mean.host, on_host, 2));
        assert_ok(cpu->moving(NULL, N, .9F, w.host, basis.host));
    }
    double got, want;
    assert_ok(ta_kernels_cuda.grad_norm2(o.k, N, grad.device, &got));
    assert_ok(ta_kernels_cpu.grad_norm2(NULL, N, grad.host, &want));
    assert_true(fabs(got - want) <= 1e-12 * want);
    for (unsigned i = 0; i < o.n; i++) compare(&o, o.all[i], N);
    world_close(&o);
}

static void test_refusals(void **state) {
    (void)state;
    struct world o;
    world_open(&o);
    struct pair p = pair_of(&o, 64, -1, 1);
    struct ta_update how = {.kind = TA_ADAM, .step = 1, .rate = 1, .scale = 1, .grad_scale = 1};
    assert_fails(TA_INVALID, "needs state",
                 ta_kernels_cuda.update(o.k, &how, 64, p.device, p.device, NULL, p.device, p.device));
    assert_fails(TA_INVALID, "the mean of no registers", ta_kernels_cuda.mean(o.k, 64, p.device, NULL, 0));
    const float *many[TA_FLAT_ROW_REGISTERS + 1] = {0};
    const struct ta_table table = {0, 4, 8, 8, 0};
    assert_fails(TA_CONFIG, "257 registers",
                 ta_kernels_cuda.rows_sum(o.k, &table, 1, NULL, 0, p.device, NULL, many, TA_FLAT_ROW_REGISTERS + 1));
    world_close(&o);
}

/* Lists longer than the ring that they are copied through, which may be overwritten when a call returns. */
static void test_long_lists(void **state) {
    (void)state;
    enum { ROWS = 300, LISTED = 290000 };
    struct world o;
    world_open(&o);
    const struct ta_table table = {16, ROWS, 3, 8, .5F};
    const size_t n = 16 + (size_t)ROWS * 8;
    struct pair w = pair_of(&o, n, -1, 1), base = pair_of(&o, n, -1, 1), delta = pair_of(&o, n, -1, 1);
    const float *registers[] = {delta.device}, *on_host[] = {delta.host};
    uint32_t *rows = malloc(LISTED * sizeof *rows);
    struct ta_rng rng = ta_rng_make(5, 5);
    for (size_t i = 0; i < LISTED; i++) rows[i] = i < LISTED - 200 ? 0 : ta_rng_below(&rng, ROWS);
    assert_ok(ta_kernels_cpu.rows_sum(NULL, &table, 9, rows, LISTED, w.host, NULL, on_host, 1));
    assert_ok(ta_kernels_cuda.rows_sum(o.k, &table, 9, rows, LISTED, w.device, NULL, registers, 1));
    for (uint32_t i = 0; i < 40; i++) rows[i] = i;
    assert_ok(ta_kernels_cpu.rows_fold(NULL, &table, rows, 40, w.host, base.host, delta.host));
    assert_ok(ta_kernels_cuda.rows_fold(o.k, &table, rows, 40, w.device, base.device, delta.device));
    memset(rows, 0, 40 * sizeof *rows);
    assert_ok(ta_kernels_cpu.rows_pick(NULL, &table, NULL, 0, w.host, base.host, on_host, 1));
    assert_ok(ta_kernels_cuda.rows_pick(o.k, &table, NULL, 0, w.device, base.device, registers, 1));
    compare(&o, w, n);
    compare(&o, base, n);
    compare(&o, delta, n);
    free(rows);
    world_close(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_long_lists),
    };
    return test_in_orders(tests, sizeof tests / sizeof tests[0]);
}
