/* ofi: the transport by libfabric, for machines without RDMA cards (tcp;ofi_rxm) and for the cards it drives.
 *
 * One endpoint for all peers. A put is a chain of remote writes, the last of which is confirmed by the peer's side; its
 * source is free when all of them are, so here source free and delivered are one moment. A small segment is two writes,
 * so that its last word is last.
 *
 * Where the provider's progress is manual (tcp;ofi_rxm), a helper thread a transport drives it (helper.h): what is put
 * arrives while its target computes, at the price of the processor's time that TCP takes.
 *
 * Over tcp the kernel's loops read the source and write the target, in any pieces: of a live source, put as it is, one
 * word in some ten million was torn. So operations are small and sent from a copy that is made word by word. The
 * receiver's libfabric then takes them through a buffer (of 9,000 bytes, an operation up to half of it) and copies them
 * by memcpy, which works in vectors below 2 KiB and above by `rep movsb` (glibc, with FSRM), which was seen to tear
 * words. Nobody promises all that, and over tcp it is not wholly so: one look in some 100,000 still met a torn line.
 * The exchange lives with it (a body is state, and the next one replaces it); versions and order were never seen to
 * fail.
 */
#include <stdio.h>
#include <string.h>

#include <rdma/fi_cm.h>
#include <rdma/fi_errno.h>

#include "key.h"
#include "mem.h"
#include "ofi.h"

ta_status ta_ofi_fail(ta_status status, int error, const char *what) {
    return ta_fail(status, "libfabric: %s: %s", what, fi_strerror(error));
}

static ta_status ofi_probe(const struct ta_transport_spec *spec, char *said, size_t bytes) {
    struct ta_ofi_choice choice;
    ta_status status = ta_ofi_choose(spec, &choice);
    if (status != TA_OK) return status;
    ta_ofi_choice_say(&choice, said, bytes);
    fi_freeinfo(choice.info);
    return TA_OK;
}

/* ---- opening and closing ---- */

static ta_status open_device(struct ta_transport *t) {
    struct fi_info *info = t->choice.info;
    struct fi_av_attr av = {.type = FI_AV_UNSPEC, .count = t->config.n_ranks};
    const bool manual = info->domain_attr->data_progress != FI_PROGRESS_AUTO;
    struct fi_cq_attr cq = {.format = FI_CQ_FORMAT_CONTEXT, .wait_obj = manual ? FI_WAIT_FD : FI_WAIT_NONE};
    const char *what = "fi_fabric";
    int error = fi_fabric(info->fabric_attr, &t->fabric, NULL);
    if (error == 0) what = "fi_domain", error = fi_domain(t->fabric, info, &t->domain, NULL);
    if (error == 0) what = "fi_av_open", error = fi_av_open(t->domain, &av, &t->av, NULL);
    if (error == 0) what = "fi_cq_open", error = fi_cq_open(t->domain, &cq, &t->cq, NULL);
    if (error == 0) what = "fi_endpoint", error = fi_endpoint(t->domain, info, &t->ep, NULL);
    if (error == 0) what = "fi_ep_bind", error = fi_ep_bind(t->ep, &t->av->fid, 0);
    if (error == 0) error = fi_ep_bind(t->ep, &t->cq->fid, FI_TRANSMIT | FI_RECV);
    if (error == 0) what = "fi_enable", error = fi_enable(t->ep);
    if (error != 0) return ta_ofi_fail(TA_DEVICE, -error, what);
    return manual ? ta_ofi_helper_start(&t->helper, t->fabric, t->cq) : TA_OK;
}

static void ofi_close(struct ta_transport *t) {
    if (t == NULL) return;
    ta_ofi_helper_stop(&t->helper);
    if (t->ep != NULL) fi_close(&t->ep->fid);
    ta_ofi_regions_close(t);
    if (t->cq != NULL) fi_close(&t->cq->fid);
    if (t->av != NULL) fi_close(&t->av->fid);
    if (t->domain != NULL) fi_close(&t->domain->fid);
    if (t->fabric != NULL) fi_close(&t->fabric->fid);
    ta_ofi_lives_free(t, true);
    fi_freeinfo(t->choice.info);
    ta_shm_map_close(&t->own);
    ta_mem_free(t->paths);
    ta_mem_free(t);
}

