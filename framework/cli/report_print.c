/* report_print: a report as lines, as a row of a table, as JSON. */
#include <math.h>
#include <string.h>

#include "progress.h"
#include "report.h"

/* What the run itself says in the end; while it has not, what the windows add up to. */
static const json_t *summary_of(const struct ta_report *r) {
    const json_t *summary = json_object_get(r->manifest, "summary");
    return json_is_object(summary) && ta_report_exit_code(r) >= 0 ? summary : NULL;
}

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static const char *text(const json_t *object, const char *key) {
    const char *value = json_string_value(json_object_get(object, key));
    return value != NULL ? value : "-";
}

static const char *count(double value, char out[27]) {
    if (isnan(value) || value < 0 || value > 1e18) return "-";
    return ta_progress_group((uint64_t)value, out);
}

struct figures {
    double records, rate, seconds, accuracy, window_accuracy, loss, s_avg, s_max, s_p99, untrained, dropped;
    double phase_s[TA_PHASES];
    bool paced;
};

static struct figures figures_of(const struct ta_report *r) {
    const json_t *s = summary_of(r);
    if (s != NULL) {
        struct figures f = {
            .records = number(s, "records"), .rate = number(s, "records_per_s"), .seconds = number(s, "seconds"),
            .accuracy = number(s, "accuracy_all"), .window_accuracy = number(s, "accuracy"), .loss = number(s, "loss_all"),
            .s_avg = number(s, "s_avg"), .s_max = number(s, "s_max"), .s_p99 = number(s, "s_p99"),
            .untrained = number(s, "untrained"), .dropped = number(s, "dropped")};
        const json_t *phases = json_object_get(s, "phases_s");
        for (int i = 0; i < TA_PHASES; i++) f.phase_s[i] = number(phases, ta_phase_names[i]);
        return f;
    }
    struct ta_tally_sum sum;
    ta_tally_add_up(&r->tally, &sum);
    struct figures f = {.records = sum.records, .rate = sum.records_per_s, .seconds = sum.t_s, .accuracy = NAN,
                        .window_accuracy = sum.accuracy, .loss = sum.loss, .s_avg = sum.s_avg, .s_max = sum.s_max,
                        .s_p99 = NAN, .untrained = NAN, .dropped = sum.dropped, .paced = !isnan(sum.lag_s)};
    memcpy(f.phase_s, sum.phase_s, sizeof f.phase_s);
    return f;
}

/* As the run says it, else as its windows do. */
static unsigned lost_of(const struct ta_report *r) {
    double said = number(summary_of(r), "lost");
    return !isnan(said) && said > r->lost ? (unsigned)said : r->lost;
}

static void print_replicas(const struct ta_report *r, FILE *out) {
    unsigned lost = lost_of(r);
    fprintf(out, "replicas     %u", r->replicas);
    if (lost > 0 && r->lost > 0) fprintf(out, ", lost %u (ranks %s)", lost, r->lost_ranks);
    else if (lost > 0) fprintf(out, ", lost %u", lost);
    if (r->joined > 0) fprintf(out, ", joined %u (ranks %s)", r->joined, r->joined_ranks);
    fputc('\n', out);
}

/* Of a run that has ended it is said as the run said it. */
static void print_phases(const struct ta_report *r, const struct figures *f, FILE *out) {
    char line[256];
    ta_phases_print(f->phase_s, line, sizeof line);
    if (line[0] != '\0') fprintf(out, "time         %s\n", line);
    const json_t *summary = summary_of(r);
    if (summary == NULL) ta_phases_advise(f->phase_s, f->paced, line, sizeof line);
    else snprintf(line, sizeof line, "%s", text(summary, "slowed_by"));
    if (line[0] != '\0' && strcmp(line, "-") != 0) fprintf(out, "slowed by    %s\n", line);
}

static void print_drift(const struct ta_report *r, FILE *out) {
    const json_t *made = json_object_get(summary_of(r), "drift");
    if (json_is_object(made))
        fprintf(out, "drift        %.0f made, %.0f found, %.0f missed, %.0f false alarms\n", number(made, "made"),
                number(made, "found"), number(made, "missed"), number(made, "false_alarms"));
    else if (r->tally.drifts > 0)
        fprintf(out, "drift        %llu alarms of detectors\n", (unsigned long long)r->tally.drifts);
}

/* From due times: "predicted 0.86 / 136.31 ms", median and 99th percentile. */
static void print_latency(const json_t *latency, FILE *out) {
    const char *moment;
    json_t *figures;
    if (json_object_size(latency) == 0) return;
    fprintf(out, "latency     ");
    json_object_foreach((json_t *)latency, moment, figures)
        fprintf(out, " %s %.2f / %.2f ms ", moment, 1e3 * number(figures, "p50_s"), 1e3 * number(figures, "p99_s"));
    fprintf(out, " (from due times: median / 99 %%)\n");
}

