/* lazy_gpu: regions of memory with two addresses each, and streams as lists of what is still to do. */
#include "lazy_gpu.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rng.h"

enum { REGIONS = 1024, PIECE = 512, PIECES = 8, ALIGN = 4096 };

struct lazy_gpu_world lazy_gpu_world;

static struct region { /* bytes 0: none */
    unsigned char *device, *host;
    size_t bytes;
    int fd; /* -1: attached */
    const struct ta_gpu *gpu;
} regions[REGIONS];

static unsigned n_regions; /* that were ever in use at once */

enum what { COPY, FOLLOW };

struct work {
    enum what what;
    unsigned char *to;
    const unsigned char *from;
    size_t bytes, done;
    enum ta_gpu_stream after;
    uint64_t count; /* of `after` */
};

struct stream {
    struct work *queue;      /* what was ever queued: tests are short */
    uint64_t n, room, done;  /* works */
    uint64_t mark[TA_GPU_TICKETS]; /* ticket i -> works */
    uint64_t tickets, reached;
};

struct ta_gpu {
    unsigned number, copies;
    bool lost;
    struct ta_rng rng;
    struct stream stream[TA_GPU_STREAMS];
};

static struct region *region_of(const void *address) {
    for (unsigned i = 0; i < n_regions; i++)
        if (regions[i].bytes > 0 && (uintptr_t)address >= (uintptr_t)regions[i].device &&
            (uintptr_t)address - (uintptr_t)regions[i].device < regions[i].bytes)
            return &regions[i];
    return NULL;
}

void *lazy_gpu_at(const void *address) {
    struct region *r = region_of(address);
    return r != NULL ? r->host + ((const unsigned char *)address - r->device) : (void *)address;
}

unsigned lazy_gpu_held(void) {
    unsigned held = 0;
    for (unsigned i = 0; i < REGIONS; i++) held += regions[i].bytes > 0;
    return held;
}

static ta_status map_region(const struct ta_gpu *gpu, int fd, size_t bytes, bool ours, void **out) {
    int touch = lazy_gpu_world.touchable ? PROT_READ | PROT_WRITE : PROT_NONE;
    for (unsigned i = 0; i < REGIONS; i++) {
        struct region *r = &regions[i];
        if (r->bytes > 0) continue;
        r->host = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        r->device = mmap(NULL, bytes, touch, MAP_SHARED, fd, 0);
        if (r->host == MAP_FAILED || r->device == MAP_FAILED)
            return ta_fail(TA_NO_MEMORY, "lazy GPU: %zu bytes", bytes);
        r->bytes = bytes;
        r->fd = ours ? fd : -1;
        r->gpu = gpu;
        if (i >= n_regions) n_regions = i + 1;
        *out = r->device;
        return TA_OK;
    }
    return ta_fail(TA_NO_MEMORY, "lazy GPU: %d blocks are all there are", REGIONS);
}

static void unmap_region(struct region *r) {
    if (r == NULL) return;
    munmap(r->host, r->bytes);
    munmap(r->device, r->bytes);
    if (r->fd >= 0) close(r->fd);
    *r = (struct region){.bytes = 0};
}

/* ---- streams ---- */

static ta_status is_lost(const struct ta_gpu *gpu) {
    return gpu->lost ? ta_fail(TA_DEVICE, "GPU %u is lost", gpu->number) : TA_OK;
}

/* Words whole, as a bus does; and behind the back of the thread sanitizer, as one, too. */
__attribute__((no_sanitize("thread"))) static void move(unsigned char *to, const unsigned char *from, size_t bytes) {
    size_t i = 0;
    bool words = (((uintptr_t)to | (uintptr_t)from) & 3) == 0;
    for (; words && i + 4 <= bytes; i += 4)
        atomic_store_explicit((_Atomic uint32_t *)(void *)(to + i),
                              atomic_load_explicit((_Atomic const uint32_t *)(const void *)(from + i),
                                                   memory_order_relaxed),
                              memory_order_relaxed);
    for (; i < bytes; i++) to[i] = from[i];
}

static void run_to(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t count);

/* A piece of the first thing to do. */
static void run_piece(struct ta_gpu *gpu, enum ta_gpu_stream stream) {
    struct stream *s = &gpu->stream[stream];
    struct work *w = &s->queue[s->done];
    if (w->what == FOLLOW) {
        run_to(gpu, w->after, w->count);
        s->done++;
        return;
    }
    size_t piece = PIECE + w->bytes / PIECES / 4 * 4, bytes = w->bytes - w->done < piece ? w->bytes - w->done : piece;
    move((unsigned char *)lazy_gpu_at(w->to) + w->done, (unsigned char *)lazy_gpu_at(w->from) + w->done, bytes);
    w->done += bytes;
    if (w->done == w->bytes) s->done++;
}

static void run_to(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t count) {
    while (gpu->stream[stream].done < count) run_piece(gpu, stream);
}

void lazy_gpu_run(struct ta_gpu *gpu, enum ta_gpu_stream stream) { run_to(gpu, stream, gpu->stream[stream].n); }

