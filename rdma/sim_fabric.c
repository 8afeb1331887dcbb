/* sim_fabric: virtual time, a heap of moving paths, who lives and who is cut off. */
#include "sim_fabric.h"

#include <string.h>

#include "mem.h"

/* ---- the heap ---- */

static bool before(struct ta_sim_due a, struct ta_sim_due b) {
    return a.next_ns != b.next_ns ? a.next_ns < b.next_ns : a.sequence < b.sequence;
}

static void place(struct ta_sim_fabric *f, size_t slot, struct ta_sim_due due) {
    f->heap[slot] = due;
    due.path->slot = (long)slot;
}

static void sift(struct ta_sim_fabric *f, size_t slot, struct ta_sim_due due) {
    for (; slot > 0 && before(due, f->heap[(slot - 1) / 2]); slot = (slot - 1) / 2)
        place(f, slot, f->heap[(slot - 1) / 2]);
    for (size_t child; (child = 2 * slot + 1) < f->n_heap; slot = child) {
        if (child + 1 < f->n_heap && before(f->heap[child + 1], f->heap[child])) child++;
        if (!before(f->heap[child], due)) break;
        place(f, slot, f->heap[child]);
    }
    place(f, slot, due);
}

static void enqueue(struct ta_sim_fabric *f, struct ta_sim_path *path) {
    struct ta_sim_due due = {path->next_ns, f->sequence++, path};
    sift(f, path->slot == TA_SIM_NOT_QUEUED ? f->n_heap++ : (size_t)path->slot, due);
}

static void dequeue(struct ta_sim_fabric *f, struct ta_sim_path *path) {
    if (path->slot == TA_SIM_NOT_QUEUED) return;
    size_t slot = (size_t)path->slot;
    path->slot = TA_SIM_NOT_QUEUED;
    struct ta_sim_due last = f->heap[--f->n_heap];
    if (last.path != path) sift(f, slot, last);
}

/* ---- the fabric ---- */

static size_t cell(const struct ta_sim_fabric *f, unsigned from, unsigned to) {
    return (size_t)from * f->config.n_ranks + to;
}

struct ta_sim_path **ta_sim_cell(struct ta_sim_fabric *f, unsigned from, unsigned to) {
    return &f->paths[cell(f, from, to)];
}

ta_status ta_sim_create(const struct ta_sim_config *config, struct ta_sim_fabric **out) {
    *out = NULL;
    if (config->n_ranks == 0 || config->latency_ns < 0 || !(config->bytes_per_ns >= 0) || !(config->jitter >= 0) ||
        !(config->duplicate >= 0 && config->duplicate <= 1) || config->put_ns < 0 || config->near_latency_ns < 0 ||
        !(config->near_bytes_per_ns >= 0))
        return ta_fail(TA_CONFIG,
                       "sim: %u ranks, latency %lld ns, %g bytes/ns, jitter %g, duplicate %g: ranks must be 1 or "
                       "more, the rest not negative, duplicate at most 1",
                       config->n_ranks, (long long)config->latency_ns, config->bytes_per_ns, config->jitter,
                       config->duplicate);
    struct ta_sim_fabric *f;
    ta_status status = TA_NEW(&f, 1, "sim: fabric");
    if (status != TA_OK) return status;
    f->config = *config;
    if (f->config.depth == 0) f->config.depth = 1;
    f->dice.seed = config->seed;
    size_t n = config->n_ranks;
    if (f->config.per_node == 0) f->config.per_node = 1;
    status = TA_NEW(&f->ranks, n, "sim: ranks");
    if (status == TA_OK) status = TA_NEW(&f->nodes, n, "sim: nodes");
    if (status == TA_OK) status = TA_NEW(&f->paths, n * n, "sim: paths");
    if (status == TA_OK) status = TA_NEW(&f->cut, n * n, "sim: cuts");
    if (status == TA_OK) status = TA_NEW(&f->turn, n * n, "sim: turns");
    if (status == TA_OK)
        *out = f;
    else
        ta_sim_destroy(f);
    return status;
}

void ta_sim_destroy(struct ta_sim_fabric *f) {
    if (f == NULL) return;
    size_t n = f->config.n_ranks;
    for (size_t i = 0; f->paths != NULL && i < n * n; i++) ta_sim_path_destroy(f->paths[i]);
    ta_mem_free(f->heap);
    ta_mem_free(f->turn);
    ta_mem_free(f->cut);
    ta_mem_free(f->paths);
    ta_mem_free(f->nodes);
    ta_mem_free(f->ranks);
    ta_mem_free(f);
}

bool ta_sim_path_reaches(const struct ta_sim_fabric *f, const struct ta_sim_path *path) {
    const struct ta_sim_rank *to = &f->ranks[path->to];
    return to->alive && to->life == path->life;
}

void ta_sim_advance(struct ta_sim_fabric *f, int64_t now_ns) {
    const struct ta_sim_watcher *watcher = &f->config.watcher;
    while (f->n_heap > 0 && f->heap[0].next_ns <= now_ns) {
        struct ta_sim_path *path = f->heap[0].path;
        if (f->now_ns < path->next_ns) f->now_ns = path->next_ns;
        unsigned char *window = ta_sim_path_reaches(f, path) ? f->ranks[path->to].window : NULL;
        unsigned waiting = path->count;
        f->counts.pieces++;
        if (ta_sim_path_move(path, window, f->now_ns, &f->dice))
            enqueue(f, path);
        else
            dequeue(f, path);
        if (path->count < waiting && watcher->delivered != NULL)
            watcher->delivered(watcher->owner, path->from, path->to);
    }
    if (f->now_ns < now_ns) f->now_ns = now_ns;
}

