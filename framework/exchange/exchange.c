/* exchange: which makes there are. */
#include "exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync.h"

static bool is(const char *given, const char *name) { return strcmp(given, name) == 0; }

ta_status ta_exchange_find(const struct ta_exchange_spec *spec, const struct ta_exchange_ops **out) {
    const char *type = spec->type != NULL && spec->type[0] != '\0' ? spec->type : "live";
    const char *topology = spec->topology != NULL && spec->topology[0] != '\0' ? spec->topology : "full";
    *out = NULL;
    if (!is(topology, "full") && !is(topology, "tree") && !is(topology, "clusters"))
        return ta_fail(TA_CONFIG, "exchange.topology '%s' is unknown; known are full, tree and clusters", topology);
    if (!is(type, "live") && !is(topology, "full"))
        return ta_fail(TA_CONFIG, "exchange.topology '%s' goes with exchange.type live; '%s' knows full alone",
                       topology, type);
    if (!is(type, "sync") && spec->collective != NULL)
        return ta_fail(TA_CONFIG,
                       "exchange.collective: '%s' is how exchange.type sync sums on GPUs; '%s' sums nothing: "
                       "remove it",
                       spec->collective, type);
    if (is(type, "live")) {
        *out = is(topology, "full") ? &ta_exchange_live : &ta_exchange_tree;
        return TA_OK;
    }
    if (is(type, "dasgd")) {
        *out = &ta_exchange_dasgd;
        return TA_OK;
    }
    if (is(type, "sync")) {
        *out = &ta_exchange_sync;
        return ta_sync_check(spec);
    }
    return ta_fail(TA_CONFIG, "exchange '%s' is unknown; known are live, dasgd and sync", type);
}

ta_status ta_exchange_bound(const struct ta_exchange_spec *spec, int64_t *out) {
    const char *text = spec->max_staleness;
    char *end;
    *out = -1;
    if (text == NULL || text[0] == '\0' || is(text, "none")) return TA_OK;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*end != '\0' || errno != 0 || value < 0 || value > INT32_MAX)
        return ta_fail(TA_CONFIG, "exchange.max_staleness '%s': none, or a number of steps up to %d (0: lock-step)",
                       text, INT32_MAX);
    *out = value;
    return TA_OK;
}
