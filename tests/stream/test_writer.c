/* The writer: what it takes is what can be read again; what it may not take is named; and whatever happens on the way,
 * the name of the file is never given to half a stream. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "digest.h"
#include "mem.h"
#include "stream_file.h"
#include "writer.h"

enum { RECORDS = 1000, WIDTH = 5, BLOCKS = 7 };

static char folder[64], path[96], partial[128];

static float x[RECORDS * WIDTH];
static int32_t class[RECORDS];
static int64_t time_ns[RECORDS], delay[RECORDS];
static const char *const names[] = {"red", "green", "blue"};

static int setup(void **state) {
    (void)state;
    scratch_open(folder);
    snprintf(path, sizeof path, "%s/s.h5", folder);
    snprintf(partial, sizeof partial, "%s.partial", path);
    for (int i = 0; i < RECORDS * WIDTH; i++) x[i] = (float)i * 0.5f - 3;
    for (int i = 0; i < RECORDS; i++) class[i] = i % 4 - 1, time_ns[i] = i / 2 * 1000, delay[i] = i % 3;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    scratch_close(folder);
    return 0;
}

static bool there(const char *name) { return access(name, F_OK) == 0; }

static struct ta_stream_info good_info(void) {
    return (struct ta_stream_info){.h = 1,
                                   .w = 1,
                                   .c = WIDTH,
                                   .element = TA_ELEMENT_F32,
                                   .scale = 0.5f,
                                   .offset = 1,
                                   .label_kind = TA_LABEL_CLASS,
                                   .classes = 3,
                                   .has_time = true,
                                   .has_delay = true,
                                   .origin = "a test"};
}

static struct ta_stream_block rows(size_t first) {
    return (struct ta_stream_block){
        .x = x + first * WIDTH, .class = class + first, .time_ns = time_ns + first, .delay = delay + first};
}

/* All records in BLOCKS uneven pieces; SIGKILL in front of piece `stop`, or of the commit (-1: never). */
static ta_status write_stream(const struct ta_stream_info *info, bool force, int stop) {
    struct ta_stream_writer *w;
    struct ta_stream_writer_config config = {.path = path, .force = force, .info = info, .class_names = names};
    ta_status status = ta_stream_writer_open(&config, &w);
    if (status != TA_OK) return status;
    size_t first = 0;
    for (int i = 0; status == TA_OK && i < BLOCKS; i++) {
        if (i == stop) raise(SIGKILL);
        size_t count = i == BLOCKS - 1 ? RECORDS - first : (size_t)(i * 37 + 1);
        struct ta_stream_block block = rows(first);
        status = ta_stream_writer_append(w, count, &block);
        first += count;
    }
    if (stop == BLOCKS) raise(SIGKILL);
    if (status == TA_OK) status = ta_stream_writer_commit(w);
    ta_stream_writer_close(w);
    return status;
}

static void it_reads_back(void) {
    struct ta_stream *s;
    assert_int_equal(ta_stream_hdf5_open(path, &s), TA_OK);
    float back[RECORDS * WIDTH];
    int32_t classes[RECORDS];
    int64_t times[RECORDS], delays[RECORDS];
    struct ta_stream_block block = {.x = back, .class = classes, .time_ns = times, .delay = delays};
    assert_int_equal(s->info.records, RECORDS);
    assert_int_equal(s->ops->read(s, 0, RECORDS, &block), TA_OK);
    assert_memory_equal(back, x, sizeof x);
    assert_memory_equal(classes, class, sizeof class);
    assert_memory_equal(times, time_ns, sizeof time_ns);
    assert_memory_equal(delays, delay, sizeof delay);
    assert_true(s->info.scale == 0.5f && s->info.offset == 1 && s->info.classes == 3);
    assert_string_equal(s->info.origin, "a test");
    struct ta_digest *digest;
    assert_int_equal(ta_digest_create(&digest), TA_OK);
    ta_digest_x(digest, x, sizeof x);
    ta_digest_y(digest, class, sizeof class);
    assert_int_equal(s->info.checksum, ta_digest_value(digest));
    ta_digest_destroy(digest);
    ta_stream_close(s);
}

