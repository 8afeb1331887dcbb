/* exchange: which makes there are. */
#include "exchange.h"

#include <string.h>

ta_status ta_exchange_find(const char *name, const struct ta_exchange_ops **out) {
    *out = NULL;
    if (name == NULL || name[0] == '\0' || strcmp(name, "live") == 0) {
        *out = &ta_exchange_live;
        return TA_OK;
    }
    if (strcmp(name, "dasgd") == 0)
        return ta_fail(TA_NOT_BUILT, "exchange 'dasgd' (the paper's protocol: each gradient is a message that the "
                       "receiver applies on arrival) is not in this program; use 'live'");
    if (strcmp(name, "sync") == 0)
        return ta_fail(TA_NOT_BUILT, "exchange 'sync' (all-reduce of every gradient, in lock-step) is not in this "
                       "program; use 'live'");
    return ta_fail(TA_CONFIG, "exchange '%s' is unknown; known are live, dasgd and sync", name);
}
