/* Files of word vectors: what is written is read, to the bit; what others write is read; what is damaged is named. */
#include <math.h>
#include <sys/stat.h>

#include "eval_files.h"

static void assert_same(const struct ta_vectors *a, const struct ta_vectors *b) {
    assert_int_equal(a->dim, b->dim);
    assert_int_equal(a->names.count, b->names.count);
    for (size_t i = 0; i < a->names.count; i++)
        assert_string_equal(ta_names_get(&a->names, i), ta_names_get(&b->names, i));
    assert_memory_equal(a->v, b->v, a->names.count * a->dim * sizeof *a->v);
}

static void vectors_come_back(void **state) {
    static const uint32_t dims[] = {1, 2, 3, 4, 5, 16, 33, 100, 300};
    static const float odd[] = {0, -0.0F, 1e-45F, -1.17549435e-38F, 3.40282347e38F, 1.00000012F, -1, 16777217};
    struct ta_rng rng = ta_rng_make(1, 0);
    char path[512];
    scratch_path(path, *state, "v");
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        for (int format = 0; format < 2; format++) {
            struct ta_vectors v, back;
            made_up(&v, &rng, 1 + ta_rng_below(&rng, 60), dims[d]);
            for (size_t i = 0; i < v.names.count; i++) v.v[i * v.dim] = odd[i % 8];
            assert_ok(ta_vectors_write(&v, format == 0 ? TA_VECTORS_TEXT : TA_VECTORS_BINARY, path));
            assert_ok(ta_vectors_read(path, &back));
            assert_same(&v, &back);
            ta_vectors_free(&back);
            ta_vectors_free(&v);
        }
    }
    char part[512];
    assert_int_not_equal(access(scratch_path(part, *state, "v.part"), F_OK), 0);
}

/* word2vec.c, gensim, hands on Windows, the first Google News file. */
static void what_others_write_is_read(void **state) {
    static const float wanted[] = {0.5F, -1.25F, 3e-3F, 1e10F};
    static const char *const texts[] = {"2 2\na 0.500000 -1.250000 \nb 0.003000 10000000000.000000 \n",
                                        "2 2\na 0.5 -1.25\nb 0.003 1e10\n\n", "2 2\r\na 0.5 -1.25\r\nb 3e-3 1E+10\r\n",
                                        "2 2 \na 0.5  -1.25\nb +3e-3 1E+10\n"};
    char path[512];
    unsigned char bytes[64];
    struct ta_vectors v;
    scratch_path(path, *state, "v");
    for (int i = 0; i < 5; i++) {
        if (i < 4)
            write_text(path, texts[i]);
        else {
            memcpy(bytes, "2 2\na ", 6);
            memcpy(bytes + 6, wanted, 8);
            memcpy(bytes + 14, "b ", 2);
            memcpy(bytes + 16, wanted + 2, 8);
            file_write(path, bytes, 24);
        }
        assert_ok(ta_vectors_read(path, &v));
        assert_int_equal(v.names.count, 2);
        assert_string_equal(ta_names_get(&v.names, 1), "b");
        assert_memory_equal(v.v, wanted, sizeof wanted);
        ta_vectors_free(&v);
    }
    write_text(path, "2 2\na\t0.5\t-1.25\nb\t3e-3\t1E+10\n"); /* a tab does not end a word */
    assert_fails(TA_FORMAT, "word 1 of 2", ta_vectors_read(path, &v));
}

