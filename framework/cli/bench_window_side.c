/* One of the two processes of `tensair bench window`: the asker measures, the answerer does as it is told. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench_window.h"
#include "clock.h"

enum { WORDS_MS = 4000 };

/* Chosen as for a run of two replicas; the other side is told what it was. */
static ta_status choose(struct ta_bench *b, const char *name, unsigned per_node) {
    char why[512];
    struct ta_transport_spec spec = b->o.spec;
    spec.type = (char *)(uintptr_t)name; /* is only read */
    ta_status status = ta_transport_choose(&spec, 2, per_node, &b->ops, why, sizeof why);
    if (status == TA_OK && (b->ops == &ta_transport_self || b->ops == &ta_transport_sim))
        return ta_fail(TA_USAGE, "--transport %s: needs a transport between two processes, as shm", name);
    return status;
}

static ta_status open_side(struct ta_bench *b, const struct ta_bench_hello *hello, unsigned rank) {
    struct ta_perf_side *side = &b->side;
    struct ta_transport_config config = {
        .rank = rank, .n_ranks = 2, .per_node = hello->per_node, .run_id = hello->run_id, .spec = &b->o.spec};
    *side = (struct ta_perf_side){.ops = b->ops,
                                  .peer = 1 - rank,
                                  .max_bytes = hello->max_bytes,
                                  .asks = rank == 0,
                                  .yield = b->one_core,
                                  .watch = b->link.socket};
    /* Before the window, so that its memory is near this core. */
    ta_pin_bind(&b->pin, b->place);
    ta_status status = b->ops->open(&config, &side->transport);
    if (status == TA_OK)
        status = b->ops->window_create(side->transport, ta_perf_window_bytes(side->max_bytes), &side->window);
    if (status == TA_OK) status = ta_perf_prepare(side);
    if (status == TA_OK) b->ops->describe(side->transport, b->said, sizeof b->said);
    return status;
}

static ta_status connect_sides(struct ta_bench *b) {
    struct ta_perf_side *side = &b->side;
    struct ta_key ours = {.bytes = 0}, theirs;
    ta_status status = b->ops->key_make(side->transport, side->peer, &ours);
    if (status == TA_OK) status = ta_bench_link_send(&b->link, TA_BENCH_KEY, &ours, sizeof ours);
    if (status == TA_OK) status = ta_bench_link_expect(&b->link, TA_BENCH_KEY, &theirs, sizeof theirs);
    if (status == TA_OK && theirs.bytes > TA_KEY_BYTES)
        return ta_fail(TA_PEER, "the other side's key has %u bytes, more than %d", theirs.bytes, TA_KEY_BYTES);
    if (status == TA_OK) status = b->ops->connect(side->transport, side->peer, &theirs);
    if (status == TA_OK) b->link.side = side;
    if (status == TA_OK) status = ta_bench_link_send(&b->link, TA_BENCH_READY, NULL, 0);
    if (status == TA_OK) status = ta_bench_link_expect(&b->link, TA_BENCH_READY, NULL, 0);
    b->link.side = NULL;
    return status;
}

/* Nothing is closed before both have all: what is in flight would be lost. */
static ta_status say_bye(struct ta_bench *b) {
    b->link.side = &b->side;
    ta_status status = ta_bench_link_send(&b->link, TA_BENCH_BYE, NULL, 0);
    if (status == TA_OK && b->side.asks) status = ta_bench_link_expect(&b->link, TA_BENCH_BYE, NULL, 0);
    b->link.side = NULL;
    return status;
}

/* The other side learns why, in case it has not failed itself. */
static ta_status tell(struct ta_bench *b, ta_status status) {
    char why[1024];
    if (status == TA_OK) return status;
    snprintf(why, sizeof why, "%s", ta_why());
    (void)ta_bench_link_send(&b->link, TA_BENCH_FAILED, why, strlen(why));
    return ta_fail(status, "%s", why);
}

/* What broke first is often the path; the other side's own words say more, if they come. */
static ta_status their_words(struct ta_bench *b, ta_status status) {
    char why[1024];
    struct pollfd socket = {.fd = b->link.socket, .events = POLLIN};
    if (status != TA_PEER || poll(&socket, 1, WORDS_MS) <= 0) return status;
    snprintf(why, sizeof why, "%s", ta_why());
    enum ta_bench_message kind = TA_BENCH_FAILED;
    (void)ta_bench_link_receive(&b->link, &kind, NULL, 0);
    return strncmp(ta_why(), "the other side: ", 16) == 0 ? TA_PEER : ta_fail(status, "%s", why);
}

