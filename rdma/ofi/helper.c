/* helper: poll, and an empty read of the completion queue. */
#include "helper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <rdma/fi_domain.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_errno.h>

/* Connections come and go without waking it (ofi_rxm's queue has no descriptor for them). */
enum { LEAST_MS = 1, MOST_MS = 10 };

static void *keep_going(void *argument) {
    struct ta_ofi_helper *helper = argument;
    struct fid *queue = &helper->cq->fid;
    struct pollfd ready[2] = {{.fd = helper->wake[0], .events = POLLIN}, {.events = POLLIN}};
    if (fi_control(queue, FI_GETWAIT, &ready[1].fd) != 0) return NULL;
    while (!atomic_load(&helper->stop)) {
        struct fi_cq_entry unused;
        fi_cq_read(helper->cq, &unused, 0);
        /* Not now: completions wait for the transport's thread, which takes them when it comes by. */
        bool may_sleep = fi_trywait(helper->fabric, &queue, 1) == FI_SUCCESS;
        poll(ready, may_sleep ? 2 : 1, may_sleep ? MOST_MS : LEAST_MS);
    }
    return NULL;
}

ta_status ta_ofi_helper_start(struct ta_ofi_helper *helper, struct fid_fabric *fabric, struct fid_cq *cq) {
    sigset_t all, before;
    *helper = (struct ta_ofi_helper){.fabric = fabric, .cq = cq};
    if (pipe2(helper->wake, O_CLOEXEC) != 0) return ta_fail_errno(TA_NO_MEMORY, "a pipe for libfabric's helper thread");
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the threads of the program */
    helper->runs = pthread_create(&helper->thread, NULL, keep_going, helper) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (helper->runs) return TA_OK;
    close(helper->wake[0]);
    close(helper->wake[1]);
    return ta_fail(TA_NO_MEMORY, "no thread for libfabric's progress: see `ulimit -u`");
}

void ta_ofi_helper_stop(struct ta_ofi_helper *helper) {
    if (!helper->runs) return;
    atomic_store(&helper->stop, 1);
    if (write(helper->wake[1], "", 1) == 1) pthread_join(helper->thread, NULL);
    close(helper->wake[0]);
    close(helper->wake[1]);
    helper->runs = false;
}
