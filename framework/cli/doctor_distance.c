/* doctor_distance: what two paths in sysfs have in common. */
#include "doctor_distance.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char root[] = "/sys/devices/pci";

bool ta_pci_place_find(const char *link, struct ta_pci_place *out) {
    char resolved[PATH_MAX], file[TA_PCI_PATH_BYTES + 16];
    *out = (struct ta_pci_place){.numa_node = -1};
    if (realpath(link, resolved) == NULL || strncmp(resolved, root, sizeof root - 1) != 0) return false;
    if (strlen(resolved) >= sizeof out->path) return false;
    memcpy(out->path, resolved, strlen(resolved) + 1);
    snprintf(file, sizeof file, "%s/numa_node", out->path);
    FILE *node = fopen(file, "re");
    if (node != NULL && fscanf(node, "%d", &out->numa_node) != 1) out->numa_node = -1;
    if (node != NULL) fclose(node);
    return true;
}

/* Parts of a path from `at` on: each is a bridge, the last one the device. */
static unsigned parts(const char *at) {
    unsigned n = 0;
    for (; *at != '\0'; at++) n += *at == '/';
    return n;
}

/* How many characters the first whole parts of both are the same. */
static size_t common(const char *a, const char *b) {
    size_t same = 0;
    for (size_t i = 0;; i++) {
        bool end = (a[i] == '/' || a[i] == '\0') && (b[i] == '/' || b[i] == '\0');
        if (end) same = i;
        if (a[i] != b[i] || a[i] == '\0') return same;
    }
}

enum ta_pci_distance ta_pci_distance(const struct ta_pci_place *a, const struct ta_pci_place *b) {
    size_t same = common(a->path, b->path), host = sizeof root - 1;
    while (a->path[host] != '/' && a->path[host] != '\0') host++;
    if (same < host) return a->numa_node == b->numa_node && a->numa_node >= 0 ? TA_PCI_NODE : TA_PCI_SYS;
    if (same == host) return TA_PCI_PHB;
    /* Below one bridge: a device of its own, or one behind a port of the switch. */
    return parts(a->path + same) <= 2 && parts(b->path + same) <= 2 ? TA_PCI_PIX : TA_PCI_PXB;
}

const char *ta_pci_distance_name(enum ta_pci_distance distance) {
    static const char *const names[] = {"PIX", "PXB", "PHB", "NODE", "SYS"};
    return names[distance];
}
