/* sim_print: tables for people, JSON for programs. */
#include "sim_print.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "jsonl.h"

static void print_json(json_t *line) {
    if (line == NULL) return;
    json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12));
    putchar('\n');
    json_decref(line);
}

static const char *source(double given) { return given > 0 ? "given" : "measured"; }

static json_t *assumptions_json(const struct ta_simulation_config *c, const struct ta_machine *given) {
    const struct ta_network *net = &c->network;
    const struct ta_machine *m = &c->machine;
    json_t *network =
        json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:b, s:f, s:f, s:i}", "name", net->name, "made", net->made,
                  "latency_us", net->link.latency_us, "gb_per_s", net->link.gb_per_s, "put_us", net->put_us, "jitter",
                  net->jitter, "sender_copies", net->sender_copies, "near_latency_us", net->near.latency_us,
                  "near_gb_per_s", net->near.gb_per_s, "per_node", (int)c->per_node);
    return json_pack("{s:s, s:f, s:s, s:f, s:s, s:f, s:s, s:f, s:f, s:i, s:i, s:o}", "kind", "assumptions", "step_s",
                     m->step_s, "step_from", source(given->step_s), "predict_s", m->predict_s, "predict_from",
                     source(given->predict_s), "memory_gb_per_s", m->bytes_per_s / 1e9, "memory_from",
                     source(given->bytes_per_s), "read_s", m->read_s, "jitter", m->jitter, "slow", (int)c->n_slow,
                     "faults", (int)c->n_faults, "network", network);
}

void ta_sim_print_assumptions(struct ta_sim_table *table, const struct ta_simulation_config *c,
                              const struct ta_machine *given) {
    const struct ta_network *net = &c->network;
    const struct ta_machine *m = &c->machine;
    if (table->json) {
        print_json(assumptions_json(c, given));
        return;
    }
    printf(
        "assumed\n"
        "  step       %.3g s (%s)   predictions alone %.3g s (%s)   reading %g s   jitter %g\n"
        "  apply      %.3g GB/s of memory (%s)\n"
        "  network    %s: %g us, %g GB/s a NIC, a put each %g us, jitter %g%s\n",
        m->step_s, source(given->step_s), m->predict_s, source(given->predict_s), m->read_s, m->jitter,
        m->bytes_per_s / 1e9, source(given->bytes_per_s), net->name, net->link.latency_us, net->link.gb_per_s,
        net->put_us, net->jitter, net->sender_copies ? ", the sender copies" : "");
    if (c->per_node > 1)
        printf("  nodes      of %u replicas, within one %g us, %g GB/s\n", c->per_node, net->near.latency_us,
               net->near.gb_per_s);
    printf("  from       %s\n", net->made);
    for (unsigned i = 0; i < c->n_slow; i++)
        printf("  slow       rank %u, %g times\n", c->slow[i].rank, c->slow[i].factor);
    for (unsigned i = 0; i < c->n_faults; i++) {
        const struct ta_sim_fault *f = &c->faults[i];
        if (f->for_s > 0) printf("  stalled    rank %u after %g s for %g s\n", f->rank, f->at_s, f->for_s);
        else printf("  killed     rank %u after %g s\n", f->rank, f->at_s);
    }
    printf("  again by   --step-time %.3g --predict-time %.3g --memory %.4g", m->step_s, m->predict_s,
           m->bytes_per_s / 1e9);
    if (m->read_s > 0) printf(" --read-time %g", m->read_s);
    printf("\n\n");
}

static double efficiency(struct ta_sim_table *table, const struct ta_simulation_result *r) {
    double each = r->records_per_s / r->n;
    if (table->rows == 0) table->first_each_per_s = each;
    return table->first_each_per_s > 0 ? each / table->first_each_per_s : 0;
}

static double bytes_each(const struct ta_simulation_result *r) {
    return r->seconds > 0 ? (double)r->bytes / r->n / r->seconds : 0;
}

