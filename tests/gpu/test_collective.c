/* test_collective: sums and broadcasts over GPUs by NCCL: what comes out, who is missing, who goes. Members are driven
 * in turns by one thread, as no call may wait for a peer. */
#include "collective.h"

#include <math.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "expect.h"
#include "gpu_cuda.h"

#ifndef TA_REAL_GPU
#include "fake_gpu.h"
#endif

enum { MOST = 4, FLOATS = 9001, POLLS = 2000000 };

static const struct ta_gpu_ops *const gpus = &ta_gpu_cuda;
static const struct ta_collective_ops *const ops = &ta_collective_nccl;

struct member {
    struct ta_gpu *gpu;
    struct ta_collective *c;
    float *host, *in, *out; /* [FLOATS] */
};

static unsigned members(void) {
#ifdef TA_REAL_GPU
    unsigned n = 0;
    assert_ok(gpus->count(&n));
    return n < MOST ? n : MOST;
#else
    return MOST;
#endif
}

static void reset(const char *options) {
#ifndef TA_REAL_GPU
    ta_fake_gpu_reset(options);
#else
    (void)options;
#endif
}

static void enter(struct member *m, unsigned device, unsigned rank, unsigned n, const struct ta_collective_id *id) {
    if (m->gpu == NULL) {
        void *host, *in, *out;
        assert_ok(gpus->open(device, &m->gpu));
        assert_ok(gpus->host_alloc(m->gpu, FLOATS * sizeof *m->host, "a test", &host));
        assert_ok(gpus->alloc(m->gpu, FLOATS * sizeof *m->host, "a test", &in));
        assert_ok(gpus->alloc(m->gpu, FLOATS * sizeof *m->host, "a test", &out));
        m->host = host, m->in = in, m->out = out;
    }
    struct ta_collective_config config = {.gpu_ops = gpus, .gpu = m->gpu, .rank = rank, .n = n, .id = *id};
    assert_ok(ops->open(&config, &m->c));
}

static void leave(struct member *m) {
    ops->close(m->c);
    if (m->gpu == NULL) return;
    gpus->free(m->gpu, m->in);
    gpus->free(m->gpu, m->out);
    gpus->host_free(m->gpu, m->host);
    gpus->close(m->gpu);
    *m = (struct member){0};
}

static void all_ok(struct member *m, unsigned n) {
    unsigned left = n;
    for (unsigned turn = 0; left > 0; turn++) {
        left = 0;
        for (unsigned r = 0; r < n; r++) {
            ta_status status = ops->state(m[r].c);
            if (status != TA_OK && status != TA_AGAIN) fail_msg("member %u: %s", r, ta_why());
            left += status == TA_AGAIN;
        }
        assert_in_range(turn, 0, POLLS);
    }
}

static void together(struct member *m, unsigned n) {
    struct ta_collective_id id;
    assert_ok(ops->id(&id));
    for (unsigned r = 0; r < n; r++) enter(&m[r], r, r, n, &id);
    all_ok(m, n);
}

static float value(unsigned rank, size_t i, unsigned turn) {
    return (float)sin((double)(i * 37 + rank * 1009 + turn * 31)) * (float)(1 + i % 5);
}

static void give(struct member *m, unsigned rank, unsigned turn) {
    for (size_t i = 0; i < FLOATS; i++) m->host[i] = value(rank, i, turn);
    assert_ok(gpus->copy(m->gpu, TA_GPU_COMPUTE, m->in, m->host, FLOATS * sizeof *m->host));
    assert_ok(gpus->copy(m->gpu, TA_GPU_APPLY, m->out, m->host, sizeof *m->host));
}

static void take(struct member *m, const float *from) {
    uint64_t ticket;
    memset(m->host, 0, FLOATS * sizeof *m->host);
    assert_ok(gpus->copy(m->gpu, TA_GPU_COPY, m->host, from, FLOATS * sizeof *m->host));
    assert_ok(gpus->mark(m->gpu, TA_GPU_COPY, &ticket));
    assert_ok(gpus->wait(m->gpu, TA_GPU_COPY, ticket));
}