static void wrong_files_are_named(void **state) {
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"", "neither HDF5 nor word2vec's"},
        {"king 0.1 0.2\n", "neither HDF5 nor word2vec's"},
        {"1 2", "neither HDF5"},
        {"1 2 3\na 1 2 3\n", "neither HDF5"},
        {"-1 2\na 1 2\n", "neither HDF5"},
        {"18446744073709551617 1\na 1\n", "neither HDF5"},
        {"0 3\n", "0 words of 3"},
        {"3 0\na\nb\nc\n", "3 words of 0"},
        {"1 65537\na 1\n", "65537"},
        {"2147483648 1\na 1\n", "2147483648"},
        {"2147483647 65536\na 1 2 3 4 5 6\n", "2147483647 words of 65536 numbers, at least"},
        {"3 2\na 1 2\nb 1 2\n", "3 words of 2 numbers, at least 18 bytes as text, but only 12 follow"},
        {"2 2\na 1.25 2.5\nb 1\n", "word 2 (b) has 1 numbers, not the 2"},
        {"2 3\na 1.25 2.5\nb 1.25 1.25 1\n", "word 1 (a) has 2 numbers, not the 3"},
        {"2 2\na 1.25 2.5 3.5\nb 1 2 3\n", "word 1 (a) has more than the 2 numbers"},
        {"2 2\na 1.25 2.5\nb 1.x 2.5\n", "word 2 (b): number 1 is none"},
        {"2 2\na 1.25 2.5\nb 1 nan\n", "word 2 (b): number 2 is not finite"},
        {"2 2\na 1.25 2.5\nb 1 1e39\n", "not finite"},
        {"2 2\na 1.25 2.5\nb 1 -inf\n", "not finite"},
        {"2 2\na 1.25 2.5\n 1.25 2.25\n", "word 2 of 2 is empty"},
        {"2 2\na 1.25 2.5\nb\xff 1 2\n", "word 2 of 2 is not UTF-8"},
        {"2 2\na 1.25 2.5\nb\x01 1 2\n", "holds byte 0x01"},
        {"1 2\na 1.25 2.5\nb 1 2\n", "goes on after the 1 words"},
        {"2 2\na 1.25 2.5\nb 0000000000000000000000000000000000000000000000000000000000000000001 1\n", "is none"},
    };
    char path[512];
    struct ta_vectors v;
    scratch_path(path, *state, "v");
    size_t held = ta_mem_held_bytes();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_text(path, wrong[i].text);
        assert_fails(TA_FORMAT, wrong[i].says, ta_vectors_read(path, &v));
        assert_non_null(strstr(ta_why(), path));
        assert_null(v.v);
        assert_int_equal(ta_mem_held_bytes(), held);
    }
    char *longer = malloc(6000);
    memset(longer, 'x', 5999);
    memcpy(longer, "1 2\n", 4);
    memcpy(longer + 5000, " 1.25 2.5\n", 11);
    write_text(path, longer);
    assert_fails(TA_FORMAT, "more than 4096 bytes", ta_vectors_read(path, &v));
    free(longer);
    assert_fails(TA_IO, "nowhere", ta_vectors_read(scratch_path(path, *state, "nowhere"), &v));
    assert_fails(TA_FORMAT, "not a file", ta_vectors_read(*state, &v));
    assert_int_equal(mkfifo(scratch_path(path, *state, "fifo"), 0600), 0);
    assert_fails(TA_FORMAT, "not a file", ta_vectors_read(path, &v));
}

/* A file that lost its end is never taken; only binary may lack its last line end. */
static void cut_files_are_named(void **state) {
    struct ta_rng rng = ta_rng_make(2, 0);
    char path[512];
    scratch_path(path, *state, "v");
    for (int format = 0; format < 2; format++) {
        struct ta_vectors v, back;
        size_t bytes;
        made_up(&v, &rng, 9, 5);
        assert_ok(ta_vectors_write(&v, format == 0 ? TA_VECTORS_TEXT : TA_VECTORS_BINARY, path));
        unsigned char *data = file_read(path, &bytes);
        for (size_t cut = 0; cut < bytes; cut++) {
            file_write(path, data, cut);
            if (format == 1 && cut == bytes - 1) {
                assert_ok(ta_vectors_read(path, &back));
                assert_same(&v, &back);
                ta_vectors_free(&back);
            } else {
                assert_fails(TA_FORMAT, path, ta_vectors_read(path, &back));
            }
        }
        free(data);
        ta_vectors_free(&v);
    }
}

