/* h5 when things go wrong: files cut at every byte, bytes flipped, chunks damaged, a full disk, no memory. */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "check.h"
#include "h5_probe.h"

/* A close that fails for want of space leaves memory inside libhdf5, half a MB each time; nothing of ours. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5"; }

static char directory[64];

static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static int setup(void **state) {
    (void)state;
    scratch_make(directory);
    signal(SIGXFSZ, SIG_IGN);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    scratch_remove(directory);
    return 0;
}

/* Everything a file of ours may hold, in little. */
static ta_status write_sample(const char *path) {
    static const char *const names[] = {"dense", "conv2d", "x"};
    struct ta_h5 *file;
    struct ta_h5_set *set = NULL;
    uint8_t rows[40 * 3];
    float values[6] = {1, 2, 3, 4, 5, 6};
    for (size_t i = 0; i < sizeof rows; i++) rows[i] = (uint8_t)i;
    ta_status status = ta_h5_open(path, TA_H5_CREATE, &file);
    if (status != TA_OK) return status;
    struct ta_h5_create how = {.shape = {.type = TA_H5_U8, .rank = 2, .dims = {0, 3}},
                               .chunk_rows = 16, .checksum = true};
    status = ta_h5_set_create(file, "/x", &how, &set);
    if (status == TA_OK) status = ta_h5_set_write(set, TA_H5_U8, 0, 40, rows);
    ta_h5_set_close(set);
    struct ta_h5_shape shape = {.type = TA_H5_F32, .rank = 2, .dims = {2, 3}};
    if (status == TA_OK) status = ta_h5_write_all(file, "/g/dense/kernel:0", &shape, values);
    if (status == TA_OK) status = ta_h5_attr_set_text(file, "/", "text", "words");
    if (status == TA_OK) status = ta_h5_attr_set_texts(file, "/g", "layer_names", names, 3);
    if (status == TA_OK) status = ta_h5_attr_set_i64(file, "/x", "whole", 7);
    if (status == TA_OK) status = ta_h5_attr_set_f64(file, "/x", "real", 7.5);
    char why[256];
    snprintf(why, sizeof why, "%.255s", ta_why());
    ta_status closed = ta_h5_close(file);
    return status == TA_OK ? closed : ta_fail(status, "%s", why);
}

static size_t read_file(const char *path, unsigned char *bytes, size_t room) {
    FILE *f = fopen(path, "r");
    size_t n = fread(bytes, 1, room, f);
    fclose(f);
    return n;
}

static void write_file(const char *path, const unsigned char *bytes, size_t n) {
    FILE *f = fopen(path, "w");
    if (fwrite(bytes, 1, n, f) != n) fail_msg("cannot write %s", path);
    fclose(f);
}

static unsigned char sample[65536], changed[65536];

static void a_file_cut_anywhere_is_refused_with_a_message(void **state) {
    (void)state;
    assert_ok(write_sample(path_of("sample.h5")));
    size_t n = read_file(path_of("sample.h5"), sample, sizeof sample);
    struct h5_probe probe = h5_probe_file(path_of("sample.h5"));
    assert_in_range(n, 1000, sizeof sample - 1);
    printf("[  INFO    ] the sample has %zu bytes; whole, %u of its reads are refused\n", n, probe.failures);
    for (size_t cut = 0; cut < n; cut++) {
        write_file(path_of("cut.h5"), sample, cut);
        struct ta_h5 *file;
        ta_status status = ta_h5_open(path_of("cut.h5"), TA_H5_READ, &file);
        if (status != TA_FORMAT) fail_msg("cut at %zu of %zu: %s: %s", cut, n, ta_status_name(status), ta_why());
        if (strstr(ta_why(), "cut.h5: ") == NULL) fail_msg("cut at %zu: '%s'", cut, ta_why());
    }
}

/* Long stretches of zeros are room that nobody reads. */
static bool is_read(size_t n, size_t at) {
    for (size_t i = at < 8 ? 0 : at - 8; i < n && i <= at + 8; i++)
        if (sample[i] != 0) return true;
    return false;
}

/* Each byte of the file in turn is changed, in a child: a crash inside libhdf5 shows as its signal. */
static void flip_range(size_t n, size_t from, size_t to, unsigned char mask) {
    for (size_t at = from; at < to; at++) {
        char path[64];
        if (!is_read(n, at)) continue;
        memcpy(changed, sample, n);
        changed[at] ^= mask;
        int fd = memfd_create("flip", 0); /* no wait for the disk */
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (write(fd, changed, n) != (ssize_t)n) _exit(4);
        struct h5_probe probe = h5_probe_file(path);
        close(fd);
        if (probe.silent > 0) _exit(3);
    }
    _exit(0);
}

static void a_flipped_byte_is_never_a_crash(void **state) {
    (void)state;
    static const unsigned char masks[] = {0xff, 0x01, 0x80};
    assert_ok(write_sample(path_of("sample.h5")));
    size_t n = read_file(path_of("sample.h5"), sample, sizeof sample);
    const size_t step = 512;
    for (size_t m = 0; m < sizeof masks; m++) {
        for (size_t at = 0; at < n; at += step) {
            int result;
            pid_t child = fork();
            if (child == 0) {
                alarm(60);
                flip_range(n, at, at + step < n ? at + step : n, masks[m]);
            }
            assert_int_equal(waitpid(child, &result, 0), child);
            if (WIFSIGNALED(result)) fail_msg("bytes %zu.. ^ %02x: signal %d", at, masks[m], WTERMSIG(result));
            if (WEXITSTATUS(result) != 0) fail_msg("bytes %zu.. ^ %02x: status %d", at, masks[m], WEXITSTATUS(result));
        }
    }
}

