/* collective: the table, from where it is. */
#include "collective.h"

#include "plugin.h"

ta_status ta_collective_find(const struct ta_collective_ops **out) {
    const void *table;
    ta_status status = ta_plugin_table("nccl", "ta_collective_nccl", &table);
    *out = table;
    return status;
}
