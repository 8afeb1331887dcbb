/* doctor_clocks: how far the clocks of the other nodes are from the first one's, by questions and answers through the
 * store (D. L. Mills' clock filter in its least form: of many samples the quickest counts). */
#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "doctor_slurm.h"

enum { SAMPLES = 16 };
static const int64_t worth_a_note_ns = 10 * 1000000, wrong_ns = TA_NS_PER_S;

struct question {
    uint64_t number;
};
struct answer {
    uint64_t number;
    int64_t wall_ns;
};

void ta_clock_offset(const struct ta_clock_sample *samples, size_t n, int64_t *ahead_ns, int64_t *sure_ns) {
    *ahead_ns = *sure_ns = 0;
    for (size_t i = 0; i < n; i++) {
        const struct ta_clock_sample *s = &samples[i];
        int64_t half_ns = (s->answered_ns - s->asked_ns) / 2;
        if (i > 0 && half_ns >= *sure_ns) continue;
        *sure_ns = half_ns;
        *ahead_ns = s->theirs_ns - (s->asked_ns + half_ns);
    }
}

static ta_status answer_all(struct ta_preflight *p) {
    ta_status status = TA_OK;
    for (uint64_t i = 0; i < SAMPLES && status == TA_OK; i++) {
        struct question question;
        status = ta_preflight_hear(p, &question, sizeof question, "clock/%u/%" PRIu64, p->node, i);
        struct answer answer = {.number = i, .wall_ns = ta_clock_wall_ns()};
        if (status == TA_OK) status = ta_preflight_put(p, &answer, sizeof answer, "time/%u/%" PRIu64, p->node, i);
    }
    return status;
}

static ta_status ask(struct ta_preflight *p, unsigned node, struct ta_clock_sample samples[SAMPLES]) {
    ta_status status = TA_OK;
    for (uint64_t i = 0; i < SAMPLES && status == TA_OK; i++) {
        struct answer answer;
        const struct question question = {.number = i};
        samples[i].asked_ns = ta_clock_wall_ns();
        status = ta_preflight_put(p, &question, sizeof question, "clock/%u/%" PRIu64, node, i);
        if (status == TA_OK) status = ta_preflight_hear(p, &answer, sizeof answer, "time/%u/%" PRIu64, node, i);
        samples[i].answered_ns = ta_clock_wall_ns();
        samples[i].theirs_ns = answer.wall_ns;
    }
    return status;
}

static void say(struct ta_preflight *p, unsigned node, int64_t ahead_ns, int64_t sure_ns) {
    int64_t off_ns = ahead_ns < 0 ? -ahead_ns : ahead_ns;
    char name[TA_JOB_HOST_BYTES + 16];
    snprintf(name, sizeof name, "clock of %s", p->names[node]);
    enum ta_finding_state state = off_ns - sure_ns > wrong_ns          ? TA_FINDING_WRONG
                                  : off_ns - sure_ns > worth_a_note_ns ? TA_FINDING_NOTE
                                                                       : TA_FINDING_OK;
    ta_doctor_say(p->list, state, name, "%.3f ms %s that of %s (give or take %.3f)", (double)off_ns / 1e6,
                  ahead_ns < 0 ? "behind" : "ahead of", p->names[0], (double)sure_ns / 1e6);
    if (state != TA_FINDING_OK)
        ta_doctor_cure(p->list, "chrony or ntpd on both (chronyc tracking); until then their logs do not compare%s",
                       state == TA_FINDING_WRONG ? ", and munge refuses what is minutes off" : "");
}

ta_status ta_preflight_clocks(struct ta_preflight *p) {
    struct ta_clock_sample samples[SAMPLES];
    if (p->node != 0) return answer_all(p);
    p->list->section = "clocks";
    for (unsigned node = 1; node < p->nodes; node++) {
        int64_t ahead_ns, sure_ns;
        ta_status status = ask(p, node, samples);
        if (status != TA_OK) return status;
        ta_clock_offset(samples, SAMPLES, &ahead_ns, &sure_ns);
        say(p, node, ahead_ns, sure_ns);
    }
    return TA_OK;
}
