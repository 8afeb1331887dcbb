/* doctor_pairs: puts from every node to every other, by the transport that a run would take. In a round each node works
 * with one other, both ways, in a process of its own: a path that hangs costs its time and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "doctor_slurm.h"
#include "mem.h"
#include "perf.h"
#include "pin.h"

enum { LARGE = 1 << 20, SMALL = 64, ENDS = 2 };
static const double seconds_each = 0.1;

struct pair_work {
    struct ta_preflight *p;
    unsigned round, other; /* the node it works with */
    const struct ta_transport_ops *ops;
    struct ta_perf_side side;
    struct ta_pin pin;
};

/* Both come to the same place of this pair's work. */
static ta_status both(struct pair_work *w, const char *place) {
    char here = 1;
    ta_status status = ta_preflight_put(w->p, &here, 1, "pair/%u/%u/%s", w->round, w->p->node, place);
    return status == TA_OK ? ta_preflight_hear(w->p, &here, 1, "pair/%u/%u/%s", w->round, w->other, place) : status;
}

static ta_status open_side(struct pair_work *w) {
    char why[512];
    const struct ta_transport_spec *spec = w->p->d->transport;
    struct ta_perf_side *side = &w->side;
    unsigned rank = w->p->node < w->other ? 0 : 1;
    ta_status status = ta_transport_choose(spec, 2, 1, &w->ops, why, sizeof why);
    if (status == TA_OK) status = ta_pin_plan(&(struct ta_pin_ask){.replicas = 1, .threads = 1}, &w->pin);
    if (status != TA_OK) return status;
    const struct ta_transport_config config = {
        .rank = rank, .n_ranks = 2, .per_node = 1, .run_id = ta_store_run_id(w->p->store), .spec = spec};
    ta_pin_bind(&w->pin, 0);
    *side = (struct ta_perf_side){
        .ops = w->ops, .peer = 1 - rank, .max_bytes = LARGE, .asks = true, .yield = true, .watch = -1};
    status = w->ops->open(&config, &side->transport);
    if (status == TA_OK) status = w->ops->window_create(side->transport, ta_perf_window_bytes(LARGE), &side->window);
    return status == TA_OK ? ta_perf_prepare(side) : status;
}

static ta_status connect_side(struct pair_work *w) {
    struct ta_key ours = {0}, theirs;
    struct ta_perf_side *side = &w->side;
    ta_status status = w->ops->key_make(side->transport, side->peer, &ours);
    if (status == TA_OK) status = ta_preflight_put(w->p, &ours, sizeof ours, "key/%u/%u", w->round, w->p->node);
    if (status == TA_OK) status = ta_preflight_hear(w->p, &theirs, sizeof theirs, "key/%u/%u", w->round, w->other);
    if (status == TA_OK && theirs.bytes > TA_KEY_BYTES) status = ta_fail(TA_PEER, "a key of %u bytes", theirs.bytes);
    if (status == TA_OK) status = w->ops->connect(side->transport, side->peer, &theirs);
    return status == TA_OK ? both(w, "connected") : status;
}

static ta_status measure(struct ta_perf_side *side, struct ta_pair *out) {
    struct ta_perf_rate rate;
    struct ta_perf_delay delay = {0};
    ta_status status = ta_perf_rate(side, LARGE, seconds_each, &rate);
    if (status == TA_OK) status = ta_perf_delay(side, SMALL, seconds_each / 4, 0, &delay);
    if (status == TA_OK) status = ta_perf_stop(side);
    if (status == TA_OK)
        *out = (struct ta_pair){
            .state = TA_PAIR_MEASURED, .gb_per_s = LARGE / rate.put_ns, .seen_us = delay.median_ns / 1e3};
    return status;
}

/* The lower node asks first, then the other one. */
static ta_status work(struct pair_work *w, struct ta_pair *out) {
    ta_status status = open_side(w);
    if (status == TA_OK) status = connect_side(w);
    for (unsigned turn = 0; turn < 2 && status == TA_OK; turn++) {
        w->side.asks = (w->p->node < w->other) == (turn == 0);
        status = w->side.asks ? measure(&w->side, out) : ta_perf_answer(&w->side);
        if (status == TA_OK) status = both(w, turn == 0 ? "first" : "second");
    }
    if (status != TA_OK) {
        out->state = TA_PAIR_FAILED;
        snprintf(out->why, sizeof out->why, "%.255s", ta_why());
    }
    if (w->ops != NULL) w->ops->close(w->side.transport);
    ta_perf_release(&w->side);
    ta_pin_free(&w->pin);
    return status;
}

