/* inject: every type of change against its definition, when it holds, the truth beside it, and what is refused. */
#include "expect.h"

#include <math.h>

#include "fake.h"
#include "inject.h"
#include "rng.h"
#include "stream_file.h"

enum { N = 400, C = 6 };

struct records {
    float x[N][C];
    int32_t class[N];
};

/* The fake stream: x[0] = record, class = record mod 10; the other features are 0. */
static struct fake_stream fake;

static struct ta_stream *open_changed(const struct ta_inject_change *changes, unsigned n) {
    struct ta_stream *s;
    fake_open(&fake, &(struct fake_options){.records = N, .c = C, .bad_record = UINT64_MAX});
    assert_ok(ta_inject_open(&fake.base, changes, n, &s));
    return s;
}

static void read_all(struct ta_stream *s, size_t piece, struct records *out) {
    memset(out, 0, sizeof *out);
    for (size_t at = 0; at < N; at += piece) {
        size_t n = N - at < piece ? N - at : piece;
        struct ta_stream_block block = {.x = out->x[at], .class = out->class + at};
        assert_ok(s->ops->read(s, at, n, &block));
    }
}

/* Reads in pieces, one by one backwards, and features or labels alone: always the same bytes. */
static void read_every_way(struct ta_stream *s, struct records *out) {
    static struct records again;
    read_all(s, 64, out);
    for (size_t piece = 1; piece <= N; piece *= 3) {
        read_all(s, piece, &again);
        assert_memory_equal(&again, out, sizeof again);
    }
    for (size_t i = N; i-- > 0;) {
        float x[C] = {0};
        int32_t class;
        assert_ok(s->ops->read(s, i, 1, &(struct ta_stream_block){.x = x}));
        assert_ok(s->ops->read(s, i, 1, &(struct ta_stream_block){.class = &class}));
        assert_memory_equal(x, out->x[i], sizeof x);
        assert_int_equal(class, out->class[i]);
    }
}

static int32_t swapped(int32_t class, int32_t a, int32_t b) { return class == a ? b : class == b ? a : class; }

static void labels_change_places(void **state) {
    (void)state;
    static struct records got;
    uint32_t first[] = {3, 7}, second[] = {7, 0};
    const struct ta_inject_change changes[] = {
        {.type = TA_INJECT_SWAP, .at = 100, .classes = first, .classes_count = 2},
        {.type = TA_INJECT_ROTATE, .at = 200, .by = 4},
        {.type = TA_INJECT_SWAP, .at = 300, .classes = second, .classes_count = 2},
        {.type = TA_INJECT_KNOWN, .at = 320, .width = 20},
    };
    struct ta_stream *s = open_changed(changes, 4);
    assert_true(s->info.checksum == 0 && strstr(s->info.origin, "4 injected changes") != NULL);
    read_every_way(s, &got);
    for (int32_t i = 0; i < N; i++) {
        int32_t class = i % 10;
        if (i >= 100) class = swapped(class, 3, 7);
        if (i >= 200) class = (class + 4) % 10;
        if (i >= 300) class = swapped(class, 7, 0);
        assert_int_equal(got.class[i], class);
        assert_true(got.x[i][0] == (float)i);
    }
    ta_stream_close(s);
}

static void features_move(void **state) {
    (void)state;
    static struct records got;
    uint32_t range[] = {0, 2};
    const struct ta_inject_change changes[] = {
        {.type = TA_INJECT_SHIFT, .at = 50, .every = 100, .amount = .5, .features = range, .features_count = 2},
        {.type = TA_INJECT_PERMUTE, .at = 200},
    };
    struct ta_stream *s = open_changed(changes, 2);
    read_every_way(s, &got);
    int from = -1; /* where feature 0 has gone */
    for (int f = 0; f < C; f++)
        if (got.x[200][f] >= 200) from = f;
    assert_true(from > 0);
    for (int i = 0; i < N; i++) {
        float more = i >= 50 && (i - 50) / 100 % 2 == 0 ? .5f : 0, sum = 0;
        assert_true(got.x[i][i < 200 ? 0 : from] == (float)i + more);
        for (int f = 0; f < C; f++) sum += got.x[i][f];
        assert_true(sum == (float)i + 3 * more);
        assert_int_equal(got.class[i], i % 10);
    }
    ta_stream_close(s);
}

/* A wide change: none before, all after, in between as many as the ramp says (within six standard deviations). */
static void a_ramp_is_a_ramp(void **state) {
    (void)state;
    static struct records got;
    double off = 0, variance = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        const struct ta_inject_change change = {.type = TA_INJECT_ROTATE, .at = 100, .width = 200, .seed = seed};
        struct ta_stream *s = open_changed(&change, 1);
        read_every_way(s, &got);
        for (int i = 0; i < N; i++) {
            int turned = got.class[i] != i % 10;
            double chance = (i - 100 + .5) / 200;
            if (i < 100 || i >= 300) assert_int_equal(turned, i >= 300);
            else off += turned - chance, variance += chance * (1 - chance);
        }
        ta_stream_close(s);
    }
    assert_true(fabs(off) < 6 * sqrt(variance));
}

