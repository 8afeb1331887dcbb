/* Every make of transport, one suite: what a peer may write, and paths that are given up and made anew. */
#include "clock.h"
#include "expect.h"
#include "suite.h"

enum { WINDOW = 16384, PIECE = 64, FIRST = 1024, FIRST_BYTES = 512, SECOND = 8192, SECOND_BYTES = 4096 };

#define EARLY_NS INT64_C(1500000000) /* longer than a device tries */

struct desk {
    struct pair pair;
    unsigned char source[WINDOW], seen[WINDOW], right[WINDOW]; /* right: what the window should hold */
};

static struct desk *desk_open(const struct pair_kind *kind) {
    struct desk *d;
    assert_ok(TA_NEW(&d, 1, "a desk"));
    pair_start(&d->pair, kind, WINDOW);
    pair_lend(&d->pair, d, sizeof *d);
    for (size_t i = 0; i < WINDOW; i++) d->source[i] = (unsigned char)(i * 7 + 1);
    return d;
}

static void desk_close(struct desk *d) {
    pair_close(&d->pair);
    ta_mem_free(d);
}

static struct ta_put_segment segment_at(const struct desk *d, size_t offset, size_t bytes, uint64_t pass) {
    return (struct ta_put_segment){.source = d->source, .bytes = bytes, .target_offset = offset, .pass = pass};
}

static void put_at(struct desk *d, size_t offset, size_t bytes, uint64_t pass) {
    struct ta_put_segment segment = segment_at(d, offset, bytes, pass);
    pair_put(&d->pair, &segment, 1);
    memcpy(d->right + offset, d->source, bytes);
}

static void refused_at(struct desk *d, size_t offset, size_t bytes) {
    /* What may be written, before it, must not be either. */
    struct ta_put_segment both[2] = {segment_at(d, FIRST, PIECE, 0), segment_at(d, offset, bytes, 0)};
    assert_fails(TA_INVALID, "peer 1", d->pair.ops->put(d->pair.sender, 1, both, 2));
    assert_int_equal(d->pair.ops->peer_state(d->pair.sender, 1), TA_PEER_UP);
}

static void check_window(struct desk *d) {
    pair_settle(&d->pair);
    pair_read(&d->pair, 0, WINDOW, d->seen);
    assert_memory_equal(d->seen, d->right, WINDOW);
}

static void a_peer_writes_what_it_was_granted(void **state) {
    struct desk *d = desk_open(*state);
    pair_grant(&d->pair, FIRST, FIRST_BYTES);
    pair_grant(&d->pair, SECOND, SECOND_BYTES);
    pair_meet(&d->pair);
    refused_at(d, 0, 1);
    refused_at(d, FIRST - 1, 2);
    refused_at(d, FIRST, FIRST_BYTES + 1);
    refused_at(d, FIRST + FIRST_BYTES, 1);
    refused_at(d, SECOND - 8, 16);
    refused_at(d, SECOND + SECOND_BYTES - 4, 8);
    refused_at(d, FIRST, SECOND + SECOND_BYTES - FIRST); /* from one into the other */
    refused_at(d, 0, WINDOW);
    check_window(d); /* untouched */
    put_at(d, FIRST, FIRST_BYTES, 0);
    put_at(d, SECOND, SECOND_BYTES, 0);
    put_at(d, FIRST + FIRST_BYTES - 8, 8, 0);
    check_window(d);
    if (d->pair.owner != NULL) {
        const struct ta_transport_ops *ops = d->pair.ops;
        assert_int_equal(ops->grant(d->pair.owner, 0, 0, 8), TA_INVALID); /* one too many */
        assert_int_equal(ops->grant(d->pair.owner, 1, 0, 8), TA_INVALID); /* ourselves */
        assert_int_equal(ops->grant(d->pair.owner, 2, 0, 8), TA_INVALID);
    }
    desk_close(d);
}

static void grants_beyond_the_window_are_refused(void **state) {
    struct desk *d = desk_open(*state);
    if (d->pair.owner != NULL) {
        static const size_t wrong[][2] = {{0, WINDOW + 1}, {WINDOW, 1}, {SIZE_MAX, 1}, {1, SIZE_MAX}, {WINDOW - 7, 8}};
        uint64_t pass;
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            assert_int_equal(d->pair.ops->grant(d->pair.owner, 0, wrong[i][0], wrong[i][1]), TA_INVALID);
            assert_int_equal(d->pair.ops->range_open(d->pair.owner, wrong[i][0], wrong[i][1], &pass), TA_INVALID);
        }
    }
    pair_meet(&d->pair); /* nothing was granted: all of it */
    put_at(d, 0, WINDOW, 0);
    check_window(d);
    desk_close(d);
}

static void rows_keep_to_what_was_granted(void **state) {
    struct desk *d = desk_open(*state);
    pair_grant(&d->pair, SECOND, SECOND_BYTES);
    pair_meet(&d->pair);
    const uint32_t good[] = {(SECOND_BYTES / PIECE) - 1, 0, 5, 6, 7}, bad[] = {0, SECOND_BYTES / PIECE, 1};
    struct ta_put_segment rows = {d->source, PIECE, SECOND, good, 5};
    pair_put(&d->pair, &rows, 1);
    for (size_t i = 0; i < 5; i++) memcpy(d->right + SECOND + good[i] * PIECE, d->source + good[i] * PIECE, PIECE);
    check_window(d);
    rows.rows = bad;
    rows.n_rows = 3;
    assert_fails(TA_INVALID, "peer 1", d->pair.ops->put(d->pair.sender, 1, &rows, 1));
    check_window(d);
    desk_close(d);
}

