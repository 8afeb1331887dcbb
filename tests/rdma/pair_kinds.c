/* pair_kinds: which lines the suite has on this machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "far_kinds.h"
#include "pair.h"

enum { MAX_KINDS = 24 };

static const struct pair_kind always[] = {
    {.name = "self", .ops = &ta_transport_self},
    {.name = "shm, one process", .ops = &ta_transport_shm, .has_peers = true},
    {.name = "shm, two processes", .ops = &ta_transport_shm, .has_peers = true, .forked = true},
    {.name = "sim, quick", .ops = &ta_transport_sim, .has_peers = true, .fabric = {.n_ranks = 2, .seed = 1}},
    {.name = "sim, slow link",
     .ops = &ta_transport_sim,
     .has_peers = true,
     .fabric = {.n_ranks = 2, .seed = 2, .latency_ns = 2000, .bytes_per_ns = 10, .jitter = 1}},
    {.name = "sim, everything",
     .ops = &ta_transport_sim,
     .has_peers = true,
     .fabric =
         {.n_ranks = 2, .seed = 3, .latency_ns = 2000, .bytes_per_ns = 1, .jitter = 3, .duplicate = 0.5, .depth = 4}},
};

/* Makes that may not be built in, or find no device: one line here is all it takes. */
static const struct optional {
    const char *make, *one, *two, *remote;
    uint32_t rails;
} optional[] = {
    {"verbs", "verbs, one process", "verbs, two processes", "verbs, two machines", 0},
    {"verbs", "verbs by two rails, one process", "verbs by two rails, two processes",
     "verbs by two rails, two machines", 2},
    {"verbs-far", "verbs, far, one process", "verbs, far, two processes", "verbs, far, two machines", 0},
    {"ofi", "ofi, one process", "ofi, two processes", "ofi, two machines", 0},
};

static struct {
    struct pair_kind kinds[MAX_KINDS];
    size_t n;
    bool made;
} list;

static void add(const struct pair_kind *kind) {
    const char *wanted = getenv("TENSAIR_TEST_KINDS");
    if (wanted != NULL && strncmp(kind->name, wanted, strlen(wanted)) != 0) return;
    if (list.n < MAX_KINDS) list.kinds[list.n++] = *kind;
}

/* Windows that are GPU memory, wholly. */
static void add_far(void) {
    const struct pair_kind kinds[] = {
        {.name = "shm, far, one process", .ops = &far_kinds[0], .has_peers = true},
        {.name = "shm, far, two processes", .ops = &far_kinds[0], .has_peers = true, .forked = true},
        {.name = "staged over shm, one process", .ops = &far_kinds[1], .has_peers = true},
        {.name = "staged over shm, two processes", .ops = &far_kinds[1], .has_peers = true, .forked = true},
        {.name = "staged over sim, everything",
         .ops = &far_kinds[2],
         .has_peers = true,
         .fabric = always[sizeof always / sizeof always[0] - 1].fabric},
    };
    far_kinds_make();
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) add(&kinds[i]);
}

static void add_optional(const struct optional *o) {
    char said[512];
    struct pair_kind kind = {.name = o->one, .has_peers = true, .device = true, .rails = o->rails};
    struct ta_transport_spec spec = {.device = getenv("TENSAIR_TEST_DEVICE"), .rails = o->rails};
    ta_status status = far_kinds_find(o->make, &kind.ops);
    if (status == TA_OK) status = kind.ops->probe(&spec, said, sizeof said);
    if (status != TA_OK) {
        printf("left out: %s: %s\n", o->one, ta_why());
        return;
    }
    add(&kind);
    kind.forked = true;
    kind.name = o->two;
    add(&kind);
    kind.remote = true;
    kind.name = o->remote;
    if (getenv("TENSAIR_TEST_OWNER") != NULL) add(&kind);
}

const struct pair_kind *pair_kinds(size_t *n) {
    for (size_t i = 0; !list.made && i < sizeof always / sizeof always[0]; i++) add(&always[i]);
    if (!list.made) add_far();
    for (size_t i = 0; !list.made && i < sizeof optional / sizeof optional[0]; i++) add_optional(&optional[i]);
    list.made = true;
    *n = list.n;
    return list.kinds;
}
