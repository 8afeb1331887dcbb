/* doctor_transport: each transport, by its own probe; and which one a run would take on one node and on two. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "doctor.h"

static bool is(const char *a, const char *b) { return a != NULL && strcmp(a, b) == 0; }

static void each(const struct ta_doctor *d, struct ta_findings *list) {
    for (size_t i = 0; ta_cli_transports[i] != NULL; i++) {
        const struct ta_transport_ops *ops;
        const char *name = ta_cli_transports[i];
        char said[512] = "";
        bool asked = is(d->transport->type, name);
        ta_status status = ta_transport_find(name, &ops);
        bool built = status == TA_OK;
        if (built) status = ops->probe(d->transport, said, sizeof said);
        if (status == TA_OK) {
            ta_doctor_say(list, TA_FINDING_OK, name, "works: %s", said);
            continue;
        }
        ta_doctor_say(list, asked ? TA_FINDING_WRONG : TA_FINDING_MISSING, name, "%s%s",
                      built ? "does not work here" : "not built into this program",
                      asked ? ", but transport.type asks for it" : "");
        ta_doctor_cure(list, "%s", ta_why());
    }
}

static void choice(const struct ta_doctor *d, const char *name, unsigned n, unsigned per_node, bool needed,
                   struct ta_findings *list) {
    const struct ta_transport_ops *ops;
    char why[512] = "";
    if (ta_transport_choose(d->transport, n, per_node, &ops, why, sizeof why) == TA_OK) {
        ta_doctor_say(list, TA_FINDING_OK, name, "%s", why);
        return;
    }
    ta_doctor_say(list, needed ? TA_FINDING_WRONG : TA_FINDING_MISSING, name, "none can be used");
    ta_doctor_cure(list, "%s", ta_why());
}

/* What would be chosen as things are asked for; false: nothing would. */
static bool chosen(const struct ta_doctor *d, unsigned n, unsigned per_node, const struct ta_transport_ops **ops) {
    char why[512];
    return ta_transport_choose(d->transport, n, per_node, ops, why, sizeof why) == TA_OK;
}

/* Whether it was said how many replicas there are; else two of them are looked at, on this machine and on two. */
static bool is_described(const struct ta_doctor *d) { return d->config != NULL || d->replicas > 1 || d->nodes > 1; }

static bool takes(const struct ta_doctor *d, unsigned n, unsigned per_node, const char *name) {
    const struct ta_transport_ops *ops;
    if (!chosen(d, n, per_node, &ops)) return false;
    if (is(ops->name, name)) return true;
    /* mixed is shm within a node, and between nodes what two nodes with one replica each would take. */
    if (!is(ops->name, "mixed")) return false;
    return is(name, "shm") || (!is(d->transport->type, "mixed") && chosen(d, 2, 1, &ops) && is(ops->name, name));
}

bool ta_doctor_would_take(const struct ta_doctor *d, const char *name) {
    if (is(d->transport->type, name)) return true;
    if (is_described(d)) return takes(d, d->replicas, d->per_node, name);
    return takes(d, 2, 0, name) || takes(d, 2, 1, name);
}

void ta_doctor_transport(const struct ta_doctor *d, struct ta_findings *list) {
    char name[64];
    each(d, list);
    snprintf(name, sizeof name, "%u replica%s, %u node%s", d->replicas, d->replicas == 1 ? "" : "s", d->nodes,
             d->nodes == 1 ? "" : "s");
    if (is_described(d)) choice(d, name, d->replicas, d->per_node, true, list);
    if (!is_described(d) || d->nodes > 1 || d->replicas < 2) choice(d, "on one node", 2, 0, !is_described(d), list);
    if (d->nodes < 2) choice(d, "on two nodes", 2, 1, false, list);
}
