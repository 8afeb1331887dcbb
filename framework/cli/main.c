/* main: finds the verb, runs it, prints what went wrong, exits with its code. The only file that knows exit. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "config.h"

/* A verb whose source is not in this build is left out of the table (see CMakeLists.txt). */
static const struct ta_verb *const verbs[] = {
    &ta_verb_train,
#ifdef TA_CLI_PREDICT
    &ta_verb_predict,
#endif
#ifdef TA_CLI_DATA
    &ta_verb_data,
#endif
#ifdef TA_CLI_REPLAY
    &ta_verb_replay,
#endif
#ifdef TA_CLI_BENCH
    &ta_verb_bench,
#endif
#ifdef TA_CLI_CKPT
    &ta_verb_ckpt,
#endif
#ifdef TA_CLI_EVAL
    &ta_verb_eval,
#endif
#ifdef TA_CLI_PLOT
    &ta_verb_plot,
#endif
#ifdef TA_CLI_DOCTOR
    &ta_verb_doctor,
#endif
#ifdef TA_CLI_SUBMIT
    &ta_verb_submit,
#endif
#ifdef TA_CLI_WATCH
    &ta_verb_watch,
#endif
#ifdef TA_CLI_REPORT
    &ta_verb_report,
#endif
#ifdef TA_CLI_SIM
    &ta_verb_sim,
#endif
    &ta_verb_version,
};

enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

static void print_help(FILE *out) {
    fprintf(out,
            "usage: tensair VERB [ARGUMENTS]\n"
            "\n"
            "Trains neural networks while their data is still arriving.\n"
            "\n");
    for (unsigned i = 0; i < N_VERBS; i++) fprintf(out, "    %-9s%s\n", verbs[i]->name, verbs[i]->summary);
    fprintf(out,
            "\n"
            "`tensair VERB --help` says more. Exit status: 0 done; 1 failed; 2 usage or configuration; 69 a peer or device is\n"
            "gone; 74 input or output; 75 checkpointed, please run again; 128+n killed by signal n.\n");
}

static int unknown(const char *word) {
    const char *names[N_VERBS];
    for (unsigned i = 0; i < N_VERBS; i++) names[i] = verbs[i]->name;
    const char *nearest = ta_config_nearest(word, names, N_VERBS);
    if (nearest != NULL) fprintf(stderr, "tensair: unknown verb '%s'; did you mean '%s'?\n", word, nearest);
    else fprintf(stderr, "tensair: unknown verb '%s': see tensair --help\n", word);
    return ta_status_exit_code(TA_USAGE);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return ta_status_exit_code(TA_USAGE);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) argv[1] = "version";
    for (unsigned i = 0; i < N_VERBS; i++) {
        if (strcmp(argv[1], verbs[i]->name) != 0) continue;
        ta_status status = verbs[i]->run(argc - 1, argv + 1);
        if (status == TA_REQUEUE) ta_why_clear(); /* said by the verb, where it is news */
        else if (status != TA_OK && ta_why()[0] != '\0') fprintf(stderr, "tensair %s: %s\n", argv[1], ta_why());
        else if (status != TA_OK) fprintf(stderr, "tensair %s: %s\n", argv[1], ta_status_meaning(status));
        if (fflush(stdout) != 0 && status == TA_OK) {
            perror("tensair: standard output");
            return ta_status_exit_code(TA_IO);
        }
        return ta_status_exit_code(status);
    }
    return unknown(argv[1]);
}
