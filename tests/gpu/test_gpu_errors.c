/* test_gpu_errors: what a GPU that is missing, full, shared or lost comes to, on the make-believe device. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "expect.h"
#include "fake_gpu.h"
#include "gpu_cuda.h"

static const struct ta_gpu_ops *const ops = &ta_gpu_cuda;

static struct ta_gpu *fresh(const char *options) {
    struct ta_gpu *gpu = NULL;
    ta_fake_gpu_reset(options);
    assert_ok(ops->open(0, &gpu));
    return gpu;
}

static void nothing_there(void **state) {
    (void)state;
    struct ta_gpu *gpu = NULL;
    struct ta_gpu_info info;
    unsigned n = 9;
    ta_fake_gpu_reset("no_driver");
    assert_fails(TA_DEVICE, "no NVIDIA driver", ops->count(&n));
    assert_int_equal(n, 0);
    assert_fails(TA_DEVICE, "install driver 580", ops->open(0, &gpu));
    ta_fake_gpu_reset("driver=12020");
    assert_fails(TA_DEVICE, "the driver is for CUDA 12.2, this program for 13", ops->count(&n));
    assert_fails(TA_DEVICE, "580", ops->describe(0, &info));
    ta_fake_gpu_reset("devices=0");
    unsetenv("CUDA_VISIBLE_DEVICES");
    assert_ok(ops->count(&n));
    assert_int_equal(n, 0);
    assert_fails(TA_DEVICE, "nvidia-smi -L", ops->open(0, &gpu));
    setenv("CUDA_VISIBLE_DEVICES", "7", 1);
    assert_fails(TA_DEVICE, "CUDA_VISIBLE_DEVICES is '7'", ops->open(0, &gpu));
    unsetenv("CUDA_VISIBLE_DEVICES");
    ta_fake_gpu_reset("devices=2");
    assert_ok(ops->count(&n));
    assert_int_equal(n, 2);
    assert_fails(TA_CONFIG, "there is no GPU 2: this process sees 2", ops->open(2, &gpu));
    assert_null(gpu);
}

/* Who only looks opens nothing. */
static void looking_costs_nothing(void **state) {
    (void)state;
    struct ta_gpu_info info;
    ta_fake_gpu_reset("devices=2");
    assert_ok(ops->describe(1, &info));
    assert_int_equal(info.free, 0);
    assert_int_equal(ta_fake_gpu_count().bytes, 0);
    assert_int_equal(ta_fake_gpu_count().streams, 0);
    assert_true(info.ipc && info.dmabuf && info.rdma && info.ordered && !info.exclusive);
    ta_fake_gpu_reset("no_ipc,no_dmabuf,no_rdma,unordered");
    assert_ok(ops->describe(0, &info));
    assert_false(info.ipc || info.dmabuf || info.rdma || info.ordered);
}

static void no_room(void **state) {
    (void)state;
    struct ta_gpu *gpu = fresh("memory=64M");
    void *block = &block, *small;
    assert_fails(TA_NO_MEMORY, "no room for weights: 104857600 bytes asked for",
                 ops->alloc(gpu, 100 << 20, "weights", &block));
    assert_non_null(strstr(ta_why(), "67108864"));
    assert_non_null(strstr(ta_why(), "stream.batch"));
    assert_non_null(strstr(ta_why(), "--replicas-per-gpu"));
    assert_null(block);
    assert_fails(TA_NO_MEMORY, "no room", ops->alloc(gpu, SIZE_MAX, "weights", &block));
    assert_false(ops->lost(gpu));
    assert_ok(ops->alloc(gpu, 1 << 20, "weights", &small));
    ops->free(gpu, small);
    ops->close(gpu);
    assert_int_equal(ta_fake_gpu_count().bytes, 0);
}

/* Each allocation of the GPU fails once: nothing stays behind. */
static void every_allocation_may_fail(void **state) {
    (void)state;
    for (unsigned n = 0; n < 12; n++) {
        char options[32];
        struct ta_gpu *gpu = NULL;
        uint32_t rows[4] = {3, 1, 2, 0};
        void *blocks[4] = {NULL};
        ta_status status = TA_OK;
        snprintf(options, sizeof options, "oom_after=%u", n);
        ta_fake_gpu_reset(options);
        assert_ok(ops->open(0, &gpu));
        for (unsigned i = 0; i < 4 && status == TA_OK; i++) status = ops->alloc(gpu, 4096, "a test", &blocks[i]);
        for (unsigned i = 0; i < 10 && status == TA_OK; i++)
            status = ops->copy_rows(gpu, TA_GPU_PUT, blocks[0], blocks[1], 64, rows, 4);
        assert_int_equal(status, n < 4 ? TA_NO_MEMORY : n < 12 ? TA_DEVICE : TA_OK);
        for (unsigned i = 0; i < 4; i++) ops->free(gpu, blocks[i]);
        ops->close(gpu);
        assert_int_equal(ta_fake_gpu_count().bytes, 0);
        assert_int_equal(ta_fake_gpu_count().blocks, 0);
        assert_int_equal(ta_fake_gpu_count().events, 0);
        assert_int_equal(ta_fake_gpu_count().streams, 0);
    }
}

