/* state: options, what a process shares, errors that stick. */
#include "state.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

namespace ta_fake {

static thread_local cudaError_t last_error = cudaSuccess;
static thread_local int chosen = 0;
static State *made;

std::recursive_mutex &lock() {
    static std::recursive_mutex *mutex = new std::recursive_mutex; /* outlives all others */
    return *mutex;
}

State &state() {
    if (made == nullptr) made = new State;
    return *made;
}

int device() { return chosen; }

Device &now() { return state().devices[(size_t)chosen]; }

void misuse(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("make-believe device: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

cudaError_t keep(cudaError_t error) {
    if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
    return error;
}

std::string option(const char *key, const char *otherwise) {
    const std::string &all = state().options;
    size_t from = 0;
    while (from < all.size()) {
        size_t to = all.find(',', from);
        if (to == std::string::npos) to = all.size();
        std::string one = all.substr(from, to - from);
        size_t equal = one.find('=');
        if (one.substr(0, equal) == key) return equal == std::string::npos ? "1" : one.substr(equal + 1);
        from = to + 1;
    }
    return otherwise;
}

static uint64_t number(const char *key, const char *otherwise) {
    std::string text = option(key, otherwise);
    char *end = nullptr;
    uint64_t value = strtoull(text.c_str(), &end, 10);
    if (end == text.c_str()) misuse("TENSAIR_FAKE_GPU: %s is '%s', which is no number", key, text.c_str());
    if (*end == 'K') value <<= 10, end++;
    else if (*end == 'M') value <<= 20, end++;
    else if (*end == 'G') value <<= 30, end++;
    if (*end != 0) misuse("TENSAIR_FAKE_GPU: %s is '%s': a number may end with K, M or G", key, text.c_str());
    return value;
}

static void check_keys(const std::string &all) {
    static const char *const known[] = {"order",     "devices",     "memory",    "driver",    "no_driver", "lose_after",
                                        "lose_device", "oom_after", "exclusive", "no_ipc",    "no_peer",   "no_dmabuf",
                                        "no_rdma",   "unordered",   "strict",    "cublaslt",  "cudnn",     "nccl",
                                        "no_graphs"};
    for (size_t from = 0; from < all.size();) {
        size_t to = std::min(all.find(',', from), all.size());
        std::string key = all.substr(from, std::min(all.find('=', from), to) - from);
        bool found = false;
        for (const char *name : known) found = found || key == name;
        if (!found) misuse("TENSAIR_FAKE_GPU has no '%s'; see fake_gpu.h", key.c_str());
        from = to + 1;
    }
}

static void read_options(const char *options) {
    State &s = state();
    s.options = options != nullptr ? options : "";
    check_keys(s.options);
    std::string order = option("order", "");
    const char *drawn = getenv("TENSAIR_FAKE_GPU_ORDER");
    if (drawn != nullptr && (order.empty() || order.rfind("random:", 0) == 0)) order = drawn;
    if (order.empty()) order = "lazy";
    if (order == "lazy") s.order = LAZY;
    else if (order == "eager") s.order = EAGER;
    else if (order.rfind("random:", 0) == 0) {
        s.order = RANDOM;
        s.random = strtoull(order.c_str() + 7, nullptr, 10) * 0x9e3779b97f4a7c15u | 1;
    } else misuse("TENSAIR_FAKE_GPU: order=%s is none of lazy, eager, random:SEED", order.c_str());
    s.devices.assign(number("devices", "1"), Device());
    s.memory = number("memory", "1G");
    std::string built = std::to_string(CUDART_VERSION);
    s.driver = (int)number("driver", built.c_str());
    s.lose_after = number("lose_after", "0");
    s.lose_device = option("lose_device", "").empty() ? -1 : (int)number("lose_device", "0");
    s.oom_after = option("oom_after", "").empty() ? UINT64_MAX : number("oom_after", "0");
    s.strict = number("strict", "1") != 0;
    s.ready = true;
}

uint64_t draw(uint64_t n) {
    State &s = state();
    if (s.order != RANDOM || n == 0) return 0;
    s.random ^= s.random << 13;
    s.random ^= s.random >> 7;
    s.random ^= s.random << 17;
    return s.random * 0x2545f4914f6cdd1du % n;
}

static void in_child(void) {
    if (made != nullptr && made->ready) made->forked = true;
}

cudaError_t find_devices() {
    State &s = state();
    if (s.forked) return keep(cudaErrorInitializationError);
    if (!s.ready) {
        static bool watched = (pthread_atfork(nullptr, nullptr, in_child), true);
        (void)watched;
        read_options(getenv("TENSAIR_FAKE_GPU"));
    }
    if (!option("no_driver", "").empty()) return keep(cudaErrorInsufficientDriver);
    /* Within a major version an older driver does. */
    if (s.driver / 1000 < CUDART_VERSION / 1000) return keep(cudaErrorInsufficientDriver);
    if (s.devices.empty()) return keep(cudaErrorNoDevice);
    if ((size_t)chosen >= s.devices.size()) chosen = 0;
    return cudaSuccess;
}

cudaError_t enter() {
    cudaError_t error = find_devices();
    return error == cudaSuccess ? keep(now().lost) : error;
}

cudaError_t sticky() {
    std::lock_guard<std::recursive_mutex> hold(lock());
    return enter();
}

/* A device that serves one process is held by a name that only one can bind, until the process ends. */
cudaError_t activate() {
    Device &d = now();
    std::string name = option("exclusive", "");
    if (!d.active && !name.empty()) {
        sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        int written = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "make-believe GPU %s %d",
                               name.c_str(), chosen);
        int holder = d.holder = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        socklen_t bytes = (socklen_t)(offsetof(sockaddr_un, sun_path) + 1 + (size_t)written);
        if (holder < 0 || bind(holder, reinterpret_cast<sockaddr *>(&address), bytes) != 0) {
            if (holder >= 0) close(holder);
            d.holder = -1;
            return keep(cudaErrorDevicesUnavailable);
        }
    }
    d.active = true;
    return cudaSuccess;
}

void lose(int device, cudaError_t error) { state().devices[(size_t)device].lost = error; }

} // namespace ta_fake

using namespace ta_fake;

void ta_fake_gpu_reset(const char *options) {
    std::lock_guard<std::recursive_mutex> hold(lock());
    drop_graphs();
    drop_queues();
    drop_blocks();
    for (Device &d : state().devices)
        if (d.holder >= 0) close(d.holder);
    *made = State();
    last_error = cudaSuccess;
    chosen = 0;
    if (options == nullptr) return;
    state().ready = true; /* the handlers of fork are set by the first call */
    enter();
    last_error = cudaSuccess;
    read_options(options);
}

struct ta_fake_gpu_counts ta_fake_gpu_count(void) {
    std::lock_guard<std::recursive_mutex> hold(lock());
    State &s = state();
    ta_fake_gpu_counts counts = s.counts;
    for (const Device &d : s.devices) counts.bytes += d.used;
    counts.blocks = s.blocks.size();
    for (cudaStream_t stream : s.streams) {
        bool legacy = false;
        for (const Device &d : s.devices) legacy = legacy || d.legacy == stream;
        counts.streams += !legacy;
        counts.queued += stream->items.size();
    }
    counts.events = s.events.size();
    counts.graphs = s.graphs.size() + s.execs.size();
    return counts;
}

/* Devices. */

cudaError_t cudaGetLastError(void) {
    cudaError_t error = last_error;
    std::lock_guard<std::recursive_mutex> hold(lock());
    const State &s = state();
    bool found = s.ready && (size_t)chosen < s.devices.size();
    last_error = found ? now().lost : cudaSuccess; /* what stuck, stays */
    return error;
}

cudaError_t cudaPeekAtLastError(void) { return last_error; }

cudaError_t cudaSetDevice(int number) {
    std::lock_guard<std::recursive_mutex> hold(lock());
    cudaError_t error = find_devices();
    if (error != cudaSuccess) return error;
    if (number < 0 || (size_t)number >= state().devices.size()) return keep(cudaErrorInvalidDevice);
    chosen = number;
    return now().lost != cudaSuccess ? keep(now().lost) : activate();
}

cudaError_t cudaGetDevice(int *number) {
    std::lock_guard<std::recursive_mutex> hold(lock());
    cudaError_t error = enter();
    *number = chosen;
    return error;
}
