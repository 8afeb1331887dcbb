/* bench window: forks a peer, gives each side a core, and prints what rdma/perf.h measures, by size. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "mem.h"
#include "perf.h"
#include "pin.h"
#include "rng.h"
#include "transport.h"

enum { MAX_SIZES = 64, VERIFY_ROUNDS = 3, FIGURE_BIG = 4 << 20, FIGURE_SMALL = 64, MAX_ROWS = 1 << 28 };

static const char help[] =
    "usage: tensair bench window [options]\n"
    "\n"
    "Puts into the window of a second process, each process on a core of its own. By size: bandwidth of puts and of\n"
    "memcpy between two private buffers, in turns in the same run, all buffers warm; puts a second; and the time from\n"
    "the start of a put until the peer has seen all of it (64 bytes: half a round trip).\n"
    "\n"
    "  --transport NAME    shm (default)\n"
    "  --sizes LIST        bytes, with K, M or G behind them (default 8,64,1K,4K,16K,64K,256K,1M,4M,16M,64M)\n"
    "  --seconds S         for each size and column (default 0.4)\n"
    "  --rows N            instead: N random rows, none twice, of a table of 2 N, in one put; its bandwidth beside a\n"
    "                      memcpy of as many bytes in one piece, with rows in the order of the table and shuffled\n"
    "  --row-bytes LIST    bytes of a row (default 448,1216)\n"
    "  --verify            also compare every byte of a few puts of each size\n";

struct options {
    const char *transport;
    size_t sizes[MAX_SIZES];
    unsigned n_sizes;
    double seconds;
    uint32_t rows; /* 0: puts of one piece; else `sizes` are of a row */
    bool verify;
};

/* ---- the command line ---- */

static ta_status parse_sizes(const char *option, const char *text, struct options *o) {
    o->n_sizes = 0;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        unsigned long long value = strtoull(at, &end, 10);
        unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
        bool plain = *at >= '0' && *at <= '9' && errno == 0;
        at = end + (shift > 0);
        if (!plain || value == 0 || value > (UINT64_C(1) << 40) >> shift || (*at != ',' && *at != '\0'))
            return ta_fail(TA_USAGE, "%s: '%s' is not a list of sizes like 64,4K,1M", option, text);
        if (o->n_sizes == MAX_SIZES) return ta_fail(TA_USAGE, "%s: more than %d sizes", option, MAX_SIZES);
        o->sizes[o->n_sizes++] = (size_t)(value << shift);
        if (*at == '\0') return TA_OK;
    }
}

static ta_status parse_seconds(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(*out) || *out <= 0)
        return ta_fail(TA_USAGE, "--seconds: '%s' is not a number above 0", text);
    return TA_OK;
}

static ta_status parse_rows(const char *text, uint32_t *out) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value == 0 || value > MAX_ROWS)
        return ta_fail(TA_USAGE, "--rows: '%s' is not a number from 1 to %d", text, MAX_ROWS);
    *out = (uint32_t)value;
    return TA_OK;
}

