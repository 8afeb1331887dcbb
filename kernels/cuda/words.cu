// words: the words of a batch that stay, in order, and how many windows lie before each sentence.
#include "words.cuh"

enum { KEEP = 128, SCAN = 256 };

// A block a sentence.
static __global__ void __launch_bounds__(KEEP) keep_kernel(ta_words_model m, ta_words_batch b) {
    __shared__ uint32_t of_warp[KEEP / TA_WARP];
    const uint32_t lane = threadIdx.x % TA_WARP, warp = threadIdx.x / TA_WARP;
    for (uint32_t s = blockIdx.x; s < b.sentences; s += gridDim.x) {
        const int32_t *words = b.words + (size_t)s * b.length;
        const uint64_t start = ta_words_start(m.seed, b.number, s);
        uint32_t n = 0;
        for (uint32_t first = 0; first < b.length; first += KEEP) {
            const uint32_t i = first + threadIdx.x;
            const int32_t word = i < b.length ? words[i] : -1;
            const bool stays = word >= 0 && (uint32_t)(ta_words_number(start, i) >> 32) <= m.keep[word];
            const unsigned mask = __ballot_sync(ta_all_lanes, stays);
            if (lane == 0) of_warp[warp] = __popc(mask);
            __syncthreads();
            uint32_t at = n + __popc(mask & ((1U << lane) - 1));
            for (uint32_t i = 0; i < KEEP / TA_WARP; i++) {
                if (i < warp) at += of_warp[i];
                n += of_warp[i];
            }
            if (stays) b.kept[(size_t)s * b.length + at] = (uint32_t)word;
            __syncthreads();
        }
        if (threadIdx.x == 0) b.starts[s + 1] = n > 1 ? n : 0; // a word alone has no window
    }
}

// One block: counts become sums.
static __global__ void __launch_bounds__(SCAN) starts_kernel(ta_words_model m, ta_words_batch b) {
    __shared__ uint32_t sums[SCAN];
    const uint32_t each = (b.sentences + SCAN - 1) / SCAN, first = threadIdx.x * each;
    const uint32_t end = first + each < b.sentences ? first + each : b.sentences;
    uint32_t sum = 0;
    for (uint32_t s = first; s < end; s++) sum += b.starts[s + 1];
    sums[threadIdx.x] = sum;
    __syncthreads();
    sum = 0;
    for (uint32_t t = 0; t < threadIdx.x; t++) sum += sums[t];
    for (uint32_t s = first; s < end; s++) {
        sum += b.starts[s + 1];
        b.starts[s + 1] = sum;
    }
    if (threadIdx.x == 0) b.starts[0] = 0;
    if (threadIdx.x == SCAN - 1) m.result->centres = sum;
}

cudaError_t ta_words_keep(cudaStream_t stream, const ta_words_model *m, const ta_words_batch *batch) {
    if (batch->sentences == 0) return cudaSuccess;
    TA_LAUNCH(keep_kernel, ta_flat_grid(batch->sentences, 1), KEEP, 0, stream, *m, *batch);
    cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess) return error;
    TA_LAUNCH(starts_kernel, 1, SCAN, 0, stream, *m, *batch);
    return cudaGetLastError();
}
