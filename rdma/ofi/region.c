/* region: memory that the device may read for us, and memory that peers may write. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <rdma/fi_errno.h>

#include "mem.h"
#include "ofi.h"

/* A pass of a provider that takes offsets carries where its range begins: nobody else tells the sender. */
enum { PASS_RANDOM_BITS = 20, TRIES = 16 };

static uint64_t random_bits(void) {
    uint64_t bits = 0;
    if (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits) bits ^= (uintptr_t)&bits;
    return bits;
}

/* With FI_MR_PROV_KEY the provider chooses the key; else it is ours: `high` above, `random` random bits below. */
static ta_status reg(struct ta_transport *t, const void *base, size_t bytes, uint64_t access, uint64_t high,
                     unsigned random, struct fid_mr **out) {
    const struct fi_domain_attr *domain = t->choice.info->domain_attr;
    int error = -FI_ENOKEY;
    *out = NULL;
    for (int i = 0; i < TRIES && error == -FI_ENOKEY; i++) {
        uint64_t key = high;
        if (random > 0) key |= random_bits() >> (64 - random);
        if (domain->mr_key_size < sizeof key) key &= (UINT64_C(1) << 8 * domain->mr_key_size) - 1;
        if (domain->mr_mode & FI_MR_PROV_KEY) key = 0;
        error = fi_mr_reg(t->domain, base, bytes, access, 0, key, 0, out, NULL);
    }
    if (error == 0 && (domain->mr_mode & FI_MR_ENDPOINT)) {
        error = fi_mr_bind(*out, &t->ep->fid, 0);
        if (error == 0) error = fi_mr_enable(*out);
        if (error != 0) fi_close(&(*out)->fid);
    }
    if (error != 0) {
        *out = NULL;
        return ta_fail(TA_DEVICE, "libfabric: provider %s does not register %zu bytes: %s; see `ulimit -l`",
                       t->choice.info->fabric_attr->prov_name, bytes, fi_strerror(-error));
    }
    t->registered_bytes += bytes;
    return TA_OK;
}

static ta_status remember(struct ta_transport *t, const void *base, size_t bytes, struct fid_mr *mr) {
    ta_status status = ta_mem_resize((void **)&t->regions, (t->n_regions + 1) * sizeof *t->regions,
                                     "transport ofi: registered memory");
    if (status != TA_OK)
        fi_close(&mr->fid);
    else
        t->regions[t->n_regions++] = (struct ta_ofi_region){base, bytes, mr};
    return status;
}

ta_status ta_ofi_source_register(struct ta_transport *t, const void *base, size_t bytes) {
    struct fid_mr *mr;
    if (bytes == 0 || !(t->choice.info->domain_attr->mr_mode & FI_MR_LOCAL)) return TA_OK;
    ta_status status = reg(t, base, bytes, FI_WRITE, 0, 64, &mr);
    return status == TA_OK ? remember(t, base, bytes, mr) : status;
}

ta_status ta_ofi_range_open(struct ta_transport *t, size_t offset, size_t bytes, uint64_t *pass) {
    const struct fi_domain_attr *domain = t->choice.info->domain_attr;
    *pass = 0;
    ta_status status = ta_range_check(t->window.bytes, offset, bytes);
    if (status != TA_OK) return status;
    if (bytes == 0) return ta_fail(TA_INVALID, "a range of 0 bytes cannot be opened");
    if (!t->takes_addresses && ((domain->mr_mode & FI_MR_PROV_KEY) || domain->mr_key_size < sizeof *pass ||
                                (uint64_t)offset >> (63 - PASS_RANDOM_BITS) != 0))
        return ta_fail(TA_DEVICE, "libfabric: provider %s takes offsets and has keys of %zu bytes: a range cannot be "
                                  "opened to all there",
                       t->choice.info->fabric_attr->prov_name, domain->mr_key_size);
    unsigned char *base = (unsigned char *)t->window.base + offset;
    struct fid_mr *mr;
    /* The highest bit keeps passes apart from 0; keys of grants may have it too: then one of them is drawn again. */
    status = t->takes_addresses ? reg(t, base, bytes, FI_REMOTE_WRITE, 0, 63, &mr)
                                : reg(t, base, bytes, FI_REMOTE_WRITE,
                                      UINT64_C(1) << 63 | (uint64_t)offset << PASS_RANDOM_BITS, PASS_RANDOM_BITS, &mr);
    if (status == TA_OK) status = remember(t, base, bytes, mr);
    if (status != TA_OK) return status;
    *pass = t->takes_addresses ? fi_mr_key(mr) + 1 : fi_mr_key(mr);
    return TA_OK;
}