static ta_status parse(int argc, char **argv, struct options *o, bool *wants_help) {
    static const struct option known[] = {{"transport", required_argument, NULL, 't'},
                                          {"sizes", required_argument, NULL, 's'},
                                          {"seconds", required_argument, NULL, 'n'},
                                          {"rows", required_argument, NULL, 'r'},
                                          {"row-bytes", required_argument, NULL, 'b'},
                                          {"verify", no_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct options){.transport = "shm", .seconds = 0.4};
    const char *sizes = NULL, *row_bytes = NULL;
    ta_status status = TA_OK;
    optind = 1;
    opterr = 0;
    for (int letter; status == TA_OK && (letter = getopt_long(argc, argv, "", known, NULL)) != -1;) switch (letter) {
        case 't': o->transport = optarg; break;
        case 's': sizes = optarg; break;
        case 'r': status = parse_rows(optarg, &o->rows); break;
        case 'b': row_bytes = optarg; break;
        case 'n': status = parse_seconds(optarg, &o->seconds); break;
        case 'v': o->verify = true; break;
        case 'h': *wants_help = true; return TA_OK;
        default: return ta_fail(TA_USAGE, "unknown or incomplete option; see tensair bench window --help");
        }
    if (status == TA_OK && optind != argc)
        return ta_fail(TA_USAGE, "'%s' is not an option; see tensair bench window --help", argv[optind]);
    if (status == TA_OK && (o->rows > 0 ? sizes : row_bytes) != NULL)
        return ta_fail(TA_USAGE, "%s", o->rows > 0 ? "--sizes does not go with --rows: rows have --row-bytes"
                                                   : "--row-bytes needs --rows: how many rows");
    if (status == TA_OK && o->rows > 0) return parse_sizes("--row-bytes", row_bytes ? row_bytes : "448,1216", o);
    if (status == TA_OK) return parse_sizes("--sizes", sizes ? sizes : "8,64,1K,4K,16K,64K,256K,1M,4M,16M,64M", o);
    return status;
}

/* ---- two sides ---- */

/* What one process needs before it forks and after. */
struct bench {
    struct options o;
    const struct ta_transport_ops *ops;
    struct ta_pin pin;
    bool one_core;
    size_t max_bytes;
    uint32_t *list; /* of --rows: that many of twice as many, in the order of the table */
    int socket; /* to the other side: keys travel over it */
};

static bool exchange_keys(int socket, const struct ta_key *ours, struct ta_key *theirs) {
    return send(socket, ours, sizeof *ours, MSG_NOSIGNAL) == (ssize_t)sizeof *ours &&
           recv(socket, theirs, sizeof *theirs, MSG_WAITALL) == (ssize_t)sizeof *theirs;
}

static ta_status open_side(const struct bench *b, unsigned rank, struct ta_perf_side *side) {
    struct ta_transport_config config = {.rank = rank, .n_ranks = 2, .run_id = (uint64_t)getppid() << 32 | 1};
    if (rank == 0) config.run_id = (uint64_t)getpid() << 32 | 1;
    *side = (struct ta_perf_side){.ops = b->ops, .peer = 1 - rank, .max_bytes = b->max_bytes, .yield = b->one_core};
    /* Before the window, so that its memory is near this core. */
    (void)sched_setaffinity(0, sizeof b->pin.sets[rank], &b->pin.sets[rank]);
    ta_status status = b->ops->open(&config, &side->transport);
    if (status != TA_OK) return status;
    struct ta_key ours, theirs;
    status = b->ops->window_create(side->transport, ta_perf_window_bytes(b->max_bytes), &side->window);
    if (status == TA_OK) status = b->ops->key_make(side->transport, side->peer, &ours);
    if (status == TA_OK && !exchange_keys(b->socket, &ours, &theirs))
        status = ta_fail(TA_PEER, "the second process ended before it was ready");
    if (status == TA_OK) status = b->ops->connect(side->transport, side->peer, &theirs);
    if (status == TA_OK && rank == 0) status = ta_perf_prepare(side);
    return status;
}

static void close_side(struct ta_perf_side *side) {
    ta_perf_release(side);
    side->ops->close(side->transport);
}

static int answer(const struct bench *b) {
    struct ta_perf_side side;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ta_status status = open_side(b, 1, &side);
    if (status == TA_OK) status = ta_perf_answer(&side);
    if (status != TA_OK) fprintf(stderr, "tensair bench: the second process: %s\n", ta_why());
    close_side(&side);
    return ta_status_exit_code(status);
}

/* ---- the report ---- */

static void print_cpu(void) {
    char line[256], *name = NULL;
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file != NULL && name == NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "model name", 10) == 0) name = strchr(line, ':');
    if (name != NULL) name[strcspn(name, "\n")] = '\0';
    printf("%s", name != NULL ? name + 2 : "unknown processor");
    if (file != NULL) fclose(file);
}

/* From sysfs: sysconf counts the caches of the whole package on some processors. */
static void print_l3(void) {
    char size[32] = "?";
    FILE *file = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "r");
    if (file != NULL && fgets(size, sizeof size, file) != NULL) size[strcspn(size, "\n")] = '\0';
    printf(", L3 %s", size);
    if (file != NULL) fclose(file);
}

