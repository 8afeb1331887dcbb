/* record_whole: copies on both sides of a put, and the events of the recording. */
#include "record_whole.h"

#include <stdatomic.h>
#include <string.h>

#include "live.h"
#include "mem.h"
#include "window.h"

enum { LINE = 64, TRIES = 2 };

static size_t body_bytes(const struct ta_live *l) { return l->layout.n_params * sizeof(float); }

static const float *inbox(const struct ta_live *l, unsigned rank) {
    return (const float *)(l->window + ta_slot_body(&l->layout, l->self.rank, rank));
}

/* --- what is recorded --- */

/* Who is lost, and what becomes of its share, is beyond what a recording tells. */
static bool goes_on(struct ta_live *l) {
    struct ta_whole *w = l->whole;
    for (unsigned r = 0; r < l->self.n_ranks && !ta_recorder_ended(w->recorder); r++)
        if (r != l->self.rank && l->members.member[r].life == TA_PEER_DEAD)
            ta_recorder_end(w->recorder, TA_RECORD_END_LOST, r);
    if (!ta_recorder_ended(w->recorder)) return true;
    const char *why = w->told ? NULL : ta_recorder_why(w->recorder);
    if (why != NULL) ta_log_warn(l->log, "the recording ends at step %llu: %s", (unsigned long long)l->base.steps, why);
    else if (!w->told)
        ta_log_warn(l->log, "the recording ends at step %llu: a replica was lost", (unsigned long long)l->base.steps);
    w->told = true;
    return false;
}

/* Stands between the exchange and the optimizer: every update of our register passes here. */
static ta_status update(void *owner, const float *grad, const float *weights, float scale, float *delta) {
    struct ta_live *l = owner;
    struct ta_whole *w = l->whole;
    ta_status status = w->updater.update(w->updater.owner, grad, weights, scale, delta);
    if ((status != TA_OK && status != TA_NUMERIC) || !goes_on(l)) return status;
    int64_t since_ns = ta_recorder_begin(w->recorder);
    struct ta_recorded_step step = {
        .position = l->base.position,
        .versions = w->versions,
        .finite = status == TA_OK,
        .scaled = memcmp(&scale, &l->base.scale, sizeof scale) != 0,
        .scale = scale,
    };
    ta_recorder_step(w->recorder, &step);
    uint64_t sum;
    bool due = status == TA_OK && (l->base.steps + 1) % TA_RECORD_CHECK_EVERY == 0;
    if (due && ta_estate_checksum(l, delta, &sum) == TA_OK) ta_recorder_check(w->recorder, sum);
    ta_recorder_spent(w->recorder, since_ns);
    return status;
}

ta_status ta_whole_rest(struct ta_live *l, uint32_t round) {
    struct ta_whole *w = l->whole;
    uint64_t sum;
    if (!goes_on(l)) return TA_OK;
    int64_t since_ns = ta_recorder_begin(w->recorder);
    ta_status status = ta_estate_checksum(l, l->base.w, &sum);
    if (status == TA_OK)
        ta_recorder_rest(w->recorder, round == TA_ROUND_FINAL ? 0 : round, l->base.position, sum);
    ta_recorder_spent(w->recorder, since_ns);
    return status;
}

/* --- birth and death --- */

static ta_status check(const struct ta_live *l) {
    if (strcmp(l->kernel_ops->name, "cpu") != 0)
        return ta_fail(TA_CONFIG,
                       "run.record: device.type %s does not compute the same bits twice: record with device.type cpu",
                       l->kernel_ops->name);
    if (l->rows.n_tables > 0)
        return ta_fail(TA_CONFIG,
                       "run.record: tables of rows (word models) are not recorded: only models made of layers are");
    if (l->founders < l->self.n_ranks)
        return ta_fail(TA_CONFIG, "run.record: a run that somebody may join cannot be recorded: set run.spares to 0");
    return TA_OK;
}