static void what_is_written_reads_back(void **state) {
    (void)state;
    struct ta_stream_info info = good_info();
    size_t held = ta_mem_held_bytes();
    assert_int_equal(write_stream(&info, false, -1), TA_OK);
    assert_int_equal(ta_mem_held_bytes(), held);
    it_reads_back();
    assert_false(there(partial));
}

static void an_existing_file_is_kept_unless_forced(void **state) {
    (void)state;
    struct ta_stream_info info = good_info();
    FILE *file = fopen(path, "w");
    fputs("mine", file);
    fclose(file);
    assert_int_equal(write_stream(&info, false, -1), TA_USAGE);
    assert_non_null(strstr(ta_why(), "--force"));
    struct stat facts;
    stat(path, &facts);
    assert_int_equal(facts.st_size, 4);
    assert_int_equal(write_stream(&info, true, -1), TA_OK);
    it_reads_back();
}

/* Someone else makes the file between open and commit. */
static void a_file_that_came_meanwhile_is_kept(void **state) {
    (void)state;
    struct ta_stream_info info = good_info();
    struct ta_stream_writer *w;
    assert_int_equal(ta_stream_writer_open(&(struct ta_stream_writer_config){.path = path, .info = &info}, &w),
                     TA_OK);
    struct ta_stream_block block = rows(0);
    assert_int_equal(ta_stream_writer_append(w, 10, &block), TA_OK);
    fclose(fopen(path, "w"));
    assert_int_equal(ta_stream_writer_commit(w), TA_USAGE);
    ta_stream_writer_close(w);
    assert_false(there(partial));
    struct stat facts;
    stat(path, &facts);
    assert_int_equal(facts.st_size, 0);
}

static void bad_append(const struct ta_stream_block *block, size_t count, const char *said) {
    struct ta_stream_info info = good_info();
    struct ta_stream_writer *w;
    assert_int_equal(ta_stream_writer_open(&(struct ta_stream_writer_config){.path = path, .info = &info}, &w),
                     TA_OK);
    struct ta_stream_block first = rows(0);
    assert_int_equal(ta_stream_writer_append(w, 3, &first), TA_OK);
    assert_int_equal(ta_stream_writer_append(w, count, block), TA_FORMAT);
    if (strstr(ta_why(), said) == NULL) fail_msg("'%s' does not say '%s'", ta_why(), said);
    ta_stream_writer_close(w);
    assert_false(there(path) || there(partial));
}

static void records_no_stream_may_hold_are_named(void **state) {
    (void)state;
    float bad_x[2 * WIDTH] = {0};
    bad_x[WIDTH + 2] = NAN;
    struct ta_stream_block block = rows(3);
    block.x = bad_x;
    bad_append(&block, 2, "record 4, element 2");
    bad_x[WIDTH + 2] = INFINITY;
    bad_append(&block, 2, "record 4, element 2");
    block = rows(3);
    int32_t bad_class[] = {0, 1, 3};
    block.class = bad_class;
    bad_append(&block, 3, "record 5 has class 3; classes are 0 to 2");
    bad_class[2] = -2;
    bad_append(&block, 3, "record 5 has class -2");
    block = rows(3);
    int64_t bad[] = {5000, 4999};
    block.time_ns = bad;
    bad_append(&block, 2, "record 4 is at 4999 ns");
    block = rows(3);
    bad[1] = -1;
    block.delay = bad;
    bad_append(&block, 2, "record 4 has a label delay of -1");
}

static void an_empty_stream_is_no_stream(void **state) {
    (void)state;
    struct ta_stream_info info = good_info();
    struct ta_stream_writer *w;
    assert_int_equal(ta_stream_writer_open(&(struct ta_stream_writer_config){.path = path, .info = &info}, &w),
                     TA_OK);
    assert_int_equal(ta_stream_writer_commit(w), TA_FORMAT);
    ta_stream_writer_close(w);
    assert_false(there(path) || there(partial));
    info.c = 0;
    assert_int_equal(ta_stream_writer_open(&(struct ta_stream_writer_config){.path = path, .info = &info}, &w),
                     TA_INVALID);
    assert_null(w);
}

