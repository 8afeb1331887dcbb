/* state: what the files of the make-believe device share. Everything here is looked at under lock(). */
#ifndef TA_FAKE_STATE_H
#define TA_FAKE_STATE_H

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "fake.h"
#include "fake_gpu.h"

namespace ta_fake {

enum Order { LAZY, EAGER, RANDOM };

/* A moment of a stream: done when all that was queued before it has run. */
struct Mark {
    bool done = false;
    cudaStream_t stream = nullptr;
    uint64_t ns = 0;
};
using Moment = std::shared_ptr<Mark>;

struct Item {
    const char *what;
    bool counts; /* as a launch */
    std::function<std::function<Outcome()>()> begin;
    std::function<Outcome()> steps; /* of what has begun */
    std::vector<Moment> after;
    Moment mark;
};

struct Capture;

struct Device {
    size_t used = 0;
    cudaError_t lost = cudaSuccess;
    uint64_t launches = 0;
    cudaStream_t legacy = nullptr;
    unsigned flags = 0;
    bool active = false; /* somebody uses it */
    int holder = -1;     /* the name that keeps others off */
};

enum Kind { DEVICE_BLOCK, ATTACHED_BLOCK, PINNED_BLOCK, REGISTERED_BLOCK };

struct Block {
    Kind kind;
    size_t bytes, mapped;  /* as asked for; of the mapping */
    char *mapping;         /* with the guards around what may be touched */
    int fd;                /* of the memory file, or -1 */
    size_t offset;         /* of the block in the file */
    int device;
    unsigned attached;     /* how many times it was opened */
    std::string handle;    /* by which it was */
};

struct State {
    bool ready = false, forked = false;
    std::string options;
    Order order = LAZY;
    uint64_t random = 1;
    std::vector<Device> devices;
    size_t memory = 0;
    int driver = 0;
    uint64_t lose_after = 0, oom_after = 0;
    int lose_device = -1;
    bool strict = false;
    unsigned open = 0; /* pieces of work that run: device memory may be touched */
    uint64_t polls = 0;
    std::map<uintptr_t, Block> blocks;
    std::map<const void *, size_t> shared_limits;
    std::vector<cudaStream_t> streams;
    std::set<cudaEvent_t> events;
    std::set<cudaGraph_t> graphs;
    std::set<cudaGraphExec_t> execs;
    std::set<Capture *> captures;
    std::set<uint64_t> peers; /* from << 32 | to, enabled */
    ta_fake_gpu_counts counts = {};
};

State &state();

/* The error of a call that cannot even begin: no driver, a process that was forked, a device that is lost. Reads the
 * options when it is first called. */
cudaError_t enter();
cudaError_t find_devices(); /* the same, but for a loss */
Device &now(); /* the device this thread has chosen */
cudaError_t activate(); /* this process begins to use it */
void lose(int device, cudaError_t error);

/* streams.cc */
cudaError_t push(cudaStream_t stream, Item item);
cudaError_t run_until(const Moment &mark); /* the device's sticky error, if it was lost */
cudaError_t run_all(int device);           /* all streams of a device */
cudaError_t check_stream(cudaStream_t stream); /* one of ours, of a device that lives */
Moment last(cudaStream_t stream);
void poll(cudaStream_t stream);
void drop_queues();
void begin_access(); /* device memory may be touched until end_access; they nest */
void end_access();

/* memory.cc */
const std::pair<const uintptr_t, Block> *block_of(const void *address);
void set_access(bool open);
void drop_blocks();

/* graphs.cc */
bool capturing(cudaStream_t stream);
cudaError_t capture_item(cudaStream_t stream, Item &item);
cudaError_t capture_record(cudaStream_t stream, cudaEvent_t event);
cudaError_t capture_wait(cudaStream_t stream, cudaEvent_t event);
/* A call that must not happen while this thread captures: spoils the capture. `stream`: that it waits for, or NULL. */
cudaError_t forbidden(cudaStream_t stream);
cudaError_t unsafe(); /* one that CUDA calls potentially unsafe: forbidden unless the capture is relaxed */
void drop_graphs();

} // namespace ta_fake

struct CUstream_st {
    int device = 0;
    bool blocking = false; /* with the legacy default stream */
    std::deque<ta_fake::Item> items;
    ta_fake::Moment tail; /* of what was queued last */
    ta_fake::Capture *capture = nullptr;
    std::vector<size_t> nodes; /* of the capture, that the next one follows */
};

struct CUevent_st {
    int device = 0;
    bool timing = true;
    ta_fake::Moment mark;
    ta_fake::Capture *capture = nullptr; /* recorded in it, after nodes */
    std::vector<size_t> nodes;
};

#endif