static void check_sum(const struct member *m, unsigned n, size_t from, size_t to, unsigned turn, float scale) {
    for (size_t i = from; i < to; i++) {
        double sum = 0, size = 0;
        for (unsigned r = 0; r < n; r++) {
            sum += (double)value(r, i, turn) * (double)scale;
            size += fabs((double)value(r, i, turn) * (double)scale);
        }
        if (fabs(sum - (double)m->host[i]) > size * 1e-6 + 1e-12)
            fail_msg("element %zu of %u members: %g, not %g", i, n, (double)m->host[i], sum);
    }
}

static void sums_over(const char *options, unsigned n) {
    static float first[FLOATS];
    struct member m[MOST] = {{0}};
    reset(options);
    together(m, n);
    for (unsigned turn = 0; turn < 3; turn++) {
        for (unsigned r = 0; r < n; r++) {
            give(&m[r], r, turn);
            float *in = m[r].in, *out = turn == 1 ? m[r].in : m[r].out;
            const struct ta_collective_piece pieces[] = {
                {.in = in, .out = out, .floats = 4096, .scale = 1},
                {.in = in + 4096, .out = out + 4096, .floats = 0, .scale = 1},
                {.in = in + 4096, .out = out + 4096, .floats = 905, .scale = 1.0F / (float)n},
                {.in = in + 5001, .out = out + 5001, .floats = FLOATS - 5001, .scale = 0.5F}};
            assert_ok(ops->all_reduce(m[r].c, pieces, 4));
            assert_fails(TA_INVALID, "still under way", ops->all_reduce(m[r].c, pieces, 4));
        }
        all_ok(m, n);
        for (unsigned r = 0; r < n; r++) {
            take(&m[r], turn == 1 ? m[r].in : m[r].out);
            check_sum(&m[r], n, 0, 4096, turn, 1);
            check_sum(&m[r], n, 4096, 5001, turn, 1.0F / (float)n);
            check_sum(&m[r], n, 5001, FLOATS, turn, 0.5F);
            if (r == 0) memcpy(first, m[r].host, sizeof first);
            assert_memory_equal(first, m[r].host, sizeof first); /* to the bit */
        }
    }
    for (unsigned r = 0; r < n; r++) leave(&m[r]);
}

static void sums_are_everybodys(void **state) {
    (void)state;
    for (unsigned n = 1; n <= members(); n++) {
        sums_over("devices=4,order=lazy", n);
        sums_over("devices=4,order=random:5", n);
        sums_over("devices=4,order=eager", n);
    }
}

static void broadcasts_come_from_one(void **state) {
    (void)state;
    struct member m[MOST] = {{0}};
    unsigned n = members();
    reset("devices=4,order=random:9");
    together(m, n);
    for (unsigned from = 0; from < n; from++) {
        for (unsigned r = 0; r < n; r++) {
            give(&m[r], r, from);
            assert_fails(TA_INVALID, "place", ops->broadcast(m[r].c, m[r].in, FLOATS, n));
            assert_ok(ops->broadcast(m[r].c, m[r].in, FLOATS, from));
        }
        all_ok(m, n);
        for (unsigned r = 0; r < n; r++) {
            take(&m[r], m[r].in);
            for (size_t i = 0; i < FLOATS; i++) assert_true(m[r].host[i] == value(from, i, from));
        }
    }
    for (unsigned r = 0; r < n; r++) leave(&m[r]);
}

static void a_place_that_is_none(void **state) {
    (void)state;
    struct member m = {0};
    struct ta_collective_id id;
    struct ta_collective *c = (struct ta_collective *)&m;
    reset(NULL);
    assert_ok(ops->id(&id));
    struct ta_collective_config config = {.gpu_ops = gpus, .rank = 2, .n = 2, .id = id};
    assert_fails(TA_INVALID, "place 2 of 2", ops->open(&config, &c));
    assert_null(c);
    ops->close(NULL);
    assert_in_range(ops->version(), 22000, 99999);
}

