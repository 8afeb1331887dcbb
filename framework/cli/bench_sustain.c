/* bench_sustain: `tensair bench sustain CONFIG`: the highest rate at which the lag does not grow. The method is
 * sustain.h's; here is what is offered to what, and for how long. */
#include "bench_sustain.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "clock.h"
#include "mem.h"

static const char help[] =
    "usage: tensair bench sustain CONFIG.yaml [options]\n"
    "\n"
    "Finds the highest rate, offered open loop, at which training does not fall further and further behind, and how\n"
    "long records then take from their due time until they are predicted, trained on, and visible in every replica.\n"
    "\n"
    "  -n, --replicas LIST  numbers of replicas: 1,2,4 (run.replicas)\n"
    "  --batch LIST         records a step: 32,128 (stream.batch); every combination is measured\n"
    "  --seeds N            seeds that vote on each rate (3)\n"
    "  --within S           seconds that all of it may take (240)\n"
    "  --confidence C       of the interval of the lag's slope (0.95)\n"
    "  --tolerance T        slope that is still none: the share of the rate that may go unserved (0.01)\n"
    "  --precision P        how narrow the bracket is to be (0.02)\n"
    "  --once               a probe may not read the stream more than once\n"
    "  --json FILE          everything that was measured\n"
    "  --plot FILE.png      rates by replicas and batch, latencies by offered rate (gnuplot)\n"
    "  --set KEY=VALUE      overrides a key of the configuration\n"
    "\n"
    "tensair(1) describes the method step by step.\n";

enum {
    OPTION_BATCH = 256,
    OPTION_SEEDS,
    OPTION_WITHIN,
    OPTION_CONFIDENCE,
    OPTION_TOLERANCE,
    OPTION_PRECISION,
    OPTION_ONCE,
    OPTION_JSON,
    OPTION_PLOT,
    OPTION_SET,
};

const double ta_sustain_percents[4] = {50, 90, 99, 99.9};

static const double least_probe_s = .5, longest_probe_s = 10, longest_first_s = 3, warm_up = .25;

/* --- the command line --- */

static ta_status number(const char *option, const char *text, double least, double most, double *value) {
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    if (errno == 0 && end != text && *end == '\0' && *value >= least && *value <= most) return TA_OK;
    return ta_fail(TA_USAGE, "%s '%s' must be a number from %g to %g", option, text, least, most);
}

static ta_status list(const char *option, const char *text, unsigned most, struct sustain_list *out) {
    for (out->n = 0;;) {
        char *end;
        unsigned long value = strtoul(text, &end, 10);
        if (end == text || *text < '0' || *text > '9' || value < 1 || value > most || (*end != ',' && *end != '\0'))
            return ta_fail(TA_USAGE, "%s: '%s' must begin with a number from 1 to %u: give them like 1,2,4", option,
                           text, most);
        if (out->n == TA_SUSTAIN_LIST) return ta_fail(TA_USAGE, "%s: more than %d numbers", option, TA_SUSTAIN_LIST);
        out->value[out->n++] = (unsigned)value;
        if (*end == '\0') return TA_OK;
        text = end + 1;
    }
}

static ta_status take(struct sustain_options *o, int option, char **argv) {
    double value = 0;
    ta_status status;
    switch (option) {
        case 'n': return list("-n", optarg, TA_MAX_REPLICAS, &o->replicas);
        case OPTION_BATCH: return list("--batch", optarg, 1 << 20, &o->batch);
        case OPTION_SEEDS:
            status = number("--seeds", optarg, 1, 99, &value);
            o->seeds = (unsigned)value;
            return status;
        case OPTION_WITHIN: return number("--within", optarg, 1, 1e6, &o->within_s);
        case OPTION_CONFIDENCE: return number("--confidence", optarg, .5, .9999, &o->confidence);
        case OPTION_TOLERANCE: return number("--tolerance", optarg, 1e-6, .5, &o->tolerance);
        case OPTION_PRECISION: return number("--precision", optarg, 1e-4, .5, &o->precision);
        case OPTION_ONCE: o->once = true; return TA_OK;
        case OPTION_JSON: o->json = optarg; return TA_OK;
        case OPTION_PLOT: o->plot = optarg; return TA_OK;
        case OPTION_SET: o->overrides[o->n_overrides++] = optarg; return TA_OK;
        case 'h': o->helped = true; return TA_OK;
        default: break;
    }
    return ta_fail(TA_USAGE, "option '%s' is not known or lacks its value; see --help", argv[optind - 1]);
}

