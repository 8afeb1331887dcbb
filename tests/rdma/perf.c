/* The measuring itself: it ends, its numbers are sane, and it sees a transport that gets bytes wrong. */
#include "perf.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_BYTES = 1 << 20, TABLE_ROWS = 50, LISTED = 7 };

static const struct ta_transport_ops *real_ops(void) { return &ta_transport_shm; }

/* A put that leaves out the last byte of a long segment, and puts another row than the last one of a list. */
static ta_status careless_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                              unsigned n_segments) {
    struct ta_put_segment copy[TA_PUT_MAX_SEGMENTS];
    uint32_t list[LISTED];
    for (unsigned i = 0; i < n_segments; i++) {
        copy[i] = segments[i];
        if (copy[i].rows == NULL) {
            copy[i].bytes -= copy[i].bytes > TABLE_ROWS * 40;
        } else {
            memcpy(list, copy[i].rows, sizeof list);
            list[LISTED - 1] = 1; /* no list of the test has it */
            copy[i].rows = list;
        }
    }
    return real_ops()->put(t, peer, copy, n_segments);
}

/* A put that flies: it is taken, lands with the second progress after that, and only one more has room meanwhile. */
static struct flying {
    struct ta_put_segment segments[2][TA_PUT_MAX_SEGMENTS];
    unsigned n_segments[2], n, looks, busy;
} flying;

static ta_status flying_put(struct ta_transport *t, unsigned peer, const struct ta_put_segment *segments,
                            unsigned n_segments) {
    (void)t, (void)peer;
    flying.busy += flying.n == 2;
    if (flying.n == 2) return TA_BUSY;
    memcpy(flying.segments[flying.n], segments, n_segments * sizeof *segments);
    flying.n_segments[flying.n++] = n_segments;
    return TA_OK;
}

static ta_status flying_progress(struct ta_transport *t, int64_t now_ns) {
    ta_status status = real_ops()->progress(t, now_ns);
    if (status != TA_OK || flying.n == 0 || ++flying.looks % 2 == 1) return status;
    status = real_ops()->put(t, 1, flying.segments[0], flying.n_segments[0]);
    memcpy(flying.segments[0], flying.segments[1], sizeof flying.segments[0]);
    flying.n_segments[0] = flying.n_segments[1];
    flying.n--;
    return status;
}

static unsigned flying_in_flight(const struct ta_transport *t, unsigned peer) {
    (void)t, (void)peer;
    return flying.n;
}

static ta_status side_open(struct ta_perf_side *side, const struct ta_transport_ops *ops, unsigned rank, int socket) {
    struct ta_transport_config config = {.rank = rank, .n_ranks = 2, .run_id = 5};
    struct ta_key ours, theirs;
    *side = (struct ta_perf_side){
        .ops = ops, .peer = 1 - rank, .max_bytes = MAX_BYTES, .asks = rank == 0, .yield = true, .watch = -1};
    ta_status status = ops->open(&config, &side->transport);
    if (status == TA_OK) status = ops->window_create(side->transport, ta_perf_window_bytes(MAX_BYTES), &side->window);
    if (status == TA_OK) status = ta_perf_prepare(side);
    if (status == TA_OK) status = ops->key_make(side->transport, side->peer, &ours);
    if (status != TA_OK) return status;
    if (write(socket, &ours, sizeof ours) != sizeof ours) return TA_IO;
    if (recv(socket, &theirs, sizeof theirs, MSG_WAITALL) != sizeof theirs) return TA_IO;
    return ops->connect(side->transport, side->peer, &theirs);
}

static pid_t start(struct ta_perf_side *side, const struct ta_transport_ops *ops) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        ta_status status = side_open(side, real_ops(), 1, ends[1]);
        if (status == TA_OK) status = ta_perf_answer(side);
        side->ops->close(side->transport);
        ta_perf_release(side);
        _exit(status == TA_OK ? 0 : 1);
    }
    close(ends[1]);
    assert_int_equal(side_open(side, ops, 0, ends[0]), TA_OK);
    close(ends[0]);
    return child;
}

