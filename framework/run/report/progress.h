/* progress: how far a run is, for whoever looks at stderr: a block redrawn on a terminal, else a plain line now and
 * then.
 *
 * Plain lines come sparser with time, 1, 2, 4 ... 60 s apart: they are for logs that a person follows for a minute and
 * keeps for a week. On a terminal whose TERM is not "dumb"; COLUMNS or the terminal says how wide; NO_COLOR switches
 * colour off. One thread.
 */
#ifndef TA_PROGRESS_H
#define TA_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "board.h"

struct ta_progress {
    FILE *out;             /* NULL: silent */
    bool block, colour;
    unsigned columns;
    const char *title;     /* run directory; borrowed */
    uint64_t goal_records; /* of this life; 0: unknown */
    unsigned drawn;        /* lines of the block on the screen */
    unsigned printed;      /* plain lines */
    int64_t next_ns;
    int64_t seen_ns;       /* rate: when and what was last seen */
    uint64_t seen_records;
    double rate_per_s;
};

void ta_progress_open(struct ta_progress *p, FILE *out, const char *title, uint64_t goal_records);
/* Draws when it is time to. */
void ta_progress_tick(struct ta_progress *p, const struct ta_board *board, int64_t now_ns);
/* Takes the block off the screen, so that something else can be printed. */
void ta_progress_clear(struct ta_progress *p);

/* How long to wait with the next plain line when so many were printed. */
int64_t ta_progress_pause_ns(unsigned printed);

/* "1,234,567"; text holds at least 27 bytes. Returns text. */
const char *ta_progress_group(uint64_t value, char text[27]);

#endif
