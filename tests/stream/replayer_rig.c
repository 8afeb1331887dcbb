/* replayer_rig: making, asking and draining it. */
#include "replayer_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"

void rig_make(struct rig *rig, const struct fake_options *options, unsigned rank, unsigned n) {
    memset(rig, 0, sizeof *rig);
    fake_open(&rig->fake, options);
    assert_int_equal(ta_share_init(&rig->share, rank, n, NULL), TA_OK);
    rig->config = (struct ta_replayer_config){
        .stream = &rig->fake.base, .share = &rig->share, .batch = 10, .epochs = 1, .ring = 4};
}

void rig_open(struct rig *rig, int64_t start_ns) {
    ta_status status = ta_replayer_open(&rig->config, &rig->r);
    if (status != TA_OK) fail_msg("open: %s", ta_why());
    ta_replayer_start(rig->r, start_ns);
}

void rig_free(struct rig *rig) {
    ta_replayer_close(rig->r);
    ta_share_free(&rig->share);
}

ta_status patient_next(struct ta_replayer *r, int64_t now_ns, const struct ta_batch **batch) {
    int64_t limit_ns = ta_clock_now_ns() + 20 * TA_NS_PER_S;
    ta_status status;
    while ((status = ta_replayer_next(r, now_ns, batch)) == TA_AGAIN && ta_replayer_wake_ns(r, now_ns) <= now_ns)
        if (ta_clock_now_ns() > limit_ns) fail_msg("nothing was read for 20 seconds");
    return status;
}

void check_batch(const struct rig *rig, const struct ta_batch *b) {
    const struct fake_options *o = &rig->fake.options;
    float scale = rig->fake.base.info.scale;
    assert_int_equal(b->first_record, b->number * rig->config.batch);
    for (uint32_t i = 0; i < b->records; i++) {
        uint64_t record = (b->first_record + i) % o->records;
        assert_true(b->x[(size_t)i * o->c] == (float)record * scale + o->offset);
        assert_true(b->x[(size_t)i * o->c + 1] == o->offset);
        if (o->values) assert_true(b->targets[2 * i] == (float)record && b->targets[2 * i + 1] == -(float)record);
        else assert_int_equal(b->classes[i], record % 10);
    }
    assert_true(o->values ? b->classes == NULL : b->targets == NULL);
}

uint64_t drain(struct rig *rig, unsigned *seen) {
    const struct ta_batch *b;
    uint64_t records = 0, before = 0;
    ta_status status;
    while ((status = patient_next(rig->r, 0, &b)) == TA_OK) {
        check_batch(rig, b);
        assert_true(records == 0 || b->number > before);
        before = b->number;
        records += b->records;
        for (uint32_t i = 0; i < b->records; i++) seen[b->first_record + i]++;
        ta_replayer_release(rig->r, b);
    }
    assert_int_equal(status, TA_END);
    assert_int_equal(ta_replayer_wake_ns(rig->r, 5), INT64_MAX);
    return records;
}
