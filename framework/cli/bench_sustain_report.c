/* bench_sustain_report: what was found, for people, for programs, and as a picture. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench_sustain.h"
#include "clock.h"
#include "jsonl.h"
#include "mem.h"
#include "progress.h"

enum { PATH_BYTES = 4200 };

/* --- table --- */

static double percentile_s(const struct ta_hist *h, unsigned k) {
    return (double)ta_hist_percentile(h, ta_sustain_percents[k]) / TA_NS_PER_S;
}

static void print_moment(const struct ta_hist *h, enum ta_moment m) {
    printf(" %-9s", ta_moment_names[m]);
    for (unsigned k = 0; k < 4; k++) {
        if (h->count > 0) printf(" %9.3f", 1e3 * percentile_s(h, k));
        else printf(" %9s", "-");
    }
    printf("\n");
}

static void print_cell(const struct sustain_cell *c) {
    char rate[27], low[27], high[27] = "?", words[27], bracket[64], second[64] = "";
    ta_progress_group((uint64_t)c->search.low, rate);
    ta_progress_group((uint64_t)c->search.low, low);
    if (c->search.high > 0) ta_progress_group((uint64_t)c->search.high, high);
    snprintf(bracket, sizeof bracket, "%s .. %s%s", low, high, c->cut_short ? " *" : "");
    if (c->words_per_record > 0)
        snprintf(second, sizeof second, "%s words/s",
                 ta_progress_group((uint64_t)(c->search.low * c->words_per_record), words));
    for (unsigned m = 0; m < TA_MOMENTS; m++) {
        if (m == 0) printf("%8u %7u %13s  %-25s", c->replicas, c->batch, rate, bracket);
        else printf("%8s %7s %13s  %-25s", "", "", "", m == 1 ? second : "");
        print_moment(&c->best->hist[m], (enum ta_moment)m);
    }
}

void sustain_print(const struct sustain_bench *b) {
    unsigned probes = 0;
    bool cut_short = false;
    const char *unit = b->unit[0] == 's' ? "sentences/s" : "records/s";
    printf("\n%8s %7s %13s  %-25s %-9s %9s %9s %9s %9s\n", "replicas", "batch", unit,
           "kept .. not kept", "latency", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms");
    for (unsigned i = 0; i < b->n_cells; i++) {
        print_cell(&b->cell[i]);
        probes += b->cell[i].n_probes;
        cut_short |= b->cell[i].cut_short;
    }
    printf("\n%s pacing; %u probes in %.0f s; a rate is kept when the %g %% interval of the lag's slope reaches down "
           "to %g\nand nothing was dropped; seeds that vote: %u. Latencies are from due times, at the rate found.\n",
           b->pace + strlen("pace.type="), probes, (double)(ta_clock_now_ns() - b->start_ns) / TA_NS_PER_S,
           100 * b->o.confidence, b->o.tolerance, b->o.seeds);
    if (cut_short)
        printf("* the time was over before the bracket was as narrow as %g %%: --within\n", 100 * b->o.precision);
}

/* --- JSON --- */

static json_t *probe_json(const struct sustain_probe *p) {
    json_t *o = json_pack("{s:f, s:i, s:b, s:f, s:f, s:f, s:f, s:I}", "rate", p->rate, "seed", (int)p->seed, "kept",
                          p->verdict.kept, "slope", p->verdict.trend.slope, "slope_low", p->verdict.trend.low,
                          "slope_high", p->verdict.trend.high, "lag_s", p->verdict.trend.mean, "dropped",
                          (json_int_t)p->dropped);
    for (unsigned m = 0; m < TA_MOMENTS && o != NULL; m++)
        json_object_set_new(o, ta_moment_names[m],
                            json_pack("{s:f, s:f, s:f, s:f}", "p50_s", p->percentile_s[m][0], "p90_s",
                                      p->percentile_s[m][1], "p99_s", p->percentile_s[m][2], "p99.9_s",
                                      p->percentile_s[m][3]));
    return o;
}

static json_t *cell_json(const struct sustain_cell *c) {
    json_t *probes = json_array();
    for (unsigned i = 0; i < c->n_probes; i++) json_array_append_new(probes, probe_json(&c->probe[i]));
    json_t *o = json_pack("{s:i, s:i, s:f, s:f, s:b, s:f, s:f}", "replicas", (int)c->replicas, "batch", (int)c->batch,
                          "rate", c->search.low, "unpaced", c->capacity, "cut_short", c->cut_short, "probe_s",
                          c->probe_s,
                          "words_per_record", c->words_per_record);
    if (o == NULL) return NULL;
    json_object_set_new(o, "not_kept", ta_json_real(c->search.high > 0 ? c->search.high : NAN));
    json_object_set_new(o, "latency", ta_latencies_json(c->best));
    json_object_set_new(o, "probes", probes);
    return o;
}

ta_status sustain_write_json(const struct sustain_bench *b) {
    json_t *cells = json_array();
    for (unsigned i = 0; i < b->n_cells; i++) json_array_append_new(cells, cell_json(&b->cell[i]));
    json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:f, s:f, s:f, s:i, s:f}", "schema", 1, "config", b->o.config_path,
                          "unit", b->unit, "pace", b->pace + strlen("pace.type="), "confidence", b->o.confidence,
                          "tolerance", b->o.tolerance, "precision", b->o.precision, "seeds", (int)b->o.seeds, "seconds",
                          (double)(ta_clock_now_ns() - b->start_ns) / TA_NS_PER_S);
    if (o == NULL || json_object_set_new(o, "combinations", cells) != 0) {
        json_decref(o);
        return ta_fail(TA_NO_MEMORY, "%s: out of memory", b->o.json);
    }
    int failed = json_dump_file(o, b->o.json, JSON_INDENT(1));
    json_decref(o);
    return failed == 0 ? TA_OK : ta_fail_errno(TA_IO, "%s: cannot write", b->o.json);
}

