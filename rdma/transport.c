/* transport: the registry. A make is named here once; one that is known but was not built in says what it needs. */
#include "transport.h"

#include <string.h>

struct missing {
    const char *name, *package;
};

static const struct ta_transport_ops *const built[] = {&ta_transport_self, &ta_transport_shm, &ta_transport_sim};
static const struct missing not_built[] = {{"verbs", "libibverbs-dev"}, {"ofi", "libfabric-dev"}};

ta_status ta_transport_find(const char *name, unsigned n_ranks, const struct ta_transport_ops **out) {
    *out = NULL;
    if (strcmp(name, "auto") == 0) {
        *out = n_ranks <= 1 ? &ta_transport_self : &ta_transport_shm;
        return TA_OK;
    }
    for (size_t i = 0; i < sizeof built / sizeof built[0]; i++)
        if (strcmp(name, built[i]->name) == 0) {
            *out = built[i];
            return TA_OK;
        }
    for (size_t i = 0; i < sizeof not_built / sizeof not_built[0]; i++)
        if (strcmp(name, not_built[i].name) == 0)
            return ta_fail(TA_NOT_BUILT, "transport '%s' is not in this version of the program; one that has it needs the "
                           "package %s; choose auto, self or shm", name, not_built[i].package);
    return ta_fail(TA_CONFIG, "there is no transport '%s': choose auto, self, shm, sim, verbs or ofi", name);
}
