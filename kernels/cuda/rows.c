/* rows: lists of rows on their way to the device, piece by piece, and what is done for each piece. */
#include <string.h>

#include "cuda.h"
#include "flat.h"
#include "members.h"
#include "mem.h"

enum { PIECES = 8, PIECE = 1 << 15 }; /* 1 MiB of each side */

struct ta_rows_ring {
    uint32_t *host, *device; /* [PIECES][PIECE] */
    cudaEvent_t read[PIECES]; /* the device needs a piece no more; NULL: not made yet */
    unsigned next;
};

void ta_cuda_rows_close(struct ta_kernels *k) {
    struct ta_rows_ring *ring = k->rows;
    if (ring == NULL) return;
    for (unsigned i = 0; i < PIECES; i++) {
        if (ring->read[i] != NULL) cudaEventDestroy(ring->read[i]);
    }
    if (ring->device != NULL) k->gpu_ops->free(k->gpu, ring->device);
    if (ring->host != NULL) k->gpu_ops->host_free(k->gpu, ring->host);
    ta_mem_free(ring);
    k->rows = NULL;
}

static ta_status ring_of(struct ta_kernels *k) {
    if (k->rows != NULL) return TA_OK;
    const size_t bytes = (size_t)PIECES * PIECE * sizeof(uint32_t);
    ta_status status = TA_NEW(&k->rows, 1, "lists of rows");
    if (status != TA_OK) return status;
    struct ta_rows_ring *ring = k->rows;
    status = k->gpu_ops->host_alloc(k->gpu, bytes, "lists of rows", (void **)&ring->host);
    if (status == TA_OK) status = k->gpu_ops->alloc(k->gpu, bytes, "lists of rows", (void **)&ring->device);
    for (unsigned i = 0; i < PIECES && status == TA_OK; i++)
        status = ta_gpu_said(k->gpu, cudaEventCreateWithFlags(&ring->read[i], cudaEventDisableTiming),
                             "an event for lists of rows");
    if (status != TA_OK) ta_cuda_rows_close(k);
    return status;
}

/* The next piece of the ring, filled; waits where the device has yet to read what lies there. */
static ta_status fill(struct ta_kernels *k, cudaStream_t stream, const uint32_t *rows, size_t n,
                      const uint32_t **device) {
    struct ta_rows_ring *ring = k->rows;
    const size_t at = (size_t)ring->next * PIECE;
    ta_status status = ta_gpu_said(k->gpu, cudaEventSynchronize(ring->read[ring->next]), "waiting for lists of rows");
    if (status != TA_OK) return status;
    memcpy(ring->host + at, rows, n * sizeof *rows);
    *device = ring->device + at;
    return ta_gpu_said(
        k->gpu, cudaMemcpyAsync(ring->device + at, ring->host + at, n * sizeof *rows, cudaMemcpyHostToDevice, stream),
        "copying a list of rows");
}

/* What is done for each piece of a list. */
enum what { SUM, PICK, FOLD };

struct work {
    enum what what;
    struct ta_flat_rows args; /* but for the list */
    float *w, *folded, *delta;
};

static cudaError_t launch(cudaStream_t stream, const struct work *work, const struct ta_flat_rows *args) {
    switch (work->what) {
    case SUM: return ta_flat_rows_sum(stream, args, work->w);
    case PICK: return ta_flat_rows_pick(stream, args, work->w);
    case FOLD: break;
    }
    return ta_flat_rows_fold(stream, args, work->w, work->folded, work->delta);
}

static ta_status run(struct ta_kernels *k, const struct work *work, const uint32_t *rows, size_t n_rows) {
    static const char *const names[] = {"summing rows", "picking rows", "folding rows"};
    struct ta_flat_rows args = work->args;
    cudaStream_t stream;
    if (args.n_registers > TA_FLAT_ROW_REGISTERS)
        return ta_fail(TA_CONFIG,
                       "rows of %u registers at once; a GPU takes %d: lower the number of peers (exchange.topology: "
                       "tree), or use --device cpu",
                       args.n_registers, TA_FLAT_ROW_REGISTERS);
    ta_status status = ta_cuda_on_apply(k, &stream);
    if (status != TA_OK) return status;
    if (rows == NULL) return ta_gpu_said(k->gpu, launch(stream, work, &args), names[work->what]);
    status = ring_of(k);
    for (size_t at = 0; at < n_rows && status == TA_OK; at += PIECE) {
        args.n_rows = n_rows - at < PIECE ? n_rows - at : PIECE;
        status = fill(k, stream, rows + at, args.n_rows, &args.rows);
        if (status == TA_OK) status = ta_gpu_said(k->gpu, launch(stream, work, &args), names[work->what]);
        if (status != TA_OK) break;
        status = ta_gpu_said(k->gpu, cudaEventRecord(k->rows->read[k->rows->next], stream), names[work->what]);
        k->rows->next = (k->rows->next + 1) % PIECES;
    }
    return status;
}

ta_status ta_cuda_rows_sum(struct ta_kernels *k, const struct ta_table *table, uint64_t seed, const uint32_t *rows,
                           size_t n_rows, float *w, const float *base, const float *const *registers,
                           unsigned n_registers) {
    const struct work work = {
        .what = SUM,
        .args = {.table = table, .seed = seed, .base = base, .registers = registers, .n_registers = n_registers},
        .w = w};
    return run(k, &work, rows, n_rows);
}

ta_status ta_cuda_rows_pick(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows, size_t n_rows,
                            float *w, const float *base, const float *const *registers, unsigned n_registers) {
    const struct work work = {
        .what = PICK,
        .args = {.table = table, .base = base, .registers = registers, .n_registers = n_registers},
        .w = w};
    return run(k, &work, rows, n_rows);
}

ta_status ta_cuda_rows_fold(struct ta_kernels *k, const struct ta_table *table, const uint32_t *rows, size_t n_rows,
                            const float *w, float *folded, float *delta) {
    /* What is read only stays so: the kernel takes it as such. */
    const struct work work = {
        .what = FOLD, .args = {.table = table}, .w = (float *)(uintptr_t)w, .folded = folded, .delta = delta};
    return run(k, &work, rows, n_rows);
}
