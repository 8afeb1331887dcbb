/* replica_paths: paths to peers, from the first key to the last. A path that broke is made anew (rendezvous.h: both
 * sides go on to keys of the next generation, and connect when they are of one): its peer is not dead for that. Whether
 * it is, its silence says (exchange.h).
 */
#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "mem.h"
#include "replica_internal.h"

enum {
    LOOK_EVERY = 100 * 1000 * 1000, /* ns between two looks at all paths, */
    LOOK_SOON = 10 * 1000 * 1000,   /* and while one is being made anew */
    LOOKS_AT_ONCE = 32              /* paths that stand: so many peers' keys are read in one look */
};

static const int64_t renew_after_ns = TA_NS_PER_S / 3; /* of failing to connect */

static ta_status open_store(struct ta_replica *r) {
    if (r->config.server == NULL) return TA_OK;
    char who[24];
    snprintf(who, sizeof who, "rank %u", r->config.rank);
    struct ta_store_config config = {.directory = r->config.server,
                                     .who = who,
                                     .run_id = r->config.run_id,
                                     .patience_s = r->run->exchange.join_within_s,
                                     .log = r->config.log};
    return ta_store_open(&config, &r->store);
}

/* A new key of the path's generation, for its peer to find. */
static ta_status offer(struct ta_replica *r, unsigned peer) {
    struct ta_key key;
    ta_status status = r->transport_ops->key_make(r->transport, peer, &key);
    if (status == TA_OK) status = ta_rendezvous_publish(r->rendezvous, peer, r->path[peer].generation, &key);
    r->path[peer].offered = status == TA_OK;
    return status;
}

ta_status ta_replica_publish(struct ta_replica *r) {
    if (r->config.n_ranks == 1) return TA_OK;
    char directory[4096], model[128];
    snprintf(directory, sizeof directory, "%s/rendezvous", r->config.run_dir != NULL ? r->config.run_dir : "");
    ta_replica_describe_model(r, model, sizeof model);
    ta_status status = TA_NEW(&r->path, r->config.n_ranks, "paths to peers");
    if (status == TA_OK) status = open_store(r);
    struct ta_rendezvous_config config = {.directory = directory,
                                          .store = r->store,
                                          .meeting = r->config.shared != NULL ? r->config.shared->meeting : NULL,
                                          .rank = r->config.rank,
                                          .n_ranks = r->config.n_ranks,
                                          .run_id = r->config.run_id,
                                          .fingerprint = r->model.fingerprint,
                                          .model = model};
    if (status == TA_OK) status = ta_rendezvous_open(&config, &r->rendezvous);
    for (unsigned peer = 0; status == TA_OK && peer < r->config.n_ranks; peer++) {
        if (!ta_replica_meets(r, peer)) continue;
        r->path[peer].generation = 1;
        /* A spare gets one when it comes; it offers all of them one. */
        if (peer < ta_replica_founders(r) || ta_replica_is_spare(r)) status = offer(r, peer);
    }
    return status == TA_OK ? ta_rendezvous_flush(r->rendezvous) : status;
}

/* Gives the path up; the next one is of that generation. */
static void renew(struct ta_replica *r, unsigned peer, uint32_t generation, int64_t now_ns, const char *why) {
    struct ta_replica_path *path = &r->path[peer];
    if (path->stands) {
        r->exchange_ops->peer_broken(r->x, peer, now_ns);
        ta_replica_event(r, now_ns, "path_broken", "to peer %u: %s; making path %" PRIu32, peer, why, generation);
        path->broken_ns = now_ns;
    }
    r->transport_ops->disconnect(r->transport, peer);
    *path = (struct ta_replica_path){.generation = generation, .broken_ns = path->broken_ns};
}

/* Of our generation both keys are there. */
static ta_status connect(struct ta_replica *r, unsigned peer, const struct ta_key *key, int64_t now_ns) {
    struct ta_replica_path *path = &r->path[peer];
    ta_status status = r->transport_ops->connect(r->transport, peer, key);
    if (status == TA_OK) {
        path->stands = true;
        path->failing_ns = 0;
        r->exchange_ops->peer_joined(r->x, peer, now_ns);
        if (path->broken_ns != 0)
            ta_replica_event(r, now_ns, "path_restored", "to peer %u: path %" PRIu32 " stands, after %.3f s", peer,
                             path->generation, (double)(now_ns - path->broken_ns) / TA_NS_PER_S);
        path->broken_ns = 0;
        return TA_OK;
    }
    if (status == TA_NO_MEMORY) return status;
    /* A key that leads nowhere may belong to a peer that has just died, or the network is away for a moment. */
    if (path->failing_ns == 0) path->failing_ns = now_ns;
    if (now_ns - path->failing_ns > renew_after_ns) {
        ta_log_info(r->config.log, "peer %u: path %" PRIu32 " does not come to stand: %s", peer, path->generation,
                    ta_why());
        renew(r, peer, path->generation + 1, now_ns, "");
    }
    return TA_AGAIN;
}

