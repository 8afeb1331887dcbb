/* cudnn_fake: what the files of the make-believe cuDNN share: descriptors as stores of attributes, graphs as they are
 * run.
 *
 * As strict as the documentation: types and counts of attributes, nothing but finalised descriptors inside others,
 * nothing changed after it was finalised, shapes that fit, addresses at their alignment on the device. What it
 * computes is computed by plain loops in double. It knows the operations that the house uses, channels last, and
 * proposes, as the real one does, engines of which not all keep what kernels.h promises:
 *
 *     1  NONDETERMINISTIC: its results are a little off      3  wants more workspace than anybody has
 *     2  TENSOR_CORE: float32 factors are rounded to TF32    4  plain       5  plain, in fallback mode only
 *
 * TENSAIR_FAKE_GPU="cudnn=WORD+WORD": nobias, norelu (not fused), nopads (pads that differ), nopool, nonorm, nothing
 * are refused; wide: a float32 gradient of a bfloat16 kernel is taken, which the real one refuses; noisy: engine 1 is
 * the only one; fallback: only in that mode there is anything; old: of another major version; closed: cudnnCreate
 * fails; fails: runs fail; unloadable: only what engine 5 has can be loaded. */
#ifndef TA_FAKE_CUDNN_H
#define TA_FAKE_CUDNN_H

#include <cudnn.h>

#include <map>
#include <memory>
#include <vector>

#include "fake.h"

namespace ta_fake {

struct Descriptor;
using Ref = std::shared_ptr<Descriptor>;

struct Attribute {
    cudnnBackendAttributeType_t type;
    int64_t n;
    std::vector<unsigned char> bytes;
    std::vector<Ref> refs; /* of BACKEND_DESCRIPTOR */
};

struct Descriptor {
    cudnnBackendDescriptorType_t type;
    bool final = false;
    std::map<int, Attribute> attributes;
    int engine = 0;  /* ENGINECFG, ENGINE: its number */
    Ref graph;       /* ENGINECFG, ENGINE: what it runs */

    bool has(int name) const { return attributes.count(name) > 0; }
    template <class T> T get(int name, size_t i = 0) const {
        T value;
        __builtin_memcpy(&value, attributes.at(name).bytes.data() + i * sizeof(T), sizeof(T));
        return value;
    }
    const Descriptor &ref(int name) const { return *attributes.at(name).refs.at(0); }
    std::vector<int64_t> integers(int name) const;
};

/* Four dimensions, n c h w, and what lies there. */
struct Tensor {
    int64_t uid = 0, n = 0, c = 0, h = 0, w = 0;
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    bool hidden = false, by_value = false;

    size_t count() const { return (size_t)(n * c * h * w); }
    size_t bytes() const { return count() * (type == CUDNN_DATA_BFLOAT16 ? 2 : 4); }
    size_t at(int64_t in, int64_t iy, int64_t ix) const { return (size_t)(((in * h + iy) * w + ix) * c); }
};

struct Window {
    int64_t h, w, stride_h, stride_w, top, left;
};

enum Kind { FORWARD, DATA, FILTER, POOL, POOL_BACK, NORM, NORM_BACK };

/* A graph as it is run: roles by their place in `tensors`. */
struct Graph {
    Kind kind;
    Window window{};
    std::vector<Tensor> tensors; /* see run in cudnn_run.cc */
    bool bias = false, relu = false;
};

/* Whether a descriptor may be finalised: its shapes fit, what belongs together is there. */
cudnnStatus_t check(const Descriptor &d);
/* What the operations are together; NOT_SUPPORTED_GRAPH_PATTERN and others. */
cudnnStatus_t understand(const Descriptor &graph, Graph *out);
Tensor tensor_of(const Descriptor &d);
bool told(const char *word);

/* Everything by value: it may run long after the descriptors are gone, and often. */
void run(const Graph &graph, int engine, const std::map<int64_t, void *> &addresses, float epsilon);

} // namespace ta_fake

#endif
