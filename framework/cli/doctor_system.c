/* doctor_system: what the kernel and the limits of this session allow. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor.h"

enum { FILES_PER_PEER = 4, FILES_BESIDE = 64 };

#define LITTLE_SPACE (UINT64_C(1) << 30)

/* Several replicas of one machine need all of it: memory without a name, opened by another process, its end seen. */
static void shared_memory(const struct ta_doctor *d, struct ta_findings *list) {
    enum ta_finding_state bad = d->replicas > 1 || d->config == NULL ? TA_FINDING_WRONG : TA_FINDING_NOTE;
    int memory = memfd_create("tensair-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING),
        pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    bool sealed = memory >= 0 && ftruncate(memory, 4096) == 0 && fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK) == 0;
    ta_doctor_say(list, sealed ? TA_FINDING_OK : bad, "memfd", "%s", sealed ? "works, with seals" : strerror(errno));
    if (!sealed)
        ta_doctor_cure(list,
                       "transport shm needs memfd_create and seals: Linux 3.17 or later, not filtered by a sandbox");
    ta_doctor_say(list, pidfd >= 0 ? TA_FINDING_OK : bad, "pidfd", "%s", pidfd >= 0 ? "works" : strerror(errno));
    if (pidfd < 0) ta_doctor_cure(list, "transport shm sees the death of a peer by it: Linux 5.3 or later");
    if (pidfd >= 0) close(pidfd);
    if (!sealed) return;
    pid_t parent = getpid(), child = fork();
    int state = -1;
    if (child == 0) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)parent, memory);
        int again = open(path, O_RDWR | O_CLOEXEC);
        _exit(again >= 0 && mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) != MAP_FAILED ? 0 : 1);
    }
    bool opened = child > 0 && waitpid(child, &state, 0) == child && state == 0;
    ta_doctor_say(list, opened ? TA_FINDING_OK : bad, "memory of a peer", "%s",
                  opened ? "another process of this user can map it"
                         : "/proc/PID/fd of another process cannot be opened");
    if (!opened) ta_doctor_cure(list, "replicas need one user and one /proc (no hidepid), in one container or none");
    close(memory);
}

static void limit(struct ta_findings *list, const char *name, int which, uint64_t need, const char *option) {
    struct rlimit l;
    char soft[32] = "unlimited", hard[32] = "unlimited";
    if (getrlimit((__rlimit_resource_t)which, &l) != 0) return;
    if (l.rlim_cur != RLIM_INFINITY) snprintf(soft, sizeof soft, "%" PRIu64, (uint64_t)l.rlim_cur);
    if (l.rlim_max != RLIM_INFINITY) snprintf(hard, sizeof hard, "%" PRIu64, (uint64_t)l.rlim_max);
    bool enough = l.rlim_cur == RLIM_INFINITY || l.rlim_cur >= need;
    ta_doctor_say(list, enough ? TA_FINDING_OK : TA_FINDING_WRONG, name,
                  "limit %s, hard limit %s; about %" PRIu64 " are needed", soft, hard, need);
    if (!enough) ta_doctor_cure(list, "ulimit -%s %" PRIu64 "; for good: /etc/security/limits.conf", option, need);
}

static void limits(const struct ta_doctor *d, struct ta_findings *list) {
    unsigned threads = d->config != NULL ? d->config->device.threads : 1;
    limit(list, "open files", RLIMIT_NOFILE, FILES_BESIDE + (uint64_t)FILES_PER_PEER * d->replicas, "n");
    limit(list, "processes", RLIMIT_NPROC, (uint64_t)d->per_node * (threads + 4) + 1, "u");
}

static void space_in(struct ta_findings *list, const char *path) {
    struct statfs info;
    char total[32], left[32];
    if (statfs(path, &info) != 0) {
        ta_doctor_say(list, TA_FINDING_MISSING, path, "%s", strerror(errno));
        ta_doctor_cure(list, "mount -t tmpfs tmpfs %s; windows do not lie there, but libraries may need it", path);
        return;
    }
    uint64_t block = (uint64_t)info.f_bsize, bytes = info.f_bavail * block;
    bool little = bytes < UINT64_C(64) << 20;
    ta_doctor_say(list, little ? TA_FINDING_NOTE : TA_FINDING_OK, path, "%s of %s free", ta_doctor_bytes(bytes, left),
                  ta_doctor_bytes(info.f_blocks * block, total));
    if (little)
        ta_doctor_cure(list, "windows do not lie there, but libraries may need it; in a container: --shm-size=1g");
}

