/* submit: fills slurm/train.sbatch in, line by line, and hands it to sbatch. */
#include "submit.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "mem.h"
#include "train_sbatch.h" /* the file as an array of bytes, made by CMake */

enum { DEFAULT_AHEAD_S = 120, SBATCH_WITHIN_S = 60 };

unsigned ta_submit_reserve(const struct ta_submit *s) {
    unsigned per_node = s->tasks_per_node > 0 ? s->tasks_per_node : 1;
    return s->spares / per_node + (s->spares % per_node != 0);
}

/* $'...': one line, whatever is in it. Bytes above ASCII are left to the terminal. */
static void print_escaped(const char *value, FILE *out) {
    fputs("$'", out);
    for (const unsigned char *c = (const unsigned char *)value; *c != '\0'; c++) {
        if (*c == '\n') fputs("\\n", out);
        else if (*c == '\'' || *c == '\\') fprintf(out, "\\%c", *c);
        else if (iscntrl(*c)) fprintf(out, "\\x%02x", *c);
        else fputc(*c, out);
    }
    fputc('\'', out);
}

static void print_quoted(const char *value, FILE *out) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:,=+@%-";
    bool control = false;
    for (const char *c = value; *c != '\0'; c++) control |= iscntrl((unsigned char)*c) != 0;
    if (control) {
        print_escaped(value, out);
    } else if (*value != '\0' && value[strspn(value, plain)] == '\0') {
        fputs(value, out);
    } else {
        fputc('\'', out);
        for (const char *c = value; *c != '\0'; c++)
            if (*c == '\'') fputs("'\\''", out);
            else fputc(*c, out);
        fputc('\'', out);
    }
}

/* What was written to a memory stream, as memory of the house. */
static ta_status finish(FILE *file, char **buffer, char **out) {
    bool good = file != NULL && ferror(file) == 0;
    if (file != NULL && fclose(file) != 0) good = false;
    ta_status status = good ? ta_mem_strdup(*buffer, "the script", out) : ta_fail(TA_NO_MEMORY, "out of memory for the script");
    free(*buffer);
    return status;
}

ta_status ta_submit_quote(const char *value, char **word) {
    char *buffer = NULL;
    size_t bytes;
    *word = NULL;
    FILE *file = open_memstream(&buffer, &bytes);
    if (file != NULL) print_quoted(value, file);
    return finish(file, &buffer, word);
}

/* An option of sbatch: "--NAME=VALUE". Either text or a number; neither: the template's line stays as it is. */
struct option {
    const char *name, *text;
    unsigned number;
};

/* "#SBATCH --NAME=..." or "##SBATCH --NAME=...": the name's length, and where it begins; 0: another line. */
static size_t directive(const char *line, size_t length, const char **name) {
    size_t marks = strspn(line, "#");
    static const char word[] = "SBATCH --";
    if (marks == 0 || length <= marks + sizeof word || strncmp(line + marks, word, sizeof word - 1) != 0) return 0;
    *name = line + marks + sizeof word - 1;
    const char *equals = memchr(*name, '=', length - (size_t)(*name - line));
    return equals != NULL ? (size_t)(equals - *name) : 0;
}

static bool fill_directive(const char *line, size_t length, const struct option *options, FILE *out) {
    const char *name;
    size_t n = directive(line, length, &name);
    if (n == 0) return false;
    for (const struct option *o = options; o->name != NULL; o++) {
        if (strlen(o->name) != n || strncmp(o->name, name, n) != 0 || (o->text == NULL && o->number == 0)) continue;
        if (o->text != NULL) fprintf(out, "#SBATCH --%s=%s\n", o->name, o->text);
        else fprintf(out, "#SBATCH --%s=%u\n", o->name, o->number);
        return true;
    }
    return line[1] == '#'; /* switched off, and not asked for: left out */
}

static void print_arguments(const struct ta_submit *s, FILE *out) {
    fputc('(', out);
    for (size_t i = 0; i < s->n_arguments; i++) {
        if (i > 0) fputc(' ', out);
        print_quoted(s->arguments[i], out);
    }
    fputc(')', out);
}

static void print_run_dir(const struct ta_submit *s, FILE *out) {
    if (s->run_dir != NULL) {
        print_quoted(s->run_dir, out);
        return;
    }
    const char *slash = strrchr(s->config, '/'), *name = slash != NULL ? slash + 1 : s->config;
    const char *dot = strrchr(name, '.');
    char base[256];
    snprintf(base, sizeof base, "runs/%.*s-", dot == NULL || dot == name ? 200 : (int)(dot - name), name);
    print_quoted(base, out);
    fputs("$SLURM_JOB_ID", out);
}