static ta_status parse(int argc, char **argv, struct sustain_options *o) {
    static const struct option known[] = {{"replicas", required_argument, NULL, 'n'},
                                          {"batch", required_argument, NULL, OPTION_BATCH},
                                          {"seeds", required_argument, NULL, OPTION_SEEDS},
                                          {"within", required_argument, NULL, OPTION_WITHIN},
                                          {"confidence", required_argument, NULL, OPTION_CONFIDENCE},
                                          {"tolerance", required_argument, NULL, OPTION_TOLERANCE},
                                          {"precision", required_argument, NULL, OPTION_PRECISION},
                                          {"once", no_argument, NULL, OPTION_ONCE},
                                          {"json", required_argument, NULL, OPTION_JSON},
                                          {"plot", required_argument, NULL, OPTION_PLOT},
                                          {"set", required_argument, NULL, OPTION_SET},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct sustain_options){
        .seeds = 3, .within_s = 240, .confidence = .95, .tolerance = .01, .precision = .02, .overrides = o->overrides};
    optind = 0;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "n:h", known, NULL)) != -1;) {
        ta_status status = take(o, option, argv);
        if (status != TA_OK || o->helped) return status;
    }
    if (optind + 1 != argc)
        return ta_fail(TA_USAGE, "give one configuration: tensair bench sustain CONFIG.yaml (see --help)");
    o->config_path = argv[optind];
    return TA_OK;
}

/* --- what is measured --- */

static ta_status check(struct sustain_bench *b) {
    const struct ta_run_config *c = b->config;
    if (c->online.mode != TA_MODE_TRAIN)
        return ta_fail(TA_CONFIG, "online.mode: what is measured is training, and this mode does not always train: "
                                  "--set online.mode=train");
    bool paced = c->pace.pace == TA_PACE_MAX || c->pace.pace == TA_PACE_CONSTANT || c->pace.pace == TA_PACE_POISSON;
    if (!paced || c->pace.schedule_count > 0)
        return ta_fail(TA_CONFIG, "pace: one rate is offered at a time, constant or poisson: leave pace.schedule out, "
                                  "and --set pace.type=constant");
    b->pace = c->pace.pace == TA_PACE_POISSON ? "pace.type=poisson" : "pace.type=constant";
    struct ta_stream *stream;
    ta_status status = ta_stream_open(&c->stream.spec, &stream);
    if (status != TA_OK) return status;
    b->stream = stream->info;
    ta_stream_close(stream);
    if (b->stream.records == 0) return ta_fail(TA_CONFIG, "stream: it holds no record");
    bool sentences = c->model.type != TA_MODEL_LAYERS && b->stream.label_kind != TA_LABEL_VALUE && !b->stream.text;
    b->unit = sentences ? "sentences" : "records";
    return TA_OK;
}

static ta_status make_cells(struct sustain_bench *b) {
    struct sustain_options *o = &b->o;
    if (o->replicas.n == 0) o->replicas = (struct sustain_list){{b->config->run.replicas}, 1};
    if (o->batch.n == 0) o->batch = (struct sustain_list){{b->config->stream.batch}, 1};
    b->n_cells = o->replicas.n * o->batch.n;
    ta_status status = TA_NEW(&b->cell, b->n_cells, "the combinations");
    for (unsigned i = 0; i < b->n_cells && status == TA_OK; i++) {
        struct sustain_cell *c = &b->cell[i];
        c->replicas = o->replicas.value[i / o->batch.n];
        c->batch = o->batch.value[i % o->batch.n];
        status = TA_NEW(&c->best, 1, "latencies");
        if (status == TA_OK) status = TA_NEW(&c->now, 1, "latencies");
    }
    return status;
}

static double seconds_since(int64_t start_ns) { return (double)(ta_clock_now_ns() - start_ns) / TA_NS_PER_S; }

static ta_status open_bench(struct sustain_bench *b) {
    b->o.overrides[b->o.n_overrides] = "pace.rate=1"; /* nobody need name the rate that is looked for */
    ta_status status = ta_run_config_load(b->o.config_path, b->o.overrides, b->o.n_overrides + 1, &b->config);
    if (status == TA_OK) status = check(b);
    if (status == TA_OK) status = make_cells(b);
    if (status != TA_OK) return status;
    const char *place = getenv("TMPDIR");
    int length = snprintf(b->folder, sizeof b->folder, "%s/tensair-sustain-XXXXXX", place != NULL ? place : "/tmp");
    if (length < 0 || (size_t)length >= sizeof b->folder)
        snprintf(b->folder, sizeof b->folder, "/tmp/tensair-sustain-XXXXXX");
    if (mkdtemp(b->folder) != NULL) return TA_OK;
    status = ta_fail_errno(TA_IO, "%s: cannot make a temporary folder (TMPDIR)", b->folder);
    b->folder[0] = '\0';
    return status;
}