static void finish(struct ta_perf_side *side, pid_t child) {
    int status;
    assert_int_equal(ta_perf_stop(side), TA_OK);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    side->ops->close(side->transport);
    ta_perf_release(side);
}

static void numbers_are_sane(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 8, 64, 65, 4096, 100001, MAX_BYTES};
    struct ta_perf_side side;
    pid_t child = start(&side, real_ops());
    struct ta_perf_delay empty;
    assert_int_equal(ta_perf_delay(&side, 64, 0.01, 0, &empty), TA_OK);
    assert_true(empty.least_ns > 0 && empty.least_ns <= empty.median_ns && empty.median_ns <= empty.p99_ns);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct ta_perf_rate rate;
        struct ta_perf_delay delay;
        uint64_t wrong = 1;
        assert_int_equal(ta_perf_rate(&side, sizes[i], 0.01, &rate), TA_OK);
        assert_true(rate.put_ns > 0 && rate.memcpy_ns > 0 && rate.ratio > 0 && rate.rounds >= 5);
        assert_true(rate.memcpy_ns / rate.put_ns == rate.ratio);
        assert_int_equal(ta_perf_delay(&side, sizes[i], 0.01, sizes[i] > 64 ? 2 * empty.median_ns : 0, &delay), TA_OK);
        assert_true(delay.least_ns <= delay.median_ns && delay.median_ns <= delay.p99_ns && delay.rounds >= 5);
        assert_int_equal(ta_perf_verify(&side, sizes[i], 3, &wrong), TA_OK);
        assert_int_equal(wrong, 0);
    }
    finish(&side, child);
}

static void puts_may_fly(void **state) {
    (void)state;
    static const uint32_t list[LISTED] = {49, 0, 12, 13, 40, 2, 30};
    struct ta_transport_ops ops = *real_ops();
    struct ta_perf_side side;
    uint64_t wrong = 1;
    flying = (struct flying){.n = 0};
    ops.put = flying_put;
    ops.progress = flying_progress;
    ops.in_flight = flying_in_flight;
    pid_t child = start(&side, &ops);
    static const size_t sizes[] = {8, 4096, MAX_BYTES};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct ta_perf_rate rate;
        struct ta_perf_delay delay;
        assert_int_equal(ta_perf_rate(&side, sizes[i], 0.01, &rate), TA_OK);
        assert_true(rate.put_ns > 0 && rate.rounds >= 5);
        assert_int_equal(ta_perf_delay(&side, sizes[i], 0.01, 0, &delay), TA_OK);
        assert_true(delay.least_ns > 0 && delay.rounds >= 5);
        assert_int_equal(ta_perf_verify(&side, sizes[i], 3, &wrong), TA_OK);
        assert_int_equal(wrong, 0);
        assert_int_equal(flying.n, 0); /* what was measured has all landed */
    }
    struct ta_perf_rows rows = {40, TABLE_ROWS, list, LISTED};
    assert_int_equal(ta_perf_rows_verify(&side, &rows, 3, &wrong), TA_OK);
    assert_int_equal(wrong, 0);
    /* One that finds no room: where the machine is slow it may take a while until two puts overlap. */
    struct ta_perf_rate rate;
    for (int i = 0; i < 300 && flying.busy == 0; i++) assert_int_equal(ta_perf_rate(&side, 64, 0.01, &rate), TA_OK);
    assert_true(flying.busy > 0);
    finish(&side, child);
}

static void wrong_bytes_are_counted(void **state) {
    (void)state;
    struct ta_transport_ops careless = *real_ops();
    struct ta_perf_side side;
    uint64_t wrong = 0;
    careless.put = careless_put;
    pid_t child = start(&side, &careless);
    assert_int_equal(ta_perf_verify(&side, 4096, 20, &wrong), TA_OK);
    assert_true(wrong >= 15 && wrong <= 20); /* the byte that is not put is right by chance once in 256 */
    finish(&side, child);
}

