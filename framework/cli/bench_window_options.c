/* The command line of `tensair bench window`. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_window.h"

enum { MAX_ROWS = 1 << 28, MAX_RAILS = 16 };

static ta_status parse_sizes(const char *option, const char *text, struct ta_bench_options *o) {
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
        if (o->n_sizes == TA_BENCH_MAX_SIZES)
            return ta_fail(TA_USAGE, "%s: more than %d sizes", option, TA_BENCH_MAX_SIZES);
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

static ta_status parse_count(const char *option, const char *text, uint32_t most, uint32_t *out) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value == 0 || value > most)
        return ta_fail(TA_USAGE, "%s: '%s' is not a number from 1 to %u", option, text, most);
    *out = (uint32_t)value;
    return TA_OK;
}

static ta_status parse_listen(const char *text, struct ta_bench_options *o) {
    o->listens = true;
    return parse_count("--listen", text, 65535, &o->port);
}

/* HOST:PORT; an IPv6 address in brackets. */
static ta_status parse_connect(const char *text, struct ta_bench_options *o) {
    const char *colon = strrchr(text, ':');
    size_t length = colon != NULL ? (size_t)(colon - text) : 0;
    bool brackets = length > 2 && text[0] == '[' && colon[-1] == ']';
    if (length == 0 || length >= sizeof o->host || (!brackets && memchr(text, ':', length) != NULL))
        return ta_fail(TA_USAGE, "--connect: '%s' is not HOST:PORT (an IPv6 address as [ADDRESS]:PORT)", text);
    snprintf(o->host, sizeof o->host, "%.*s", (int)(length - 2 * brackets), text + brackets);
    return parse_count("--connect", colon + 1, 65535, &o->port);
}

static ta_status check(const struct ta_bench_options *o, const char *sizes, const char *row_bytes) {
    if ((o->rows > 0 ? sizes : row_bytes) != NULL)
        return ta_fail(TA_USAGE, "%s", o->rows > 0 ? "--sizes does not go with --rows: rows have --row-bytes"
                                                   : "--row-bytes needs --rows: how many rows");
    if (o->listens && o->host[0] != '\0')
        return ta_fail(TA_USAGE, "--listen does not go with --connect: one on each machine");
    if (o->listens && (o->rows > 0 || sizes != NULL || o->verify || o->perftest))
        return ta_fail(TA_USAGE, "--listen only answers: what is measured is asked for beside --connect");
    if (o->perftest && o->rows > 0)
        return ta_fail(TA_USAGE, "--perftest does not go with --rows: its programs put no rows");
    if (o->perftest && o->transport != NULL && strcmp(o->transport, "verbs") != 0)
        return ta_fail(TA_USAGE, "--perftest measures verbs: it needs --transport verbs, not %s", o->transport);
    return TA_OK;
}

/* What getopt found; `texts` gets what can only be read when all is known. */
static ta_status take(int letter, char *text, struct ta_bench_options *o, const char *texts[2]) {
    switch (letter) {
    case 't': o->transport = text; return TA_OK;
    case 'd': o->spec.device = text; return TA_OK;
    case 'g': o->spec.gid = text; return TA_OK;
    case 'o': o->spec.provider = text; return TA_OK;
    case 'a': return parse_count("--rails", text, MAX_RAILS, &o->spec.rails);
    case 'l': return parse_listen(text, o);
    case 'c': return parse_connect(text, o);
    case 's': texts[0] = text; return TA_OK;
    case 'r': return parse_count("--rows", text, MAX_ROWS, &o->rows);
    case 'b': texts[1] = text; return TA_OK;
    case 'n': return parse_seconds(text, &o->seconds);
    case 'v': o->verify = true; return TA_OK;
    case 'p': o->perftest = true; return TA_OK;
    case 'h': o->wants_help = true; return TA_OK;
    default: return ta_fail(TA_USAGE, "unknown or incomplete option; see tensair bench window --help");
    }
}

ta_status ta_bench_options_parse(int argc, char **argv, struct ta_bench_options *o) {
    static const struct option known[] = {{"transport", required_argument, NULL, 't'},
                                          {"device", required_argument, NULL, 'd'},
                                          {"gid", required_argument, NULL, 'g'},
                                          {"provider", required_argument, NULL, 'o'},
                                          {"rails", required_argument, NULL, 'a'},
                                          {"listen", required_argument, NULL, 'l'},
                                          {"connect", required_argument, NULL, 'c'},
                                          {"sizes", required_argument, NULL, 's'},
                                          {"seconds", required_argument, NULL, 'n'},
                                          {"rows", required_argument, NULL, 'r'},
                                          {"row-bytes", required_argument, NULL, 'b'},
                                          {"verify", no_argument, NULL, 'v'},
                                          {"perftest", no_argument, NULL, 'p'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct ta_bench_options){.seconds = 0.4};
    const char *texts[2] = {NULL, NULL}; /* of --sizes, --row-bytes */
    ta_status status = TA_OK;
    optind = 1;
    opterr = 0;
    for (int letter; status == TA_OK && !o->wants_help && (letter = getopt_long(argc, argv, "", known, NULL)) != -1;)
        status = take(letter, optarg, o, texts);
    if (status != TA_OK || o->wants_help) return status;
    if (optind != argc)
        return ta_fail(TA_USAGE, "'%s' is not an option; see tensair bench window --help", argv[optind]);
    status = check(o, texts[0], texts[1]);
    if (status != TA_OK) return status;
    if (o->perftest) o->transport = "verbs";
    if (o->rows > 0) return parse_sizes("--row-bytes", texts[1] != NULL ? texts[1] : "448,1216", o);
    const char *all = o->perftest ? "64,4K,64K,1M" : "8,64,1K,4K,16K,64K,256K,1M,4M,16M,64M";
    return parse_sizes("--sizes", texts[0] != NULL ? texts[0] : all, o);
}
