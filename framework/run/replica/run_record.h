/* run_record: which runs can be recorded (run.record), into which files, and what a replay must have in common with
 * them.
 *
 *     FOLDER/life-0001-rank-00000.record ...     one a replica and life of the run; the format: record.h
 */
#ifndef TA_RUN_RECORD_H
#define TA_RUN_RECORD_H

#include "run_config.h"

/* Nothing to say where run.record is not given. Errors: CONFIG (which key does not go with it). */
ta_status ta_run_record_check(const struct ta_run_config *run);
/* Errors: CONFIG (too long). */
ta_status ta_run_record_path(char *out, size_t bytes, const char *folder, uint32_t life, unsigned rank);
/* The newest life of which there is a recording of rank 0. Errors: IO (none is there). */
ta_status ta_run_record_newest(const char *folder, uint32_t *life);
/* The configuration without what a run's outcome does not depend on (where its files go, how it puts); freed by
 * ta_mem_free. Errors: NO_MEMORY. */
ta_status ta_run_record_text(const struct ta_run_config *run, char **out);
/* Errors: CONFIG: the first line in which two such texts differ, both as they are. */
ta_status ta_run_record_compare(const char *recorded, const char *given);

#endif
