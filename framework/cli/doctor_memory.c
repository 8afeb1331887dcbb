/* doctor_memory: how much there is, in which pages, and how much of it may be locked for devices. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "survey.h"

enum { QUEUES_PER_PEER = 1 << 16, ROUNDING = 1 << 20 }; /* what queues take beside windows: an upper bound */

/* A line "Name:  123 kB" of /proc/meminfo, in its unit; 0: not there. */
static uint64_t meminfo(const char *name) {
    char line[128];
    uint64_t value = 0;
    size_t length = strlen(name);
    FILE *file = fopen("/proc/meminfo", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, length) == 0 && line[length] == ':') value = strtoull(line + length + 1, NULL, 10);
    if (file != NULL) fclose(file);
    return value;
}

static void amount(const struct ta_doctor *d, struct ta_findings *list) {
    char a[32], b[32], text[64];
    uint64_t total = meminfo("MemTotal") * 1024, available = meminfo("MemAvailable") * 1024;
    ta_doctor_say(list, TA_FINDING_OK, "total", "%s, %s of it available", ta_doctor_bytes(total, a),
                  ta_doctor_bytes(available, b));
    uint64_t most = available;
    if (ta_doctor_read(text, sizeof text, "/sys/fs/cgroup/memory.max") && text[0] >= '0' && text[0] <= '9') {
        uint64_t limit = strtoull(text, NULL, 10);
        ta_doctor_say(list, TA_FINDING_NOTE, "limit", "this container may use %s", ta_doctor_bytes(limit, a));
        if (limit < most) most = limit;
    }
    if (!d->knows_need) return;
    /* exchange.h: start, register, weights and gradient beside the window of the peers' registers. */
    uint64_t each = d->window_bytes + 4 * d->source_bytes, all = each * d->per_node;
    enum ta_finding_state state = all <= most                 ? TA_FINDING_OK
                                  : total != 0 && all > total ? TA_FINDING_WRONG
                                                              : TA_FINDING_NOTE;
    ta_doctor_say(list, state, "needed", "%s for the parameters of %u replicas on one node", ta_doctor_bytes(all, a),
                  d->per_node);
    if (state != TA_FINDING_OK)
        ta_doctor_cure(list, "fewer replicas on a node, or a smaller model: %s a replica", ta_doctor_bytes(each, b));
}

/* "always [madvise] never" -> "madvise" */
static bool chosen_word(char *text) {
    char *open = strchr(text, '['), *close = open != NULL ? strchr(open, ']') : NULL;
    if (close == NULL) return false;
    *close = '\0';
    memmove(text, open + 1, strlen(open));
    return true;
}

static void pages(struct ta_findings *list) {
    static const struct {
        const char *name, *file, *cure;
    } settings[] = {
        {"huge pages", "/sys/kernel/mm/transparent_hugepage/enabled",
         "as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"},
        {"huge pages, shared", "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
         "windows of shm would be faster to fill; as root: echo advise > "
         "/sys/kernel/mm/transparent_hugepage/shmem_enabled"},
    };
    char text[128];
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (!ta_doctor_read(text, sizeof text, "%s", settings[i].file) || !chosen_word(text)) {
            ta_doctor_say(list, TA_FINDING_MISSING, settings[i].name, "this kernel has no transparent huge pages");
            continue;
        }
        bool never = strcmp(text, "never") == 0 || strcmp(text, "deny") == 0;
        ta_doctor_say(list, never ? TA_FINDING_NOTE : TA_FINDING_OK, settings[i].name, "transparent: %s", text);
        if (never) ta_doctor_cure(list, "%s", settings[i].cure);
    }
    uint64_t reserved = meminfo("HugePages_Total"), bytes = meminfo("Hugepagesize") * 1024;
    ta_doctor_say(list, TA_FINDING_OK, "huge pages, hugetlb", "%" PRIu64 " reserved of %s; none are needed", reserved,
                  ta_doctor_bytes(bytes, text));
}

static void say_how_to_raise(struct ta_findings *list, const struct ta_survey_memlock *lock, uint64_t need) {
    uint64_t kib = need == 0 ? 0 : (need + 1023) / 1024;
    char value[32] = "unlimited", shell[96];
    if (need != 0) snprintf(value, sizeof value, "%" PRIu64, kib);
    if (need != 0 && need <= lock->hard_bytes)
        snprintf(shell, sizeof shell, "ulimit -l %s in the shell that starts it", value);
    else snprintf(shell, sizeof shell, "the hard limit is in the way: root raises it");
    ta_doctor_cure(list,
                   "%s; for good: '* - memlock %s' in /etc/security/limits.conf and a new login; in Slurm jobs: "
                   "PropagateResourceLimitsExcept=MEMLOCK in slurm.conf and LimitMEMLOCK=infinity in slurmd's unit "
                   "(systemctl edit slurmd); in containers: --ulimit memlock=-1",
                   shell, value);
}

/* Devices of transport verbs hold windows and sources in memory that must not move. */
static void locked(const struct ta_doctor *d, struct ta_findings *list) {
    struct ta_survey_memlock lock;
    char soft[32], hard[32], wanted[32];
    ta_survey_memlock(&lock);
    uint64_t need =
        d->knows_need ? d->window_bytes + d->source_bytes + (uint64_t)d->replicas * QUEUES_PER_PEER + ROUNDING : 0;
    ta_doctor_bytes(lock.limit_bytes, soft);
    ta_doctor_bytes(lock.hard_bytes, hard);
    ta_doctor_bytes(need, wanted);
    bool free = lock.is_privileged || lock.limit_bytes == UINT64_MAX;
    const char *why = lock.is_privileged ? "; this process may lock what it likes (CAP_IPC_LOCK)" : "";
    if (need == 0) {
        ta_doctor_say(list, free ? TA_FINDING_OK : TA_FINDING_NOTE, "memlock", "limit %s, hard limit %s%s", soft, hard,
                      why);
        if (!free) say_how_to_raise(list, &lock, 0);
        return;
    }
    bool enough = free || need <= lock.limit_bytes, used = ta_doctor_would_take(d, "verbs");
    ta_doctor_say(list,
                  enough ? TA_FINDING_OK
                  : used ? TA_FINDING_WRONG
                         : TA_FINDING_NOTE,
                  "memlock", "limit %s, hard limit %s%s; %s a replica %s transport verbs", soft, hard, why, wanted,
                  used ? "are to be locked for" : "would be, with");
    if (!enough) say_how_to_raise(list, &lock, need);
}

void ta_doctor_memory(const struct ta_doctor *d, struct ta_findings *list) {
    amount(d, list);
    pages(list);
    locked(d, list);
}
