/* plot_script: the gnuplot script of a run's pictures: what is drawn, and how it looks. */
#ifndef TA_PLOT_SCRIPT_H
#define TA_PLOT_SCRIPT_H

#include <stdbool.h>
#include <stdio.h>

#include "plot_marks.h"

struct ta_plot_facts {
    bool lag;   /* some window knows how late it was (pace max does not) */
    bool stale; /* some gradient was stale */
    bool stream; /* windows say which records of the stream they end with */
    const struct ta_plot_marks *marks;
};

/* Writes the script; it reads rank-NNNNN.dat of the `count` ranks in `ranks` beside it. */
void ta_plot_script_write(FILE *file, const unsigned *ranks, unsigned count, const struct ta_plot_facts *facts);

#endif
