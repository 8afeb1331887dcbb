/* Any bytes as a text, as pairs of words, and, when they begin like HDF5, as a vocabulary. What is taken for a text
 * must be one, and must come out of both importers with all its words; a vocabulary that is read must be written and
 * read again to the same. */
#include <stdlib.h>
#include <string.h>

#include "bytes_file.h"
#include "import.h"
#include "mem.h"
#include "stream.h"

static char folder[64], out[80];

static void make_folder(void) {
    if (folder[0] != '\0') return;
    snprintf(folder, sizeof folder, "/dev/shm/tensair-fuzz-XXXXXX"); /* no wait for the disk */
    if (mkdtemp(folder) == NULL) __builtin_trap();
    snprintf(out, sizeof out, "%s/out.h5", folder);
}

static void remove_folder(void) {
    unlink(out);
    rmdir(folder);
}

static bool is_gap(unsigned char byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

/* The words of a text, each cut and ended by a line's end, into `words`; how many bytes. */
static size_t split(const uint8_t *bytes, size_t count, char *words) {
    size_t used = 0;
    for (size_t at = 0; at < count;) {
        size_t length = 0;
        while (at + length < count && !is_gap(bytes[at + length])) length++;
        size_t kept = length > TA_IMPORT_WORD_BYTES_MOST ? TA_IMPORT_WORD_BYTES_MOST : length;
        while (kept > 0 && kept < length && (bytes[at + kept] & 0xc0) == 0x80) kept--;
        memcpy(words + used, bytes + at, kept);
        used += kept;
        if (length > 0) words[used++] = '\n';
        at += length + 1;
    }
    return used;
}

/* The same of what was imported; x is a record. */
static size_t words_of_record(const struct ta_stream_info *info, const struct ta_names *names, const void *x,
                              char *words) {
    if (info->text) return split(x, strnlen(x, info->c), words);
    size_t used = 0;
    for (uint32_t i = 0; i < info->c && ((const int32_t *)x)[i] >= 0; i++) {
        const char *word = ta_names_get(names, (size_t)((const int32_t *)x)[i]);
        memcpy(words + used, word, strlen(word));
        used += strlen(word);
        words[used++] = '\n';
    }
    return used;
}

static void compare(const char *wanted, size_t wanted_bytes) {
    struct ta_stream *s;
    struct ta_names names = {0};
    char x[TA_IMPORT_TEXT_BYTES], words[2 * TA_IMPORT_TEXT_BYTES];
    size_t at = 0;
    if (ta_stream_open(&(struct ta_stream_spec){.file = out}, &s) != TA_OK) __builtin_trap();
    if (!s->info.text && ta_stream_names(out, &names) != TA_OK) __builtin_trap();
    if (ta_stream_x_bytes(&s->info) > sizeof x) __builtin_trap();
    for (uint64_t i = 0; i < s->info.records; i++) {
        if (s->ops->read(s, i, 1, &(struct ta_stream_block){.x = x}) != TA_OK) __builtin_trap();
        size_t bytes = words_of_record(&s->info, &names, x, words);
        if (bytes == 0 || bytes > wanted_bytes - at || memcmp(words, wanted + at, bytes) != 0) __builtin_trap();
        at += bytes;
    }
    if (at != wanted_bytes) __builtin_trap();
    ta_names_free(&names);
    ta_stream_close(s);
}

static void import_text(const char *path, const uint8_t *bytes, size_t count, bool online) {
    struct ta_import_text text = {.file = path, .online = online, .min_count = !online, .sentence = online ? 0 : 5};
    struct ta_import_report report;
    ta_why_clear();
    ta_status status = ta_import_text(&text, &(struct ta_import_options){.out = out, .force = true}, &report);
    need_message(status, ta_why());
    if (count >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b) return; /* gzip: what is in it, is not known here */
    char *words = malloc(2 * count + 2);
    size_t mark = count >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* of byte order, in front only */
    size_t wanted = split(bytes + mark, count - mark, words);
    bool good = ta_names_utf8((const char *)bytes, count) && memchr(bytes, '\0', count) == NULL && wanted > 0;
    if (good != (status == TA_OK)) __builtin_trap();
    if (good) compare(words, wanted);
    free(words);
}

static void read_vocabulary(const char *path) {
    struct ta_names names, again;
    struct ta_h5 *file;
    ta_why_clear();
    ta_status status = ta_stream_names(path, &names);
    need_message(status, ta_why());
    if (status != TA_OK) return;
    if (ta_h5_open(out, TA_H5_CREATE, &file) != TA_OK || ta_names_write(&names, file) != TA_OK ||
        ta_h5_close(file) != TA_OK || ta_stream_names(out, &again) != TA_OK)
        __builtin_trap();
    if (again.count != names.count || ta_names_checksum(&again) != ta_names_checksum(&names) ||
        memcmp(again.counts, names.counts, names.count * sizeof *names.counts) != 0)
        __builtin_trap();
    ta_names_free(&again);
    ta_names_free(&names);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    static bool asked;
    struct ta_import_report report;
    char path[64];
    make_folder();
    if (!asked) asked = atexit(remove_folder) == 0;
    int fd = bytes_file(bytes, count, path);
    if (fd < 0) return 0;
    if (count >= 4 && memcmp(bytes, "\x89HDF", 4) == 0) {
        read_vocabulary(path);
    } else {
        import_text(path, bytes, count, false);
        import_text(path, bytes, count, true);
        ta_why_clear();
        ta_status status = ta_import_pairs(&(struct ta_import_pairs){.file = path},
                                           &(struct ta_import_options){.out = out, .force = true}, &report);
        need_message(status, ta_why());
    }
    close(fd);
    return 0;
}
