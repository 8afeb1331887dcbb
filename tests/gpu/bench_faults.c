/* bench_faults: what goes wrong on a GPU, made to happen, for run.sh.
 *
 *   lost   two processes compute on the GPU; one of them makes an access outside of its memory. CUDA takes the GPU away
 * from that process alone. It must say so (DEVICE, and `lost` from then on); the other's sums must go on and be right.
 *   hold   answers `hold MIB`, read from its input, by `held`: all memory of the GPU but so much is taken, until the
 * input ends.
 *
 * Prints FIGURE lines. Exit status as in bench.h.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "clock.h"

enum { COUNT = 1 << 20, CHUNKS = 4096, REFUSED = 3 };

struct worker {
    struct bench_gpu b;
    const struct ta_kernels_ops *ops;
    struct ta_kernels *kernels;
    float *w, *base, *delta;
    uint64_t steps;
};

static ta_status open_worker(struct worker *k, int argc, char **argv) {
    size_t bytes = COUNT * sizeof(float);
    ta_status status = bench_open(&k->b, argc, argv);
    if (status == TA_OK) status = ta_kernels_find("cuda", &k->ops);
    struct ta_kernels_config config = {.gpu_ops = k->b.gpu_ops, .gpu = k->b.gpu};
    if (status == TA_OK) status = k->ops->open(&config, &k->kernels);
    if (status == TA_OK) status = k->ops->alloc(k->kernels, bytes, "weights", (void **)&k->w);
    if (status == TA_OK) status = k->ops->alloc(k->kernels, bytes, "w0", (void **)&k->base);
    if (status == TA_OK) status = k->ops->alloc(k->kernels, bytes, "a delta", (void **)&k->delta);
    float one = 1;
    if (status == TA_OK) status = k->ops->copy_in(k->kernels, k->delta + COUNT - 1, &one, sizeof one);
    return status;
}

static void close_worker(struct worker *k) {
    if (k->kernels == NULL) return;
    k->ops->free(k->kernels, k->delta);
    k->ops->free(k->kernels, k->base);
    k->ops->free(k->kernels, k->w);
    k->ops->close(k->kernels);
}

/* base += delta: the last element counts the steps. */
static ta_status step(struct worker *k) {
    const float *registers[] = {k->delta};
    float got;
    ta_status status = k->ops->sum(k->kernels, COUNT, k->w, k->base, registers, 1);
    if (status == TA_OK) status = k->ops->copy_out(k->kernels, &got, k->w + COUNT - 1, sizeof got);
    if (status == TA_OK) status = k->ops->copy_in(k->kernels, k->base + COUNT - 1, &got, sizeof got);
    if (status == TA_OK && got != (float)++k->steps)
        return ta_fail(TA_FAILED, "step %llu gave %g", (unsigned long long)k->steps, (double)got);
    return status;
}

/* The one that is lost. Exit status 0: it was told, in words and for good. */
static int lose(struct worker *k, int ready) {
    const float *registers[] = {k->delta};
    ta_status status = TA_OK;
    for (unsigned i = 0; i < 20 && status == TA_OK; i++) status = step(k);
    if (status != TA_OK || write(ready, "r", 1) != 1) return 1;
    float *nowhere = (float *)((uintptr_t)k->w + ((uintptr_t)1 << 44)); /* aligned, and nobody's */
    status = k->ops->sum(k->kernels, COUNT, nowhere, k->base, registers, 1);
    if (status == TA_OK) status = k->b.gpu_ops->drain(k->b.gpu);
    bool said = status == TA_DEVICE && strlen(ta_why()) > 20 && k->b.gpu_ops->lost(k->b.gpu);
    fprintf(stderr, "the lost one was told: %s\n", ta_why());
    return said && step(k) == TA_DEVICE ? 0 : REFUSED;
}

static ta_status survive(struct worker *k, pid_t child, int ready, int *theirs) {
    char byte;
    if (read(ready, &byte, 1) != 1) return ta_fail(TA_PEER, "the one to be lost did not come so far");
    ta_status status = TA_OK;
    int64_t end = 0, patience = ta_clock_now_ns() + 20 * TA_NS_PER_S;
    while (status == TA_OK && (end == 0 || ta_clock_now_ns() < end)) {
        status = step(k);
        if (end == 0 && waitpid(child, theirs, WNOHANG) == child)
            end = ta_clock_now_ns() + TA_NS_PER_S; /* a second beyond the other's end */
        if (end == 0 && ta_clock_now_ns() > patience)
            return ta_fail(TA_FAILED, "the lost one has not ended within 20 s");
    }
    return status;
}

static int lost(int argc, char **argv) {
    int pipes[2], theirs = 1 << 8;
    if (pipe(pipes) != 0) return 1;
    pid_t child = fork(); /* before anybody has opened a GPU */
    if (child < 0) return 1;
    struct worker k = {0};
    ta_status status = open_worker(&k, argc, argv);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int code = status == TA_OK ? lose(&k, pipes[1]) : bench_end(&k.b, status);
        _exit(code); /* what is lost cannot be closed in order */
    }
    close(pipes[1]);
    if (status == TA_OK) status = survive(&k, child, pipes[0], &theirs);
    if (status == TA_OK) {
        bench_figure("lost_said_so", WIFEXITED(theirs) && WEXITSTATUS(theirs) == 0, "bool");
        bench_figure("lost_survivor_steps", (double)k.steps, "steps");
    }
    if (status != TA_OK) kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    close_worker(&k);
    return bench_end(&k.b, status);
}

static int hold(int argc, char **argv) {
    struct bench_gpu b = {0};
    char line[64];
    unsigned long keep = 0;
    unsigned n = 0;
    ta_status status = bench_open(&b, argc, argv);
    while (status == TA_OK && fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "hold %lu", &keep) != 1) return 1;
        struct ta_gpu_info info = {0};
        void *chunk; /* given back when the process ends */
        for (size_t most = (size_t)4 << 30; n < CHUNKS && status == TA_OK && most >= (size_t)16 << 20; n++) {
            status = b.gpu_ops->describe(0, &info);
            size_t spare = info.free > (keep << 20) ? info.free - (keep << 20) : 0;
            if (status != TA_OK || spare < most)
                most /= 2;
            else if (b.gpu_ops->alloc(b.gpu, most, "held memory", &chunk) != TA_OK)
                most /= 2;
        }
        if (status == TA_OK) printf("held %zu\n", info.free >> 20);
        fflush(stdout);
    }
    return bench_end(&b, status);
}

int main(int argc, char **argv) {
    if (argc >= 2 && strcmp(argv[1], "lost") == 0) return lost(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "hold") == 0) return hold(argc - 1, argv + 1);
    fprintf(stderr, "usage: gpu_bench_faults lost|hold [--quick]\n");
    return 2;
}
