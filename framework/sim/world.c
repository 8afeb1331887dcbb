/* world: the fibers, the clock, and what makes it move: replicas that go on, deliveries, what happens from outside. */
#include "world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdlib.h>

#include "clock.h"
#include "mem.h"

enum {
    LOOK = 100,                    /* ns a look at things takes that finds nothing to compute */
    DETECT = 50 * 1000 * 1000,     /* ns until a launcher has seen that one of its replicas has died */
    NAPS_A_HEARTBEAT = 4,
    STUCK_AFTER = 600              /* seconds in which nobody was given a batch */
};

static const double DEFAULT_HEARTBEAT_S = 0.25; /* exchange.h */

/* ---- within a fiber ---- */

/* So long. */
static void take(struct ta_member_fiber *m, int64_t ns) {
    struct ta_world *w = m->world;
    ta_world_enqueue(w, m, w->now_ns + ns);
    ta_fiber_yield(m->fiber);
}

/* Until something is delivered, or it is time. */
static void nap(struct ta_member_fiber *m) {
    struct ta_world *w = m->world;
    double heartbeat_s = w->config->run->exchange.spec.heartbeat_s;
    if (heartbeat_s <= 0) heartbeat_s = DEFAULT_HEARTBEAT_S;
    int64_t longest_ns = (int64_t)(heartbeat_s * TA_NS_PER_S / NAPS_A_HEARTBEAT);
    int64_t ns = ta_replica_wake_ns(m->replica, w->now_ns) - w->now_ns;
    m->asleep = true;
    take(m, ns > 0 && ns < longest_ns ? ns : longest_ns);
    m->asleep = false;
}

static void live(void *argument) {
    struct ta_member_fiber *m = argument;
    for (;;) {
        m->news = m->batch = false;
        ta_status status = ta_replica_tick(m->replica, m->world->now_ns);
        m->fresh = false;
        if (status != TA_OK && status != TA_AGAIN) {
            m->result = status;
            return;
        }
        if (m->batch && m->world->config->machine.read_s > 0)
            take(m, (int64_t)(m->world->config->machine.read_s * m->slow * TA_NS_PER_S));
        if (status == TA_AGAIN && !m->news) nap(m);
        else take(m, LOOK);
    }
}

/* ---- what makes time pass for the replica that runs ---- */

static void spend(void *owner, enum ta_timed_call call, double seconds) {
    struct ta_world *w = owner;
    struct ta_member_fiber *m = w->current;
    if (m == NULL) return; /* while it opens */
    w->applies += call == TA_TIMED_APPLY;
    if (call == TA_TIMED_TRAIN) m->fresh = true;
    if (call == TA_TIMED_TRAIN || call == TA_TIMED_PREDICT) m->batch = true;
    if (call == TA_TIMED_UPDATE && m->fresh) return;
    double sigma = w->config->machine.jitter;
    if (sigma > 0) seconds *= exp(sigma * ta_rng_normal(&m->rng) - sigma * sigma / 2);
    take(m, (int64_t)(seconds * m->slow * TA_NS_PER_S));
}

static void sending(void *owner, unsigned from, unsigned to, int64_t on_wire_ns) {
    struct ta_world *w = owner;
    (void)to;
    if (w->config->network.sender_copies && w->current != NULL && w->current->rank == from)
        take(w->current, on_wire_ns);
}

static void wake(struct ta_member_fiber *m) {
    m->news = true;
    if (m->asleep && !m->over && m->due_ns > m->world->now_ns) ta_world_enqueue(m->world, m, m->world->now_ns);
}

static void delivered(void *owner, unsigned from, unsigned to) {
    struct ta_world *w = owner;
    w->delivered++;
    wake(&w->members[to]);
    wake(&w->members[from]);
}

static int64_t virtual_ns(void *owner) { return ((struct ta_world *)owner)->now_ns; }

/* ---- the curve ---- */

