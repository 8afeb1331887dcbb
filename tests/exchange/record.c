/* record: what is written is read back; a file that was cut anywhere, or changed anywhere, is refused or cut, never
 * read as something else without a word. */
#include <fcntl.h>

#include "expect.h"
#include "mem.h"
#include "record_read.h"
#include "rng.h"

enum { N = 3, EVENTS = 700 };

static char path[] = "/tmp/tensair-record-file-XXXXXX";

static int make_path(void **state) {
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int drop_path(void **state) {
    (void)state;
    return unlink(path);
}

static struct ta_recorder *begin(void) {
    struct ta_recorder *r;
    struct ta_recorder_config config = {.path = path,
                                        .head = {.rank = 1,
                                                 .n_ranks = N,
                                                 .epoch = 4,
                                                 .seed = 7,
                                                 .n_params = 99,
                                                 .fingerprint = 0x1234,
                                                 .steps = 10,
                                                 .records = 160,
                                                 .check_every = TA_RECORD_CHECK_EVERY,
                                                 .config = "run: {}\n",
                                                 .resume = "",
                                                 .program = "1"}};
    assert_int_equal(ta_recorder_open(&config, &r), TA_OK);
    return r;
}

/* The same events for the same seed, to a recorder or as they should be read. */
static struct ta_record_event next(struct ta_rng *rng, uint64_t versions[N], uint64_t *position, uint64_t *steps) {
    struct ta_record_event e = {.kind = TA_RECORD_STEP};
    uint64_t what = ta_rng_below(rng, 10);
    if (what == 0) e.kind = TA_RECORD_BAD;
    if (what == 1) e.kind = TA_RECORD_CHECK;
    if (what == 2) e.kind = TA_RECORD_REST;
    if (what == 1 || what == 2) e.checksum = (uint64_t)ta_rng_u32(rng) << 32 | ta_rng_u32(rng);
    if (what == 2) e.round = 2 + 2 * (uint32_t)ta_rng_below(rng, 1000);
    if (what != 1) *position += ta_rng_below(rng, 300);
    e.position = *position;
    if (what == 1 || what == 2) return e;
    for (unsigned i = 0; i < N; i++)
        versions[i] = i == 1 ? *steps : versions[i] + ta_rng_below(rng, what == 3 ? 1000000 : 3);
    e.scaled = what == 4;
    e.scale = e.scaled ? 0.25F : 0;
    *steps += e.kind == TA_RECORD_STEP;
    return e;
}

static void write_events(uint64_t seed, unsigned n) {
    struct ta_recorder *r = begin();
    struct ta_rng rng = ta_rng_make(seed, 0);
    uint64_t versions[N] = {0}, position = 0, steps = 10;
    for (unsigned i = 0; i < n; i++) {
        struct ta_record_event e = next(&rng, versions, &position, &steps);
        struct ta_recorded_step step = {.position = e.position,
                                        .versions = versions,
                                        .finite = e.kind == TA_RECORD_STEP,
                                        .scaled = e.scaled,
                                        .scale = e.scale};
        if (e.kind == TA_RECORD_CHECK) ta_recorder_check(r, e.checksum);
        else if (e.kind == TA_RECORD_REST) ta_recorder_rest(r, e.round, e.position, e.checksum);
        else ta_recorder_step(r, &step);
    }
    assert_int_equal(ta_recorder_close(r), TA_OK);
}

/* So many events are there, and are those written. */
static unsigned compare(const struct ta_record *record, uint64_t seed) {
    struct ta_record_cursor c;
    struct ta_rng rng = ta_rng_make(seed, 0);
    uint64_t versions[N] = {0}, position = 0, steps = 10;
    unsigned n = 0;
    assert_int_equal(ta_record_cursor_open(&c, record), TA_OK);
    for (; c.event.kind != TA_RECORD_NONE; ta_record_cursor_next(&c), n++) {
        uint64_t before = steps;
        struct ta_record_event e = next(&rng, versions, &position, &steps);
        assert_int_equal(c.event.kind, e.kind);
        assert_int_equal(c.event.checksum, e.checksum);
        assert_int_equal(c.event.round, e.round);
        assert_int_equal(c.event.position, e.position);
        assert_int_equal(c.steps, before);
        assert_true(c.event.scaled == e.scaled && c.event.scale == e.scale);
        if (e.kind == TA_RECORD_STEP || e.kind == TA_RECORD_BAD)
            assert_memory_equal(c.versions, versions, sizeof versions);
    }
    ta_record_cursor_close(&c);
    return n;
}

static char *load(size_t *size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size + 1);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static void comes_back(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct ta_record record;
        write_events(seed, EVENTS);
        if (ta_record_open(path, &record) != TA_OK) fail_msg("%s", ta_why());
        assert_int_equal(record.head.rank, 1);
        assert_int_equal(record.head.epoch, 4);
        assert_string_equal(record.head.config, "run: {}\n");
        assert_false(record.cut);
        assert_int_equal(compare(&record, seed), EVENTS);
        ta_record_close(&record);
    }
}

