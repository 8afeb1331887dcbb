/* test_gpu: gpu.h as CUDA's runtime makes it: memory, streams, copies, tickets, handles, errors. */
#include "gpu_cuda.h"

#include "expect.h"

#ifndef TA_REAL_GPU
#include "fake_gpu.h"
#endif

static const struct ta_gpu_ops *const ops = &ta_gpu_cuda;

static struct ta_gpu *fresh(const char *options) {
    struct ta_gpu *gpu = NULL;
#ifndef TA_REAL_GPU
    ta_fake_gpu_reset(options);
#else
    (void)options;
#endif
    assert_ok(ops->open(0, &gpu));
    return gpu;
}

static void *host(struct ta_gpu *gpu, size_t bytes) {
    void *block;
    assert_ok(ops->host_alloc(gpu, bytes, "a test", &block));
    return block;
}

static void *far(struct ta_gpu *gpu, size_t bytes) {
    void *block;
    assert_ok(ops->alloc(gpu, bytes, "a test", &block));
    return block;
}

static void fill(uint32_t *words, size_t n, uint32_t seed) {
    for (size_t i = 0; i < n; i++) words[i] = seed = seed * 1664525u + 1013904223u;
}

static void a_gpu_says_what_it_is(void **state) {
    (void)state;
    struct ta_gpu *gpu = fresh(NULL);
    struct ta_gpu_info info;
    unsigned n = 0;
    bool can = false;
    assert_ok(ops->count(&n));
    assert_in_range(n, 1, 64);
    assert_ok(ops->describe(0, &info));
    assert_string_not_equal(info.name, "");
    assert_int_equal(strlen(info.pci), strlen("0000:00:00.0"));
    assert_int_equal(strspn(info.pci, "0123456789abcdef:."), strlen(info.pci));
    assert_in_range(info.bytes, 1 << 20, SIZE_MAX - 1);
    assert_in_range(info.free, 1, info.bytes);
    assert_int_equal(ops->number(gpu), 0);
    assert_false(ops->lost(gpu));
    assert_ok(ops->reaches(0, 0, &can));
    assert_true(can);
    assert_fails(TA_CONFIG, "there is no GPU", ops->describe(n, &info));
    ops->close(gpu);
    ops->close(NULL);
}

static void memory_is_zeroed_and_aligned(void **state) {
    (void)state;
    struct ta_gpu *gpu = fresh(NULL);
    const size_t sizes[] = {0, 1, 511, 512, 4096, 100001, (2 << 20) - 1, (2 << 20) + 1};
    unsigned char *seen = host(gpu, (2 << 20) + 1);
    void *blocks[8];
    uint64_t ticket;
    for (size_t i = 0; i < 8; i++) {
        blocks[i] = far(gpu, sizes[i]);
        assert_int_equal((uintptr_t)blocks[i] % 512, 0);
        memset(seen, 1, sizes[i]);
        assert_ok(ops->copy(gpu, TA_GPU_COPY, seen, blocks[i], sizes[i]));
        assert_ok(ops->mark(gpu, TA_GPU_COPY, &ticket));
        assert_ok(ops->wait(gpu, TA_GPU_COPY, ticket));
        for (size_t b = 0; b < sizes[i]; b++) assert_int_equal(seen[b], 0);
    }
    for (size_t i = 0; i < 8; i++) ops->free(gpu, blocks[i]);
    ops->free(gpu, NULL);
    ops->host_free(gpu, seen);
    ops->host_free(gpu, NULL);
    ops->close(gpu);
}