/* Ours fails: a list that cannot grow. */
static void memory_of_the_host_may_run_out(void **state) {
    (void)state;
    struct ta_gpu *gpu = fresh(NULL), *none = NULL;
    void *block;
    ta_mem_fail_nth(1);
    assert_fails(TA_NO_MEMORY, "list of GPU memory", ops->alloc(gpu, 4096, "a test", &block));
    ta_mem_fail_nth(1);
    assert_fails(TA_NO_MEMORY, "a GPU", ops->open(0, &none));
    ta_mem_fail_nth(0);
    assert_int_equal(ta_fake_gpu_count().bytes, 0);
    ops->close(gpu);
}

/* A GPU that is lost in the middle says so from then on, everywhere, with what was said first; closing it works. */
static void a_lost_gpu_stays_lost(void **state) {
    (void)state;
    struct ta_gpu *gpu = fresh("lose_after=2");
    struct ta_gpu_handle handle;
    uint32_t rows[1] = {0};
    void *a, *b, *found;
    uint64_t ticket;
    int fd;
    assert_ok(ops->alloc(gpu, 4096, "a test", &a));
    assert_ok(ops->alloc(gpu, 4096, "a test", &b));
    ta_status status = TA_OK;
    for (int i = 0; i < 5 && status == TA_OK; i++) {
        status = ops->copy_rows(gpu, TA_GPU_PUT, a, b, 64, rows, 1);
        if (status == TA_OK) status = ops->drain(gpu);
    }
    assert_int_equal(status, TA_DEVICE);
    assert_non_null(strstr(ta_why(), "lost to this process"));
    assert_non_null(strstr(ta_why(), "GPU 0 ("));
    assert_true(ops->lost(gpu));
    assert_fails(TA_DEVICE, "cudaErrorLaunchFailure", ops->copy(gpu, TA_GPU_PUT, a, b, 4));
    assert_fails(TA_DEVICE, "cudaErrorLaunchFailure", ops->mark(gpu, TA_GPU_PUT, &ticket));
    assert_fails(TA_DEVICE, "cudaErrorLaunchFailure", ops->reached(gpu, TA_GPU_PUT, 1));
    assert_fails(TA_DEVICE, "cudaErrorLaunchFailure", ops->wait(gpu, TA_GPU_PUT, 1));
    assert_fails(TA_DEVICE, "cudaErrorLaunchFailure", ops->follow(gpu, TA_GPU_PUT, TA_GPU_COPY));
    assert_fails(TA_DEVICE, "cudaErrorLaunchFailure", ops->drain(gpu));
    assert_fails(TA_DEVICE, "cudaErrorLaunchFailure", ops->alloc(gpu, 1, "a test", &found));
    assert_fails(TA_DEVICE, "cudaErrorLaunchFailure", ops->host_alloc(gpu, 1, "a test", &found));
    assert_fails(TA_DEVICE, "cudaErrorLaunchFailure", ops->share(gpu, a, 1, &handle));
    assert_fails(TA_DEVICE, "cudaErrorLaunchFailure", ops->dmabuf(gpu, a, 1, &fd, &ticket));
    assert_fails(TA_DEVICE, "cudaErrorLaunchFailure", ops->flush(gpu));
    ops->free(gpu, a);
    ops->close(gpu);
}

static void flushes_where_writes_are_not_in_order(void **state) {
    (void)state;
    struct ta_gpu *gpu = fresh("unordered");
    assert_ok(ops->flush(gpu));
    assert_ok(ops->flush(gpu));
    assert_int_equal(ta_fake_gpu_count().flushes, 2);
    ops->close(gpu);
    gpu = fresh(NULL);
    assert_ok(ops->flush(gpu));
    assert_int_equal(ta_fake_gpu_count().flushes, 0);
    ops->close(gpu);
}

static void dma_bufs_hold_whole_pages(void **state) {
    (void)state;
    struct ta_gpu *gpu = fresh(NULL);
    uint64_t offset = 0;
    char *a;
    int fd = -1;
    assert_ok(ops->alloc(gpu, 100000, "a test", (void **)&a));
    assert_ok(ops->dmabuf(gpu, a + 5000, 10000, &fd, &offset));
    assert_true(fd >= 0);
    assert_int_equal(offset, ((uintptr_t)a + 5000) % (uintptr_t)sysconf(_SC_PAGESIZE));
    close(fd);
    assert_fails(TA_INVALID, "not memory of GPU", ops->dmabuf(gpu, a - 1, 2, &fd, &offset));
    assert_fails(TA_INVALID, "not memory of GPU", ops->dmabuf(gpu, a, 0, &fd, &offset));
    ops->free(gpu, a);
    ops->close(gpu);
    gpu = fresh("no_dmabuf");
    assert_ok(ops->alloc(gpu, 100000, "a test", (void **)&a));
    assert_fails(TA_DEVICE, "nvidia-peermem", ops->dmabuf(gpu, a, 100, &fd, &offset));
    assert_int_equal(fd, -1);
    ops->free(gpu, a);
    ops->close(gpu);
}

