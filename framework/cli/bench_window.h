/* bench_window: what the files of `tensair bench window` share: its options, the socket between the two sides, the
 * run of one side, and perftest's programs.
 */
#ifndef TA_BENCH_WINDOW_H
#define TA_BENCH_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "perf.h"
#include "pin.h"
#include "status.h"
#include "transport.h"

/* ---- bench_window_options.c ---- */

enum { TA_BENCH_MAX_SIZES = 64 };

struct ta_bench_options {
    const char *transport; /* NULL: shm here, auto between machines, what is asked of a listener */
    struct ta_transport_spec spec;
    size_t sizes[TA_BENCH_MAX_SIZES];
    unsigned n_sizes;
    double seconds;
    uint32_t rows; /* 0: puts of one piece; else `sizes` are of a row */
    bool verify, perftest, wants_help, listens;
    char host[256]; /* of --connect; "": both sides are here */
    unsigned port;  /* of --listen or --connect */
};

/* Errors: USAGE. */
ta_status ta_bench_options_parse(int argc, char **argv, struct ta_bench_options *out);

/* ---- bench_window_link.c: a stream socket that carries small messages, each of a kind ---- */

enum ta_bench_message {
    TA_BENCH_HELLO,    /* asker: struct ta_bench_hello; answerer: its describe() line */
    TA_BENCH_KEY,      /* struct ta_key */
    TA_BENCH_READY,    /* both: connected */
    TA_BENCH_ANSWER,   /* asker: answer now, by puts, until you are told to stop by one */
    TA_BENCH_PERFTEST, /* asker: struct ta_bench_job; answerer: port (uint32_t) of the program it started */
    TA_BENCH_REAP,     /* asker: the job is done; answerer: it ended well */
    TA_BENCH_BYE,      /* both: nothing more will be put */
    TA_BENCH_FAILED,   /* why, in words; takes the place of any other */
    TA_BENCH_MESSAGES
};

enum { TA_BENCH_VERSION = 1 };

struct ta_bench_hello {
    uint32_t version, per_node;
    uint64_t run_id, max_bytes;
    char transport[16];
};

struct ta_bench_link {
    int socket;
    struct ta_perf_side *side; /* is given progress while we wait; NULL: none */
};

/* One connection from anywhere / one to HOST:PORT, tried for some seconds. Errors: IO, PEER. */
ta_status ta_bench_link_listen(unsigned port, struct ta_bench_link *out);
ta_status ta_bench_link_connect(const char *host, unsigned port, struct ta_bench_link *out);
void ta_bench_link_close(struct ta_bench_link *link);
/* Errors: PEER: the other side is gone. */
ta_status ta_bench_link_send(struct ta_bench_link *link, enum ta_bench_message kind, const void *data, size_t bytes);
/* A message of that kind and size. *kind TA_BENCH_MESSAGES: any, of that size or none; says which. Errors: PEER: gone,
 * failed (in its own words), something else than was expected. */
ta_status ta_bench_link_receive(struct ta_bench_link *link, enum ta_bench_message *kind, void *data, size_t bytes);
ta_status ta_bench_link_expect(struct ta_bench_link *link, enum ta_bench_message kind, void *data, size_t bytes);

/* ---- bench_window_side.c: one of the two processes ---- */

struct ta_bench {
    struct ta_bench_options o;
    const struct ta_transport_ops *ops;
    struct ta_pin pin;
    unsigned place; /* among the sides of this machine: which of the pin's sets */
    bool one_core;
    size_t max_bytes;
    uint32_t *list; /* of --rows: that many of twice as many, in the order of the table */
    struct ta_bench_link link;
    struct ta_perf_side side;
    char said[256], theirs[256]; /* describe() of both sides */
};

/* The whole life of either, with `link` connected; close it in any case. */
ta_status ta_bench_ask(struct ta_bench *b);
ta_status ta_bench_answer(struct ta_bench *b);
void ta_bench_close(struct ta_bench *b);

/* ---- bench_window_report.c ---- */

/* Prints the machine, then measures and prints the table of the options. */
ta_status ta_bench_report(struct ta_bench *b);

/* ---- bench_window_perftest.c: ib_write_bw and ib_write_lat ---- */

struct ta_bench_job {
    uint32_t latency; /* 0: ib_write_bw, 1: ib_write_lat */
    uint32_t iterations;
    uint64_t bytes;
};

struct ta_bench_program {
    pid_t pid;
    int output; /* a file in memory */
};

/* Whether the programs are on PATH and the device that the transport uses is known. Errors: CONFIG, with the cure. */
ta_status ta_bench_perftest_check(const struct ta_bench *b);
/* The answerer's part: starts the server and names its port; ends it. */
ta_status ta_bench_perftest_serve(const struct ta_bench *b, const struct ta_bench_job *job,
                                  struct ta_bench_program *out, uint32_t *port);
ta_status ta_bench_perftest_reap(struct ta_bench_program *program);
/* The asker's: bytes a second, or the typical time one way in ns. */
ta_status ta_bench_perftest(struct ta_bench *b, const struct ta_bench_job *job, double *out);

#endif
