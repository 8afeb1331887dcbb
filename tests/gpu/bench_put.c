/* bench_put: a put of 64 MiB of GPU memory into the window of another process that lies in GPU memory, by transport
 * shm, beside a copy within the device of as many bytes in the same run; and beside the bare calls (share, attach,
 * copy), to see what the transport adds. Bytes are read and written: both counted, on all sides. What arrived is
 * compared by its reader.
 *
 * Two processes on one GPU: the parent puts, the child owns the window. They talk by a socket before and after, not
 * between.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "clock.h"
#include "mem.h"
#include "transport.h"

enum { PIECES = 4, HEADER = 4096, ROUNDS = 15, REPEATS = 8 };

struct side {
    struct bench_gpu b;
    const struct ta_transport_ops *ops;
    struct ta_transport *transport;
    struct ta_window window;
    size_t bytes; /* of a piece */
    int socket;
    char *source;     /* [PIECES][bytes] GPU: what is put */
    char *aside;      /* the same: the target of the copy within the device, or what the bare calls write */
    void *attached;   /* of the other side's aside */
    uint32_t *host;   /* [bytes] */
    uint64_t *header; /* 64 bytes: a source */
    uint64_t version;
};

static ta_status say(struct side *s, const void *what, size_t bytes) {
    if (send(s->socket, what, bytes, MSG_NOSIGNAL) == (ssize_t)bytes) return TA_OK;
    return ta_fail_errno(TA_PEER, "the other process is gone");
}

static ta_status hear(struct side *s, void *what, size_t bytes) {
    if (recv(s->socket, what, bytes, MSG_WAITALL) == (ssize_t)bytes) return TA_OK;
    return ta_fail(TA_PEER, "the other process is gone");
}

static ta_status open_side(struct side *s, unsigned rank, uint64_t run_id) {
    const struct ta_gpu_ops *gpu_ops = s->b.gpu_ops;
    struct ta_transport_config config = {
        .rank = rank, .n_ranks = 2, .run_id = run_id, .gpu_ops = gpu_ops, .gpu = s->b.gpu};
    struct ta_window_far far = {.first = HEADER, .stride = s->bytes, .bytes = s->bytes, .n = PIECES};
    ta_status status = TA_NEW(&s->host, s->bytes / 4, "a pattern");
    if (status == TA_OK) status = TA_NEW(&s->header, 8, "a header");
    if (status == TA_OK) status = gpu_ops->alloc(s->b.gpu, PIECES * s->bytes, "sources", (void **)&s->source);
    if (status == TA_OK) status = gpu_ops->alloc(s->b.gpu, PIECES * s->bytes, "targets", (void **)&s->aside);
    if (status == TA_OK) status = ta_transport_find("shm", &s->ops);
    if (status == TA_OK) status = s->ops->open(&config, &s->transport);
    if (status == TA_OK && s->ops->window_create_far == NULL)
        status = ta_fail(TA_FAILED, "transport shm knows no GPUs");
    if (status == TA_OK) status = s->ops->window_create_far(s->transport, HEADER + PIECES * s->bytes, &far, &s->window);
    if (status == TA_OK) status = s->ops->source_register_gpu(s->transport, s->source, PIECES * s->bytes);
    if (status == TA_OK) status = s->ops->source_register(s->transport, s->header, 64);
    struct ta_key mine, theirs;
    struct ta_gpu_handle handle, other;
    if (status == TA_OK) status = s->ops->key_make(s->transport, 1 - rank, &mine);
    if (status == TA_OK) status = gpu_ops->share(s->b.gpu, s->aside, PIECES * s->bytes, &handle);
    if (status == TA_OK) status = say(s, &mine, sizeof mine);
    if (status == TA_OK) status = say(s, &handle, sizeof handle);
    if (status == TA_OK) status = hear(s, &theirs, sizeof theirs);
    if (status == TA_OK) status = hear(s, &other, sizeof other);
    if (status == TA_OK) status = s->ops->connect(s->transport, 1 - rank, &theirs);
    if (status == TA_OK && rank == 0) status = gpu_ops->attach(s->b.gpu, &other, &s->attached);
    char ready = 1; /* nobody puts before both are connected */
    if (status == TA_OK) status = say(s, &ready, 1);
    return status == TA_OK ? hear(s, &ready, 1) : status;
}