#ifndef TA_REAL_GPU
/* One never comes: nobody waits for it longer than it likes, and it may still come to those who begin anew. */
static void who_never_comes_is_given_up(void **state) {
    (void)state;
    struct member m[3] = {{0}};
    struct ta_collective_id id;
    reset("devices=4");
    assert_ok(ops->id(&id));
    for (unsigned r = 0; r < 2; r++) enter(&m[r], r, r, 3, &id);
    for (int i = 0; i < 100; i++)
        for (unsigned r = 0; r < 2; r++) assert_int_equal(TA_AGAIN, ops->state(m[r].c));
    const struct ta_collective_piece piece = {.in = m[0].in, .out = m[0].out, .floats = 4, .scale = 1};
    assert_fails(TA_INVALID, "under way", ops->all_reduce(m[0].c, &piece, 1));
    for (unsigned r = 0; r < 2; r++) ops->abort(m[r].c);
    together(m, 3);
    for (unsigned r = 0; r < 3; r++) leave(&m[r]);
}

/* A member gives up while the others are in a reduction; they hear of it, give up too, and go on without it. */
static void who_goes_is_gone_without(void **state) {
    (void)state;
    struct member m[4] = {{0}};
    reset("devices=4,order=random:21");
    together(m, 4);
    for (unsigned r = 0; r < 3; r++) {
        give(&m[r], r, 1);
        const struct ta_collective_piece piece = {.in = m[r].in, .out = m[r].out, .floats = FLOATS, .scale = 1};
        assert_ok(ops->all_reduce(m[r].c, &piece, 1));
        for (int i = 0; i < 20; i++) assert_int_equal(TA_AGAIN, ops->state(m[r].c));
    }
    ops->abort(m[3].c);
    m[3].c = NULL;
    for (unsigned r = 0; r < 3; r++) {
        ta_status status = TA_AGAIN;
        for (int i = 0; i < POLLS && status == TA_AGAIN; i++) status = ops->state(m[r].c);
        assert_int_equal(status, TA_PEER);
        assert_non_null(strstr(ta_why(), "4 GPUs"));
        assert_int_equal(TA_PEER, ops->state(m[r].c)); /* it stays so */
        ops->abort(m[r].c);
        assert_ok(gpus->drain(m[r].gpu)); /* what hung has ended */
    }
    together(m, 3);
    for (unsigned r = 0; r < 3; r++) {
        give(&m[r], r, 1); /* what was given up is still there to be given again */
        const struct ta_collective_piece piece = {.in = m[r].in, .out = m[r].out, .floats = FLOATS, .scale = 1};
        assert_ok(ops->all_reduce(m[r].c, &piece, 1));
    }
    all_ok(m, 3);
    for (unsigned r = 0; r < 3; r++) {
        take(&m[r], m[r].out);
        check_sum(&m[r], 3, 0, FLOATS, 1, 1);
    }
    for (unsigned r = 0; r < 4; r++) leave(&m[r]);
}

static void two_on_one_gpu_are_refused(void **state) {
    (void)state;
    struct member m[2] = {{0}};
    struct ta_collective_id id;
    reset("devices=1");
    assert_ok(ops->id(&id));
    for (unsigned r = 0; r < 2; r++) enter(&m[r], 0, r, 2, &id);
    for (unsigned r = 0; r < 2; r++) {
        ta_status status = ops->state(m[r].c);
        assert_int_equal(status, TA_DEVICE);
        assert_non_null(strstr(ta_why(), "a GPU of its own"));
    }
    for (unsigned r = 0; r < 2; r++) leave(&m[r]);
}

/* In a process of its own: sums until member 2 is killed, then with those who are left. Who is through waits for the
 * other before it leaves. */
