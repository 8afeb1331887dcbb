/* Files made by h5py (foreign_files.py): what others write is read, or refused by name; a flipped bit anywhere in a
 * file whose metadata are checksummed too is harmless or found. SKIPPED without /usr/bin/python3 that has h5py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stream.h"
#include "stream_file.h"

/* libhdf5 forgets small blocks when it gives up on a damaged file; ours are counted as ever. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5"; }

static char directory[64], path[128];

static ta_status open_named(const char *name, struct ta_stream **s) {
    snprintf(path, sizeof path, "%s/%s.h5", directory, name);
    ta_why_clear();
    return ta_stream_hdf5_open(path, s);
}

static ta_status read_all(struct ta_stream *s, unsigned char *x, int32_t *class, float *value) {
    return s->ops->read(s, 0, 50, &(struct ta_stream_block){.x = x, .class = class, .value = value});
}

static void what_others_write_is_read(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint32_t h, w, c, classes, targets;
        float scale;
    } good[] = {
        {"mnist_like", 4, 3, 1, 7, 0, 1.0F / 255}, {"gzip_shuffle", 4, 3, 1, 7, 0, 1.0F / 255},
        {"big_endian", 1, 1, 4, 7, 0, 1},          {"float64", 1, 1, 4, 7, 0, 1},
        {"regression", 1, 1, 4, 0, 2, 1},          {"ours_fixed_strings", 4, 3, 1, 9, 0, 0.5F},
        {"ours_python_str", 4, 3, 1, 7, 0, 2},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct ta_stream *s;
        if (open_named(good[i].name, &s) != TA_OK) fail_msg("%s: %s", good[i].name, ta_why());
        const struct ta_stream_info *info = &s->info;
        assert_true(info->records == 50 && info->h == good[i].h && info->w == good[i].w && info->c == good[i].c);
        assert_true(info->classes == good[i].classes && info->targets == good[i].targets);
        assert_true(info->scale == good[i].scale);
        unsigned char x[50 * 16];
        int32_t class[50];
        float value[100];
        if (read_all(s, x, class, value) != TA_OK) fail_msg("%s: %s", good[i].name, ta_why());
        for (int j = 0; j < 200; j++) {
            float element = x[j];
            if (info->element == TA_ELEMENT_F32) memcpy(&element, x + 4 * j, 4);
            assert_true(element == (float)j);
        }
        for (int j = 0; j < 50; j++) {
            if (good[i].targets) assert_true(value[2 * j] == (float)(4 * j) && value[2 * j + 1] == (float)(4 * j + 1));
            else assert_int_equal(class[j], j % 7);
        }
        ta_stream_close(s);
    }
}

static void what_others_get_wrong_is_named(void **state) {
    (void)state;
    static const struct {
        const char *name, *word;
    } bad[] = {
        {"no_x", "/x: is not in the file"},
        {"no_y", "/y: is not in the file"},
        {"float16", "/x: holds"},
        {"text", "/x: holds"},
        {"compound", "/x: holds"},
        {"scalar", "/x: has rank 0"},
        {"boolean_labels", "/y: holds"},
        {"text_labels", "/y: holds"},
        {"one_hot", "argmax"},
        {"lzf", "filter"},
        {"scale_is_text", "scale"},
        {"version_is_list", "version"},
        {"negative", "/y: record 0 has label -3"},
        {"group", "/x: is not a dataset"},
        {"dangling", "/x: is not in the file"},
        {"virtual", "virtual.h5"},
        {"absurd", "/x: claims"},
        {"wide", "/x: "},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ta_stream *s = NULL;
        ta_status status = open_named(bad[i].name, &s);
        if (status != TA_FORMAT || s != NULL) fail_msg("%s: %s: %s", bad[i].name, ta_status_name(status), ta_why());
        if (strstr(ta_why(), bad[i].word) == NULL || strstr(ta_why(), path) == NULL || strchr(ta_why(), '\n') != NULL)
            fail_msg("%s: '%s' does not say '%s'", bad[i].name, ta_why(), bad[i].word);
    }
}

/* x and labels are what they were, or the read fails: a flipped bit is never taken for data. */
static void flipped_bits_are_harmless_or_found(void **state) {
    (void)state;
    struct ta_stream *s;
    assert_int_equal(open_named("armoured", &s), TA_OK);
    ta_stream_close(s);
    size_t bytes;
    unsigned char *content = file_load(path, &bytes);
    unsigned found = 0;
    for (size_t at = 0; at < bytes; at++) {
        file_poke(path, at, content[at] ^ (unsigned char)(1 << at % 8));
        ta_status status = open_named("armoured", &s);
        if (status == TA_OK) {
            unsigned char x[50 * 12];
            int32_t class[50];
            assert_true(s->info.records == 50 && ta_stream_x_bytes(&s->info) == 12);
            status = read_all(s, x, class, NULL);
            for (int i = 0; i < 50 && status == TA_OK; i++) assert_int_equal(class[i], i % 7);
            for (int i = 0; i < 600 && status == TA_OK; i++) assert_int_equal(x[i], i % 256);
            ta_stream_close(s);
        }
        file_poke(path, at, content[at]);
        if (status == TA_OK) continue;
        assert_true(ta_why()[0] != '\0');
        found++;
    }
    assert_true(found > 600 + 200); /* all of the data at least */
    free(content);
}

int main(int argc, char **argv) {
    char command[512];
    if (argc != 2) return 1;
    if (system("/usr/bin/python3 -c 'import h5py' 2>/dev/null") != 0) {
        puts("SKIPPED: /usr/bin/python3 has no h5py: apt-get install python3-h5py");
        return 77;
    }
    scratch_open(directory);
    snprintf(command, sizeof command, "/usr/bin/python3 '%s' '%s'", argv[1], directory);
    int failed = system(command);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_others_write_is_read),
        cmocka_unit_test(what_others_get_wrong_is_named),
        cmocka_unit_test(flipped_bits_are_harmless_or_found),
    };
    if (failed == 0) failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_close(directory);
    return failed == 0 ? 0 : 1;
}
