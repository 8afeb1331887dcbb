/* cost_step: what the exchange takes of the compute thread's step where the transport copies nothing on that thread (a
 * card does): under 2 % of a step of the CIFAR-10 network, with 1, 3 and 7 peers that all have news after each step.
 *
 * The transport here takes every put at once, and is done with it. What is left is the exchange's own: putting the put
 * together, hearing all peers, and the sum over their registers, which is printed on its own too. One thread. Times are
 * the best of a few steps: of more, on a machine that is busy. Instrumented by a sanitizer they mean nothing, and are
 * only printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "exchange.h"
#include "mem.h"
#include "optimizer.h"
#include "rng.h"
#include "slot.h"

enum { BATCH = 128, IMAGE = 32 * 32 * 3, CLASSES = 10, STEPS = 4, MOST_STEPS = 30, MOST_RANKS = 8, EPOCH = 1 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const double MOST_SHARE = 1;
#else
static const double MOST_SHARE = 0.02;
#endif

#define must(call)                                                      \
    do {                                                                \
        if ((call) != TA_OK) fail_msg("%s: %s", #call, ta_why());       \
    } while (0)

/* ---- a transport that is never in the way ---- */

struct ta_transport {
    void *block;
    char *window;
    uint64_t puts;
};

static ta_status null_window(struct ta_transport *t, size_t bytes, struct ta_window *out) {
    must(ta_mem_alloc(bytes + 64, 1, "window", &t->block));
    t->window = (char *)(((uintptr_t)t->block + 63) & ~(uintptr_t)63);
    *out = (struct ta_window){.base = t->window, .bytes = bytes, .kind = TA_MEM_HOST};
    return TA_OK;
}

static ta_status null_grant(struct ta_transport *t, unsigned peer, size_t offset, size_t bytes) {
    (void)t, (void)peer, (void)offset, (void)bytes;
    return TA_OK;
}

static ta_status null_register(struct ta_transport *t, const void *base, size_t bytes) {
    (void)t, (void)base, (void)bytes;
    return TA_OK;
}

static void null_disconnect(struct ta_transport *t, unsigned peer) { (void)t, (void)peer; }

static ta_status null_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments, unsigned n) {
    (void)peer, (void)segments;
    t->puts += n > 0;
    return TA_OK;
}

static ta_status null_progress(struct ta_transport *t, int64_t now_ns) {
    (void)t, (void)now_ns;
    return TA_OK;
}

static unsigned null_in_flight(const struct ta_transport *t, unsigned peer) {
    (void)t, (void)peer;
    return 0;
}

static enum ta_peer_state null_state(struct ta_transport *t, unsigned peer) {
    (void)t, (void)peer;
    return TA_PEER_UP;
}

static const struct ta_transport_ops null_ops = {
    .name = "null", .window_create = null_window, .grant = null_grant, .source_register = null_register,
    .disconnect = null_disconnect, .put = null_put, .progress = null_progress, .in_flight = null_in_flight,
    .peer_state = null_state,
};

/* ---- a replica that trains ---- */

struct trainee {
    struct ta_model model;
    struct ta_kernels *kernels;
    struct ta_net *net;
    struct ta_optimizer optimizer;
    struct ta_transport transport;
    struct ta_exchange *x;
    struct ta_slot_layout layout;
    float *images, *w0;
    void *grad;
    int32_t classes[BATCH];
    unsigned n_ranks;
    uint64_t steps;
};

static void build_cifar(struct ta_model *model) {
    struct ta_layer_spec layers[] = {
        {.type = TA_LAYER_CONV2D, .filters = 32, .kernel = 3, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_MAX_POOL, .pool = 2},
        {.type = TA_LAYER_CONV2D, .filters = 64, .kernel = 3, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_MAX_POOL, .pool = 2},
        {.type = TA_LAYER_CONV2D, .filters = 64, .kernel = 3, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_FLATTEN},
        {.type = TA_LAYER_DENSE, .units = 64, .activation = TA_ACTIVATION_RELU},
        {.type = TA_LAYER_DENSE, .units = CLASSES, .activation = TA_ACTIVATION_SOFTMAX},
    };
    struct ta_model_spec spec = {
        .loss = TA_LOSS_CROSS_ENTROPY, .layers = layers, .layers_count = sizeof layers / sizeof *layers,
    };
    must(ta_model_build(&spec, (struct ta_shape){32, 32, 3}, CLASSES, model));
    assert_int_equal(model->n_weights, 122570);
}

static void open_trainee(struct trainee *t, unsigned n_ranks) {
    memset(t, 0, sizeof *t);
    t->n_ranks = n_ranks;
    build_cifar(&t->model);
    must(ta_kernels_cpu.open(&(struct ta_kernels_config){.threads = 1}, &t->kernels));
    struct ta_net_spec net = ta_model_net_spec(&t->model, BATCH, 1, false);
    must(ta_kernels_cpu.net_create(t->kernels, &net, &t->net));
    struct ta_optimizer_spec adam = {.type = TA_ADAM};
    must(ta_optimizer_open(&t->optimizer, &adam, &t->model, &ta_kernels_cpu, t->kernels));
    must(TA_NEW(&t->images, BATCH * IMAGE, "images"));
    must(TA_NEW(&t->w0, t->model.n_params, "w0"));
    must(ta_kernels_cpu.alloc(t->kernels, t->model.n_params * sizeof(float), "gradient", &t->grad));
    ta_model_init(&t->model, 1, t->w0);
    struct ta_rng rng = ta_rng_make(1, 1);
    for (size_t i = 0; i < BATCH * IMAGE; i++) t->images[i] = (float)ta_rng_uniform(&rng);
    for (unsigned i = 0; i < BATCH; i++) t->classes[i] = (int32_t)ta_rng_below(&rng, CLASSES);
    struct ta_exchange_spec spec = {0};
    struct ta_exchange_config config = {
        .spec = &spec, .model = &t->model, .kernel_ops = &ta_kernels_cpu, .kernels = t->kernels,
        .transport_ops = &null_ops, .transport = &t->transport, .rank = 0, .n_ranks = n_ranks, .epoch = EPOCH,
    };
    must(ta_exchange_live.open(&config, &(struct ta_exchange_start){.w0 = t->w0}, &t->x));
    must(ta_slot_layout_make(n_ranks, t->model.n_params, 0, &t->layout));
    for (unsigned p = 1; p < n_ranks; p++) ta_exchange_live.peer_joined(t->x, p, ta_clock_now_ns());
}