static void gpus_that_do_not_reach_each_other(void **state) {
    (void)state;
    struct ta_gpu *one = NULL, *two = NULL;
    struct ta_gpu_handle handle;
    bool can = true;
    void *a, *found = NULL;
    ta_fake_gpu_reset("devices=2,no_peer");
    assert_ok(ops->open(0, &one));
    assert_ok(ops->open(1, &two));
    assert_ok(ops->reaches(0, 1, &can));
    assert_false(can);
    assert_ok(ops->alloc(one, 4096, "a test", &a));
    assert_ok(ops->share(one, a, 4096, &handle));
    assert_fails(TA_DEVICE, "cannot reach the memory of GPU 0", ops->attach(two, &handle, &found));
    assert_null(found);
    ops->free(one, a);
    ops->close(one);
    ops->close(two);
    ta_fake_gpu_reset("devices=2");
    assert_ok(ops->open(0, &one));
    assert_ok(ops->open(1, &two));
    assert_ok(ops->alloc(one, 4096, "a test", &a));
    assert_ok(ops->share(one, a, 4096, &handle));
    assert_ok(ops->attach(two, &handle, &found)); /* peer access is switched on, and stays */
    assert_ok(ops->attach(two, &handle, &found));
    uint32_t *host;
    assert_ok(ops->host_alloc(two, 4096, "a test", (void **)&host));
    assert_ok(ops->copy(two, TA_GPU_PUT, host, found, 4096));
    assert_ok(ops->drain(two));
    ops->host_free(two, host);
    ops->free(one, a);
    ops->close(one);
    ops->close(two);
}

struct page {
    struct ta_gpu_handle handle;
    _Atomic int stage;
};

static void until(const struct page *page, int stage) {
    for (int i = 0; i < 20000 && page->stage < stage; i++) usleep(500);
    assert_in_range(page->stage, stage, 100);
}

/* In a process of its own: memory that another one may write into. */
static void lend(struct page *page) {
    struct ta_gpu *gpu = fresh(NULL);
    uint32_t *host;
    char *a;
    assert_ok(ops->alloc(gpu, 8192, "a test", (void **)&a));
    assert_ok(ops->host_alloc(gpu, 8192, "a test", (void **)&host));
    assert_ok(ops->share(gpu, a + 1024, 2048, &page->handle));
    page->stage = 1;
    until(page, 2);
    assert_ok(ops->copy(gpu, TA_GPU_COPY, host, a, 8192));
    assert_ok(ops->drain(gpu));
    for (uint32_t i = 0; i < 2048; i++) assert_int_equal(host[i], i >= 256 && i < 768 ? i * 3 : 0);
    ops->host_free(gpu, host);
    ops->free(gpu, a);
    ops->close(gpu);
    _exit(0);
}

/* Another: writes into it. */
static void borrow(struct page *page) {
    until(page, 1);
    struct ta_gpu *gpu = fresh(NULL);
    uint32_t *host;
    void *found = NULL, *again = NULL;
    assert_ok(ops->host_alloc(gpu, 2048, "a test", (void **)&host));
    for (uint32_t i = 0; i < 512; i++) host[i] = (i + 256) * 3;
    assert_ok(ops->attach(gpu, &page->handle, &found));
    assert_ok(ops->attach(gpu, &page->handle, &again));
    assert_ok(ops->copy(gpu, TA_GPU_PUT, again, host, 1024));
    ops->detach(gpu, again);
    assert_ok(ops->copy(gpu, TA_GPU_PUT, (char *)found + 1024, host + 256, 1024)); /* it was opened twice */
    assert_ok(ops->drain(gpu));
    page->stage = 2;
    ops->host_free(gpu, host);
    ops->close(gpu); /* detaches what is still attached */
    assert_int_equal(ta_fake_gpu_count().blocks, 0);
    _exit(0);
}

static void memory_is_shared_between_processes(void **state) {
    (void)state;
    struct page *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    pid_t child[2];
    for (int i = 0; i < 2; i++) {
        child[i] = fork();
        assert_true(child[i] >= 0);
        if (child[i] == 0) (i == 0 ? lend : borrow)(page);
    }
    for (int i = 0; i < 2; i++) {
        int how = 0;
        assert_int_equal(child[i], waitpid(child[i], &how, 0));
        assert_int_equal(how, 0);
    }
    munmap(page, sizeof *page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_shared_between_processes), /* first: who has used a GPU must not fork */
        cmocka_unit_test(nothing_there),
        cmocka_unit_test(looking_costs_nothing),
        cmocka_unit_test(no_room),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(memory_of_the_host_may_run_out),
        cmocka_unit_test(a_lost_gpu_stays_lost),
        cmocka_unit_test(flushes_where_writes_are_not_in_order),
        cmocka_unit_test(dma_bufs_hold_whole_pages),
        cmocka_unit_test(gpus_that_do_not_reach_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