/* Ends a point: what was predicted since the one before. */
static void end_point(struct ta_world *w) {
    struct ta_simulation_result *out = w->out;
    uint64_t records = w->records - w->point_records;
    if (records == 0 || w->config->n_points == 0 || out->n_points >= TA_SIM_MOST_POINTS) return;
    bool classes = w->stream->info.label_kind == TA_LABEL_CLASS;
    out->points[out->n_points++] = (struct ta_simulation_point){
        .records = w->records,
        .seconds = (double)(w->moved_ns - TA_WORLD_START) / TA_NS_PER_S,
        .accuracy = classes ? (double)(w->hits - w->point_hits) / (double)records : NAN,
        .loss = (w->loss_sum - w->point_loss) / (double)records,
    };
    w->point_records = w->records;
    w->point_hits = w->hits;
    w->point_loss = w->loss_sum;
}

static void look_at(struct ta_world *w, struct ta_member_fiber *m) {
    const struct ta_board_row *row = &w->board.rows[m->rank];
    uint64_t records = ta_board_get(row->records), hits = ta_board_get(row->hits);
    if (records == m->records) return;
    double loss_sum = ta_board_get(row->loss_sum);
    w->records += records - m->records;
    w->hits += hits - m->hits;
    w->loss_sum += loss_sum - m->loss_sum;
    m->records = records;
    m->hits = hits;
    m->loss_sum = loss_sum;
    w->moved_ns = w->now_ns;
    unsigned n_points = w->config->n_points;
    if (w->goal == 0 || n_points == 0) return;
    /* The last point is taken in the end. */
    if (w->out->n_points + 1 < n_points && w->records >= w->goal * (w->out->n_points + 1) / n_points) end_point(w);
}

/* ---- the driver ---- */

/* It has come to its end: its window goes, as that of a process would. */
static void end_of(struct ta_world *w, struct ta_member_fiber *m) {
    m->over = true;
    if (m->result != TA_END && m->result != TA_REQUEUE) {
        ta_log_warn(w->config->log, "rank %u ended: %s", m->rank, ta_why());
        if (w->out->why[0] == '\0') snprintf(w->out->why, sizeof w->out->why, "%s", ta_why());
    }
    ta_replica_close(m->replica);
    m->replica = NULL;
    ta_fiber_destroy(m->fiber);
    m->fiber = NULL;
    ta_board_set(w->board.rows[m->rank].ended, TA_ENDED_KNOWN);
}

static void go_on(struct ta_world *w) {
    struct ta_member_fiber *m = ta_world_dequeue(w);
    w->now_ns = m->due_ns;
    ta_sim_run_to(w->fabric, w->now_ns);
    if (m->stalled_ns > w->now_ns) {
        ta_world_enqueue(w, m, m->stalled_ns);
        return;
    }
    w->current = m;
    ta_fiber_resume(m->fiber);
    w->current = NULL;
    look_at(w, m);
    if (ta_fiber_ended(m->fiber)) end_of(w, m);
}

static void happen(struct ta_world *w, const struct ta_world_event *e) {
    struct ta_member_fiber *m = &w->members[e->rank];
    w->now_ns = e->at_ns;
    if (m->over && e->what != TA_WORLD_NOTICE) return;
    if (e->what == TA_WORLD_KILL) {
        ta_sim_kill(w->fabric, m->rank, w->now_ns, DETECT);
        ta_world_remove(w, m);
        m->over = true;
        m->result = TA_PEER;
    } else if (e->what == TA_WORLD_STALL) {
        m->stalled_ns = w->now_ns + e->for_ns;
    } else if (ta_board_get(w->board.rows[m->rank].finished) == 0) {
        ta_board_set(w->board.rows[m->rank].ended, TA_ENDED_KNOWN);
    }
}