static void an_allocation_that_fails_leaves_nothing(void **state) {
    (void)state;
    struct ta_stream_info info = good_info();
    size_t held = ta_mem_held_bytes();
    for (unsigned n = 1;; n++) {
        ta_mem_fail_nth(n);
        ta_status status = write_stream(&info, false, -1);
        ta_mem_fail_nth(0);
        assert_int_equal(ta_mem_held_bytes(), held);
        if (status == TA_OK) {
            assert_true(n > 3);
            return;
        }
        assert_int_equal(status, TA_NO_MEMORY);
        assert_false(there(path) || there(partial));
    }
}

/* A child writes the stream and dies; its status, as wait() gives it. `limit`: of the size of files, 0: none. */
static int child_writes(int stop, rlim_t limit, bool ignore_signal) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit core = {0, 0}, size = {limit, limit};
        setrlimit(RLIMIT_CORE, &core);
        if (limit > 0) setrlimit(RLIMIT_FSIZE, &size);
        if (ignore_signal) signal(SIGXFSZ, SIG_IGN);
        struct ta_stream_info info = good_info();
        _exit(ta_status_exit_code(write_stream(&info, true, stop)));
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return status;
}

static void a_kill_between_steps_leaves_no_stream(void **state) {
    (void)state;
    for (int stop = 0; stop <= BLOCKS; stop++) {
        int status = child_writes(stop, 0, false);
        assert_true(WIFSIGNALED(status));
        assert_false(there(path));
    }
    assert_int_equal(child_writes(-1, 0, false), 0); /* what the killed left behind is in nobody's way */
    it_reads_back();
    assert_false(there(partial));
}

/* The kernel kills the child in the very write that crosses the limit; or, when the signal is ignored, the write fails
 * as on a full disk. */
static void a_write_that_kills_or_fails_leaves_no_stream(void **state) {
    (void)state;
    struct stat facts;
    assert_int_equal(child_writes(-1, 0, false), 0);
    stat(path, &facts);
    unlink(path);
    unsigned died = 0, refused = 0;
    for (off_t limit = 1; limit < facts.st_size; limit += facts.st_size / 23 + 1) {
        int status = child_writes(-1, (rlim_t)limit, false);
        died += WIFSIGNALED(status);
        assert_true(WIFSIGNALED(status));
        assert_false(there(path));
        unlink(partial);
        status = child_writes(-1, (rlim_t)limit, true);
        assert_true(WIFEXITED(status));
        refused += WEXITSTATUS(status) == 74;
        assert_int_equal(WEXITSTATUS(status), 74);
        assert_false(there(path));
        assert_false(there(partial));
    }
    assert_true(died > 20 && refused > 20);
}

static void a_digest_does_not_see_blocks(void **state) {
    (void)state;
    struct ta_digest *whole, *pieces;
    assert_int_equal(ta_digest_create(&whole), TA_OK);
    assert_int_equal(ta_digest_create(&pieces), TA_OK);
    ta_digest_x(whole, x, sizeof x);
    ta_digest_y(whole, class, sizeof class);
    for (size_t i = 0; i < sizeof class; i += 8) ta_digest_y(pieces, (char *)class + i, 8);
    for (size_t i = 0; i < sizeof x; i += 40) ta_digest_x(pieces, (char *)x + i, 40);
    assert_int_equal(ta_digest_value(whole), ta_digest_value(pieces));
    ta_digest_y(pieces, "x", 1);
    assert_int_not_equal(ta_digest_value(whole), ta_digest_value(pieces));
    char text[TA_DIGEST_TEXT_BYTES];
    uint64_t value;
    ta_digest_text(ta_digest_value(whole), text);
    assert_int_equal(ta_digest_parse(text, &value), TA_OK);
    assert_int_equal(value, ta_digest_value(whole));
    assert_int_equal(ta_digest_parse("12", &value), TA_FORMAT);
    assert_int_equal(ta_digest_parse("0123456789abcdeg", &value), TA_FORMAT);
    ta_digest_destroy(whole);
    ta_digest_destroy(pieces);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_reads_back),
        TEST(an_existing_file_is_kept_unless_forced),
        TEST(a_file_that_came_meanwhile_is_kept),
        TEST(records_no_stream_may_hold_are_named),
        TEST(an_empty_stream_is_no_stream),
        TEST(an_allocation_that_fails_leaves_nothing),
        TEST(a_kill_between_steps_leaves_no_stream),
        TEST(a_write_that_kills_or_fails_leaves_no_stream),
        TEST(a_digest_does_not_see_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