/* A damaged chunk is found by its checksum, and its rows are named, whatever was asked for. */
static void a_damaged_chunk_names_its_rows(void **state) {
    (void)state;
    assert_ok(write_sample(path_of("sample.h5")));
    size_t n = read_file(path_of("sample.h5"), sample, sizeof sample);
    const unsigned char row[] = {54, 55, 56, 57, 58, 59}; /* rows 18 and 19, in the second chunk of 16 */
    unsigned char *found = memmem(sample, n, row, sizeof row);
    assert_non_null(found);
    found[1] ^= 0x10;
    write_file(path_of("chunk.h5"), sample, n);
    struct ta_h5 *file;
    struct ta_h5_set *set;
    uint8_t out[40 * 3];
    assert_ok(ta_h5_open(path_of("chunk.h5"), TA_H5_READ, &file));
    assert_ok(ta_h5_set_open(file, "/x", &set));
    assert_ok(ta_h5_set_read(set, TA_H5_U8, 0, 16, out));
    const char *message = "chunk.h5: /x: the chunk of rows 16 to 31 cannot be read (damaged?)";
    assert_fails(TA_IO, message, ta_h5_set_read(set, TA_H5_U8, 0, 40, out));
    assert_fails(TA_IO, message, ta_h5_set_read(set, TA_H5_U8, 20, 2, out));
    assert_ok(ta_h5_set_read(set, TA_H5_U8, 32, 8, out));
    assert_int_equal(out[0], 96);
    ta_h5_set_close(set);
    assert_ok(ta_h5_close(file));
}

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
}

/* Wherever the disk fills up, it is said, nothing stays open, and the next attempt works. */
static void a_full_disk_is_said_and_survived(void **state) {
    (void)state;
    assert_ok(write_sample(path_of("whole.h5")));
    size_t n = read_file(path_of("whole.h5"), sample, sizeof sample);
    int lowest = dup(0);
    close(lowest);
    for (size_t room = 0; room < n; room += 397) {
        limit_files(room);
        ta_status status = write_sample(path_of("full.h5"));
        limit_files(RLIM_INFINITY);
        if (status != TA_IO) fail_msg("room for %zu: %s: %s", room, ta_status_name(status), ta_why());
        if (strstr(ta_why(), "full.h5: ") == NULL || strstr(ta_why(), "File too large") == NULL)
            fail_msg("room for %zu: %s", room, ta_why());
        int next = dup(0);
        close(next);
        assert_int_equal(next, lowest);
        assert_ok(write_sample(path_of("full.h5")));
        size_t again = read_file(path_of("full.h5"), changed, sizeof changed);
        assert_int_equal(again, n);
        assert_memory_equal(changed, sample, n);
    }
    struct ta_h5 *file;
    if (access("/dev/full", W_OK) == 0) assert_int_not_equal(ta_h5_open("/dev/full", TA_H5_CREATE, &file), TA_OK);
}

static ta_status read_sample(const char *path) {
    struct ta_h5 *file;
    struct ta_h5_set *set = NULL;
    char **texts, text[16];
    size_t count;
    float values[6];
    struct ta_h5_shape shape = {.type = TA_H5_F32, .rank = 2, .dims = {2, 3}};
    ta_status status = ta_h5_open(path, TA_H5_READ, &file);
    if (status != TA_OK) return status;
    status = ta_h5_read_all(file, "/g/dense/kernel:0", &shape, values);
    if (status == TA_OK) status = ta_h5_attr_get_text(file, "/", "text", text, sizeof text);
    if (status == TA_OK) status = ta_h5_attr_get_texts(file, "/g", "layer_names", &texts, &count);
    if (status == TA_OK) ta_h5_texts_free(texts, count);
    if (status == TA_OK) status = ta_h5_set_open(file, "/x", &set);
    ta_h5_set_close(set);
    ta_status closed = ta_h5_close(file);
    return status == TA_OK ? closed : status;
}

static void every_failing_allocation_is_survived(void **state) {
    (void)state;
    size_t before = ta_mem_held_bytes();
    for (int reading = 0; reading < 2; reading++) {
        unsigned n = 0;
        ta_status status;
        do {
            ta_mem_fail_nth(++n);
            status = reading ? read_sample(path_of("memory.h5")) : write_sample(path_of("memory.h5"));
            ta_mem_fail_nth(0);
            assert_int_equal(ta_mem_held_bytes(), before);
            if (status != TA_OK && status != TA_NO_MEMORY)
                fail_msg("allocation %u: %s: %s", n, ta_status_name(status), ta_why());
        } while (status != TA_OK);
        assert_true(n > 6);
    }
}

static void *use_a_file_of_its_own(void *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, (const char *)name);
    for (int i = 0; i < 20; i++)
        if (write_sample(path) != TA_OK || read_sample(path) != TA_OK) return (void *)1;
    return NULL;
}

static void threads_may_use_files_of_their_own(void **state) {
    (void)state;
    static const char *const names[] = {"t0.h5", "t1.h5", "t2.h5", "t3.h5"};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_a_file_of_its_own, (void *)names[i]), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_cut_anywhere_is_refused_with_a_message),
        cmocka_unit_test(a_flipped_byte_is_never_a_crash),
        cmocka_unit_test(a_damaged_chunk_names_its_rows),
        cmocka_unit_test(a_full_disk_is_said_and_survived),
        cmocka_unit_test(every_failing_allocation_is_survived),
        cmocka_unit_test(threads_may_use_files_of_their_own),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
