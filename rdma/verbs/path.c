/* path: keys, and the lanes to a peer from its key to its end. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "lane.h"
#include "mem.h"
#include "verbs.h"

static void fill_key_rail(const struct ta_verbs_rail *rail, const struct ta_verbs_lane *lane,
                          struct ta_verbs_key_rail *out) {
    *out = (struct ta_verbs_key_rail){.qpn = lane->qp->qp_num,
                                      .psn = lane->psn,
                                      .lid = rail->port.lid,
                                      .mtu = (uint8_t)rail->port.active_mtu,
                                      .link = rail->port.link_layer,
                                      .gid_type = (uint8_t)rail->gid_type};
    memcpy(out->gid, rail->gid.raw, sizeof out->gid);
    memcpy(out->rkey, lane->rkey, sizeof out->rkey);
    snprintf(out->device, sizeof out->device, "%.*s", (int)sizeof out->device - 1, rail->place.device);
}

struct ta_verbs_ground ta_verbs_ground_of(const struct ta_transport *t) {
    return (struct ta_verbs_ground){.base = (uintptr_t)t->window.base,
                                    .far_base = (uintptr_t)t->window.far_base,
                                    .bytes = t->window.bytes,
                                    .far = t->window.far};
}

static ta_status too_many(unsigned peer) {
    return ta_fail(TA_INVALID,
                   "what peer %u may write holds too many pieces of GPU memory: %d registrations are all it gets; "
                   "grant it the ranges that are its own",
                   peer, TA_VERBS_RIGHTS);
}

ta_status ta_verbs_path_make_key(struct ta_transport *t, unsigned peer, struct ta_verbs_key *out) {
    struct ta_verbs_path *path = t->path[peer];
    const struct ta_verbs_ground ground = ta_verbs_ground_of(t);
    struct ta_verbs_right rights[TA_VERBS_RIGHTS];
    unsigned n;
    if (!ta_verbs_rights_cut(&ground, &path->granted, rights, &n)) return too_many(peer);
    if (path->made) ta_verbs_path_clear(t, path, path->state); /* the key that nobody used */
    *out = (struct ta_verbs_key){.window_base = (uintptr_t)t->window.base,
                                 .window_bytes = t->window.bytes,
                                 .n_rails = t->n_rails,
                                 .hello_qpn = t->hello.qp->qp_num,
                                 .hello_qkey = t->hello.qkey,
                                 .grants = path->granted,
                                 .far_base = ground.far_base,
                                 .far = ground.far};
    path->made = true;
    t->n_paths++;
    ta_status status = TA_OK;
    if (getrandom(&path->nonce, sizeof path->nonce, 0) != sizeof path->nonce)
        status = ta_fail_errno(TA_IO, "getrandom");
    for (unsigned i = 0; i < t->n_rails && status == TA_OK; i++) {
        status = ta_verbs_rail_refresh(&t->rail[i]);
        if (status == TA_OK) status = ta_verbs_lane_open(t, i, &path->lane[i], rights, n);
        if (status == TA_OK) fill_key_rail(&t->rail[i], &path->lane[i], &out->rail[i]);
    }
    out->nonce = path->nonce;
    if (status != TA_OK) ta_verbs_path_clear(t, path, path->state);
    return status;
}

