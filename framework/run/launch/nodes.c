/* nodes: what each node says of itself, who is silent, and the last word. */
#include "nodes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "children.h"
#include "clock.h"
#include "mem.h"
#include "nodes_internal.h"

enum {
    PUT_EVERY = 250 * 1000 * 1000, /* ns between two rows of a rank, */
    RANKS_OF_THAT = 32,            /* for so many ranks; more come seldomer, as all of them go to all nodes */
    PUT_SELDOM = 8,                /* times as seldom at most */
    LISTEN_SHARE = 4,              /* a pause of our own counts as at most 1/4 of the patience with others */
};

/* Value "over". */
struct last_word {
    uint32_t format, code, lost, unused;
};

static void name_of(char name[TA_STORE_NAME_BYTES], const char *prefix, unsigned number) {
    snprintf(name, TA_STORE_NAME_BYTES, "%s/%u", prefix, number);
}

/* A store that is gone says so by poll. */
void ta_nodes_put(struct ta_nodes *n, const char *prefix, unsigned number, const void *value, size_t bytes) {
    char name[TA_STORE_NAME_BYTES];
    name_of(name, prefix, number);
    if (n->store == NULL || n->lost_store) return;
    ta_status status = ta_store_put(n->store, name, value, bytes);
    if (status != TA_OK && status != TA_PEER) ta_log_warn(n->config.log, "%s", ta_why());
}

ta_status ta_nodes_get(const struct ta_nodes *n, const char *prefix, unsigned number, struct ta_store_value *out) {
    char name[TA_STORE_NAME_BYTES];
    name_of(name, prefix, number);
    return n->store == NULL ? TA_AGAIN : ta_store_get(n->store, name, out);
}

void ta_nodes_say(struct ta_nodes *n) {
    struct ta_node *self = ta_nodes_self(n);
    self->said.wall_ns = ta_clock_wall_ns() + n->config.clock_off_ns;
    ta_nodes_put(n, "node", n->config.node, &self->said, sizeof self->said);
}

static void take_said(struct ta_nodes *n, unsigned number, int64_t gap_ns) {
    struct ta_node *node = &n->node[number];
    struct ta_store_value value;
    struct ta_node_said said;
    bool heard = ta_nodes_get(n, "node", number, &value) == TA_OK && value.version != node->version;
    if (!heard) {
        if (node->said.state != TA_NODE_UNKNOWN) node->silent_ns += gap_ns;
        return;
    }
    node->version = value.version;
    node->silent_ns = 0;
    if (value.bytes != sizeof said) return;
    memcpy(&said, value.data, sizeof said);
    if (said.format != TA_NODES_FORMAT || said.bytes != sizeof said || said.state > TA_NODE_ENDED) return;
    said.host[sizeof said.host - 1] = said.text[sizeof said.text - 1] = '\0';
    said.transport[sizeof said.transport - 1] = '\0';
    bool arrives = node->said.state == TA_NODE_UNKNOWN;
    node->said = said;
    if (arrives) node->wall_off_ns = said.wall_ns - (ta_clock_wall_ns() + n->config.clock_off_ns);
}

void ta_nodes_listen(struct ta_nodes *n, int64_t now_ns) {
    int64_t gap_ns = n->tick_ns == 0 || now_ns < n->tick_ns ? 0 : now_ns - n->tick_ns;
    int64_t most_ns = (int64_t)(n->config.dead_after_s * TA_NS_PER_S) / LISTEN_SHARE;
    if (gap_ns > most_ns) gap_ns = most_ns;
    n->tick_ns = now_ns;
    if (n->store != NULL && !n->lost_store && ta_store_poll(n->store) != TA_OK) n->lost_store = true;
    for (unsigned i = 0; i < n->config.nodes; i++)
        if (i != n->config.node) take_said(n, i, gap_ns);
}

