// words_train: the arithmetic of word models: windows, CBOW's means and explicit pairs, a block of threads each.
//
// A step is up to 16 contexts against up to 6 targets: rows are read from the second-level cache (where what this
// block and others have added is seen), dot products are a warp's, what follows from them a thread's by columns, and
// rows are changed by atomic additions, so that nothing is lost where blocks meet in a row. Which of two sums comes
// first is not fixed: results are the same to rounding, and to how old the rows are that a block has read.
#include "words.cuh"

enum { THREADS = 128, WARPS = THREADS / TA_WARP, TILE = 256, IN = TA_WORDS_IN, OUT = TA_WORDS_OUT };

struct step {
    uint32_t n_in, n_out;
    const uint32_t *in, *out; // rows
    const float *weight;      // [n_out]
    bool sampled;
};

// A block's place of work.
struct bench {
    float *x; // contexts [IN][tile], or one vector of the whole width
    float *y; // targets [OUT][tile]
    uint32_t width, tile;
    float *score, *g, *label; // [IN * OUT], [IN * OUT], [OUT]
};

struct tally {
    double loss;
    unsigned long long loss_pairs, pairs;
};

static __device__ __forceinline__ float *row_at(float *w, const ta_table &t, uint32_t row) {
    return w + t.offset + (size_t)row * t.stride;
}

static __device__ __forceinline__ void mark(uint32_t *changed, uint32_t row) {
    const uint32_t bit = 1U << row % 32;
    if (changed != NULL && (__ldcg(changed + row / 32) & bit) == 0) atomicOr(changed + row / 32, bit);
}

// Columns [first, first + cols) of n rows, several rows on their way at once.
static __device__ __forceinline__ void load_rows(const ta_words_model &m, const ta_table &t, uint32_t n,
                                                 const uint32_t *rows, uint32_t first, uint32_t cols, uint32_t tile,
                                                 float *to) {
    for (uint32_t c = threadIdx.x; c < cols; c += THREADS) {
        for (uint32_t r = 0; r < n; r += OUT) {
            float x[OUT];
            TA_UNROLL
            for (uint32_t k = 0; k < OUT; k++)
                if (r + k < n) x[k] = __ldcg(row_at(m.w, t, rows[r + k]) + first + c);
            TA_UNROLL
            for (uint32_t k = 0; k < OUT; k++)
                if (r + k < n) to[(r + k) * tile + c] = x[k];
        }
    }
}

template <bool VECTOR> static __device__ __forceinline__ void load(const ta_words_model &m, const step &s,
                                                                   const bench &b, uint32_t first, uint32_t cols) {
    if (!VECTOR) load_rows(m, m.in, s.n_in, s.in, first, cols, b.tile, b.x);
    load_rows(m, m.out, s.n_out, s.out, first, cols, b.tile, b.y);
}

// Adds the products of these columns to the scores: a warp takes a context with all targets.
static __device__ __forceinline__ void dots(const step &s, const bench &b, uint32_t first, uint32_t cols) {
    const uint32_t lane = threadIdx.x % TA_WARP;
    for (uint32_t i = threadIdx.x / TA_WARP; i < s.n_in; i += WARPS) {
        float sum[OUT] = {};
        for (uint32_t c = lane; c < cols; c += TA_WARP) {
            const float x = b.x[i * b.tile + c];
            TA_UNROLL
            for (uint32_t o = 0; o < OUT; o++)
                if (o < s.n_out) sum[o] += x * b.y[o * b.tile + c];
        }
        TA_UNROLL
        for (uint32_t o = 0; o < OUT; o++) {
            if (o >= s.n_out) continue;
            const float dot = ta_warp_sum(sum[o]);
            if (lane == 0) b.score[i * OUT + o] = first == 0 ? dot : b.score[i * OUT + o] + dot;
        }
    }
}

// The same for one vector: a warp takes a target.
static __device__ __forceinline__ void dots_of_vector(const step &s, const bench &b, uint32_t first, uint32_t cols) {
    const uint32_t lane = threadIdx.x % TA_WARP;
    for (uint32_t o = threadIdx.x / TA_WARP; o < s.n_out; o += WARPS) {
        float sum = 0;
        for (uint32_t c = lane; c < cols; c += TA_WARP) sum += b.x[first + c] * b.y[o * b.tile + c];
        sum = ta_warp_sum(sum);
        if (lane == 0) b.score[o] = first == 0 ? sum : b.score[o] + sum;
    }
}

