/* Steps in pieces (stage, begin, ready, end; the update behind the gradient) against whole ones: a run comes to the
 * same weights, bit for bit, whatever it does beside training. The device is the CPU make, which is made to be busy for
 * a while. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board.h"
#include "clock.h"
#include "expect.h"
#include "kernels.h"
#include "mem.h"
#include "replica.h"
#include "run_config.h"
#include "sim_meeting.h"

enum { BATCH = 16, INPUTS = 3, OUTPUTS = 2, BUSY = 7, STAGED = 2, NETS = 4 };

/* What is staged of a net, and what was begun. */
struct device_net {
    struct ta_net *net;
    uint32_t batch;
    float x[STAGED][BATCH * INPUTS];
    int32_t classes[STAGED][BATCH];
    unsigned staged, begun, ended, looks; /* counts; `looks` since the last begin */
    struct ta_net_step step;
    struct ta_net_update update;
    bool updates;
};

static struct device_net device[NETS];
static struct ta_kernels *device_kernels;
static unsigned begun_ahead, discarded; /* staged before their turn; begun without an update though the owner updates */
static unsigned wholes;                 /* steps made as a whole */
static bool spoil;                      /* one step's gradient becomes NaN */

static struct device_net *device_of(struct ta_net *net) {
    for (unsigned i = 0; i < NETS; i++)
        if (device[i].net == net) return &device[i];
    fail_msg("a net that was not created");
    return NULL;
}

static ta_status net_create(struct ta_kernels *k, const struct ta_net_spec *spec, struct ta_net **out) {
    ta_status status = ta_kernels_cpu.net_create(k, spec, out);
    for (unsigned i = 0; i < NETS && status == TA_OK; i++)
        if (device[i].net == NULL) {
            device[i] = (struct device_net){.net = *out, .batch = spec->batch};
            break;
        }
    return status;
}

static void net_destroy(struct ta_net *net) {
    device_of(net)->net = NULL;
    ta_kernels_cpu.net_destroy(net);
}

static ta_status stage(struct ta_net *net, const float *x, const struct ta_labels *labels) {
    struct device_net *d = device_of(net);
    if (d->staged - d->ended == STAGED) return TA_AGAIN;
    for (uint32_t i = 0; i < d->batch; i++)
        if (labels->classes[i] < -1 || labels->classes[i] >= OUTPUTS) return ta_fail(TA_CONFIG, "record %u", i);
    begun_ahead += d->begun > d->ended;
    memcpy(d->x[d->staged % STAGED], x, d->batch * INPUTS * sizeof *x);
    memcpy(d->classes[d->staged++ % STAGED], labels->classes, d->batch * sizeof *labels->classes);
    return TA_OK;
}

static ta_status begin(struct ta_net *net, const struct ta_net_step *step) {
    struct device_net *d = device_of(net);
    if (d->begun == d->staged || d->begun > d->ended) return ta_fail(TA_INVALID, "nothing staged, or one too many");
    d->step = *step;
    d->updates = step->update != NULL;
    if (d->updates) d->update = *step->update;
    discarded += !d->updates;
    d->looks = 0;
    d->begun++;
    return TA_OK;
}

static ta_status ready(struct ta_net *net) {
    struct device_net *d = device_of(net);
    assert_true(d->begun > d->ended);
    return d->looks++ < BUSY ? TA_AGAIN : TA_OK;
}

/* As the optimizer does it, of a net without batch norm. */
static void make_update(struct device_net *d, struct ta_net_outcome *outcome) {
    const struct ta_net_update *u = &d->update;
    struct ta_update how = u->how;
    double norm2 = 0, one;
    for (uint32_t i = 0; i < u->n_trained; i++) {
        size_t at = u->trained[i].offset;
        assert_int_equal(ta_kernels_cpu.grad_norm2(device_kernels, u->trained[i].count, d->step.grad + at, &one),
                         TA_OK);
        norm2 += one;
    }
    *outcome = (struct ta_net_outcome){.norm2 = norm2, .finite = isfinite(norm2)};
    if (!outcome->finite) return;
    if (u->clip_norm > 0 && sqrt(norm2) > u->clip_norm) how.grad_scale = (float)(u->clip_norm / sqrt(norm2));
    for (uint32_t i = 0; i < u->n_trained; i++) {
        size_t at = u->trained[i].offset;
        float *m = u->m != NULL ? u->m + at : NULL, *v = u->v != NULL ? u->v + at : NULL;
        assert_int_equal(ta_kernels_cpu.update(device_kernels, &how, u->trained[i].count, d->step.grad + at,
                                               d->step.w + at, m, v, u->delta + at), TA_OK);
    }
}