static void print_machine(const struct bench *b) {
    struct utsname system = {0};
    (void)uname(&system);
    printf("# machine: ");
    print_cpu();
    print_l3();
    printf(", %u cores for this process, %s %s\n", b->pin.cores, system.sysname, system.release);
    printf("# transport %s; %s; buffers warm, in turns with memcpy\n", b->ops->name,
           b->one_core ? "both processes share the one core, so times say little"
                       : "each process on a core of its own");
    if (b->o.rows > 0) {
        printf("# %u rows of a table of %u, none twice\n", b->o.rows, 2 * b->o.rows);
        printf("%12s %9s %9s %9s %6s %11s\n", "row bytes", "order", "put GB/s", "memcpy", "ratio", "rows/s");
        return;
    }
    printf("%12s %9s %9s %6s %11s %28s\n", "bytes", "put GB/s", "memcpy", "ratio", "puts/s",
           "seen us: least  median  p99");
}

static void print_figures(const char *name, size_t bytes, const struct ta_perf_rate *rate,
                          const struct ta_perf_delay *delay) {
    if (bytes == FIGURE_BIG) printf("FIGURE %s_put_4MiB_vs_memcpy %.2f ratio asked >= 0.80\n", name, rate->ratio);
    if (bytes == FIGURE_SMALL) printf("FIGURE %s_put_64B_visible %.2f us asked < 1\n", name, delay->median_ns / 1e3);
}

static ta_status measure_size(const struct bench *b, struct ta_perf_side *side, size_t bytes, double empty_ns) {
    struct ta_perf_rate rate;
    struct ta_perf_delay delay;
    uint64_t wrong = 0;
    ta_status status = ta_perf_rate(side, bytes, b->o.seconds, &rate);
    if (status == TA_OK) status = ta_perf_delay(side, bytes, b->o.seconds, bytes > FIGURE_SMALL ? empty_ns : 0, &delay);
    if (status == TA_OK && b->o.verify) status = ta_perf_verify(side, bytes, VERIFY_ROUNDS, &wrong);
    if (status != TA_OK) return status;
    double size = (double)bytes;
    printf("%12zu %9.2f %9.2f %6.2f %11.0f %13.2f %7.2f %6.2f%s\n", bytes, size / rate.put_ns, size / rate.memcpy_ns,
           rate.ratio, 1e9 / rate.put_ns, delay.least_ns / 1e3, delay.median_ns / 1e3, delay.p99_ns / 1e3,
           b->o.verify ? "  every byte right" : "");
    print_figures(b->ops->name, bytes, &rate, &delay);
    fflush(stdout);
    if (wrong > 0)
        return ta_fail(TA_FAILED, "%" PRIu64 " bytes of %d puts of %zu bytes were wrong", wrong, VERIFY_ROUNDS, bytes);
    return TA_OK;
}

/* ---- rows ---- */

/* Each row is taken with the chance that leaves exactly as many as asked for (Knuth, algorithm 3.4.2 S). */
static ta_status choose_rows(struct bench *b) {
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

static void shuffle(uint32_t *list, uint32_t n) {
    struct ta_rng rng = ta_rng_make(2, 0x726f7773);
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = ta_rng_below(&rng, i), swap = list[j];
        list[j] = list[i - 1];
        list[i - 1] = swap;
    }
}

static struct ta_perf_rows rows_of(const struct bench *b, size_t row_bytes) {
    return (struct ta_perf_rows){row_bytes, 2 * (size_t)b->o.rows, b->list, b->o.rows};
}