static void close_side(struct side *s) {
    if (s->attached != NULL) s->b.gpu_ops->detach(s->b.gpu, s->attached);
    if (s->transport != NULL) s->ops->close(s->transport);
    if (s->b.gpu != NULL) {
        s->b.gpu_ops->free(s->b.gpu, s->aside);
        s->b.gpu_ops->free(s->b.gpu, s->source);
    }
    ta_mem_free(s->header);
    ta_mem_free(s->host);
}

/* ---- the parent: puts ---- */

static ta_status progress(struct side *s) { return s->ops->progress(s->transport, ta_clock_now_ns()); }

static ta_status put(struct side *s, unsigned piece) {
    s->header[0] = ++s->version;
    size_t at = piece % PIECES * s->bytes;
    struct ta_put_segment segments[2] = {{.source = s->source + at, .bytes = s->bytes, .target_offset = HEADER + at},
                                         {.source = s->header, .bytes = 64}};
    ta_status status;
    while ((status = s->ops->put(s->transport, 1, segments, 2)) == TA_BUSY)
        if ((status = progress(s)) != TA_OK) break;
    return status;
}

static ta_status settle(struct side *s) {
    ta_status status = TA_OK;
    while (status == TA_OK && s->ops->in_flight(s->transport, 1) > 0) status = progress(s);
    return status;
}

/* The seconds of one of a batch: by the transport; bare; within the device. */
static ta_status timed(struct side *s, unsigned kind, double *seconds) {
    const struct ta_gpu_ops *gpu_ops = s->b.gpu_ops;
    ta_status status = gpu_ops->drain(s->b.gpu);
    int64_t start = ta_clock_now_ns();
    for (unsigned i = 0; i < REPEATS && status == TA_OK; i++) {
        size_t at = i % PIECES * s->bytes;
        char *to = kind == 1 ? s->attached : s->aside;
        status = kind == 0 ? put(s, i) : gpu_ops->copy(s->b.gpu, TA_GPU_PUT, to + at, s->source + at, s->bytes);
    }
    if (status == TA_OK) status = kind == 0 ? settle(s) : gpu_ops->drain(s->b.gpu);
    *seconds = (double)(ta_clock_now_ns() - start) * 1e-9 / REPEATS;
    return status;
}

static uint32_t pattern(unsigned piece, size_t word) { return (uint32_t)(word * 2654435761u + piece * 40503u + 1); }

static ta_status verify(struct side *s) {
    uint64_t wrong = 0;
    ta_status status = TA_OK;
    for (unsigned piece = 0; piece < PIECES && status == TA_OK; piece++) {
        for (size_t i = 0; i < s->bytes / 4; i++) s->host[i] = pattern(piece, i);
        status = s->b.gpu_ops->copy(s->b.gpu, TA_GPU_COPY, s->source + piece * s->bytes, s->host, s->bytes);
        if (status == TA_OK) status = s->b.gpu_ops->drain(s->b.gpu);
        if (status == TA_OK) status = put(s, piece);
        if (status == TA_OK) status = settle(s);
    }
    if (status == TA_OK) status = say(s, &s->version, sizeof s->version);
    if (status == TA_OK) status = hear(s, &wrong, sizeof wrong);
    if (status == TA_OK) bench_figure("put_wrong_words", (double)wrong, "words");
    if (status == TA_OK && wrong > 0) return ta_fail(TA_FAILED, "%llu words arrived wrong", (unsigned long long)wrong);
    return status;
}

