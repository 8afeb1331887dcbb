/* whole: a plugin as it should be: a table, and a call that fails with a message of the program's. */
#include "status.h"

static ta_status refuse(int number) { return ta_fail(TA_DEVICE, "made in the plugin, number %d", number); }

struct test_table {
    ta_status (*refuse)(int number);
};

extern const struct test_table test_table;
const struct test_table test_table = {.refuse = refuse};
