/* Any bytes as a recording: refused with a message, or every event of it can be read, in memory that follows the file,
 * and a replay of it alone can be begun. */
#include <stdlib.h>
#include <string.h>

#include "bytes_file.h"
#include "mem.h"
#include "replay_history.h"

enum { HEAD_BYTES = 4096, MOST_RANKS = 3 };

static void walk(const struct ta_record *record) {
    struct ta_record_cursor c;
    if (ta_record_cursor_open(&c, record) != TA_OK) __builtin_trap();
    uint64_t position = 0;
    for (; c.event.kind != TA_RECORD_NONE; ta_record_cursor_next(&c)) {
        if (c.event.kind == TA_RECORD_SEAL || c.at > record->end || c.steps > record->steps) __builtin_trap();
        if (c.event.kind == TA_RECORD_STEP && (c.position < position || c.versions[record->head.rank] > c.steps))
            __builtin_trap();
        position = c.position;
    }
    if (c.steps != record->steps) __builtin_trap();
    ta_record_cursor_close(&c);
}

static void parse(const void *bytes, size_t count) {
    struct ta_record record;
    size_t held = ta_mem_held_bytes();
    ta_why_clear();
    ta_status status = ta_record_parse("bytes", bytes, count, &record);
    need_message(status, ta_why());
    if (status == TA_OK) {
        walk(&record);
        struct ta_history history = {0};
        if (record.head.n_ranks == 1 && ta_history_open(&history, &record, 1) == TA_OK) ta_history_close(&history);
        ta_record_close(&record);
    }
    if (ta_mem_held_bytes() != held) __builtin_trap();
}

/* A head that passes, so that what comes behind it is looked at; as the recorder writes it. */
static size_t make_head(unsigned n_ranks, uint8_t *out) {
    char path[64];
    struct ta_recorder *r;
    int fd = bytes_file(NULL, 0, path);
    struct ta_recorder_config config = {
        .path = path,
        .head = {
            .rank = n_ranks - 1, .n_ranks = n_ranks, .check_every = 64, .config = "", .resume = "", .program = ""}};
    if (fd < 0 || ta_recorder_open(&config, &r) != TA_OK || ta_recorder_close(r) != TA_OK) __builtin_trap();
    ssize_t n = pread(fd, out, HEAD_BYTES, 0);
    close(fd);
    if (n <= 0 || n == HEAD_BYTES) __builtin_trap();
    return (size_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    static uint8_t heads[MOST_RANKS][HEAD_BYTES];
    static size_t sizes[MOST_RANKS];
    parse(bytes, count);
    for (unsigned i = 0; i < MOST_RANKS; i++) {
        if (sizes[i] == 0) sizes[i] = make_head(i + 1, heads[i]);
        uint8_t *whole = malloc(sizes[i] + count);
        if (whole == NULL) return 0;
        memcpy(whole, heads[i], sizes[i]);
        if (count > 0) memcpy(whole + sizes[i], bytes, count);
        parse(whole, sizes[i] + count);
        free(whole);
    }
    return 0;
}