ta_status ta_whole_open(struct ta_live *l, struct ta_recorder *recorder) {
    unsigned n = l->self.n_ranks, in_flight = l->outboxes.in_flight;
    struct ta_whole *w;
    ta_status status = check(l);
    if (status == TA_OK) status = TA_NEW(&w, 1, "whole puts");
    if (status != TA_OK) return status;
    l->whole = w;
    w->recorder = recorder;
    size_t most = n > 1 ? (size_t)(n - 1) * in_flight + 1 : 0;
    status = TA_NEW(&w->body, n, "whole puts");
    if (status == TA_OK) status = TA_NEW(&w->versions, n, "whole puts");
    if (status == TA_OK) status = TA_NEW(&w->copies, most, "whole puts");
    if (status == TA_OK) status = TA_NEW(&w->on_way, (size_t)n * (in_flight + 1), "whole puts");
    if (status == TA_OK) status = TA_NEW(&w->oldest, n, "whole puts");
    if (status == TA_OK) status = TA_NEW(&w->n_on_way, n, "whole puts");
    for (unsigned r = 0; r < n && status == TA_OK; r++)
        if (r != l->self.rank) status = TA_NEW(&w->body[r], l->layout.n_params, "registers of peers, whole");
    if (status == TA_OK && n > 1) status = TA_NEW(&w->spare, l->layout.n_params, "a register of a peer, whole");
    if (status != TA_OK) return status; /* live's open closes us */
    w->updater = l->updater;
    l->updater = (struct ta_exchange_updater){update, l};
    l->held_bytes += n > 1 ? n * body_bytes(l) : 0;
    l->base.n_registers += n > 1 ? n + 2 : 0;
    return TA_OK;
}

void ta_whole_close(struct ta_live *l) {
    struct ta_whole *w = l->whole;
    if (w == NULL) return;
    for (unsigned r = 0; w->body != NULL && r < l->self.n_ranks; r++) ta_mem_free(w->body[r]);
    for (unsigned i = 0; i < w->n_copies; i++) ta_mem_free(w->copies[i].block);
    ta_mem_free(w->spare);
    ta_mem_free(w->n_on_way);
    ta_mem_free(w->oldest);
    ta_mem_free(w->on_way);
    ta_mem_free(w->copies);
    ta_mem_free(w->versions);
    ta_mem_free(w->body);
    ta_mem_free(w);
    l->whole = NULL;
}

/* --- reading --- */

static bool copy_whole(struct ta_live *l, unsigned rank) {
    struct ta_whole *w = l->whole;
    const char *line = l->window + ta_slot_control(&l->layout, l->self.rank, rank) + TA_SLOT_HEADER;
    const char *before = (const char *)inbox(l, rank) + l->layout.payload;
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t steps = ta_slot_steps(line);
        if (ta_window_load_u64(before) != steps) continue;
        memcpy(w->spare, inbox(l, rank), body_bytes(l));
        atomic_thread_fence(memory_order_acquire); /* the bytes above are read before the number below */
        if (ta_window_load_u64(before) != steps) continue;
        float *body = w->body[rank];
        w->body[rank] = w->spare;
        w->spare = body;
        w->versions[rank] = steps;
        return true;
    }
    return false;
}

static bool is_behind(const struct ta_live *l, unsigned rank) {
    const struct ta_member *member = &l->members.member[rank];
    return member->known.steps > l->whole->versions[rank] && !l->estates.estate[rank].frozen;
}

bool ta_whole_take(struct ta_live *l) {
    struct ta_whole *w = l->whole;
    int64_t since_ns = ta_recorder_begin(w->recorder);
    bool behind = false;
    for (unsigned r = 0; r < l->self.n_ranks; r++) {
        if (r == l->self.rank) continue;
        if (!w->started) {
            memcpy(w->body[r], inbox(l, r), body_bytes(l));
            w->versions[r] = l->members.member[r].known.steps;
        } else if (is_behind(l, r)) {
            behind |= !copy_whole(l, r);
        }
    }
    w->started = true;
    w->versions[l->self.rank] = l->base.steps;
    ta_recorder_spent(w->recorder, since_ns);
    return behind;
}

