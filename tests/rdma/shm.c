/* Shared memory of another process: a well-formed key that leads to the wrong thing is refused, whatever it leads to;
 * and looking for the dead costs next to nothing.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "key.h"
#include "shm_map.h"
#include "transport.h"

enum { RUN = 8, WINDOW = 4096 };

static const struct ta_transport_ops *const ops = &ta_transport_shm;

struct two {
    struct ta_transport *t[2];
    struct ta_window window[2];
    struct ta_shm_place place; /* of rank 1's window */
};

static void seal(const struct ta_shm_place *place, struct ta_key *key) {
    struct ta_key_envelope envelope = {"shm", RUN, 1, 0};
    struct ta_shm_key whole = {.place = *place};
    assert_int_equal(ta_key_seal(&envelope, &whole, sizeof whole, key), TA_OK);
}

static int two_open(void **state) {
    static struct two two;
    for (unsigned i = 0; i < 2; i++) {
        struct ta_transport_config config = {.rank = i, .n_ranks = 2, .run_id = RUN};
        assert_int_equal(ops->open(&config, &two.t[i]), TA_OK);
        assert_int_equal(ops->window_create(two.t[i], WINDOW, &two.window[i]), TA_OK);
    }
    struct ta_key key;
    struct ta_shm_key opened;
    struct ta_key_envelope envelope = {"shm", RUN, 1, 0};
    assert_int_equal(ops->key_make(two.t[1], 0, &key), TA_OK);
    assert_int_equal(ta_key_open(&envelope, &key, &opened, sizeof opened), TA_OK);
    two.place = opened.place;
    *state = &two;
    return 0;
}

static int two_close(void **state) {
    struct two *two = *state;
    for (unsigned i = 0; i < 2; i++) ops->close(two->t[i]);
    return 0;
}

static void refused(struct two *two, const struct ta_shm_place *place) {
    struct ta_key key;
    seal(place, &key);
    assert_int_equal(ops->connect(two->t[0], 1, &key), TA_PEER);
    assert_int_equal(ops->peer_state(two->t[0], 1), TA_PEER_UNKNOWN);
}

/* Points the place at a descriptor of this process, as truly as it can be said. */
static struct ta_shm_place place_of(const struct two *two, int fd) {
    struct ta_shm_place place = two->place;
    struct stat file;
    assert_int_equal(fstat(fd, &file), 0);
    place.fd = fd;
    place.device = file.st_dev;
    place.inode = file.st_ino;
    return place;
}

static void places_that_changed_are_refused(void **state) {
    struct two *two = *state;
    struct ta_shm_place place;
    struct ta_key key;
#define CHANGED(field, value)                                                                                          \
    place = two->place;                                                                                                \
    place.field = (value);                                                                                             \
    refused(two, &place)
    CHANGED(start_time, two->place.start_time + 1); /* the number of a dead process, given to another */
    CHANGED(inode, two->place.inode + 1);
    CHANGED(device, two->place.device + 1);
    CHANGED(fd, 9999);
    CHANGED(fd, -1);
    CHANGED(fd, 0);
    CHANGED(pid, 0);
    CHANGED(pid, -1);
    CHANGED(pid, 0x7ffffffe);
    CHANGED(pid, 1);
    CHANGED(window_bytes, UINT64_MAX);
    CHANGED(window_bytes, WINDOW + 1);
    CHANGED(map_bytes, two->place.map_bytes + 4096);
    CHANGED(map_bytes, 0);
#undef CHANGED
    seal(&two->place, &key); /* and unchanged it is taken */
    assert_int_equal(ops->connect(two->t[0], 1, &key), TA_OK);
    ops->disconnect(two->t[0], 1);
}