static ta_status end(struct ta_net *net, float *predictions, float *losses, struct ta_net_outcome *outcome) {
    struct device_net *d = device_of(net);
    unsigned which = d->ended++ % STAGED;
    struct ta_labels labels = {.classes = d->classes[which]};
    assert_true(d->begun == d->ended);
    ta_status status = ta_kernels_cpu.train(net, d->step.w, d->x[which], &labels, d->step.step, d->step.grad,
                                            predictions, losses);
    if (spoil && d->step.step == 20) d->step.grad[0] = NAN;
    struct ta_net_outcome unheard;
    if (status == TA_OK && d->updates) make_update(d, outcome != NULL ? outcome : &unheard);
    return status;
}

/* The same fault in a make that steps as a whole. */
static ta_status train(struct ta_net *net, const float *w, const float *x, const struct ta_labels *labels,
                       uint64_t step, float *grad, float *predictions, float *losses) {
    ta_status status = ta_kernels_cpu.train(net, w, x, labels, step, grad, predictions, losses);
    if (spoil && step == 20) grad[0] = NAN;
    wholes++;
    return status;
}

static int64_t clock_ns(void *owner) { return *(int64_t *)owner; }

struct outcome {
    uint64_t result, checksum, records, hits, skipped, steps; /* result: ta_status */
    double loss;
};

static const char text[] =
    "run: {seed: 3, max_records: 1000}\n"
    "stream: {generator: sea, batch: 16}\n"
    "model:\n"
    "  loss: cross_entropy\n"
    "  layers:\n"
    "    - {type: dense, units: 8, activation: relu}\n"
    "    - {type: dense, units: 2, activation: softmax}\n"
    "optimizer: {rate: 0.02, clip_norm: 1}\n"
    "transport: {type: self}\n";

/* Overrides have a semicolon between them. */
static void run(const char *override, bool apart, struct outcome *out) {
    char path[] = "/tmp/tensair-apart-XXXXXX";
    struct ta_run_config *config;
    struct ta_kernels_ops ops = ta_kernels_cpu;
    int64_t now_ns = 1000;
    struct ta_replica_shared shared = {.kernel_ops = &ops, .clock_ns = clock_ns, .owner = &now_ns};
    struct ta_board board;
    struct ta_replica *r;
    ta_status status;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)(sizeof text - 1) && close(fd) == 0);
    char copy[256], *at = copy;
    const char *overrides[8];
    size_t n = 0;
    snprintf(copy, sizeof copy, "%s", override != NULL ? override : "");
    for (char *one; (one = strsep(&at, ";")) != NULL;)
        if (one[0] != '\0') overrides[n++] = one;
    assert_ok(ta_run_config_load(path, overrides, n, &config));
    unlink(path);
    ops.train = train;
    if (apart) {
        ops.net_create = net_create;
        ops.net_destroy = net_destroy;
        ops.stage = stage;
        ops.begin = begin;
        ops.ready = ready;
        ops.end = end;
    }
    assert_ok(ops.open(&(struct ta_kernels_config){.threads = 1}, &shared.kernels));
    device_kernels = shared.kernels;
    assert_ok(ta_stream_open(&config->stream.spec, &shared.stream));
    assert_ok(ta_sim_meeting_open(&shared.meeting));
    assert_ok(ta_board_create(&board, 1, 0));
    struct ta_replica_config replica = {
        .run = config, .n_ranks = 1, .run_id = 9, .shared = &shared, .board = &board};
    wholes = 0;
    assert_ok(ta_replica_open(&replica, &r));
    assert_int_equal(wholes, apart); /* a device has run a step before anybody waits for it */
    for (unsigned turns = 0; (status = ta_replica_tick(r, now_ns)) == TA_OK || status == TA_AGAIN; turns++) {
        now_ns += 100000;
        assert_true(turns < 100000);
    }
    if (apart) assert_int_equal(wholes, 1);
    ta_replica_close(r);
    const struct ta_board_row *row = &board.rows[0];
    *out = (struct outcome){.result = (uint64_t)status,
                            .checksum = ta_board_get(row->checksum),
                            .records = ta_board_get(row->records),
                            .hits = ta_board_get(row->hits),
                            .skipped = ta_board_get(row->skipped_steps),
                            .steps = ta_board_get(row->steps),
                            .loss = ta_board_get(row->loss_sum)};
    ta_board_close(&board);
    ta_sim_meeting_close(shared.meeting);
    ta_stream_close(shared.stream);
    ops.close(shared.kernels);
    ta_run_config_free(config);
}

