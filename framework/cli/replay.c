/* replay: `tensair replay`: a stream alone, without a model. How fast can it be read, how true is the pacing? */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "cli.h"
#include "clock.h"
#include "hist.h"
#include "mem.h"
#include "replayer.h"

enum {
    SPIN_NS = 250000, /* the last part of each wait: longer than a halted virtual core needs to wake */
    NAP_NS = 20000,  /* when only the reader is behind: leave it the core, it may be the only one */
    PACED_RING_BYTES = 1 << 24,
    FAST_BLOCK = 256, /* records a batch when not paced */
    FAST_RING = 8,
};

static const char help[] =
    "usage: tensair replay STREAM.h5 [options]\n"
    "\n"
    "Replays a stream alone and says how fast it was read or how true the pacing was: each record is handed over at "
    "its\n"
    "due time, and |actual - due| is collected. One pass over the file unless --seconds or --records say otherwise.\n"
    "\n"
    "  --rate R            records a second; without it the stream is read as fast as it goes\n"
    "  --pace NAME         constant (default with --rate), poisson, bursts, trace (recorded times), max\n"
    "  --burst B           bursts: records at once (default 100)\n"
    "  --speed S           trace: times as fast as recorded (default 1)\n"
    "  --seconds S         stop after that; the stream is repeated until then\n"
    "  --records N         stop after N records; the stream is repeated until then\n"
    "  --block B           records handed over together, when the last of them is due (default 1; unpaced 256)\n"
    "  --seed N            poisson: seed (default 1)\n"
    "  --figure NAME       also print one line FIGURE NAME ... for experiments/figures.sh\n";

struct options {
    const char *path, *figure;
    struct ta_pacer_spec pace;
    double seconds, records, block;
};

/* What came of it. */
struct tally {
    uint64_t records, batches;
    double seconds;
    struct ta_hist error_ns; /* |actual - due| of each record */
    struct ta_replayer_stats stats;
};

/* ---- the command line ---- */

static ta_status number(const char *option, const char *text, double least, double *value) {
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !isfinite(*value) || *value < least)
        return ta_fail(TA_USAGE, "--%s: '%s' is not a number from %g on", option, text, least);
    return TA_OK;
}

static ta_status pace_named(const char *text, enum ta_pace *pace) {
    static const char *const names[] = {"max", "constant", "poisson", "bursts", "trace"};
    static const enum ta_pace paces[] = {TA_PACE_MAX, TA_PACE_CONSTANT, TA_PACE_POISSON, TA_PACE_BURSTS, TA_PACE_TRACE};
    for (size_t i = 0; i < sizeof paces / sizeof *paces; i++)
        if (strcmp(text, names[i]) == 0) {
            *pace = paces[i];
            return TA_OK;
        }
    return ta_fail(TA_USAGE, "--pace: '%s' is unknown; take max, constant, poisson, bursts or trace", text);
}

static ta_status one_option(int letter, const char *name, struct options *o, bool *paced) {
    double seed;
    ta_status status;
    switch (letter) {
    case 'r': return number(name, optarg, 1e-6, &o->pace.rate_per_s);
    case 'p': *paced = true; return pace_named(optarg, &o->pace.pace);
    case 'b': return number(name, optarg, 1, &o->pace.burst);
    case 'x': return number(name, optarg, 1e-9, &o->pace.speed);
    case 's': return number(name, optarg, 1e-3, &o->seconds);
    case 'n': return number(name, optarg, 1, &o->records);
    case 'k': return number(name, optarg, 1, &o->block);
    case 'f': o->figure = optarg; return TA_OK;
    case 'e':
        status = number(name, optarg, 0, &seed);
        o->pace.seed = seed < 0x1p63 ? (uint64_t)seed : 0;
        return status;
    default: return ta_fail(TA_USAGE, "option '%s' is unknown or lacks its value; see tensair replay --help", name);
    }
}