// A score is clamped where |in . out| > 30; not a number stays not a number.
static __device__ __forceinline__ void slopes(const step &s, const bench &b, float rate) {
    const uint32_t o = threadIdx.x % OUT;
    if (threadIdx.x >= s.n_in * OUT || o >= s.n_out) return;
    float f = b.score[threadIdx.x];
    f = f > 30 ? 30 : f < -30 ? -30 : f;
    f = 1 / (1 + expf(-f));
    b.score[threadIdx.x] = f;
    b.g[threadIdx.x] = (b.label[o] - f) * (s.weight[o] * rate);
}

static __device__ __forceinline__ void count(const step &s, const bench &b, tally &t) {
    unsigned long long pairs = 0;
    for (uint32_t o = 0; o < s.n_out; o++) pairs += (unsigned long long)s.weight[o] * s.n_in;
    t.pairs += pairs;
    if (!s.sampled) return;
    t.loss_pairs += pairs;
    for (uint32_t i = 0; i < s.n_in; i++) {
        for (uint32_t o = 0; o < s.n_out; o++) {
            double p = b.score[i * OUT + o], label = b.label[o];
            p = p < 1e-8 ? 1e-8 : p > 1 - 1e-8 ? 1 - 1e-8 : p;
            t.loss -= s.weight[o] * (label * log(p) + (1 - label) * log(1 - p));
        }
    }
}

// All rows by what they were: a thread takes a column.
template <bool VECTOR> static __device__ __forceinline__ void change(const ta_words_model &m, const step &s,
                                                                     const bench &b, uint32_t first, uint32_t cols) {
    for (uint32_t c = threadIdx.x; c < cols; c += THREADS) {
        float y[OUT], sum[OUT] = {};
        TA_UNROLL
        for (uint32_t o = 0; o < OUT; o++) y[o] = o < s.n_out ? b.y[o * b.tile + c] : 0;
        for (uint32_t i = 0; i < s.n_in; i++) {
            float *from = VECTOR ? b.x + first + c : b.x + i * b.tile + c;
            const float x = *from;
            float by = 0;
            TA_UNROLL
            for (uint32_t o = 0; o < OUT; o++) {
                if (o >= s.n_out) continue;
                const float g = b.g[i * OUT + o];
                by += g * y[o];
                sum[o] += g * x;
            }
            if (VECTOR)
                *from = x + by;
            else
                atomicAdd(row_at(m.w, m.in, s.in[i]) + first + c, by);
        }
        TA_UNROLL
        for (uint32_t o = 0; o < OUT; o++)
            if (o < s.n_out) atomicAdd(row_at(m.w, m.out, s.out[o]) + first + c, sum[o]);
    }
}

// Begins and ends together: what the step reads may be written before and behind it.
template <bool VECTOR> static __device__ void run(const ta_words_model &m, const step &s, const bench &b, tally &t) {
    __syncthreads();
    for (uint32_t first = 0; first < b.width; first += b.tile) {
        const uint32_t cols = b.width - first < b.tile ? b.width - first : b.tile;
        load<VECTOR>(m, s, b, first, cols);
        __syncthreads();
        if (VECTOR)
            dots_of_vector(s, b, first, cols);
        else
            dots(s, b, first, cols);
        __syncthreads();
    }
    slopes(s, b, m.rate);
    if (!VECTOR && threadIdx.x < s.n_in) mark(m.changed_in, s.in[threadIdx.x]);
    if (threadIdx.x < s.n_out) mark(m.changed_out, s.out[threadIdx.x]);
    __syncthreads();
    if (threadIdx.x == 0) count(s, b, t);
    for (uint32_t first = 0; first < b.width; first += b.tile) {
        const uint32_t cols = b.width - first < b.tile ? b.width - first : b.tile;
        if (b.width > b.tile) { // the columns in shared memory are the last ones
            load<VECTOR>(m, s, b, first, cols);
            __syncthreads();
        }
        change<VECTOR>(m, s, b, first, cols);
        if (b.width > b.tile) __syncthreads();
    }
    __syncthreads();
}

static __device__ __forceinline__ void hand_in(const ta_words_model &m, const tally &t) {
    if (threadIdx.x != 0) return;
    atomicAdd(&m.result->pairs, t.pairs);
    atomicAdd(&m.result->loss_pairs, t.loss_pairs);
    atomicAdd(&m.result->loss_sum, t.loss);
}

// --- windows ---

struct window {
    uint32_t base, pos, first; // of `kept`: the sentence; in it: the centre, the first context
    uint32_t n_in, n_out;
};

