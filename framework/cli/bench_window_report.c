/* The tables of `tensair bench window`. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "bench_window.h"
#include "rng.h"

enum { VERIFY_ROUNDS = 3, FIGURE_BIG = 4 << 20, FIGURE_MEGA = 1 << 20, FIGURE_SMALL = 64, TURNS = 7 };

/* ---- the machine ---- */

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

static void print_machine(const struct ta_bench *b) {
    struct utsname system = {0};
    (void)uname(&system);
    printf("# machine: ");
    print_cpu();
    print_l3();
    printf(", %u cores for this process, %s %s\n", b->pin.cores, system.sysname, system.release);
    const char *cores = b->one_core ? "both processes share the one core, so times say little"
                                    : "each process on a core of its own";
    if (b->o.host[0] != '\0') cores = b->one_core ? "one core a side, shared with the device" : "between two machines";
    printf("# transport %s; %s; buffers warm, in turns with %s\n", b->ops->name, cores,
           b->o.perftest ? "perftest's programs" : "memcpy");
    printf("# here: %s\n# there: %s\n", b->said, b->theirs);
}

/* ---- puts of one piece ---- */

static void print_figures(const char *name, size_t bytes, const struct ta_perf_rate *rate,
                          const struct ta_perf_delay *delay) {
    if (strcmp(name, "shm") != 0) return;
    if (bytes == FIGURE_BIG) printf("FIGURE %s_put_4MiB_vs_memcpy %.2f ratio asked >= 0.80\n", name, rate->ratio);
    if (bytes == FIGURE_SMALL) printf("FIGURE %s_put_64B_visible %.2f us asked < 1\n", name, delay->median_ns / 1e3);
}

static ta_status verify(struct ta_bench *b, size_t bytes) {
    uint64_t wrong = 0;
    ta_status status = ta_perf_verify(&b->side, bytes, VERIFY_ROUNDS, &wrong);
    if (status == TA_OK && wrong > 0)
        return ta_fail(TA_FAILED, "%" PRIu64 " bytes of %d puts of %zu bytes were wrong", wrong, VERIFY_ROUNDS, bytes);
    return status;
}

static ta_status measure_size(struct ta_bench *b, size_t bytes, double empty_ns) {
    struct ta_perf_rate rate;
    struct ta_perf_delay delay;
    ta_status status = ta_perf_rate(&b->side, bytes, b->o.seconds, &rate);
    if (status == TA_OK)
        status = ta_perf_delay(&b->side, bytes, b->o.seconds, bytes > FIGURE_SMALL ? empty_ns : 0, &delay);
    if (status == TA_OK && b->o.verify) status = verify(b, bytes);
    if (status != TA_OK) return status;
    double size = (double)bytes;
    printf("%12zu %9.4g %9.4g %6.2f %11.0f %13.2f %7.2f %6.2f%s\n", bytes, size / rate.put_ns, size / rate.memcpy_ns,
           rate.ratio, 1e9 / rate.put_ns, delay.least_ns / 1e3, delay.median_ns / 1e3, delay.p99_ns / 1e3,
           b->o.verify ? "  every byte right" : "");
    print_figures(b->ops->name, bytes, &rate, &delay);
    fflush(stdout);
    return TA_OK;
}

static ta_status measure_sizes(struct ta_bench *b) {
    struct ta_perf_delay empty = {0};
    printf("%12s %9s %9s %6s %11s %28s\n", "bytes", "put GB/s", "memcpy", "ratio", "puts/s",
           "seen us: least  median  p99");
    ta_status status = ta_perf_delay(&b->side, FIGURE_SMALL, b->o.seconds, 0, &empty);
    for (unsigned i = 0; i < b->o.n_sizes && status == TA_OK; i++)
        status = measure_size(b, b->o.sizes[i], 2 * empty.median_ns);
    return status;
}

/* ---- scattered rows ---- */

static void shuffle(uint32_t *list, uint32_t n) {
    struct ta_rng rng = ta_rng_make(2, 0x726f7773);
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = ta_rng_below(&rng, i), swap = list[j];
        list[j] = list[i - 1];
        list[i - 1] = swap;
    }
}

static ta_status measure_rows(struct ta_bench *b, size_t row_bytes, const char *order) {
    struct ta_perf_rows rows = {row_bytes, 2 * (size_t)b->o.rows, b->list, b->o.rows};
    struct ta_perf_rate rate;
    uint64_t wrong = 0;
    ta_status status = ta_perf_rows_rate(&b->side, &rows, b->o.seconds, &rate);
    if (status == TA_OK && b->o.verify) status = ta_perf_rows_verify(&b->side, &rows, VERIFY_ROUNDS, &wrong);
    if (status != TA_OK) return status;
    double bytes = (double)row_bytes * b->o.rows;
    printf("%12zu %9s %9.4g %9.4g %6.2f %11.0f%s\n", row_bytes, order, bytes / rate.put_ns, bytes / rate.memcpy_ns,
           rate.ratio, 1e9 * b->o.rows / rate.put_ns, b->o.verify ? "  every byte right" : "");
    fflush(stdout);
    if (wrong > 0)
        return ta_fail(TA_FAILED, "%" PRIu64 " bytes of %d puts of %u rows of %zu bytes were wrong", wrong,
                       VERIFY_ROUNDS, b->o.rows, row_bytes);
    return TA_OK;
}

