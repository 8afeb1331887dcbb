/* sync_engine: who sums: the ring over windows of the host, or, on GPUs, NCCL. All must do the same, so the lowest rank
 * that is there decides, from what all say of themselves: whether they have NCCL, and which GPU they compute on, as
 * NCCL wants each on its own. Its verdict goes to all, with the id by which they find each other; once for each ring:
 * after a loss a new one. What was decided first stays. */
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "mem.h"
#include "sync.h"

enum { CAN = 1, SAID = 4, PATIENCE = 10 };

static bool is(const char *text, const char *name) { return text != NULL && strcmp(text, name) == 0; }

/* Where we compute, as one number: the machine as it was started, and the place on its bus. */
static ta_status place_of(struct ta_sync *s, uint64_t *out) {
    struct ta_gpu_info info;
    char place[128] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file != NULL && fgets(place, 64, file) == NULL) place[0] = '\0';
    if (file != NULL) fclose(file);
    ta_status status = s->gpu_ops->describe(s->gpu_ops->number(s->gpu), &info);
    if (status != TA_OK) return status;
    size_t used = strlen(place);
    snprintf(place + used, sizeof place - used, " %s", info.pci);
    *out = XXH3_64bits(place, strlen(place)) << 1 | UINT64_C(1) << 63;
    return TA_OK;
}

static ta_status make_pieces(struct ta_sync *s) {
    const struct ta_model *model = s->base.model;
    size_t at = 0;
    ta_status status = TA_NEW(&s->pieces, 2 * (size_t)model->n_segments + 1, "parts of a reduction");
    for (unsigned n = 0; n <= model->n_segments && status == TA_OK; n++) {
        bool end = n == model->n_segments;
        const struct ta_segment *segment = end ? NULL : &model->segments[n];
        if (!end && segment->kind != TA_SEGMENT_MEAN) continue; /* one piece, with the gaps around it */
        size_t until = end ? model->n_params : segment->offset;
        if (until > at) s->pieces[s->n_pieces++] = (struct ta_sync_piece){.at = at, .floats = until - at};
        at = until;
        if (end) break;
        s->pieces[s->n_pieces++] = (struct ta_sync_piece){.at = at, .floats = segment->count, .mean = true};
        at += segment->count;
    }
    return status;
}

ta_status ta_sync_engine_open(struct ta_sync *s, const struct ta_exchange_config *config) {
    const char *wanted = config->spec->collective;
    s->needs_collective = is(wanted, "nccl");
    if (s->needs_collective && !config->kernel_ops->on_gpu)
        return ta_fail(TA_CONFIG, "exchange.collective: nccl is for GPUs: remove it, or say device.type: cuda");
    s->slots_at = TA_SYNC_WORD_BYTES;
    if (!config->kernel_ops->on_gpu) return TA_OK;
    if (config->gpu == NULL) return ta_fail(TA_INVALID, "exchange 'sync' was opened without the GPU of its kernels");
    s->gpu_ops = config->gpu_ops;
    s->gpu = config->gpu;
    s->slots_at += sizeof(struct ta_collective_id);
    s->engine = TA_SYNC_UNDECIDED;
    if (config->n_ranks == 1) return TA_OK;
    ta_status status = make_pieces(s);
    if (status == TA_OK) status = place_of(s, &s->able);
    if (status != TA_OK || is(wanted, "ring")) return status;
    status = ta_collective_find(&s->collective_ops);
    if (status == TA_OK) s->able |= CAN;
    if (status != TA_OK && s->needs_collective) return status;
    if (status != TA_OK) ta_log_info(s->log, "sums go through the host: %s", ta_why());
    return TA_OK;
}

void ta_sync_engine_close(struct ta_sync *s) {
    ta_sync_engine_abandon(s);
    ta_mem_free(s->pieces);
}

void ta_sync_engine_abandon(struct ta_sync *s) {
    if (s->collective != NULL) s->collective_ops->abort(s->collective);
    s->collective = NULL;
    s->failing = false;
}