// Where window g lies, how far it reaches, and its targets: different rows, the centre first, and how often each was
// drawn. The centre is no negative of its own.
static __device__ void prepare(const ta_words_model &m, const ta_words_batch &b, uint32_t g, window *v,
                               uint32_t *target, float *weight) {
    uint32_t low = 0, high = b.sentences - 1;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (g < b.starts[middle + 1])
            high = middle;
        else
            low = middle + 1;
    }
    const uint32_t pos = g - b.starts[low], n = b.starts[low + 1] - b.starts[low], base = low * b.length;
    const uint64_t x = ta_words_number(ta_words_start(m.seed, b.number, low), (uint64_t)b.length + pos);
    const uint32_t reach = 1 + (uint32_t)((x >> 32) * m.window >> 32);
    const uint32_t first = pos < reach ? 0 : pos - reach, end = n - pos <= reach ? n : pos + reach + 1;
    const uint64_t negatives = ta_words_start(m.seed, b.number, UINT64_MAX); // ta_draw_negatives
    uint32_t n_out = 1;
    target[0] = b.kept[base + pos];
    weight[0] = 1;
    for (uint32_t k = 0; k < m.negative; k++) {
        const uint32_t row = ta_words_row(m, ta_words_number(negatives, (uint64_t)g * m.negative + k));
        uint32_t at = 0;
        while (at < n_out && target[at] != row) at++;
        if (at == 0) continue;
        weight[at] = at < n_out ? weight[at] + 1 : 1;
        target[at] = row;
        if (at == n_out) n_out++;
    }
    *v = {base, pos, first, end - first - 1, n_out};
}

static __device__ __forceinline__ uint32_t context(const ta_words_batch &b, const window &v, uint32_t i) {
    const uint32_t at = v.first + i;
    return b.kept[v.base + at + (at >= v.pos ? 1 : 0)];
}

// All targets, six at a time.
template <bool VECTOR>
static __device__ __forceinline__ void all_targets(const ta_words_model &m, const window &v, step &s, const bench &b,
                                                   tally &t, const uint32_t *target, const float *weight) {
    for (uint32_t o = 0; o < v.n_out; o += OUT) {
        s.n_out = v.n_out - o < OUT ? v.n_out - o : (uint32_t)OUT;
        s.out = target + o;
        s.weight = weight + o;
        if (threadIdx.x < OUT) b.label[threadIdx.x] = o + threadIdx.x == 0;
        run<VECTOR>(m, s, b, t);
    }
}

// CBOW: the mean of the contexts is the vector; each context takes the whole change.
static __device__ void train_mean(const ta_words_model &m, const ta_words_batch &batch, const window &v, step &s,
                                  const bench &b, tally &t, const uint32_t *target, const float *weight) {
    float *was = b.x + b.width;
    const float share = 1 / (float)v.n_in;
    for (uint32_t c = threadIdx.x; c < b.width; c += THREADS) {
        float sum = 0;
        for (uint32_t i = 0; i < v.n_in; i++) sum += __ldcg(row_at(m.w, m.in, context(batch, v, i)) + c);
        b.x[c] = was[c] = sum * share;
    }
    for (uint32_t i = threadIdx.x; i < v.n_in; i += THREADS) mark(m.changed_in, context(batch, v, i));
    s.n_in = 1;
    all_targets<true>(m, v, s, b, t, target, weight);
    for (uint32_t c = threadIdx.x; c < b.width; c += THREADS) {
        const float by = b.x[c] - was[c];
        for (uint32_t i = 0; i < v.n_in; i++) atomicAdd(row_at(m.w, m.in, context(batch, v, i)) + c, by);
    }
    __syncthreads();
}

static __device__ __forceinline__ bench bench_of(const ta_words_model &m, float *dynamic, bool vector, float *fixed) {
    const uint32_t width = m.in.width, tile = width < TILE ? width : (uint32_t)TILE;
    bench b = {dynamic,
               dynamic + (vector ? 2 * width : IN * tile),
               width,
               tile,
               fixed,
               fixed + IN * OUT,
               fixed + 2 * IN * OUT};
    return b;
}

enum { FIXED = 2 * IN * OUT + OUT };

static size_t shared_bytes(const ta_words_model &m, bool vector, uint32_t targets) {
    const size_t width = m.in.width, tile = width < TILE ? width : (size_t)TILE;
    return ((vector ? 2 * width : IN * tile) + OUT * tile) * sizeof(float) +
           (size_t)targets * (sizeof(uint32_t) + sizeof(float));
}