static void close_bench(struct sustain_bench *b) {
    sustain_clean(b);
    for (unsigned i = 0; b->cell != NULL && i < b->n_cells; i++) {
        ta_mem_free(b->cell[i].best);
        ta_mem_free(b->cell[i].now);
    }
    ta_mem_free(b->cell);
    ta_mem_free(b->o.overrides);
    ta_run_config_free(b->config);
}

/* --- the search for one combination --- */

/* An unpaced run tells what to begin with, and what starting and ending a run costs. */
static ta_status estimate(struct sustain_bench *b, struct sustain_cell *c, double budget_s) {
    struct sustain_offer offer = {.replicas = c->replicas, .batch = c->batch};
    offer.seconds = fmin(fmax(budget_s / 40, least_probe_s), longest_first_s);
    struct sustain_outcome out = {0};
    ta_status status = sustain_offer(b, &offer, &out);
    if (status != TA_OK) return status;
    if (!(out.records_per_s > 0))
        return ta_fail(TA_FAILED, "%u replicas, batch %u: not one batch was trained on in %.1f s: a longer --within",
                       c->replicas, c->batch, offer.seconds);
    c->capacity = out.records_per_s;
    c->words_per_record = out.words_per_record;
    c->overhead_s = fmax(out.seconds - offer.seconds, 0);
    struct ta_sustain_spec spec = {.estimate = c->capacity, .precision = b->o.precision, .seeds = b->o.seeds};
    status = ta_sustain_begin(&c->search, &spec);
    unsigned probes = ta_sustain_most_probes(&spec);
    double each_s = (budget_s - out.seconds) / probes - c->overhead_s;
    c->probe_s = fmin(each_s, longest_probe_s);
    if (status == TA_OK && each_s < least_probe_s)
        status = ta_fail(TA_USAGE, "%g s leave %.2f s for each of %u x %u probes, besides %.2f s to start and end it, "
                                   "and %g s are needed: --within %.0f, or fewer combinations or --seeds",
                         b->o.within_s, fmax(each_s, 0), b->n_cells, probes, c->overhead_s, least_probe_s,
                         ceil(b->n_cells * 1.2 * (probes * (least_probe_s + c->overhead_s) + out.seconds)));
    if (status == TA_OK)
        fprintf(stderr, "%u replica%s, batch %u: about %.4g %s/s unpaced; up to %u probes of %.1f s, %.0f s at most\n",
                c->replicas, c->replicas == 1 ? "" : "s", c->batch, c->capacity, b->unit, probes, c->probe_s, budget_s);
    return status;
}

static ta_status enough_records(const struct sustain_bench *b, const struct sustain_cell *c, double rate) {
    double needed = ceil(rate * c->probe_s);
    if (!b->o.once || b->stream.records == UINT64_MAX || needed <= (double)b->stream.records) return TA_OK;
    return ta_fail(TA_CONFIG, "the stream holds %llu records, and a probe of %.1f s at %.4g records/s needs %.0f: "
                              "leave --once out, so that they are read again, take a longer stream or less --within",
                   (unsigned long long)b->stream.records, c->probe_s, rate, needed);
}

static ta_status judge(struct sustain_bench *b, const struct sustain_cell *c, const struct ta_lag_series *lag,
                       struct sustain_probe *p) {
    double t_s[TA_LAG_STRETCHES], lag_s[TA_LAG_STRETCHES], stretch_s = (double)lag->stretch_ns / TA_NS_PER_S;
    size_t n = 0;
    for (uint32_t i = 0; i < lag->used; i++) {
        if (lag->samples[i] == 0) continue;
        t_s[n] = (i + .5) * stretch_s;
        lag_s[n++] = lag->sum_s[i] / lag->samples[i];
    }
    struct ta_sustain_judge spec = {.tolerance = b->o.tolerance,
                                    .confidence = b->o.confidence,
                                    .from_s = warm_up * c->probe_s,
                                    .until_s = c->probe_s,
                                    .dropped = p->dropped};
    ta_status status = ta_sustain_judge(&spec, t_s, lag_s, n, &p->verdict);
    if (status != TA_AGAIN) return status;
    return ta_fail(TA_CONFIG, "a probe of %.1f s at %.4g records/s in batches of %u is too short to see a trend: a "
                              "longer --within, or a smaller --batch", c->probe_s, p->rate, c->batch);
}

