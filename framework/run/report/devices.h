/* devices: what the replicas of this node compute on, as each has said on the board: a device once, with its ranks. */
#ifndef TA_DEVICES_H
#define TA_DEVICES_H

#include <jansson.h>
#include <stdio.h>

#include "board.h"

/* [{device: text, ranks: [...]}] of those that have begun to train; empty: nobody has, or they are on other nodes. */
json_t *ta_devices_json(const struct ta_board *board);
/* The same as lines of a summary. */
void ta_devices_print(const struct ta_board *board, FILE *out);

#endif
