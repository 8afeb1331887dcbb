/* graphs: streams that are recorded instead of run, and what becomes of the recording. */
#include <algorithm>

#include "state.h"

namespace ta_fake {

struct Node {
    const char *what;
    bool counts;
    std::function<std::function<Outcome()>()> begin;
    std::vector<size_t> after; /* numbers of nodes, all smaller */
};

struct Capture {
    CUgraph_st *graph;
    cudaStreamCaptureMode mode;
    cudaStream_t origin;
    std::set<cudaStream_t> streams;
    bool spoiled;
    uint64_t number;
};

} // namespace ta_fake

struct CUgraph_st {
    std::vector<ta_fake::Node> nodes;
};

struct CUgraphExec_st {
    std::shared_ptr<std::vector<ta_fake::Node>> nodes;
    int device;
};

namespace ta_fake {

static thread_local unsigned captures_of_thread = 0; /* that are not relaxed */

bool capturing(cudaStream_t stream) { return stream->capture != nullptr; }

cudaError_t capture_item(cudaStream_t stream, Item &item) {
    Capture *c = stream->capture;
    if (c->spoiled) return cudaErrorStreamCaptureInvalidated;
    c->graph->nodes.push_back(Node{item.what, item.counts, item.begin, stream->nodes});
    stream->nodes.assign(1, c->graph->nodes.size() - 1);
    return cudaSuccess;
}

cudaError_t capture_record(cudaStream_t stream, cudaEvent_t event) {
    if (stream->capture->spoiled) return cudaErrorStreamCaptureInvalidated;
    event->capture = stream->capture;
    event->nodes = stream->nodes;
    return cudaSuccess;
}

cudaError_t capture_wait(cudaStream_t stream, cudaEvent_t event) {
    Capture *c = event->capture;
    if (c == nullptr || state().captures.count(c) == 0) { /* a moment outside of what is recorded */
        if (stream->capture == nullptr) return cudaErrorInvalidValue;
        stream->capture->spoiled = true;
        return cudaErrorStreamCaptureIsolation;
    }
    if (c->spoiled) return cudaErrorStreamCaptureInvalidated;
    if (stream->capture != nullptr && stream->capture != c) {
        stream->capture->spoiled = c->spoiled = true;
        return cudaErrorStreamCaptureMerge;
    }
    if (stream->capture == nullptr) stream->nodes.clear();
    stream->capture = c;
    c->streams.insert(stream);
    std::vector<size_t> &after = stream->nodes;
    for (size_t node : event->nodes)
        if (std::find(after.begin(), after.end(), node) == after.end()) after.push_back(node);
    return cudaSuccess;
}

cudaError_t forbidden(cudaStream_t stream) {
    bool any = false;
    for (Capture *c : state().captures) {
        bool concerned = stream == nullptr ? captures_of_thread > 0 || c->origin->device == device()
                                           : stream->capture == c;
        if (!concerned) continue;
        c->spoiled = any = true;
    }
    return any ? keep(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

cudaError_t unsafe() {
    bool any = false;
    for (Capture *c : state().captures) {
        if (c->mode == cudaStreamCaptureModeRelaxed) continue;
        if (c->mode == cudaStreamCaptureModeThreadLocal && captures_of_thread == 0) continue;
        c->spoiled = any = true;
    }
    return any ? keep(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

static void end_capture(Capture *c) {
    for (cudaStream_t stream : c->streams) {
        stream->capture = nullptr;
        stream->nodes.clear();
    }
    for (cudaEvent_t event : state().events)
        if (event->capture == c) event->capture = nullptr, event->mark = nullptr;
    if (c->mode != cudaStreamCaptureModeRelaxed && captures_of_thread > 0) captures_of_thread--;
    state().captures.erase(c);
    delete c;
}

/* Whether all that was recorded comes before the end of the stream where recording began. */
static bool joined(const Capture &c) {
    std::vector<bool> seen(c.graph->nodes.size(), false);
    std::vector<size_t> open = c.origin->nodes;
    while (!open.empty()) {
        size_t node = open.back();
        open.pop_back();
        if (seen[node]) continue;
        seen[node] = true;
        for (size_t before : c.graph->nodes[node].after) open.push_back(before);
    }
    return std::all_of(seen.begin(), seen.end(), [](bool yes) { return yes; });
}

/* A run of a graph: its nodes one after another in any order that their edges allow; the last first where the order
 * is lazy, so that a missing edge shows. */
struct Run {
    std::shared_ptr<std::vector<Node>> nodes;
    std::vector<std::function<Outcome()>> steps;
    std::vector<char> begun, done;
    size_t left;

    bool may(size_t i) const {
        if (done[i]) return false;
        for (size_t before : (*nodes)[i].after)
            if (!done[before]) return false;
        return true;
    }
    Outcome step() {
        std::vector<size_t> open;
        for (size_t i = nodes->size(); i-- > 0;)
            if (may(i)) open.push_back(i);
        while (!open.empty()) {
            size_t at = state().order == EAGER ? open.size() - 1 : draw(open.size()), i = open[at];
            if (!begun[i]) {
                state().counts.launches += (*nodes)[i].counts;
                steps[i] = (*nodes)[i].begin();
                begun[i] = 1;
            }
            Outcome outcome = steps[i] ? steps[i]() : DONE;
            if (outcome == DONE) done[i] = 1, left--;
            if (outcome != STUCK) return left == 0 ? DONE : MORE;
            open.erase(open.begin() + (ptrdiff_t)at);
        }
        return left == 0 ? DONE : STUCK;
    }
};

void drop_graphs() {
    State &s = state();
    while (!s.captures.empty()) {
        CUgraph_st *graph = (*s.captures.begin())->graph;
        end_capture(*s.captures.begin());
        delete graph;
    }
    for (cudaGraph_t graph : s.graphs) delete graph;
    for (cudaGraphExec_t exec : s.execs) delete exec;
    s.graphs.clear();
    s.execs.clear();
    captures_of_thread = 0;
}

} // namespace ta_fake

using namespace ta_fake;
using Hold = std::lock_guard<std::recursive_mutex>;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
    Hold hold(lock());
    cudaError_t error = check_stream(stream);
    if (error != cudaSuccess) return error;
    if (capturing(stream)) return keep(cudaErrorIllegalState);
    if (!option("no_graphs", "").empty()) return keep(cudaErrorNotSupported);
    static uint64_t numbers = 0;
    Capture *c = new Capture{new CUgraph_st, mode, stream, {stream}, false, ++numbers};
    stream->capture = c;
    stream->nodes.clear();
    state().captures.insert(c);
    if (mode != cudaStreamCaptureModeRelaxed) captures_of_thread++;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out) {
    Hold hold(lock());
    *out = nullptr;
    cudaError_t error = check_stream(stream);
    if (error != cudaSuccess) return error;
    Capture *c = stream->capture;
    if (c == nullptr) return keep(cudaErrorIllegalState);
    if (c->origin != stream) error = cudaErrorStreamCaptureUnmatched;
    else if (c->spoiled) error = cudaErrorStreamCaptureInvalidated;
    else if (!joined(*c)) error = cudaErrorStreamCaptureUnjoined;
    CUgraph_st *graph = c->graph;
    end_capture(c);
    if (error == cudaSuccess) {
        state().graphs.insert(graph);
        *out = graph;
    } else {
        delete graph;
    }
    return keep(error);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *out) {
    Hold hold(lock());
    cudaError_t error = check_stream(stream);
    if (error != cudaSuccess) return error;
    Capture *c = stream->capture;
    *out = c == nullptr ? cudaStreamCaptureStatusNone
           : c->spoiled ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus *status, unsigned long long *number,
                                     cudaGraph_t *graph, const cudaGraphNode_t **after, const cudaGraphEdgeData **edges,
                                     size_t *n) {
    cudaError_t error = cudaStreamIsCapturing(stream, status);
    if (error != cudaSuccess || *status != cudaStreamCaptureStatusActive) return error;
    Hold hold(lock());
    if (number != nullptr) *number = stream->capture->number;
    if (graph != nullptr) *graph = stream->capture->graph;
    if (after != nullptr || edges != nullptr || n != nullptr) return keep(cudaErrorNotSupported);
    return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode *mode) {
    static thread_local cudaStreamCaptureMode kept = cudaStreamCaptureModeGlobal;
    std::swap(kept, *mode);
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error != cudaSuccess) return error;
    if (state().graphs.count(graph) == 0) return keep(cudaErrorInvalidValue);
    *out = new CUgraphExec_st{std::make_shared<std::vector<Node>>(graph->nodes), device()};
    state().execs.insert(*out);
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags) {
    return cudaGraphInstantiate(out, graph, flags);
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphExecUpdateResultInfo *info) {
    Hold hold(lock());
    cudaError_t error = enter();
    if (error != cudaSuccess) return error;
    if (state().execs.count(exec) == 0 || state().graphs.count(graph) == 0) return keep(cudaErrorInvalidValue);
    *info = cudaGraphExecUpdateResultInfo();
    const std::vector<Node> &old = *exec->nodes, &fresh = graph->nodes;
    bool same = old.size() == fresh.size();
    for (size_t i = 0; same && i < old.size(); i++)
        same = old[i].after == fresh[i].after && std::string(old[i].what) == fresh[i].what;
    info->result = same ? cudaGraphExecUpdateSuccess : cudaGraphExecUpdateErrorTopologyChanged;
    if (!same) return keep(cudaErrorGraphExecUpdateFailure);
    exec->nodes = std::make_shared<std::vector<Node>>(fresh); /* runs that are queued keep the old ones */
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t stream) {
    Hold hold(lock());
    return check_stream(stream);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    Hold hold(lock());
    cudaError_t error = check_stream(stream);
    if (error != cudaSuccess) return error;
    if (state().execs.count(exec) == 0) return keep(cudaErrorInvalidValue);
    if (capturing(stream)) return keep(cudaErrorStreamCaptureUnsupported);
    auto nodes = exec->nodes;
    auto begin = [nodes]() -> std::function<Outcome()> {
        size_t n = nodes->size();
        auto run = std::make_shared<Run>();
        std::vector<char> none(n, 0);
        *run = Run{nodes, std::vector<std::function<Outcome()>>(n), none, none, n};
        return [run] { return run->step(); };
    };
    return push(stream, Item{"a graph", true, begin, nullptr, {}, nullptr});
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    Hold hold(lock());
    if (state().execs.erase(exec) == 0) return keep(cudaErrorInvalidValue);
    delete exec;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    Hold hold(lock());
    if (state().graphs.erase(graph) == 0) return keep(cudaErrorInvalidValue);
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *n) {
    Hold hold(lock());
    if (state().graphs.count(graph) == 0 || nodes != nullptr) return keep(cudaErrorInvalidValue);
    *n = graph->nodes.size();
    return cudaSuccess;
}