static json_t *run_json(const struct ta_sim_table *table, const struct ta_simulation_result *r, double share) {
    json_t *points = json_array();
    for (unsigned i = 0; i < r->n_points; i++) {
        const struct ta_simulation_point *p = &r->points[i];
        json_array_append_new(points, json_pack("{s:I, s:f, s:o, s:o}", "records", (json_int_t)p->records, "seconds",
                                                p->seconds, "accuracy", ta_json_real(p->accuracy), "loss",
                                                ta_json_real(p->loss)));
    }
    char checksum[17];
    snprintf(checksum, sizeof checksum, "%016" PRIx64, r->checksum);
    return json_pack(
        "{s:s, s:i, s:s, s:f, s:I, s:I, s:I, s:f, s:f, s:o, s:o, s:f, s:I, s:I, s:I, s:f, s:I, s:i, s:i, s:I, s:s, "
        "s:o}",
        "kind", "run", "replicas", (int)r->n, "topology", table->topology, "seconds", r->seconds, "records",
        (json_int_t)r->records, "steps", (json_int_t)r->steps, "skipped_steps", (json_int_t)r->skipped_steps,
        "records_per_s", r->records_per_s, "efficiency", share, "accuracy", ta_json_real(r->accuracy), "loss",
        ta_json_real(r->loss), "s_avg", r->s_avg, "s_max", (json_int_t)r->s_max, "puts", (json_int_t)r->puts, "bytes",
        (json_int_t)r->bytes, "bytes_per_s_each", bytes_each(r), "events", (json_int_t)r->events, "finished",
        (int)r->finished, "lost", (int)r->lost, "held_bytes", (json_int_t)r->held_bytes, "checksum", checksum, "points",
        points);
}

static void print_curve(const struct ta_simulation_result *r) {
    for (unsigned i = 0; i < r->n_points; i++) {
        const struct ta_simulation_point *p = &r->points[i];
        char accuracy[16] = "-";
        if (isfinite(p->accuracy)) snprintf(accuracy, sizeof accuracy, "%.4f", p->accuracy);
        printf("  %14s%14" PRIu64 " records %12.6f s   accuracy %s   loss %.5f\n", "", p->records, p->seconds, accuracy,
               p->loss);
    }
}

static void print_row(const struct ta_sim_table *table, const struct ta_simulation_result *r, double share) {
    if (table->rows == 0)
        printf("replicas  topology      seconds    records/s  efficiency  accuracy     loss    S_avg  S_max  MB/s each"
               "      events\n");
    char accuracy[16] = "-";
    if (isfinite(r->accuracy)) snprintf(accuracy, sizeof accuracy, "%.4f", r->accuracy);
    printf("%8u  %-8s %12.6f %12.5g %10.1f%% %9s %8.5f %8.2f %6" PRIu64 " %10.4g %11" PRIu64 "%s\n", r->n,
           table->topology, r->seconds, r->records_per_s, 100 * share, accuracy, r->loss, r->s_avg, r->s_max,
           bytes_each(r) / 1e6, r->events, r->lost > 0 ? "   lost" : "");
    if (r->lost > 0) printf("%10s%u of %u replicas were lost\n", "", r->lost, r->n);
    print_curve(r);
}

void ta_sim_print_run(struct ta_sim_table *table, const struct ta_simulation_config *config,
                      const struct ta_simulation_result *r) {
    (void)config;
    double share = efficiency(table, r), alone_s = r->real_s - r->compute_s;
    if (table->json) print_json(run_json(table, r, share));
    else print_row(table, r, share);
    table->rows++;
    fflush(stdout);
    fprintf(stderr,
            "sim: %u replicas, %s: set up in %.2f s, run in %.2f s, %.2f s of them computing gradients and sums; %.3g "
            "events/s, "
            "%.3g events/s without the computing\n",
            r->n, table->topology, r->open_s, r->real_s, r->compute_s, (double)r->events / fmax(r->real_s, 1e-9),
            (double)r->events / fmax(alone_s, 1e-9));
}

ta_status ta_sim_make_folder(const char *path) {
    char above[4096];
    snprintf(above, sizeof above, "%s", path);
    char *slash = strrchr(above, '/');
    if (slash != NULL && slash != above) {
        *slash = '\0';
        if (mkdir(above, 0755) != 0 && errno != EEXIST) return ta_fail_errno(TA_IO, "%s", above);
    }
    if (mkdir(path, 0755) != 0 && errno != EEXIST) return ta_fail_errno(TA_IO, "%s", path);
    return TA_OK;
}