static void live(unsigned rank, const struct ta_collective_id ids[2], bool hangs, _Atomic int *through) {
    struct member m = {0};
    ta_status status = TA_OK;
    reset(hangs ? "devices=4,nccl=hang" : "devices=4");
    enter(&m, rank, rank, 3, &ids[0]);
    for (unsigned turn = 0; status == TA_OK; turn++) {
        status = TA_AGAIN;
        for (int i = 0; i < POLLS && status == TA_AGAIN; i++) status = ops->state(m.c);
        if (status != TA_OK) break;
        if (rank == 2 && turn == 3) raise(SIGKILL);
        give(&m, rank, turn);
        const struct ta_collective_piece piece = {.in = m.in, .out = m.out, .floats = FLOATS, .scale = 1};
        status = ops->all_reduce(m.c, &piece, 1);
        if (status != TA_OK) break;
        status = TA_AGAIN;
        /* One that hangs is not told: those above know, by the silence of its heart. */
        for (int i = 0; i < (hangs && turn == 3 ? 5000 : POLLS) && status == TA_AGAIN; i++) status = ops->state(m.c);
    }
    if (status != (hangs ? TA_AGAIN : TA_PEER)) _exit(10);
    ops->abort(m.c);
    enter(&m, rank, rank, 2, &ids[1]);
    all_ok(&m, 1);
    give(&m, rank, 77);
    const struct ta_collective_piece piece = {.in = m.in, .out = m.out, .floats = FLOATS, .scale = 1};
    assert_ok(ops->all_reduce(m.c, &piece, 1));
    all_ok(&m, 1);
    take(&m, m.out);
    check_sum(&m, 2, 0, FLOATS, 77, 1);
    ++*through;
    for (int i = 0; i < 20000 && *through < 2; i++) usleep(500);
    leave(&m);
    _exit(0);
}

static void a_process_is_killed(void **state) {
    (void)state;
    for (int hangs = 0; hangs < 2; hangs++) {
        struct ta_collective_id ids[2];
        pid_t child[3];
        _Atomic int *through = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(through, MAP_FAILED);
        for (int i = 0; i < 2; i++) assert_ok(ops->id(&ids[i]));
        for (unsigned r = 0; r < 3; r++) {
            child[r] = fork();
            assert_true(child[r] >= 0);
            if (child[r] == 0) live(r, ids, hangs != 0, through);
        }
        for (unsigned r = 0; r < 3; r++) {
            int how = 0;
            assert_int_equal(child[r], waitpid(child[r], &how, 0));
            if (r == 2) assert_true(WIFSIGNALED(how));
            else assert_int_equal(how, 0);
        }
        munmap((void *)through, 4096);
    }
}

static void a_lost_gpu_ends_it(void **state) {
    (void)state;
    struct member m[2] = {{0}};
    reset("devices=2,lose_after=6,lose_device=1");
    together(m, 2);
    ta_status status = TA_OK;
    for (unsigned turn = 0; turn < 20 && status == TA_OK; turn++) {
        for (unsigned r = 0; r < 2; r++) {
            const struct ta_collective_piece piece = {.in = m[r].in, .out = m[r].out, .floats = FLOATS, .scale = 1};
            ta_status one = ops->all_reduce(m[r].c, &piece, 1);
            if (one != TA_OK) status = one;
        }
        for (int i = 0; i < 500 && status == TA_OK; i++)
            for (unsigned r = 0; r < 2; r++) {
                ta_status one = ops->state(m[r].c);
                if (one != TA_OK && one != TA_AGAIN) status = one;
            }
    }
    assert_int_equal(status, TA_DEVICE);
    for (unsigned r = 0; r < 2; r++) leave(&m[r]);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
#ifndef TA_REAL_GPU
        cmocka_unit_test(a_process_is_killed), /* first: who has used a GPU must not fork */
        cmocka_unit_test(who_never_comes_is_given_up), cmocka_unit_test(who_goes_is_gone_without),
        cmocka_unit_test(two_on_one_gpu_are_refused),  cmocka_unit_test(a_lost_gpu_ends_it),
#endif
        cmocka_unit_test(sums_are_everybodys),
        cmocka_unit_test(broadcasts_come_from_one),
        cmocka_unit_test(a_place_that_is_none),
    };
#ifdef TA_REAL_GPU
    unsigned n = 0;
    if (gpus->count(&n) != TA_OK || n == 0) {
        printf("SKIPPED: no GPU here: %s\n", ta_why());
        return 77;
    }
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