/* What all say of themselves. False: somebody has not said it yet. */
static bool hear_all(const struct ta_sync *s, bool *all_can, bool *apart) {
    *all_can = *apart = true;
    for (unsigned i = 0; i < s->members; i++) {
        uint64_t one = s->ring[i] == s->base.rank ? s->able : TA_SYNC_HEARD(s, s->ring[i], able);
        if (one == 0) return false;
        *all_can &= (one & CAN) != 0;
        for (unsigned k = 0; k < i; k++) {
            uint64_t other = s->ring[k] == s->base.rank ? s->able : TA_SYNC_HEARD(s, s->ring[k], able);
            *apart &= (one | CAN) != (other | CAN);
        }
    }
    return true;
}

static bool decide(struct ta_sync *s) {
    bool all_can, apart;
    enum ta_sync_engine engine = s->engine;
    if (!hear_all(s, &all_can, &apart)) return false;
    if (engine == TA_SYNC_UNDECIDED) engine = all_can && apart ? TA_SYNC_COLLECTIVE : TA_SYNC_RING;
    if (s->engine == TA_SYNC_UNDECIDED && engine == TA_SYNC_RING)
        ta_log_info(s->log, "sums go through the host: %s",
                    all_can ? "NCCL wants each replica on a GPU of its own" : "NCCL is not there for every replica");
    if (engine == TA_SYNC_COLLECTIVE && s->collective_ops->id(&s->id) != TA_OK) {
        ta_log_warn(s->log, "%s", ta_why());
        if (s->engine == TA_SYNC_COLLECTIVE) s->put_status = TA_DEVICE;
        engine = TA_SYNC_RING;
    }
    s->verdict = s->generation << TA_SYNC_GENERATION_SHIFT | SAID | engine;
    return true;
}

/* The verdict on this ring, ours or that of the lowest rank. */
static bool hear_verdict(struct ta_sync *s) {
    if (s->verdict != 0 && s->verdict >> TA_SYNC_GENERATION_SHIFT == s->generation) return true;
    unsigned lowest = s->ring[0];
    if (lowest == s->base.rank) return decide(s);
    uint64_t said = TA_SYNC_HEARD(s, lowest, verdict);
    if (said == 0 || said >> TA_SYNC_GENERATION_SHIFT != s->generation) return false;
    size_t line = ta_control_payload(&s->control, s->base.rank, lowest);
    memcpy(&s->id, s->control.window + line + TA_SYNC_WORD_BYTES, sizeof s->id);
    s->verdict = said;
    return true;
}

static ta_status settle_on(struct ta_sync *s, enum ta_sync_engine engine) {
    if (s->engine == engine) return TA_OK;
    if (engine == TA_SYNC_RING && s->needs_collective)
        return ta_fail(TA_CONFIG, "exchange.collective: nccl, but not every replica has NCCL and a GPU of its own: "
                                  "give each "
                                  "one (not --replicas-per-gpu), or say exchange.collective: auto");
    if (s->engine != TA_SYNC_UNDECIDED)
        return ta_fail(TA_DEVICE, "exchange: NCCL found no new id after a loss; look into its own log "
                                  "(NCCL_DEBUG=WARN)");
    s->engine = engine;
    return ta_sync_buffers_open(s);
}

static ta_status join(struct ta_sync *s) {
    const struct ta_collective_config config = {
        .gpu_ops = s->gpu_ops, .gpu = s->gpu, .rank = s->place, .n = s->members, .id = s->id};
    s->greeted = s->generation > 0;
    int version = s->collective_ops->version();
    ta_log_info(s->log, "sums by NCCL %d.%d.%d over %u GPUs", version / 10000, version / 100 % 100, version % 100,
                s->members);
    return s->collective_ops->open(&config, &s->collective);
}

/* A member that does not answer any more is soon known to be gone, and a new ring is made; if nobody is, NCCL has a
 * trouble of its own. */
