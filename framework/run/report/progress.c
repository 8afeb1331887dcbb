/* progress: the block and the plain line. */
#include "progress.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"

enum { LINE_BYTES = 512, LEAST_COLUMNS = 20, BAR = 30 };

static const int64_t block_every_ns = TA_NS_PER_S / 5;

int64_t ta_progress_pause_ns(unsigned printed) {
    unsigned seconds = printed < 6 ? 1U << printed : 60;
    return seconds * TA_NS_PER_S;
}

const char *ta_progress_group(uint64_t value, char text[27]) {
    char digits[21];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, value), used = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
    return text;
}

static unsigned width_of(FILE *out) {
    const char *said = getenv("COLUMNS");
    unsigned long columns = said != NULL ? strtoul(said, NULL, 10) : 0;
    struct winsize size;
    if (columns == 0 && ioctl(fileno(out), TIOCGWINSZ, &size) == 0) columns = size.ws_col;
    if (columns == 0) columns = 80;
    if (columns < LEAST_COLUMNS) columns = LEAST_COLUMNS;
    return columns < LINE_BYTES - 32 ? (unsigned)columns : LINE_BYTES - 32;
}

void ta_progress_open(struct ta_progress *p, FILE *out, const char *title, uint64_t goal_records) {
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    *p = (struct ta_progress){.out = out, .title = title, .goal_records = goal_records};
    if (out == NULL) return;
    p->block = isatty(fileno(out)) && term != NULL && strcmp(term, "dumb") != 0;
    p->colour = p->block && (no_color == NULL || *no_color == '\0');
    p->columns = width_of(out);
}

void ta_progress_clear(struct ta_progress *p) {
    if (p->drawn == 0) return;
    fprintf(p->out, "\033[%uA\033[J", p->drawn);
    fflush(p->out);
    p->drawn = 0;
}

static void draw_line(struct ta_progress *p, const char *text, const char *colour) {
    bool on = p->colour && colour != NULL;
    fprintf(p->out, "%s%.*s%s\033[K\n", on ? colour : "", (int)p->columns - 1, text, on ? "\033[0m" : "");
    p->drawn++;
}

static void draw_bar(struct ta_progress *p, const struct ta_board_sum *s) {
    char line[LINE_BYTES], bar[BAR + 1], records[27], rate[27];
    ta_progress_group(s->records, records);
    ta_progress_group((uint64_t)p->rate_per_s, rate);
    if (p->goal_records == 0) {
        snprintf(line, sizeof line, "  %s records  %s/s", records, rate);
    } else {
        double share = (double)s->life_records / (double)p->goal_records;
        if (share > 1) share = 1;
        int full = (int)(share * BAR);
        memset(bar, '-', BAR);
        memset(bar, '#', (size_t)full);
        bar[BAR] = '\0';
        snprintf(line, sizeof line, "  [%s] %3.0f %%  %s records  %s/s", bar, 100 * share, records, rate);
    }
    draw_line(p, line, NULL);
}

static void format_scores(const struct ta_board_sum *s, char *line, size_t bytes) {
    double stale = s->stale_count > 0 ? (double)s->stale_sum / (double)s->stale_count : 0;
    char lag[32] = "";
    if (s->lag_ns >= 0) snprintf(lag, sizeof lag, "lag %.2f s  ", (double)s->lag_ns / TA_NS_PER_S);
    char accuracy[32] = "";
    if (s->words == 0) snprintf(accuracy, sizeof accuracy, "accuracy %.2f %%  ", 100 * s->window_accuracy);
    int used = snprintf(line, bytes, "%sloss %.4f  %sstaleness %.2f (most %" PRIu64 ")",
                        accuracy, s->window_loss, lag, stale, s->stale_max);
    if (s->dropped > 0 && used > 0 && (size_t)used < bytes)
        snprintf(line + used, bytes - (size_t)used, "  dropped %" PRIu64, s->dropped);
}

static void draw_block(struct ta_progress *p, const struct ta_board *board, const struct ta_board_sum *s,
                       int64_t now_ns) {
    char line[LINE_BYTES], scores[LINE_BYTES];
    if (p->drawn > 0) fprintf(p->out, "\033[%uA", p->drawn);
    p->drawn = 0;
    unsigned seconds = s->started_ns == 0 ? 0 : (unsigned)((now_ns - s->started_ns) / TA_NS_PER_S);
    snprintf(line, sizeof line, "tensair  %u replica%s  %u:%02u:%02u  %.300s", board->n_rows,
             board->n_rows == 1 ? "" : "s", seconds / 3600, seconds / 60 % 60, seconds % 60, p->title);
    draw_line(p, line, "\033[1m");
    draw_bar(p, s);
    format_scores(s, scores, sizeof scores);
    snprintf(line, sizeof line, "  %.500s", scores);
    draw_line(p, line, NULL);
    if (s->ended > s->finished) {
        snprintf(line, sizeof line, "  %u of %u replicas lost", s->ended - s->finished, board->n_rows);
        draw_line(p, line, "\033[31m");
    }
    fflush(p->out);
}

static void print_line(struct ta_progress *p, const struct ta_board_sum *s, int64_t now_ns) {
    char scores[LINE_BYTES], records[27], rate[27];
    format_scores(s, scores, sizeof scores);
    fprintf(p->out, "%.0f s  %s records  %s/s  %s\n", (double)(now_ns - s->started_ns) / TA_NS_PER_S,
            ta_progress_group(s->records, records), ta_progress_group((uint64_t)p->rate_per_s, rate), scores);
    fflush(p->out);
}

void ta_progress_tick(struct ta_progress *p, const struct ta_board *board, int64_t now_ns) {
    if (p->out == NULL || now_ns < p->next_ns) return;
    struct ta_board_sum sum;
    ta_board_add_up(board, &sum);
    bool began = sum.started_ns != 0 && (p->block || p->printed > 0 || sum.records > 0);
    if (p->next_ns == 0 || !began) { /* nothing to tell before training begins */
        p->next_ns = now_ns + (p->block ? block_every_ns : TA_NS_PER_S);
        p->seen_ns = now_ns;
        p->seen_records = sum.life_records;
        return;
    }
    p->rate_per_s = (double)(sum.life_records - p->seen_records) * TA_NS_PER_S / (double)(now_ns - p->seen_ns);
    if (p->block) draw_block(p, board, &sum, now_ns);
    else print_line(p, &sum, now_ns);
    /* The rate is of the last second or more: shorter looks only flicker. */
    if (now_ns - p->seen_ns >= TA_NS_PER_S) {
        p->seen_ns = now_ns;
        p->seen_records = sum.life_records;
    }
    p->next_ns = now_ns + (p->block ? block_every_ns : ta_progress_pause_ns(p->printed++));
}
