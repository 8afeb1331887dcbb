/* How ofi cuts a put into operations: all of it, nothing else, in order, within what the provider takes. */
#include "ofi/ofi.h"

#include "copy.h"
#include "expect.h"
#include "rng.h"

static struct ta_put_segment random_segment(struct ta_rng *rng, const unsigned char *source, uint32_t *rows) {
    struct ta_put_segment s = {.source = source + ta_rng_below(rng, 3) * 4};
    s.target_offset = ta_rng_below(rng, 4) * 4;
    s.bytes = ta_rng_below(rng, 4) == 0 ? ta_rng_below(rng, 9) * 8 : ta_rng_below(rng, 300);
    if (ta_rng_below(rng, 2) == 0) return s;
    s.rows = rows;
    s.n_rows = ta_rng_below(rng, 40);
    for (size_t i = 0; i < s.n_rows; i++)
        rows[i] = i > 0 && ta_rng_below(rng, 2) == 0 ? rows[i - 1] + 1 : ta_rng_below(rng, 50);
    return s;
}

/* Carries a piece out on `target`, as a provider would. */
static void carry_out(const struct ta_ofi_piece *piece, unsigned char *target) {
    for (unsigned i = 0; i < piece->n; i++)
        memcpy(target + piece->target[i].addr, piece->source[i].iov_base, piece->source[i].iov_len);
}

static void pieces_are_the_put(void **state) {
    (void)state;
    enum { ROUNDS = 3000, ROOM = 1 << 15 };
    struct ta_rng rng = ta_rng_make(4, 1);
    static unsigned char source[ROOM], got[ROOM], right[ROOM];
    static uint32_t rows[3][40];
    for (unsigned i = 0; i < ROOM; i++) source[i] = (unsigned char)ta_rng_u32(&rng);
    for (int round = 0; round < ROUNDS; round++) {
        struct ta_transport t = {.max_iovs = 1 + ta_rng_below(&rng, TA_OFI_IOVS),
                                 .max_op_bytes = round % 2 == 0 ? SIZE_MAX : 64 + ta_rng_below(&rng, 300)};
        struct ta_ofi_put put = {.n_segments = ta_rng_below(&rng, 4)};
        for (unsigned i = 0; i < put.n_segments; i++) {
            put.segments[i] = random_segment(&rng, source, rows[i]);
            put.targets[i] = (struct ta_ofi_target){.key = i, .address = put.segments[i].target_offset};
        }
        struct ta_ofi_cursor cursor = {.segment = 0};
        struct ta_ofi_piece piece = {.ends_put = false};
        bool any = false;
        memset(got, 0, ROOM);
        memset(right, 0, ROOM);
        ta_copy_put(right, put.segments, put.n_segments);
        while (ta_ofi_piece_next(&t, &put, &cursor, &piece)) {
            size_t bytes = 0;
            assert_true(piece.n >= 1 && piece.n <= t.max_iovs);
            for (unsigned i = 0; i < piece.n; i++) {
                assert_int_equal(piece.source[i].iov_len, piece.target[i].len);
                assert_int_equal(piece.target[i].key, piece.target[0].key); /* of one segment */
                bytes += piece.target[i].len;
            }
            assert_true(bytes > 0 && bytes <= t.max_op_bytes);
            carry_out(&piece, got);
            any = true;
            if (piece.ends_put) break;
        }
        assert_memory_equal(got, right, ROOM);
        assert_true(!any || piece.ends_put);
        assert_false(ta_ofi_piece_next(&t, &put, &cursor, &piece)); /* and no more */
    }
}

static void a_version_is_a_write_of_its_own(void **state) {
    (void)state;
    struct ta_transport t = {.max_iovs = 4, .max_op_bytes = SIZE_MAX};
    static uint64_t words[16];
    for (size_t bytes = 1; bytes <= 72; bytes++)
        for (size_t skew = 0; skew < 16; skew += 4) {
            struct ta_put_segment s = {(char *)words + skew % 8, bytes, 64 + skew / 8 * 4};
            bool promised = bytes <= 64 && bytes % 8 == 0 && skew == 0;
            struct ta_ofi_put put = {.n_segments = 1, .segments = {s}, .targets = {{.address = s.target_offset}}};
            struct ta_ofi_cursor cursor = {.segment = 0};
            struct ta_ofi_piece piece;
            assert_true(ta_ofi_piece_next(&t, &put, &cursor, &piece));
            assert_int_equal(piece.ends_put, !promised || bytes == 8);
            if (!promised || bytes == 8) continue;
            assert_int_equal(piece.target[0].len, bytes - 8);
            assert_true(ta_ofi_piece_next(&t, &put, &cursor, &piece));
            assert_int_equal(piece.target[0].addr, 64 + bytes - 8);
            assert_int_equal(piece.target[0].len, 8);
            assert_true(piece.ends_put);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_the_put),
        cmocka_unit_test(a_version_is_a_write_of_its_own),
    };
    return cmocka_run_group_tests_name("ofi pieces", tests, NULL, NULL);
}