static ta_status stuck(const struct ta_world *w) {
    for (unsigned i = 0; i < w->config->n; i++) {
        const struct ta_member_fiber *m = &w->members[i];
        if (m->over) continue;
        return ta_fail(TA_FAILED,
                       "the simulation stands still: in %d s of its time nobody had a record, and rank %u is still "
                       "%s after %.3f s",
                       STUCK_AFTER, i, ta_replica_state_name(ta_replica_state(m->replica)),
                       (double)w->now_ns / TA_NS_PER_S);
    }
    return TA_OK;
}

ta_status ta_world_run(struct ta_world *w) {
    while (w->queued > 0) {
        int64_t due_ns = w->queue[0]->due_ns, arrival_ns = ta_sim_next_ns(w->fabric), event_ns = INT64_MAX;
        if (w->next_event < w->n_events) event_ns = w->events[w->next_event].at_ns;
        if (event_ns <= due_ns && event_ns <= arrival_ns) {
            happen(w, &w->events[w->next_event++]);
        } else if (arrival_ns <= due_ns) {
            w->now_ns = arrival_ns;
            ta_sim_run_to(w->fabric, arrival_ns);
        } else {
            go_on(w);
        }
        if (w->now_ns - w->moved_ns > STUCK_AFTER * TA_NS_PER_S) return stuck(w);
    }
    end_point(w);
    return TA_OK;
}

/* ---- opening and closing ---- */

static ta_status open_fabric(struct ta_world *w) {
    const struct ta_simulation_config *c = w->config;
    const struct ta_network *net = &c->network;
    struct ta_sim_config config = {
        .n_ranks = c->n,
        .seed = c->seed,
        .latency_ns = (int64_t)(net->link.latency_us * 1e3),
        .bytes_per_ns = net->link.gb_per_s,
        .jitter = net->jitter,
        .depth = c->run->exchange.spec.puts_in_flight,
        .whole = true,
        .put_ns = (int64_t)(net->put_us * 1e3),
        .per_node = c->per_node,
        .near_latency_ns = (int64_t)(net->near.latency_us * 1e3),
        .near_bytes_per_ns = net->near.gb_per_s,
        .watcher = {.delivered = delivered, .sending = sending, .owner = w},
    };
    ta_status status = ta_sim_create(&config, &w->fabric);
    return status == TA_OK ? ta_sim_meeting_open(&w->meeting) : status;
}

static ta_status open_compute(struct ta_world *w) {
    const struct ta_run_config *run = w->config->run;
    const struct ta_machine *machine = &w->config->machine;
    ta_status status = ta_kernels_find("cpu", &w->make);
    struct ta_kernels_config config = {.threads = run->device.threads, .compute = TA_COMPUTE_FLOAT32};
    if (status == TA_OK) status = w->make->open(&config, &w->real);
    struct ta_timed_config timed = {.ops = w->make,
                                    .kernels = w->real,
                                    .step_s = machine->step_s,
                                    .predict_s = machine->predict_s,
                                    .bytes_per_s = machine->bytes_per_s,
                                    .spend = spend,
                                    .owner = w};
    if (status == TA_OK) status = ta_timed_open(&timed, &w->timed);
    w->shared = (struct ta_replica_shared){.kernel_ops = &ta_timed_kernels,
                                           .kernels = w->timed,
                                           .stream = w->stream,
                                           .meeting = w->meeting,
                                           .clock_ns = virtual_ns,
                                           .owner = w};
    return status;
}

