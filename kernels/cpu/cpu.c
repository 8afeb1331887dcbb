/* cpu: the make's table, opening and closing. */
#include <string.h>

#include "mem.h"
#include "net.h"
#include "prim.h"
#include "rows.h"
#include "skipgram.h"

static void cpu_close(struct ta_kernels *k) {
    if (k == NULL) return;
    if (k->stream != NULL) dnnl_stream_destroy(k->stream);
    if (k->engine != NULL) dnnl_engine_destroy(k->engine);
    ta_mem_free(k);
}

static ta_status cpu_open(const struct ta_kernels_config *config, struct ta_kernels **out) {
    *out = NULL;
    if (config->threads > 1024) return ta_fail(TA_CONFIG, "%u threads are more than 1024", config->threads);
    struct ta_kernels *k;
    ta_status status = TA_NEW(&k, 1, "the CPU kernels");
    if (status != TA_OK) return status;
    k->threads = config->threads == 0 ? 1 : (int)config->threads;
    status = ta_dnnl(dnnl_engine_create(&k->engine, dnnl_cpu, 0), "engine");
    if (status == TA_OK)
        status = ta_dnnl(dnnl_stream_create(&k->stream, k->engine, dnnl_stream_default_flags), "stream");
    if (status != TA_OK) {
        cpu_close(k);
        return status;
    }
    *out = k;
    return TA_OK;
}

static ta_status cpu_alloc(struct ta_kernels *k, size_t bytes, const char *what, void **out) {
    (void)k;
    return ta_mem_alloc(bytes, 1, what, out);
}

static void cpu_free(struct ta_kernels *k, void *block) {
    (void)k;
    ta_mem_free(block);
}

static ta_status cpu_copy(struct ta_kernels *k, void *to, const void *from, size_t bytes) {
    (void)k;
    memcpy(to, from, bytes);
    return TA_OK;
}

const struct ta_kernels_ops ta_kernels_cpu = {
    .name = "cpu",
    .package = "libdnnl-dev",
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .copy_in = cpu_copy,
    .copy_out = cpu_copy,
    .net_create = ta_cpu_net_create,
    .net_destroy = ta_cpu_net_destroy,
    .net_bytes = ta_cpu_net_bytes,
    .net_times = ta_cpu_net_times,
    .train = ta_cpu_train,
    .predict = ta_cpu_predict,
    .grad_norm2 = ta_arena_grad_norm2,
    .update = ta_arena_update,
    .moving = ta_arena_moving,
    .compensate = ta_arena_compensate,
    .sum = ta_arena_sum,
    .mean = ta_arena_mean,
    .rows_sum = ta_rows_sum,
    .rows_pick = ta_rows_pick,
    .rows_fold = ta_rows_fold,
    .skipgram = &ta_skipgram_cpu,
};
