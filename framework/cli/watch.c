/* watch: `tensair watch RUN_DIR`. */
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "clock.h"
#include "watch_news.h"
#include "watch_show.h"
#include "watch_tally.h"

static const char help[] =
    "usage: tensair watch RUN_DIR [--requeued] [--give-up SECONDS]\n"
    "       tensair watch RUN_DIR --lost\n"
    "\n"
    "Follows a run from any machine that sees its run directory, by reading its metrics: all nodes and ranks, which are\n"
    "silent, which were lost. On a terminal one block is redrawn; otherwise a line now and then. Ends when the run ends,\n"
    "with its exit status.\n"
    "\n"
    "  --requeued         when the run stops after a checkpoint (75), wait for its next life\n"
    "  --give-up SECONDS  end with 69 when nothing was heard for that long\n"
    "  --lost             print a line `watching`, then the number of each rank that is lost from then on: for batch scripts\n";

struct watch {
    const char *run_dir;
    bool requeued, lost, help;
    double give_up_s; /* 0: never */
    struct ta_news news;
    struct ta_tally tally;
    struct ta_watch_show show;
    int64_t start_ns;
    bool first;               /* the lines that lie there from before have not been read yet */
    json_int_t stopped_life;  /* its stop has been told */
};

static ta_status parse(int argc, char **argv, struct watch *w) {
    static const struct option options[] = {
        {"requeued", no_argument, NULL, 'r'},
        {"give-up", required_argument, NULL, 'g'},
        {"lost", no_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    char *end;
    opterr = 0;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, ":h", options, NULL)) != -1;) {
        switch (option) {
            case 'r': w->requeued = true; break;
            case 'l': w->lost = true; break;
            case 'h': w->help = true; break;
            case 'g':
                w->give_up_s = strtod(optarg, &end);
                if (*optarg == '\0' || *end != '\0' || !(w->give_up_s > 0 && w->give_up_s < 1e9))
                    return ta_fail(TA_USAGE, "--give-up %.40s: not a number of seconds above 0", optarg);
                break;
            case ':': return ta_fail(TA_USAGE, "%s needs a value; see tensair watch --help", argv[optind - 1]);
            default: return ta_fail(TA_USAGE, "unknown option '%s'; see tensair watch --help", argv[optind - 1]);
        }
    }
    if (w->help) return TA_OK;
    if (argc - optind != 1) return ta_fail(TA_USAGE, "needs one run directory; see tensair watch --help");
    w->run_dir = argv[optind];
    return TA_OK;
}

/* What lies there from before was heard when it was written, by the writer's clock. */
static int64_t age_ns(const json_t *line) {
    struct tm parts = {0};
    const char *wall = json_string_value(json_object_get(line, "wall"));
    if (wall == NULL || strptime(wall, "%Y-%m-%dT%H:%M:%S", &parts) == NULL) return 0;
    int64_t age = ta_clock_wall_ns() - (int64_t)timegm(&parts) * TA_NS_PER_S;
    return age > TA_NS_PER_S ? age : 0;
}

static ta_status take(void *context, const json_t *line) {
    struct watch *w = context;
    int64_t now_ns = ta_clock_now_ns();
    return ta_tally_take(&w->tally, line, w->first ? now_ns - age_ns(line) : now_ns);
}

/* Replicas of the start, and whether the run says that it has ended. */
static unsigned look_at_manifest(const struct watch *w, bool *ended) {
    char path[4096];
    *ended = true;
    if ((size_t)snprintf(path, sizeof path, "%s/manifest.json", w->run_dir) >= sizeof path) return 0;
    json_t *manifest = json_load_file(path, 0, NULL);
    if (manifest == NULL) return 0;
    *ended = !json_is_null(json_object_get(manifest, "exit_code"));
    json_int_t replicas = json_integer_value(json_object_get(manifest, "replicas"));
    json_decref(manifest);
    return replicas > 0 && replicas <= TA_TALLY_MOST_RANKS ? (unsigned)replicas : 0;
}

