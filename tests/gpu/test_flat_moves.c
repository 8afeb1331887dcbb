/* Casts, packs and rows of kernels/cuda/flat.h. */
#include "flat_device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build_net.h"
#include "expect.h"
#include "kernels.h"
#include "rng.h"

static float *filled(size_t n, uint64_t seed, float least, float most) {
    float *x = malloc((n + 1) * sizeof *x);
    assert_non_null(x);
    test_fill(n, seed, least, most, x);
    return x;
}

/* Ties, what rounds up into infinity, subnormal and special numbers; and at every shift many plain ones. */
static void test_casts(void **state) {
    (void)state;
    const uint32_t hard[] = {0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001, 0x7f7fffff, 0xff7f8000, 0x00000001,
                             0x80008000, 0x7f800000, 0xff800000, 0x7fc00001, 0x7f800001, 0xffffffff, 0x00000000};
    for (size_t n = sizeof hard / 4; n < 3000; n = n * 5 + 2) {
        struct test_device d;
        test_device_open(&d);
        float *x = filled(n, n, -3, 3), *back = filled(n, 0, 0, 0);
        uint16_t *got = malloc(n * sizeof *got);
        memcpy(x, hard, sizeof hard);
        uint16_t *bits = test_room(&d, n * 2, n % 4 * 2);
        float *from = test_up(&d, x, n * sizeof *x, n % 3 * 4), *again = test_room(&d, n * sizeof *x, 0);
        assert_cuda(ta_flat_cast(d.stream, n, TA_FLAT_FLOAT, from, TA_FLAT_BF16, bits));
        assert_cuda(ta_flat_cast(d.stream, n, TA_FLAT_BF16, bits, TA_FLAT_FLOAT, again));
        assert_cuda(ta_flat_cast(d.stream, n, TA_FLAT_FLOAT, again, TA_FLAT_FLOAT, from));
        test_down(&d, got, bits, n * 2);
        test_down(&d, back, from, n * sizeof *back);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(got[i], test_bf16(x[i]));
            if (!isnan(x[i])) assert_true(back[i] == test_float(got[i]));
            assert_true(isnan(back[i]) == isnan(x[i]));
        }
        free(x);
        free(back);
        free(got);
        test_device_close(&d);
    }
}

/* --- packs --- */

static size_t place(const struct ta_flat_tensor *t, uint32_t tap, uint32_t in, uint32_t out) {
    size_t row = (size_t)tap * t->in_padded + in;
    return t->krsc ? (size_t)out * t->taps * t->in_padded + row : row * t->out + out;
}

static float packed_at(const struct ta_flat_tensor *t, const char *packed, size_t i) {
    const char *at = packed + t->packed + i * ta_flat_bytes(t->type);
    uint16_t bits;
    float x;
    if (t->type == TA_FLAT_FLOAT) {
        memcpy(&x, at, sizeof x);
        return x;
    }
    memcpy(&bits, at, sizeof bits);
    return test_float(bits);
}

static void check_packed(const struct ta_flat_tensor *t, const float *arena, const char *packed) {
    for (uint32_t tap = 0; tap < t->taps; tap++)
        for (uint32_t in = 0; in < t->in_padded; in++)
            for (uint32_t out = 0; out < t->out; out++) {
                float got = packed_at(t, packed, place(t, tap, in, out));
                float want = in < t->in ? arena[t->arena + ((size_t)tap * t->in + in) * t->out + out] : 0;
                if (t->type == TA_FLAT_BF16) want = test_float(test_bf16(want));
                assert_true(got == want);
            }
}

enum { TENSORS = 70, FLOATS = 400000 };

/* Tensors of all sorts, one behind another; returns the packed bytes. */
static size_t make_tensors(struct ta_flat_tensor *t, size_t *floats) {
    struct ta_rng rng = ta_rng_make(3, 3);
    size_t bytes = 0;
    *floats = 0;
    for (unsigned i = 0; i < TENSORS; i++) {
        uint32_t in = 1 + ta_rng_below(&rng, i % 8 == 0 ? 70 : 12);
        t[i] = (struct ta_flat_tensor){.arena = *floats,
                                       .packed = bytes,
                                       .taps = 1 + ta_rng_below(&rng, 9),
                                       .in = in,
                                       .in_padded = i % 3 == 0 ? (in + 7) / 8 * 8 : in,
                                       .out = i % 5 == 0 ? 1 : 1 + ta_rng_below(&rng, i % 8 == 0 ? 70 : 20),
                                       .krsc = i % 2 == 0,
                                       .type = i % 4 < 2 ? TA_FLAT_BF16 : TA_FLAT_FLOAT};
        if (i == 7) t[i].taps = 0; /* nothing in it */
        *floats += (size_t)t[i].taps * t[i].in * t[i].out + i % 3;
        bytes += ((size_t)t[i].taps * t[i].in_padded * t[i].out * ta_flat_bytes(t[i].type) + 15) / 16 * 16;
    }
    assert_true(*floats < FLOATS);
    return bytes;
}

