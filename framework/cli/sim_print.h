/* sim_print: what `tensair sim` says: the assumptions, a row and a curve for each run. What this machine took goes to
 * stderr, so that the same run prints the same bytes. */
#ifndef TA_CLI_SIM_PRINT_H
#define TA_CLI_SIM_PRINT_H

#include <stdbool.h>

#include "simulation.h"

struct ta_sim_table {
    bool json;
    const char *topology;    /* of the run */
    unsigned rows;           /* printed so far */
    double first_each_per_s; /* records/s of a replica in the first run: what the others are measured by */
};

/* `given`: what the command line has named; the rest was measured. */
void ta_sim_print_assumptions(struct ta_sim_table *table, const struct ta_simulation_config *config,
                              const struct ta_machine *given);
void ta_sim_print_run(struct ta_sim_table *table, const struct ta_simulation_config *config,
                      const struct ta_simulation_result *result);

/* Makes the folder of a run, and the one it is in. Errors: IO. */
ta_status ta_sim_make_folder(const char *path);

#endif