template <bool CBOW> static __global__ void __launch_bounds__(THREADS)
    train_kernel(ta_words_model m, ta_words_batch batch) {
    __shared__ float fixed[FIXED];
    __shared__ window windows[TA_WORDS_CHUNK];
    __shared__ uint32_t rows[IN];
    TA_DYNAMIC_SHARED(float, dynamic);
    const bench b = bench_of(m, dynamic, CBOW, fixed);
    const uint32_t room = 1 + m.negative, total = batch.starts[batch.sentences];
    uint32_t *target = (uint32_t *)(b.y + OUT * b.tile);
    float *weight = (float *)(target + TA_WORDS_CHUNK * room);
    tally t = {};
    for (uint32_t chunk = blockIdx.x * TA_WORDS_CHUNK; chunk < total; chunk += gridDim.x * TA_WORDS_CHUNK) {
        const uint32_t n = total - chunk < TA_WORDS_CHUNK ? total - chunk : (uint32_t)TA_WORDS_CHUNK, i = threadIdx.x;
        if (i < n) prepare(m, batch, chunk + i, windows + i, target + i * room, weight + i * room);
        __syncthreads();
        for (uint32_t k = 0; k < n; k++) {
            const window v = windows[k];
            step s = {};
            s.in = rows;
            s.sampled = (chunk + k) % 64 == 0;
            if (CBOW) train_mean(m, batch, v, s, b, t, target + k * room, weight + k * room);
            for (uint32_t first = 0; !CBOW && first < v.n_in; first += IN) {
                s.n_in = v.n_in - first < IN ? v.n_in - first : (uint32_t)IN;
                if (i < s.n_in) rows[i] = context(batch, v, first + i);
                all_targets<false>(m, v, s, b, t, target + k * room, weight + k * room);
            }
        }
        __syncthreads();
    }
    hand_in(m, t);
}

cudaError_t ta_words_train(cudaStream_t stream, const ta_words_model *m, const ta_words_batch *batch,
                           uint32_t blocks) {
    const size_t chunks = ((size_t)batch->sentences * batch->length + TA_WORDS_CHUNK - 1) / TA_WORDS_CHUNK;
    if (chunks == 0) return cudaSuccess;
    const unsigned grid = chunks < blocks ? (unsigned)chunks : blocks;
    const size_t shared = shared_bytes(*m, m->cbow, TA_WORDS_CHUNK * (1 + m->negative));
    auto kernel = m->cbow ? train_kernel<true> : train_kernel<false>;
    TA_LAUNCH(kernel, grid, THREADS, shared, stream, *m, *batch);
    return cudaGetLastError();
}

// --- explicit pairs: a record a block ---

struct group {
    uint32_t n, next;
    uint32_t row[OUT];
    float weight[OUT];
};

// Contexts from `next` on, as far as they are different rows.
static __device__ void gather(const int32_t *words, const float *labels, uint32_t contexts, group *to, float *label) {
    uint32_t c = to->next, n = 0;
    for (; c < contexts; c++) {
        if (words[1 + c] < 0) continue;
        const uint32_t row = (uint32_t)words[1 + c];
        bool seen = n == OUT;
        for (uint32_t o = 0; o < n; o++) seen = seen || to->row[o] == row;
        if (seen) break;
        to->row[n] = row;
        to->weight[n] = 1;
        label[n++] = labels[c];
    }
    to->n = n;
    to->next = c;
}

static __global__ void __launch_bounds__(THREADS) pairs_kernel(ta_words_model m, ta_words_pairs p) {
    __shared__ float fixed[FIXED];
    __shared__ group at;
    TA_DYNAMIC_SHARED(float, dynamic);
    const bench b = bench_of(m, dynamic, true, fixed);
    float *was = b.x + b.width;
    tally t = {};
    unsigned long long centres = 0;
    for (uint32_t r = blockIdx.x; r < p.records; r += gridDim.x) {
        const int32_t *words = p.words + (size_t)r * (1 + p.contexts);
        if (words[0] < 0) continue;
        float *row = row_at(m.w, m.in, (uint32_t)words[0]);
        for (uint32_t c = threadIdx.x; c < b.width; c += THREADS) b.x[c] = was[c] = __ldcg(row + c);
        if (threadIdx.x == 0) {
            mark(m.changed_in, (uint32_t)words[0]);
            at.next = 0;
        }
        while (true) {
            if (threadIdx.x == 0) gather(words, p.labels + (size_t)r * p.contexts, p.contexts, &at, b.label);
            __syncthreads();
            const step s = {1, at.n, NULL, at.row, at.weight, true};
            if (s.n_out == 0) break;
            run<true>(m, s, b, t);
        }
        for (uint32_t c = threadIdx.x; c < b.width; c += THREADS) atomicAdd(row + c, b.x[c] - was[c]);
        __syncthreads();
        centres++;
    }
    hand_in(m, t);
    if (threadIdx.x == 0) atomicAdd(&m.result->centres, centres);
}

cudaError_t ta_words_pairs_run(cudaStream_t stream, const ta_words_model *m, const ta_words_pairs *pairs,
                               uint32_t blocks) {
    if (pairs->records == 0) return cudaSuccess;
    const unsigned grid = pairs->records < blocks ? pairs->records : blocks;
    TA_LAUNCH(pairs_kernel, grid, THREADS, shared_bytes(*m, true, 0), stream, *m, *pairs);
    return cudaGetLastError();
}
