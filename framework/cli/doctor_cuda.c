/* doctor_cuda: what the program's part for GPUs finds when it is loaded: versions, GPUs, and what two processes can do
 * with each other's GPU memory, tried. Runs in the process of its section, so a broken driver costs that one alone; its
 * one helper is started before anything of CUDA is. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor.h"
#include "libraries.h"
#include "mem.h"
#include "plugin.h"

enum { SHARED = 1 << 20, MOST_GPUS = 64, FIRST = 0x5A, SECOND = 0xC3 };

/* --- another process, that is handed GPU memory of this one --- */

struct helper {
    pid_t pid;      /* 0: there is none */
    int ask, reply; /* handle goes out, a sentence comes back: "": it worked */
};

static bool write_all(int fd, const void *data, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(fd, (const char *)data + done, bytes - done);
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

static bool read_all(int fd, void *data, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = read(fd, (char *)data + done, bytes - done);
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

static ta_status copy_now(const struct ta_gpu_ops *ops, struct ta_gpu *gpu, void *to, const void *from) {
    uint64_t ticket;
    ta_status status = ops->copy(gpu, TA_GPU_COPY, to, from, SHARED);
    if (status == TA_OK) status = ops->mark(gpu, TA_GPU_COPY, &ticket);
    return status == TA_OK ? ops->wait(gpu, TA_GPU_COPY, ticket) : status;
}

static ta_status expect(const unsigned char *bytes, int value, const char *who) {
    for (size_t i = 0; i < SHARED; i++)
        if (bytes[i] != value)
            return ta_fail(TA_DEVICE, "%s found other bytes than were written, from byte %zu of 1 MiB on", who, i);
    return TA_OK;
}

/* In the helper: reads what the other wrote, writes something else over it. */
static ta_status meet(unsigned number, const struct ta_gpu_handle *handle) {
    const struct ta_gpu_ops *ops;
    struct ta_gpu *gpu = NULL;
    void *theirs = NULL;
    unsigned char *bytes = NULL;
    ta_status status = TA_NEW(&bytes, SHARED, "a test of shared GPU memory");
    if (status == TA_OK) status = ta_gpu_find(&ops);
    if (status == TA_OK) status = ops->open(number, &gpu);
    if (status == TA_OK) status = ops->attach(gpu, handle, &theirs);
    if (status == TA_OK) status = copy_now(ops, gpu, bytes, theirs);
    if (status == TA_OK) status = expect(bytes, FIRST, "the second process");
    if (status == TA_OK) {
        memset(bytes, SECOND, SHARED);
        status = copy_now(ops, gpu, theirs, bytes);
    }
    if (theirs != NULL) ops->detach(gpu, theirs);
    ta_mem_free(bytes);
    return status; /* the GPU goes with the process */
}

static void helper_main(int asked, int reply) {
    struct {
        unsigned number;
        struct ta_gpu_handle handle;
    } said;
    char why[256] = "";
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!read_all(asked, &said, sizeof said)) _exit(0);
    if (meet(said.number, &said.handle) != TA_OK) snprintf(why, sizeof why, "%s", ta_why());
    (void)write_all(reply, why, sizeof why);
    _exit(0);
}

static void start(struct helper *h) {
    int out[2], back[2];
    *h = (struct helper){.ask = -1, .reply = -1};
    if (pipe(out) != 0) return;
    if (pipe(back) != 0) {
        close(out[0]);
        close(out[1]);
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(out[1]);
        close(back[0]);
        helper_main(out[0], back[1]);
    }
    close(out[0]);
    close(back[1]);
    *h = (struct helper){.pid = pid > 0 ? pid : 0, .ask = out[1], .reply = back[0]};
}

static void end(struct helper *h) {
    if (h->ask >= 0) close(h->ask);
    if (h->reply >= 0) close(h->reply);
    if (h->pid > 0) (void)waitpid(h->pid, NULL, 0);
    h->pid = 0;
}

/* 1 MiB of GPU memory goes to the helper and comes back changed. */
static ta_status share_with(const struct ta_gpu_ops *ops, struct ta_gpu *gpu, const struct helper *h) {
    struct {
        unsigned number;
        struct ta_gpu_handle handle;
    } said = {.number = ops->number(gpu)};
    unsigned char *bytes = NULL;
    void *ours = NULL;
    char why[256] = "";
    if (h->pid == 0) return ta_fail(TA_FAILED, "there was no second process to try it with");
    ta_status status = TA_NEW(&bytes, SHARED, "a test of shared GPU memory");
    if (status == TA_OK) status = ops->alloc(gpu, SHARED, "a test of shared GPU memory", &ours);
    if (status == TA_OK) {
        memset(bytes, FIRST, SHARED);
        status = copy_now(ops, gpu, ours, bytes);
    }
    if (status == TA_OK) status = ops->share(gpu, ours, SHARED, &said.handle);
    if (status == TA_OK) {
        bool answered = write_all(h->ask, &said, sizeof said) && read_all(h->reply, why, sizeof why);
        if (!answered) status = ta_fail(TA_DEVICE, "the second process ended without a word");
        else if (why[0] != '\0') status = ta_fail(TA_DEVICE, "%s", why);
    }
    if (status == TA_OK) status = copy_now(ops, gpu, bytes, ours);
    if (status == TA_OK) status = expect(bytes, SECOND, "this process");
    if (ours != NULL) ops->free(gpu, ours);
    ta_mem_free(bytes);
    return status;
}

/* --- what is said --- */

static void say_version(struct ta_findings *list, const char *name, const char *version, const char *cure) {
    bool there = version[0] != '\0';
    ta_doctor_say(list, there ? TA_FINDING_OK : TA_FINDING_MISSING, name, "%s", there ? version : "not found");
    if (!there) ta_doctor_cure(list, "%s", cure);
}

static void say_gpu(unsigned number, const struct ta_gpu_info *i, struct ta_findings *list) {
    char name[32], memory[32];
    snprintf(name, sizeof name, "CUDA %u", number);
    ta_doctor_say(list, i->exclusive ? TA_FINDING_NOTE : TA_FINDING_OK, name,
                  "%s at %s, %s, compute capability %d.%d, %u multiprocessors%s", i->name, i->pci,
                  ta_doctor_bytes(i->bytes, memory), i->major, i->minor, i->multiprocessors,
                  i->exclusive ? ", for one process at a time" : "");
    if (i->exclusive) ta_doctor_cure(list, "several replicas on it need nvidia-smi -c DEFAULT, or MPS");
}

static void say_direct(unsigned number, const struct ta_gpu_info *i, struct ta_findings *list) {
    char name[48];
    snprintf(name, sizeof name, "CUDA %u GPUDirect", number);
    ta_doctor_say(list, i->rdma || i->dmabuf ? TA_FINDING_OK : TA_FINDING_MISSING, name,
                  "%s by RDMA devices, %s as dma-buf; what they wrote %s",
                  i->rdma ? "can be reached" : "is not reached",
                  i->dmabuf ? "can be exported" : "cannot be exported",
                  i->ordered ? "is in order for kernels that start later" : "is flushed before it is read");
    if (!i->rdma && !i->dmabuf) ta_doctor_cure(list, "puts between nodes go through the CPU's memory here");
}

static void say_peers(const struct ta_gpu_ops *ops, unsigned n, struct ta_findings *list) {
    char text[400] = "";
    size_t used = 0;
    unsigned off = 0;
    for (unsigned from = 0; from < n && used + 24 < sizeof text; from++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%u:", from > 0 ? "; " : "", from);
        for (unsigned to = 0; to < n && used + 8 < sizeof text; to++) {
            bool reaches = false;
            if (to == from || ops->reaches(from, to, &reaches) != TA_OK) reaches = to == from;
            off += !reaches;
            used += (size_t)snprintf(text + used, sizeof text - used, " %s", to == from ? "." : reaches ? "+" : "-");
        }
    }
    ta_doctor_say(list, off == 0 ? TA_FINDING_OK : TA_FINDING_NOTE, "peer access", "%s (+: reaches it directly)", text);
    if (off > 0) ta_doctor_cure(list, "nvidia-smi topo -p2p r says why; puts go through the CPU's memory there");
}

static void say_ipc(const struct ta_gpu_ops *ops, const struct helper *h, struct ta_findings *list) {
    struct ta_gpu *gpu = NULL;
    struct ta_gpu_info info;
    char memory[2][32];
    ta_status status = ops->open(0, &gpu);
    if (status != TA_OK) {
        ta_doctor_say(list, TA_FINDING_WRONG, "opening", "%s", ta_why());
        return;
    }
    status = share_with(ops, gpu, h);
    ta_doctor_say(list, status == TA_OK ? TA_FINDING_OK : TA_FINDING_NOTE, "IPC",
                  status == TA_OK ? "%s1 MiB went from one process to another and back" : "off: %s",
                  status == TA_OK ? "" : ta_why());
    if (status != TA_OK)
        ta_doctor_cure(list, "in a container: --ipc=host, one PID namespace; without it puts go through the "
                             "CPU's memory");
    if (ops->describe(0, &info) == TA_OK && info.free > 0)
        ta_doctor_say(list, TA_FINDING_OK, "CUDA 0 memory", "%s of %s free", ta_doctor_bytes(info.free, memory[0]),
                      ta_doctor_bytes(info.bytes, memory[1]));
    ops->close(gpu);
}

static void say_gpus(const struct ta_gpu_ops *ops, unsigned n, struct ta_findings *list) {
    struct ta_libraries libraries;
    struct ta_gpu_info info = {0};
    for (unsigned i = 0; i < n && i < MOST_GPUS; i++) {
        if (ops->describe(i, &info) != TA_OK) {
            ta_doctor_say(list, TA_FINDING_WRONG, "CUDA", "GPU %u: %s", i, ta_why());
            continue;
        }
        if (i == 0)
            ta_doctor_say(list, TA_FINDING_OK, "CUDA", "driver for %d.%d, runtime %d.%d", info.driver / 1000,
                          info.driver % 1000 / 10, info.runtime / 1000, info.runtime % 1000 / 10);
        say_gpu(i, &info, list);
        say_direct(i, &info, list);
    }
    ta_libraries_find(&libraries, true);
    say_version(list, "cuDNN", libraries.cudnn, "apt-get install libcudnn9-cuda-13");
    say_version(list, "cuBLASLt", libraries.cublaslt, "apt-get install libcublas-13-0");
    say_version(list, "NCCL", libraries.nccl, "for exchange.type sync: apt-get install libnccl2; then build again");
    if (n > 1) say_peers(ops, n, list);
}

void ta_doctor_cuda(const struct ta_doctor *d, struct ta_findings *list) {
    const struct ta_gpu_ops *ops;
    struct helper helper;
    char path[4096 + 64];
    unsigned n = 0;
    bool asked = strcmp(d->device, "cuda") == 0, there = ta_plugin_path("cuda", path, sizeof path)[0] != '\0';
    enum ta_finding_state absent = asked ? TA_FINDING_WRONG : TA_FINDING_MISSING;
    if (!there) {
        ta_doctor_say(list, absent, "plugin", "this program came without its part for GPUs (tensair-cuda.so)");
        ta_doctor_cure(list, "install CUDA's toolkit and libcudnn9-dev, then configure and build again");
        return;
    }
    start(&helper);
    ta_status status = ta_gpu_find(&ops);
    ta_doctor_say(list, status == TA_OK ? TA_FINDING_OK : absent, "plugin", "%s", status == TA_OK ? path : ta_why());
    if (status == TA_OK && (status = ops->count(&n)) != TA_OK) ta_doctor_say(list, absent, "CUDA", "%s", ta_why());
    if (status == TA_OK && n == 0) {
        ta_doctor_say(list, absent, "CUDA", "the driver shows no GPU");
        ta_doctor_cure(list, "nvidia-smi -L; CUDA_VISIBLE_DEVICES; in a container: --gpus all");
    }
    if (status == TA_OK && n > 0) {
        say_gpus(ops, n, list);
        if (!d->quick) say_ipc(ops, &helper, list);
    }
    end(&helper);
}
