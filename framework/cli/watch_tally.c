/* watch_tally: lines of metrics -> one row a rank. */
#include "watch_tally.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"

void ta_tally_open(struct ta_tally *t) { *t = (struct ta_tally){0}; }

void ta_tally_close(struct ta_tally *t) {
    ta_mem_free(t->rank);
    json_decref(t->summary);
    *t = (struct ta_tally){0};
}

static double number(const json_t *line, const char *key) {
    const json_t *value = json_object_get(line, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static const char *text(const json_t *line, const char *key) {
    const char *value = json_string_value(json_object_get(line, key));
    return value != NULL ? value : "";
}

static void forget(struct ta_tally_rank *rank) {
    *rank = (struct ta_tally_rank){.t_s = NAN, .records = NAN, .records_per_s = NAN, .loss = NAN, .accuracy = NAN,
                                   .lag_s = NAN, .s_avg = NAN, .s_max = NAN, .dropped = NAN};
}

static void begin_life(struct ta_tally *t, json_int_t life) {
    for (unsigned i = 0; i < t->n_ranks; i++) forget(&t->rank[i]);
    t->n_ranks = 0;
    t->life = life;
    t->lives++;
    t->event[0] = '\0';
    json_decref(t->summary);
    t->summary = NULL;
}

/* NULL: no rank, or (status) no memory. */
static struct ta_tally_rank *rank_of(struct ta_tally *t, json_int_t rank, ta_status *status) {
    *status = TA_OK;
    if (rank < 0 || rank >= TA_TALLY_MOST_RANKS) return NULL;
    if ((unsigned)rank >= t->n_ranks) {
        unsigned n = (unsigned)rank + 1;
        *status = ta_mem_resize((void **)&t->rank, n * sizeof *t->rank, "ranks");
        if (*status != TA_OK) return NULL;
        for (unsigned i = t->n_ranks; i < n; i++) forget(&t->rank[i]);
        t->n_ranks = n;
    }
    return &t->rank[rank];
}

static ta_status take_peers(struct ta_tally *t, const json_t *peers) {
    size_t i;
    json_t *peer;
    json_array_foreach(peers, i, peer) {
        if (strcmp(text(peer, "life"), "dead") != 0) continue;
        ta_status status;
        struct ta_tally_rank *dead = rank_of(t, json_integer_value(json_object_get(peer, "rank")), &status);
        if (status != TA_OK) return status;
        if (dead != NULL) dead->lost = true;
    }
    return TA_OK;
}

/* Of a histogram (metrics.h); 1 where there is none, so that means of replicas count alike. */
static double gradients_of(const json_t *histogram) {
    double n = json_is_array(histogram) ? 0 : 1;
    size_t i;
    json_t *bin;
    json_array_foreach(histogram, i, bin) n += json_number_value(json_array_get(bin, 1));
    return n;
}

static void take_window(struct ta_tally_rank *rank, const json_t *line) {
    for (int i = 0; i < TA_PHASES; i++) {
        char key[16];
        snprintf(key, sizeof key, "%s_s", ta_phase_names[i]);
        double phase_s = number(line, key);
        if (phase_s > 0) rank->phase_s[i] += phase_s;
    }
    rank->t_s = number(line, "t_s");
    rank->records = number(line, "records");
    rank->records_per_s = number(line, "records_per_s");
    rank->loss = number(line, "loss");
    rank->accuracy = number(line, "accuracy");
    rank->lag_s = number(line, "lag_s");
    rank->s_avg = number(line, "s_avg");
    rank->gradients = gradients_of(json_object_get(line, "staleness"));
    rank->s_max = number(line, "s_max");
    rank->dropped = number(line, "dropped");
}

static void take_event(struct ta_tally *t, const json_t *line, json_int_t rank) {
    static const char *const dull[] = {"start", "transport", "rest", "stop"};
    const char *event = text(line, "event");
    for (unsigned i = 0; i < sizeof dull / sizeof dull[0]; i++)
        if (strcmp(event, dull[i]) == 0) return;
    snprintf(t->event, sizeof t->event, "rank %d: %.40s: %.90s", (int)rank, event, text(line, "text"));
}

ta_status ta_tally_take(struct ta_tally *t, const json_t *line, int64_t now_ns) {
    const char *kind = text(line, "kind");
    json_int_t life = json_integer_value(json_object_get(line, "epoch"));
    const json_t *number_of_rank = json_object_get(line, "rank");
    json_int_t rank = json_integer_value(number_of_rank);
    if (!json_is_integer(number_of_rank) || life <= 0) return TA_OK;
    if (strcmp(kind, "drift") == 0) t->drifts++;
    if (life < t->life) return TA_OK;
    if (life > t->life) begin_life(t, life);
    if (now_ns > t->heard_ns) t->heard_ns = now_ns;
    if (strcmp(kind, "summary") == 0) {
        json_decref(t->summary);
        t->summary = json_deep_copy(line);
        return t->summary != NULL ? TA_OK : ta_fail(TA_NO_MEMORY, "out of memory for the summary of the run");
    }
    ta_status status;
    struct ta_tally_rank *row = rank_of(t, rank, &status);
    if (row == NULL) return status;
    row->seen = true;
    row->heard_ns = now_ns;
    if (strcmp(kind, "event") == 0) take_event(t, line, rank);
    if (strcmp(kind, "window") != 0) return TA_OK;
    take_window(row, line);
    return take_peers(t, json_object_get(line, "peers"));
}

/* Sum, largest, and mean of what is known. */
static void add(double *sum, double value) {
    if (!isnan(value)) *sum = isnan(*sum) ? value : *sum + value;
}

static void raise_to(double *most, double value) {
    if (!isnan(value) && !(*most >= value)) *most = value;
}

void ta_tally_add_up(const struct ta_tally *t, struct ta_tally_sum *sum) {
    *sum = (struct ta_tally_sum){.records = NAN, .records_per_s = NAN, .loss = NAN, .accuracy = NAN, .lag_s = NAN,
                                 .s_avg = NAN, .s_max = NAN, .dropped = NAN, .t_s = NAN};
    unsigned losses = 0, accuracies = 0;
    double gradients = 0;
    for (unsigned i = 0; i < t->n_ranks; i++) {
        const struct ta_tally_rank *r = &t->rank[i];
        sum->ranks += r->seen;
        sum->lost += r->lost;
        for (int p = 0; p < TA_PHASES; p++) sum->phase_s[p] += r->phase_s[p];
        add(&sum->records, r->records);
        add(&sum->dropped, r->dropped);
        raise_to(&sum->s_max, r->s_max);
        raise_to(&sum->t_s, r->t_s);
        if (r->lost) continue;
        add(&sum->records_per_s, r->records_per_s);
        add(&sum->loss, r->loss);
        losses += !isnan(r->loss);
        add(&sum->accuracy, r->accuracy);
        accuracies += !isnan(r->accuracy);
        add(&sum->s_avg, r->s_avg * r->gradients);
        gradients += isnan(r->s_avg) ? 0 : r->gradients;
        raise_to(&sum->lag_s, r->lag_s);
    }
    if (losses > 0) sum->loss /= losses;
    if (accuracies > 0) sum->accuracy /= accuracies;
    if (gradients > 0) sum->s_avg /= gradients;
}

unsigned ta_tally_list(const struct ta_tally *t, bool joined, unsigned first, char *out, size_t bytes) {
    unsigned n = 0;
    size_t used = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < t->n_ranks; i++) {
        if (joined ? i < first || !t->rank[i].seen : !t->rank[i].lost) continue;
        if (used + 16 < bytes) used += (size_t)snprintf(out + used, bytes - used, "%s%u", n > 0 ? " " : "", i);
        n++;
    }
    return n;
}
