/* Any bytes as a stream file: it is refused with a message, or read without harm. */
#include <stdlib.h>

#include "bytes_file.h"
#include "stream.h"

enum { RECORDS = 16, MAX_RECORD_BYTES = 1 << 20 };

/* Some records from the front, the middle and the end. */
static void read_some(struct ta_stream *s) {
    const struct ta_stream_info *info = &s->info;
    size_t record = ta_stream_x_bytes(info);
    if (record > MAX_RECORD_BYTES || info->targets > 4096) return;
    struct ta_stream_block block = {
        .x = malloc(RECORDS * record + 1),
        .class = malloc(RECORDS * sizeof *block.class),
        .value = malloc(RECORDS * sizeof *block.value * (info->targets + 1)),
        .time_ns = malloc(RECORDS * sizeof *block.time_ns),
        .delay = malloc(RECORDS * sizeof *block.delay),
    };
    uint64_t n = info->records < RECORDS ? info->records : RECORDS;
    uint64_t firsts[] = {0, info->records / 2, info->records - n};
    for (int i = 0; i < 3; i++) {
        uint64_t left = info->records - firsts[i];
        ta_why_clear();
        ta_status status = s->ops->read(s, firsts[i], left < n ? left : n, &block);
        if (status != TA_END) need_message(status, ta_why());
    }
    free(block.x);
    free(block.class);
    free(block.value);
    free(block.time_ns);
    free(block.delay);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char path[64];
    struct ta_stream *stream;
    int fd = bytes_file(bytes, count, path);
    if (fd < 0) return 0;
    ta_why_clear();
    ta_status status = ta_stream_open(&(struct ta_stream_spec){.file = path}, &stream);
    need_message(status, ta_why());
    if (status == TA_OK) {
        read_some(stream);
        ta_stream_close(stream);
    }
    close(fd);
    return 0;
}