static ta_status begin(struct ta_bench *b) {
    struct ta_bench_hello hello = {.version = TA_BENCH_VERSION,
                                   .per_node = b->o.host[0] != '\0',
                                   .run_id = (uint64_t)ta_clock_now_ns() << 20 ^ (uint64_t)getpid(),
                                   .max_bytes = b->max_bytes};
    const char *name = b->o.transport != NULL ? b->o.transport : hello.per_node ? "auto" : "shm";
    ta_status status = choose(b, name, hello.per_node);
    if (status == TA_OK) snprintf(hello.transport, sizeof hello.transport, "%s", b->ops->name);
    if (status == TA_OK && b->o.perftest) status = ta_bench_perftest_check(b);
    if (status == TA_OK) status = open_side(b, &hello, 0);
    if (status == TA_OK) status = ta_bench_link_send(&b->link, TA_BENCH_HELLO, &hello, sizeof hello);
    if (status == TA_OK) status = ta_bench_link_expect(&b->link, TA_BENCH_HELLO, b->theirs, sizeof b->theirs);
    b->theirs[sizeof b->theirs - 1] = '\0';
    return status == TA_OK ? connect_sides(b) : status;
}

ta_status ta_bench_ask(struct ta_bench *b) {
    ta_status status = begin(b);
    if (status == TA_OK) status = ta_bench_report(b);
    if (status == TA_OK) status = say_bye(b);
    return tell(b, their_words(b, status));
}

/* ---- the answerer ---- */

static ta_status meet(struct ta_bench *b) {
    struct ta_bench_hello hello;
    ta_status status = ta_bench_link_expect(&b->link, TA_BENCH_HELLO, &hello, sizeof hello);
    if (status != TA_OK) return status;
    hello.transport[sizeof hello.transport - 1] = '\0';
    if (hello.version != TA_BENCH_VERSION)
        return ta_fail(TA_PEER, "this side is of version %d, the other of %u", TA_BENCH_VERSION, hello.version);
    if (b->o.listens && b->o.transport != NULL && strcmp(b->o.transport, hello.transport) != 0)
        return ta_fail(TA_USAGE, "--transport is %s here, and %s on the other side", b->o.transport, hello.transport);
    if (hello.max_bytes > SIZE_MAX / 2)
        return ta_fail(TA_PEER, "asked for a window of %" PRIu64 " bytes", hello.max_bytes);
    status = choose(b, hello.transport, hello.per_node);
    if (status == TA_OK) status = open_side(b, &hello, 1);
    if (status == TA_OK) status = ta_bench_link_send(&b->link, TA_BENCH_HELLO, b->said, sizeof b->said);
    return status == TA_OK ? connect_sides(b) : status;
}

static ta_status obey(struct ta_bench *b, struct ta_bench_program *program) {
    struct ta_bench_job job = {0};
    uint32_t port;
    for (;;) {
        enum ta_bench_message kind = TA_BENCH_MESSAGES;
        ta_status status = ta_bench_link_receive(&b->link, &kind, &job, sizeof job);
        if (status == TA_OK) switch (kind) {
            case TA_BENCH_ANSWER: status = ta_perf_answer(&b->side); break;
            case TA_BENCH_PERFTEST:
                status = ta_bench_perftest_serve(b, &job, program, &port);
                if (status == TA_OK) status = ta_bench_link_send(&b->link, TA_BENCH_PERFTEST, &port, sizeof port);
                break;
            case TA_BENCH_REAP:
                status = ta_bench_perftest_reap(program);
                if (status == TA_OK) status = ta_bench_link_send(&b->link, TA_BENCH_REAP, NULL, 0);
                break;
            case TA_BENCH_BYE: return say_bye(b);
            default: status = ta_fail(TA_PEER, "the other side sent message %d out of turn", (int)kind);
            }
        if (status != TA_OK) return status;
    }
}

ta_status ta_bench_answer(struct ta_bench *b) {
    struct ta_bench_program program = {.output = -1};
    ta_status status = meet(b);
    if (status == TA_OK) status = obey(b, &program);
    status = tell(b, their_words(b, status));
    if (program.pid > 0) (void)ta_bench_perftest_reap(&program);
    return status;
}

void ta_bench_close(struct ta_bench *b) {
    if (b->ops != NULL) b->ops->close(b->side.transport);
    ta_perf_release(&b->side);
    ta_bench_link_close(&b->link);
}