/* What is copied through two blocks on two streams comes back, in whatever order streams run on their own. */
static void streams_follow_each_other(void **state) {
    (void)state;
    enum { N = 5000, TURNS = 30 };
    struct ta_gpu *gpu = fresh("order=random:11");
    uint32_t *in = host(gpu, N * sizeof *in), *out = host(gpu, N * sizeof *out);
    void *a = far(gpu, N * sizeof *in), *b = far(gpu, N * sizeof *in);
    for (uint32_t turn = 0; turn < TURNS; turn++) {
        uint64_t ticket;
        fill(in, N, turn);
        enum ta_gpu_stream one = turn % TA_GPU_STREAMS, two = (turn / 4 + 1 + one) % TA_GPU_STREAMS;
        assert_ok(ops->copy(gpu, one, a, in, N * sizeof *in));
        assert_ok(ops->follow(gpu, two, one));
        assert_ok(ops->copy(gpu, two, b, a, N * sizeof *in));
        assert_ok(ops->copy(gpu, two, out, b, N * sizeof *in));
        assert_ok(ops->mark(gpu, two, &ticket));
        ta_status status = TA_AGAIN;
        for (int i = 0; i < 1000000 && status == TA_AGAIN; i++) status = ops->reached(gpu, two, ticket);
        assert_ok(status);
        assert_memory_equal(in, out, N * sizeof *in);
        memset(out, 0, N * sizeof *out);
    }
    ops->free(gpu, a);
    ops->free(gpu, b);
    ops->host_free(gpu, in);
    ops->host_free(gpu, out);
    ops->close(gpu);
}

static void tickets_are_counted(void **state) {
    (void)state;
    struct ta_gpu *gpu = fresh(NULL);
    uint64_t first, ticket = 0;
    assert_ok(ops->mark(gpu, TA_GPU_PUT, &first));
    for (int i = 1; i < TA_GPU_TICKETS; i++) assert_ok(ops->mark(gpu, TA_GPU_PUT, &ticket));
    assert_int_equal(ticket, first + TA_GPU_TICKETS - 1);
    assert_fails(TA_INVALID, "256 tickets are out on stream put", ops->mark(gpu, TA_GPU_PUT, &ticket));
    assert_ok(ops->wait(gpu, TA_GPU_PUT, first + 9));
    for (int i = 0; i < 10; i++) assert_ok(ops->mark(gpu, TA_GPU_PUT, &ticket));
    assert_fails(TA_INVALID, "256 tickets", ops->mark(gpu, TA_GPU_PUT, &ticket));
    assert_fails(TA_INVALID, "was never given", ops->reached(gpu, TA_GPU_PUT, ticket + 1));
    assert_fails(TA_INVALID, "was never given", ops->wait(gpu, TA_GPU_APPLY, 1));
    assert_fails(TA_INVALID, "was never given", ops->reached(gpu, TA_GPU_PUT, 0));
    assert_ok(ops->reached(gpu, TA_GPU_PUT, first)); /* given back long ago */
    assert_ok(ops->drain(gpu));
    for (int turn = 0; turn < 3; turn++)
        for (int i = 0; i < TA_GPU_TICKETS; i++) {
            assert_ok(ops->mark(gpu, TA_GPU_PUT, &ticket));
            assert_ok(ops->wait(gpu, TA_GPU_PUT, ticket));
        }
    ops->close(gpu);
}

/* Rows of every alignment, repeated rows, more rows than one launch takes. */
static void rows_are_copied(void **state) {
    (void)state;
    const size_t widths[] = {4, 512, 48, 36, 7, 1};
    struct ta_gpu *gpu = fresh("order=random:3");
    for (size_t w = 0; w < 6; w++) {
        size_t bytes = widths[w], table = 700, all = table * bytes;
        size_t n = w == 0 ? 20000 : 300;
        unsigned char *in = host(gpu, all), *out = host(gpu, all), *want = calloc(1, all);
        uint32_t *rows = calloc(n, sizeof *rows);
        void *to = far(gpu, all), *from = far(gpu, all);
        fill(rows, n, (uint32_t)w + 1);
        for (size_t i = 0; i < all; i++) in[i] = (unsigned char)(i * 7 + i / 256);
        for (size_t i = 0; i < n; i++) {
            rows[i] %= table;
            memcpy(want + rows[i] * bytes, in + rows[i] * bytes, bytes);
        }
        assert_ok(ops->copy(gpu, TA_GPU_PUT, from, in, all));
        assert_ok(ops->copy_rows(gpu, TA_GPU_PUT, to, from, bytes, rows, n));
        memset(rows, 0xff, n * sizeof *rows); /* it was read before the call returned */
        assert_ok(ops->copy(gpu, TA_GPU_PUT, out, to, all));
        assert_ok(ops->copy_rows(gpu, TA_GPU_PUT, to, from, bytes, rows, 0));
        assert_ok(ops->drain(gpu));
        assert_memory_equal(want, out, all);
        /* Straight into memory of the host. */
        memset(out, 0, all);
        uint32_t one = 5;
        assert_ok(ops->copy_rows(gpu, TA_GPU_PUT, out, from, bytes, &one, 1));
        assert_ok(ops->drain(gpu));
        assert_memory_equal(out + 5 * bytes, in + 5 * bytes, bytes);
        ops->free(gpu, to);
        ops->free(gpu, from);
        ops->host_free(gpu, in);
        ops->host_free(gpu, out);
        free(want);
        free(rows);
    }
    ops->close(gpu);
}