void ta_report_print(const struct ta_report *r, FILE *out) {
    const json_t *m = r->manifest, *program = json_object_get(m, "program"), *host = json_object_get(m, "host");
    struct figures f = figures_of(r);
    char records[27], rate[27], parameters[27], most[27];
    int code = ta_report_exit_code(r);
    fprintf(out, "run          %s\n", r->run_dir);
    fprintf(out, "state        %s", ta_report_state(code));
    if (code >= 0) fprintf(out, " (exit status %d)", code);
    fprintf(out, "\nfrom         %s to %s, %u %s\n", text(m, "start"), code >= 0 ? text(m, "end") : "-",
            r->tally.lives, r->tally.lives == 1 ? "life" : "lives");
    double nodes = number(m, "nodes");
    fprintf(out, "program      tensair %s (%s) on %s, %.0f node%s, transport %s\n", text(program, "version"),
            text(program, "commit"), text(host, "name"), isnan(nodes) ? 1 : nodes, nodes > 1 ? "s" : "",
            text(json_object_get(m, "transport"), "type"));
    fprintf(out, "model        %s parameters; stream %.200s\n",
            count(number(json_object_get(m, "model"), "parameters"), parameters),
            text(json_object_get(m, "stream"), "origin"));
    print_replicas(r, out);
    fprintf(out, "records      %s\n", count(f.records, records));
    fprintf(out, "rate         %s records/s over %.1f s\n", count(f.rate, rate), isnan(f.seconds) ? 0 : f.seconds);
    if (!isnan(f.accuracy)) fprintf(out, "accuracy     %.2f %% prequential\n", 100 * f.accuracy);
    if (!isnan(f.window_accuracy)) fprintf(out, "             %.2f %% over the last window\n", 100 * f.window_accuracy);
    if (!isnan(f.loss)) fprintf(out, "loss         %.5f\n", f.loss);
    if (!isnan(f.s_avg)) fprintf(out, "staleness    S_avg %.3f, S_max %s", f.s_avg, count(f.s_max, most));
    if (!isnan(f.s_avg) && !isnan(f.s_p99)) fprintf(out, ", p99 %s", count(f.s_p99, most));
    if (!isnan(f.s_avg)) fputc('\n', out);
    print_phases(r, &f, out);
    print_drift(r, out);
    print_latency(json_object_get(summary_of(r), "latency"), out);
    if (f.dropped > 0) fprintf(out, "dropped      %s records\n", count(f.dropped, records));
    if (f.untrained > 0) fprintf(out, "untrained    %s records that nobody trained on\n", count(f.untrained, records));
    if (r->torn > 0) fprintf(out, "torn         %llu lines of metrics\n", (unsigned long long)r->torn);
    fprintf(out, "checkpoint   %s\n", text(summary_of(r), "checkpoint"));
}

void ta_report_print_head(FILE *out) {
    fprintf(out, "%4s %8s %5s %6s %14s %12s %9s %9s %8s  %s\n", "exit", "replicas", "lost", "lives", "records",
            "records/s", "acc. %", "loss", "S_avg", "run");
}

static void cell(FILE *out, int width, int digits, double value) {
    if (isnan(value)) fprintf(out, " %*s", width, "-");
    else fprintf(out, " %*.*f", width, digits, value);
}

void ta_report_print_row(const struct ta_report *r, FILE *out) {
    struct figures f = figures_of(r);
    char records[27], rate[27], code[12] = "-";
    if (ta_report_exit_code(r) >= 0) snprintf(code, sizeof code, "%d", ta_report_exit_code(r));
    fprintf(out, "%4s %8u %5u %6u %14s %12s", code, r->replicas, lost_of(r), r->tally.lives, count(f.records, records),
            count(f.rate, rate));
    cell(out, 9, 2, 100 * (isnan(f.accuracy) ? f.window_accuracy : f.accuracy));
    cell(out, 9, 4, f.loss);
    cell(out, 8, 3, f.s_avg);
    fprintf(out, "  %s\n", r->run_dir);
}

/* "2 3" -> [2, 3] */
static json_t *list_of(const struct ta_report *r, bool joined) {
    json_t *list = json_array();
    for (unsigned i = 0; i < r->tally.n_ranks; i++) {
        const struct ta_tally_rank *rank = &r->tally.rank[i];
        bool in = joined ? r->replicas > 0 && i >= r->replicas && rank->seen : rank->lost;
        if (in) json_array_append_new(list, json_integer(i));
    }
    return list;
}

static json_t *known(const json_t *object, const char *key) {
    json_t *value = json_object_get(object, key);
    return value != NULL ? json_incref(value) : json_null();
}

json_t *ta_report_json(const struct ta_report *r) {
    int code = ta_report_exit_code(r);
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:i, s:i, s:i, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:o}", "run_dir",
                     r->run_dir, "state", ta_report_state(code), "exit_code", known(r->manifest, "exit_code"), "start",
                     known(r->manifest, "start"), "end", known(r->manifest, "end"), "replicas", (int)r->replicas,
                     "lives", (int)r->tally.lives, "lost", (int)lost_of(r), "lost_ranks", list_of(r, false),
                     "joined_ranks", list_of(r, true), "drift_alarms", (json_int_t)r->tally.drifts, "torn_lines",
                     (json_int_t)r->torn, "program", known(r->manifest, "program"), "host", known(r->manifest, "host"),
                     "transport", known(r->manifest, "transport"), "summary", known(r->manifest, "summary"));
}