static ta_status ask(struct side *s) {
    double seconds[3][BENCH_ROUNDS], warm;
    unsigned rounds = s->b.quick ? 1 : ROUNDS;
    ta_status status = TA_OK;
    for (unsigned kind = 0; kind < 3 && status == TA_OK; kind++) status = timed(s, kind, &warm);
    for (unsigned r = 0; r < rounds && status == TA_OK; r++)
        for (unsigned kind = 0; kind < 3 && status == TA_OK; kind++) status = timed(s, kind, &seconds[kind][r]);
    if (status == TA_OK) status = verify(s);
    if (status != TA_OK) return status;
    double rate[3];
    for (unsigned kind = 0; kind < 3; kind++)
        rate[kind] = 2e-9 * (double)s->bytes / bench_median(seconds[kind], rounds);
    bench_figure("put_64MiB_GBps", rate[0], "GB/s");
    bench_figure("put_64MiB_bare_GBps", rate[1], "GB/s");
    bench_figure("put_64MiB_copy_GBps", rate[2], "GB/s");
    bench_figure("put_64MiB_vs_copy", rate[0] / rate[2], "ratio");
    bench_figure("put_64MiB_bare_vs_copy", rate[1] / rate[2], "ratio");
    return TA_OK;
}

/* ---- the child: looks ---- */

static ta_status reply(struct side *s) {
    uint64_t version, wrong = 0;
    ta_status status = hear(s, &version, sizeof version);
    int64_t patience = ta_clock_now_ns() + 20 * TA_NS_PER_S;
    while (status == TA_OK && ta_window_load_u64(s->window.base) < version) {
        status = progress(s);
        if (ta_clock_now_ns() > patience) status = ta_fail(TA_FAILED, "the last header has not come within 20 s");
    }
    for (unsigned piece = 0; piece < PIECES && status == TA_OK; piece++) {
        size_t at = HEADER + piece * s->bytes;
        if (s->ops->fetch != NULL) status = s->ops->fetch(s->transport, at, s->bytes, NULL, 0);
        if (status == TA_OK)
            status = s->b.gpu_ops->copy(s->b.gpu, TA_GPU_APPLY, s->host, ta_window_at(&s->window, at), s->bytes);
        if (status == TA_OK) status = s->b.gpu_ops->drain(s->b.gpu);
        for (size_t i = 0; i < s->bytes / 4 && status == TA_OK; i++) wrong += s->host[i] != pattern(piece, i);
    }
    return status == TA_OK ? say(s, &wrong, sizeof wrong) : status;
}

static int run(unsigned rank, int socket, uint64_t run_id, int argc, char **argv) {
    struct side s = {.socket = socket};
    ta_status status = bench_open(&s.b, argc, argv);
    s.bytes = s.b.quick ? 8192 : (size_t)64 << 20;
    if (status == TA_OK) status = open_side(&s, rank, run_id);
    if (status == TA_OK) status = rank == 0 ? ask(&s) : reply(&s);
    char done = 1; /* memory that is attached is kept until then */
    if (status == TA_OK) status = say(&s, &done, 1);
    if (status == TA_OK) status = hear(&s, &done, 1);
    close_side(&s);
    return bench_end(&s.b, status);
}

int main(int argc, char **argv) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) return 1;
    uint64_t run_id = (uint64_t)ta_clock_wall_ns();
    pid_t child = fork(); /* before anybody has opened a GPU */
    if (child < 0) return 1;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(sockets[0]);
        return run(1, sockets[1], run_id, argc, argv);
    }
    close(sockets[1]);
    int code = run(0, sockets[0], run_id, argc, argv), theirs = 0;
    close(sockets[0]);
    while (waitpid(child, &theirs, 0) < 0 && errno == EINTR) {
    }
    return code != 0 ? code : WIFEXITED(theirs) ? WEXITSTATUS(theirs) : 1;
}
