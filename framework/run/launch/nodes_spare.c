/* nodes_spare: a rank taken in the store, and its row put there. */
#include "nodes_spare.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "clock.h"
#include "mem.h"
#include "nodes_internal.h"

enum { PUT_EVERY = 250 * 1000 * 1000, POLL_EVERY = 5 * 1000 * 1000 }; /* ns */

struct ta_nodes_spare {
    struct ta_nodes_spare_config config;
    struct ta_store *store;
    struct ta_node_row row;
    int64_t put_ns;
};

/* The store counts how often a value was put: ours must be the first. */
static ta_status take_rank(struct ta_nodes_spare *s) {
    char name[TA_STORE_NAME_BYTES];
    uint64_t nonce;
    struct ta_store_value value;
    snprintf(name, sizeof name, "spare/%u", s->config.rank);
    if (getrandom(&nonce, sizeof nonce, 0) != sizeof nonce)
        return ta_fail_errno(TA_FAILED, "no random numbers from the system");
    ta_status status = ta_store_watch(s->store, name);
    if (status == TA_OK) status = ta_store_put(s->store, name, &nonce, sizeof nonce);
    int64_t until_ns = ta_clock_now_ns() + (int64_t)(s->config.patience_s * TA_NS_PER_S);
    while (status == TA_OK && ta_store_get(s->store, name, &value) != TA_OK) {
        status = ta_store_poll(s->store);
        if (status == TA_OK && ta_clock_now_ns() > until_ns)
            status = ta_fail(TA_PEER, "the store of the run did not answer within %g s", s->config.patience_s);
        nanosleep(&(struct timespec){.tv_nsec = POLL_EVERY}, NULL);
    }
    if (status != TA_OK) return status;
    if (value.version == 1 && value.bytes == sizeof nonce && memcmp(value.data, &nonce, sizeof nonce) == 0)
        return TA_OK;
    return ta_fail(TA_IN_USE, "spare %u of the run was started already: a spare is used once", s->config.rank);
}

ta_status ta_nodes_spare_open(const struct ta_nodes_spare_config *config, struct ta_nodes_spare **out) {
    struct ta_nodes_spare *s;
    char who[32];
    *out = NULL;
    ta_status status = TA_NEW(&s, 1, "a spare's way to the nodes");
    if (status != TA_OK) return status;
    s->config = *config;
    snprintf(who, sizeof who, "spare %u", config->rank);
    struct ta_store_config store = {.directory = config->directory,
                                    .who = who,
                                    .run_id = config->run_id,
                                    .patience_s = config->patience_s,
                                    .log = config->log};
    status = ta_store_open(&store, &s->store);
    if (status == TA_OK) status = take_rank(s);
    if (status == TA_OK) *out = s;
    else ta_nodes_spare_close(s);
    return status;
}

void ta_nodes_spare_tick(struct ta_nodes_spare *s, int64_t now_ns) {
    bool all = now_ns >= s->put_ns;
    if (all) s->put_ns = now_ns + PUT_EVERY;
    if (s->config.board != NULL) ta_node_row_put(s->store, s->config.board, s->config.rank, &s->row, all, now_ns);
    (void)ta_store_poll(s->store); /* a store that is gone took the run's first node with it: the exchange knows */
}

void ta_nodes_spare_close(struct ta_nodes_spare *s) {
    if (s == NULL) return;
    s->put_ns = 0;
    if (s->store != NULL) ta_nodes_spare_tick(s, ta_clock_now_ns());
    ta_store_close(s->store);
    ta_mem_free(s);
}