ta_status ta_replica_path_make(struct ta_replica *r, unsigned peer, int64_t now_ns) {
    struct ta_replica_path *path = &r->path[peer];
    struct ta_key key;
    uint32_t generation;
    if (path->generation == 0) path->generation = 1; /* whom nobody meant to meet at first: see exchange.h, meets */
    ta_status status = ta_rendezvous_lookup(r->rendezvous, peer, &generation, &key);
    if (status == TA_OK && generation > path->generation)
        renew(r, peer, generation, now_ns, "the peer asks for another");
    if (!path->offered) {
        ta_status offered = offer(r, peer);
        if (offered == TA_OK) offered = ta_rendezvous_flush(r->rendezvous);
        if (offered != TA_OK) return offered;
    }
    if (status != TA_OK || path->stands) return status;
    return generation == path->generation ? connect(r, peer, &key, now_ns) : TA_AGAIN;
}

void ta_replica_poll_store(struct ta_replica *r) {
    if (r->store == NULL || r->store_gone || ta_store_poll(r->store) == TA_OK) return;
    r->store_gone = true;
    ta_log_warn(r->config.log, "the store of the run is gone (node 0 serves it): a path that breaks now stays broken");
}

static void look_at(struct ta_replica *r, unsigned peer, int64_t now_ns) {
    struct ta_replica_path *path = &r->path[peer];
    if (path->stands && r->transport_ops->peer_state(r->transport, peer) == TA_PEER_BROKEN) {
        ta_replica_look_at_peers(r, now_ns); /* it may just have left */
        if (r->life[peer] == TA_PEER_LEFT) return;
        renew(r, peer, path->generation + 1, now_ns, "it broke");
    }
    ta_status status = ta_replica_path_make(r, peer, now_ns);
    if (status == TA_OK || status == TA_AGAIN || status == TA_PEER || path->complained) return;
    path->complained = true; /* until the next generation */
    ta_log_warn(r->config.log, "no path to peer %u: %s", peer, ta_why());
}

void ta_replica_look_at_paths(struct ta_replica *r, int64_t now_ns) {
    unsigned n = r->config.n_ranks, looks = 0;
    if (n == 1 || now_ns < r->paths_ns) return;
    ta_replica_poll_store(r);
    int64_t next_ns = LOOK_EVERY;
    if (ta_rendezvous_stirs(r->rendezvous)) r->paths_looks = n / LOOKS_AT_ONCE + 1;
    unsigned most = r->paths_looks > 0 ? LOOKS_AT_ONCE : 0; /* where nobody has a new key, there is nothing to read */
    for (unsigned i = 0; i < n; i++) {
        unsigned peer = (r->paths_from + i) % n;
        if (!ta_replica_meets(r, peer) || r->life[peer] == TA_PEER_LEFT) continue;
        bool founder = peer < ta_replica_founders(r) && r->state != TA_REPLICA_JOINING;
        if (founder && r->met[peer] == TA_MEETING_OPEN) r->met[peer] = TA_MEETING_DONE; /* the exchange meets it now */
        if (r->met[peer] != TA_MEETING_DONE && (most == 0 || !ta_replica_spare_came(r, peer))) continue;
        bool gone = atomic_load_explicit(&r->config.board->rows[peer].ended, memory_order_acquire) == TA_ENDED_KNOWN;
        bool whole = r->path[peer].stands && r->transport_ops->peer_state(r->transport, peer) != TA_PEER_BROKEN;
        if (gone || (whole && looks >= most)) continue;
        if (whole) looks++;
        look_at(r, peer, now_ns);
        if (!r->path[peer].stands && r->life[peer] != TA_PEER_DEAD) next_ns = LOOK_SOON;
    }
    r->paths_from = (r->paths_from + LOOKS_AT_ONCE) % n;
    if (r->paths_looks > 0) r->paths_looks--;
    r->paths_ns = now_ns + next_ns;
}
