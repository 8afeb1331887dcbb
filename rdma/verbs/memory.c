/* memory: registration, by a table of memory kinds; and lists of what was registered. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"
#include "survey.h"
#include "verbs.h"

typedef struct ibv_mr *register_kind(struct ta_transport *t, unsigned rail, const struct ta_verbs_memory *memory,
                                     int access);

static struct ibv_mr *register_host(struct ta_transport *t, unsigned rail, const struct ta_verbs_memory *memory,
                                    int access) {
    return ibv_reg_mr(t->rail[rail].pd, (void *)memory->base, memory->bytes, access);
}

/* By a dma-buf where the device's driver and the GPU's know of them; else as if it were the CPU's, which nvidia-peermem
 * makes work. */
static struct ibv_mr *register_gpu(struct ta_transport *t, unsigned rail, const struct ta_verbs_memory *memory,
                                   int access) {
    const struct ta_gpu_ops *ops = t->config.gpu_ops;
    struct ta_verbs_rail *r = &t->rail[rail];
    struct ibv_mr *mr = NULL;
    uint64_t offset = 0;
    int fd = -1;
    if (t->config.gpu == NULL) { /* whose memory is it then? */
        errno = ENODEV;
        return NULL;
    }
    if (r->dmabuf && ops->dmabuf(t->config.gpu, memory->base, memory->bytes, &fd, &offset) == TA_OK && fd >= 0) {
        mr = ibv_reg_dmabuf_mr(r->pd, offset, memory->bytes, (uintptr_t)memory->base, fd, access);
        close(fd);
    }
    if (mr != NULL) r->gpu_by = "dma-buf";
    if (mr != NULL) return mr;
    mr = ibv_reg_mr(r->pd, (void *)memory->base, memory->bytes, access);
    if (mr != NULL) r->gpu_by = "nvidia-peermem";
    return mr;
}

static const struct kind {
    const char *name;
    register_kind *call;
} kinds[] = {
    [TA_MEM_HOST] = {"host", register_host},
    [TA_MEM_PINNED] = {"pinned host", register_host},
    [TA_MEM_GPU] = {"GPU", register_gpu},
};

static ta_status refused(const struct ta_transport *t, unsigned rail, const struct ta_verbs_memory *memory) {
    int why = errno;
    const struct ta_verbs_rail *r = &t->rail[rail];
    /* The kernel says no memory when the limit of locked memory is meant, too. */
    if (why == ENOMEM && memory->kind != TA_MEM_GPU) {
        ta_status status = ta_survey_memlock_check(t->registered_bytes + memory->bytes);
        if (status != TA_OK) return status;
    }
    errno = why;
    if (memory->kind == TA_MEM_GPU)
        return ta_fail_errno(
            TA_DEVICE,
            "RDMA device %s cannot register %zu bytes of GPU memory (%s, and no module nvidia-peermem: 'modprobe "
            "nvidia-peermem'); 'gpu_direct: off' keeps windows in host memory",
            r->place.device, memory->bytes, r->dmabuf ? "it took no dma-buf of it" : "no dma-buf support");
    return ta_fail_errno(why == ENOMEM ? TA_NO_MEMORY : TA_DEVICE,
                         "RDMA device %s cannot register %zu bytes of %s memory", r->place.device, memory->bytes,
                         kinds[memory->kind].name);
}

ta_status ta_verbs_register(struct ta_transport *t, unsigned rail, const struct ta_verbs_memory *memory, int access,
                            struct ibv_mr **out) {
    *out = kinds[memory->kind].call(t, rail, memory, access);
    if (*out == NULL) return refused(t, rail, memory);
    t->registered_bytes += memory->bytes;
    return TA_OK;
}

void ta_verbs_deregister(struct ta_transport *t, struct ibv_mr **mr) {
    if (*mr == NULL) return;
    t->registered_bytes -= (*mr)->length;
    ibv_dereg_mr(*mr);
    *mr = NULL;
}

ta_status ta_verbs_gpu_probe(struct ta_transport *t, char *said, size_t bytes) {
    enum { PROBE_BYTES = 1 << 16 };
    const struct ta_gpu_ops *ops = t->config.gpu_ops;
    unsigned number = ops->number(t->config.gpu);
    struct ta_gpu_info info;
    void *block = NULL;
    size_t used = 0;
    ta_status status = ops->describe(number, &info);
    if (status == TA_OK && !info.rdma)
        return ta_fail(TA_DEVICE, "GPU %u (%s) lets no RDMA device reach its memory (GPUDirect RDMA)", number,
                       info.name);
    if (status == TA_OK) status = ops->alloc(t->config.gpu, PROBE_BYTES, "a try of registration", &block);
    const struct ta_verbs_memory memory = {TA_MEM_GPU, block, PROBE_BYTES};
    for (unsigned i = 0; i < t->n_rails && status == TA_OK; i++) {
        struct ibv_mr *mr = NULL;
        status = ta_verbs_register(t, i, &memory, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE, &mr);
        ta_verbs_deregister(t, &mr);
        if (status == TA_OK && used < bytes)
            used += (size_t)snprintf(said + used, bytes - used, "%sRDMA device %s reaches the memory of GPUs by %s",
                                     i > 0 ? "; " : "", t->rail[i].place.device, t->rail[i].gpu_by);
    }
    t->flushes = status == TA_OK && !info.ordered;
    ops->free(t->config.gpu, block);
    return status;
}

static void source_free(struct ta_transport *t, struct ta_verbs_source *source) {
    for (unsigned i = 0; i < t->n_rails; i++) ta_verbs_deregister(t, &source->mr[i]);
    ta_mem_free(source);
}

ta_status ta_verbs_source_add(struct ta_transport *t, struct ta_verbs_source **list,
                              const struct ta_verbs_memory *memory, int access) {
    struct ta_verbs_source *source;
    ta_status status = TA_NEW(&source, 1, "registered memory");
    if (status != TA_OK) return status;
    source->base = memory->base;
    source->bytes = memory->bytes;
    source->of_gpu = memory->kind == TA_MEM_GPU;
    for (unsigned i = 0; i < t->n_rails && status == TA_OK; i++)
        status = ta_verbs_register(t, i, memory, access, &source->mr[i]);
    if (status != TA_OK) {
        source_free(t, source);
        return status;
    }
    source->next = *list;
    *list = source;
    return TA_OK;
}

void ta_verbs_sources_free(struct ta_transport *t, struct ta_verbs_source **list) {
    while (*list != NULL) {
        struct ta_verbs_source *source = *list;
        *list = source->next;
        source_free(t, source);
    }
}