static ta_status parse(int argc, char **argv, struct options *o, bool *wants_help) {
    static const struct option known[] = {{"rate", required_argument, NULL, 'r'},
                                          {"pace", required_argument, NULL, 'p'},
                                          {"burst", required_argument, NULL, 'b'},
                                          {"speed", required_argument, NULL, 'x'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"records", required_argument, NULL, 'n'},
                                          {"block", required_argument, NULL, 'k'},
                                          {"seed", required_argument, NULL, 'e'},
                                          {"figure", required_argument, NULL, 'f'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    bool paced = false;
    int index = 0;
    *o = (struct options){.pace = {.burst = 100, .speed = 1, .seed = 1}};
    optind = 1;
    opterr = 0;
    for (int letter; (letter = getopt_long(argc, argv, "", known, &index)) != -1;) {
        *wants_help = letter == 'h';
        if (*wants_help) return TA_OK;
        ta_status status = one_option(letter, letter == '?' ? argv[optind - 1] : known[index].name, o, &paced);
        if (status != TA_OK) return status;
    }
    if (optind + 1 != argc) return ta_fail(TA_USAGE, "needs one stream file; see tensair replay --help");
    o->path = argv[optind];
    if (!paced) o->pace.pace = o->pace.rate_per_s > 0 ? TA_PACE_CONSTANT : TA_PACE_MAX;
    bool rated = o->pace.pace != TA_PACE_MAX && o->pace.pace != TA_PACE_TRACE;
    if (rated && o->pace.rate_per_s == 0) return ta_fail(TA_USAGE, "this pace needs --rate, in records a second");
    if (!rated && o->pace.rate_per_s > 0)
        return ta_fail(TA_USAGE, "--rate has no meaning with this pace; leave one out");
    return TA_OK;
}

/* ---- the replay ---- */

static void collect(struct tally *tally, const struct ta_batch *batch, int64_t origin_ns, bool paced) {
    tally->records += batch->records;
    tally->batches++;
    if (!paced) return;
    int64_t now_ns = ta_clock_now_ns();
    for (uint32_t i = 0; i < batch->records; i++) {
        int64_t error_ns = now_ns - origin_ns - batch->due_each_ns[i];
        ta_hist_add(&tally->error_ns, (uint64_t)(error_ns < 0 ? -error_ns : error_ns));
    }
}

static ta_status run(struct ta_replayer *r, const struct options *o, struct tally *tally) {
    bool paced = o->pace.pace != TA_PACE_MAX;
    int64_t lead_ns = paced ? TA_NS_PER_S / 20 : 0; /* the ring fills before the first record is due */
    int64_t start_ns = ta_clock_now_ns() + lead_ns;
    int64_t stop_ns = o->seconds > 0 && o->seconds < 1e9 ? start_ns + (int64_t)(o->seconds * 1e9) : INT64_MAX;
    ta_status status = TA_OK;
    ta_replayer_start(r, start_ns);
    for (int64_t now_ns = ta_clock_now_ns(); now_ns < stop_ns; now_ns = ta_clock_now_ns()) {
        const struct ta_batch *batch;
        status = ta_replayer_next(r, now_ns, &batch);
        if (status == TA_OK) {
            collect(tally, batch, ta_replayer_origin_ns(r), paced);
            ta_replayer_release(r, batch);
        } else if (status == TA_AGAIN) {
            int64_t wake_ns = ta_replayer_wake_ns(r, now_ns);
            if (wake_ns > now_ns) ta_clock_sleep_until(wake_ns < stop_ns ? wake_ns : stop_ns, SPIN_NS);
            else ta_clock_sleep_until(now_ns + NAP_NS, 0);
        } else {
            break;
        }
    }
    tally->seconds = (double)(ta_clock_now_ns() - start_ns) / 1e9;
    ta_replayer_stats(r, &tally->stats);
    return status == TA_AGAIN || status == TA_END ? TA_OK : status;
}

/* ---- the report ---- */

static void report(const struct ta_stream_info *info, const struct options *o, const struct tally *t) {
    double stored = (double)ta_stream_x_bytes(info) * (double)t->records;
    double delivered = (double)info->h * info->w * info->c * sizeof(float) * (double)t->records;
    double seconds = t->seconds > 0 ? t->seconds : 1e-9;
    printf("records    %" PRIu64 " in %.3f s, %.0f a second, in batches of %" PRIu64 "\n", t->records, t->seconds,
           (double)t->records / seconds, t->batches > 0 ? (t->records + t->batches - 1) / t->batches : 0);
    printf("stored     %.3f GB/s (x as it lies in the file)\n", stored / seconds / 1e9);
    printf("delivered  %.3f GB/s (x as float32 in the ring)\n", delivered / seconds / 1e9);
    printf("starved    %" PRIu64 " times (due, but not read yet)\n", t->stats.starved);
    if (o->pace.pace == TA_PACE_MAX) {
        if (o->figure != NULL) printf("FIGURE %s %.2f GB/s asked >= 1.0\n", o->figure, stored / seconds / 1e9);
        return;
    }
    const struct ta_hist *h = &t->error_ns;
    printf("|actual - due| us: p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n",
           (double)ta_hist_percentile(h, 50) / 1e3, (double)ta_hist_percentile(h, 90) / 1e3,
           (double)ta_hist_percentile(h, 99) / 1e3, (double)ta_hist_percentile(h, 99.9) / 1e3, (double)h->max / 1e3);
    if (o->figure != NULL)
        printf("FIGURE %s %.1f us asked < 100\n", o->figure, (double)ta_hist_percentile(h, 99) / 1e3);
}

static ta_status replay_stream(struct ta_stream *stream, const struct options *o, struct tally *tally) {
    struct ta_share share;
    ta_status status = ta_share_init(&share, 0, 1, NULL);
    if (status != TA_OK) return status;
    bool paced = o->pace.pace != TA_PACE_MAX;
    double block = o->block > 0 ? o->block : paced ? 1 : FAST_BLOCK;
    double floats = (double)stream->info.h * stream->info.w * stream->info.c;
    double ring = PACED_RING_BYTES / (floats * sizeof(float) * block);
    struct ta_replayer_config config = {
        .stream = stream,
        .pace = o->pace,
        .share = &share,
        .batch = block < UINT32_MAX ? (uint32_t)block : UINT32_MAX,
        .epochs = o->seconds > 0 || o->records > 0 ? 0 : 1,
        .max_records = o->records < 0x1p63 ? (uint64_t)o->records : 0,
        .ring = !paced || ring < FAST_RING ? FAST_RING
                : ring > 4096              ? 4096
                                           : (uint32_t)ring,
    };
    struct ta_replayer *replayer;
    status = ta_replayer_open(&config, &replayer);
    if (status == TA_OK) {
        status = run(replayer, o, tally);
        ta_replayer_close(replayer);
    }
    ta_share_free(&share);
    return status;
}

static ta_status replay(int argc, char **argv) {
    struct options o;
    struct ta_stream *stream = NULL;
    struct tally *tally = NULL;
    bool wants_help = false;
    ta_status status = parse(argc, argv, &o, &wants_help);
    if (wants_help) fputs(help, stdout);
    if (status != TA_OK || wants_help) return status;
    prctl(PR_SET_TIMERSLACK, 1UL); /* nanoseconds: sleeps end when asked, not up to 50 us later */
    status = ta_stream_open(&(struct ta_stream_spec){.file = (char *)o.path}, &stream);
    if (status == TA_OK) status = TA_NEW(&tally, 1, "histogram of the pacing");
    if (status == TA_OK) status = replay_stream(stream, &o, tally);
    if (status == TA_OK) report(&stream->info, &o, tally);
    ta_mem_free(tally);
    ta_stream_close(stream);
    return status;
}

const struct ta_verb ta_verb_replay = {
    .name = "replay", .summary = "replay a stream alone: how fast, how true is the pacing?", .run = replay};
