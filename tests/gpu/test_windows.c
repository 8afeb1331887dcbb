/* windows: processes whose weights and windows lie on a GPU: the live exchange, by CUDA IPC and through the host, one
 * of them killed or not; on a make-believe device and on a real one. All that are left hold the same bits, which are those
 * of all updates that were made.
 */
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "clock.h"
#include "cuda.h"
#include "exchange.h"
#include "expect.h"

enum { MOST = 4, PARAMS = 70001, STEPS = 40, FAILED = 3 };

struct mode {
    unsigned n;
    char gpu_direct[8];
    const char *topology;
    bool kills; /* the last one */
};

/* What parent and children share. */
struct board {
    struct ta_key key[MOST][MOST]; /* [of][for] */
    atomic_uint open, connected, made, left;
    float w[MOST][PARAMS], delta[MOST][PARAMS];
    char way[MOST][256], why[MOST][256];
};

struct child {
    unsigned rank;
    const struct mode *mode;
    struct board *board;
    struct ta_gpu *gpu;
    struct ta_kernels *kernels;
    const struct ta_transport_ops *ops;
    struct ta_transport *t;
    const struct ta_exchange_ops *exchange;
    struct ta_exchange *x;
    struct ta_model model;
    struct ta_transport_spec transport;
    struct ta_exchange_spec spec;
    float *grad, gradient[PARAMS];
};

/* Plain descent: whole numbers, so that sums are exact in any order. */
static ta_status update(void *owner, const float *grad, const float *w, float scale, float *delta) {
    struct child *c = owner;
    const struct ta_update how = {.kind = TA_SGD, .step = 1, .rate = -1, .scale = scale, .grad_scale = 1};
    return ta_kernels_cuda.update(c->kernels, &how, PARAMS, grad, w, NULL, NULL, delta);
}

static ta_status open_ground(struct child *c) {
    c->transport = (struct ta_transport_spec){.gpu_direct = (char *)c->mode->gpu_direct};
    ta_status status = ta_gpu_cuda.open(0, &c->gpu);
    const struct ta_kernels_config kernels = {.gpu_ops = &ta_gpu_cuda, .gpu = c->gpu};
    if (status == TA_OK) status = ta_kernels_cuda.open(&kernels, &c->kernels);
    const struct ta_transport_config config = {.rank = c->rank, .n_ranks = c->mode->n, .run_id = (uint64_t)getppid(),
                                               .spec = &c->transport, .gpu_ops = &ta_gpu_cuda, .gpu = c->gpu};
    if (status == TA_OK) status = ta_transport_open_gpu(&ta_transport_shm, &config, &c->ops, &c->t);
    if (status == TA_OK)
        status = ta_kernels_cuda.alloc(c->kernels, sizeof c->gradient, "a gradient", (void **)&c->grad);
    return status;
}

static ta_status open_exchange(struct child *c) {
    c->model = (struct ta_model){.n_params = PARAMS, .n_segments = 1, .segments = {{TA_SEGMENT_SUM, 0, PARAMS}}};
    c->spec = (struct ta_exchange_spec){.topology = (char *)c->mode->topology, .dead_after_s = 30};
    const struct ta_exchange_config config = {
        .spec = &c->spec, .updater = {update, c}, .model = &c->model, .kernel_ops = &ta_kernels_cuda,
        .kernels = c->kernels, .gpu_ops = &ta_gpu_cuda, .gpu = c->gpu, .transport_ops = c->ops, .transport = c->t,
        .rank = c->rank, .n_ranks = c->mode->n, .epoch = 1};
    ta_status status = ta_exchange_find(&c->spec, &c->exchange);
    if (status == TA_OK) status = c->exchange->open(&config, NULL, &c->x);
    c->ops->describe(c->t, c->board->way[c->rank], sizeof c->board->way[0]);
    return status;
}

static bool meets(const struct child *c, unsigned peer) {
    return peer != c->rank && (c->exchange->meets == NULL || c->exchange->meets(c->x, peer));
}

static void wait_for(const atomic_uint *count, unsigned n) {
    while (atomic_load(count) < n) sched_yield();
}

static ta_status meet(struct child *c) {
    struct board *b = c->board;
    ta_status status = TA_OK;
    for (unsigned p = 0; p < c->mode->n && status == TA_OK; p++)
        if (meets(c, p)) status = c->ops->key_make(c->t, p, &b->key[c->rank][p]);
    atomic_fetch_add(&b->open, 1);
    wait_for(&b->open, c->mode->n);
    for (unsigned p = 0; p < c->mode->n && status == TA_OK; p++) {
        if (!meets(c, p)) continue;
        status = c->ops->connect(c->t, p, &b->key[p][c->rank]);
        if (status == TA_OK) c->exchange->peer_joined(c->x, p, ta_clock_now_ns());
    }
    atomic_fetch_add(&b->connected, 1);
    wait_for(&b->connected, c->mode->n);
    return status;
}