static void what_is_no_window_is_refused(void **state) {
    struct two *two = *state;
    struct ta_shm_place place;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    place = place_of(two, ends[0]);
    refused(two, &place);
    close(ends[0]);
    close(ends[1]);

    int unsealed = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING); /* could be shrunk under us */
    assert_int_equal(ftruncate(unsealed, (off_t)two->place.map_bytes), 0);
    place = place_of(two, unsealed);
    refused(two, &place);
    assert_non_null(strstr(ta_why(), "no window"));
    close(unsealed);

    int small = memfd_create("small", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(small, 100), 0);
    assert_int_equal(fcntl(small, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    place = place_of(two, small);
    refused(two, &place);
    close(small);

    int device = open("/dev/zero", O_RDWR | O_CLOEXEC);
    place = place_of(two, device);
    refused(two, &place);
    close(device);
}

static void a_window_cannot_shrink_under_its_readers(void **state) {
    struct two *two = *state;
    struct stat before, after;
    assert_int_equal(fstat(two->place.fd, &before), 0);
    assert_int_equal(ftruncate(two->place.fd, 0), -1);
    assert_int_equal(ftruncate(two->place.fd, 1 << 30), -1);
    assert_int_equal(fstat(two->place.fd, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
}

static void without_descriptors_it_says_so(void **state) {
    struct two *two = *state;
    struct rlimit limit, none;
    struct ta_transport *t = NULL;
    struct ta_window window;
    struct ta_key key;
    seal(&two->place, &key);
    struct ta_transport_config config = {.rank = 0, .n_ranks = 2, .run_id = RUN};
    assert_int_equal(ops->open(&config, &t), TA_OK);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    ta_status made = ops->window_create(t, WINDOW, &window);
    ta_status connected = ops->connect(t, 1, &key);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(made, TA_NO_MEMORY);
    assert_null(window.base);
    assert_true(connected != TA_OK);
    assert_int_equal(ops->window_create(t, WINDOW, &window), TA_OK); /* and it can be asked again */
    assert_int_equal(ops->connect(t, 1, &key), TA_OK);
    ops->close(t);
}

static void looking_for_the_dead_is_cheap(void **state) {
    struct two *two = *state;
    struct ta_key key;
    struct rusage before, after;
    seal(&two->place, &key);
    assert_int_equal(ops->connect(two->t[0], 1, &key), TA_OK);
    int64_t begin_ns = ta_clock_now_ns();
    getrusage(RUSAGE_SELF, &before);
    enum { CALLS = 1000000 };
    for (int i = 0; i < CALLS; i++) assert_int_equal(ops->progress(two->t[0], begin_ns + i), TA_OK);
    getrusage(RUSAGE_SELF, &after);
    /* A million calls within one interval: one look, not a million system calls (0.1 us each at the very least). */
    assert_true(after.ru_stime.tv_sec * 1000000 + after.ru_stime.tv_usec -
                    (before.ru_stime.tv_sec * 1000000 + before.ru_stime.tv_usec) <
                CALLS / 20);
    ops->disconnect(two->t[0], 1);
}

/* Grants and openings against what they say: every range of a small window, tried. */
static void what_was_granted_can_be_written_and_nothing_else(void **state) {
    struct two *two = *state;
    enum { BYTES = 40 };
    static const struct ta_range granted[TA_MAX_GRANTS] = {{8, 12}, {24, 8}};
    const struct ta_range opened = {18, 10};
    struct ta_key key;
    uint64_t pass;
    unsigned char source[BYTES], *seen = two->window[1].base;
    memset(source, 1, sizeof source);
    for (unsigned i = 0; i < TA_MAX_GRANTS; i++)
        assert_int_equal(ops->grant(two->t[1], 0, granted[i].offset, granted[i].bytes), TA_OK);
    assert_int_equal(ops->key_make(two->t[1], 0, &key), TA_OK);
    assert_int_equal(ops->connect(two->t[0], 1, &key), TA_OK);
    assert_int_equal(ops->range_open(two->t[1], opened.offset, opened.bytes, &pass), TA_OK);
    assert_true(pass != 0);
    for (size_t offset = 0; offset < BYTES; offset++)
        for (size_t bytes = 0; offset + bytes <= BYTES; bytes++)
            for (int with_pass = 0; with_pass < 2; with_pass++) {
                bool may = bytes == 0;
                for (unsigned i = 0; i < TA_MAX_GRANTS && !with_pass; i++)
                    may |= offset >= granted[i].offset && offset + bytes <= granted[i].offset + granted[i].bytes;
                if (with_pass) may |= offset >= opened.offset && offset + bytes <= opened.offset + opened.bytes;
                struct ta_put_segment segment = {source, bytes, offset, .pass = with_pass ? pass : 0};
                memset(seen, 0, BYTES);
                assert_int_equal(ops->put(two->t[0], 1, &segment, 1), may ? TA_OK : TA_INVALID);
                for (size_t k = 0; k < BYTES; k++)
                    assert_int_equal(seen[k], may && k >= offset && k < offset + bytes);
            }
    const uint32_t inside[] = {4, 2, 3}, below[] = {1, 2}, between[] = {2, 6};
    struct ta_put_segment rows = {source, 4, 0, inside, 3}; /* from 8 to 20: the first range to the byte */
    assert_int_equal(ops->put(two->t[0], 1, &rows, 1), TA_OK);
    rows.rows = below, rows.n_rows = 2;
    assert_int_equal(ops->put(two->t[0], 1, &rows, 1), TA_INVALID);
    rows.rows = between;
    assert_int_equal(ops->put(two->t[0], 1, &rows, 1), TA_INVALID);
    struct ta_put_segment wrong_pass = {source, 1, opened.offset, .pass = pass + 1};
    assert_int_equal(ops->put(two->t[0], 1, &wrong_pass, 1), TA_INVALID);
    ops->disconnect(two->t[0], 1);
    assert_int_equal(ops->key_make(two->t[1], 0, &key), TA_OK); /* grants outlive a path */
    assert_int_equal(ops->connect(two->t[0], 1, &key), TA_OK);
    struct ta_put_segment outside = {source, 1, 0};
    assert_int_equal(ops->put(two->t[0], 1, &outside, 1), TA_INVALID);
    assert_non_null(strstr(ta_why(), "[8, 20) and [24, 32)"));
}

static void grants_and_openings_are_counted_and_checked(void **state) {
    struct two *two = *state;
    uint64_t passes[TA_MAX_OPENINGS], pass;
    const size_t wrong[][2] = {{0, WINDOW + 1}, {WINDOW, 1}, {WINDOW + 1, 0}, {SIZE_MAX, 2}, {2, SIZE_MAX}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(ops->grant(two->t[1], 0, wrong[i][0], wrong[i][1]), TA_INVALID);
        assert_int_equal(ops->range_open(two->t[1], wrong[i][0], wrong[i][1], &pass), TA_INVALID);
    }
    assert_int_equal(ops->grant(two->t[1], 1, 0, 8), TA_INVALID);
    assert_int_equal(ops->grant(two->t[1], 2, 0, 8), TA_INVALID);
    for (unsigned i = 0; i < TA_MAX_GRANTS; i++) assert_int_equal(ops->grant(two->t[1], 0, 0, 8), TA_OK);
    assert_int_equal(ops->grant(two->t[1], 0, 0, 8), TA_INVALID);
    for (unsigned i = 0; i < TA_MAX_OPENINGS; i++) {
        assert_int_equal(ops->range_open(two->t[1], 0, 8, &passes[i]), TA_OK);
        for (unsigned k = 0; k < i; k++) assert_true(passes[k] != passes[i]);
    }
    assert_int_equal(ops->range_open(two->t[1], 0, 8, &pass), TA_NO_MEMORY);
    /* A key whose grants make no sense is no key. */
    struct ta_key_envelope envelope = {"shm", RUN, 1, 0};
    const struct ta_grants bad[] = {{.n = TA_MAX_GRANTS + 1},
                                    {.n = UINT64_MAX},
                                    {.n = 1, .range = {{WINDOW, 1}}},
                                    {.n = 1, .range = {{UINT64_MAX, 0}}},
                                    {.n = 2, .range = {{0, 8}, {8, UINT64_MAX}}}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ta_shm_key whole = {.place = two->place, .grants = bad[i]};
        struct ta_key key;
        assert_int_equal(ta_key_seal(&envelope, &whole, sizeof whole, &key), TA_OK);
        assert_int_equal(ops->connect(two->t[0], 1, &key), TA_PEER);
        assert_non_null(strstr(ta_why(), "makes no sense"));
    }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, two_open, two_close)
    const struct CMUnitTest tests[] = {
        TEST(places_that_changed_are_refused),
        TEST(what_is_no_window_is_refused),
        TEST(a_window_cannot_shrink_under_its_readers),
        TEST(without_descriptors_it_says_so),
        TEST(looking_for_the_dead_is_cheap),
        TEST(what_was_granted_can_be_written_and_nothing_else),
        TEST(grants_and_openings_are_counted_and_checked),
    };
    return cmocka_run_group_tests_name("shm", tests, NULL, NULL);
}