static void test_packs(void **state) {
    (void)state;
    struct test_device d;
    struct ta_flat_tensor t[TENSORS], given[TENSORS];
    size_t floats, bytes = make_tensors(t, &floats);
    test_device_open(&d);
    float *arena = filled(floats, 5, -1, 1), *back = filled(floats, 0, 0, 0);
    char *packed = malloc(bytes);
    memcpy(given, t, sizeof t);
    for (unsigned i = 0; i < TENSORS; i++) {
        if (t[i].in == t[i].in_padded) given[i].in_padded = 0; /* the same */
    }
    float *from = test_up(&d, arena, floats * sizeof *arena, 0), *to = test_room(&d, floats * sizeof *arena, 0);
    void *device = test_room(&d, bytes, 0);
    assert_cuda(cudaMemsetAsync(to, 0, floats * sizeof *arena, d.stream));
    assert_cuda(ta_flat_pack(d.stream, given, TENSORS, from, device));
    assert_cuda(ta_flat_unpack(d.stream, given, TENSORS, device, to));
    test_down(&d, packed, device, bytes);
    test_down(&d, back, to, floats * sizeof *back);
    for (unsigned i = 0; i < TENSORS; i++) {
        check_packed(&t[i], arena, packed);
        for (size_t j = 0; j < (size_t)t[i].taps * t[i].in * t[i].out; j++) {
            float want = arena[t[i].arena + j];
            assert_true(back[t[i].arena + j] == (t[i].type == TA_FLAT_BF16 ? test_float(test_bf16(want)) : want));
        }
    }
    given[3].in = 4;
    given[3].in_padded = 3;
    assert_int_equal(ta_flat_pack(d.stream, given, TENSORS, from, device), cudaErrorInvalidValue);
    free(arena);
    free(back);
    free(packed);
    test_device_close(&d);
}

/* --- rows --- */

enum { ROWS = 50, SLACK = 32 };

struct rows_case {
    uint32_t width, stride;
    unsigned n_registers;
    bool listed, base;
    float range;
    size_t offset;
};

/* A table in arenas of its own, twice: for the CPU and for the device. */
struct rows_at {
    struct ta_table table;
    size_t floats;
    float *w, *base;
    const float *host[TA_FLAT_ROW_REGISTERS], *device[TA_FLAT_ROW_REGISTERS];
    float *w_device, *base_device;
    uint32_t rows[ROWS], *rows_device;
    size_t n_rows;
};

static void rows_make(struct test_device *d, const struct rows_case *c, struct rows_at *r) {
    *r = (struct rows_at){.table = {c->offset, ROWS, c->width, c->stride, c->range}};
    r->floats = c->offset + (size_t)ROWS * c->stride + SLACK;
    size_t bytes = r->floats * sizeof(float);
    r->w = filled(r->floats, 1, -1, 1);
    r->base = filled(r->floats, 2, -1, 1);
    r->w_device = test_up(d, r->w, bytes, 0);
    r->base_device = test_up(d, r->base, bytes, 0);
    float *all = filled(r->floats * (c->n_registers + 1), 3, -1, 1);
    for (size_t i = 0; i < c->n_registers * r->floats; i += 7) all[i] = 0; /* heads that say nothing, too */
    float *all_device = test_up(d, all, bytes * (c->n_registers + 1), 0);
    for (unsigned i = 0; i < c->n_registers; i++) {
        r->host[i] = all + i * r->floats;
        r->device[i] = all_device + i * r->floats;
    }
    r->host[c->n_registers] = all; /* to be freed */
    struct ta_rng rng = ta_rng_make(9, c->width);
    for (uint32_t i = 0; i < ROWS; i++) r->rows[i] = i;
    for (uint32_t i = 0; i < ROWS; i++) {
        uint32_t j = i + ta_rng_below(&rng, ROWS - i), was = r->rows[i];
        r->rows[i] = r->rows[j];
        r->rows[j] = was;
    }
    r->n_rows = 31;
    r->rows_device = test_up(d, r->rows, sizeof r->rows, 0);
}

static void rows_compare(struct test_device *d, struct rows_at *r, const float *want, const float *device) {
    float *got = filled(r->floats, 0, 0, 0);
    test_down(d, got, device, r->floats * sizeof *got);
    assert_memory_equal(got, want, r->floats * sizeof *got);
    free(got);
}