void ta_sim_path_stop(struct ta_sim_fabric *f, struct ta_sim_path *path) {
    dequeue(f, path);
    ta_sim_path_clear(path);
}

void ta_sim_die(struct ta_sim_fabric *f, unsigned rank, int64_t detect_ns) {
    struct ta_sim_rank *r = &f->ranks[rank];
    if (!r->alive) return;
    r->alive = false;
    if (__builtin_add_overflow(f->now_ns, detect_ns, &r->detect_ns)) r->detect_ns = INT64_MAX;
    f->troubles++;
    for (unsigned to = 0; to < f->config.n_ranks; to++)
        if (*ta_sim_cell(f, rank, to) != NULL) ta_sim_path_stop(f, *ta_sim_cell(f, rank, to));
}

void ta_sim_kill(struct ta_sim_fabric *f, unsigned rank, int64_t now_ns, int64_t detect_ns) {
    if (rank >= f->config.n_ranks) return;
    ta_sim_advance(f, now_ns);
    ta_sim_die(f, rank, detect_ns);
}

void ta_sim_cut(struct ta_sim_fabric *f, unsigned from, unsigned to, int cut) {
    if (from >= f->config.n_ranks || to >= f->config.n_ranks) return;
    f->cut[cell(f, from, to)] = cut != 0;
    struct ta_sim_path *path = f->paths[cell(f, from, to)];
    if (path == NULL || path->count == 0) return;
    if (cut) {
        dequeue(f, path);
    } else {
        if (path->next_ns < f->now_ns) path->next_ns = f->now_ns;
        enqueue(f, path);
    }
}

uint32_t *ta_sim_turn(struct ta_sim_fabric *f, unsigned from, unsigned to) { return &f->turn[cell(f, from, to)]; }

void ta_sim_path_broke(struct ta_sim_fabric *f, struct ta_sim_path *path) {
    path->state = TA_PEER_BROKEN;
    f->troubles++;
}

void ta_sim_path_break(struct ta_sim_fabric *f, unsigned from, unsigned to, bool all_lost) {
    struct ta_sim_path *path = f->paths[cell(f, from, to)];
    f->turn[cell(f, from, to)]++;
    if (path == NULL || !path->connected || path->broken || path->state != TA_PEER_UP) return;
    unsigned arrive = all_lost ? 0 : ta_sim_roll(&f->dice, path->count + 1);
    bool lost = arrive < path->count;
    path->broken = true;
    path->count = arrive;
    if (arrive == 0) ta_sim_path_stop(f, path);
    if (lost || ta_sim_roll(&f->dice, 2)) ta_sim_path_broke(f, path);
}

void ta_sim_break(struct ta_sim_fabric *f, unsigned a, unsigned b, int64_t now_ns) {
    if (a >= f->config.n_ranks || b >= f->config.n_ranks || a == b) return;
    ta_sim_advance(f, now_ns);
    if (!f->ranks[a].alive || !f->ranks[b].alive) return;
    ta_sim_path_break(f, a, b, false);
    ta_sim_path_break(f, b, a, false);
}

void ta_sim_run_to(struct ta_sim_fabric *f, int64_t now_ns) { ta_sim_advance(f, now_ns); }

struct ta_sim_counts ta_sim_counts(const struct ta_sim_fabric *f) { return f->counts; }

uint64_t ta_sim_refused(const struct ta_sim_fabric *f) { return f->refused; }

int64_t ta_sim_next_ns(const struct ta_sim_fabric *f) { return f->n_heap > 0 ? f->heap[0].next_ns : INT64_MAX; }

ta_status ta_sim_path_add(struct ta_sim_fabric *f, unsigned from, unsigned to) {
    if (f->n_paths == f->heap_room) {
        struct ta_sim_due *larger;
        size_t room = f->heap_room * 2 + 16;
        ta_status status = TA_NEW(&larger, room, "sim: moving paths");
        if (status != TA_OK) return status;
        if (f->n_heap > 0) memcpy(larger, f->heap, f->n_heap * sizeof *larger);
        ta_mem_free(f->heap);
        f->heap = larger;
        f->heap_room = room;
    }
    ta_status status = ta_sim_path_create(from, to, f->config.depth, f->config.whole, ta_sim_cell(f, from, to));
    if (status == TA_OK) f->n_paths++;
    return status;
}

void ta_sim_path_remove(struct ta_sim_fabric *f, unsigned from, unsigned to) {
    struct ta_sim_path **path = ta_sim_cell(f, from, to);
    if (*path == NULL) return;
    ta_sim_path_stop(f, *path);
    ta_sim_path_destroy(*path);
    *path = NULL;
    f->n_paths--;
}

void ta_sim_path_put(struct ta_sim_fabric *f, struct ta_sim_path *path, const struct ta_sim_put *put) {
    if (ta_sim_path_push(path, put, &f->dice) && !f->cut[cell(f, path->from, path->to)]) enqueue(f, path);
}

enum ta_peer_state ta_sim_path_state(struct ta_sim_fabric *f, struct ta_sim_path *path) {
    if (path == NULL) return TA_PEER_UNKNOWN;
    const struct ta_sim_rank *to = &f->ranks[path->to];
    bool known = to->life != path->life || f->now_ns >= to->detect_ns;
    bool stands = path->state == TA_PEER_UP || path->state == TA_PEER_BROKEN;
    if (stands && known && !ta_sim_path_reaches(f, path)) {
        path->state = TA_PEER_DOWN;
        path->reported = false;
        ta_sim_path_stop(f, path);
    }
    return path->state;
}
