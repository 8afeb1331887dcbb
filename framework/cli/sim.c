/* sim: `tensair sim CONFIG`. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "mem.h"
#include "sim_print.h"
#include "simulation.h"

static const char help[] =
    "usage: tensair sim CONFIG.yaml [-n N[,N...]] [--topology NAME[,NAME...]] [--set KEY=VALUE]... [options]\n"
    "\n"
    "Simulates a run of many replicas in one thread: the same replicas, exchange, stream and numbers as tensair\n"
    "train, but computing and sending take virtual time. The same command line gives the same output, to the byte, if\n"
    "it names the times that are otherwise measured here (the first lines tell how). What this machine took is told on\n"
    "stderr.\n"
    "\n"
    "  -n, --replicas N,...   how many, one run each (run.replicas); up to 1024\n"
    "  --topology NAME,...    full, tree, clusters (exchange.topology): one run each\n"
    "  --records N            of each run, all replicas together (run.max_records)\n"
    "  --network NAME         rdma-100g (the default) or a file: latency, bandwidth, rate of puts, jitter\n"
    "  --per-node N           so many replicas share a node and its NIC (default 1)\n"
    "  --step-time S          seconds of a training step on one batch (default: measured here)\n"
    "  --predict-time S       of predictions alone, where a model needs a pass for them (default: measured here)\n"
    "  --read-time S          from a step until the next batch is there (default 0: read ahead)\n"
    "  --memory GB/S          read and written by an apply (default: measured here)\n"
    "  --jitter SIGMA         of all these times, lognormal (default 0)\n"
    "  --slow RANK:FACTOR     this replica is so many times slower; may be repeated\n"
    "  --kill RANK@S          it is killed after so many seconds; may be repeated\n"
    "  --stall RANK@S:FOR     it does nothing for so long; may be repeated\n"
    "  --seed N               of network and jitter (default: run.seed)\n"
    "  --points N             of each curve (default 10; at most 100; 0: none)\n"
    "  --run-dir DIR          metrics of each run into DIR/N-TOPOLOGY, which tensair plot can draw\n"
    "  --set KEY=VALUE        overrides a key of the configuration\n"
    "  --json                 one JSON object a line: the assumptions, then a run each\n"
    "\n"
    "Exit status: 0 done; 1 replicas disagree, or a run failed; 2 usage or configuration; 69 replicas were lost.\n";

enum {
    LONG_SET = 256,
    LONG_TOPOLOGY,
    LONG_RECORDS,
    LONG_NETWORK,
    LONG_PER_NODE,
    LONG_STEP,
    LONG_PREDICT,
    LONG_MEMORY,
    LONG_READ,
    LONG_JITTER,
    LONG_SLOW,
    LONG_KILL,
    LONG_STALL,
    LONG_SEED,
    LONG_POINTS,
    LONG_RUN_DIR,
    LONG_JSON
};

static const struct option options[] = {
    {"replicas", required_argument, NULL, 'n'},        {"topology", required_argument, NULL, LONG_TOPOLOGY},
    {"records", required_argument, NULL, LONG_RECORDS}, {"network", required_argument, NULL, LONG_NETWORK},
    {"per-node", required_argument, NULL, LONG_PER_NODE}, {"step-time", required_argument, NULL, LONG_STEP},
    {"predict-time", required_argument, NULL, LONG_PREDICT}, {"memory", required_argument, NULL, LONG_MEMORY},
    {"jitter", required_argument, NULL, LONG_JITTER},  {"slow", required_argument, NULL, LONG_SLOW},
    {"kill", required_argument, NULL, LONG_KILL},      {"stall", required_argument, NULL, LONG_STALL},
    {"seed", required_argument, NULL, LONG_SEED},      {"points", required_argument, NULL, LONG_POINTS},
    {"read-time", required_argument, NULL, LONG_READ},
    {"run-dir", required_argument, NULL, LONG_RUN_DIR}, {"set", required_argument, NULL, LONG_SET},
    {"json", no_argument, NULL, LONG_JSON},            {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0}};

enum { MOST_RUNS = 32, MOST_FAULTS = 64 };

struct arguments {
    const char *config_path, *network, *topologies, *run_dir;
    const char **overrides; /* room for one a word of the command line, and for topology */
    size_t n_overrides;
    char records[48], topology[64];
    unsigned n[MOST_RUNS], n_runs;
    struct ta_sim_slow slow[MOST_FAULTS];
    struct ta_sim_fault faults[MOST_FAULTS];
    struct ta_simulation_config simulation;
    uint64_t seed;
    bool json, help;
};

static ta_status bad(const char *option, const char *text, const char *wanted) {
    return ta_fail(TA_USAGE, "%s %s: %s; see tensair sim --help", option, text, wanted);
}

static ta_status parse_number(const char *option, const char *text, double least, double most, double *out) {
    char *end;
    *out = strtod(text, &end);
    if (end != text && *end == '\0' && *out >= least && *out <= most) return TA_OK;
    return ta_fail(TA_USAGE, "%s %s: a number between %g and %g was wanted; see tensair sim --help", option, text,
                   least, most);
}

