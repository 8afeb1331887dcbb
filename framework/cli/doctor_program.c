/* doctor_program: what was built in, and which package would add the rest. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "build_options.h"
#include "cli.h"
#include "doctor.h"
#include "kernels.h"

static void build(struct ta_findings *list) {
    bool slow = TA_BUILD_SANITIZE[0] != '\0' || strcmp(TA_BUILD_TYPE, "Debug") == 0;
    ta_doctor_say(list, slow ? TA_FINDING_NOTE : TA_FINDING_OK, "tensair", "%s (%s), %s, %s%s%s", TA_PROGRAM_VERSION,
                  TA_GIT_COMMIT, TA_BUILD_TYPE, TA_BUILD_COMPILER, TA_BUILD_SANITIZE[0] != '\0' ? ", sanitizers " : "",
                  TA_BUILD_SANITIZE);
    if (slow) ta_doctor_cure(list, "a build to find faults with; to be fast: cmake -DCMAKE_BUILD_TYPE=Release");
    struct utsname name;
    if (uname(&name) == 0)
        ta_doctor_say(list, TA_FINDING_OK, "kernel", "%s %s %s", name.sysname, name.release, name.machine);
}

static void libraries(struct ta_findings *list) {
#define X(name, version, package, use) ta_doctor_say(list, TA_FINDING_OK, name, "%s, for %s", version, use);
    TA_BUILD_REQUIRED(X)
#undef X
#define X(name, version, package, use)                                                                                 \
    ta_doctor_say(list, version[0] != '\0' ? TA_FINDING_OK : TA_FINDING_MISSING, name, "%s, for %s",                   \
                  version[0] != '\0' ? version : "not found when this program was built", use);                        \
    if (version[0] == '\0') ta_doctor_cure(list, "install %s and build again", package);
    TA_BUILD_OPTIONAL(X)
#undef X
}

/* Kernels and transports: a library that was found is one thing, what was made of it another. */
static void makes(const struct ta_doctor *d, struct ta_findings *list) {
    static const char *const kernels[] = {"cpu", "cuda"};
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        const struct ta_kernels_ops *ops;
        char name[32] = "kernels ";
        strcat(name, kernels[i]);
        bool there = ta_kernels_find(kernels[i], &ops) == TA_OK, asked = strcmp(d->device, kernels[i]) == 0;
        enum ta_finding_state absent = asked ? TA_FINDING_WRONG : TA_FINDING_MISSING;
        if (there) ta_doctor_say(list, TA_FINDING_OK, name, "built in%s", asked ? ", and asked for" : "");
        else ta_doctor_say(list, absent, name, "not built in%s", asked ? ", but device.type asks for it" : "");
        if (!there) ta_doctor_cure(list, "%s", ta_why());
    }
    char built[128] = "";
    for (size_t i = 0; ta_cli_transports[i] != NULL; i++) {
        const struct ta_transport_ops *ops;
        if (ta_transport_find(ta_cli_transports[i], &ops) != TA_OK) continue;
        size_t used = strlen(built);
        snprintf(built + used, sizeof built - used, "%s%s", used > 0 ? ", " : "", ta_cli_transports[i]);
    }
    ta_doctor_say(list, TA_FINDING_OK, "transports", "built in: %s (more below)", built);
}

void ta_doctor_program(const struct ta_doctor *d, struct ta_findings *list) {
    build(list);
    libraries(list);
    makes(d, list);
}
