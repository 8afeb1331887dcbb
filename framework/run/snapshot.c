/* snapshot: frees what a snapshot owns; what it borrowed is somebody else's. */
#include "checkpoint.h"
#include "mem.h"

void ta_snapshot_free(struct ta_snapshot *s) {
    if (s == NULL) return;
    ta_mem_free(s->peer_steps);
    if (!s->borrowed) {
        ta_mem_free(s->w);
        ta_mem_free(s->w0);
        ta_mem_free(s->delta);
    }
    ta_mem_free(s->m);
    ta_mem_free(s->v);
    if (!s->names_lent) ta_names_free(&s->names);
    ta_frontier_free(&s->done);
    *s = (struct ta_snapshot){0};
}