/* "NAME=..." of the settings. The comment behind it stays. */
static bool fill_setting(const char *line, size_t length, const struct ta_submit *s, FILE *out) {
    static const char *const names[] = {"folder", "program", "config", "arguments", "run_dir", "reserve", "spares", "memlock"};
    size_t which = 0, n = 0;
    for (; which < sizeof names / sizeof names[0]; which++) {
        n = strlen(names[which]);
        if (length > n && strncmp(line, names[which], n) == 0 && line[n] == '=') break;
    }
    if (which == sizeof names / sizeof names[0]) return false;
    fprintf(out, "%s=", names[which]);
    switch (which) {
        case 0: print_quoted(s->folder, out); break;
        case 1: print_quoted(s->program, out); break;
        case 2: print_quoted(s->config, out); break;
        case 3: print_arguments(s, out); break;
        case 4: print_run_dir(s, out); break;
        case 5: fprintf(out, "%u", ta_submit_reserve(s)); break;
        case 6: fprintf(out, "%u", s->spares); break;
        default: print_quoted(s->memlock != NULL ? s->memlock : "warn", out); break;
    }
    const char *comment = memmem(line, length, "  # ", 4);
    if (comment != NULL) fprintf(out, "  %.*s", (int)(length - (size_t)(comment + 2 - line)), comment + 2);
    fputc('\n', out);
    return true;
}

/* The settings end where the template says so: below, a line that looks like one is none. */
static void fill(const struct ta_submit *s, const struct option *options, FILE *out) {
    bool settings = true;
    for (const char *line = ta_train_sbatch; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        if (strncmp(line, "# ---- ", 7) == 0) settings = false;
        if (!settings || (!fill_directive(line, length, options, out) && !fill_setting(line, length, s, out)))
            fprintf(out, "%.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

static ta_status check(const struct option *options) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.,:%@+=/[]-";
    for (const struct option *o = options; o->name != NULL; o++) {
        if (o->text == NULL) continue;
        if (*o->text == '\0') return ta_fail(TA_USAGE, "--%s has an empty value", o->name);
        size_t good = strspn(o->text, allowed);
        if (o->text[good] != '\0')
            return ta_fail(TA_USAGE, "--%s '%.80s': character %zu cannot stand in an option of sbatch", o->name, o->text, good + 1);
    }
    return TA_OK;
}

ta_status ta_submit_script(const struct ta_submit *s, char **text) {
    *text = NULL;
    char signal[32], nodes[32];
    snprintf(signal, sizeof signal, "B:USR1@%u", s->signal_ahead_s > 0 ? s->signal_ahead_s : (unsigned)DEFAULT_AHEAD_S);
    snprintf(nodes, sizeof nodes, "%llu", (unsigned long long)(s->nodes > 0 ? s->nodes : 1) + ta_submit_reserve(s));
    const struct option options[] = {
        {"job-name", s->job_name, 0},
        {"nodes", nodes, 0},
        {"ntasks-per-node", NULL, s->tasks_per_node > 0 ? s->tasks_per_node : 1},
        {"cpus-per-task", NULL, s->cpus_per_task},
        {"gpus-per-node", NULL, s->gpus_per_node},
        {"mem", s->mem, 0},
        {"time", s->time, 0},
        {"partition", s->partition, 0},
        {"account", s->account, 0},
        {"qos", s->qos, 0},
        {"array", s->array, 0},
        {"signal", signal, 0},
        {NULL, NULL, 0},
    };
    ta_status status = check(options);
    if (status != TA_OK) return status;
    char *buffer = NULL;
    size_t bytes;
    FILE *file = open_memstream(&buffer, &bytes);
    if (file != NULL) fill(s, options, file);
    return finish(file, &buffer, text);
}

/* 69 where Slurm is not there; what else it refuses, the user can mend. */
static ta_status refused(const struct ta_command_answer *answer) {
    static const char *const away[] = {"contact", "timed out", "Connection refused", "configuration source", "Communication"};
    const char *said = answer->err[0] != '\0' ? answer->err : "sbatch said nothing";
    ta_status status = TA_USAGE;
    for (unsigned i = 0; i < sizeof away / sizeof away[0]; i++)
        if (strstr(said, away[i]) != NULL) status = TA_PEER;
    return ta_fail(status, "not submitted (sbatch ended with %d):\n%s", answer->exit_code, said);
}

ta_status ta_submit_send(const char *folder, const char *name, struct ta_submitted *out) {
    memset(out, 0, sizeof *out);
    const char *const argv[] = {"sbatch", "--parsable", name, NULL};
    struct ta_command_answer answer;
    ta_status status =
        ta_command_run(&(struct ta_command){.argv = argv, .folder = folder, .within_s = SBATCH_WITHIN_S}, &answer);
    if (status != TA_OK) return status;
    if (answer.exit_code != 0) return refused(&answer);
    size_t digits = strspn(answer.out, "0123456789"); /* "12" or "12;cluster" */
    if (digits == 0 || digits >= sizeof out->id)
        return ta_fail(TA_FORMAT, "sbatch said '%.60s', which names no job: is it Slurm's?", answer.out);
    memcpy(out->id, answer.out, digits);
    snprintf(out->warning, sizeof out->warning, "%s", answer.err);
    return TA_OK;
}
