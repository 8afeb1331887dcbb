/* mixed: what the transport of that name needs of the registry and of shm. For mixed.c, transport.c and shm.c. */
#ifndef TA_MIXED_H
#define TA_MIXED_H

#include "transport.h"

/* verbs where its probe succeeds, else ofi; `why` says which and, for ofi, why not verbs. Errors: DEVICE, with both
 * reasons. */
ta_status ta_transport_between_nodes(const struct ta_transport_spec *spec, const struct ta_transport_ops **out,
                                     char *why, size_t bytes);

/* range_open of an shm transport with a pass that somebody else chose, not 0. Errors: as range_open. */
ta_status ta_shm_range_open_as(struct ta_transport *t, size_t offset, size_t bytes, uint64_t pass);

#endif
