// loss: what kernels/cpu/loss.c computes, a warp a record: loss, prediction and gradient in forms that do not
// overflow.
#include "flat.cuh"

static __device__ __forceinline__ float not_a_number() { return __int_as_float(0x7fc00000); }

struct record {
    size_t at; // of its first output
    uint32_t lane;
};

// loss = log(sum(exp(z))) - z[y]; gradient = softmax(z) - onehot(y).
template <class T> static __device__ void cross_entropy(const ta_flat_loss &a, uint32_t r, record s) {
    const T *z = (const T *)a.z + s.at;
    const int32_t y = a.classes != NULL ? a.classes[r] : -1;
    float most = -INFINITY, sum = 0, mine = 0;
    for (uint32_t j = s.lane; j < a.outputs; j += TA_WARP) most = fmaxf(most, ta_get(z[j]));
    most = ta_warp_max(most); // a NaN is left out here, and shows in the sum
    for (uint32_t j = s.lane; j < a.outputs; j += TA_WARP) {
        float x = ta_get(z[j]) - most;
        sum += expf(x);
        if ((int32_t)j == y) mine = x;
    }
    sum = ta_warp_sum(sum);
    mine = ta_warp_sum(mine);
    const bool given = y >= 0;
    if (a.losses != NULL && a.classes != NULL && s.lane == 0) a.losses[r] = given ? logf(sum) - mine : not_a_number();
    if (a.predictions == NULL && a.grad == NULL) return;
    const float share = a.grad != NULL ? *a.share : 0;
    T *grad = a.grad != NULL ? (T *)a.grad + s.at : NULL;
    for (uint32_t j = s.lane; j < a.outputs; j += TA_WARP) {
        float p = expf(ta_get(z[j]) - most) / sum;
        if (a.predictions != NULL) a.predictions[s.at + j] = p;
        if (grad != NULL) grad[j] = ta_put<T>(given ? (p - ((int32_t)j == y ? 1.0F : 0.0F)) * share : 0);
    }
}

// One output of the others: its prediction, its share of the loss, the gradient by z.
struct part {
    float prediction, loss, slope;
};

// max(z, 0) - z y + log(1 + exp(-|z|)); slope = sigmoid(z) - y.
static __device__ __forceinline__ part binary(float z, float y) {
    float tail = expf(-fabsf(z)), p = z >= 0 ? 1 / (1 + tail) : tail / (1 + tail);
    part of = {p, (z > 0 ? z : 0) - z * y + log1pf(tail), p - y};
    return of;
}

// (z - y)^2.
static __device__ __forceinline__ part squared(float z, float y) {
    part of = {z, (z - y) * (z - y), 2 * (z - y)};
    return of;
}

template <class T> static __device__ void targets(const ta_flat_loss &a, uint32_t r, record s) {
    const T *z = (const T *)a.z + s.at;
    const float *y = a.targets != NULL ? a.targets + s.at : NULL;
    const bool entropy = a.kind == TA_LOSS_BINARY_CROSS_ENTROPY;
    bool given = true;
    for (uint32_t j = s.lane; y != NULL && j < a.outputs; j += TA_WARP) given = given && y[j] == y[j];
    given = __all_sync(ta_all_lanes, given) != 0;
    const float share = a.grad != NULL && y != NULL ? *a.share / (float)a.outputs : 0;
    float loss = 0;
    for (uint32_t j = s.lane; j < a.outputs; j += TA_WARP) {
        float want = y != NULL ? y[j] : 0, x = ta_get(z[j]);
        part p = entropy ? binary(x, want) : squared(x, want);
        loss += p.loss;
        if (a.predictions != NULL) a.predictions[s.at + j] = p.prediction;
        if (a.grad != NULL && y != NULL) ((T *)a.grad)[s.at + j] = ta_put<T>(given ? p.slope * share : 0);
    }
    loss = ta_warp_sum(loss);
    if (a.losses != NULL && y != NULL && s.lane == 0) a.losses[r] = given ? loss / (float)a.outputs : not_a_number();
}

template <class T> static __global__ void __launch_bounds__(TA_FLAT_BLOCK) loss_kernel(ta_flat_loss a) {
    const uint32_t warps = gridDim.x * (blockDim.x / TA_WARP);
    for (uint32_t r = (blockIdx.x * blockDim.x + threadIdx.x) / TA_WARP; r < a.records; r += warps) {
        record s = {(size_t)r * a.outputs, threadIdx.x % TA_WARP};
        if (a.kind == TA_LOSS_CROSS_ENTROPY)
            cross_entropy<T>(a, r, s);
        else
            targets<T>(a, r, s);
    }
}

cudaError_t ta_flat_loss_run(cudaStream_t stream, const ta_flat_loss *args) {
    if (args->records == 0 || args->outputs == 0) return cudaSuccess;
    if (args->predictions == NULL && args->losses == NULL && args->grad == NULL) return cudaSuccess;
    unsigned grid = ta_flat_grid((size_t)args->records * TA_WARP, TA_FLAT_BLOCK);
    auto kernel = args->type == TA_FLAT_BF16 ? loss_kernel<ta_bf16> : loss_kernel<float>;
    TA_LAUNCH(kernel, grid, TA_FLAT_BLOCK, 0, stream, *args);
    return cudaGetLastError();
}

// --- dropout ---

// An element survives when its number is at or above rate * 2^32; a block of the generator is four elements.
template <class T, int L> static __global__ void __launch_bounds__(TA_FLAT_BLOCK)
    dropout_kernel(ta_flat_dropout a, uint32_t least, float scale) {
    const uint64_t blocks = (a.n + 3) / 4, stream = 0x64726f7000000000ULL + a.layer, first = *a.step * blocks;
    const T *in = (const T *)a.in;
    T *out = (T *)a.out;
    TA_GRID_FOR(i, blocks) {
        uint32_t number[4];
        ta_philox(a.seed, stream, first + i, number);
        const size_t at = 4 * i;
        if (L == 4 && at + 4 <= a.n) {
            ta_pack<T, 4> x = ta_load<4>(in + at);
            for (int e = 0; e < 4; e++) x.e[e] = ta_put<T>(number[e] >= least ? ta_get(x.e[e]) * scale : 0);
            ta_store<4>(out + at, x);
        } else {
            for (int e = 0; e < 4 && at + e < a.n; e++)
                out[at + e] = ta_put<T>(number[e] >= least ? ta_get(in[at + e]) * scale : 0);
        }
    }
}

cudaError_t ta_flat_dropout_run(cudaStream_t stream, const ta_flat_dropout *a) {
    if (a->n == 0) return cudaSuccess;
    uint32_t least = (uint32_t)((double)a->rate * 4294967296.0);
    float scale = 1 / (1 - a->rate);
    size_t pack = 4 * ta_flat_bytes(a->type);
    bool packs = ta_aligned(a->in, pack) && ta_aligned(a->out, pack);
    auto kernel = a->type == TA_FLAT_BF16 ? (packs ? dropout_kernel<ta_bf16, 4> : dropout_kernel<ta_bf16, 1>)
                                          : (packs ? dropout_kernel<float, 4> : dropout_kernel<float, 1>);
    TA_LAUNCH(kernel, ta_flat_grid((a->n + 3) / 4, TA_FLAT_BLOCK), TA_FLAT_BLOCK, 0, stream, *a, least, scale);
    return cudaGetLastError();
}
