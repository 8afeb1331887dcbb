/* helper: one thread a transport that keeps libfabric going where its provider does nothing by itself (progress is
 * manual: tcp;ofi_rxm), so that what peers put arrives, and what we put leaves, while the replica computes.
 *
 * It sleeps until a descriptor of the completion queue says that there is something to do, and only moves libfabric on:
 * completions stay in the queue for the transport's own thread. Needs a provider that is FI_THREAD_SAFE.
 */
#ifndef TA_OFI_HELPER_H
#define TA_OFI_HELPER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <rdma/fabric.h>

#include "status.h"

struct ta_ofi_helper {
    pthread_t thread;
    bool runs;
    _Atomic int stop;
    int wake[2]; /* a pipe: written to when it is to stop */
    struct fid_fabric *fabric;
    struct fid_cq *cq;
};

/* Errors: DEVICE (the queue has no descriptor), NO_MEMORY (no thread, no pipe). On failure nothing runs. */
ta_status ta_ofi_helper_start(struct ta_ofi_helper *helper, struct fid_fabric *fabric, struct fid_cq *cq);
/* Waits until it has ended; before the queue is closed. Of one that does not run: nothing. */
void ta_ofi_helper_stop(struct ta_ofi_helper *helper);

#endif