/* All that is known to run there may be gone. Whether it is, the exchange knows better. */
static void presume(struct ta_nodes *n, unsigned number, const char *why) {
    struct ta_node *node = &n->node[number];
    unsigned count = n->config.n_ranks / n->config.nodes, first = ta_nodes_first_rank(n, number);
    node->silent = true;
    ta_log_warn(n->config.log, "node %u (%s) %s: its ranks %u to %u count as ended", number, node->said.host, why,
                first, first + count - 1);
    for (unsigned r = first; r < first + count; r++) {
        struct ta_board_row *row = &n->config.board->rows[r];
        if (ta_board_get(row->ended) == TA_ENDED_NO) atomic_store(&row->ended, TA_ENDED_PRESUMED);
    }
}

static void look_at_silence(struct ta_nodes *n) {
    double patience_s = 2 * n->config.dead_after_s; /* the exchange has named its replicas before */
    for (unsigned i = 0; i < n->config.nodes; i++) {
        struct ta_node *node = &n->node[i];
        if (i == n->config.node || node->said.state == TA_NODE_ENDED) continue;
        bool too_long = n->lost_store || (double)node->silent_ns > patience_s * TA_NS_PER_S;
        if (too_long && !node->silent) {
            char why[64] = "cannot be heard, as node 0 is gone";
            if (!n->lost_store)
                snprintf(why, sizeof why, "has been silent for %.1f s", (double)node->silent_ns / TA_NS_PER_S);
            presume(n, i, i == 0 && n->lost_store ? "is gone" : why);
        } else if (!too_long && node->silent) {
            node->silent = false;
            ta_log_warn(n->config.log, "node %u (%s) is back", i, node->said.host);
        }
    }
}

static void take_last_word(struct ta_nodes *n) {
    struct ta_store_value value;
    struct last_word last;
    if (n->over || n->store == NULL || ta_store_get(n->store, "over", &value) != TA_OK) return;
    if (value.bytes != sizeof last) return;
    memcpy(&last, value.data, sizeof last);
    if (last.format != TA_NODES_FORMAT) return;
    n->over = true;
    n->code = (int)last.code;
    n->lost = last.lost;
}

void ta_nodes_tick(struct ta_nodes *n, int64_t now_ns) {
    ta_nodes_listen(n, now_ns);
    ta_nodes_take_rows(n, now_ns);
    if (n->config.node != 0) take_last_word(n);
    if (!n->over) look_at_silence(n);
    if (!n->over) ta_nodes_hold(n, now_ns);
    if (n->lost_store) return;
    bool all = now_ns >= n->put_ns;
    ta_nodes_put_rows(n, now_ns, all);
    if (!all) return;
    unsigned seldom = n->config.n_ranks / RANKS_OF_THAT;
    if (seldom < 1) seldom = 1;
    n->put_ns = now_ns + (int64_t)PUT_EVERY * (seldom < PUT_SELDOM ? seldom : PUT_SELDOM);
    ta_nodes_say(n);
}

void ta_nodes_describe(struct ta_nodes *n, const char *text) {
    struct ta_node_said *said = &ta_nodes_self(n)->said;
    snprintf(said->text, sizeof said->text, "%s", text);
}

const char *ta_nodes_description(const struct ta_nodes *n, unsigned node) {
    return n->node[node].said.state == TA_NODE_REFUSES ? "" : n->node[node].said.text;
}

void ta_nodes_ended(struct ta_nodes *n, int code, unsigned lost) {
    struct ta_node_said *said = &ta_nodes_self(n)->said;
    said->state = TA_NODE_ENDED;
    said->code = (uint32_t)code;
    said->lost = lost;
    n->put_ns = 0; /* with all rows, by the next tick */
}

/* What is known of how all ended. */
static void add_up(const struct ta_nodes *n, int *code, unsigned *lost) {
    unsigned count = n->config.n_ranks / n->config.nodes;
    *code = 0;
    *lost = 0;
    for (unsigned i = 0; i < n->config.nodes; i++) {
        const struct ta_node *node = &n->node[i];
        if (node->said.state == TA_NODE_ENDED) {
            *code = ta_children_worse(*code, (int)node->said.code);
            *lost += node->said.lost;
            continue;
        }
        for (unsigned r = ta_nodes_first_rank(n, i), end = r + count; r < end; r++) {
            const struct ta_board_row *row = &n->config.board->rows[r];
            if (ta_board_get(row->finished) != 0) continue;
            /* Replicas leave together: without news from there, what our own say of it counts. */
            if (n->lost_store && i != 0 && ta_board_get(row->lost) == 0) continue;
            *code = ta_children_worse(*code, ta_status_exit_code(TA_PEER));
            ++*lost;
        }
    }
}

