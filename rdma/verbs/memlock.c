/* memlock: how much memory this process may lock for devices; of survey.h. */
#include <linux/capability.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "survey.h"

/* capget(2) by number: glibc leaves it to libcap. */
static bool has_ipc_lock(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (syscall(SYS_capget, &header, data) != 0) return false;
    return (data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK)) != 0;
}

static uint64_t bytes_of(rlim_t limit) { return limit == RLIM_INFINITY ? UINT64_MAX : limit; }

void ta_survey_memlock(struct ta_survey_memlock *out) {
    struct rlimit limit;
    *out = (struct ta_survey_memlock){.is_privileged = has_ipc_lock()};
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return;
    out->limit_bytes = bytes_of(limit.rlim_cur);
    out->hard_bytes = bytes_of(limit.rlim_max);
}

ta_status ta_survey_memlock_check(uint64_t bytes) {
    struct ta_survey_memlock lock;
    ta_survey_memlock(&lock);
    if (lock.is_privileged || bytes <= lock.limit_bytes) return TA_OK;
    unsigned long long kib = (bytes + 1023) / 1024, allowed = lock.limit_bytes;
    if (bytes <= lock.hard_bytes)
        return ta_fail(TA_CONFIG,
                       "%llu bytes of memory must be locked for the RDMA device, and %llu are allowed: type "
                       "'ulimit -l %llu' in the shell that starts the program",
                       (unsigned long long)bytes, allowed, kib);
    return ta_fail(
        TA_CONFIG,
        "%llu bytes of memory must be locked for the RDMA device, and %llu are allowed: as root, add the line "
        "'* - memlock unlimited' to /etc/security/limits.conf and log in again (for a service of systemd: "
        "LimitMEMLOCK=infinity; in a container: --ulimit memlock=-1)",
        (unsigned long long)bytes, allowed);
}