static ta_status add_work(struct ta_gpu *gpu, enum ta_gpu_stream stream, struct work work) {
    struct stream *s = &gpu->stream[stream];
    ta_status status = is_lost(gpu);
    if (status != TA_OK) return status;
    if (s->n == s->room) {
        s->room = s->room > 0 ? 2 * s->room : 64;
        s->queue = realloc(s->queue, s->room * sizeof *s->queue);
        if (s->queue == NULL) return ta_fail(TA_NO_MEMORY, "lazy GPU: queue");
    }
    s->queue[s->n++] = work;
    return TA_OK;
}

static ta_status lazy_copy(struct ta_gpu *gpu, enum ta_gpu_stream stream, void *to, const void *from, size_t bytes) {
    if (lazy_gpu_world.lost_after > 0 && ++gpu->copies >= lazy_gpu_world.lost_after) gpu->lost = true;
    return add_work(gpu, stream, (struct work){.what = COPY, .to = to, .from = from, .bytes = bytes});
}

static ta_status lazy_copy_rows(struct ta_gpu *gpu, enum ta_gpu_stream stream, void *to, const void *from, size_t bytes,
                                const uint32_t *rows, size_t n) {
    ta_status status = is_lost(gpu);
    for (size_t i = 0; i < n && status == TA_OK; i++)
        status = lazy_copy(gpu, stream, (char *)to + rows[i] * bytes, (const char *)from + rows[i] * bytes, bytes);
    return status;
}

static ta_status lazy_follow(struct ta_gpu *gpu, enum ta_gpu_stream stream, enum ta_gpu_stream after) {
    return add_work(gpu, stream, (struct work){.what = FOLLOW, .after = after, .count = gpu->stream[after].n});
}

static ta_status lazy_mark(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t *ticket) {
    struct stream *s = &gpu->stream[stream];
    ta_status status = is_lost(gpu);
    if (status == TA_OK && s->tickets - s->reached >= TA_GPU_TICKETS)
        status = ta_fail(TA_INVALID, "lazy GPU: %d tickets are out", TA_GPU_TICKETS);
    if (status != TA_OK) return status;
    *ticket = ++s->tickets;
    s->mark[*ticket % TA_GPU_TICKETS] = s->n;
    return TA_OK;
}

static ta_status give_back(struct stream *s, uint64_t ticket) {
    if (ticket > s->reached) s->reached = ticket;
    return TA_OK;
}

static ta_status lazy_reached(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t ticket) {
    struct stream *s = &gpu->stream[stream];
    ta_status status = is_lost(gpu);
    if (status != TA_OK || ticket <= s->reached) return status;
    uint64_t count = s->mark[ticket % TA_GPU_TICKETS];
    for (unsigned luck = ta_rng_below(&gpu->rng, 4); luck > 0; luck--) {
        enum ta_gpu_stream any = (enum ta_gpu_stream)ta_rng_below(&gpu->rng, TA_GPU_STREAMS);
        if (gpu->stream[any].done < gpu->stream[any].n) run_piece(gpu, any);
    }
    return s->done >= count ? give_back(s, ticket) : TA_AGAIN;
}

static ta_status lazy_wait(struct ta_gpu *gpu, enum ta_gpu_stream stream, uint64_t ticket) {
    struct stream *s = &gpu->stream[stream];
    ta_status status = is_lost(gpu);
    if (status != TA_OK || ticket <= s->reached) return status;
    run_to(gpu, stream, s->mark[ticket % TA_GPU_TICKETS]);
    return give_back(s, ticket);
}

static ta_status lazy_drain(struct ta_gpu *gpu) {
    for (unsigned s = 0; s < TA_GPU_STREAMS; s++) lazy_gpu_run(gpu, (enum ta_gpu_stream)s);
    return is_lost(gpu);
}

/* ---- devices and memory ---- */

static ta_status lazy_count(unsigned *n) {
    *n = LAZY_GPUS;
    return TA_OK;
}

static ta_status lazy_describe(unsigned number, struct ta_gpu_info *out) {
    *out = (struct ta_gpu_info){.driver = 13000, .runtime = 13000, .bytes = 1 << 30, .free = 1 << 30,
                                .ipc = !lazy_gpu_world.no_ipc, .rdma = true, .ordered = true};
    snprintf(out->name, sizeof out->name, "lazy");
    snprintf(out->pci, sizeof out->pci, "0000:%02x:00.0", number + 1);
    return TA_OK;
}

static ta_status lazy_reaches(unsigned from, unsigned to, bool *out) {
    *out = from == to || !lazy_gpu_world.apart;
    return TA_OK;
}

static ta_status lazy_open(unsigned number, struct ta_gpu **out) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return ta_fail(TA_NO_MEMORY, "lazy GPU");
    (*out)->number = number;
    (*out)->rng = ta_rng_make(lazy_gpu_world.seed, 100 + number);
    return TA_OK;
}