/* Never returns. A store of its own: the parent's connection is not to be shared. */
static void work_apart(struct ta_preflight *p, unsigned round, unsigned other, int to, pid_t parent) {
    struct ta_pair pair = {0};
    struct ta_preflight_ask hasty = *p->ask;
    struct ta_preflight mine = *p;
    struct pair_work w = {.p = &mine, .round = round, .other = other};
    char who[32];
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    hasty.within_s /= 2; /* one that waits in vain says so before it is ended */
    mine.ask = &hasty;
    snprintf(who, sizeof who, "pair %u %u", p->node, other);
    const struct ta_store_config config = {.directory = p->folder, .who = who, .patience_s = p->ask->within_s};
    ta_status status = ta_store_open(&config, &mine.store);
    if (status == TA_OK) status = ta_store_watch(mine.store, "");
    if (status == TA_OK) {
        (void)work(&w, &pair);
    } else {
        pair.state = TA_PAIR_FAILED;
        snprintf(pair.why, sizeof pair.why, "%.255s", ta_why());
    }
    ta_store_close(mine.store);
    _exit(write(to, &pair, sizeof pair) == (ssize_t)sizeof pair ? 0 : 1);
}

static ta_status work_with(struct ta_preflight *p, unsigned round, unsigned other, struct ta_pair *out) {
    int ends[ENDS];
    *out = (struct ta_pair){.state = TA_PAIR_FAILED};
    if (pipe2(ends, O_CLOEXEC) != 0) return ta_fail_errno(TA_FAILED, "no pipe");
    fflush(stdout);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        close(ends[0]);
        work_apart(p, round, other, ends[1], parent);
    }
    close(ends[1]);
    struct pollfd ready = {.fd = ends[0], .events = POLLIN};
    int64_t until_ns = ta_clock_now_ns() + (int64_t)(p->ask->within_s * 0.75 * TA_NS_PER_S), left_ns;
    int got = 0;
    while (child > 0 && got <= 0 && (left_ns = until_ns - ta_clock_now_ns()) > 0)
        got = poll(&ready, 1, (int)(left_ns / 1000000) + 1);
    bool whole = got > 0 && read(ends[0], out, sizeof *out) == (ssize_t)sizeof *out;
    close(ends[0]);
    if (!whole) {
        *out = (struct ta_pair){.state = TA_PAIR_FAILED};
        if (got > 0) snprintf(out->why, sizeof out->why, "crashed");
        else snprintf(out->why, sizeof out->why, "no answer within %g s", p->ask->within_s * 0.75);
    }
    if (child > 0 && !whole) (void)kill(child, SIGKILL);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
    return child < 0 ? ta_fail(TA_FAILED, "no process for a measurement") : TA_OK;
}

ta_status ta_preflight_pairs(struct ta_preflight *p, struct ta_pair *pairs) {
    ta_status status = TA_OK;
    for (unsigned round = 0; round < ta_matrix_rounds(p->nodes) && status == TA_OK; round++) {
        unsigned other = ta_matrix_partner(p->node, round, p->nodes);
        char place[32];
        struct ta_pair mine = {.state = TA_PAIR_NONE};
        snprintf(place, sizeof place, "round-%u", round);
        status = ta_preflight_together(p, place);
        if (status == TA_OK && other != p->node) status = work_with(p, round, other, &mine);
        if (status == TA_OK) status = ta_preflight_put(p, &mine, sizeof mine, "put/%u/%u", round, p->node);
        for (unsigned from = 0; pairs != NULL && from < p->nodes && status == TA_OK; from++) {
            unsigned to = ta_matrix_partner(from, round, p->nodes);
            status = ta_preflight_hear(p, &mine, sizeof mine, "put/%u/%u", round, from);
            if (status == TA_OK && to != from) pairs[(size_t)from * p->nodes + to] = mine;
        }
    }
    return status;
}
