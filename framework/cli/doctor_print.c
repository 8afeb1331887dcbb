/* doctor_print: findings for people, and for programs. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

static bool wants_colour(void) {
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    if (no_colour != NULL && no_colour[0] != '\0') return false;
    return isatty(STDOUT_FILENO) && term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
}

void ta_doctor_print(const struct ta_findings *list, size_t from) {
    static const char *const colours[] = {"\033[32m", "\033[36m", "\033[33m", "\033[1;31m"};
    bool colour = wants_colour();
    for (size_t i = from; i < list->n; i++) {
        const struct ta_finding *f = &list->all[i];
        if (i == 0 || strcmp(f->section, list->all[i - 1].section) != 0)
            printf("%s%s%s%s\n", i == 0 ? "" : "\n", colour ? "\033[1m" : "", f->section, colour ? "\033[0m" : "");
        printf("  %s%-8s%s %-22s %s\n", colour ? colours[f->state] : "", ta_doctor_state_name(f->state),
               colour ? "\033[0m" : "", f->name, f->value);
        if (f->cure[0] != '\0') printf("  %-8s %-22s -> %s\n", "", "", f->cure);
    }
    fflush(stdout);
}

ta_status ta_doctor_print_json(const struct ta_findings *list) {
    json_t *all = json_array();
    bool lost = all == NULL;
    for (size_t i = 0; i < list->n && !lost; i++) {
        const struct ta_finding *f = &list->all[i];
        json_t *one =
            json_pack("{s:s, s:s, s:s, s:s, s:s?}", "section", f->section, "name", f->name, "state",
                      ta_doctor_state_name(f->state), "value", f->value, "cure", f->cure[0] != '\0' ? f->cure : NULL);
        lost = one == NULL || json_array_append_new(all, one) != 0;
    }
    lost = lost || json_dumpf(all, stdout, JSON_INDENT(2)) != 0;
    json_decref(all);
    if (lost) return ta_fail(TA_NO_MEMORY, "out of memory for the report");
    putchar('\n');
    return TA_OK;
}
