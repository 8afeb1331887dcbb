/* nodes_hold: a node that cannot hear node 0 finds out from the run directory alone what has become of it. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "incarnation.h"
#include "nodes_internal.h"

static const int64_t look_every_ns = TA_NS_PER_S / 5;
static const int64_t lease_ns = 3 * TA_NS_PER_S;   /* a holder touches its lock every second */
static const int64_t give_up_ns = 15 * TA_NS_PER_S; /* a holder that stands still, neither touching nor letting go */

enum { BEATS_OF_LIFE = 2 /* one may have been on its way */ };

/* Somebody must hold the run directory for as long as anybody writes there. */
static void take_over(struct ta_nodes *n) {
    if (ta_run_dir_take(n->config.dir) != TA_OK) return;
    const struct ta_job_place *place = n->config.place;
    struct ta_incarnation own = {.run_id = n->run_id, .node = n->config.node};
    if (place != NULL) {
        own.job_id = place->job_id;
        own.restart = place->restart;
    }
    snprintf(own.host, sizeof own.host, "%.63s", ta_nodes_self(n)->said.host);
    n->hold.settled = true;
    if (ta_incarnation_write(n->config.dir->path, &own) != TA_OK) ta_log_warn(n->config.log, "%s", ta_why());
    ta_log_warn(n->config.log, "node %u has taken over %s", n->config.node, n->config.dir->path);
}

/* All replicas of that node have been dropped here, or were known to have ended: nothing of it is with us. */
static bool is_without(const struct ta_nodes *n, unsigned node) {
    if (node >= n->config.nodes || node == n->config.node) return false;
    unsigned count = n->config.n_ranks / n->config.nodes, first = ta_nodes_first_rank(n, node);
    for (unsigned r = first; r < first + count; r++) {
        const struct ta_board_row *row = &n->config.board->rows[r];
        if (ta_board_get(row->lost) == 0 && ta_board_get(row->ended) != TA_ENDED_KNOWN) return false;
    }
    return true;
}

static void look(struct ta_nodes *n, int64_t now_ns) {
    struct ta_nodes_hold *h = &n->hold;
    uint64_t pulse = ta_run_dir_pulse(n->config.dir);
    if (pulse != h->pulse) {
        h->beats += h->pulse != 0 && pulse != 0;
        h->pulse = pulse;
        h->still_ns = now_ns;
    }
    struct ta_incarnation it;
    /* Of another life, it is not ours to take: the launcher ends for that. */
    bool ours = ta_incarnation_read(n->config.dir->path, &it) == TA_OK && it.run_id == n->run_id;
    h->cut_off = ours && h->beats >= BEATS_OF_LIFE && is_without(n, it.node);
    h->settled = h->cut_off || now_ns - h->deaf_ns > give_up_ns || (ours && it.node != 0 && it.node != n->config.node);
    /* Who has taken it over and let go of it in order has told the end. */
    bool free = pulse == 0 && (it.node == 0 || it.node == n->config.node);
    if (ours && (free || (pulse != 0 && now_ns - h->still_ns > lease_ns))) take_over(n);
}

void ta_nodes_hold(struct ta_nodes *n, int64_t now_ns) {
    struct ta_nodes_hold *h = &n->hold;
    if (n->config.node == 0 || n->config.dir->lock >= 0) return;
    if (!n->lost_store && !n->node[0].silent) {
        *h = (struct ta_nodes_hold){0};
        return;
    }
    if (now_ns < h->look_ns) return;
    h->look_ns = now_ns + look_every_ns;
    if (h->deaf_ns == 0) h->deaf_ns = h->still_ns = now_ns;
    look(n, now_ns);
}
