/* transport: the registry. A make is named here once; one that is known but was not built in says what it needs. */
#include "transport.h"

#include <stdio.h>
#include <string.h>

static const struct ta_transport_ops *const built[] = {
    &ta_transport_self,  &ta_transport_shm, &ta_transport_sim,
#if TA_HAVE_VERBS
    &ta_transport_verbs,
#endif
#if TA_HAVE_OFI
    &ta_transport_ofi,
#endif
};

static const struct missing {
    const char *name, *package;
} not_built[] = {{"verbs", "libibverbs-dev"}, {"ofi", "libfabric-dev"}, {"mixed", "libibverbs-dev or libfabric-dev"}};

ta_status ta_transport_find(const char *name, const struct ta_transport_ops **out) {
    *out = NULL;
    for (size_t i = 0; i < sizeof built / sizeof built[0]; i++)
        if (strcmp(name, built[i]->name) == 0) {
            *out = built[i];
            return TA_OK;
        }
    for (size_t i = 0; i < sizeof not_built / sizeof not_built[0]; i++)
        if (strcmp(name, not_built[i].name) == 0)
            return ta_fail(TA_NOT_BUILT, "transport '%s' is not in this version of the program; one that has it needs the "
                           "package %s; choose auto, self or shm", name, not_built[i].package);
    return ta_fail(TA_CONFIG, "there is no transport '%s': choose auto, self, shm, sim, mixed, verbs or ofi", name);
}

ta_status ta_transport_choose(const struct ta_transport_spec *spec, unsigned n_ranks, unsigned per_node,
                              const struct ta_transport_ops **out, char *why, size_t bytes) {
    char said[256];
    const char *type = spec != NULL && spec->type != NULL ? spec->type : "auto";
    bool automatic = strcmp(type, "auto") == 0, one_node = per_node == 0 || per_node >= n_ranks;
    *out = NULL;
    if (automatic && n_ranks <= 1) *out = &ta_transport_self;
    else if (automatic && one_node) *out = &ta_transport_shm;
    else if (automatic) return ta_fail(TA_NOT_BUILT, "no transport between nodes is in this version of the program");
    ta_status status = *out != NULL ? TA_OK : ta_transport_find(type, out);
    if (status == TA_OK) status = (*out)->probe(spec, said, sizeof said);
    if (status == TA_OK) snprintf(why, bytes, "transport %s: %s", (*out)->name, said);
    return status;
}