/* --- picture --- */

/* One block of data a batch size: replicas, rate, bracket; one a combination: rate, latencies. */
static void write_data(const struct sustain_bench *b, FILE *file) {
    for (unsigned k = 0; k < b->o.batch.n; k++) {
        fprintf(file, "$batch%u << EOD\n", k);
        for (unsigned i = k; i < b->n_cells; i += b->o.batch.n) {
            const struct ta_sustain *s = &b->cell[i].search;
            fprintf(file, "%u %.9g %.9g %.9g\n", b->cell[i].replicas, s->low, s->low, s->high > 0 ? s->high : s->low);
        }
        fprintf(file, "EOD\n");
    }
    for (unsigned i = 0; i < b->n_cells; i++) {
        const struct sustain_cell *c = &b->cell[i];
        fprintf(file, "$probes%u << EOD\n", i);
        for (unsigned p = 0; p < c->n_probes; p++) {
            const double(*s)[4] = c->probe[p].percentile_s;
            fprintf(file, "%.9g %.9g %.9g %.9g %.9g\n", c->probe[p].rate, 1e3 * s[TA_MOMENT_PREDICTED][0],
                    1e3 * s[TA_MOMENT_PREDICTED][2], 1e3 * s[TA_MOMENT_VISIBLE][0], 1e3 * s[TA_MOMENT_VISIBLE][2]);
        }
        fprintf(file, "EOD\n");
    }
}

/* Predicted thin, visible thick; the median with a name, the 99 % dashed. */
static void draw_latencies(const struct sustain_bench *b, unsigned i, FILE *file) {
    const struct sustain_cell *c = &b->cell[i];
    for (unsigned k = 0; k < 4; k++) {
        char title[96] = "notitle";
        if (k % 2 == 0)
            snprintf(title, sizeof title, "title '%u x %u %s'", c->replicas, c->batch,
                     k == 0 ? "predicted" : "visible");
        fprintf(file, "%s$probes%u using 1:%u smooth unique with linespoints lw %u dt %u lc %u %s",
                i + k > 0 ? ", \\\n     " : "", i, k + 2, k / 2 + 1, k % 2 + 1, 2 * i + k / 2 + 1, title);
    }
}

static void write_script(const struct sustain_bench *b, FILE *file) {
    fprintf(file, "# Run again after editing: gnuplot FILE\nset terminal pngcairo size 1400,560 font 'sans,11'\n");
    write_data(b, file);
    fprintf(file, "set output '%s'\nset multiplot layout 1,2\nset grid lc rgb '#dddddd'\n", b->o.plot);
    fprintf(file, "set title 'Sustainable rate and the lowest that was not'\nset xlabel 'replicas'\nset ylabel '%s/s'\n"
                  "set yrange [0:*]\nset offsets 0.5, 0.5, 0, 0\nset xtics 1\nset key bottom right\nplot ", b->unit);
    for (unsigned k = 0; k < b->o.batch.n; k++)
        fprintf(file, "%s$batch%u using 1:2:3:4 with yerrorlines lw 2 lc %u title 'batch %u'",
                k > 0 ? ", \\\n     " : "", k, k + 1, b->o.batch.value[k]);
    fprintf(file, "\nset title 'Latency from due times: median, and 99 %% dashed'\nset xlabel 'offered, %s/s'\n"
                  "set ylabel 'ms'\nset logscale y\nset yrange [*:*]\nset offsets 0, 0, 0, 0\nset xtics auto\n"
                  "set key top left\n%splot ", b->unit, b->n_cells > 4 ? "set key off\n" : "");
    for (unsigned i = 0; i < b->n_cells; i++) draw_latencies(b, i, file);
    fprintf(file, "\nunset multiplot\n");
}

ta_status sustain_draw(struct sustain_bench *b) {
    char script[PATH_BYTES], err[128];
    if (strchr(b->o.plot, '\'') != NULL || strlen(b->o.plot) > PATH_BYTES - 8)
        return ta_fail(TA_USAGE, "--plot %s: choose a shorter name without a quote", b->o.plot);
    snprintf(script, sizeof script, "%s.gp", b->o.plot);
    FILE *file = fopen(script, "w");
    if (file == NULL) return ta_fail_errno(TA_IO, "%s: cannot write", script);
    write_script(b, file);
    if (fclose(file) != 0) return ta_fail_errno(TA_IO, "%s: cannot write", script);
    snprintf(err, sizeof err, "%s/err", b->folder);
    char *argv[] = {(char *)"gnuplot", script, NULL};
    int code;
    ta_status status = sustain_command(b, argv, "/dev/null", "/dev/null", err, &code);
    if (status != TA_OK && b->signal == 0)
        return ta_fail(TA_NOT_BUILT, "--plot needs gnuplot: apt-get install gnuplot-nox; the script is %s", script);
    if (status == TA_OK && code != 0) status = ta_fail(TA_FAILED, "gnuplot %s ended with status %d", script, code);
    return status;
}
