/* nccl: NCCL, made believe, as far as it is called without blocking: communicators of threads and of processes of this
 * machine, over a piece of shared memory that is named by the unique id.
 *
 * Members write a chunk each, wait for all, sum, and say that they have read. The order of summation turns with the
 * chunk, as NCCL's is not ours either. A member that is gone shows as ncclRemoteError, or, with nccl=hang among the
 * options, not at all: then what is queued hangs until it is aborted. Two members on one device are refused, as by
 * NCCL. What is called is launched later, when its state has been asked for twice: a mark put at once would come before
 * it. */
#include <fcntl.h>
#include <nccl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "fake.h"

namespace {

using namespace ta_fake;
using Hold = std::lock_guard<std::recursive_mutex>;

constexpr unsigned MOST = 16;
constexpr size_t CHUNK = 4096;
enum : uint32_t { ABSENT, JOINED, GONE };
enum : int { FIRST_OP = 64 };

struct Member {
    std::atomic<uint32_t> state;
    uint32_t pid, device;
    std::atomic<uint64_t> written, read; /* chunks, of all operations */
};

struct Shared {
    Member member[MOST];
    float chunk[MOST][CHUNK];
};

struct Piece {
    const float *in;
    float *out;
    size_t floats;
    float scale;
    int root; /* -1: a sum */
};

struct Launch {
    std::vector<Piece> pieces;
    cudaStream_t stream;
    unsigned asked = 0;
};

struct Team {
    Shared *shared = nullptr;
    std::string name;
    unsigned rank = 0, n = 0;
    uint64_t chunks = 0; /* of all operations so far */
    unsigned looks = 0;
    bool hangs = false;
    bool aborted = false;
    ncclResult_t error = ncclSuccess;
    ~Team() {
        if (shared != nullptr) munmap(shared, sizeof *shared);
    }
};

thread_local std::string last_error;
thread_local unsigned depth;
thread_local ncclComm_t grouped;
thread_local std::vector<Launch> group;

ncclResult_t said(ncclResult_t result, const char *why) {
    last_error = why;
    return result;
}

bool alive(uint32_t pid) {
    char path[64], state = 'X';
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == nullptr) return false;
    bool read = fscanf(file, "%*d (%*[^)]) %c", &state) == 1;
    fclose(file);
    return read && state != 'Z' && state != 'X';
}

/* Looks after the others while it waits for them. */
void look(Team &team) {
    bool closely = team.looks++ % 64 == 0;
    for (unsigned r = 0; r < team.n && team.error == ncclSuccess && !team.hangs; r++) {
        Member &m = team.shared->member[r];
        uint32_t state = m.state.load();
        if (state == GONE || (closely && state == JOINED && !alive(m.pid)))
            team.error = said(ncclRemoteError, "a member has gone");
    }
}

bool all(Team &team, std::atomic<uint64_t> Member::*what, uint64_t count) {
    for (unsigned r = 0; r < team.n; r++)
        if ((team.shared->member[r].*what).load() < count) return false;
    return true;
}

/* One operation: chunk after chunk of piece after piece. */
struct Run {
    std::shared_ptr<Team> team;
    std::vector<Piece> pieces;
    size_t piece = 0, at = 0;
    bool wrote = false;

    Outcome stuck() { return look(*team), STUCK; }

    void write(const Piece &p, size_t floats) {
        float *slot = team->shared->chunk[team->rank];
        for (size_t i = 0; i < floats && (p.root < 0 || p.root == (int)team->rank); i++)
            slot[i] = p.root < 0 ? p.in[at + i] * p.scale : p.in[at + i];
        team->shared->member[team->rank].written.store(team->chunks + 1);
    }

    void read(const Piece &p, size_t floats) {
        for (size_t i = 0; i < floats; i++) {
            unsigned first = p.root >= 0 ? (unsigned)p.root : (unsigned)(team->chunks % team->n);
            float sum = team->shared->chunk[first][i];
            for (unsigned k = 1; k < team->n && p.root < 0; k++) sum += team->shared->chunk[(first + k) % team->n][i];
            p.out[at + i] = sum;
        }
        team->shared->member[team->rank].read.store(++team->chunks);
    }