static void rows_are_measured_too(void **state) {
    (void)state;
    static const uint32_t list[LISTED] = {49, 0, 12, 13, 40, 2, 30};
    static const size_t sizes[] = {1, 4, 40, 448, 20000};
    struct ta_perf_side side;
    pid_t child = start(&side, real_ops());
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct ta_perf_rows rows = {sizes[i], TABLE_ROWS, list, LISTED};
        struct ta_perf_rate rate;
        size_t bytes;
        uint64_t wrong = 1;
        assert_int_equal(ta_perf_rows_bytes(&rows, &bytes), TA_OK);
        assert_true(bytes == TABLE_ROWS * (sizes[i] + 1) && bytes <= MAX_BYTES);
        assert_int_equal(ta_perf_rows_rate(&side, &rows, 0.01, &rate), TA_OK);
        assert_true(rate.put_ns > 0 && rate.memcpy_ns > 0 && rate.ratio > 0 && rate.rounds >= 5);
        assert_int_equal(ta_perf_rows_verify(&side, &rows, 3, &wrong), TA_OK);
        assert_int_equal(wrong, 0);
    }
    struct ta_perf_rows huge[] = {{SIZE_MAX, 1, list, 1}, {SIZE_MAX / 2, 3, list, 1}};
    size_t bytes;
    for (size_t i = 0; i < 2; i++) assert_int_equal(ta_perf_rows_bytes(&huge[i], &bytes), TA_INVALID);
    finish(&side, child);
}

static void wrong_rows_are_counted(void **state) {
    (void)state;
    static const uint32_t list[LISTED] = {49, 0, 12, 13, 40, 2, 30};
    struct ta_transport_ops careless = *real_ops();
    struct ta_perf_side side;
    uint64_t wrong = 0;
    careless.put = careless_put;
    pid_t child = start(&side, &careless);
    struct ta_perf_rows rows = {40, TABLE_ROWS, list, LISTED};
    assert_int_equal(ta_perf_rows_verify(&side, &rows, 20, &wrong), TA_OK);
    /* One row is old and one is new that should not be; a byte of them is right by chance once in 256. */
    assert_true(wrong > 20 * 70 && wrong <= 20 * 80);
    finish(&side, child);
}

/* The answerer of a transport that would not notice it: the socket between them does. */
static void an_asker_that_leaves_is_noticed(void **state) {
    (void)state;
    int ends[2];
    struct ta_perf_side side;
    pid_t child = start(&side, real_ops());
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0); /* after the fork: it would keep the end open */
    side.watch = ends[0];
    close(ends[1]);
    uint64_t before = side.sequence;
    assert_int_equal(ta_perf_answer(&side), TA_PEER); /* nobody will ever ask */
    assert_true(side.sequence == before);
    close(ends[0]);
    side.watch = -1;
    finish(&side, child);
}

static void a_dead_answerer_ends_it(void **state) {
    (void)state;
    struct ta_perf_side side;
    struct ta_perf_delay delay;
    pid_t child = start(&side, real_ops());
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(ta_perf_delay(&side, 64, 0.01, 0, &delay), TA_PEER);
    side.ops->close(side.transport);
    ta_perf_release(&side);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_sane),
        cmocka_unit_test(puts_may_fly),
        cmocka_unit_test(wrong_bytes_are_counted),
        cmocka_unit_test(rows_are_measured_too),
        cmocka_unit_test(wrong_rows_are_counted),
        cmocka_unit_test(an_asker_that_leaves_is_noticed),
        cmocka_unit_test(a_dead_answerer_ends_it),
    };
    return cmocka_run_group_tests_name("perf", tests, NULL, NULL);
}
