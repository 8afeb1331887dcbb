/* watch_show: the block and the plain line. */
#include "watch_show.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "clock.h"

enum { LINE_BYTES = 512, HEAD_LINES = 8, LEAST_ROWS = 4, QUIET_S = 10, NUMBER_BYTES = 32 };

static const char bold[] = "\033[1m", red[] = "\033[31m", yellow[] = "\033[33m";

void ta_watch_show_open(struct ta_watch_show *s, const char *title, int64_t now_ns) {
    *s = (struct ta_watch_show){.start_ns = now_ns};
    ta_progress_open(&s->progress, stdout, title, 0);
}

static __attribute__((format(printf, 3, 4))) void draw(struct ta_progress *p, const char *colour, const char *format,
                                                       ...) {
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    bool on = p->colour && colour != NULL;
    fprintf(p->out, "%s%.*s%s\033[K\n", on ? colour : "", (int)p->columns - 1, line, on ? "\033[0m" : "");
    p->drawn++;
}

/* "12,345", or "-" where it is not known. */
static const char *count(double value, char out[NUMBER_BYTES]) {
    char text[27];
    snprintf(out, NUMBER_BYTES, "%s", isnan(value) || value < 0 ? "-" : ta_progress_group((uint64_t)value, text));
    return out;
}

static const char *real(double value, int digits, char out[NUMBER_BYTES]) {
    if (isnan(value)) snprintf(out, NUMBER_BYTES, "-");
    else snprintf(out, NUMBER_BYTES, "%.*f", digits, value);
    return out;
}

/* "accuracy 92.10 %  loss 0.2310  lag 0.02 s  staleness 1.20 (most 9)" */
static void scores(const struct ta_tally_sum *sum, char *out, size_t bytes) {
    char a[48] = "", l[48] = "", number[NUMBER_BYTES];
    if (!isnan(sum->accuracy)) snprintf(a, sizeof a, "accuracy %s %%  ", real(100 * sum->accuracy, 2, number));
    if (!isnan(sum->lag_s)) snprintf(l, sizeof l, "lag %s s  ", real(sum->lag_s, 2, number));
    char loss[NUMBER_BYTES], stale[NUMBER_BYTES], most[NUMBER_BYTES];
    snprintf(out, bytes, "%sloss %s  %sstaleness %s (most %s)", a, real(sum->loss, 4, loss), l,
             real(sum->s_avg, 2, stale), count(sum->s_max, most));
}

static double silence_s(int64_t heard_ns, int64_t now_ns) {
    return heard_ns < now_ns ? (double)(now_ns - heard_ns) / TA_NS_PER_S : 0;
}

