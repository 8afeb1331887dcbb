/* What other exchanges get from live without its registers: order of payload and step, rounds, a death, what is
 * refused. */
#include "expect.h"

#include "control.h"
#include "kernels.h"
#include "sim.h"
#include "window.h"

enum { N = 3, PAYLOAD = 256, STEPS = 40 };

struct hall {
    struct ta_sim_fabric *fabric;
    struct ta_kernels *kernels;
    struct ta_transport *transport[N];
    struct ta_control control[N];
    struct ta_exchange_spec spec;
    struct ta_model model;
    uint64_t source[N][PAYLOAD / 8];
    int64_t now_ns;
};

static const struct ta_transport_ops *const sim = &ta_transport_sim;

static struct ta_exchange_config config_of(struct hall *h, unsigned rank) {
    return (struct ta_exchange_config){.spec = &h->spec, .model = &h->model, .kernel_ops = &ta_kernels_cpu,
                                       .kernels = h->kernels, .transport_ops = sim, .transport = h->transport[rank],
                                       .rank = rank, .n_ranks = N, .epoch = 1};
}

static void poll_all(struct hall *h, unsigned ranks) {
    h->now_ns += 200;
    for (unsigned r = 0; r < N; r++)
        if (ranks >> r & 1) assert_ok(h->control[r].x->ops->poll(h->control[r].x, h->now_ns));
}

static int open_hall(void **state) {
    static struct hall h;
    struct ta_sim_config fabric = {
        .n_ranks = N, .seed = 5, .latency_ns = 500, .bytes_per_ns = 1, .jitter = 1, .depth = 4};
    memset(&h, 0, sizeof h);
    h.now_ns = 1;
    h.spec = (struct ta_exchange_spec){
        .type = (char *)"sync", .heartbeat_s = 1e-5, .dead_after_s = 1e-3, .puts_in_flight = 2};
    h.model.n_params = 64;
    h.model.n_segments = 1;
    h.model.segments[0] = (struct ta_segment){.kind = TA_SEGMENT_SUM, .count = 64};
    assert_ok(ta_kernels_cpu.open(&(struct ta_kernels_config){0}, &h.kernels));
    assert_ok(ta_sim_create(&fabric, &h.fabric));
    for (unsigned r = 0; r < N; r++) {
        struct ta_transport_config transport = {.rank = r, .n_ranks = N, .run_id = 9, .fabric = h.fabric};
        assert_ok(sim->open(&transport, &h.transport[r]));
        struct ta_exchange_config config = config_of(&h, r);
        assert_ok(ta_control_open(&config, NULL, PAYLOAD, &h.control[r]));
    }
    for (unsigned a = 0; a < N; a++)
        for (unsigned b = 0; b < N; b++) {
            struct ta_key key;
            if (a == b) continue;
            assert_ok(sim->key_make(h.transport[b], a, &key));
            assert_ok(sim->connect(h.transport[a], b, &key));
            h.control[a].x->ops->peer_joined(h.control[a].x, b, h.now_ns);
        }
    *state = &h;
    return 0;
}

static int close_hall(void **state) {
    struct hall *h = *state;
    for (unsigned r = 0; r < N; r++) {
        ta_control_close(&h->control[r]);
        sim->close(h->transport[r]);
    }
    ta_sim_destroy(h->fabric);
    ta_kernels_cpu.close(h->kernels);
    return 0;
}

static uint64_t seen(const struct hall *h, unsigned owner, unsigned writer, unsigned word) {
    const struct ta_control *c = &h->control[owner];
    return ta_window_load_u64(c->window + ta_control_payload(c, owner, writer) + 8 * word);
}

/* A step is heard of only after the payload that was put before it. */
static void payload_comes_before_its_step(void **state) {
    struct hall *h = *state;
    struct ta_exchange *x = h->control[0].x;
    for (unsigned step = 1; step <= STEPS; step++) {
        for (unsigned i = 0; i < PAYLOAD / 8; i++) h->source[0][i] = step;
        for (unsigned p = 1; p < N; p++) {
            struct ta_put_segment put = {h->source[0], PAYLOAD, ta_control_payload(&h->control[0], p, 0), NULL, 0, 0};
            assert_true(ta_control_reaches(&h->control[0], p));
            assert_ok(sim->put(h->transport[0], p, &put, 1));
        }
        assert_ok(x->ops->stepped(x, 1, h->now_ns));
        uint64_t heard = 0;
        for (unsigned tries = 0; heard < step; tries++) {
            struct ta_peer_stats stats;
            assert_true(tries < 1000);
            poll_all(h, 7);
            h->control[1].x->ops->peer_stats(h->control[1].x, 0, &stats);
            heard = stats.steps_applied;
            for (unsigned i = 0; i < PAYLOAD / 8; i++) assert_true(seen(h, 1, 0, i) >= heard);
        }
    }
    assert_int_equal(ta_sim_refused(h->fabric), 0);
}

static void rounds_pass_and_the_dead_are_left_out(void **state) {
    struct hall *h = *state;
    unsigned done = 0;
    ta_sim_kill(h->fabric, 2, h->now_ns, 1000);
    for (unsigned tries = 0; done != 3; tries++) {
        assert_true(tries < 100000);
        poll_all(h, 3);
        for (unsigned r = 0; r < 2; r++)
            if (h->control[r].x->ops->settle(h->control[r].x, 1, h->now_ns) == TA_OK) done |= 1U << r;
    }
    assert_false(ta_control_counts(&h->control[0], 2));
    assert_false(ta_control_reaches(&h->control[0], 2));
    assert_true(ta_control_counts(&h->control[0], 1));
}

static void tables_and_spares_are_refused(void **state) {
    struct hall *h = *state;
    struct ta_control c;
    struct ta_exchange_config config = config_of(h, 0);
    config.spares = 1;
    assert_fails(TA_CONFIG, "run.spares", ta_control_open(&config, NULL, PAYLOAD, &c));
    config.spares = 0;
    h->model.segments[0].kind = TA_SEGMENT_ROWS;
    assert_fails(TA_CONFIG, "word models", ta_control_open(&config, NULL, PAYLOAD, &c));
    h->model.segments[0].kind = TA_SEGMENT_SUM;
    assert_fails(TA_CONFIG, "address space", ta_control_open(&config, NULL, SIZE_MAX / 2, &c));
    ta_control_close(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(payload_comes_before_its_step, open_hall, close_hall),
        cmocka_unit_test_setup_teardown(rounds_pass_and_the_dead_are_left_out, open_hall, close_hall),
        cmocka_unit_test_setup_teardown(tables_and_spares_are_refused, open_hall, close_hall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
