/* transport_gpu: which way a make takes to the memory of a GPU. */
#include <stdio.h>
#include <string.h>

#include "gpu.h"
#include "transport.h"

enum { SAID_BYTES = 512 };

static ta_status unknown(const char *wish) {
    return ta_fail(TA_CONFIG, "transport.gpu_direct is auto, require or off, not '%s'", wish);
}

static ta_status direct(const struct ta_transport_ops *ops, const struct ta_transport_config *config,
                        struct ta_transport **out) {
    char said[SAID_BYTES] = "";
    *out = NULL;
    if (ops->window_create_far == NULL)
        return ta_fail(TA_DEVICE, "transport '%s' reaches no memory of GPUs", ops->name);
    ta_status status = ops->open(config, out);
    if (status == TA_OK) status = ops->probe_far(*out, said, sizeof said);
    if (status != TA_OK) {
        ops->close(*out);
        *out = NULL;
        return status;
    }
    ta_log_info(config->log, "GPU %u, transport %s: %s", config->gpu_ops->number(config->gpu), ops->name, said);
    return TA_OK;
}

ta_status ta_transport_open_gpu(const struct ta_transport_ops *ops, const struct ta_transport_config *config,
                                const struct ta_transport_ops **made, struct ta_transport **out) {
    const char *wish = config->spec != NULL && config->spec->gpu_direct != NULL ? config->spec->gpu_direct : "auto";
    bool require = strcmp(wish, "require") == 0, off = strcmp(wish, "off") == 0;
    *made = ops;
    *out = NULL;
    if (!require && !off && strcmp(wish, "auto") != 0) return unknown(wish);
    if (config->gpu == NULL || config->n_ranks == 1) return ops->open(config, out);
    const char *why = "transport.gpu_direct: off";
    if (!off) {
        ta_status status = direct(ops, config, out);
        if (status == TA_OK || status != TA_DEVICE) return status;
        if (require)
            return ta_fail(TA_DEVICE, "transport.gpu_direct: require, but: %s; 'auto' goes through host memory",
                           ta_why());
        why = ta_why();
    }
    ta_log_info(config->log, "GPU %u, transport %s: windows of GPUs by copies through host memory: %s",
                config->gpu_ops->number(config->gpu), ops->name, why);
    *made = &ta_transport_staged;
    return ta_staged_open(ops, config, out);
}
