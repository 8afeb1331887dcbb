/* provider: which of libfabric's providers carries the puts, and what it promises.
 *
 * A provider fits when it has reliable unconnected endpoints with remote writes, and either delivers writes in the
 * order in which they were posted (FI_ORDER_WAW, of any size) or can tell when one is there (FI_DELIVERY_COMPLETE).
 */
#ifndef TA_OFI_PROVIDER_H
#define TA_OFI_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>

#include <rdma/fabric.h>

#include "transport.h"

struct ta_ofi_choice {
    struct fi_info *info; /* freed by fi_freeinfo */
    bool in_order;        /* writes are delivered in order; else each segment waits until the last one was delivered */
    bool says_delivered;  /* FI_DELIVERY_COMPLETE; else FI_TRANSMIT_COMPLETE: for hardware, the same */
    bool is_software;     /* the kernel's or libfabric's loops read and write the memory, not a device */
    bool is_loopback;     /* reaches this machine alone */
};

/* The provider that spec->provider names, else what FI_PROVIDER leaves, else the best there is; on the domain that
 * spec->device names, else the first that reaches other machines. Errors: DEVICE (none fits: which there are),
 * NO_MEMORY. */
ta_status ta_ofi_choose(const struct ta_transport_spec *spec, struct ta_ofi_choice *out);

/* "provider tcp;ofi_rxm, domain eth0" and what it promises. */
void ta_ofi_choice_say(const struct ta_ofi_choice *choice, char *out, size_t bytes);

/* library.c: loads libfabric, the first time. */
bool ta_ofi_library_is_there(void);

#endif