static void take_limits(struct ta_transport *t) {
    const struct fi_info *info = t->choice.info;
    size_t iovs = info->tx_attr->iov_limit < info->tx_attr->rma_iov_limit ? info->tx_attr->iov_limit
                                                                          : info->tx_attr->rma_iov_limit;
    t->max_iovs = iovs < 1 ? 1 : iovs < TA_OFI_IOVS ? (unsigned)iovs : TA_OFI_IOVS;
    t->max_op_bytes = info->ep_attr->max_msg_size;
    t->n_ops = TA_OFI_OPS;
    if (t->choice.is_software) {
        size_t share = TA_OFI_BLOCKS_BYTES / TA_OFI_BLOCK_BYTES / t->config.n_ranks;
        t->n_ops = share < TA_OFI_OPS_LEAST ? TA_OFI_OPS_LEAST : share < TA_OFI_OPS ? (unsigned)share : TA_OFI_OPS;
        t->block_bytes = t->max_op_bytes = TA_OFI_BLOCK_BYTES;
    }
    t->takes_addresses = (info->domain_attr->mr_mode & FI_MR_VIRT_ADDR) != 0;
}

static ta_status ofi_open(const struct ta_transport_config *config, struct ta_transport **out) {
    *out = NULL;
    if (config->n_ranks == 0 || config->rank >= config->n_ranks)
        return ta_fail(TA_CONFIG, "there is no rank %u among %u replicas", config->rank, config->n_ranks);
    struct ta_transport *t;
    ta_status status = TA_NEW(&t, 1, "transport ofi");
    if (status != TA_OK) return status;
    t->config = *config;
    t->own.fd = -1;
    status = TA_NEW(&t->paths, config->n_ranks, "transport ofi: peers");
    if (status == TA_OK) status = ta_ofi_choose(config->spec, &t->choice);
    if (status == TA_OK) {
        take_limits(t);
        status = open_device(t);
    }
    if (status != TA_OK) {
        if (t->paths == NULL) t->config.n_ranks = 0;
        ofi_close(t);
        return status;
    }
    *out = t;
    return TA_OK;
}

/* ---- the window ---- */

static ta_status check_no_window(const struct ta_transport *t) {
    if (t->window.base == NULL) return TA_OK;
    return ta_fail(TA_INVALID, "the window of rank %u was created already", t->config.rank);
}

static ta_status ofi_window_create(struct ta_transport *t, size_t bytes, struct ta_window *out) {
    *out = (struct ta_window){0};
    ta_status status = check_no_window(t);
    if (status == TA_OK) status = ta_shm_map_create(&t->own, bytes, NULL);
    if (status == TA_OK) *out = t->window = (struct ta_window){t->own.base, bytes, TA_MEM_HOST};
    return status;
}

static ta_status ofi_window_adopt(struct ta_transport *t, const struct ta_window *window) {
    ta_status status = check_no_window(t);
    if (status == TA_OK) t->window = *window;
    return status;
}

static ta_status check_peer(const struct ta_transport *t, unsigned peer) {
    if (peer < t->config.n_ranks && peer != t->config.rank) return TA_OK;
    return ta_fail(TA_INVALID, "rank %u of %u has no peer %u", t->config.rank, t->config.n_ranks, peer);
}

static ta_status ofi_grant(struct ta_transport *t, unsigned peer, size_t offset, size_t bytes) {
    ta_status status = check_peer(t, peer);
    if (status != TA_OK) return status;
    return ta_grants_add(&t->paths[peer].granted, peer, t->window.bytes, offset, bytes);
}

/* ---- keys and paths ---- */

static ta_status ofi_key_make(struct ta_transport *t, unsigned peer, struct ta_key *out) {
    *out = (struct ta_key){0};
    ta_status status = check_peer(t, peer);
    if (status != TA_OK) return status;
    if (t->window.base == NULL)
        return ta_fail(TA_INVALID, "rank %u has no window yet to make a key for", t->config.rank);
    struct ta_ofi_place place = {.window_bytes = t->window.bytes,
                                 .base = t->takes_addresses ? (uintptr_t)t->window.base : 0};
    size_t address_bytes = sizeof place.address;
    int error = fi_getname(&t->ep->fid, place.address, &address_bytes);
    if (error != 0) return ta_ofi_fail(TA_DEVICE, -error, "the address of our endpoint");
    place.address_bytes = (uint32_t)address_bytes;
    snprintf(place.provider, sizeof place.provider, "%s", t->choice.info->fabric_attr->prov_name);
    status = ta_ofi_grants_register(t, peer, &place);
    if (status != TA_OK) return status;
    struct ta_key_envelope envelope = {"ofi", t->config.run_id, t->config.rank, peer};
    return ta_key_seal(&envelope, &place, sizeof place, out);
}