static ta_status parse_counts(struct arguments *a, const char *text) {
    a->n_runs = 0;
    for (const char *at = text;;) {
        char *end;
        unsigned long n = strtoul(at, &end, 10);
        if (*at < '0' || *at > '9' || n == 0 || n > TA_MAX_REPLICAS || a->n_runs == MOST_RUNS)
            return bad("-n", text, "numbers of replicas from 1 to 1024 were wanted, at most 32 of them");
        a->n[a->n_runs++] = (unsigned)n;
        if (*end == '\0') return TA_OK;
        if (*end != ',') return bad("-n", text, "numbers and commas were wanted");
        at = end + 1;
    }
}

/* RANK, a mark, a number and, where `second` is not NULL, a colon and another one. */
static ta_status parse_fault(const char *option, const char *text, char mark, unsigned *rank, double *first,
                             double *second) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    bool good = *text >= '0' && *text <= '9' && value < TA_MAX_REPLICAS && *end == mark;
    *rank = (unsigned)value;
    const char *at = end + 1;
    if (good) *first = strtod(at, &end);
    good = good && end != at && *first >= 0 && *first <= 1e6;
    if (good && second != NULL) {
        good = *end == ':';
        at = end + 1;
        if (good) *second = strtod(at, &end);
        good = good && end != at && *second > 0 && *second <= 1e6;
    }
    if (good && *end == '\0') return TA_OK;
    return bad(option, text, mark == ':' ? "RANK:FACTOR was wanted" : second != NULL ? "RANK@SECONDS:FOR was wanted"
                                                                                  : "RANK@SECONDS was wanted");
}

static ta_status parse_injury(struct arguments *a, int letter, const char *text) {
    struct ta_simulation_config *s = &a->simulation;
    if (s->n_slow == MOST_FAULTS || s->n_faults == MOST_FAULTS)
        return bad("--slow, --kill, --stall", text, "more than 64 of them");
    if (letter == LONG_SLOW) {
        struct ta_sim_slow *slow = &a->slow[s->n_slow++];
        ta_status status = parse_fault("--slow", text, ':', &slow->rank, &slow->factor, NULL);
        return status == TA_OK && slow->factor <= 0 ? bad("--slow", text, "a factor above 0 was wanted") : status;
    }
    struct ta_sim_fault *fault = &a->faults[s->n_faults++];
    bool stall = letter == LONG_STALL;
    return parse_fault(stall ? "--stall" : "--kill", text, '@', &fault->rank, &fault->at_s,
                       stall ? &fault->for_s : NULL);
}

static ta_status parse_option(struct arguments *a, int letter, const char *text) {
    struct ta_machine *machine = &a->simulation.machine;
    double number = 0;
    ta_status status = TA_OK;
    switch (letter) {
    case 'n': return parse_counts(a, text);
    case LONG_SET: a->overrides[a->n_overrides++] = text; return TA_OK;
    case LONG_TOPOLOGY: a->topologies = text; return TA_OK;
    case LONG_NETWORK: a->network = text; return TA_OK;
    case LONG_RUN_DIR: a->run_dir = text; return TA_OK;
    case LONG_JSON: a->json = true; return TA_OK;
    case LONG_RECORDS:
        status = parse_number("--records", text, 1, 1e15, &number);
        snprintf(a->records, sizeof a->records, "run.max_records=%.0f", number);
        a->overrides[a->n_overrides++] = a->records;
        return status;
    case LONG_STEP: return parse_number("--step-time", text, 1e-9, 1e6, &machine->step_s);
    case LONG_PREDICT: return parse_number("--predict-time", text, 1e-9, 1e6, &machine->predict_s);
    case LONG_READ: return parse_number("--read-time", text, 0, 1e6, &machine->read_s);
    case LONG_MEMORY:
        status = parse_number("--memory", text, 1e-3, 1e6, &number);
        machine->bytes_per_s = number * 1e9;
        return status;
    case LONG_JITTER: return parse_number("--jitter", text, 0, 3, &machine->jitter);
    case LONG_PER_NODE:
        status = parse_number("--per-node", text, 1, TA_MAX_REPLICAS, &number);
        a->simulation.per_node = (unsigned)number;
        return status;
    case LONG_SEED:
        status = parse_number("--seed", text, 1, 1e15, &number);
        a->seed = (uint64_t)number;
        return status;
    case LONG_POINTS:
        status = parse_number("--points", text, 0, TA_SIM_MOST_POINTS, &number);
        a->simulation.n_points = (unsigned)number;
        return status;
    default: return parse_injury(a, letter, text);
    }
}

