/* doctor_rdma: the ports of RDMA devices, as rdma/survey.h finds them, and why there may be none. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "mem.h"
#include "survey.h"

/* Names in a folder that begin with `prefix`, and the first of them. */
static unsigned count_names(const char *folder, const char *prefix, char *first, size_t bytes) {
    unsigned n = 0;
    DIR *dir = opendir(folder);
    first[0] = '\0';
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.' || strncmp(e->d_name, prefix, strlen(prefix)) != 0) continue;
        if (n++ == 0) snprintf(first, bytes, "%.*s", (int)bytes - 1, e->d_name);
    }
    if (dir != NULL) closedir(dir);
    return n;
}

/* What the kernel has, whatever libraries were built in. True: there is a device. */
static bool kernel_side(struct ta_findings *list) {
    char device[64], file[64], path[128];
    unsigned devices = count_names("/sys/class/infiniband", "", device, sizeof device);
    unsigned files = count_names("/dev/infiniband", "uverbs", file, sizeof file);
    if (devices == 0) {
        ta_doctor_say(list, TA_FINDING_MISSING, "devices", "none: the kernel knows no RDMA device");
        ta_doctor_cure(
            list, "load the card's driver (lspci -k shows it; Debian: rdma-core, ibverbs-providers), or try soft-RoCE: "
                  "modprobe rdma_rxe && rdma link add rxe0 type rxe netdev eth0");
        return false;
    }
    ta_doctor_say(list, TA_FINDING_OK, "devices", "%u, the first %s", devices, device);
    snprintf(path, sizeof path, "/dev/infiniband/%s", file);
    if (files == 0) {
        ta_doctor_say(list, TA_FINDING_MISSING, "device files",
                      "no /dev/infiniband/uverbs*: programs cannot reach the devices");
        ta_doctor_cure(list, "modprobe ib_uverbs; in a container: --device=/dev/infiniband");
    } else if (access(path, R_OK | W_OK) != 0) {
        ta_doctor_say(list, TA_FINDING_MISSING, "device files", "%s may not be opened by this user", path);
        ta_doctor_cure(list,
                       "udev of package rdma-core makes it mode 0666; by hand: chmod a+rw /dev/infiniband/uverbs*");
    } else {
        ta_doctor_say(list, TA_FINDING_OK, "device files", "%u, the first %s", files, path);
    }
    return true;
}

static void say_gids(const struct ta_survey_port *p, const char *name, struct ta_findings *list) {
    char title[64];
    for (unsigned i = 0; i < p->n_gids && i < TA_SURVEY_GIDS; i++) {
        const struct ta_survey_gid *g = &p->gids[i];
        snprintf(title, sizeof title, "%.48s gid %u", name, g->index);
        ta_doctor_say(list, TA_FINDING_OK, title, "%s %s%s%s%s", g->text, g->type, g->netdev[0] != '\0' ? " on " : "",
                      g->netdev, (int)g->index == p->best_gid ? ", the one that would be taken" : "");
    }
}

static void say_port(const struct ta_survey_port *p, bool asked, struct ta_findings *list) {
    char name[96], near[48], speed[32] = "";
    snprintf(name, sizeof name, "%s:%u", p->device, p->port);
    snprintf(near, sizeof near, p->numa_node < 0 ? "no NUMA node" : "NUMA node %d", p->numa_node);
    if (p->gbit_per_s > 0) snprintf(speed, sizeof speed, " %g Gbit/s", p->gbit_per_s);
    enum ta_finding_state bad = asked ? TA_FINDING_WRONG : TA_FINDING_MISSING;
    ta_doctor_say(list, p->why_not[0] == '\0' ? TA_FINDING_OK : bad, name,
                  "%s, %s%s, MTU %u of %u, driver %s, %s (distance %u)%s%s%s", p->state, p->link, speed, p->mtu,
                  p->max_mtu, p->driver, near, p->distance,
                  p->memory_windows_2 ? ", memory windows of type 2" : ", no memory windows of type 2",
                  p->on_demand_paging ? ", on-demand paging" : "", p->atomic_hca ? ", atomics" : "");
    if (p->why_not[0] != '\0') {
        ta_doctor_cure(list, "%s", p->why_not);
    } else if (p->mtu < p->max_mtu && strcmp(p->link, "Ethernet") == 0 && p->mtu < 4096) {
        snprintf(name, sizeof name, "%.80s:%u MTU", p->device, p->port);
        ta_doctor_say(list, TA_FINDING_NOTE, name, "%u bytes, where %u are possible", p->mtu, p->max_mtu);
        ta_doctor_cure(list, "larger Ethernet frames, on all machines and the switch: ip link set DEV mtu 9000");
    }
    snprintf(name, sizeof name, "%.80s:%u", p->device, p->port);
    say_gids(p, name, list);
}

/* Whether a list "mlx5_0,mlx5_1:1" names the port. */
static bool names_port(const char *wanted, const struct ta_survey_port *p) {
    char full[80];
    snprintf(full, sizeof full, "%s:%u", p->device, p->port);
    for (const char *at = wanted; at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ",");
        bool device = strlen(p->device) == length && strncmp(at, p->device, length) == 0;
        if (device || (strlen(full) == length && strncmp(at, full, length) == 0)) return true;
        at += length + (at[length] == ',');
    }
    return false;
}

void ta_doctor_rdma(const struct ta_doctor *d, struct ta_findings *list) {
    struct ta_survey_port *ports = NULL;
    size_t n = 0;
    const char *wanted = d->transport->device;
    bool verbs = d->transport->type != NULL && strcmp(d->transport->type, "verbs") == 0, there = kernel_side(list);
    bool found = false;
    ta_status status = ta_survey_ports(&ports, &n);
    if (status != TA_OK) {
        ta_doctor_say(list, verbs ? TA_FINDING_WRONG : TA_FINDING_MISSING, "ports", "%s",
                      status == TA_NOT_BUILT ? "not looked at: there is no libibverbs in this program"
                                             : "none can be opened");
        ta_doctor_cure(list, "%s", ta_why());
    } else if (n == 0 && there) {
        ta_doctor_say(list, verbs ? TA_FINDING_WRONG : TA_FINDING_MISSING, "ports",
                      "libibverbs sees none of the devices");
        ta_doctor_cure(list, "its drivers are missing: apt-get install ibverbs-providers");
    }
    for (size_t i = 0; status == TA_OK && i < n; i++) {
        bool asked = verbs && wanted != NULL && names_port(wanted, &ports[i]);
        found |= asked;
        say_port(&ports[i], asked, list);
    }
    if (status == TA_OK && verbs && wanted != NULL && !found) {
        ta_doctor_say(list, TA_FINDING_WRONG, "transport.device", "'%s' is none of the %zu ports there are", wanted, n);
        ta_doctor_cure(list, "transport.device: one of those above, or none at all: then the nearest is taken");
    }
    ta_mem_free(ports);
}
