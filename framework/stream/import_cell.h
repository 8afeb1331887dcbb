/* import_cell: the text of one field -> a number or a time; private to the importers. Nothing here fails with a
 * message: who calls knows file, line and column. */
#ifndef TA_IMPORT_CELL_H
#define TA_IMPORT_CELL_H

#include <stdbool.h>
#include <stdint.h>

/* The whole text is one finite decimal number that a float32 can hold. */
bool ta_cell_number(const char *text, float *value);

/* `format`: NULL or "seconds", "milliseconds", "microseconds", "nanoseconds" (a decimal number, exact to the
 * nanosecond), or a strptime format (UTC), behind which the text may have a fraction of a second (".25"). */
bool ta_cell_time(const char *text, const char *format, int64_t *time_ns);

#endif