static ta_status check_place(const struct ta_transport *t, unsigned peer, const struct ta_ofi_place *place) {
    const char *ours = t->choice.info->fabric_attr->prov_name;
    struct ta_grants ranges = {.n = place->n_ranges};
    if (strncmp(place->provider, ours, sizeof place->provider - 1) != 0)
        return ta_fail(TA_PEER, "peer %u uses libfabric's provider '%.31s', this replica '%s'; set transport.provider",
                       peer, place->provider, ours);
    if (place->address_bytes == 0 || place->address_bytes > sizeof place->address || place->n_ranges == 0)
        return ta_fail(TA_PEER, "the window key from peer %u makes no sense: an address of %u bytes, %u ranges", peer,
                       place->address_bytes, place->n_ranges);
    for (uint32_t i = 0; i < place->n_ranges && i < TA_MAX_GRANTS; i++) ranges.range[i] = place->range[i].range;
    return ta_grants_check(&ranges, peer, place->window_bytes);
}

static ta_status ofi_connect(struct ta_transport *t, unsigned peer, const struct ta_key *key) {
    ta_status status = check_peer(t, peer);
    if (status != TA_OK) return status;
    if (t->paths[peer].life != NULL)
        return ta_fail(TA_INVALID, "peer %u is connected already: disconnect it first", peer);
    struct ta_ofi_place place;
    struct ta_key_envelope envelope = {"ofi", t->config.run_id, peer, t->config.rank};
    status = ta_key_open(&envelope, key, &place, sizeof place);
    if (status == TA_OK) status = check_place(t, peer, &place);
    return status == TA_OK ? ta_ofi_path_open(t, peer, &place) : status;
}

static void ofi_disconnect(struct ta_transport *t, unsigned peer) {
    if (peer < t->config.n_ranks) ta_ofi_path_close(t, peer);
}

static ta_status ofi_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                         unsigned n_segments) {
    ta_status status = check_peer(t, peer);
    return status == TA_OK ? ta_ofi_path_put(t, peer, segments, n_segments) : status;
}

static unsigned ofi_in_flight(const struct ta_transport *t, unsigned peer) {
    if (peer >= t->config.n_ranks || t->paths[peer].life == NULL) return 0;
    return t->paths[peer].life->count;
}

static enum ta_peer_state ofi_peer_state(struct ta_transport *t, unsigned peer) {
    return peer < t->config.n_ranks ? t->paths[peer].state : TA_PEER_UNKNOWN;
}

static void ofi_describe(const struct ta_transport *t, char *out, size_t bytes) {
    unsigned char address[TA_OFI_ADDRESS_BYTES];
    char said[160], name[96] = "?";
    size_t address_bytes = sizeof address, name_bytes = sizeof name;
    unsigned paths = 0;
    for (unsigned i = 0; i < t->config.n_ranks; i++) paths += t->paths[i].state == TA_PEER_UP;
    if (fi_getname(&t->ep->fid, address, &address_bytes) == 0) fi_av_straddr(t->av, address, name, &name_bytes);
    ta_ofi_choice_say(&t->choice, said, sizeof said);
    snprintf(out, bytes, "%s; address %s, %u paths, %zu bytes registered", said, name, paths, t->registered_bytes);
}

const struct ta_transport_ops ta_transport_ofi = {
    .name = "ofi",
    .package = "libfabric-dev",
    .probe = ofi_probe,
    .open = ofi_open,
    .close = ofi_close,
    .window_create = ofi_window_create,
    .window_adopt = ofi_window_adopt,
    .grant = ofi_grant,
    .range_open = ta_ofi_range_open,
    .source_register = ta_ofi_source_register,
    .key_make = ofi_key_make,
    .connect = ofi_connect,
    .disconnect = ofi_disconnect,
    .put = ofi_put,
    .progress = ta_ofi_progress,
    .in_flight = ofi_in_flight,
    .peer_state = ofi_peer_state,
    .describe = ofi_describe,
};
