/* sync_gpu: where gradients and sums lie. On CPUs everything is in one kind of memory. On GPUs weights and delta are
 * the GPU's; gradients and sums are the GPU's where NCCL sums them (sync_engine.c), else pinned memory of the host,
 * where the ring can, and each is copied once. */
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "sync.h"

enum { FILL_FLOATS = 1 << 14 };

static bool on_host(const struct ta_sync *s) { return s->gpu != NULL && s->engine != TA_SYNC_COLLECTIVE; }

static ta_status open_one(struct ta_sync *s, const char *what, float **out) {
    size_t bytes = s->base.model->n_params * sizeof(float);
    void *block = NULL;
    ta_status status = on_host(s) ? s->gpu_ops->host_alloc(s->gpu, bytes, what, &block)
                                  : s->kernel_ops->alloc(s->kernels, bytes, what, &block);
    *out = block;
    if (status == TA_OK) s->held_bytes += bytes;
    if (status == TA_OK && s->engine == TA_SYNC_RING)
        status = s->transport_ops->source_register(s->transport, block, bytes);
    return status;
}

ta_status ta_sync_buffers_open(struct ta_sync *s) {
    size_t bytes = s->base.model->n_params * sizeof(float);
    ta_status status = open_one(s, "our gradient", &s->gradient);
    for (int i = 0; i < 2 && status == TA_OK; i++) status = open_one(s, "reduced gradient", &s->result[i]);
    if (status != TA_OK || !on_host(s)) return status;
    void *block = NULL;
    status = s->kernel_ops->alloc(s->kernels, bytes, "a sum on its way to the GPU", &block);
    s->landing = block;
    if (status == TA_OK) s->held_bytes += bytes;
    return status;
}

static void close_one(struct ta_sync *s, float *block) {
    if (block == NULL) return;
    if (on_host(s)) s->gpu_ops->host_free(s->gpu, block);
    else s->kernel_ops->free(s->kernels, block);
}

void ta_sync_buffers_close(struct ta_sync *s) {
    close_one(s, s->gradient);
    for (int i = 0; i < 2; i++) close_one(s, s->result[i]);
    if (s->landing != NULL) s->kernel_ops->free(s->kernels, s->landing);
}

/* A sum of nothing else is a copy, in the order that kernels keep. */
ta_status ta_sync_copy(struct ta_sync *s, float *to, const float *from, size_t n) {
    return s->kernel_ops->sum(s->kernels, n, to, from, NULL, 0);
}

ta_status ta_sync_keep(struct ta_sync *s, const float *grad) {
    size_t n = s->base.model->n_params;
    if (on_host(s)) return s->kernel_ops->copy_out(s->kernels, s->gradient, grad, n * sizeof *grad);
    return ta_sync_copy(s, s->gradient, grad, n);
}

ta_status ta_sync_landed(struct ta_sync *s, const float **out) {
    *out = s->result[s->last];
    if (!on_host(s)) return TA_OK;
    *out = s->landing;
    return s->kernel_ops->copy_in(s->kernels, s->landing, s->result[s->last],
                                  s->base.model->n_params * sizeof **out);
}

/* Our statistics, for who gives nothing else; nothing is pending then, so the place of our gradient is free. */
ta_status ta_sync_statistics(struct ta_sync *s) {
    ta_status status = TA_OK;
    s->statistics = s->delta;
    if (!on_host(s) || s->pending) return TA_OK;
    for (unsigned n = 0; n < s->base.model->n_segments && status == TA_OK; n++) {
        const struct ta_segment *segment = &s->base.model->segments[n];
        if (segment->kind != TA_SEGMENT_MEAN) continue;
        status = s->kernel_ops->copy_out(s->kernels, s->gradient + segment->offset, s->delta + segment->offset,
                                         segment->count * sizeof(float));
    }
    s->statistics = s->gradient;
    return status;
}

ta_status ta_sync_fill(struct ta_sync *s, float *to, size_t n, float value) {
    float *block;
    size_t done = n < FILL_FLOATS ? n : FILL_FLOATS;
    if (n == 0) return TA_OK;
    ta_status status = TA_NEW(&block, done, "numbers to fill with");
    if (status != TA_OK) return status;
    for (size_t i = 0; i < done; i++) block[i] = value;
    status = s->kernel_ops->copy_in(s->kernels, to, block, done * sizeof *block);
    for (size_t more; status == TA_OK && done < n; done += more) {
        more = n - done < done ? n - done : done;
        status = ta_sync_copy(s, to + done, to, more);
    }
    ta_mem_free(block);
    return status;
}

/* Zero, and the statistics: the register of who has none. */
ta_status ta_sync_empty_register(struct ta_sync *s, float **out) {
    const struct ta_model *model = s->base.model;
    ta_status status = TA_OK;
    *out = on_host(s) ? s->landing : s->result[1 - s->last];
    for (unsigned n = 0; n < model->n_segments && status == TA_OK; n++) {
        const struct ta_segment *segment = &model->segments[n];
        float *to = *out + segment->offset;
        status = segment->kind == TA_SEGMENT_MEAN ? ta_sync_copy(s, to, s->delta + segment->offset, segment->count)
                                                  : ta_sync_fill(s, to, segment->count, 0);
    }
    return status;
}
