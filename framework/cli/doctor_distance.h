/* doctor_distance: how far two PCI devices of one machine are apart, in the terms of nvidia-smi(1) `topo -m`, by where
 * sysfs shows them: /sys/devices/pci0000:16/0000:16:02.0/0000:17:00.0.
 *
 * Pure functions but ta_pci_place_find; any thread.
 */
#ifndef TA_DOCTOR_DISTANCE_H
#define TA_DOCTOR_DISTANCE_H

#include <stdbool.h>
#include <stddef.h>

enum { TA_PCI_PATH_BYTES = 512 };

enum ta_pci_distance {
    TA_PCI_PIX,  /* at most one bridge between them: behind one switch */
    TA_PCI_PXB,  /* several bridges, none of which is the host's */
    TA_PCI_PHB,  /* through the host bridge: traffic goes through the processor */
    TA_PCI_NODE, /* through several host bridges of one NUMA node */
    TA_PCI_SYS,  /* through the link between NUMA nodes */
};

struct ta_pci_place {
    char path[TA_PCI_PATH_BYTES]; /* in sysfs, links resolved */
    int numa_node;                /* -1: not known */
};

/* `link` names the device in sysfs: "/sys/bus/pci/devices/0000:17:00.0", "/sys/class/infiniband/mlx5_0/device". False:
 * there is no PCI device of that name. */
bool ta_pci_place_find(const char *link, struct ta_pci_place *out);

enum ta_pci_distance ta_pci_distance(const struct ta_pci_place *a, const struct ta_pci_place *b);
const char *ta_pci_distance_name(enum ta_pci_distance distance); /* "PIX" */

#endif
