/* bench_copy: what memory and bus of this GPU give, as the yardstick of the rest: a copy within the device, bytes read
 * and written both counted, and copies from and to pinned memory, bytes counted once. */
#include "bench.h"

struct copy {
    struct bench_gpu *b;
    char *to, *from;
    size_t bytes;
};

static ta_status queue(void *self, unsigned repeat) {
    const struct copy *c = self;
    (void)repeat;
    return c->b->gpu_ops->copy(c->b->gpu, TA_GPU_COPY, c->to, c->from, c->bytes);
}

static ta_status measure(struct bench_gpu *b, char *near, char *far, char *host, size_t within, size_t across) {
    enum { ROUNDS = 9 };
    struct copy copies[3] = {{b, far, near, within}, {b, near, host, across}, {b, host, far, across}};
    struct bench_work works[3];
    struct bench_work *turns[3];
    for (unsigned i = 0; i < 3; i++) {
        works[i] = (struct bench_work){.queue = queue, .self = &copies[i], .repeats = i ? 4 : 16};
        turns[i] = &works[i];
    }
    ta_status status = bench_turns(b, turns, 3, b->quick ? 1 : ROUNDS);
    if (status != TA_OK) return status;
    unsigned n = b->quick ? 1 : ROUNDS;
    bench_figure("copy_device_GBps", 2e-9 * (double)within / bench_median(works[0].seconds, n), "GB/s");
    bench_figure("copy_in_pinned_GBps", 1e-9 * (double)across / bench_median(works[1].seconds, n), "GB/s");
    bench_figure("copy_out_pinned_GBps", 1e-9 * (double)across / bench_median(works[2].seconds, n), "GB/s");
    return TA_OK;
}

int main(int argc, char **argv) {
    struct bench_gpu b = {0};
    ta_status status = bench_open(&b, argc, argv);
    size_t within = b.quick ? (size_t)1 << 16 : (size_t)1 << 30, across = within / 4;
    void *near = NULL, *far = NULL, *host = NULL;
    if (status == TA_OK) status = b.gpu_ops->alloc(b.gpu, within, "the source", &near);
    if (status == TA_OK) status = b.gpu_ops->alloc(b.gpu, within, "the target", &far);
    if (status == TA_OK) status = b.gpu_ops->host_alloc(b.gpu, across, "pinned memory", &host);
    if (status == TA_OK) {
        uint32_t *word = host;
        for (size_t i = 0; i < across / 4; i++) word[i] = (uint32_t)i * 2654435761u;
        /* Not of zeros: some devices move those faster. */
        for (size_t at = 0; at < within && status == TA_OK; at += across)
            status = b.gpu_ops->copy(b.gpu, TA_GPU_COPY, (char *)near + at, host, across);
    }
    if (status == TA_OK) status = measure(&b, near, far, host, within, across);
    if (b.gpu != NULL) {
        b.gpu_ops->host_free(b.gpu, host);
        b.gpu_ops->free(b.gpu, far);
        b.gpu_ops->free(b.gpu, near);
    }
    return bench_end(&b, status);
}