static void tell(const char *how, const struct outcome *o) {
    print_message("%s: %s, weights %016llx after %llu steps, %llu records, %llu hits, loss %.17g\n", how,
                  ta_status_name((ta_status)o->result), (unsigned long long)o->checksum, (unsigned long long)o->steps,
                  (unsigned long long)o->records, (unsigned long long)o->hits, o->loss);
}

static void compare(const char *override, struct outcome *apart) {
    struct outcome whole;
    memset(device, 0, sizeof device);
    begun_ahead = discarded = 0;
    run(override, false, &whole);
    run(override, true, apart);
    if (memcmp(&whole, apart, sizeof whole) == 0) return;
    tell("whole", &whole);
    tell("in pieces", apart);
    fail_msg("%s: not the same", override != NULL ? override : "as it is");
}

static void steps_in_pieces_are_the_same(void **state) {
    (void)state;
    static const char *const overrides[] = {
        NULL, /* the last batch is short: another net */
        "optimizer.type=adam;optimizer.rate=0.01;optimizer.schedule=cosine;optimizer.schedule_steps=40",
        "optimizer.type=adagrad;optimizer.rate=0.05;optimizer.weight_decay=0.01",
        "online.label_delay=40", /* nothing is staged ahead */
        "online.mode=predict",
        "run.max_seconds=0.002",
    };
    struct outcome out;
    for (size_t i = 0; i < sizeof overrides / sizeof *overrides; i++) {
        compare(overrides[i], &out);
        assert_int_equal(out.result, TA_END);
        if (i == 0) {
            assert_int_equal(out.steps, 63);
            assert_true(begun_ahead >= 60);
            assert_int_equal(discarded, 0);
        }
        if (i == 4) assert_int_equal(out.steps, 0);
    }
}

/* The detector ends training while a batch is staged: it is given up, and later ones train as they should. */
static void what_was_staged_in_vain_goes(void **state) {
    (void)state;
    struct outcome out;
    compare("run.max_records=4000;online.mode=auto;online.detector.type=always;"
            "online.plateau.stretch=48;online.plateau.patience=2;online.plateau.factor=100", &out);
    assert_int_equal(out.result, TA_END);
    assert_true(out.steps > 20 && out.steps < 250 && discarded > 10);
}

static void a_gradient_that_is_not_finite(void **state) {
    (void)state;
    struct outcome out;
    spoil = true;
    compare(NULL, &out);
    assert_true(out.result == TA_END && out.skipped == 1 && out.steps == 62);
    compare("optimizer.on_nan=stop", &out);
    assert_true(out.result == TA_NUMERIC && out.skipped == 1 && out.steps == 20);
    assert_non_null(strstr(ta_why(), "step 21"));
    assert_non_null(strstr(ta_why(), "layer 'dense'"));
    spoil = false;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_in_pieces_are_the_same),
        cmocka_unit_test(what_was_staged_in_vain_goes),
        cmocka_unit_test(a_gradient_that_is_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