static void an_opened_range_needs_its_pass(void **state) {
    struct desk *d = desk_open(*state);
    pair_grant(&d->pair, FIRST, FIRST_BYTES);
    uint64_t early = pair_range_open(&d->pair, SECOND, 128);
    pair_meet(&d->pair);
    uint64_t late = pair_range_open(&d->pair, SECOND + 256, 128); /* while they are connected */
    refused_at(d, SECOND, 8);
    put_at(d, SECOND, 128, early);
    put_at(d, SECOND + 256, 128, late);
    put_at(d, FIRST, 8, 0);
    check_window(d);
    struct ta_put_segment mixed[] = {segment_at(d, SECOND + 8, 64, early), segment_at(d, FIRST + 8, 8, 0)};
    pair_put(&d->pair, mixed, 2);
    memcpy(d->right + SECOND + 8, d->source, 64);
    memcpy(d->right + FIRST + 8, d->source, 8);
    check_window(d);
    pair_part(&d->pair);
    pair_meet(&d->pair);
    put_at(d, SECOND + 64, 64, early); /* it lasts */
    check_window(d);
    desk_close(d);
}

static void paths_are_made_anew(void **state) {
    const struct pair_kind *kind = *state;
    struct desk *d = desk_open(kind);
    const struct ta_transport_ops *ops = d->pair.ops;
    pair_grant(&d->pair, FIRST, FIRST_BYTES);
    pair_meet(&d->pair);
    for (int life = 0; life < 6; life++) {
        struct ta_put_segment segment = segment_at(d, FIRST, FIRST_BYTES, 0);
        for (int i = 0; i < 40; i++) pair_put(&d->pair, &segment, 1); /* some on their way when it ends */
        pair_part(&d->pair);
        assert_int_equal(ops->peer_state(d->pair.sender, 1), TA_PEER_DOWN);
        assert_int_equal(ops->in_flight(d->pair.sender, 1), 0);
        assert_int_equal(ops->put(d->pair.sender, 1, &segment, 1), TA_INVALID);
        pair_meet(&d->pair);
        for (size_t i = 0; i < WINDOW; i++) d->source[i]++;
        put_at(d, FIRST, FIRST_BYTES, 0);
        refused_at(d, SECOND, 8); /* what was granted lasts */
        check_window(d);
    }
    desk_close(d);
}

/* One side is there long before the other; nothing breaks, nothing is lost. */
static void who_comes_first_waits(void **state) {
    const struct pair_kind *kind = *state;
    struct desk *d = desk_open(kind);
    struct pair *pair = &d->pair;
    struct ta_window window;
    struct ta_key ours, theirs;
    assert_ok(pair->ops->window_create(pair->sender, PAIR_SENDER_WINDOW, &window));
    assert_ok(pair->ops->key_make(pair->sender, 1, &ours));
    pair_key(pair, 0, &theirs);
    assert_ok(pair->ops->connect(pair->sender, 1, &theirs));
    struct ta_put_segment segment = segment_at(d, 0, PIECE, 0);
    int64_t begin_ns = ta_clock_now_ns(), wait_ns = kind->device ? EARLY_NS : 0;
    do {
        ta_status status = pair->ops->put(pair->sender, 1, &segment, 1);
        assert_true(status == TA_OK || status == TA_BUSY);
        assert_ok(pair_progress(pair));
        assert_int_equal(pair->ops->peer_state(pair->sender, 1), TA_PEER_UP);
    } while (ta_clock_now_ns() - begin_ns < wait_ns);
    assert_ok(pair_owner_connect(pair, &ours));
    put_at(d, 0, PIECE, 0);
    put_at(d, SECOND, PIECE, 0);
    check_window(d);
    desk_close(d);
}

static void a_line_says_what_is_used(void **state) {
    const struct pair_kind *kind = *state;
    char said[512] = "", described[1024] = "", cut[8] = "1234567";
    struct desk *d = desk_open(kind);
    pair_meet(&d->pair);
    struct ta_transport_config config = pair_sender_config(&d->pair);
    assert_ok(kind->ops->probe(config.spec, said, sizeof said));
    kind->ops->describe(d->pair.sender, described, sizeof described);
    kind->ops->describe(d->pair.sender, cut, 4);
    assert_true(strlen(said) > 10 && strchr(said, '\n') == NULL);
    assert_true(strlen(described) > 10 && strchr(described, '\n') == NULL);
    assert_int_equal(strlen(cut), 3);
    assert_string_equal(cut + 4, "567");
    print_message("%s\n", described);
    desk_close(d);
}

int main(void) {
    static const struct suite_test tests[] = {
        {"a peer writes what it was granted, and nothing else", a_peer_writes_what_it_was_granted, true},
        {"grants beyond the window are refused", grants_beyond_the_window_are_refused, true},
        {"rows keep to what was granted", rows_keep_to_what_was_granted, true},
        {"an opened range needs its pass", an_opened_range_needs_its_pass, true},
        {"paths are made anew", paths_are_made_anew, true},
        {"who comes first waits", who_comes_first_waits, true},
        {"a line says what is used", a_line_says_what_is_used, true},
    };
    return suite_run(tests, sizeof tests / sizeof tests[0]);
}
