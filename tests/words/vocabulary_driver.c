/* vocabulary_driver: a vocabulary by hand. vocabulary_driver ROWS ADMIT CANDIDATES FADE RANK RANKS reads lines:
 *
 *   read MOST HEX        prints the rows of the words of that text
 *   decide MOST          prints row:hex of each decision
 *   set ROW SEEN HEX     HEX: 64 digits; prints whether that was a change
 *   state                prints the statistics, then count:hex of each row
 *   file PATH BYTES      reads so much of a file, 4,096 bytes and the rest of a word at a time, deciding in between
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vocabulary.h"

enum { LINE_BYTES = 1 << 20, PIECE_BYTES = 4096 };

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

/* In a block of its own size, so that a sanitizer sees a read beyond it. */
static char *unhex(const char *hex, size_t *bytes) {
    *bytes = strspn(hex, "0123456789abcdef") / 2;
    char *out = malloc(*bytes > 0 ? *bytes : 1);
    for (size_t i = 0; i < *bytes && out != NULL; i++) out[i] = (char)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    return out;
}

static void print_hex(const char *text) {
    for (; *text != '\0'; text++) printf("%02x", (unsigned char)*text);
}

static void read_text(struct ta_vocabulary *v, const char *arguments) {
    static int32_t words[LINE_BYTES];
    char *hex;
    size_t bytes, most = strtoul(arguments, &hex, 10);
    char *text = unhex(hex + strspn(hex, " "), &bytes);
    size_t n = ta_vocabulary_read(v, text, bytes, words, most);
    printf("rows");
    for (size_t i = 0; i < n; i++) printf(" %" PRId32, words[i]);
    printf("\n");
    free(text);
}

static void decide(struct ta_vocabulary *v, size_t most) {
    static struct ta_vocabulary_change change[1000];
    size_t n = ta_vocabulary_decide(v, change, most < 1000 ? most : 1000);
    printf("decided");
    for (size_t i = 0; i < n; i++) {
        printf(" %" PRIu32 ":", change[i].row);
        print_hex(change[i].name);
    }
    printf("\n");
}

static void set(struct ta_vocabulary *v, const char *arguments) {
    char *rest;
    size_t bytes;
    uint32_t row = (uint32_t)strtoul(arguments, &rest, 10);
    uint64_t seen = strtoull(rest, &rest, 10);
    char *name = unhex(rest + strspn(rest, " "), &bytes);
    printf("set %d\n", bytes == TA_VOCABULARY_WORD_BYTES + 1 && ta_vocabulary_set(v, row, name, seen));
    free(name);
}

static int print_state(const struct ta_vocabulary *v) {
    struct ta_vocabulary_stats s;
    struct ta_names names;
    ta_vocabulary_stats(v, &s);
    if (ta_vocabulary_names(v, &names) != TA_OK) return 1;
    printf("state %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu32 " :", s.words, s.known,
           s.admitted, s.evicted, s.garbled, s.used);
    for (size_t i = 0; i < names.count; i++) {
        printf(" %" PRIu64 ":", names.counts[i]);
        print_hex(ta_names_get(&names, i));
    }
    printf("\n");
    ta_names_free(&names);
    return 0;
}

static int read_file(struct ta_vocabulary *v, char *arguments) {
    static char piece[PIECE_BYTES + 1024];
    static int32_t words[PIECE_BYTES];
    char *end = strchr(arguments, ' ');
    if (end == NULL) return 1;
    *end = '\0';
    size_t left = strtoul(end + 1, NULL, 10), got;
    struct ta_vocabulary_change change;
    FILE *f = fopen(arguments, "r");
    if (f == NULL) return 1;
    while (left > 0 && (got = fread(piece, 1, left < PIECE_BYTES ? left : PIECE_BYTES, f)) > 0) {
        left -= got;
        for (int c; piece[got - 1] != ' ' && got < sizeof piece && (c = getc(f)) != EOF;) piece[got++] = (char)c;
        ta_vocabulary_read(v, piece, got, words, PIECE_BYTES);
        while (ta_vocabulary_decide(v, &change, 1) > 0) {}
    }
    fclose(f);
    return print_state(v);
}

int main(int argc, char **argv) {
    static char line[LINE_BYTES];
    struct ta_vocabulary *v;
    unsigned long number[6];
    if (argc != 7) {
        fputs("usage: vocabulary_driver ROWS ADMIT CANDIDATES FADE RANK RANKS\n", stderr);
        return 2;
    }
    for (int i = 0; i < 6; i++) number[i] = strtoul(argv[i + 1], NULL, 10);
    struct ta_vocabulary_config config = {.rows = (uint32_t)number[0], .admit = (uint32_t)number[1],
                                          .candidates = (uint32_t)number[2], .fade_words = number[3],
                                          .rank = (unsigned)number[4], .n_ranks = (unsigned)number[5]};
    if (ta_vocabulary_open(&config, &v) != TA_OK) {
        fprintf(stderr, "%s\n", ta_why());
        return 2;
    }
    int bad = 0;
    while (!bad && fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "read ", 5) == 0) read_text(v, line + 5);
        else if (strncmp(line, "decide ", 7) == 0) decide(v, strtoul(line + 7, NULL, 10));
        else if (strncmp(line, "set ", 4) == 0) set(v, line + 4);
        else if (strcmp(line, "state") == 0) bad = print_state(v);
        else if (strncmp(line, "file ", 5) == 0) bad = read_file(v, line + 5);
        else bad = 1;
    }
    ta_vocabulary_close(v);
    return bad;
}
