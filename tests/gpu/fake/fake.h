/* fake: what the makers of make-believe libraries (cuDNN, cuBLASLt, NCCL) share: work queued on streams.
 *
 * Nothing that touches device memory may happen in a call: it is queued, with copies of its arguments, and runs when
 * the order asks for it, possibly much later, possibly many times (in graphs). Work runs one piece at a time in a
 * process.
 */
#ifndef TA_FAKE_H
#define TA_FAKE_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#include <functional>
#include <mutex>
#include <string>

namespace ta_fake {

/* What came of a piece of work: it is done; it did something and wants to be called again; it cannot go on before
 * somebody else (another stream, thread or process) did something, and was called in vain. */
enum Outcome { DONE, MORE, STUCK };

/* Queues work on a stream, or makes a node of the graph that is being captured. `what` names it in messages and must
 * live on. The second is for work that depends on others (collectives): `begin` is called once per run (a launch of a
 * graph is one), what it returns until it says DONE. It must not block: others wait for the same lock. */
cudaError_t queue(cudaStream_t stream, const char *what, std::function<void()> work);
cudaError_t queue_steps(cudaStream_t stream, const char *what, std::function<std::function<Outcome()>()> begin);

/* Device memory of this process, allocated or attached, that holds all of [base, base + bytes). */
bool is_device(const void *base, size_t bytes);
/* The device this thread has chosen; the sticky error of its device, or cudaSuccess. */
int device();
cudaError_t sticky();
/* Keeps the value for cudaGetLastError. */
cudaError_t keep(cudaError_t error);
/* The lock that all calls hold while they look at what they share. */
std::recursive_mutex &lock();
/* A number from the order's generator, below n; 0 unless the order is random. */
uint64_t draw(uint64_t n);
/* The value of a key in TENSAIR_FAKE_GPU, or `otherwise`; a key alone has the value "1". */
std::string option(const char *key, const char *otherwise);
/* Says what is wrong in the caller and ends the process: for misuse that CUDA itself would leave undefined. */
[[noreturn]] void misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

} // namespace ta_fake

#endif
