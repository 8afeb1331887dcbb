/* report: `tensair report RUN_DIR...`. */
#include "report.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "watch_news.h"

static const char help[] =
    "usage: tensair report RUN_DIR... [--json | --exit-code]\n"
    "\n"
    "Prints what a run came to, from its manifest and its metrics: rate, accuracy, staleness, drift, replicas lost and joined,\n"
    "lives. Several run directories, as of a job array: a row each.\n"
    "\n"
    "  --json       as JSON: one object, or an array of them\n"
    "  --exit-code  the run's own exit status and nothing else; fails while it has not ended\n";

ta_status ta_report_open(struct ta_report *r, const char *run_dir) {
    *r = (struct ta_report){.run_dir = run_dir};
    char path[4096];
    json_error_t error;
    if ((size_t)snprintf(path, sizeof path, "%s/manifest.json", run_dir) >= sizeof path)
        return ta_fail(TA_IO, "%.200s...: the path is too long", run_dir);
    FILE *file = fopen(path, "re");
    if (file == NULL) return ta_fail_errno(TA_IO, "%s: cannot read: is '%s' a run directory?", path, run_dir);
    r->manifest = json_loadf(file, 0, &error);
    fclose(file);
    if (!json_is_object(r->manifest)) {
        ta_status status = ta_fail(TA_FORMAT, "%s:%d: no manifest: %s", path, r->manifest != NULL ? 1 : error.line,
                                   r->manifest != NULL ? "not an object" : error.text);
        ta_report_close(r);
        return status;
    }
    json_int_t replicas = json_integer_value(json_object_get(r->manifest, "replicas"));
    r->replicas = replicas > 0 && replicas <= TA_TALLY_MOST_RANKS ? (unsigned)replicas : 0;
    return TA_OK;
}

void ta_report_close(struct ta_report *r) {
    json_decref(r->manifest);
    ta_tally_close(&r->tally);
    *r = (struct ta_report){0};
}

int ta_report_exit_code(const struct ta_report *r) {
    const json_t *code = json_object_get(r->manifest, "exit_code");
    return json_is_integer(code) ? (int)json_integer_value(code) : -1;
}

const char *ta_report_state(int exit_code) {
    switch (exit_code) {
        case -1: return "has not ended";
        case 0: return "finished";
        case 69: return "replicas were lost";
        case 75: return "stopped after a checkpoint";
        default: return "failed";
    }
}

static ta_status take(void *context, const json_t *line) { return ta_tally_take(context, line, 1); }

static ta_status read_metrics(struct ta_report *r) {
    struct ta_news news;
    unsigned found;
    ta_news_open(&news, r->run_dir, TA_NEWS_FROM_START);
    ta_status status = ta_news_read(&news, take, &r->tally, &found);
    r->torn = news.torn;
    ta_news_close(&news);
    r->lost = ta_tally_list(&r->tally, false, 0, r->lost_ranks, sizeof r->lost_ranks);
    if (r->replicas > 0)
        r->joined = ta_tally_list(&r->tally, true, r->replicas, r->joined_ranks, sizeof r->joined_ranks);
    return status;
}

struct arguments {
    bool json, exit_code, help;
};

static ta_status parse(int argc, char **argv, struct arguments *a) {
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"exit-code", no_argument, NULL, 'e'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    opterr = 0;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, ":h", options, NULL)) != -1;) {
        if (option == 'j') a->json = true;
        else if (option == 'e') a->exit_code = true;
        else if (option == 'h') a->help = true;
        else return ta_fail(TA_USAGE, "unknown option '%s'; see tensair report --help", argv[optind - 1]);
    }
    if (a->help) return TA_OK;
    if (optind >= argc) return ta_fail(TA_USAGE, "needs a run directory; see tensair report --help");
    if (a->json && a->exit_code) return ta_fail(TA_USAGE, "--json and --exit-code: one of them");
    if (a->exit_code && optind + 1 < argc)
        return ta_fail(TA_USAGE, "--exit-code is that of one run, and %d are given", argc - optind);
    return TA_OK;
}

static ta_status report_one(const char *run_dir, const struct arguments *a, bool row, json_t *list) {
    struct ta_report r;
    ta_status status = ta_report_open(&r, run_dir);
    if (status == TA_OK && a->exit_code) {
        int code = ta_report_exit_code(&r);
        if (code < 0) status = ta_fail(TA_FAILED, "%s: the run has not ended, as far as it says", run_dir);
        else printf("%d\n", code);
    } else if (status == TA_OK) {
        status = read_metrics(&r);
        if (status == TA_OK && a->json) {
            if (json_array_append_new(list, ta_report_json(&r)) != 0)
                status = ta_fail(TA_NO_MEMORY, "out of memory for the report");
        } else if (status == TA_OK && row) {
            ta_report_print_row(&r, stdout);
        } else if (status == TA_OK) {
            ta_report_print(&r, stdout);
        }
    }
    ta_report_close(&r);
    return status;
}

static ta_status report(int argc, char **argv) {
    struct arguments a = {0};
    ta_status status = parse(argc, argv, &a);
    if (status != TA_OK) return status;
    if (a.help) {
        fputs(help, stdout);
        return TA_OK;
    }
    int n = argc - optind, first = optind;
    json_t *list = json_array();
    if (n > 1 && !a.json) ta_report_print_head(stdout);
    for (int i = 0; status == TA_OK && i < n; i++) status = report_one(argv[first + i], &a, n > 1, list);
    if (status == TA_OK && a.json) {
        json_dumpf(n == 1 ? json_array_get(list, 0) : list, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(list);
    return status;
}

const struct ta_verb ta_verb_report = {.name = "report", .summary = "print what a run came to", .run = report};