static ta_status measure_rows(const struct bench *b, struct ta_perf_side *side, size_t row_bytes, const char *order) {
    struct ta_perf_rows rows = rows_of(b, row_bytes);
    struct ta_perf_rate rate;
    uint64_t wrong = 0;
    ta_status status = ta_perf_rows_rate(side, &rows, b->o.seconds, &rate);
    if (status == TA_OK && b->o.verify) status = ta_perf_rows_verify(side, &rows, VERIFY_ROUNDS, &wrong);
    if (status != TA_OK) return status;
    double bytes = (double)row_bytes * b->o.rows;
    printf("%12zu %9s %9.2f %9.2f %6.2f %11.0f%s\n", row_bytes, order, bytes / rate.put_ns, bytes / rate.memcpy_ns,
           rate.ratio, 1e9 * b->o.rows / rate.put_ns, b->o.verify ? "  every byte right" : "");
    fflush(stdout);
    if (wrong > 0)
        return ta_fail(TA_FAILED, "%" PRIu64 " bytes of %d puts of %u rows of %zu bytes were wrong", wrong,
                       VERIFY_ROUNDS, b->o.rows, row_bytes);
    return TA_OK;
}

static ta_status measure_orders(const struct bench *b, struct ta_perf_side *side) {
    ta_status status = TA_OK;
    for (int shuffled = 0; shuffled < 2 && status == TA_OK; shuffled++) {
        if (shuffled) shuffle(b->list, b->o.rows);
        for (unsigned i = 0; i < b->o.n_sizes && status == TA_OK; i++)
            status = measure_rows(b, side, b->o.sizes[i], shuffled ? "shuffled" : "in order");
    }
    return status;
}

static ta_status measure_sizes(const struct bench *b, struct ta_perf_side *side) {
    struct ta_perf_delay empty = {0};
    ta_status status = ta_perf_delay(side, FIGURE_SMALL, b->o.seconds, 0, &empty);
    for (unsigned i = 0; i < b->o.n_sizes && status == TA_OK; i++)
        status = measure_size(b, side, b->o.sizes[i], 2 * empty.median_ns);
    return status;
}

static ta_status measure(const struct bench *b) {
    struct ta_perf_side side;
    ta_status status = open_side(b, 0, &side);
    if (status != TA_OK) goto close;
    print_machine(b);
    status = b->o.rows > 0 ? measure_orders(b, &side) : measure_sizes(b, &side);
    if (status == TA_OK) status = ta_perf_stop(&side);
close:
    close_side(&side);
    return status;
}

/* Both processes; the second is gone when this returns. */
static ta_status run(struct bench *b) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return ta_fail_errno(TA_IO, "socketpair");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        b->socket = ends[1];
        _exit(answer(b));
    }
    close(ends[1]);
    b->socket = ends[0];
    ta_status status = child < 0 ? ta_fail_errno(TA_FAILED, "no second process") : measure(b);
    close(ends[0]);
    if (child > 0) {
        if (status != TA_OK) kill(child, SIGKILL);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
    }
    return status;
}

ta_status ta_bench_window(int argc, char **argv) {
    struct bench b = {.socket = -1};
    bool wants_help = false;
    ta_status status = parse(argc, argv, &b.o, &wants_help);
    if (wants_help) fputs(help, stdout);
    if (status != TA_OK || wants_help) return status;
    status = ta_transport_find(b.o.transport, &b.ops);
    if (status != TA_OK) return status;
    if (b.ops == &ta_transport_self || b.ops == &ta_transport_sim)
        return ta_fail(TA_USAGE, "--transport %s: needs a transport between two processes, as shm", b.o.transport);
    for (unsigned i = 0; i < b.o.n_sizes; i++) {
        size_t bytes = b.o.sizes[i];
        struct ta_perf_rows rows = rows_of(&b, bytes);
        if (b.o.rows > 0) status = ta_perf_rows_bytes(&rows, &bytes);
        if (status != TA_OK) return status;
        if (bytes > b.max_bytes) b.max_bytes = bytes;
    }
    cpu_set_t before;
    bool pinned = sched_getaffinity(0, sizeof before, &before) == 0;
    status = ta_pin_plan(2, 1, &b.pin);
    if (status != TA_OK) return status;
    b.one_core = b.pin.cores < 2;
    if (b.o.rows > 0) status = choose_rows(&b);
    if (status == TA_OK) status = run(&b);
    if (pinned) (void)sched_setaffinity(0, sizeof before, &before);
    ta_pin_free(&b.pin);
    ta_mem_free(b.list);
    return status;
}
