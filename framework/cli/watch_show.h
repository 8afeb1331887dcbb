/* watch_show: a tally for people: a block redrawn on a terminal, with a row for each rank; else plain lines, sparser
 * with time (1, 2, 4 ... 60 s apart). Terminal, colour and width as progress.h has them. */
#ifndef TA_WATCH_SHOW_H
#define TA_WATCH_SHOW_H

#include <stdint.h>

#include "progress.h"
#include "watch_tally.h"

struct ta_watch_show {
    struct ta_progress progress; /* where and how to draw */
    int64_t next_ns, start_ns;
    unsigned printed;            /* plain lines */
    char said[160];              /* newest event that was printed */
};

void ta_watch_show_open(struct ta_watch_show *s, const char *title, int64_t now_ns);
/* Draws when it is time to. `expected`: replicas the run was started with; 0: not known. */
void ta_watch_show_tick(struct ta_watch_show *s, const struct ta_tally *t, unsigned expected, int64_t now_ns);

#endif