static void rows_free(struct rows_at *r) {
    free(r->w);
    free(r->base);
}

static void check_rows(const struct rows_case *c) {
    struct test_device d;
    struct rows_at r;
    test_device_open(&d);
    rows_make(&d, c, &r);
    const uint32_t *list = c->listed ? r.rows : NULL;
    const struct ta_flat_rows args = {.table = &r.table,
                                      .seed = 77,
                                      .rows = c->listed ? r.rows_device : NULL,
                                      .n_rows = r.n_rows,
                                      .base = c->base ? r.base_device : NULL,
                                      .registers = r.device,
                                      .n_registers = c->n_registers};
    assert_cuda(ta_flat_rows_sum(d.stream, &args, r.w_device));
    assert_ok(ta_kernels_cpu.rows_sum(NULL, &r.table, 77, list, r.n_rows, r.w, c->base ? r.base : NULL, r.host,
                                      c->n_registers));
    rows_compare(&d, &r, r.w, r.w_device);
    assert_cuda(ta_flat_rows_pick(d.stream, &args, r.w_device));
    assert_ok(ta_kernels_cpu.rows_pick(NULL, &r.table, list, r.n_rows, r.w, c->base ? r.base : NULL, r.host,
                                       c->n_registers));
    rows_compare(&d, &r, r.w, r.w_device);
    free((void *)(uintptr_t)r.host[c->n_registers > 0 ? 0 : c->n_registers]);
    rows_free(&r);
    test_device_close(&d);
}

static void test_rows(void **state) {
    (void)state;
    const struct rows_case cases[] = {
        {100, 104, 3, true, false, .25F, 16},     {100, 104, 3, false, true, .25F, 16}, {5, 8, 0, true, false, .25F, 0},
        {64, 64, 1, true, true, 0, 32},           {64, 72, 9, true, false, 0, 32},      {1, 8, 2, false, false, 1, 16},
        {300, 304, 70, true, false, .25F, 16},    {130, 136, 2, true, true, 0, 16},     {7, 9, 4, true, false, .5F, 3},
        {33, 40, 2, false, false, .25F, (size_t)16},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check_rows(&cases[i]);
}

static void test_too_many_registers(void **state) {
    (void)state;
    struct test_device d;
    test_device_open(&d);
    const struct ta_table table = {0, 4, 8, 8, 0};
    const struct ta_flat_rows args = {.table = &table, .n_registers = TA_FLAT_ROW_REGISTERS + 1};
    float *w = test_room(&d, 128, 0);
    assert_int_equal(ta_flat_rows_sum(d.stream, &args, w), cudaErrorInvalidValue);
    assert_int_equal(ta_flat_rows_pick(d.stream, &args, w), cudaErrorInvalidValue);
    test_device_close(&d);
}

/* Rows listed up to three times count once. */
static void test_fold(void **state) {
    (void)state;
    const uint32_t widths[] = {1, 8, 40, 100, 129};
    for (unsigned i = 0; i < 5; i++) {
        const uint32_t stride = (widths[i] + 7) / 8 * 8;
        const struct rows_case c = {widths[i], stride, 1, true, true, 0, 16};
        struct test_device d;
        struct rows_at r;
        test_device_open(&d);
        rows_make(&d, &c, &r);
        uint32_t twice[3 * ROWS];
        for (uint32_t j = 0; j < 3 * ROWS; j++) twice[j] = r.rows[j % r.n_rows];
        const struct ta_flat_rows args = {
            .table = &r.table, .rows = test_up(&d, twice, sizeof twice, 0), .n_rows = 3 * ROWS};
        float *delta = filled(r.floats, 6, -1, 1), *delta_device = test_up(&d, delta, r.floats * sizeof *delta, 0);
        assert_cuda(ta_flat_rows_fold(d.stream, &args, r.w_device, r.base_device, delta_device));
        assert_ok(ta_kernels_cpu.rows_fold(NULL, &r.table, twice, 3 * ROWS, r.w, r.base, delta));
        rows_compare(&d, &r, delta, delta_device);
        rows_compare(&d, &r, r.base, r.base_device);
        free(delta);
        free((void *)(uintptr_t)r.host[0]);
        rows_free(&r);
        test_device_close(&d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_casts), cmocka_unit_test(test_packs),
        cmocka_unit_test(test_rows),  cmocka_unit_test(test_too_many_registers),
        cmocka_unit_test(test_fold),
    };
    return test_in_orders(tests, sizeof tests / sizeof tests[0]);
}
