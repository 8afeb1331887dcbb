/* How far PCI devices are apart, on paths as a DGX and a two-socket server show them. */
#include <stdio.h>

#include "doctor_distance.h"
#include "expect.h"

#define SWITCH "/sys/devices/pci0000:16/0000:16:02.0/0000:17:00.0"

static const struct {
    struct ta_pci_place a, b;
    enum ta_pci_distance distance;
} cases[] = {
    {{SWITCH "/0000:18:00.0/0000:19:00.0", 0}, {SWITCH "/0000:18:01.0/0000:1a:00.0", 0}, TA_PCI_PIX}, /* one switch */
    {{SWITCH, 0}, {"/sys/devices/pci0000:16/0000:16:02.0/0000:17:00.1", 0}, TA_PCI_PIX}, /* functions of a card */
    {{SWITCH "/0000:18:00.0/0000:19:00.0/0000:1b:00.0", 0}, {SWITCH "/0000:18:01.0/0000:1a:00.0", 0}, TA_PCI_PXB},
    {{SWITCH, 0}, {"/sys/devices/pci0000:16/0000:16:03.0/0000:20:00.0", 0}, TA_PCI_PHB},
    {{"/sys/devices/pci0000:16/0000:16:0a.0", 0}, {"/sys/devices/pci0000:16/0000:16:0b.0", 0}, TA_PCI_PHB},
    {{SWITCH, 0}, {"/sys/devices/pci0000:4a/0000:4a:02.0/0000:4b:00.0", 0}, TA_PCI_NODE},
    {{SWITCH, 0}, {"/sys/devices/pci0000:c9/0000:c9:02.0/0000:ca:00.0", 1}, TA_PCI_SYS},
    {{SWITCH, -1}, {"/sys/devices/pci0000:c9/0000:c9:02.0/0000:ca:00.0", -1}, TA_PCI_SYS},   /* nothing is known */
    {{SWITCH, 0}, {"/sys/devices/pci0000:160/0000:16:02.0/0000:17:00.0", 0}, TA_PCI_NODE}, /* a name that only begins so */
};

static void distances(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum ta_pci_distance there = ta_pci_distance(&cases[i].a, &cases[i].b),
                             back = ta_pci_distance(&cases[i].b, &cases[i].a);
        if (there != cases[i].distance || back != there)
            fail_msg("%s to %s: %s, and back %s; expected %s", cases[i].a.path, cases[i].b.path,
                     ta_pci_distance_name(there), ta_pci_distance_name(back), ta_pci_distance_name(cases[i].distance));
    }
}

/* Whatever this machine has: a device is at itself, and what is no PCI device is not found. */
static void places(void **state) {
    (void)state;
    struct ta_pci_place place;
    assert_false(ta_pci_place_find("/sys/bus/pci/devices/there-is-none", &place));
    assert_false(ta_pci_place_find("/sys/class/net/lo", &place));
    assert_false(ta_pci_place_find("/etc/passwd", &place));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(distances), cmocka_unit_test(places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