static ta_status probe(struct sustain_bench *b, struct sustain_cell *c, const struct ta_sustain_probe *asked,
                       struct ta_latencies *scratch) {
    if (c->n_probes == TA_SUSTAIN_PROBES) return ta_fail(TA_FAILED, "no bracket after %d probes", TA_SUSTAIN_PROBES);
    struct sustain_probe *p = &c->probe[c->n_probes];
    *p = (struct sustain_probe){.rate = asked->rate, .seed = asked->seed};
    struct sustain_offer offer = {.replicas = c->replicas,
                                  .batch = c->batch,
                                  .seed = asked->seed,
                                  .rate = asked->rate,
                                  .seconds = c->probe_s,
                                  .warm_up_s = warm_up * c->probe_s};
    struct sustain_outcome out = {.latencies = scratch};
    ta_status status = enough_records(b, c, asked->rate);
    if (status == TA_OK) status = sustain_offer(b, &offer, &out);
    p->dropped = out.dropped;
    if (status == TA_OK) status = judge(b, c, &scratch->lag, p);
    if (status != TA_OK) return status;
    for (unsigned m = 0; m < TA_MOMENTS; m++)
        for (unsigned k = 0; k < 4; k++)
            p->percentile_s[m][k] = (double)ta_hist_percentile(&scratch->hist[m], ta_sustain_percents[k]) / TA_NS_PER_S;
    if (asked->seed == 0) memset(c->now, 0, sizeof *c->now);
    ta_latencies_merge(c->now, scratch);
    c->overhead_s = fmax(c->overhead_s, out.seconds - c->probe_s);
    c->n_probes++;
    fprintf(stderr, "  %.4g %s/s, seed %u: lag grows by %.4f s/s (%.4f to %.4f): %s\n", p->rate, b->unit, p->seed,
            p->verdict.trend.slope, p->verdict.trend.low, p->verdict.trend.high, p->verdict.kept ? "kept" : "not kept");
    return TA_OK;
}

static ta_status search(struct sustain_bench *b, struct sustain_cell *c, struct ta_latencies *scratch) {
    unsigned left = b->n_cells - (unsigned)(c - b->cell);
    int64_t start_ns = ta_clock_now_ns();
    double budget_s = (b->o.within_s - seconds_since(b->start_ns)) / left;
    ta_status status = estimate(b, c, budget_s);
    while (status == TA_OK) {
        struct ta_sustain_probe asked;
        status = ta_sustain_next(&c->search, &asked);
        if (status != TA_OK) break;
        c->cut_short = seconds_since(start_ns) + c->probe_s + c->overhead_s > budget_s;
        if (c->cut_short) break;
        status = probe(b, c, &asked, scratch);
        if (status != TA_OK) break;
        double low = c->search.low;
        ta_sustain_tell(&c->search, c->probe[c->n_probes - 1].verdict.kept);
        if (c->search.low != low) *c->best = *c->now;
    }
    if (status == TA_END) status = TA_OK;
    if (status == TA_OK && c->search.low == 0)
        status = ta_fail(TA_FAILED, "%u replicas, batch %u: no rate was sustained in %.0f s, down to %.4g %s/s: a "
                                    "longer --within", c->replicas, c->batch, budget_s, c->search.high, b->unit);
    return status;
}

/* Cores that others use are not there for us, and may be tomorrow. */
static void warn_of_others(void) {
    double load;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (getloadavg(&load, 1) == 1 && load > .25 * (double)cores)
        fprintf(stderr, "bench sustain: this machine is busy (load %.1f on %ld cores): rates will be too low and will "
                        "not repeat\n", load, cores);
}

static ta_status measure(struct sustain_bench *b) {
    struct ta_latencies *scratch;
    ta_status status = TA_NEW(&scratch, 1, "latencies");
    if (status != TA_OK) return status;
    warn_of_others();
    fprintf(stderr, "bench sustain: %u combination%s, %g s at most\n", b->n_cells, b->n_cells == 1 ? "" : "s",
            b->o.within_s);
    for (unsigned i = 0; i < b->n_cells && status == TA_OK; i++) status = search(b, &b->cell[i], scratch);
    ta_mem_free(scratch);
    if (status != TA_OK) return status;
    sustain_print(b);
    if (b->o.json != NULL) status = sustain_write_json(b);
    if (status == TA_OK && b->o.plot != NULL) status = sustain_draw(b);
    return status;
}

ta_status ta_bench_sustain(int argc, char **argv) {
    struct sustain_bench *b;
    ta_status status = TA_NEW(&b, 1, "a measurement");
    if (status != TA_OK) return status;
    b->start_ns = ta_clock_now_ns();
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ours, &b->before); /* so that what is temporary does not stay behind */
    status = TA_NEW(&b->o.overrides, (size_t)argc + 1, "the command line");
    if (status == TA_OK) status = parse(argc, argv, &b->o);
    if (status == TA_OK && b->o.helped) fputs(help, stdout);
    else if (status == TA_OK) status = open_bench(b);
    if (status == TA_OK && !b->o.helped) status = measure(b);
    close_bench(b);
    sigset_t before = b->before;
    int signal_number = b->signal;
    ta_mem_free(b);
    if (signal_number != 0) (void)raise(signal_number);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}