static void close_trainee(struct trainee *t) {
    ta_exchange_live.close(t->x);
    ta_mem_free(t->transport.block);
    ta_kernels_cpu.free(t->kernels, t->grad);
    ta_mem_free(t->w0);
    ta_mem_free(t->images);
    ta_optimizer_close(&t->optimizer);
    ta_kernels_cpu.net_destroy(t->net);
    ta_kernels_cpu.close(t->kernels);
    ta_model_free(&t->model);
}

/* Every peer has made a step, too: another body, another header. */
static void peers_step(struct trainee *t) {
    for (unsigned p = 1; p < t->n_ranks; p++) {
        struct ta_slot_ident writer = {p, t->n_ranks, EPOCH};
        struct ta_slot_said said = {.steps = t->steps, .records = t->steps * BATCH, .pulse = (uint32_t)t->steps};
        uint64_t words[TA_SLOT_WORDS];
        float *body = (float *)(void *)(t->transport.window + ta_slot_body(&t->layout, 0, p));
        for (size_t i = 0; i < t->model.n_params; i++) body[i] = 1e-6F * (float)t->steps;
        ta_slot_encode(&writer, &said, words);
        memcpy(t->transport.window + ta_slot_control(&t->layout, 0, p), words, sizeof words);
    }
}

struct times {
    int64_t compute_ns, put_ns, poll_ns, sum_ns, idle_ns;
};

static void least(int64_t *best, int64_t from_ns, int64_t to_ns) {
    if (*best == 0 || to_ns - from_ns < *best) *best = to_ns - from_ns;
}

static void one_step(struct trainee *t, struct times *best) {
    struct ta_labels labels = {.classes = t->classes};
    t->steps++;
    int64_t a = ta_clock_now_ns();
    must(ta_kernels_cpu.train(t->net, t->x->w, t->images, &labels, t->steps, t->grad, NULL, NULL));
    must(ta_optimizer_step(&t->optimizer, t->grad, t->x->w, t->x->scale, t->x->delta));
    int64_t b = ta_clock_now_ns();
    peers_step(t);
    int64_t c = ta_clock_now_ns();
    must(ta_exchange_live.stepped(t->x, BATCH, c));
    int64_t d = ta_clock_now_ns();
    must(ta_exchange_live.poll(t->x, d));
    int64_t e = ta_clock_now_ns();
    must(ta_exchange_live.poll(t->x, e));
    int64_t f = ta_clock_now_ns();
    const float *registers[MOST_RANKS] = {t->x->delta};
    for (unsigned p = 1; p < t->n_ranks; p++)
        registers[p] = (float *)(void *)(t->transport.window + ta_slot_body(&t->layout, 0, p));
    int64_t g = ta_clock_now_ns();
    must(ta_kernels_cpu.sum(t->kernels, t->model.n_params, t->x->w, t->x->w0, registers, t->n_ranks));
    int64_t h = ta_clock_now_ns();
    least(&best->compute_ns, a, b);
    least(&best->put_ns, c, d);
    least(&best->poll_ns, d, e);
    least(&best->idle_ns, e, f);
    least(&best->sum_ns, g, h);
}

static double share_of(const struct times *best) {
    return (double)(best->put_ns + best->poll_ns) / (double)best->compute_ns;
}

static void test_share(void **state) {
    (void)state;
    static struct trainee t;
    for (unsigned n_ranks = 2; n_ranks <= MOST_RANKS; n_ranks *= 2) {
        struct times best = {0};
        open_trainee(&t, n_ranks);
        while (t.steps < STEPS || (share_of(&best) >= MOST_SHARE && t.steps < MOST_STEPS)) one_step(&t, &best);
        struct ta_peer_stats stats;
        ta_exchange_live.peer_stats(t.x, n_ranks - 1, &stats);
        assert_int_equal(stats.steps_applied, t.steps);
        assert_true(t.transport.puts >= t.steps * (n_ranks - 1));
        double step = (double)best.compute_ns, share = share_of(&best);
        printf("%u peers, %zu parameters, batch %d: step %.1f ms; stepped %.1f us, poll %.1f us (of that the sum "
               "%.1f), idle poll %.2f us: %.3f %% of a step, %.4f %% without the sum\n",
               n_ranks - 1, t.model.n_params, BATCH, step * 1e-6, (double)best.put_ns * 1e-3,
               (double)best.poll_ns * 1e-3, (double)best.sum_ns * 1e-3, (double)best.idle_ns * 1e-3, 100 * share,
               100 * (double)(best.put_ns + best.poll_ns - best.sum_ns) / step);
        close_trainee(&t);
        if (share >= MOST_SHARE)
            fail_msg("with %u peers the exchange takes %.2f %% of a step, more than %g %%", n_ranks - 1, 100 * share,
                     100 * MOST_SHARE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_share)};
    return cmocka_run_group_tests_name("exchange: cost of a step", tests, NULL, NULL);
}