bool ta_whole_is_current(const struct ta_live *l) {
    for (unsigned r = 0; r < l->self.n_ranks; r++)
        if (r != l->self.rank && is_behind(l, r)) return false;
    return true;
}

/* --- writing --- */

/* Puts leave in the order they were made, so those still in flight are the last ones. */
static void reap(struct ta_live *l, unsigned peer) {
    struct ta_whole *w = l->whole;
    unsigned in_flight = l->transport_ops->in_flight(l->transport, peer), room = l->outboxes.in_flight + 1;
    while (w->n_on_way[peer] > in_flight) {
        uint32_t copy = w->on_way[(size_t)peer * room + w->oldest[peer]];
        if (copy > 0) w->copies[copy - 1].users--;
        w->oldest[peer] = (w->oldest[peer] + 1) % room;
        w->n_on_way[peer]--;
    }
}

static ta_status new_copy(struct ta_live *l, unsigned *out) {
    struct ta_whole *w = l->whole;
    struct ta_whole_copy *copy = &w->copies[w->n_copies];
    size_t bytes = LINE + body_bytes(l);
    ta_status status = ta_mem_alloc(bytes, 1, "a register on its way", (void **)&copy->block);
    if (status == TA_OK) status = l->transport_ops->source_register(l->transport, copy->block, bytes);
    if (status != TA_OK) {
        ta_mem_free(copy->block);
        copy->block = NULL;
        return status;
    }
    l->held_bytes += bytes;
    *out = w->n_copies++;
    return TA_OK;
}

ta_status ta_whole_pack(struct ta_live *l) {
    struct ta_whole *w = l->whole;
    unsigned found = w->n_copies;
    for (unsigned p = 0; p < l->self.n_ranks; p++)
        if (p != l->self.rank) reap(l, p);
    for (unsigned i = 0; i < w->n_copies; i++) {
        if (w->copies[i].block != NULL && w->copies[i].steps == l->base.steps) {
            w->packed = i;
            return TA_OK;
        }
        if (w->copies[i].users == 0) found = i;
    }
    int64_t since_ns = ta_recorder_begin(w->recorder);
    ta_status status = found == w->n_copies ? new_copy(l, &found) : TA_OK;
    if (status != TA_OK) return status;
    struct ta_whole_copy *copy = &w->copies[found];
    copy->steps = l->base.steps;
    memcpy(copy->block, &copy->steps, sizeof copy->steps);
    memcpy(copy->block + LINE, l->base.delta, body_bytes(l));
    w->packed = found;
    ta_recorder_spent(w->recorder, since_ns);
    return TA_OK;
}

unsigned ta_whole_segments(const struct ta_live *l, unsigned peer,
                           struct ta_put_segment segments[TA_WHOLE_MOST_SEGMENTS]) {
    const char *block = l->whole->copies[l->whole->packed].block;
    size_t body = ta_slot_body(&l->layout, peer, l->self.rank);
    segments[0] =
        (struct ta_put_segment){.source = block, .bytes = sizeof(uint64_t), .target_offset = body + l->layout.payload};
    segments[1] = (struct ta_put_segment){.source = block + LINE, .bytes = body_bytes(l), .target_offset = body};
    return TA_WHOLE_MOST_SEGMENTS;
}

void ta_whole_sent(struct ta_live *l, unsigned peer, bool body) {
    struct ta_whole *w = l->whole;
    unsigned room = l->outboxes.in_flight + 1;
    reap(l, peer); /* those that had to leave before this one could be taken */
    w->on_way[(size_t)peer * room + (w->oldest[peer] + w->n_on_way[peer]) % room] = body ? w->packed + 1 : 0;
    w->n_on_way[peer]++;
    if (body) w->copies[w->packed].users++;
    reap(l, peer);
}