static void clock_source(struct ta_findings *list) {
    static const char *const slow[] = {"hpet", "acpi_pm", "jiffies", "refined-jiffies"};
    char name[64];
    if (!ta_doctor_read(name, sizeof name, "/sys/devices/system/clocksource/clocksource0/current_clocksource")) {
        ta_doctor_say(list, TA_FINDING_NOTE, "clock source", "the kernel does not say");
        return;
    }
    bool bad = false;
    for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++) bad |= strcmp(name, slow[i]) == 0;
    ta_doctor_say(list, bad ? TA_FINDING_NOTE : TA_FINDING_OK, "clock source", "%s", name);
    if (bad)
        ta_doctor_cure(
            list,
            "reading it is a system call, and times are coarse: boot with tsc=reliable if the CPU's tsc is constant");
}

struct file_system {
    long type;
    const char *name;
    bool exchanges; /* renameat2 with RENAME_EXCHANGE */
};

static const struct file_system *known_file_system(long type) {
    static const struct file_system known[] = {
        {EXT4_SUPER_MAGIC, "ext4", true},  {XFS_SUPER_MAGIC, "xfs", true},     {BTRFS_SUPER_MAGIC, "btrfs", true},
        {TMPFS_MAGIC, "tmpfs", true},      {F2FS_SUPER_MAGIC, "f2fs", true},   {OVERLAYFS_SUPER_MAGIC, "overlay", true},
        {0x2fc12fc1, "zfs", true},         {0x0bd00bd0, "lustre", false},      {NFS_SUPER_MAGIC, "nfs", false},
        {0x47504653, "gpfs", false},       {0x00c36400, "ceph", false},        {V9FS_MAGIC, "9p", false},
        {FUSE_SUPER_MAGIC, "fuse", false}, {MSDOS_SUPER_MAGIC, "vfat", false}, {0x19830326, "beegfs", false},
        {(long)0xff534d42, "cifs", false},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].type == type) return &known[i];
    return NULL;
}

/* The run directory goes here unless it is said otherwise: checkpoints are put in place of old ones by an exchange. */
static void this_folder(struct ta_findings *list) {
    struct statfs info;
    char left[32];
    if (statfs(".", &info) != 0) {
        ta_doctor_say(list, TA_FINDING_NOTE, "current folder", "%s", strerror(errno));
        return;
    }
    const struct file_system *fs = known_file_system((long)info.f_type);
    uint64_t bytes = info.f_bavail * (uint64_t)info.f_bsize;
    bool exchanges = fs != NULL && fs->exchanges, writable = access(".", W_OK) == 0, little = bytes < LITTLE_SPACE;
    bool fine = exchanges && writable && !little;
    char type[32];
    snprintf(type, sizeof type, "type %#lx", (unsigned long)info.f_type);
    ta_doctor_say(list, fine ? TA_FINDING_OK : TA_FINDING_NOTE, "current folder", "%s, %s free%s%s",
                  fs != NULL ? fs->name : type, ta_doctor_bytes(bytes, left), writable ? "" : ", not writable",
                  exchanges ? "" : ", where two folders may not be exchanged in one step");
    if (!writable) ta_doctor_cure(list, "--run-dir somewhere else");
    else if (little) ta_doctor_cure(list, "checkpoints need space: --run-dir somewhere else, or checkpoint.keep: 1");
    else if (!exchanges)
        ta_doctor_cure(
            list, "harmless but for one thing: a checkpoint never takes the place of a whole one after as many steps");
}

void ta_doctor_system(const struct ta_doctor *d, struct ta_findings *list) {
    shared_memory(d, list);
    limits(d, list);
    space_in(list, "/dev/shm");
    clock_source(list);
    this_folder(list);
}
