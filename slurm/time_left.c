/* time_left: asks squeue and reads its answer. */
#include "time_left.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

enum { WITHIN_S = 10, MOST_DIGITS = 9 };

/* Digits up to something else; false: none, or too many. */
static bool number(const char **at, uint64_t *out, unsigned *digits) {
    *out = 0;
    for (*digits = 0; **at >= '0' && **at <= '9'; (*at)++, (*digits)++) {
        if (*digits == MOST_DIGITS) return false;
        *out = 10 * *out + (uint64_t)(**at - '0');
    }
    return *digits > 0;
}

/* [D-][H:]M:SS; what stands behind a larger unit has two digits and is below its number (24, 60, 60). */
static bool clock_face(const char *at, const char *end, double *seconds) {
    uint64_t part[4], days = 0;
    unsigned n = 0, digits;
    bool has_days = false;
    for (;; at++) {
        if (n == 4 || !number(&at, &part[n], &digits)) return false;
        if ((n > 0 || has_days) && digits != 2) return false;
        n++;
        if (at == end) break;
        if (*at == '-' && n == 1 && !has_days) {
            days = part[0];
            has_days = true;
            n = 0;
        } else if (*at != ':') {
            return false;
        }
    }
    if (has_days ? n != 3 : n != 2 && n != 3) return false;
    uint64_t hours = n == 3 ? part[0] : 0, minutes = part[n - 2], rest = part[n - 1];
    if (rest > 59 || (n == 3 && minutes > 59) || (has_days && hours > 23)) return false;
    *seconds = 86400. * (double)days + 3600. * (double)hours + 60. * (double)minutes + (double)rest;
    return true;
}

ta_status ta_time_left_parse(const char *text, double *seconds) {
    static const char blanks[] = " \t\r\n";
    *seconds = 0;
    text += strspn(text, blanks);
    const char *end = text + strcspn(text, blanks);
    int length = (int)(end - text);
    if (end[strspn(end, blanks)] == '\0') {
        if (length == 0 || (length == 7 && strncmp(text, "NOT_SET", 7) == 0)) return TA_AGAIN;
        if (length == 9 && strncmp(text, "UNLIMITED", 9) == 0) return *seconds = INFINITY, TA_OK;
        if (length == 7 && strncmp(text, "INVALID", 7) == 0) return TA_OK;
        if (clock_face(text, end, seconds)) return TA_OK;
    }
    *seconds = 0;
    return ta_fail(TA_FORMAT, "squeue says '%.40s' for the time left: not days-hours:minutes:seconds", text);
}

ta_status ta_time_left_pick(const char *printed, uint64_t job_id, double *seconds) {
    *seconds = 0;
    for (const char *line = printed; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        char text[128];
        uint64_t id;
        int used = 0;
        snprintf(text, sizeof text, "%.*s", (int)(length < sizeof text ? length : sizeof text - 1), line);
        if (sscanf(text, "%20" SCNu64 "%n", &id, &used) == 1 && id == job_id) return ta_time_left_parse(text + used, seconds);
        line += length + (line[length] == '\n');
    }
    return ta_fail(TA_PEER, "squeue knows no job %" PRIu64 " any more: its end is near, or its controller has forgotten it",
                   job_id);
}

ta_status ta_job_time_left(const struct ta_job_place *place, double *seconds) {
    *seconds = 0;
    if (!place->in_slurm || place->job_id == 0) return ta_fail(TA_INVALID, "time left: not in a Slurm job");
    char id[24];
    snprintf(id, sizeof id, "%" PRIu64, place->job_id);
    const char *const argv[] = {"squeue", "-h", "-j", id, "-o", "%A %L", NULL};
    struct ta_command_answer answer;
    ta_status status = ta_command_run(&(struct ta_command){.argv = argv, .within_s = WITHIN_S}, &answer);
    if (status != TA_OK) return status;
    if (answer.exit_code != 0)
        return ta_fail(TA_PEER, "squeue cannot tell the time left of job %s (exit status %d): %s", id, answer.exit_code,
                       answer.err[0] != '\0' ? answer.err : "it said nothing");
    return ta_time_left_pick(answer.out, place->job_id, seconds);
}