ta_status ta_ofi_grants_register(struct ta_transport *t, unsigned peer, struct ta_ofi_place *place) {
    struct ta_ofi_path *path = &t->paths[peer];
    struct ta_grants whole = {.n = 1, .range = {{0, t->window.bytes}}};
    const struct ta_grants *grants = path->granted.n > 0 ? &path->granted : &whole;
    bool fresh = path->n_mr != grants->n;
    ta_status status = TA_OK;
    if (fresh) ta_ofi_grants_drop(t, peer);
    place->n_ranges = (uint32_t)grants->n;
    for (unsigned i = 0; i < grants->n && status == TA_OK; i++) {
        const struct ta_range *range = &grants->range[i];
        place->range[i].range = *range;
        if (range->bytes == 0) continue; /* nothing can be written there, by nobody */
        if (fresh) {
            path->n_mr = i + 1;
            status = reg(t, (unsigned char *)t->window.base + range->offset, range->bytes, FI_REMOTE_WRITE, 0, 64,
                         &path->mr[i]);
            if (status == TA_OK) path->registered_bytes += range->bytes;
        }
        if (status == TA_OK) place->range[i].key = fi_mr_key(path->mr[i]);
    }
    path->n_mr = (unsigned)grants->n;
    if (status != TA_OK) ta_ofi_grants_drop(t, peer);
    return status;
}

void ta_ofi_grants_drop(struct ta_transport *t, unsigned peer) {
    struct ta_ofi_path *path = &t->paths[peer];
    for (unsigned i = 0; i < path->n_mr; i++) {
        if (path->mr[i] == NULL) continue;
        fi_close(&path->mr[i]->fid);
        path->mr[i] = NULL;
    }
    t->registered_bytes -= path->registered_bytes;
    path->registered_bytes = 0;
    path->n_mr = 0;
}

void ta_ofi_regions_close(struct ta_transport *t) {
    for (unsigned i = 0; i < t->config.n_ranks; i++) ta_ofi_grants_drop(t, i);
    for (size_t i = 0; i < t->n_regions; i++) fi_close(&t->regions[i].mr->fid);
    ta_mem_free(t->regions);
    t->regions = NULL;
    t->n_regions = 0;
}

static ta_status source_find(const struct ta_transport *t, unsigned segment, const struct ta_put_segment *s,
                             const struct ta_range *span, struct ta_ofi_target *out) {
    const unsigned char *base = (const unsigned char *)s->source + (span->offset - s->target_offset);
    for (size_t i = 0; i < t->n_regions; i++) {
        const struct ta_ofi_region *region = &t->regions[i];
        if (base < region->base || span->bytes > region->bytes ||
            (size_t)(base - region->base) > region->bytes - span->bytes)
            continue;
        out->desc = fi_mr_desc(region->mr);
        return TA_OK;
    }
    return ta_fail(TA_INVALID, "segment %u of a put: its source of %" PRIu64 " bytes was not registered", segment,
                   span->bytes);
}

static ta_status not_granted(unsigned peer, unsigned segment, const struct ta_ofi_place *place,
                             const struct ta_range *span) {
    const struct ta_range *first = &place->range[0].range, *last = &place->range[place->n_ranges - 1].range;
    return ta_fail(TA_INVALID,
                   "segment %u of a put to peer %u: %" PRIu64 " bytes at offset %" PRIu64
                   " are not in what it granted: [%" PRIu64 ", %" PRIu64 ") and [%" PRIu64 ", %" PRIu64 ")",
                   segment, peer, span->bytes, span->offset, first->offset, first->offset + first->bytes, last->offset,
                   last->offset + last->bytes);
}

/* A range that was opened: where it begins is in the pass, or it does not matter. */
static ta_status find_opened(const struct ta_transport *t, const struct ta_ofi_life *life, unsigned segment,
                             const struct ta_put_segment *s, const struct ta_range *span, struct ta_ofi_target *out) {
    if (t->takes_addresses) {
        out->key = s->pass - 1;
        out->address = life->place.base + s->target_offset;
        return TA_OK;
    }
    uint64_t offset = (s->pass & ~(UINT64_C(1) << 63)) >> PASS_RANDOM_BITS;
    if (span->offset < offset)
        return ta_fail(TA_INVALID,
                       "segment %u of a put to peer %u begins at %" PRIu64
                       ", before the range it has a pass for: %" PRIu64,
                       segment, life->peer, span->offset, offset);
    out->key = s->pass;
    out->address = s->target_offset - offset;
    return TA_OK;
}

ta_status ta_ofi_target_find(const struct ta_transport *t, const struct ta_ofi_life *life, unsigned segment,
                             const struct ta_put_segment *s, struct ta_ofi_target *out) {
    const struct ta_ofi_place *place = &life->place;
    const struct ta_range span = ta_put_segment_span(s);
    *out = (struct ta_ofi_target){.key = 0};
    if (span.bytes == 0) return TA_OK;
    if (t->choice.info->domain_attr->mr_mode & FI_MR_LOCAL) {
        ta_status status = source_find(t, segment, s, &span, out);
        if (status != TA_OK) return status;
    }
    if (s->pass != 0) return find_opened(t, life, segment, s, &span, out);
    for (uint32_t i = 0; i < place->n_ranges; i++) {
        const struct ta_ofi_range *range = &place->range[i];
        if (!ta_range_holds(&range->range, &span)) continue;
        out->key = range->key;
        out->address = t->takes_addresses ? place->base + s->target_offset : s->target_offset - range->range.offset;
        return TA_OK;
    }
    return not_granted(life->peer, segment, place, &span);
}