/* Cut at every byte: a beginning of what was written, or refused while the head is not whole. */
static void is_cut(void **state) {
    (void)state;
    size_t size;
    write_events(3, 60);
    char *bytes = load(&size);
    unsigned most = 0;
    for (size_t i = 0; i < size; i++) {
        struct ta_record record;
        ta_status status = ta_record_parse("cut", bytes, i, &record);
        if (status != TA_OK) {
            assert_int_equal(status, TA_FORMAT);
            assert_non_null(strstr(ta_why(), "cut"));
            assert_int_equal(most, 0);
            continue;
        }
        unsigned n = compare(&record, 3);
        assert_true(n >= most);
        most = n;
        ta_record_close(&record);
    }
    assert_true(most >= 59);
    free(bytes);
}

/* Changed at every byte: refused, since all is sealed. */
static void is_changed(void **state) {
    (void)state;
    size_t size;
    write_events(4, 60);
    char *bytes = load(&size);
    for (size_t i = 0; i < size; i++) {
        for (unsigned bit = 0; bit < 8; bit += 3) {
            struct ta_record record;
            bytes[i] = (char)(bytes[i] ^ 1 << bit);
            ta_status status = ta_record_parse("changed", bytes, size, &record);
            if (status == TA_OK && !record.cut) fail_msg("byte %zu, bit %u of %zu: nothing was noticed", i, bit, size);
            if (status == TA_OK) ta_record_close(&record);
            else assert_int_equal(status, TA_FORMAT);
            bytes[i] = (char)(bytes[i] ^ 1 << bit);
        }
    }
    free(bytes);
}

/* What a killed process leaves: reserved zeros, and an event whose kind was not written yet. */
static void is_left(void **state) {
    (void)state;
    struct ta_record record;
    struct ta_recorder *r = begin();
    for (uint64_t i = 0; i < 5; i++) {
        const uint64_t versions[N] = {i, 10 + i, i};
        ta_recorder_step(r, &(struct ta_recorded_step){.position = i + 1, .versions = versions, .finite = true});
    }
    if (ta_record_open(path, &record) != TA_OK) fail_msg("%s", ta_why());
    assert_true(record.cut);
    assert_false(record.finished);
    assert_int_equal(record.steps, 15);
    size_t size, end = record.end;
    char *bytes = load(&size);
    ta_record_close(&record);
    bytes[end + 2] = 1;
    assert_int_equal(ta_record_parse("left", bytes, size, &record), TA_OK);
    ta_record_close(&record);
    bytes[size - 1] = 1; /* no process that was killed has written there */
    assert_int_equal(ta_record_parse("left", bytes, size, &record), TA_FORMAT);
    free(bytes);
    assert_int_equal(ta_recorder_close(r), TA_OK);
}

static void memory_runs_out(void **state) {
    (void)state;
    write_events(1, 50);
    for (unsigned n = 1; n < 50; n++) {
        struct ta_record record;
        size_t held = ta_mem_held_bytes();
        ta_mem_fail_nth(n);
        ta_status status = ta_record_open(path, &record);
        ta_mem_fail_nth(0);
        if (status == TA_OK) {
            ta_record_close(&record);
            assert_true(n > 1);
            return;
        }
        assert_int_equal(status, TA_NO_MEMORY);
        assert_int_equal(ta_mem_held_bytes(), held);
    }
    fail_msg("memory never sufficed");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back), cmocka_unit_test(is_cut),          cmocka_unit_test(is_changed),
        cmocka_unit_test(is_left),    cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, make_path, drop_path);
}
