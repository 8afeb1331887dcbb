/* doctor_words: does each transport keep words whole and in order here? See rdma/atomicity.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "atomicity.h"
#include "clock.h"
#include "doctor.h"

/* Small enough for many puts in a second over a slow device, large enough to be read while it arrives. */
enum { BODY_WORDS = 256 * 1024 / 4 };

static const struct {
    const char *name;
    enum ta_finding_state torn; /* what torn words are, where a run would use the transport */
    const char *cure;
} tried[] = {
    {"shm", TA_FINDING_WRONG,
     "do not train on it: the CPU, or what emulates it, splits aligned words; please report it with the model"},
    {"verbs", TA_FINDING_WRONG,
     "do not train over it. A software device in an emulated machine does that: qemu -cpu max,-erms,-fsrm; a card: new "
     "firmware, and PCIe relaxed ordering off in the BIOS"},
    /* TCP delivers bytes: a word may arrive in two pieces. The weights are summed anew after each put, so it is gone
     * with the next one, and never there at rest. */
    {"ofi", TA_FINDING_NOTE,
     "a provider that delivers bytes (tcp) may show a word half new until its rest arrives; weights are whole again "
     "with the next put. Where that is too much: transport verbs, or another transport.provider"},
};

static void try_one(const struct ta_doctor *d, size_t which, struct ta_findings *list) {
    const struct ta_transport_ops *ops;
    struct ta_atomicity f;
    const char *name = tried[which].name;
    char said[512];
    if (ta_transport_find(name, &ops) != TA_OK || ops->probe(d->transport, said, sizeof said) != TA_OK) {
        ta_doctor_say(list, TA_FINDING_MISSING, name, "not tested: it does not work here (see transports)");
        return;
    }
    if (d->quick) {
        ta_doctor_say(list, TA_FINDING_NOTE, name, "not tested: --quick");
        return;
    }
    bool used = ta_doctor_would_take(d, name);
    struct ta_atomicity_config config = {
        .ops = ops,
        .spec = d->transport,
        .duration_ns = TA_NS_PER_S,
        .patience_ns = 5 * TA_NS_PER_S,
        .words = BODY_WORDS,
    };
    ta_status status = ta_atomicity_test(&config, &f);
    if (status != TA_OK) {
        ta_doctor_say(list, used ? TA_FINDING_WRONG : TA_FINDING_NOTE, name,
                      "the test ended early after %" PRIu64 " puts", f.puts);
        ta_doctor_cure(list, "%s", ta_why());
        return;
    }
    bool holds = ta_atomicity_holds(&f), late = f.late_words + f.late_header > 0;
    enum ta_finding_state bad = !used ? TA_FINDING_NOTE : late ? TA_FINDING_WRONG : tried[which].torn;
    ta_doctor_say(list, holds ? TA_FINDING_OK : bad, name,
                  "%s: %" PRIu64 " puts of 256 KiB read %" PRIu64 " times (%" PRIu64
                  " of several versions); torn: %" PRIu64 " words of 4 bytes, %" PRIu64
                  " of 8; behind their header: %" PRIu64 " words, %" PRIu64 " of the header",
                  holds ? "words stayed whole and in order" : late ? "words came out of order" : "words were torn",
                  f.puts, f.looks, f.mixed, f.torn_words, f.torn_longs, f.late_words, f.late_header);
    if (!holds) ta_doctor_cure(list, "%s", tried[which].cure);
}

void ta_doctor_words(const struct ta_doctor *d, struct ta_findings *list) {
    for (size_t i = 0; i < sizeof tried / sizeof tried[0]; i++) try_one(d, i, list);
}