static int earlier(const void *a, const void *b) {
    const struct ta_world_event *x = a, *y = b;
    if (x->at_ns != y->at_ns) return x->at_ns < y->at_ns ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static ta_status plan_events(struct ta_world *w) {
    const struct ta_simulation_config *c = w->config;
    ta_status status = TA_NEW(&w->events, 2 * (size_t)c->n_faults, "what happens from outside");
    for (unsigned i = 0; i < c->n_faults && status == TA_OK; i++) {
        const struct ta_sim_fault *f = &c->faults[i];
        if (f->rank >= c->n)
            return ta_fail(TA_CONFIG, "rank %u is to be killed or stalled, but the %u replicas are 0 to %u", f->rank,
                           c->n, c->n - 1);
        struct ta_world_event e = {.at_ns = TA_WORLD_START + (int64_t)(f->at_s * TA_NS_PER_S),
                                   .for_ns = (int64_t)(f->for_s * TA_NS_PER_S),
                                   .rank = f->rank,
                                   .what = f->for_s > 0 ? TA_WORLD_STALL : TA_WORLD_KILL};
        w->events[w->n_events++] = e;
        e.at_ns += DETECT;
        e.what = TA_WORLD_NOTICE;
        if (f->for_s <= 0) w->events[w->n_events++] = e;
    }
    if (w->n_events > 1) qsort(w->events, w->n_events, sizeof *w->events, earlier);
    return status;
}

static ta_status open_member(struct ta_world *w, unsigned rank) {
    const struct ta_simulation_config *c = w->config;
    struct ta_member_fiber *m = &w->members[rank];
    *m = (struct ta_member_fiber){.world = w, .rank = rank, .slow = 1, .place = SIZE_MAX, .result = TA_AGAIN};
    m->rng = ta_rng_make(c->seed, UINT64_C(0x51e9) << 32 | rank);
    for (unsigned i = 0; i < c->n_slow; i++)
        if (c->slow[i].rank == rank) m->slow = c->slow[i].factor;
    struct ta_replica_config config = {.run = c->run,
                                       .rank = rank,
                                       .n_ranks = c->n,
                                       .per_host = c->per_node,
                                       .run_id = 1 + c->seed,
                                       .life = 1,
                                       .run_dir = c->run_dir,
                                       .fabric = w->fabric,
                                       .shared = &w->shared,
                                       .board = &w->board,
                                       .log = c->log};
    ta_status status = ta_replica_open(&config, &m->replica);
    if (status == TA_OK) status = ta_fiber_create(live, m, &m->fiber);
    if (status == TA_OK) ta_world_enqueue(w, m, w->now_ns);
    return status;
}

ta_status ta_world_open(struct ta_world *w, const struct ta_simulation_config *config,
                        struct ta_simulation_result *out) {
    *w = (struct ta_world){.config = config, .out = out, .now_ns = TA_WORLD_START};
    ta_status status = ta_stream_open(&config->run->stream.spec, &w->stream);
    if (status == TA_OK) w->goal = ta_run_config_goal(config->run, &w->stream->info);
    if (status == TA_OK && w->goal == 0 && config->run->run.max_seconds == 0)
        status =
            ta_fail(TA_CONFIG, "this run has no end: give run.max_records, or run.epochs of a stream that has one");
    if (status == TA_OK) status = ta_board_create(&w->board, config->n, 0);
    if (status == TA_OK) status = open_fabric(w);
    if (status == TA_OK) status = open_compute(w);
    if (status == TA_OK) status = plan_events(w);
    if (status == TA_OK) status = TA_NEW(&w->members, config->n, "simulated replicas");
    if (status == TA_OK) status = TA_NEW(&w->queue, config->n, "simulated replicas");
    for (unsigned rank = 0; rank < config->n && status == TA_OK; rank++) status = open_member(w, rank);
    return status;
}

void ta_world_close(struct ta_world *w) {
    for (unsigned rank = 0; w->members != NULL && rank < w->config->n; rank++) {
        ta_replica_close(w->members[rank].replica);
        ta_fiber_destroy(w->members[rank].fiber);
    }
    ta_mem_free(w->queue);
    ta_mem_free(w->members);
    ta_mem_free(w->events);
    if (w->timed != NULL) ta_timed_kernels.close(w->timed);
    if (w->real != NULL) w->make->close(w->real);
    ta_sim_meeting_close(w->meeting);
    ta_sim_destroy(w->fabric);
    ta_board_close(&w->board);
    ta_stream_close(w->stream);
}
