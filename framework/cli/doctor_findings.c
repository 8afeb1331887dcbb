/* doctor_findings: the list, and the small readers that all sections share. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "mem.h"

/* What drivers and the environment hand over may hold what moves a terminal's cursor, or is no UTF-8, which JSON has to
 * be. */
static void make_plain(char *text) {
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c > 0x7e) *text = c == '\n' || c == '\t' ? ' ' : '?';
    }
}

void ta_doctor_say(struct ta_findings *list, enum ta_finding_state state, const char *name, const char *format, ...) {
    (void)ta_doctor_send(list);
    if (list->n == list->room) {
        size_t room = list->room == 0 ? 32 : 2 * list->room;
        void *all = list->all;
        if (ta_mem_resize(&all, room * sizeof *list->all, "findings") != TA_OK) {
            list->lost = true;
            return;
        }
        list->all = all;
        list->room = room;
    }
    struct ta_finding *f = &list->all[list->n++];
    *f = (struct ta_finding){.state = state};
    snprintf(f->section, sizeof f->section, "%s", list->section);
    snprintf(f->name, sizeof f->name, "%s", name);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->value, sizeof f->value, format, arguments);
    va_end(arguments);
    make_plain(f->name);
    make_plain(f->value);
}

void ta_doctor_cure(struct ta_findings *list, const char *format, ...) {
    if (list->n == 0 || list->lost) return;
    struct ta_finding *f = &list->all[list->n - 1];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->cure, sizeof f->cure, format, arguments);
    va_end(arguments);
    make_plain(f->cure);
}

bool ta_doctor_send(struct ta_findings *list) {
    while (list->to > 0 && list->sent < list->n) {
        /* Smaller than PIPE_BUF: whole or not at all. */
        ssize_t wrote = write(list->to, &list->all[list->sent], sizeof *list->all);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote != (ssize_t)sizeof *list->all) return false;
        list->sent++;
    }
    return true;
}

void ta_doctor_forget(struct ta_findings *list) {
    ta_mem_free(list->all);
    *list = (struct ta_findings){0};
}

const char *ta_doctor_state_name(enum ta_finding_state state) {
    static const char *const names[] = {"ok", "note", "missing", "wrong"};
    return (unsigned)state < sizeof names / sizeof names[0] ? names[state] : "wrong";
}

bool ta_doctor_read(char *out, size_t bytes, const char *format, ...) {
    char path[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    out[0] = '\0';
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    bool read = fgets(out, (int)bytes, file) != NULL;
    fclose(file);
    out[strcspn(out, "\n")] = '\0';
    return read;
}

const char *ta_doctor_bytes(uint64_t bytes, char text[32]) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    unsigned unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    if (bytes == UINT64_MAX) snprintf(text, 32, "unlimited");
    else if (value >= 100 || value == (double)(uint64_t)value) snprintf(text, 32, "%.0f %s", value, units[unit]);
    else snprintf(text, 32, "%.1f %s", value, units[unit]);
    return text;
}

bool ta_doctor_which(const char *program, char *out, size_t bytes) {
    const char *at = getenv("PATH");
    while (at != NULL && *at != '\0') {
        size_t length = strcspn(at, ":");
        int wrote = snprintf(out, bytes, "%.*s/%s", (int)length, at, program);
        if (length > 0 && wrote > 0 && (size_t)wrote < bytes && access(out, X_OK) == 0) return true;
        at += length + (at[length] == ':');
    }
    out[0] = '\0';
    return false;
}