static void another_stream_takes_over(void **state) {
    (void)state;
    char directory[64], a[128], b[128];
    scratch_open(directory);
    snprintf(a, sizeof a, "%s/a.h5", directory);
    snprintf(b, sizeof b, "%s/b.h5", directory);
    struct file_spec spec = file_good();
    file_write(a, &spec);
    spec.x.modulus = 13;
    spec.y.modulus = 3;
    file_write(b, &spec);
    struct ta_stream *inner, *other, *s;
    struct ta_inject_change change = {.type = TA_INJECT_MIX, .at = 4, .file = b};
    assert_ok(ta_stream_hdf5_open(a, &inner));
    assert_ok(ta_stream_hdf5_open(b, &other));
    size_t bytes = ta_stream_x_bytes(&inner->info);
    assert_ok(ta_inject_open(inner, &change, 1, &s));
    for (uint64_t i = 0; i < s->info.records; i++) {
        unsigned char got[64], wanted[64];
        int32_t class, right;
        assert_ok(s->ops->read(s, i, 1, &(struct ta_stream_block){.x = got, .class = &class}));
        struct ta_stream *from = i < 4 ? inner : other;
        assert_ok(from->ops->read(from, i, 1, &(struct ta_stream_block){.x = wanted, .class = &right}));
        assert_memory_equal(got, wanted, bytes);
        assert_int_equal(class, right);
    }
    ta_stream_close(s);
    ta_stream_close(other);
    spec.classes = 4; /* not alike */
    file_write(b, &spec);
    assert_ok(ta_stream_hdf5_open(a, &inner));
    assert_fails(TA_CONFIG, "both must be alike", ta_inject_open(inner, &change, 1, &s));
    change.file = a;
    change.type = TA_INJECT_SHIFT; /* bytes keep their range */
    change.at = 0;
    change.amount = 1000;
    assert_ok(ta_stream_hdf5_open(a, &inner));
    assert_ok(ta_inject_open(inner, &change, 1, &s));
    unsigned char x[64];
    assert_ok(s->ops->read(s, 0, 1, &(struct ta_stream_block){.x = x}));
    for (size_t i = 0; i < bytes; i++) assert_int_equal(x[i], 255);
    ta_stream_close(s);
    scratch_close(directory);
}

static void the_truth_is_told(void **state) {
    (void)state;
    const struct ta_inject_change changes[] = {
        {.type = TA_INJECT_ROTATE, .at = 50, .every = 100, .width = 10},
        {.type = TA_INJECT_PERMUTE, .at = 150},
        {.type = TA_INJECT_PERMUTE, .at = 1000},
    };
    static const struct ta_inject_truth wanted[] = {
        {50, 10, 0, 1}, {150, 10, 0, 0}, {150, 0, 1, 1}, {250, 10, 0, 1}, {350, 10, 0, 0}};
    struct ta_inject_truth got[8];
    assert_int_equal(ta_inject_truth(changes, 3, 400, got, 8), 5);
    for (unsigned i = 0; i < 5; i++)
        assert_true(got[i].record == wanted[i].record && got[i].width == wanted[i].width &&
                    got[i].change == wanted[i].change && got[i].begins == wanted[i].begins);
    assert_int_equal(ta_inject_truth(changes, 3, 350, got, 8), 4);
    assert_int_equal(ta_inject_truth(changes, 3, 400, got, 2), 5);
    assert_int_equal(ta_inject_truth(changes, 3, 0, got, 8), 0);
    assert_true(ta_inject_truth(changes, 1, UINT64_MAX, NULL, 0) > UINT32_MAX);
}

static void refuse(const char *part, const struct ta_inject_change *change, bool values) {
    struct ta_stream *s;
    fake_open(&fake, &(struct fake_options){.records = N, .c = C, .bad_record = UINT64_MAX, .values = values});
    assert_fails(TA_CONFIG, part, ta_inject_open(&fake.base, change, 1, &s));
    assert_null(s);
}

static void nonsense_is_refused(void **state) {
    (void)state;
    uint32_t same[] = {3, 3}, high[] = {3, 10}, backwards[] = {4, 2}, beyond[] = {0, C};
    const struct ta_inject_change bad[] = {
        {.type = TA_INJECT_SWAP},
        {.type = TA_INJECT_SWAP, .classes = same, .classes_count = 2},
        {.type = TA_INJECT_SWAP, .classes = high, .classes_count = 2},
        {.type = TA_INJECT_ROTATE, .by = 20},
        {.type = TA_INJECT_SHIFT},
        {.type = TA_INJECT_SHIFT, .amount = NAN},
        {.type = TA_INJECT_SHIFT, .amount = 1, .features = backwards, .features_count = 2},
        {.type = TA_INJECT_SHIFT, .amount = 1, .features = beyond, .features_count = 2},
        {.type = TA_INJECT_MIX},
        {.type = TA_INJECT_ROTATE, .every = 10, .width = 11},
        {.type = TA_INJECT_ROTATE, .at = UINT64_MAX},
        {.type = (enum ta_inject_type)77},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) refuse("inject_drift[0]", &bad[i], false);
    refuse("are not classes", &(struct ta_inject_change){.type = TA_INJECT_ROTATE}, true);
    const struct ta_inject_change good = {.type = TA_INJECT_PERMUTE};
    for (unsigned nth = 1; nth <= 4; nth++) {
        struct ta_stream *s;
        fake_open(&fake, &(struct fake_options){.records = N, .c = C, .bad_record = UINT64_MAX});
        ta_mem_fail_nth(nth);
        assert_int_equal(ta_inject_open(&fake.base, &good, 1, &s), TA_NO_MEMORY);
        ta_mem_fail_nth(0);
    }
    assert_int_equal(ta_mem_held_bytes(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_change_places),      cmocka_unit_test(features_move),
        cmocka_unit_test(a_ramp_is_a_ramp),          cmocka_unit_test(another_stream_takes_over),
        cmocka_unit_test(the_truth_is_told),         cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