/* What two ends must have in common. The smaller MTU serves both. */
static ta_status check_key(const struct ta_transport *t, unsigned peer, const struct ta_verbs_key *key) {
    if (key->n_rails != t->n_rails)
        return ta_fail(TA_PEER,
                       "peer %u stripes over %u rails, this replica over %u; give transport.rails the same value "
                       "everywhere",
                       peer, key->n_rails, t->n_rails);
    if (key->window_bytes > SIZE_MAX - key->window_base)
        return ta_fail(TA_PEER, "the window key from peer %u makes no sense: %llu bytes at %llx", peer,
                       (unsigned long long)key->window_bytes, (unsigned long long)key->window_base);
    for (unsigned i = 0; i < t->n_rails; i++) {
        const struct ta_verbs_key_rail *theirs = &key->rail[i];
        const struct ta_verbs_rail *ours = &t->rail[i];
        if (theirs->link != ours->port.link_layer)
            return ta_fail(TA_PEER,
                           "peer %u is on %s (device %.24s), this replica on %s (device %s): choose devices of one "
                           "kind by transport.device",
                           peer, ta_verbs_link_name(theirs->link), theirs->device,
                           ta_verbs_link_name(ours->port.link_layer), ours->place.device);
        if (theirs->gid_type != ours->gid_type)
            return ta_fail(TA_PEER,
                           "peer %u uses an address of type %s (device %.24s), this replica one of type %s (device "
                           "%s, gid %u): choose addresses of one type by transport.gid",
                           peer, ta_verbs_gid_type(theirs->gid_type), theirs->device, ta_verbs_gid_type(ours->gid_type),
                           ours->place.device, ours->place.gid_index);
        if (theirs->mtu < IBV_MTU_256 || theirs->mtu > IBV_MTU_4096)
            return ta_fail(TA_PEER, "the window key from peer %u makes no sense: MTU %u", peer, theirs->mtu);
    }
    ta_status status = ta_grants_check(&key->grants, peer, key->window_bytes);
    if (status == TA_OK) status = ta_far_key_check(peer, &t->window.far, &key->far, key->window_bytes);
    return status;
}

ta_status ta_verbs_path_connect(struct ta_transport *t, unsigned peer, const struct ta_verbs_key *key) {
    struct ta_verbs_path *path = t->path[peer];
    ta_status status = check_key(t, peer, key);
    if (status != TA_OK) return status; /* another key may still fit */
    const struct ta_verbs_ground ground = {key->window_base, key->far_base, key->window_bytes, key->far};
    if (!ta_verbs_rights_cut(&ground, &key->grants, path->right, &path->n_rights))
        return ta_fail(TA_PEER, "the window key from peer %u makes no sense: too many pieces", peer);
    path->peer = *key;
    for (unsigned i = 0; i < t->n_rails && status == TA_OK; i++)
        status = ta_verbs_lane_connect(t, i, &path->lane[i], peer, &key->rail[i]);
    if (status == TA_OK) status = ta_verbs_hello_address(t, path);
    if (status == TA_OK) status = ta_verbs_bind(t, peer);
    if (status != TA_OK) {
        ta_verbs_path_clear(t, path, TA_PEER_DOWN);
        return status;
    }
    path->connected = true;
    path->state = TA_PEER_UP;
    t->unready++;
    return TA_OK;
}

void ta_verbs_path_clear(struct ta_transport *t, struct ta_verbs_path *path, enum ta_peer_state state) {
    struct ta_grants granted = path->granted;
    if (path->connected && !path->ready && path->state == TA_PEER_UP) t->unready--;
    if (path->state == TA_PEER_BROKEN && !path->reported) t->unreported--;
    if (path->made) t->n_paths--;
    if (path->ah != NULL) ibv_destroy_ah(path->ah);
    for (unsigned i = 0; i < t->n_rails; i++) {
        t->rail[i].expected -= path->lane[i].posted - path->lane[i].done;
        t->rail[i].stale = true;
        ta_verbs_lane_close(t, &path->lane[i]);
    }
    *path = (struct ta_verbs_path){.state = state, .granted = granted};
}

void ta_verbs_path_break(struct ta_transport *t, struct ta_verbs_path *path) {
    if (path->state != TA_PEER_UP) return;
    struct ibv_qp_attr error = {.qp_state = IBV_QPS_ERR};
    for (unsigned i = 0; i < t->n_rails; i++) ibv_modify_qp(path->lane[i].qp, &error, IBV_QP_STATE);
    path->head = path->count = path->n_posted = 0;
    if (!path->ready) t->unready--;
    path->state = TA_PEER_BROKEN;
    t->unreported++;
    ta_log_warn(t->config.log, "%s", path->why);
}