bool ta_nodes_over(struct ta_nodes *n, int *code, unsigned *lost) {
    bool all = true;
    for (unsigned i = 0; i < n->config.nodes; i++)
        if (n->node[i].said.state != TA_NODE_ENDED && !n->node[i].silent) all = false;
    add_up(n, code, lost);
    if (n->over) {
        *code = n->code;
        *lost = n->lost;
        return true;
    }
    /* Whoever is left must know whether the end is to be told by it. */
    if (n->config.node != 0) return n->lost_store && n->hold.settled;
    if (!all) return false;
    struct last_word last = {.format = TA_NODES_FORMAT, .code = (uint32_t)*code, .lost = *lost};
    n->over = true;
    n->code = *code;
    n->lost = *lost;
    if (!n->lost_store) (void)ta_store_put(n->store, "over", &last, sizeof last);
    return true;
}

bool ta_nodes_headless(const struct ta_nodes *n) {
    return n->config.node != 0 && n->lost_store && !n->over && n->config.dir->lock >= 0;
}

bool ta_nodes_cut_off(const struct ta_nodes *n) { return n->hold.cut_off; }

struct ta_nodes_hosts ta_nodes_hosts(const struct ta_nodes *n) { return n->hosts; }

ta_status ta_nodes_open(const struct ta_nodes_config *config, struct ta_nodes_job *job, struct ta_nodes **out) {
    *out = NULL;
    struct ta_nodes *n;
    ta_status status = TA_NEW(&n, 1, "the nodes of the run");
    if (status != TA_OK) return status;
    n->config = *config;
    status = TA_NEW(&n->node, config->nodes, "the nodes of the run");
    if (status == TA_OK) status = TA_NEW(&n->row, config->board->n_rows, "rows of other nodes");
    if (status == TA_OK) status = TA_NEW(&n->dropped, config->n_ranks / 8 + 1, "ranks that were dropped");
    if (status == TA_OK) {
        for (unsigned i = 0; i < config->nodes; i++) n->node[i].clock_ns = INT64_MAX;
        for (unsigned i = 0; i < config->board->n_rows; i++) n->row[i].clock_ns = INT64_MAX;
        struct ta_node_said *said = &ta_nodes_self(n)->said;
        *said = (struct ta_node_said){.format = TA_NODES_FORMAT, .bytes = sizeof *said, .pid = (uint32_t)getpid()};
        (void)gethostname(said->host, sizeof said->host - 1);
        said->machine = ta_nodes_machine();
        if (getrandom(&said->nonce, sizeof said->nonce, 0) != sizeof said->nonce)
            status = ta_fail_errno(TA_FAILED, "no random numbers from the system");
    }
    if (status == TA_OK) status = ta_nodes_meet(n, job);
    if (status == TA_OK) *out = n;
    else ta_nodes_close(n, status);
    return status;
}

static void free_nodes(struct ta_nodes *n) {
    ta_mem_free(n->server_text);
    ta_mem_free(n->dropped);
    ta_mem_free(n->row);
    ta_mem_free(n->node);
    ta_mem_free(n);
}

void ta_nodes_close(struct ta_nodes *n, ta_status status) {
    if (n == NULL) return;
    struct ta_node *self = n->node != NULL ? ta_nodes_self(n) : NULL;
    if (self != NULL && (self->said.state == TA_NODE_HERE || self->said.state == TA_NODE_ARRIVED)) {
        snprintf(self->said.text, sizeof self->said.text, "%s", ta_why());
        self->said.state = TA_NODE_ENDED;
        self->said.code = (uint32_t)ta_status_exit_code(status);
        self->said.lost = n->config.n_ranks / n->config.nodes;
        ta_nodes_say(n);
    }
    ta_store_close(n->store);
    ta_store_server_close(n->server);
    free_nodes(n);
}

void ta_nodes_forget(struct ta_nodes *n) {
    if (n == NULL) return;
    ta_store_forget(n->store);
    free_nodes(n);
}
