/* data_verbs: the three verbs below `tensair data`; argv[0] is the verb's name. */
#ifndef TA_DATA_VERBS_H
#define TA_DATA_VERBS_H

#include <stdint.h>

#include "status.h"

ta_status ta_data_make(int argc, char **argv);
ta_status ta_data_import(int argc, char **argv);
ta_status ta_data_info(int argc, char **argv);

/* Digits only, within least..most. Errors: USAGE, naming the option. */
ta_status ta_data_number(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *value);

/* What getopt_long could not take (after it returned '?' or ':'). */
ta_status ta_data_bad_option(const char *verb, char **argv);

#endif