/* One that is to be killed goes on until it is; `delta` has what it makes first. */
static ta_status train(struct child *c) {
    bool endless = c->mode->kills && c->rank == c->mode->n - 1;
    ta_status status = TA_OK;
    for (unsigned step = 1; status == TA_OK && (endless || step <= STEPS); step++) {
        for (unsigned i = 0; i < PARAMS; i++) {
            c->gradient[i] = (float)((i + step) % 3 + c->rank % 2);
            c->board->delta[c->rank][i] += c->gradient[i];
        }
        status = ta_kernels_cuda.copy_in(c->kernels, c->grad, c->gradient, sizeof c->gradient);
        if (status == TA_OK) status = c->exchange->step(c->x, c->grad, 1, ta_clock_now_ns());
        if (status == TA_OK) status = c->exchange->poll(c->x, ta_clock_now_ns());
        if (step == STEPS) atomic_fetch_add(&c->board->made, 1);
    }
    return status;
}

static ta_status until(struct child *c, ta_status (*call)(struct ta_exchange *, uint32_t, int64_t)) {
    ta_status status = TA_AGAIN;
    while (status == TA_AGAIN) {
        status = c->exchange->poll(c->x, ta_clock_now_ns());
        if (status == TA_OK) status = call(c->x, TA_ROUND_FINAL, ta_clock_now_ns());
        sched_yield();
    }
    return status;
}

static int live(struct child *c) {
    struct board *b = c->board;
    ta_status status = open_ground(c);
    if (status == TA_OK) status = open_exchange(c);
    if (status == TA_OK) status = meet(c);
    if (status == TA_OK) status = train(c);
    if (status == TA_OK) status = until(c, c->exchange->settle);
    if (status == TA_OK) status = ta_kernels_cuda.copy_out(c->kernels, b->w[c->rank], c->x->w, sizeof b->w[0]);
    if (status == TA_OK) status = until(c, c->exchange->resume);
    if (status != TA_OK) {
        snprintf(b->why[c->rank], sizeof b->why[0], "%s", ta_why());
        return FAILED;
    }
    c->exchange->leave(c->x, ta_clock_now_ns());
    c->exchange->close(c->x);
    /* Who closes first leaves its memory to those who still copy there. */
    ta_kernels_cuda.free(c->kernels, c->grad);
    c->ops->close(c->t);
    ta_kernels_cuda.close(c->kernels);
    ta_gpu_cuda.close(c->gpu);
    return 0;
}

static void check(const struct board *b, const struct mode *m) {
    unsigned here = m->kills ? m->n - 1 : m->n;
    for (unsigned r = 0; r < here; r++) {
        assert_memory_equal(b->w[r], b->w[0], sizeof b->w[0]);
        for (unsigned i = 0; i < PARAMS; i++) {
            float sum = 0, gone = m->kills ? b->delta[here][i] : 0;
            for (unsigned p = 0; p < here; p++) sum += b->delta[p][i];
            /* Of one that was killed: a state that it went through. */
            if (b->w[r][i] < sum || b->w[r][i] > sum + gone)
                fail_msg("rank %u has %g at %u, which should be %g to %g", r, (double)b->w[r][i], i, (double)sum,
                         (double)(sum + gone));
        }
    }
}

static void lives(void **state) {
    const struct mode *m = *state;
    pid_t pids[MOST];
    struct board *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(b, MAP_FAILED);
    for (unsigned r = 0; r < m->n; r++) {
        pids[r] = fork(); /* before any of them opens the GPU */
        assert_true(pids[r] >= 0);
        if (pids[r] > 0) continue;
        static struct child c;
        c = (struct child){.rank = r, .mode = m, .board = b};
        _exit(live(&c));
    }
    int how = 0;
    if (m->kills) {
        int64_t end_ns = ta_clock_now_ns() + 60 * TA_NS_PER_S;
        while (atomic_load(&b->made) < 1 && ta_clock_now_ns() < end_ns) sched_yield();
        kill(pids[m->n - 1], SIGKILL);
    }
    for (unsigned r = 0; r < m->n; r++) {
        assert_int_equal(waitpid(pids[r], &how, 0), pids[r]);
        if (m->kills && r == m->n - 1) assert_true(WIFSIGNALED(how));
        else if (!WIFEXITED(how) || WEXITSTATUS(how) != 0) fail_msg("rank %u: %s (%x)", r, b->why[r], (unsigned)how);
    }
    print_message("%s\n", b->way[0]);
    bool staged = strcmp(m->gpu_direct, "off") == 0;
    assert_non_null(strstr(b->way[0], staged ? "through host memory" : "by CUDA IPC"));
    check(b, m);
    munmap(b, sizeof *b);
}

int main(void) {
    static struct mode modes[] = {{3, "require", NULL, false}, {3, "off", NULL, false},
                                  {3, "require", NULL, true}, {3, "off", NULL, true},
                                  {4, "require", "tree", false}, {4, "off", "tree", false}};
    const struct CMUnitTest tests[] = {
        {"three, by CUDA IPC", lives, NULL, NULL, &modes[0]},
        {"three, through the host", lives, NULL, NULL, &modes[1]},
        {"three, by CUDA IPC, one killed", lives, NULL, NULL, &modes[2]},
        {"three, through the host, one killed", lives, NULL, NULL, &modes[3]},
        {"a tree of four, by CUDA IPC", lives, NULL, NULL, &modes[4]},
        {"a tree of four, through the host", lives, NULL, NULL, &modes[5]},
    };
    return cmocka_run_group_tests_name("windows of GPUs", tests, NULL, NULL);
}