static unsigned rows_that_fit(const struct ta_progress *p) {
    struct winsize size;
    unsigned rows = ioctl(fileno(p->out), TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
    return rows > HEAD_LINES + LEAST_ROWS ? rows - HEAD_LINES : LEAST_ROWS;
}

static void draw_rank(struct ta_progress *p, const struct ta_tally_rank *r, unsigned rank, int64_t now_ns) {
    char records[NUMBER_BYTES], rate[NUMBER_BYTES], loss[NUMBER_BYTES], accuracy[NUMBER_BYTES], lag[NUMBER_BYTES];
    double quiet_s = silence_s(r->heard_ns, now_ns);
    char note[32] = "";
    if (r->lost) snprintf(note, sizeof note, "lost");
    else if (!r->seen) snprintf(note, sizeof note, "not heard yet");
    else if (quiet_s > QUIET_S) snprintf(note, sizeof note, "silent for %.0f s", quiet_s);
    draw(p, r->lost ? red : note[0] != '\0' ? yellow : NULL, "  %4u %14s %12s %9s %9s %8s  %s", rank,
         count(r->records, records), count(r->records_per_s, rate), real(r->loss, 4, loss),
         real(100 * r->accuracy, 2, accuracy), real(r->lag_s, 2, lag), note);
}

static void draw_ranks(struct ta_progress *p, const struct ta_tally *t, int64_t now_ns) {
    unsigned most = rows_that_fit(p), shown = 0;
    draw(p, NULL, "  %4s %14s %12s %9s %9s %8s", "rank", "records", "records/s", "loss", "acc. %", "lag s");
    /* Where there are more than fit, those in trouble come first. */
    for (int trouble = t->n_ranks > most; trouble >= 0; trouble--)
        for (unsigned i = 0; i < t->n_ranks && shown < most; i++) {
            const struct ta_tally_rank *r = &t->rank[i];
            bool odd = r->lost || !r->seen || silence_s(r->heard_ns, now_ns) > QUIET_S;
            if (t->n_ranks > most && odd != (trouble == 1)) continue;
            draw_rank(p, r, i, now_ns);
            shown++;
        }
    if (shown < t->n_ranks) draw(p, NULL, "  ... and %u more", t->n_ranks - shown);
}

static void draw_block(struct ta_watch_show *s, const struct ta_tally *t, unsigned expected, int64_t now_ns) {
    struct ta_progress *p = &s->progress;
    struct ta_tally_sum sum;
    char text[LINE_BYTES], records[NUMBER_BYTES], rate[NUMBER_BYTES];
    ta_tally_add_up(t, &sum);
    if (p->drawn > 0) fprintf(p->out, "\033[%uA\033[J", p->drawn);
    p->drawn = 0;
    unsigned seconds = isnan(sum.t_s) ? 0 : (unsigned)sum.t_s;
    draw(p, bold, "tensair  life %d  %u of %u replicas  %u:%02u:%02u  %.300s", (int)t->life,
         sum.ranks - (sum.lost < sum.ranks ? sum.lost : sum.ranks), expected > sum.ranks ? expected : sum.ranks,
         seconds / 3600, seconds / 60 % 60, seconds % 60, p->title);
    draw(p, NULL, "  %s records  %s/s", count(sum.records, records), count(sum.records_per_s, rate));
    scores(&sum, text, sizeof text);
    draw(p, NULL, "  %.500s", text);
    char phases[256];
    ta_phases_print(sum.phase_s, phases, sizeof phases);
    if (phases[0] != '\0') draw(p, NULL, "  %s", phases);
    if (sum.lost > 0) {
        ta_tally_list(t, false, 0, text, 200);
        draw(p, red, "  %u lost: rank%s %.300s", sum.lost, sum.lost == 1 ? "" : "s", text);
    }
    if (t->event[0] != '\0') draw(p, yellow, "  %s", t->event);
    double quiet_s = silence_s(t->heard_ns, now_ns);
    if (t->heard_ns == 0)
        draw(p, yellow, "  nothing heard yet, for %.0f s: has the job started? (squeue --me)",
             silence_s(s->start_ns, now_ns));
    else if (quiet_s > QUIET_S) draw(p, yellow, "  nothing heard for %.0f s", quiet_s);
    if (t->n_ranks > 0) draw_ranks(p, t, now_ns);
    fflush(p->out);
}

static void print_line(struct ta_watch_show *s, const struct ta_tally *t, int64_t now_ns) {
    FILE *out = s->progress.out;
    struct ta_tally_sum sum;
    char text[LINE_BYTES], records[NUMBER_BYTES], rate[NUMBER_BYTES];
    double quiet_s = silence_s(t->heard_ns, now_ns);
    if (t->heard_ns == 0) {
        fprintf(out, "nothing heard yet, for %.0f s: has the job started? (squeue --me)\n",
                silence_s(s->start_ns, now_ns));
    } else {
        ta_tally_add_up(t, &sum);
        scores(&sum, text, sizeof text);
        fprintf(out, "%.0f s  %s records  %s/s  %s", isnan(sum.t_s) ? 0 : sum.t_s, count(sum.records, records),
                count(sum.records_per_s, rate), text);
        if (sum.lost > 0) fprintf(out, "  %u of %u lost", sum.lost, t->n_ranks);
        if (quiet_s > QUIET_S) fprintf(out, "  nothing heard for %.0f s", quiet_s);
        fputc('\n', out);
    }
    fflush(out);
}

void ta_watch_show_tick(struct ta_watch_show *s, const struct ta_tally *t, unsigned expected, int64_t now_ns) {
    struct ta_progress *p = &s->progress;
    if (!p->block && t->event[0] != '\0' && strcmp(t->event, s->said) != 0) {
        fprintf(p->out, "%s\n", t->event);
        fflush(p->out);
        memcpy(s->said, t->event, sizeof s->said);
    }
    if (now_ns < s->next_ns) return;
    if (p->block) {
        draw_block(s, t, expected, now_ns);
        s->next_ns = now_ns + TA_NS_PER_S / 2;
    } else {
        print_line(s, t, now_ns);
        s->next_ns = now_ns + ta_progress_pause_ns(s->printed++);
    }
}
