/* cli: one file a verb. A verb parses its arguments, calls the layers below, and prints; it decides nothing else.
 *
 * `argv[0]` is the verb's name. A verb returns a status; main prints ta_why() on stderr as "tensair VERB: message" when
 * it is not OK and exits with its code. `--help` goes to stdout with exit 0; a usage error is TA_USAGE.
 */
#ifndef TA_CLI_H
#define TA_CLI_H

#include "status.h"

struct ta_verb {
    const char *name;
    const char *summary;                       /* one line for `tensair --help` */
    ta_status (*run)(int argc, char **argv);
};

extern const struct ta_verb ta_verb_train;   /* train.c */
extern const struct ta_verb ta_verb_predict; /* predict.c */
extern const struct ta_verb ta_verb_data;    /* data.c */
extern const struct ta_verb ta_verb_replay;  /* replay.c */
extern const struct ta_verb ta_verb_bench;   /* bench.c: window | kernels */
extern const struct ta_verb ta_verb_ckpt;    /* ckpt.c */
extern const struct ta_verb ta_verb_eval;    /* eval.c: words */
extern const struct ta_verb ta_verb_plot;    /* plot.c */
extern const struct ta_verb ta_verb_doctor;  /* doctor.c */
extern const struct ta_verb ta_verb_submit;  /* submit.c */
extern const struct ta_verb ta_verb_watch;   /* watch.c */
extern const struct ta_verb ta_verb_report;  /* report.c */
extern const struct ta_verb ta_verb_sim;     /* sim.c */
extern const struct ta_verb ta_verb_version; /* version.c */

/* After a second SIGINT: ends the program by that signal, as the shell would see of any other. */
void ta_cli_interrupted(const char *verb); /* train.c */

/* The names of all transports a configuration may ask for, NULL behind the last; which are built in, ta_transport_find
 * says. */
extern const char *const ta_cli_transports[]; /* version.c */

#endif
