/* doctor_files: whether the directory of a run keeps its promises between nodes: locks that others see, files that only
 * one can create, renames that show the old file or the new one, and how soon a new file is seen. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "clock.h"
#include "doctor_slurm.h"

enum { ROUNDS = 8, VERSIONS = 50, FILE_WORDS = 8192 };
static const int64_t at_once_ns = TA_NS_PER_S / 10, slow_ns = 2 * TA_NS_PER_S;

static void path_of(const struct ta_preflight *p, char out[TA_PREFLIGHT_PATH + 128], const char *name) {
    snprintf(out, TA_PREFLIGHT_PATH + 128, "%s/%s", p->folder, name);
}

static void kind(struct ta_preflight *p) {
    static const struct {
        unsigned long magic;
        const char *name;
    } known[] = {{0x6969, "NFS"},          {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"},    {0x19830326, "BeeGFS"},
                 {0x00c36400, "CephFS"},   {0xff534d42, "CIFS"},   {0xfe534d42, "SMB"},     {0x65735546, "FUSE"},
                 {0xef53, "ext2/3/4"},     {0x58465342, "XFS"},    {0x9123683e, "btrfs"},   {0x01021994, "tmpfs"},
                 {0x794c7630, "overlay"},  {0x2fc12fc1, "ZFS"},    {0x01021997, "9p"},      {0x61756673, "aufs"}};
    struct statfs info;
    const char *name = "of a kind that is not known here";
    if (statfs(p->directory, &info) != 0) return;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if ((unsigned long)info.f_type == known[i].magic) name = known[i].name;
    ta_doctor_say(p->list, TA_FINDING_OK, "file system", "%.300s: %s", p->directory, name);
}

/* Node 0 holds a lock that nobody else may get, then gives it back. */
static ta_status locks(struct ta_preflight *p) {
    char path[TA_PREFLIGHT_PATH + 128];
    path_of(p, path, "flock");
    int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0) return ta_fail_errno(TA_IO, "%s", path);
    int held = p->node == 0 ? flock(file, LOCK_EX | LOCK_NB) : 0, why = errno;
    ta_status status = ta_preflight_together(p, "lock-held");
    bool stolen = p->node != 0 && flock(file, LOCK_EX | LOCK_NB) == 0;
    if (p->node != 0 && !stolen) {
        why = errno;
        held = why == EWOULDBLOCK ? 0 : -1;
    }
    if (status == TA_OK) status = ta_preflight_together(p, "lock-tried");
    if (held != 0) {
        ta_doctor_say(p->list, TA_FINDING_WRONG, "locks", "flock fails: %s", strerror(why));
        ta_doctor_cure(p->list, "mount it with locks (Lustre: -o flock; NFS: a lock manager): a run takes one");
    } else if (stolen) {
        ta_doctor_say(p->list, TA_FINDING_WRONG, "locks", "flock gives a lock that %s holds", p->names[0]);
        ta_doctor_cure(p->list, "mount it with locks that other nodes see (Lustre: -o flock, not localflock): two runs "
                                "in one directory would not see each other");
    } else {
        ta_doctor_say(p->list, TA_FINDING_OK, "locks", "flock holds between nodes");
    }
    close(file);
    return status == TA_OK ? ta_preflight_together(p, "lock-over") : status;
}

/* All create the same file at once: one does. */
static ta_status creation(struct ta_preflight *p) {
    unsigned wrong = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        char path[TA_PREFLIGHT_PATH + 128], name[48];
        unsigned winners = 0;
        snprintf(name, sizeof name, "once-%u", round);
        path_of(p, path, name);
        ta_status status = ta_preflight_together(p, name);
        int file = status == TA_OK ? open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) : -1;
        unsigned char won = file >= 0;
        if (file >= 0) close(file);
        if (status == TA_OK) status = ta_preflight_put(p, &won, 1, "won/%u/%u", round, p->node);
        for (unsigned node = 0; p->node == 0 && node < p->nodes && status == TA_OK; node++) {
            status = ta_preflight_hear(p, &won, 1, "won/%u/%u", round, node);
            winners += won;
        }
        if (status != TA_OK) return status;
        wrong += winners != 1;
    }
    if (p->node != 0) return TA_OK;
    ta_doctor_say(p->list, wrong > 0 ? TA_FINDING_WRONG : TA_FINDING_OK, "creation",
                  "of %d files that all nodes created at once, %d were created by one alone (O_EXCL)", ROUNDS,
                  ROUNDS - (int)wrong);
    if (wrong > 0) ta_doctor_cure(p->list, "NFS: version 3 or later; another file system for the directories of runs");
    return TA_OK;
}

