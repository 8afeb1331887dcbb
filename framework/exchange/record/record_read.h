/* record_read: a recording (record.h) read back. Nothing of a file is trusted: sizes, texts, every event and every seal
 * are checked when it is opened; after that nothing can fail.
 *
 * What a process that was killed left behind its last event (zeros, or an event that the end of the file cuts) is cut
 * off, and `cut` says so. Plain values; one thread at a time.
 */
#ifndef TA_RECORD_READ_H
#define TA_RECORD_READ_H

#include "record.h"

enum { TA_RECORD_MOST_RANKS = 1024 };

struct ta_record {
    struct ta_record_head head; /* texts lie in `bytes` */
    char *bytes;
    size_t first, end;          /* of the events */
    uint64_t steps;             /* the last one recorded */
    bool finished;              /* the last event is the last rest, or one in which the run was stopped */
    bool cut;
    enum ta_record_end reason;  /* 0: it was not ended before its run */
    unsigned ended_by;
};

/* Errors: IO, NO_MEMORY; FORMAT: what is wrong at which byte. */
ta_status ta_record_open(const char *path, struct ta_record *out);
/* The same for bytes in memory, which are copied; `name` for messages. */
ta_status ta_record_parse(const char *name, const void *bytes, size_t size, struct ta_record *out);
void ta_record_close(struct ta_record *record); /* zeroed: fine */

struct ta_record_event {
    enum ta_record_kind kind; /* NONE: there is no more */
    bool scaled;
    float scale;
    uint32_t round;    /* 0: the last one */
    uint64_t position; /* of STEP, BAD, REST */
    uint64_t checksum; /* of CHECK, REST */
};

struct ta_record_cursor {
    const struct ta_record *record;
    size_t at;
    uint64_t position, steps; /* steps: made before the present event, by this rank */
    uint64_t *versions;       /* [n_ranks] of the present event; owned */
    struct ta_record_event event;
};

/* Stands on the first event. Errors: NO_MEMORY. */
ta_status ta_record_cursor_open(struct ta_record_cursor *cursor, const struct ta_record *record);
void ta_record_cursor_close(struct ta_record_cursor *cursor); /* zeroed: fine */
/* On to the next event; seals are passed over. */
void ta_record_cursor_next(struct ta_record_cursor *cursor);

#endif