/* Whatever byte is wrong: a message, or finite numbers and words. */
static void damaged_files_do_no_harm(void **state) {
    struct ta_rng rng = ta_rng_make(3, 0);
    char path[512];
    scratch_path(path, *state, "v");
    for (int format = 0; format < 2; format++) {
        struct ta_vectors v, back;
        size_t bytes, refused = 0;
        made_up(&v, &rng, 5, 4);
        assert_ok(ta_vectors_write(&v, format == 0 ? TA_VECTORS_TEXT : TA_VECTORS_BINARY, path));
        unsigned char *data = file_read(path, &bytes);
        for (size_t at = 0; at < bytes; at++) {
            unsigned char was = data[at];
            data[at] = at % 3 == 0 ? (unsigned char)ta_rng_u32(&rng) : was ^ (unsigned char)(1U << at % 8);
            file_write(path, data, bytes);
            data[at] = was;
            ta_why_clear();
            ta_status status = ta_vectors_read(path, &back);
            assert_true(status == TA_OK || (status == TA_FORMAT && strstr(ta_why(), path) != NULL));
            refused += status != TA_OK;
            for (size_t i = 0; i < back.names.count * back.dim; i++) assert_true(isfinite(back.v[i]));
            for (size_t i = 0; i < back.names.count; i++)
                assert_true(ta_names_utf8(ta_names_get(&back.names, i), strlen(ta_names_get(&back.names, i))));
            ta_vectors_free(&back);
        }
        assert_true(refused > 5);
        free(data);
        ta_vectors_free(&v);
    }
}

static void what_cannot_be_written_is_said(void **state) {
    struct ta_rng rng = ta_rng_make(4, 0);
    struct ta_vectors v, back;
    char path[512], folder[512];
    made_up(&v, &rng, 3, 2);
    scratch_path(path, *state, "none/v");
    assert_fails(TA_IO, path, ta_vectors_write(&v, TA_VECTORS_TEXT, path));
    assert_int_equal(mkdir(scratch_path(folder, *state, "folder"), 0700), 0);
    write_text(scratch_path(path, *state, "folder/x"), "kept");
    assert_fails(TA_IO, "rename", ta_vectors_write(&v, TA_VECTORS_TEXT, folder));
    assert_int_not_equal(access(scratch_path(path, *state, "folder.part"), F_OK), 0);
    scratch_path(path, *state, "v");
    assert_ok(ta_vectors_write(&v, TA_VECTORS_TEXT, path));
    assert_ok(ta_names_add(&v.names, "New York", 8, 1)); /* never reaches the numbers, of which there are none */
    assert_fails(TA_FORMAT, "New York", ta_vectors_write(&v, TA_VECTORS_TEXT, path));
    assert_ok(ta_vectors_read(path, &back));
    assert_int_equal(back.names.count, 3);
    ta_vectors_free(&back);
    if (access("/dev/full", W_OK) == 0 && symlink("/dev/full", scratch_path(path, *state, "full.part")) == 0) {
        v.names.count = 3;
        assert_fails(TA_IO, "is the disk full?",
                     ta_vectors_write(&v, TA_VECTORS_BINARY, scratch_path(path, *state, "full")));
    }
    ta_vectors_free(&v);
}

static void memory_runs_out(void **state) {
    struct ta_rng rng = ta_rng_make(5, 0);
    struct ta_vectors v, back;
    char path[512];
    scratch_path(path, *state, "v");
    made_up(&v, &rng, 700, 3);
    size_t held = ta_mem_held_bytes();
    for (int reading = 0; reading < 2; reading++) {
        unsigned failures = 0;
        for (;; failures++) {
            ta_mem_fail_nth(failures + 1);
            ta_status status = reading ? ta_vectors_read(path, &back) : ta_vectors_write(&v, TA_VECTORS_TEXT, path);
            ta_mem_fail_nth(0);
            if (status == TA_OK) break;
            assert_int_equal(status, TA_NO_MEMORY);
            assert_int_equal(ta_mem_held_bytes(), held);
        }
        assert_true(failures >= (reading ? 5 : 1));
    }
    ta_vectors_free(&back);
    ta_vectors_free(&v);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(vectors_come_back),        WITH_SCRATCH(what_others_write_is_read),
        WITH_SCRATCH(wrong_files_are_named),    WITH_SCRATCH(cut_files_are_named),
        WITH_SCRATCH(damaged_files_do_no_harm), WITH_SCRATCH(what_cannot_be_written_is_said),
        WITH_SCRATCH(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
