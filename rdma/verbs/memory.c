/* memory: registration, by a table of memory kinds; and lists of what was registered. */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"
#include "survey.h"
#include "verbs.h"

typedef struct ibv_mr *register_kind(const struct ta_verbs_rail *rail, const struct ta_verbs_memory *memory,
                                     int access);

static struct ibv_mr *register_host(const struct ta_verbs_rail *rail, const struct ta_verbs_memory *memory,
                                    int access) {
    return ibv_reg_mr(rail->pd, (void *)memory->base, memory->bytes, access);
}

/* The descriptor of a piece of GPU memory, by the CUDA driver where there is one: cuMemGetHandleForAddressRange, looked
 * up by name so that nothing here needs CUDA to be built. -1 and errno: there is none. */
static int dmabuf_of(const struct ta_verbs_memory *memory) {
    enum { DMA_BUF_FD = 1 }; /* CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD */
    typedef int get_handle(void *handle, unsigned long long address, size_t bytes, int type, unsigned long long flags);
    union {
        void *symbol;
        get_handle *call;
    } get = {.symbol = NULL};
    int fd = -1;
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (driver != NULL) get.symbol = dlsym(driver, "cuMemGetHandleForAddressRange");
    if (get.symbol == NULL || get.call(&fd, (uintptr_t)memory->base, memory->bytes, DMA_BUF_FD, 0) != 0) fd = -1;
    if (driver != NULL) dlclose(driver);
    if (fd < 0) errno = EBADF;
    return fd;
}

static struct ibv_mr *register_gpu(const struct ta_verbs_rail *rail, const struct ta_verbs_memory *memory, int access) {
    int fd = dmabuf_of(memory);
    struct ibv_mr *mr = ibv_reg_dmabuf_mr(rail->pd, 0, memory->bytes, (uintptr_t)memory->base, fd, access);
    int why = errno;
    if (fd >= 0) close(fd);
    errno = why;
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
            "RDMA device %s cannot register %zu bytes of GPU memory (%s); 'gpu_direct: off' keeps windows "
            "in host memory",
            r->place.device, memory->bytes, r->dmabuf ? "the driver gave no dma-buf for it" : "no dma-buf support");
    return ta_fail_errno(why == ENOMEM ? TA_NO_MEMORY : TA_DEVICE,
                         "RDMA device %s cannot register %zu bytes of %s memory", r->place.device, memory->bytes,
                         kinds[memory->kind].name);
}

ta_status ta_verbs_register(struct ta_transport *t, unsigned rail, const struct ta_verbs_memory *memory, int access,
                            struct ibv_mr **out) {
    *out = kinds[memory->kind].call(&t->rail[rail], memory, access);
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
