/* nodes_spare: the launcher of a spare that joins a run over several nodes, as those hear it (nodes.h). It belongs to
 * no node: it connects to the run's store, takes its rank there, and puts the rank's row of the board, as nodes do
 * theirs.
 *
 * Threads: one. open waits for the store; nothing else does.
 */
#ifndef TA_NODES_SPARE_H
#define TA_NODES_SPARE_H

#include <stdint.h>

#include "board.h"
#include "log.h"
#include "status.h"

struct ta_nodes_spare_config {
    const char *directory;   /* RUN_DIR/rendezvous */
    uint64_t run_id;
    unsigned rank;
    struct ta_board *board;  /* whose row of that rank is put; NULL: a node puts it (it has the same board). Borrowed */
    double patience_s;       /* with the store */
    struct ta_log *log;
};

struct ta_nodes_spare;

/* Errors: IN_USE (the rank was taken before; of two that come at the same time both may be refused), PEER (no store
 * there, or it went), others as ta_store_open. */
ta_status ta_nodes_spare_open(const struct ta_nodes_spare_config *config, struct ta_nodes_spare **out);
/* Says how its replica is: cheap, several times a second. */
void ta_nodes_spare_tick(struct ta_nodes_spare *s, int64_t now_ns);
/* Says it once more. NULL is fine. */
void ta_nodes_spare_close(struct ta_nodes_spare *s);

#endif