    Outcome step() {
        while (piece < pieces.size() && at >= pieces[piece].floats) piece++, at = 0;
        if (team->aborted || piece == pieces.size()) return DONE;
        const Piece &p = pieces[piece];
        size_t floats = p.floats - at < CHUNK ? p.floats - at : CHUNK;
        if (!wrote) {
            if (!all(*team, &Member::read, team->chunks)) return stuck();
            write(p, floats);
            wrote = true;
            return MORE;
        }
        if (!all(*team, &Member::written, team->chunks + 1)) return stuck();
        read(p, floats);
        wrote = false;
        at += floats;
        return MORE;
    }
};

} // namespace

struct ncclComm {
    std::shared_ptr<Team> team;
    std::vector<Launch> launches;
    std::vector<float> scales;
    bool joined = false;
};

namespace {

/* All are there, each on a device of its own. */
ncclResult_t join(ncclComm_t comm) {
    Team &team = *comm->team;
    for (unsigned r = 0; r < team.n; r++)
        if (team.shared->member[r].state.load() == ABSENT) return ncclInProgress;
    shm_unlink(team.name.c_str());
    for (unsigned a = 0; a < team.n; a++)
        for (unsigned b = 0; b < a; b++)
            if (team.shared->member[a].device == team.shared->member[b].device)
                return team.error = said(ncclInvalidUsage, "Duplicate GPU detected");
    comm->joined = true;
    return ncclSuccess;
}

void launch(ncclComm_t comm, const Launch &what) {
    std::shared_ptr<Team> team = comm->team;
    std::vector<Piece> pieces = what.pieces;
    cudaError_t error = queue_steps(what.stream, "a collective", [team, pieces] {
        auto run = std::make_shared<Run>(Run{team, pieces});
        return [run] { return run->step(); };
    });
    if (error != cudaSuccess) team->error = said(ncclUnhandledCudaError, cudaGetErrorString(error));
}

ncclResult_t take(ncclComm_t comm, const Piece &piece, cudaStream_t stream) {
    Hold hold(lock());
    if (!comm->joined || !comm->launches.empty()) return said(ncclInvalidUsage, "the communicator is in progress");
    if (comm->team->error != ncclSuccess) return comm->team->error;
    if (!is_device(piece.in, piece.floats * sizeof(float)) || !is_device(piece.out, piece.floats * sizeof(float)))
        misuse("NCCL is given memory that is not the device's");
    if (depth > 0 && grouped != nullptr && grouped != comm)
        return said(ncclInvalidUsage, "a group of several communicators");
    if (depth > 0) {
        if (group.empty()) group.push_back(Launch{{}, stream});
        group.back().pieces.push_back(piece);
        grouped = comm;
        return ncclSuccess;
    }
    comm->launches.push_back(Launch{{piece}, stream});
    return ncclInProgress;
}

} // namespace

ncclResult_t ncclGetVersion(int *version) { return *version = NCCL_VERSION_CODE, ncclSuccess; }

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    memset(id, 0, sizeof *id);
    return getrandom(id->internal, 32, 0) == 32 ? ncclSuccess : ncclSystemError;
}

const char *ncclGetErrorString(ncclResult_t result) {
    static const char *const names[] = {"no error",
                                        "unhandled cuda error",
                                        "unhandled system error",
                                        "internal error",
                                        "invalid argument",
                                        "invalid usage",
                                        "remote process exited or there was a network error",
                                        "NCCL operation in progress"};
    return (unsigned)result < sizeof names / sizeof names[0] ? names[result] : "unknown result code";
}

