/* plot_stale: last windows, added up. */
#include "plot_stale.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void add_up(struct ta_plot_stale *s, json_int_t rank) {
    size_t i;
    json_t *bin;
    json_array_foreach(s->newest[rank], i, bin) {
        json_int_t value = json_integer_value(json_array_get(bin, 0));
        json_int_t count = json_integer_value(json_array_get(bin, 1));
        if (value < 0 || count <= 0) continue;
        unsigned b = ta_stale_bin((uint64_t)value);
        s->bins[b] += (uint64_t)count;
        if ((uint64_t)value > s->top[b]) s->top[b] = (uint64_t)value;
    }
    json_decref(s->newest[rank]);
    s->newest[rank] = NULL;
}

void ta_plot_stale_take(struct ta_plot_stale *s, const json_t *line) {
    const char *kind = json_string_value(json_object_get(line, "kind"));
    json_int_t rank = json_integer_value(json_object_get(line, "rank"));
    json_int_t life = json_integer_value(json_object_get(line, "epoch"));
    json_t *histogram = json_object_get(line, "staleness");
    if (kind == NULL || strcmp(kind, "window") != 0 || rank < 0 || rank >= TA_PLOT_STALE_RANKS) return;
    if (!json_is_array(histogram)) return;
    if (s->life[rank] != life) add_up(s, rank);
    json_decref(s->newest[rank]);
    s->newest[rank] = json_incref(histogram);
    s->life[rank] = life;
}

ta_status ta_plot_stale_write(struct ta_plot_stale *s, const char *folder) {
    char path[4200];
    uint64_t all = 0;
    for (json_int_t rank = 0; rank < TA_PLOT_STALE_RANKS; rank++) add_up(s, rank);
    for (unsigned b = 0; b < TA_STALE_BINS; b++) all += s->bins[b];
    snprintf(path, sizeof path, "%s/staleness.dat", folder);
    FILE *file = fopen(path, "w");
    if (file == NULL) return ta_fail_errno(TA_IO, "%s: cannot write", path);
    fprintf(file, "# value gradients share\n");
    for (unsigned b = 0; b < TA_STALE_BINS; b++)
        if (s->bins[b] > 0)
            fprintf(file, "%" PRIu64 " %" PRIu64 " %.9g\n", s->top[b], s->bins[b], (double)s->bins[b] / (double)all);
    if (all == 0) fprintf(file, "0 0 0\n"); /* of one replica alone: gnuplot refuses to draw nothing */
    if (fclose(file) != 0) return ta_fail_errno(TA_IO, "%s: cannot write", path);
    return TA_OK;
}

void ta_plot_stale_close(struct ta_plot_stale *s) {
    for (json_int_t rank = 0; rank < TA_PLOT_STALE_RANKS; rank++) json_decref(s->newest[rank]);
    *s = (struct ta_plot_stale){0};
}