static void memory_of_the_host_is_registered(void **state) {
    (void)state;
    struct ta_gpu *gpu = fresh(NULL);
    long page = sysconf(_SC_PAGESIZE);
    uint32_t *mine = aligned_alloc((size_t)page, (size_t)page * 2);
    void *a = far(gpu, (size_t)page * 2);
    fill(mine, (size_t)page / 2, 5);
    assert_ok(ops->host_register(gpu, mine, (size_t)page * 2));
    assert_fails(TA_DEVICE, "CUDA says", ops->host_register(gpu, mine, (size_t)page * 2));
    assert_ok(ops->copy(gpu, TA_GPU_COPY, a, mine, (size_t)page));
    assert_ok(ops->copy(gpu, TA_GPU_COPY, (char *)mine + page, a, (size_t)page));
    assert_ok(ops->drain(gpu));
    assert_memory_equal(mine, (char *)mine + page, (size_t)page);
    assert_false(ops->lost(gpu));
    ops->host_unregister(gpu, mine);
    ops->host_unregister(gpu, NULL);
    ops->free(gpu, a);
    ops->close(gpu);
    free(mine);
}

/* The same process finds its own memory again; a damaged handle is refused. */
static void handles_of_our_own(void **state) {
    (void)state;
    struct ta_gpu *gpu = fresh(NULL), *other = NULL;
    struct ta_gpu_handle handle, bad;
    char *a = far(gpu, 10000);
    void *found = NULL, *again = NULL;
    assert_ok(ops->share(gpu, a + 512, 1024, &handle));
    assert_int_equal(handle.offset, 512);
    assert_ok(ops->attach(gpu, &handle, &found));
    assert_ptr_equal(found, a + 512);
    assert_ok(ops->open(0, &other));
    assert_ok(ops->attach(other, &handle, &again));
    assert_ptr_equal(again, a + 512);
    ops->detach(other, again);
    ops->detach(gpu, found);
    ops->detach(gpu, NULL);
    assert_fails(TA_INVALID, "not memory of GPU", ops->share(gpu, a - 4, 8, &bad));
    assert_fails(TA_INVALID, "not memory of GPU", ops->share(gpu, a, (size_t)64 << 20, &bad));
    assert_fails(TA_INVALID, "not memory of GPU", ops->share(other, a, 8, &bad));
    bad = handle;
    bad.offset = bad.whole;
    assert_fails(TA_INVALID, "damaged", ops->attach(gpu, &bad, &found));
    assert_null(found);
    bad = handle;
    bad.size = UINT64_MAX;
    assert_fails(TA_INVALID, "damaged", ops->attach(gpu, &bad, &found));
    memset(&bad, 0xff, sizeof bad);
    assert_fails(TA_INVALID, "damaged", ops->attach(gpu, &bad, &found));
    ops->free(gpu, a);
    ops->close(other);
    ops->close(gpu);
}

static void flush_does_no_harm(void **state) {
    (void)state;
    struct ta_gpu *gpu = fresh(NULL);
    struct ta_gpu_info info;
    assert_ok(ops->describe(0, &info));
    if (!info.rdma || info.ordered) assert_ok(ops->flush(gpu));
    ops->close(gpu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gpu_says_what_it_is),       cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(streams_follow_each_other),   cmocka_unit_test(tickets_are_counted),
        cmocka_unit_test(rows_are_copied),             cmocka_unit_test(memory_of_the_host_is_registered),
        cmocka_unit_test(handles_of_our_own),          cmocka_unit_test(flush_does_no_harm),
    };
#ifdef TA_REAL_GPU
    unsigned n = 0;
    if (ops->count(&n) != TA_OK || n == 0) {
        printf("SKIPPED: no GPU here: %s\n", ta_why());
        return 77;
    }
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
