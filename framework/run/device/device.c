/* device: which GPU, and whether one at all; then opens it, and the kernels on it. */
#include "device.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libraries.h"
#include "mem.h"
#include "pin.h"
#include "plugin.h"

static const char *const computes[] = {"float32", "tf32", "bfloat16"};

const char *ta_device_compute_name(int compute) {
    return compute >= 0 && compute <= TA_COMPUTE_BFLOAT16 ? computes[compute] : "unknown";
}

static const char *type_of(const struct ta_device_section *section) {
    return section->type != NULL ? section->type : "auto";
}

static bool is(const char *text, const char *name) { return text != NULL && strcmp(text, name) == 0; }

/* -1: not given. */
static ta_status number_of(const struct ta_device_section *section, long *out) {
    char *end;
    *out = -1;
    if (section->number == NULL) return TA_OK;
    *out = strtol(section->number, &end, 10);
    if (section->number[0] != '\0' && *end == '\0' && *out >= 0 && *out <= 1024) return TA_OK;
    return ta_fail(TA_CONFIG, "device.number: '%s' is not the number of a GPU, from 0", section->number);
}

static const char *needs_cpu(const struct ta_run_config *run) {
    if (run->run.record != NULL) return "run.record";
    if (is(run->exchange.spec.type, "dasgd")) return "exchange.type: dasgd";
    return NULL;
}

ta_status ta_device_check(const struct ta_run_config *run) {
    const struct ta_device_section *section = &run->device;
    const char *type = type_of(section);
    long number;
    if (!is(type, "auto") && !is(type, "cpu") && !is(type, "cuda"))
        return ta_fail(TA_CONFIG, "device.type: '%s' does not exist; use one of: auto, cpu, cuda", type);
    if (is(type, "cpu") && section->compute != TA_COMPUTE_FLOAT32)
        return ta_fail(TA_CONFIG, "device.compute: %s is for GPUs; the CPU computes in float32: remove it, or say "
                       "device.type: cuda", ta_device_compute_name(section->compute));
    if (is(type, "cuda") && needs_cpu(run) != NULL)
        return ta_fail(TA_CONFIG, "device.type: cuda, but %s is done by the CPU alone: say device.type: cpu, or "
                       "auto, or leave that out", needs_cpu(run));
    ta_status status = number_of(section, &number);
    if (status == TA_OK && number >= 0 && section->replicas_per_gpu > 0)
        status = ta_fail(TA_CONFIG, "device.number: %ld puts all replicas on one GPU, device.replicas_per_gpu: %u "
                         "deals them: give either", number, section->replicas_per_gpu);
    return status;
}

ta_status ta_device_is_built(const struct ta_device_section *section) {
    char path[4096 + 64];
    const void *table;
    if (!is(type_of(section), "cuda") || ta_plugin_path("cuda", path, sizeof path)[0] != '\0') return TA_OK;
    return ta_plugin_table("cuda", "ta_gpu_cuda", &table); /* there is nothing to load: it says what is missing */
}

ta_status ta_device_number(const struct ta_device_section *section, const struct ta_device_place *place, unsigned count,
                           bool bound, unsigned *out) {
    long number;
    unsigned here = place->local_n > 0 ? place->local_n : 1;
    *out = 0;
    ta_status status = number_of(section, &number);
    if (status != TA_OK || number >= 0) {
        *out = number >= 0 ? (unsigned)number : 0;
        return status;
    }
    unsigned per_gpu = section->replicas_per_gpu;
    if (per_gpu == 0) per_gpu = (here + count - 1) / count;
    /* Where each launcher may have been shown GPUs of its own, only its own replicas are known to share them. */
    bool alone = place->own_n == 0 || place->own_n >= here;
    unsigned counted = bound && !alone ? place->own_n : here;
    if (section->replicas_per_gpu > 0 && counted > (uint64_t)count * per_gpu)
        return ta_fail(TA_CONFIG, "%u replicas on this machine, but its %u GPU%s take%s %llu with "
                       "device.replicas_per_gpu: %u: raise it to %u, or start fewer",
                       counted, count, count == 1 ? "" : "s", count == 1 ? "s" : "", (unsigned long long)count * per_gpu, per_gpu,
                       (counted + count - 1) / count);
    *out = place->local_rank / per_gpu % count;
    return TA_OK;
}

/* The driver's library is looked for before the plugin is loaded: that brings hundreds of megabytes of libraries, for
 * nothing on a machine without a driver. Where TENSAIR_PLUGINS names a plugin, it is asked. */
static bool has_driver(void) {
    if (getenv("TENSAIR_PLUGINS") != NULL) return true;
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (driver != NULL) dlclose(driver);
    return driver != NULL;
}