static ta_status measure_orders(struct ta_bench *b) {
    ta_status status = TA_OK;
    printf("# %u rows of a table of %u, none twice\n", b->o.rows, 2 * b->o.rows);
    printf("%12s %9s %9s %9s %6s %11s\n", "row bytes", "order", "put GB/s", "memcpy", "ratio", "rows/s");
    for (int shuffled = 0; shuffled < 2 && status == TA_OK; shuffled++) {
        if (shuffled) shuffle(b->list, b->o.rows);
        for (unsigned i = 0; i < b->o.n_sizes && status == TA_OK; i++)
            status = measure_rows(b, b->o.sizes[i], shuffled ? "shuffled" : "in order");
    }
    return status;
}

/* ---- beside perftest ---- */

static double median(double *values) {
    for (unsigned i = 1; i < TURNS; i++)
        for (unsigned j = i; j > 0 && values[j] < values[j - 1]; j--) {
            double swap = values[j];
            values[j] = values[j - 1];
            values[j - 1] = swap;
        }
    return values[TURNS / 2];
}

static uint32_t iterations(double seconds, double ns_each) {
    double n = seconds * 1e9 / ns_each;
    return n < 10 ? 10 : n > 20000 ? 20000 : (uint32_t)n;
}

/* Ours once, then theirs for about as long. */
static ta_status take_turn(struct ta_bench *b, size_t bytes, double ours[2], double theirs[2]) {
    struct ta_perf_rate rate = {0};
    struct ta_perf_delay delay = {0}, empty = {0};
    ta_status status = ta_bench_link_send(&b->link, TA_BENCH_ANSWER, NULL, 0);
    if (status == TA_OK) status = ta_perf_rate(&b->side, bytes, b->o.seconds, &rate);
    if (status == TA_OK && bytes > FIGURE_SMALL)
        status = ta_perf_delay(&b->side, FIGURE_SMALL, b->o.seconds, 0, &empty);
    if (status == TA_OK) status = ta_perf_delay(&b->side, bytes, b->o.seconds, 2 * empty.median_ns, &delay);
    if (status == TA_OK && b->o.verify) status = verify(b, bytes);
    if (status == TA_OK) status = ta_perf_stop(&b->side);
    if (status != TA_OK) return status;
    ours[0] = (double)bytes / rate.put_ns * 1e9;
    ours[1] = delay.median_ns;
    struct ta_bench_job jobs[2] = {
        {.bytes = bytes, .iterations = iterations(b->o.seconds, rate.put_ns)},
        {.bytes = bytes, .iterations = iterations(b->o.seconds, 2 * delay.median_ns), .latency = 1}};
    status = ta_bench_perftest(b, &jobs[0], &theirs[0]);
    return status == TA_OK ? ta_bench_perftest(b, &jobs[1], &theirs[1]) : status;
}

static ta_status compare_size(struct ta_bench *b, size_t bytes) {
    double put[TURNS], seen[TURNS], write_bw[TURNS], write_lat[TURNS], fast[TURNS], slow[TURNS];
    for (unsigned turn = 0; turn < TURNS; turn++) {
        double ours[2], theirs[2];
        ta_status status = take_turn(b, bytes, ours, theirs);
        if (status != TA_OK) return status;
        put[turn] = ours[0];
        seen[turn] = ours[1];
        write_bw[turn] = theirs[0];
        write_lat[turn] = theirs[1];
        fast[turn] = ours[0] / theirs[0];
        slow[turn] = ours[1] / theirs[1];
    }
    double rate = median(put), delay = median(seen), their_rate = median(write_bw), their_delay = median(write_lat);
    double rate_ratio = median(fast), delay_ratio = median(slow); /* of one turn: a busy moment touches both sides */
    printf("%12zu %9.4g %11.4g %6.2f %11.2f %12.2f %6.2f%s\n", bytes, rate / 1e9, their_rate / 1e9, rate_ratio,
           delay / 1e3, their_delay / 1e3, delay_ratio, b->o.verify ? "  every byte right" : "");
    if (bytes == FIGURE_MEGA)
        printf("FIGURE verbs_put_1MiB_vs_ib_write_bw %.3f ratio asked >= 0.95\n", rate_ratio);
    if (bytes == FIGURE_SMALL)
        printf("FIGURE verbs_put_64B_vs_ib_write_lat %.3f ratio asked <= 1.10\n", delay_ratio);
    fflush(stdout);
    return TA_OK;
}

static ta_status compare_sizes(struct ta_bench *b) {
    ta_status status = TA_OK;
    printf("# medians of %d turns; seen: one way, with the 64 bytes behind it, as ib_write_lat's typical time\n",
           TURNS);
    printf("%12s %9s %11s %6s %11s %12s %6s\n", "bytes", "put GB/s", "ib_write_bw", "ratio", "seen us", "ib_write_lat",
           "ratio");
    for (unsigned i = 0; i < b->o.n_sizes && status == TA_OK; i++) status = compare_size(b, b->o.sizes[i]);
    return status;
}

ta_status ta_bench_report(struct ta_bench *b) {
    print_machine(b);
    fflush(stdout);
    if (b->o.perftest) return compare_sizes(b);
    ta_status status = ta_bench_link_send(&b->link, TA_BENCH_ANSWER, NULL, 0);
    if (status == TA_OK) status = b->o.rows > 0 ? measure_orders(b) : measure_sizes(b);
    return status == TA_OK ? ta_perf_stop(&b->side) : status;
}