static void print_lost(struct watch *w) {
    for (unsigned i = 0; i < w->tally.n_ranks; i++) {
        struct ta_tally_rank *rank = &w->tally.rank[i];
        if (!rank->lost || rank->told) continue;
        printf("%u\n", i);
        rank->told = true;
    }
    fflush(stdout);
}

/* The status that has this exit code. */
static ta_status status_of(int code) {
    switch (code) {
        case 0: return TA_OK;
        case 2: return TA_CONFIG;
        case 69: return TA_PEER;
        case 74: return TA_IO;
        case 75: return TA_REQUEUE;
        default: return TA_FAILED;
    }
}

static ta_status conclude(struct watch *w, int code) {
    char lost[200];
    unsigned n = ta_tally_list(&w->tally, false, 0, lost, sizeof lost);
    const json_t *records = json_object_get(w->tally.summary, "records");
    char text[27];
    if (!w->lost) {
        printf("%s  %s records in %u %s", code == 75 ? "stopped after a checkpoint" : "ended",
               ta_progress_group((uint64_t)json_integer_value(records), text), w->tally.lives,
               w->tally.lives == 1 ? "life" : "lives");
        if (n > 0) printf("  %u lost (ranks %s)", n, lost);
        printf("  exit status %d\n", code);
        fflush(stdout);
    }
    ta_status status = w->lost ? TA_OK : status_of(code);
    if (status == TA_OK || status == TA_REQUEUE) return status;
    return ta_fail(status,
                   "the run ended with exit status %d; its logs are in %s/log, `tensair report %s` has its figures",
                   code, w->run_dir, w->run_dir);
}

/* *over: nothing is left to wait for. */
static ta_status turn(struct watch *w, bool *over) {
    unsigned found;
    bool ended;
    ta_status status = ta_news_read(&w->news, take, w, &found);
    if (status != TA_OK) return status;
    if (w->lost && w->first) printf("watching\n");
    w->first = false;
    unsigned expected = look_at_manifest(w, &ended);
    int64_t now_ns = ta_clock_now_ns();
    if (w->lost) print_lost(w);
    else ta_watch_show_tick(&w->show, &w->tally, expected, now_ns);
    if (w->tally.summary != NULL && ended) {
        int code = (int)json_integer_value(json_object_get(w->tally.summary, "exit_code"));
        *over = code != 75 || !w->requeued;
        if (*over) return conclude(w, code);
        if (w->stopped_life == w->tally.life || w->lost) return TA_OK;
        w->stopped_life = w->tally.life;
        ta_progress_clear(&w->show.progress);
        printf("stopped after a checkpoint: waiting for the next life\n");
        fflush(stdout);
        return TA_OK;
    }
    int64_t heard_ns = w->tally.heard_ns > w->start_ns ? w->tally.heard_ns : w->start_ns;
    double quiet_s = (double)(now_ns - heard_ns) / TA_NS_PER_S;
    if (w->give_up_s > 0 && quiet_s > w->give_up_s)
        return ta_fail(TA_PEER, "%s: nothing heard for %.0f s: is the job still there? (squeue --me)", w->run_dir,
                       quiet_s);
    return TA_OK;
}

static ta_status watch(int argc, char **argv) {
    struct watch w = {.first = true, .start_ns = ta_clock_now_ns()};
    ta_status status = parse(argc, argv, &w);
    if (status != TA_OK) return status;
    if (w.help) {
        fputs(help, stdout);
        return TA_OK;
    }
    ta_news_open(&w.news, w.run_dir, w.lost ? TA_NEWS_FROM_END : TA_NEWS_FROM_RECENT);
    ta_tally_open(&w.tally);
    ta_watch_show_open(&w.show, w.run_dir, w.start_ns);
    for (bool over = false; status == TA_OK && !over;) {
        status = turn(&w, &over);
        if (status == TA_OK && !over) usleep(w.show.progress.block || w.lost ? 300000 : 1000000);
    }
    ta_tally_close(&w.tally);
    ta_news_close(&w.news);
    return status;
}

const struct ta_verb ta_verb_watch = {
    .name = "watch", .summary = "follow a run, also from another machine", .run = watch};