/* How many GPUs there are to take one of; 0: the CPU it is, for the reason in d->why. */
static ta_status look(struct ta_device *d, const struct ta_run_config *run) {
    bool automatic = is(type_of(&run->device), "auto");
    const char *needs = needs_cpu(run);
    char path[4096 + 64];
    d->count = 0;
    if (is(type_of(&run->device), "cpu")) return TA_OK;
    if (automatic && needs != NULL) {
        snprintf(d->why, sizeof d->why, "%s needs it", needs);
        return TA_OK;
    }
    if (automatic && ta_plugin_path("cuda", path, sizeof path)[0] == '\0') {
        snprintf(d->why, sizeof d->why, "this program came without its part for GPUs");
        return TA_OK;
    }
    if (automatic && !has_driver()) {
        snprintf(d->why, sizeof d->why, "there is no NVIDIA driver (libcuda.so.1)");
        return TA_OK;
    }
    ta_status status = ta_gpu_find(&d->gpu_ops);
    if (status == TA_OK) status = ta_kernels_find("cuda", &d->kernel_ops);
    if (status == TA_OK && run->model.type != TA_MODEL_LAYERS && d->kernel_ops->skipgram == NULL)
        status = ta_fail(TA_NOT_BUILT, "the program's part for GPUs has no kernels for word models: use "
                         "device.type: cpu");
    if (status == TA_OK) status = d->gpu_ops->count(&d->count);
    if (status == TA_OK && d->count > 0) return TA_OK;
    d->gpu_ops = NULL;
    d->count = 0;
    if (status == TA_OK && !automatic)
        return ta_fail(TA_DEVICE, "device.type: cuda, but the driver shows no GPU: look at nvidia-smi -L and at "
                       "CUDA_VISIBLE_DEVICES (%s); in a container: --gpus all; or use device.type: cpu",
                       getenv("CUDA_VISIBLE_DEVICES") != NULL ? getenv("CUDA_VISIBLE_DEVICES") : "not set");
    if (!automatic) return status;
    snprintf(d->why, sizeof d->why, "%s", status == TA_OK ? "the driver shows no GPU" : ta_why());
    return TA_OK;
}

static ta_status open_gpu(struct ta_device *d, const struct ta_run_config *run, const struct ta_device_place *place) {
    bool bound = getenv("CUDA_VISIBLE_DEVICES") != NULL;
    ta_status status = ta_device_number(&run->device, place, d->count, bound, &d->number);
    if (status == TA_OK && d->number < d->count) status = d->gpu_ops->describe(d->number, &d->info);
    if (status != TA_OK) return status;
    const struct ta_pin_ask near = {
        .threads = run->device.threads, .local_rank = place->local_rank, .local_size = place->local_n};
    ta_pin_near(d->info.pci, &near); /* before it is opened: threads of the driver follow */
    return d->gpu_ops->open(d->number, &d->gpu);
}

ta_status ta_device_open(const struct ta_run_config *run, const struct ta_device_place *place, struct ta_device *out) {
    *out = (struct ta_device){0};
    ta_status status = ta_device_check(run);
    if (status == TA_OK) status = look(out, run);
    if (status == TA_OK) status = out->count > 0 ? open_gpu(out, run, place) : ta_kernels_find("cpu", &out->kernel_ops);
    if (status == TA_OK && out->count == 0 && run->device.compute != TA_COMPUTE_FLOAT32)
        status = ta_fail(TA_CONFIG, "device.compute: %s needs a GPU, but the CPU computes (%s): remove it, or say "
                         "device.type: cuda",
                         ta_device_compute_name(run->device.compute), out->why);
    struct ta_kernels_config config = {.threads = run->device.threads,
                                       .compute = (enum ta_compute)run->device.compute,
                                       .gpu_ops = out->gpu_ops,
                                       .gpu = out->gpu};
    if (status == TA_OK) status = out->kernel_ops->open(&config, &out->kernels);
    if (status != TA_OK) ta_device_close(out);
    return status;
}

void ta_device_close(struct ta_device *device) {
    if (device->kernels != NULL) device->kernel_ops->close(device->kernels);
    if (device->gpu != NULL) device->gpu_ops->close(device->gpu);
    device->kernels = NULL;
    device->gpu = NULL;
}

static void version(int number, char out[16]) { snprintf(out, 16, "%d.%d", number / 1000, number % 1000 / 10); }

void ta_device_describe(const struct ta_device *device, const struct ta_device_section *section, char *out,
                        size_t bytes) {
    const struct ta_gpu_info *i = &device->info;
    char driver[16], runtime[16];
    if (device->gpu == NULL) {
        snprintf(out, bytes, "CPU, float32");
        return;
    }
    struct ta_libraries libraries;
    ta_libraries_find(&libraries, false);
    version(i->driver, driver);
    version(i->runtime, runtime);
    snprintf(out, bytes, "GPU %u of %u, %s (%s, %.1f GiB), driver for CUDA %s, CUDA %s, cuDNN %s, cuBLASLt %s, "
             "%s", device->number,
             device->count, i->name, i->pci, (double)i->bytes / 1073741824, driver, runtime,
             libraries.cudnn[0] != '\0' ? libraries.cudnn : "unknown",
             libraries.cublaslt[0] != '\0' ? libraries.cublaslt : "unknown",
             ta_device_compute_name(section->compute));
}
