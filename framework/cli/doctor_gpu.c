/* doctor_gpu: NVIDIA devices as the kernel shows them, and what lets RDMA devices reach their memory. What
 * CUDA says of them follows (doctor_cuda.c): a program without it must be able to say what it lacks. */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "doctor.h"
#include "doctor_distance.h"
#include "kernels.h"

/* The value of a line "Model: NVIDIA H200" in a driver's information file. */
static void model_of(const char *bus, char *out, size_t bytes) {
    char path[300], line[256];
    snprintf(path, sizeof path, "/proc/driver/nvidia/gpus/%s/information", bus);
    FILE *file = fopen(path, "re");
    snprintf(out, bytes, "a model that the driver does not name");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "Model:", 6) != 0) continue;
        const char *at = line + 6;
        while (isspace((unsigned char)*at)) at++;
        snprintf(out, bytes, "%.*s", (int)strcspn(at, "\n"), at);
    }
    if (file != NULL) fclose(file);
}

/* The RDMA device nearest to it: puts from the memory of a GPU want one behind the same switch. */
static void say_nearest(const struct ta_pci_place *gpu, char *out, size_t bytes) {
    enum ta_pci_distance least = TA_PCI_SYS;
    char nearest[64] = "";
    DIR *dir = opendir("/sys/class/infiniband");
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        char link[320];
        struct ta_pci_place card;
        snprintf(link, sizeof link, "/sys/class/infiniband/%s/device", e->d_name);
        if (e->d_name[0] == '.' || !ta_pci_place_find(link, &card)) continue;
        enum ta_pci_distance distance = ta_pci_distance(gpu, &card);
        if (nearest[0] != '\0' && distance >= least) continue;
        least = distance;
        snprintf(nearest, sizeof nearest, "%.60s", e->d_name);
    }
    if (dir != NULL) closedir(dir);
    if (nearest[0] != '\0') snprintf(out, bytes, ", nearest RDMA device %s: %s", nearest, ta_pci_distance_name(least));
}

/* ", NUMA node 0, cores 0-15, nearest RDMA device mlx5_0: PIX"; as far as the system says. */
static void place_of(const char *bus, char *out, size_t bytes) {
    char link[300], cores[128] = "";
    struct ta_pci_place gpu;
    out[0] = '\0';
    snprintf(link, sizeof link, "/sys/bus/pci/devices/%s", bus);
    if (!ta_pci_place_find(link, &gpu)) return;
    (void)ta_doctor_read(cores, sizeof cores, "%s/local_cpulist", gpu.path);
    int used = gpu.numa_node >= 0 ? snprintf(out, bytes, ", NUMA node %d", gpu.numa_node) : 0;
    if (cores[0] != '\0') used += snprintf(out + used, bytes - (size_t)used, ", cores %s", cores);
    say_nearest(&gpu, out + used, bytes - (size_t)used);
}

static unsigned gpus(struct ta_findings *list) {
    unsigned n = 0;
    DIR *dir = opendir("/proc/driver/nvidia/gpus");
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        char model[128], name[64], place[320];
        if (e->d_name[0] == '.') continue;
        model_of(e->d_name, model, sizeof model);
        snprintf(name, sizeof name, "GPU %.40s", e->d_name);
        place_of(e->d_name, place, sizeof place);
        ta_doctor_say(list, TA_FINDING_OK, name, "%s%s", model, place);
        n++;
    }
    if (dir != NULL) closedir(dir);
    return n;
}

static void driver(const struct ta_doctor *d, unsigned n, struct ta_findings *list) {
    char version[256];
    bool asked = strcmp(d->device, "cuda") == 0;
    bool loaded = ta_doctor_read(version, sizeof version, "/proc/driver/nvidia/version");
    if (!loaded && n == 0) {
        ta_doctor_say(list, asked ? TA_FINDING_WRONG : TA_FINDING_MISSING, "GPUs", "no NVIDIA driver is loaded%s",
                      asked ? ", but device.type asks for cuda" : ": training runs on CPUs");
        ta_doctor_cure(
            list,
            asked ? "device.type: cpu; or, with a card (lspci -d 10de:): modprobe nvidia; in a container: --gpus all"
                  : "with a card (lspci -d 10de:): apt-get install nvidia-driver; in a container: --gpus all");
        return;
    }
    ta_doctor_say(list, TA_FINDING_OK, "driver", "%s", version);
    if (n == 0) {
        ta_doctor_say(list, asked ? TA_FINDING_WRONG : TA_FINDING_MISSING, "GPUs",
                      "the driver is loaded and sees no GPU");
        ta_doctor_cure(list, "nvidia-smi -L; dmesg | grep NVRM");
    } else if (access("/dev/nvidiactl", R_OK | W_OK) != 0) {
        ta_doctor_say(list, asked ? TA_FINDING_WRONG : TA_FINDING_MISSING, "device files",
                      "/dev/nvidiactl cannot be opened");
        ta_doctor_cure(list, "nvidia-modprobe -u -c=0 makes them; in a container: --gpus all");
    } else {
        ta_doctor_say(list, TA_FINDING_OK, "device files", "/dev/nvidiactl can be opened");
    }
}

/* Two ways by which an RDMA device reaches the memory of a GPU: the module of the driver, or dma-buf of the kernel. */
static void direct(const struct ta_doctor *d, unsigned n, struct ta_findings *list) {
    bool module = access("/sys/module/nvidia_peermem", F_OK) == 0 || access("/sys/module/nv_peer_mem", F_OK) == 0;
    bool required = d->transport->gpu_direct != NULL && strcmp(d->transport->gpu_direct, "require") == 0;
    struct utsname kernel = {0};
    int major = 0, minor = 0;
    if (uname(&kernel) == 0) (void)sscanf(kernel.release, "%d.%d", &major, &minor);
    bool dmabuf = major > 5 || (major == 5 && minor >= 12);
    ta_doctor_say(list, module ? TA_FINDING_OK : TA_FINDING_MISSING, "nvidia-peermem", "%s",
                  module ? "loaded" : "not loaded");
    if (!module && n > 0) ta_doctor_cure(list, "modprobe nvidia-peermem (comes with the driver; needs ib_core first)");
    ta_doctor_say(list, dmabuf ? TA_FINDING_OK : TA_FINDING_MISSING, "dma-buf",
                  "kernel %s %s memory of GPUs by dma-buf", kernel.release,
                  dmabuf ? "can register, where the RDMA driver can too," : "cannot register");
    if (!dmabuf) ta_doctor_cure(list, "Linux 5.12 or later; or nvidia-peermem");
    if (!required) return;
    bool works = n > 0 && (module || dmabuf);
    ta_doctor_say(list, works ? TA_FINDING_OK : TA_FINDING_WRONG, "transport.gpu_direct", "require: %s",
                  works    ? "a way is there"
                  : n == 0 ? "there is no GPU"
                           : "neither nvidia-peermem nor dma-buf is there");
    if (!works) ta_doctor_cure(list, "transport.gpu_direct: auto copies through host memory where it must");
}

void ta_doctor_gpu(const struct ta_doctor *d, struct ta_findings *list) {
    unsigned n = gpus(list);
    driver(d, n, list);
    direct(d, n, list);
    ta_doctor_cuda(d, list);
}
