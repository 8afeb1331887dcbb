/* bench window: two processes, here or on two machines, and what rdma/perf.h measures between them, by size. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "bench_window.h"
#include "mem.h"
#include "rng.h"

static const char help[] =
    "usage: tensair bench window [options]\n"
    "       tensair bench window --listen PORT                   on one machine, and on the other:\n"
    "       tensair bench window --connect HOST:PORT [options]\n"
    "\n"
    "Puts into the window of a second process, each process on a core of its own. By size: bandwidth of puts and of\n"
    "memcpy between two private buffers, in turns in the same run, all buffers warm; puts a second; and the time from\n"
    "the start of a put until the peer has seen all of it (64 bytes: half a round trip).\n"
    "\n"
    "  --transport NAME    shm (default here), verbs, ofi; auto (default between machines)\n"
    "  --sizes LIST        bytes, with K, M or G behind them (default 8,64,1K,4K,16K,64K,256K,1M,4M,16M,64M)\n"
    "  --seconds S         for each size and column (default 0.4)\n"
    "  --rows N            instead: N random rows, none twice, of a table of 2 N, in one put; its bandwidth beside a\n"
    "                      memcpy of as many bytes in one piece, with rows in the order of the table and shuffled\n"
    "  --row-bytes LIST    bytes of a row (default 448,1216)\n"
    "  --verify            also compare every byte of a few puts of each size\n"
    "  --perftest          instead of memcpy: beside ib_write_bw and ib_write_lat (perftest) of the same sizes\n"
    "                      on the same device and GID, in turns (default 64,4K,64K,1M; transport verbs)\n"
    "  --device, --gid, --provider, --rails\n"
    "                      as in section `transport` of a configuration\n"
    "  --listen PORT       wait for the other machine, and do what it asks, once\n"
    "  --connect HOST:PORT measure between here and the machine that listens there. The connection carries keys\n"
    "                      in the clear and proves nothing about who is there: for networks that can be trusted\n";

/* Each row is taken with the chance that leaves exactly as many as asked for (Knuth, algorithm 3.4.2 S). */
static ta_status choose_rows(struct ta_bench *b) {
    struct ta_rng rng = ta_rng_make(1, 0x726f7773);
    uint32_t left = b->o.rows, *next;
    ta_status status = TA_NEW(&b->list, b->o.rows, "a list of rows");
    if (status != TA_OK) return status;
    next = b->list;
    for (uint32_t row = 0; left > 0; row++) {
        if (ta_rng_below(&rng, 2 * b->o.rows - row) >= left) continue;
        *next++ = row;
        left--;
    }
    return TA_OK;
}

static ta_status size_windows(struct ta_bench *b) {
    for (unsigned i = 0; i < b->o.n_sizes && !b->o.listens; i++) {
        size_t bytes = b->o.sizes[i];
        struct ta_perf_rows rows = {.row_bytes = bytes, .table_rows = 2 * (size_t)b->o.rows, .n_rows = b->o.rows};
        ta_status status = b->o.rows > 0 ? ta_perf_rows_bytes(&rows, &bytes) : TA_OK;
        if (status != TA_OK) return status;
        if (bytes > b->max_bytes) b->max_bytes = bytes;
    }
    return TA_OK;
}

/* Both processes here; the second is gone when this returns. */
static ta_status run_both(struct ta_bench *b) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return ta_fail_errno(TA_IO, "socketpair");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        b->link.socket = ends[1];
        b->place = 1;
        ta_status status = ta_bench_answer(b);
        ta_bench_close(b);
        _exit(ta_status_exit_code(status));
    }
    close(ends[1]);
    b->link.socket = ends[0];
    ta_status status = child < 0 ? ta_fail_errno(TA_FAILED, "no second process") : ta_bench_ask(b);
    ta_bench_close(b);
    if (child > 0) {
        if (status != TA_OK) kill(child, SIGKILL);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
    }
    return status;
}

static ta_status run_here(struct ta_bench *b) {
    ta_status status = b->o.listens ? ta_bench_link_listen(b->o.port, &b->link)
                                    : ta_bench_link_connect(b->o.host, b->o.port, &b->link);
    if (status == TA_OK) status = b->o.listens ? ta_bench_answer(b) : ta_bench_ask(b);
    ta_bench_close(b);
    return status;
}

ta_status ta_bench_window(int argc, char **argv) {
    struct ta_bench b = {.link = {.socket = -1}};
    ta_status status = ta_bench_options_parse(argc, argv, &b.o);
    if (b.o.wants_help) fputs(help, stdout);
    if (status != TA_OK || b.o.wants_help) return status;
    bool apart = b.o.listens || b.o.host[0] != '\0';
    cpu_set_t before;
    bool pinned = sched_getaffinity(0, sizeof before, &before) == 0;
    status = size_windows(&b);
    if (status == TA_OK) status = ta_pin_plan(&(struct ta_pin_ask){.replicas = apart ? 1 : 2, .threads = 1}, &b.pin);
    if (status != TA_OK) return status;
    b.one_core = b.pin.cores < 2;
    if (b.o.rows > 0) status = choose_rows(&b);
    if (status == TA_OK) status = apart ? run_here(&b) : run_both(&b);
    if (pinned) (void)sched_setaffinity(0, sizeof before, &before);
    ta_pin_free(&b.pin);
    ta_mem_free(b.list);
    return status;
}
