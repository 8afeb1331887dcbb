/* What a peer may write, cut into registrations, against a list of every byte. */
#include "expect.h"
#include "rights.h"
#include "rng.h"

enum { BYTES = 400, FAR_BASE = 1 << 20, BASE = 1 << 10 };

static uint64_t address_of(const struct ta_window_far *far, uint64_t offset) {
    for (unsigned i = 0; i < far->n; i++) {
        uint64_t first = far->first + i * far->stride;
        if (offset >= first && offset < first + far->bytes) return FAR_BASE + i * ta_far_pitch(far) + (offset - first);
    }
    return BASE + offset;
}

static void every_byte_is_once_in_a_right(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(2, 2);
    unsigned cuts = 0, too_many = 0;
    for (unsigned turn = 0; turn < 20000; turn++) {
        struct ta_window_far far = {.first = ta_rng_below(&rng, 60), .bytes = 1 + ta_rng_below(&rng, 40),
                                    .n = ta_rng_below(&rng, 4)};
        far.stride = far.bytes + ta_rng_below(&rng, 20);
        const struct ta_verbs_ground ground = {BASE, FAR_BASE, BYTES, far};
        struct ta_grants grants = {.n = ta_rng_below(&rng, 3)};
        uint64_t at = 0;
        unsigned char granted[BYTES] = {0}, held[BYTES] = {0};
        for (unsigned i = 0; i < grants.n; i++) {
            grants.range[i].offset = at + ta_rng_below(&rng, 50);
            grants.range[i].bytes = ta_rng_below(&rng, 100);
            at = grants.range[i].offset + grants.range[i].bytes;
            memset(granted + grants.range[i].offset, 1, grants.range[i].bytes);
        }
        if (grants.n == 0) memset(granted, 1, BYTES);
        struct ta_verbs_right rights[TA_VERBS_RIGHTS];
        unsigned n;
        if (!ta_verbs_rights_cut(&ground, &grants, rights, &n)) {
            assert_true(far.n > 0);
            too_many++;
            continue;
        }
        for (unsigned i = 0; i < n; i++) {
            cuts += rights[i].far;
            for (uint64_t b = 0; b < rights[i].range.bytes; b++) {
                uint64_t offset = rights[i].range.offset + b;
                held[offset]++;
                assert_true(rights[i].address + b == address_of(&far, offset));
                assert_int_equal(rights[i].far, address_of(&far, offset) >= FAR_BASE);
            }
        }
        assert_memory_equal(granted, held, BYTES);
        if (far.n == 0) assert_int_equal(n, grants.n > 0 ? grants.n : 1);
    }
    assert_true(cuts > 1000 && too_many > 100);
}

/* What the exchange grants fits: a control, and a body with what lies behind it. */
static void an_inbox_is_three_rights(void **state) {
    (void)state;
    const struct ta_window_far far = {.first = 256, .stride = 1088, .bytes = 1020, .n = 3};
    const struct ta_verbs_ground ground = {BASE, FAR_BASE, 256 + 3 * 1088, far};
    const struct ta_grants grants = {.n = 2, .range = {{128, 64}, {256 + 1088, 1088}}};
    struct ta_verbs_right rights[TA_VERBS_RIGHTS];
    unsigned n;
    assert_true(ta_verbs_rights_cut(&ground, &grants, rights, &n));
    assert_int_equal(n, 3);
    assert_true(!rights[0].far && rights[1].far && !rights[2].far);
    assert_int_equal(rights[1].address, FAR_BASE + 1024);
    assert_int_equal(rights[2].range.bytes, 68);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_byte_is_once_in_a_right),
                                       cmocka_unit_test(an_inbox_is_three_rights)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