static ta_status be_patient(struct ta_sync *s, ta_status status, int64_t now_ns) {
    if (status != TA_PEER) return status;
    if (!s->failing) s->failing_since_ns = now_ns;
    s->failing = true;
    if ((double)(now_ns - s->failing_since_ns) < PATIENCE * 1e9 * s->dead_after_s) return TA_AGAIN;
    return ta_fail(TA_DEVICE, "%s; all replicas are alive all the same: look after the network that NCCL uses, or say "
                   "exchange.collective: ring", ta_why());
}

/* OK: all are together, and start from the weights of the lowest rank. */
static ta_status come_together(struct ta_sync *s, int64_t now_ns) {
    ta_status status = s->collective == NULL ? join(s) : TA_OK;
    if (status == TA_OK) status = be_patient(s, s->collective_ops->state(s->collective), now_ns);
    if (status != TA_OK || s->greeted) return status;
    if (!s->greeting) {
        s->greeting = true;
        status = s->collective_ops->broadcast(s->collective, s->base.w0, s->base.model->n_params, 0);
        return status == TA_OK ? TA_AGAIN : status;
    }
    s->greeted = true;
    return ta_sync_apply(s);
}

bool ta_sync_engine_ready(struct ta_sync *s, int64_t now_ns) {
    if (s->gpu == NULL) return true;
    if (s->at_rest && s->round == TA_ROUND_FINAL) return false; /* there is nothing left to sum */
    if (!hear_verdict(s)) return false;
    enum ta_sync_engine engine = (enum ta_sync_engine)(s->verdict & 3);
    ta_status status = settle_on(s, engine);
    if (status == TA_OK && engine == TA_SYNC_COLLECTIVE) status = come_together(s, now_ns);
    if (status != TA_OK && status != TA_AGAIN) s->put_status = status;
    return status == TA_OK;
}

/* --- reductions by NCCL --- */

/* Who gives nothing: -0, which changes no sum, and the statistics that it has. */
static ta_status give_nothing(struct ta_sync *s, float *out) {
    ta_status status = ta_sync_fill(s, out, s->base.model->n_params, -0.0F);
    for (size_t i = 0; i < s->n_pieces && status == TA_OK && !s->recovery; i++)
        if (s->pieces[i].mean)
            status = ta_sync_copy(s, out + s->pieces[i].at, s->delta + s->pieces[i].at, s->pieces[i].floats);
    return status;
}

ta_status ta_sync_collective_begin(struct ta_sync *s) {
    struct ta_collective_piece *pieces;
    float *out = s->result[1 - s->last];
    ta_status status = TA_NEW(&pieces, s->n_pieces, "parts of a reduction");
    if (status == TA_OK && s->given == NULL) status = give_nothing(s, out);
    const float *in = s->given != NULL ? s->given : out;
    for (size_t i = 0; i < s->n_pieces && status == TA_OK; i++) {
        const struct ta_sync_piece *p = &s->pieces[i];
        float scale = s->recovery ? 1 : p->mean ? 1.0F / (float)s->members : s->base.scale;
        pieces[i] = (struct ta_collective_piece){in + p->at, out + p->at, p->floats, scale};
    }
    if (status == TA_OK) status = s->collective_ops->all_reduce(s->collective, pieces, s->n_pieces);
    ta_mem_free(pieces);
    s->sent++;
    return status == TA_PEER ? TA_OK : status; /* it stays so, and move hears of it */
}

bool ta_sync_collective_called(const struct ta_sync *s) {
    for (unsigned i = 0; i < s->members; i++) {
        if (s->ring[i] == s->base.rank) continue;
        uint64_t said = TA_SYNC_HEARD(s, s->ring[i], tag);
        if (said >> TA_SYNC_GENERATION_SHIFT != s->generation) continue;
        if ((said & ((UINT64_C(1) << TA_SYNC_GENERATION_SHIFT) - 1)) > s->sent) return true;
    }
    return false;
}

bool ta_sync_collective_move(struct ta_sync *s, int64_t now_ns) {
    ta_status status = be_patient(s, s->collective_ops->state(s->collective), now_ns);
    if (status != TA_OK && status != TA_AGAIN) s->put_status = status;
    if (status != TA_OK) return false;
    s->busy = false;
    s->last = 1 - s->last;
    return true;
}
