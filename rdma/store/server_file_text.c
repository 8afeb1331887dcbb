/* server_file_text: the text of the server file; every line is known, in its place, and whole. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server_file.h"

/* Lines that are read one by one; a line is ended by "\n" and holds printable ASCII alone. */
struct lines {
    const char *name, *at, *end;
    unsigned number;
    char line[TA_STORE_ADDRESS_BYTES + 16];
};

static ta_status damaged(const struct lines *l, const char *what) {
    return ta_fail(TA_FORMAT, "%s:%u: %s; remove it and start the run again", l->name, l->number, what);
}

static ta_status next_line(struct lines *l) {
    l->number++;
    const char *end = memchr(l->at, '\n', (size_t)(l->end - l->at));
    if (end == NULL) return damaged(l, "the file is cut here");
    size_t n = (size_t)(end - l->at);
    if (n >= sizeof l->line) return damaged(l, "the line is too long");
    for (size_t i = 0; i < n; i++)
        if (l->at[i] < ' ' || l->at[i] > '~') return damaged(l, "the line is no text");
    memcpy(l->line, l->at, n);
    l->line[n] = '\0';
    l->at = end + 1;
    return TA_OK;
}

/* What stands behind "KEY " in the next line. */
static ta_status next_value(struct lines *l, const char *key, const char **value) {
    size_t n = strlen(key);
    ta_status status = next_line(l);
    if (status != TA_OK) return status;
    if (strncmp(l->line, key, n) != 0 || l->line[n] != ' ' || l->line[n + 1] == '\0')
        return ta_fail(TA_FORMAT, "%s:%u: '%.40s' stands where '%s' should; remove it and start the run again", l->name,
                       l->number, l->line, key);
    *value = l->line + n + 1;
    return TA_OK;
}

static int digit_of(char c) {
    static const char digits[] = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)(at - digits);
}

static bool read_hex(const char *text, unsigned char *out, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        int high = digit_of(text[2 * i]), low = high < 0 ? -1 : digit_of(text[2 * i + 1]);
        if (low < 0) return false;
        out[i] = (unsigned char)(16 * high + low);
    }
    return text[2 * bytes] == '\0';
}

static bool read_port(const char *text, unsigned *out) {
    unsigned long port = 0;
    size_t n = strlen(text);
    if (n == 0 || n > 5 || strspn(text, "0123456789") != n || text[0] == '0') return false;
    for (size_t i = 0; i < n; i++) port = 10 * port + (unsigned long)(text[i] - '0');
    *out = (unsigned)port;
    return port <= 65535;
}

/* A number or a name of a host: nothing that anything else could take for an option or a path. */
static bool address_fits(const char *text) {
    static const char fine[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.:-_%";
    size_t n = strlen(text);
    return n > 0 && n < TA_STORE_ADDRESS_BYTES && text[0] != '-' && strspn(text, fine) == n;
}

static ta_status read_addresses(struct lines *l, struct ta_store_server_file *out) {
    ta_status status;
    while ((status = next_line(l)) == TA_OK && strcmp(l->line, "end") != 0) {
        if (strncmp(l->line, "address ", 8) != 0 || !address_fits(l->line + 8)) return damaged(l, "this is no address");
        if (out->n_addresses == TA_STORE_ADDRESSES) return damaged(l, "there are more than 16 addresses");
        snprintf(out->address[out->n_addresses++], TA_STORE_ADDRESS_BYTES, "%.255s", l->line + 8);
    }
    if (status == TA_OK && out->n_addresses == 0) status = damaged(l, "there is no address");
    if (status == TA_OK && l->at != l->end) status = damaged(l, "there is more behind the end");
    return status;
}

static ta_status read_head(struct lines *l, struct ta_store_server_file *out) {
    const char *value = "";
    unsigned char run[8];
    ta_status status = next_line(l);
    if (status != TA_OK) return status;
    if (strncmp(l->line, "tensair store ", 14) != 0) return damaged(l, "this is not the file of a store");
    if (strcmp(l->line + 14, "1") != 0)
        return ta_fail(TA_FORMAT, "%s has format %.20s, this program reads 1; run one version everywhere", l->name,
                       l->line + 14);
    status = next_value(l, "run", &value);
    if (status == TA_OK && !read_hex(value, run, sizeof run)) status = damaged(l, "this is no run id");
    for (size_t i = 0; status == TA_OK && i < sizeof run; i++) out->run_id = out->run_id << 8 | run[i];
    if (status == TA_OK) status = next_value(l, "port", &value);
    if (status == TA_OK && !read_port(value, &out->port)) status = damaged(l, "this is no port");
    if (status == TA_OK) status = next_value(l, "munge", &value);
    if (status == TA_OK && strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
        status = damaged(l, "munge is yes or no");
    out->munge = status == TA_OK && value[0] == 'y';
    if (status == TA_OK) status = next_value(l, "secret", &value);
    if (status == TA_OK && !read_hex(value, out->secret, sizeof out->secret)) status = damaged(l, "this is no secret");
    return status;
}

ta_status ta_store_server_file_parse(const char *name, const char *text, size_t bytes,
                                     struct ta_store_server_file *out) {
    struct lines l = {.name = name, .at = text, .end = text + bytes};
    *out = (struct ta_store_server_file){0};
    ta_status status = read_head(&l, out);
    if (status == TA_OK) status = read_addresses(&l, out);
    sodium_memzero(l.line, sizeof l.line);
    if (status != TA_OK) *out = (struct ta_store_server_file){0};
    return status;
}

static void append(char text[TA_STORE_FILE_BYTES], size_t *n, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int more = vsnprintf(text + *n, TA_STORE_FILE_BYTES - *n, format, args);
    va_end(args);
    *n += more > 0 ? (size_t)more : 0;
}

size_t ta_store_server_file_print(const struct ta_store_server_file *file, char text[TA_STORE_FILE_BYTES]) {
    size_t n = 0;
    append(text, &n, "tensair store 1\nrun %016" PRIx64 "\nport %u\nmunge %s\nsecret ", file->run_id, file->port,
           file->munge ? "yes" : "no");
    for (size_t i = 0; i < sizeof file->secret; i++) append(text, &n, "%02x", file->secret[i]);
    append(text, &n, "\n");
    for (unsigned i = 0; i < file->n_addresses; i++) append(text, &n, "address %s\n", file->address[i]);
    append(text, &n, "end\n");
    return n;
}
