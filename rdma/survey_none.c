/* survey_none: what a program without libibverbs says of RDMA devices; what may be locked it knows all the same. */
#include "survey.h"

#if !TA_HAVE_VERBS
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

ta_status ta_survey_ports(struct ta_survey_port **out, size_t *n) {
    *out = NULL;
    *n = 0;
    return ta_fail(TA_NOT_BUILT, "this program was built without libibverbs: install libibverbs-dev and build again");
}

/* capget(2) by number: glibc leaves it to libcap. */
static bool has_ipc_lock(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (syscall(SYS_capget, &header, data) != 0) return false;
    return (data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK)) != 0;
}

void ta_survey_memlock(struct ta_survey_memlock *out) {
    struct rlimit limit;
    *out = (struct ta_survey_memlock){.is_privileged = has_ipc_lock()};
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return;
    out->limit_bytes = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
    out->hard_bytes = limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : limit.rlim_max;
}

ta_status ta_survey_memlock_check(uint64_t bytes) {
    struct ta_survey_memlock lock;
    ta_survey_memlock(&lock);
    if (lock.is_privileged || bytes <= lock.limit_bytes) return TA_OK;
    return ta_fail(TA_CONFIG,
                   "%llu bytes are to be locked for devices, %llu may be: ulimit -l %llu, or memlock in limits.conf",
                   (unsigned long long)bytes, (unsigned long long)lock.limit_bytes,
                   (unsigned long long)(bytes + 1023) / 1024);
}
#endif