static void lazy_close(struct ta_gpu *gpu) {
    if (gpu == NULL) return;
    lazy_drain(gpu);
    for (unsigned i = 0; i < REGIONS; i++) /* what was left to the end of the process */
        if (regions[i].bytes > 0 && regions[i].gpu == gpu) unmap_region(&regions[i]);
    for (unsigned s = 0; s < TA_GPU_STREAMS; s++) free(gpu->stream[s].queue);
    free(gpu);
}

static unsigned lazy_number(const struct ta_gpu *gpu) { return gpu->number; }
static bool lazy_lost(const struct ta_gpu *gpu) { return gpu->lost; }

static ta_status lazy_alloc(struct ta_gpu *gpu, size_t bytes, const char *what, void **out) {
    *out = NULL;
    size_t whole = (bytes + ALIGN) / ALIGN * ALIGN;
    int fd = memfd_create("lazy-gpu", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)whole) != 0) return ta_fail_errno(TA_NO_MEMORY, "lazy GPU: %s", what);
    ta_status status = map_region(gpu, fd, whole, true, out);
    if (status != TA_OK) close(fd);
    return status;
}

static void lazy_free(struct ta_gpu *gpu, void *block) {
    if (block == NULL) return;
    lazy_drain(gpu);
    unmap_region(region_of(block));
}

static ta_status lazy_host_alloc(struct ta_gpu *gpu, size_t bytes, const char *what, void **out) {
    (void)gpu;
    *out = aligned_alloc(ALIGN, (bytes + ALIGN) / ALIGN * ALIGN);
    if (*out == NULL) return ta_fail(TA_NO_MEMORY, "lazy GPU: %s", what);
    memset(*out, 0, (bytes + ALIGN) / ALIGN * ALIGN);
    return TA_OK;
}

static void lazy_host_free(struct ta_gpu *gpu, void *block) {
    if (block == NULL) return;
    lazy_drain(gpu);
    free(block);
}

static ta_status lazy_host_register(struct ta_gpu *gpu, void *base, size_t bytes) {
    (void)gpu;
    if ((uintptr_t)base % ALIGN == 0 && bytes % ALIGN == 0) return TA_OK;
    return ta_fail(TA_INVALID, "lazy GPU: %zu bytes at %p are not whole pages", bytes, base);
}

static void lazy_host_unregister(struct ta_gpu *gpu, void *base) {
    (void)base;
    lazy_drain(gpu);
}

struct handle {
    int32_t pid, fd;
};

static ta_status lazy_share(struct ta_gpu *gpu, const void *base, size_t bytes, struct ta_gpu_handle *out) {
    struct region *r = region_of(base);
    *out = (struct ta_gpu_handle){.size = bytes};
    if (r == NULL || r->fd < 0 || lazy_gpu_world.no_ipc) return ta_fail(TA_DEVICE, "lazy GPU: nothing to share");
    struct handle handle = {(int32_t)getpid(), r->fd};
    memcpy(out->bytes, &handle, sizeof handle);
    out->offset = (uint64_t)((const unsigned char *)base - r->device);
    snprintf(out->pci, sizeof out->pci, "0000:%02x:00.0", gpu->number + 1);
    return TA_OK;
}

static ta_status lazy_attach(struct ta_gpu *gpu, const struct ta_gpu_handle *handle, void **out) {
    struct handle h;
    struct stat file;
    char path[64];
    void *base = NULL;
    memcpy(&h, handle->bytes, sizeof h);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", h.pid, h.fd);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &file) != 0) return ta_fail_errno(TA_DEVICE, "lazy GPU: %s", path);
    ta_status status = map_region(gpu, fd, (size_t)file.st_size, false, &base);
    close(fd);
    *out = status == TA_OK ? (char *)base + handle->offset : NULL;
    return status;
}

static void lazy_detach(struct ta_gpu *gpu, void *attached) {
    (void)gpu;
    unmap_region(region_of(attached));
}

static ta_status lazy_dmabuf(struct ta_gpu *gpu, const void *base, size_t bytes, int *fd, uint64_t *offset) {
    (void)gpu, (void)base, (void)bytes, (void)offset;
    *fd = -1;
    return ta_fail(TA_DEVICE, "lazy GPU: there are no dma-bufs");
}

const struct ta_gpu_ops lazy_gpu_ops = {
    .name = "lazy",
    .count = lazy_count,
    .describe = lazy_describe,
    .reaches = lazy_reaches,
    .open = lazy_open,
    .close = lazy_close,
    .number = lazy_number,
    .lost = lazy_lost,
    .alloc = lazy_alloc,
    .free = lazy_free,
    .host_alloc = lazy_host_alloc,
    .host_free = lazy_host_free,
    .host_register = lazy_host_register,
    .host_unregister = lazy_host_unregister,
    .copy = lazy_copy,
    .copy_rows = lazy_copy_rows,
    .mark = lazy_mark,
    .reached = lazy_reached,
    .wait = lazy_wait,
    .follow = lazy_follow,
    .drain = lazy_drain,
    .share = lazy_share,
    .attach = lazy_attach,
    .detach = lazy_detach,
    .dmabuf = lazy_dmabuf,
    .flush = lazy_drain,
};