const char *ncclGetLastError(ncclComm_t) { return last_error.c_str(); }

ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int n, ncclUniqueId id, int rank, ncclConfig_t *config) {
    Hold hold(lock());
    *out = nullptr;
    if (config == nullptr || config->blocking != 0) misuse("a communicator that blocks");
    if (n < 1 || n > (int)MOST || rank < 0 || rank >= n) return said(ncclInvalidArgument, "rank or size");
    if (sticky() != cudaSuccess) return said(ncclUnhandledCudaError, "the device is lost");
    auto team = std::make_shared<Team>();
    team->name = "/tensair-fake-nccl-";
    for (int i = 0; i < 16; i++) {
        char two[3];
        snprintf(two, sizeof two, "%02x", (unsigned char)id.internal[i]);
        team->name += two;
    }
    int fd = shm_open(team->name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(Shared)) != 0) return said(ncclSystemError, "no shared memory");
    void *base = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (base == MAP_FAILED) return said(ncclSystemError, "no shared memory");
    team->shared = (Shared *)base;
    team->rank = (unsigned)rank;
    team->n = (unsigned)n;
    team->hangs = option("nccl", "") == "hang";
    Member &self = team->shared->member[rank];
    self.pid = (uint32_t)getpid();
    self.device = (uint32_t)device();
    self.state.store(JOINED);
    *out = new ncclComm{team, {}, {}, false};
    return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *out) {
    Hold hold(lock());
    Team &team = *comm->team;
    if (sticky() != cudaSuccess) team.error = ncclUnhandledCudaError;
    if (team.error == ncclSuccess) look(team);
    *out = team.error;
    if (team.error != ncclSuccess) return ncclSuccess;
    if (!comm->joined) {
        *out = join(comm);
        return ncclSuccess;
    }
    if (comm->launches.empty()) return ncclSuccess;
    *out = ncclInProgress;
    if (++comm->launches[0].asked < 2) return ncclSuccess;
    launch(comm, comm->launches[0]);
    comm->launches.erase(comm->launches.begin());
    *out = team.error;
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
    Hold hold(lock());
    comm->team->aborted = true;
    comm->team->shared->member[comm->team->rank].state.store(GONE);
    if (!comm->joined) shm_unlink(comm->team->name.c_str());
    delete comm;
    return ncclSuccess;
}

ncclResult_t ncclRedOpCreatePreMulSum(ncclRedOp_t *op, void *scalar, ncclDataType_t type, ncclScalarResidence_t where,
                                      ncclComm_t comm) {
    Hold hold(lock());
    if (type != ncclFloat32 || where != ncclScalarHostImmediate)
        return said(ncclInvalidArgument, "only floats of the host");
    float by;
    memcpy(&by, scalar, sizeof by);
    comm->scales.push_back(by);
    *op = (ncclRedOp_t)(FIRST_OP + (int)comm->scales.size() - 1);
    return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
    depth++;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
    Hold hold(lock());
    if (depth == 0) return said(ncclInvalidUsage, "no group was begun");
    if (--depth > 0 || grouped == nullptr) return ncclSuccess;
    ncclComm_t comm = grouped;
    for (Launch &l : group) comm->launches.push_back(l);
    group.clear();
    grouped = nullptr;
    return ncclInProgress;
}

ncclResult_t ncclAllReduce(const void *in, void *out, size_t n, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,
                           cudaStream_t stream) {
    size_t which = (size_t)op - FIRST_OP;
    if (type != ncclFloat32 || (op != ncclSum && which >= comm->scales.size()))
        return said(ncclInvalidArgument, "only sums of floats");
    return take(comm, Piece{(const float *)in, (float *)out, n, op == ncclSum ? 1 : comm->scales[which], -1}, stream);
}

ncclResult_t ncclBroadcast(const void *in, void *out, size_t n, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
    if (type != ncclFloat32 || root < 0 || root >= (int)comm->team->n) return said(ncclInvalidArgument, "root or type");
    return take(comm, Piece{(const float *)in, (float *)out, n, 1, root}, stream);
}
