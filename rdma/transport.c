/* transport: the registry. A make is named here once; one that is known but was not built in says what it needs. */
#include "transport.h"

#include "mixed.h"

#include <stdio.h>
#include <string.h>

static const struct ta_transport_ops *const built[] = {
    &ta_transport_self,  &ta_transport_shm,   &ta_transport_sim,
#if TA_HAVE_VERBS || TA_HAVE_OFI
    &ta_transport_mixed,
#endif
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

enum { SAID_BYTES = 256, REASON_BYTES = 512 };

ta_status ta_transport_find(const char *name, const struct ta_transport_ops **out) {
    *out = NULL;
    for (size_t i = 0; i < sizeof built / sizeof built[0]; i++)
        if (strcmp(name, built[i]->name) == 0) {
            *out = built[i];
            return TA_OK;
        }
    for (size_t i = 0; i < sizeof not_built / sizeof not_built[0]; i++)
        if (strcmp(name, not_built[i].name) == 0)
            return ta_fail(TA_NOT_BUILT,
                           "transport '%s' is not in this version of the program; one that has it needs the "
                           "package %s; choose auto, self or shm", name, not_built[i].package);
    return ta_fail(TA_CONFIG, "there is no transport '%s': choose auto, self, shm, sim, mixed, verbs or ofi", name);
}

/* One make, probed; what it would use or why it cannot goes to `said`. */
static ta_status probe(const char *name, const struct ta_transport_spec *spec, const struct ta_transport_ops **out,
                       char *said, size_t bytes) {
    ta_status status = ta_transport_find(name, out);
    if (status == TA_OK) status = (*out)->probe(spec, said, bytes);
    if (status != TA_OK) snprintf(said, bytes, "%s", ta_why());
    return status;
}

ta_status ta_transport_between_nodes(const struct ta_transport_spec *spec, const struct ta_transport_ops **out,
                                     char *why, size_t bytes) {
    char verbs[REASON_BYTES], ofi[REASON_BYTES];
    if (probe("verbs", spec, out, verbs, sizeof verbs) == TA_OK) {
        snprintf(why, bytes, "verbs: %s", verbs);
        return TA_OK;
    }
    if (probe("ofi", spec, out, ofi, sizeof ofi) == TA_OK) {
        snprintf(why, bytes, "ofi: %s; not verbs: %s", ofi, verbs);
        return TA_OK;
    }
    *out = NULL;
    return ta_fail(TA_DEVICE, "there is no transport between nodes: not verbs: %s; and not ofi: %s", verbs, ofi);
}

/* What auto is, and why; the make that was named otherwise. */
ta_status ta_transport_choose(const struct ta_transport_spec *spec, unsigned n_ranks, unsigned per_node,
                              const struct ta_transport_ops **out, char *why, size_t bytes) {
    char said[SAID_BYTES + REASON_BYTES] = "";
    const char *type = spec != NULL && spec->type != NULL ? spec->type : "auto";
    const bool automatic = strcmp(type, "auto") == 0, one_node = per_node == 0 || per_node >= n_ranks;
    ta_status status = TA_OK;
    *out = NULL;
    if (automatic && !one_node && n_ranks > 1) {
        status = ta_transport_between_nodes(spec, out, said, sizeof said);
        if (status != TA_OK) return status;
        if (per_node > 1) *out = &ta_transport_mixed;
        const char *near = per_node > 1 ? "mixed: shm within a node, between nodes " : "";
        snprintf(why, bytes, "transport auto: %s%s", near, said);
        return TA_OK;
    }
    status = probe(automatic ? n_ranks <= 1 ? "self" : "shm" : type, spec, out, said, sizeof said);
    if (status != TA_OK) {
        *out = NULL;
        return status;
    }
    snprintf(why, bytes, "transport %s: %s", (*out)->name, said);
    return TA_OK;
}