static ta_status write_version(const struct ta_preflight *p, const char *path, unsigned version) {
    uint32_t words[FILE_WORDS];
    char fresh[TA_PREFLIGHT_PATH + 128];
    path_of(p, fresh, "renamed.new");
    for (size_t i = 0; i < FILE_WORDS; i++) words[i] = version;
    int file = open(fresh, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (file < 0) return ta_fail_errno(TA_IO, "%s", fresh);
    bool whole = write(file, words, sizeof words) == (ssize_t)sizeof words;
    if (close(file) != 0 || !whole) return ta_fail_errno(TA_IO, "%s", fresh);
    return rename(fresh, path) == 0 ? TA_OK : ta_fail_errno(TA_IO, "%s", path);
}

/* Reads it while it is replaced, until the last version. */
static void read_versions(struct ta_preflight *p, const char *path) {
    uint32_t words[FILE_WORDS];
    unsigned torn = 0, back = 0, reads = 0, last = 0, gone = 0;
    int64_t until_ns = ta_clock_now_ns() + (int64_t)(p->ask->within_s * TA_NS_PER_S);
    while (last < VERSIONS && ta_clock_now_ns() < until_ns) {
        int file = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = file >= 0 ? read(file, words, sizeof words) : -1;
        bool stale = got < 0 && errno == ESTALE;
        if (file >= 0) close(file);
        reads++;
        gone += got < 0 && !stale;
        if (got < 0) continue;
        bool whole = got == (ssize_t)sizeof words && words[0] >= 1 && words[0] <= VERSIONS;
        for (size_t i = 1; whole && i < FILE_WORDS; i++) whole = words[i] == words[0];
        torn += !whole;
        back += whole && words[0] < last;
        if (whole) last = words[0];
    }
    bool good = torn == 0 && back == 0 && gone == 0 && last == VERSIONS;
    if (good) {
        ta_doctor_say(p->list, TA_FINDING_OK, "renames", "readers see the old file or the new one");
        return;
    }
    ta_doctor_say(p->list, TA_FINDING_WRONG, "renames",
                  "of %u reads of a file that was replaced by rename %u saw a mixture, %u an older one than before, "
                  "%u none; the last version %s",
                  reads, torn, back, gone, last == VERSIONS ? "was seen" : "was not seen");
    ta_doctor_cure(p->list, "another file system for the directories of runs: checkpoints are finished by a rename");
}

static ta_status renames(struct ta_preflight *p) {
    char path[TA_PREFLIGHT_PATH + 128];
    path_of(p, path, "renamed");
    ta_status status = p->node == 0 ? write_version(p, path, 1) : TA_OK;
    if (status == TA_OK) status = ta_preflight_together(p, "rename-begins");
    for (unsigned version = 2; p->node == 0 && version <= VERSIONS && status == TA_OK; version++) {
        status = write_version(p, path, version);
        usleep(500);
    }
    if (status == TA_OK && p->node != 0) read_versions(p, path);
    return status == TA_OK ? ta_preflight_together(p, "rename-over") : status;
}

/* A name that was looked for in vain, as replicas do, comes to be. */
static ta_status visibility(struct ta_preflight *p) {
    char path[TA_PREFLIGHT_PATH + 128], told = 1;
    path_of(p, path, "appears");
    (void)access(path, F_OK);
    ta_status status = ta_preflight_together(p, "looked-in-vain");
    if (p->node == 0) {
        int file = status == TA_OK ? open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600) : -1;
        if (status == TA_OK && file < 0) status = ta_fail_errno(TA_IO, "%s", path);
        if (file >= 0) close(file);
        if (status == TA_OK) status = ta_preflight_put(p, &told, 1, "made");
        return status == TA_OK ? ta_preflight_together(p, "seen") : status;
    }
    if (status == TA_OK) status = ta_preflight_hear(p, &told, 1, "made");
    if (status != TA_OK) return status;
    int64_t begin_ns = ta_clock_now_ns(), limit_ns = (int64_t)(p->ask->within_s / 2 * TA_NS_PER_S), took_ns = 0;
    bool seen = false;
    while (!(seen = access(path, F_OK) == 0) && took_ns < limit_ns) {
        usleep(1000);
        took_ns = ta_clock_now_ns() - begin_ns;
    }
    enum ta_finding_state state = !seen ? TA_FINDING_WRONG : took_ns > slow_ns ? TA_FINDING_NOTE : TA_FINDING_OK;
    if (!seen) ta_doctor_say(p->list, state, "new files", "not seen within %g s", p->ask->within_s / 2);
    else if (took_ns < at_once_ns) ta_doctor_say(p->list, state, "new files", "seen at once");
    else ta_doctor_say(p->list, state, "new files", "seen after %.1f s", (double)took_ns / 1e9);
    if (state != TA_FINDING_OK)
        ta_doctor_cure(p->list,
                       "NFS: mount with lookupcache=positive and a small acdirmax: replicas find each other by files");
    return ta_preflight_together(p, "seen");
}

ta_status ta_preflight_files(struct ta_preflight *p) {
    p->list->section = "directory";
    kind(p);
    ta_status status = locks(p);
    if (status == TA_OK) status = creation(p);
    if (status == TA_OK) status = renames(p);
    return status == TA_OK ? visibility(p) : status;
}