static ta_status parse(int argc, char **argv, struct arguments *a) {
    opterr = 0;
    optind = 0;
    for (int letter; (letter = getopt_long(argc, argv, ":n:h", options, NULL)) != -1;) {
        if (letter == 'h') {
            a->help = true;
            return TA_OK;
        }
        if (letter == ':') return ta_fail(TA_USAGE, "%s needs a value; see tensair sim --help", argv[optind - 1]);
        if (letter == '?') return ta_fail(TA_USAGE, "unknown option '%s'; see tensair sim --help", argv[optind - 1]);
        ta_status status = parse_option(a, letter, optarg);
        if (status != TA_OK) return status;
    }
    if (optind >= argc) return ta_fail(TA_USAGE, "needs a configuration file; see tensair sim --help");
    if (optind + 1 < argc) return ta_fail(TA_USAGE, "'%s' is one argument too many", argv[optind + 1]);
    a->config_path = argv[optind];
    return TA_OK;
}

/* One run of n replicas, with what was printed of the one of one replica before it as the measure of its efficiency. */
static ta_status run_one(struct arguments *a, unsigned n, struct ta_sim_table *table) {
    struct ta_simulation_config *s = &a->simulation;
    struct ta_run_config *run;
    struct ta_simulation_result *result;
    char run_dir[4096];
    ta_status status = TA_NEW(&result, 1, "the result of a simulation");
    if (status != TA_OK) return status;
    status = ta_simulation_load(a->config_path, a->overrides, a->n_overrides, n, a->run_dir != NULL, &run);
    if (status == TA_OK) {
        const char *topology = run->exchange.spec.topology;
        s->run = run;
        s->n = n;
        s->seed = a->seed > 0 ? a->seed : run->run.seed;
        table->topology = topology != NULL && topology[0] != '\0' ? topology : "full";
        if (a->run_dir != NULL) {
            snprintf(run_dir, sizeof run_dir, "%s/%u-%s", a->run_dir, n, table->topology);
            status = ta_sim_make_folder(run_dir);
            s->run_dir = run_dir;
        }
        if (status == TA_OK) status = ta_machine_measure(run, &s->machine);
        if (status == TA_OK) status = ta_simulate(s, result);
        if (status == TA_OK || (status == TA_PEER && result->n > 0)) ta_sim_print_run(table, s, result);
    }
    if (run != NULL) ta_run_config_free(run);
    ta_mem_free(result);
    return status;
}

/* All numbers of replicas over one topology; a run that lost replicas does not keep the next one from being made. */
static ta_status run_all(struct arguments *a, struct ta_sim_table *table) {
    ta_status worst = TA_OK;
    char why[512] = "";
    for (unsigned i = 0; i < a->n_runs; i++) {
        ta_status status = run_one(a, a->n[i], table);
        if (status != TA_OK && status != TA_PEER) return status;
        if (status == TA_OK || worst != TA_OK) continue;
        worst = status;
        snprintf(why, sizeof why, "%s", ta_why());
    }
    return worst == TA_OK ? TA_OK : ta_fail(worst, "%s", why);
}

static ta_status run_topologies(struct arguments *a, struct ta_sim_table *table) {
    if (a->topologies == NULL) return run_all(a, table);
    size_t place = a->n_overrides++;
    ta_status status = TA_OK;
    for (const char *at = a->topologies; status == TA_OK; at++) {
        int bytes = (int)strcspn(at, ",");
        snprintf(a->topology, sizeof a->topology, "exchange.topology=%.*s", bytes, at);
        a->overrides[place] = a->topology;
        status = run_all(a, table);
        at += bytes;
        if (*at == '\0') break;
    }
    return status;
}

static ta_status simulate(struct arguments *a) {
    struct ta_sim_table table = {.json = a->json};
    struct ta_simulation_config *s = &a->simulation;
    ta_status status = ta_network_load(a->network != NULL ? a->network : "rdma-100g", &s->network);
    struct ta_run_config *run = NULL;
    if (status == TA_OK) status = ta_run_config_load(a->config_path, a->overrides, a->n_overrides, &run);
    if (status == TA_OK && a->n_runs == 0) a->n[a->n_runs++] = run->run.replicas;
    struct ta_machine given = s->machine;
    if (status == TA_OK) status = ta_machine_measure(run, &s->machine);
    if (run != NULL) ta_run_config_free(run);
    if (status != TA_OK) return status;
    ta_sim_print_assumptions(&table, s, &given);
    return run_topologies(a, &table);
}

static ta_status sim(int argc, char **argv) {
    struct arguments *a;
    ta_status status = TA_NEW(&a, 1, "the command line");
    if (status != TA_OK) return status;
    a->simulation = (struct ta_simulation_config){.n_points = 10, .per_node = 1, .slow = a->slow, .faults = a->faults};
    status = TA_NEW(&a->overrides, (size_t)argc + 2, "the command line");
    if (status == TA_OK) status = parse(argc, argv, a);
    if (status == TA_OK && a->help) fputs(help, stdout);
    else if (status == TA_OK) status = simulate(a);
    ta_mem_free(a->overrides);
    ta_mem_free(a);
    return status;
}

const struct ta_verb ta_verb_sim = {.name = "sim", .summary = "simulate a run of up to 1024 replicas", .run = sim};
