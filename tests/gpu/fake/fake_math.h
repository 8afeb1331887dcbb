/* fake_math: what CUDA C++ knows without being told: atomics, loads and stores by name, arithmetic, bits. Included by
 * fake_device.h. Atomics are ones of the CPU: device memory may be shared with other processes. */
#ifndef TA_FAKE_MATH_H
#define TA_FAKE_MATH_H

#include <cuda_runtime.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

namespace ta_fake {

/* Puts `change(old)` in place of what is there; returns what was. */
template <class T, class F> inline T exchange_by(T *address, F change) {
    T old, next;
    __atomic_load(address, &old, __ATOMIC_RELAXED);
    do next = change(old);
    while (!__atomic_compare_exchange(address, &old, &next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}

template <class To, class From> inline To bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "bits are moved as they are");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

template <class T> struct type_of {
    using type = T;
};

} // namespace ta_fake

#define TA_OTHER(T) typename ta_fake::type_of<T>::type
template <class T> inline T atomicAdd(T *to, TA_OTHER(T) by) {
    return ta_fake::exchange_by(to, [by](T old) { return (T)(old + by); });
}
template <class T> inline T atomicSub(T *to, TA_OTHER(T) by) {
    return ta_fake::exchange_by(to, [by](T old) { return (T)(old - by); });
}
template <class T> inline T atomicMax(T *to, TA_OTHER(T) by) {
    return ta_fake::exchange_by(to, [by](T old) { return old < by ? by : old; });
}
template <class T> inline T atomicMin(T *to, TA_OTHER(T) by) {
    return ta_fake::exchange_by(to, [by](T old) { return by < old ? by : old; });
}
template <class T> inline T atomicOr(T *to, TA_OTHER(T) by) {
    return ta_fake::exchange_by(to, [by](T old) { return (T)(old | by); });
}
template <class T> inline T atomicAnd(T *to, TA_OTHER(T) by) {
    return ta_fake::exchange_by(to, [by](T old) { return (T)(old & by); });
}
template <class T> inline T atomicXor(T *to, TA_OTHER(T) by) {
    return ta_fake::exchange_by(to, [by](T old) { return (T)(old ^ by); });
}
template <class T> inline T atomicExch(T *to, TA_OTHER(T) by) {
    return ta_fake::exchange_by(to, [by](T) { return by; });
}
template <class T> inline T atomicCAS(T *to, TA_OTHER(T) expected, TA_OTHER(T) by) {
    __atomic_compare_exchange(to, &expected, &by, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}
#undef TA_OTHER
inline unsigned atomicInc(unsigned *to, unsigned limit) {
    return ta_fake::exchange_by(to, [limit](unsigned old) { return old >= limit ? 0u : old + 1; });
}
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() {}
inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

template <class T> inline T __ldg(const T *from) { return *from; }
template <class T> inline T __ldcg(const T *from) { return *from; }
template <class T> inline T __ldca(const T *from) { return *from; }
template <class T> inline T __ldcs(const T *from) { return *from; }
template <class T> inline T __ldlu(const T *from) { return *from; }
template <class T> inline T __ldcv(const T *from) { return *const_cast<T const volatile *>(from); }
inline float4 __ldcv(const float4 *from) { return *from; }
inline uint4 __ldcv(const uint4 *from) { return *from; }
template <class T> inline void __stwb(T *to, typename ta_fake::type_of<T>::type value) { *to = value; }
template <class T> inline void __stcg(T *to, typename ta_fake::type_of<T>::type value) { *to = value; }
template <class T> inline void __stcs(T *to, typename ta_fake::type_of<T>::type value) { *to = value; }
template <class T> inline void __stwt(T *to, typename ta_fake::type_of<T>::type value) { *to = value; }

/* Each rounds once: the compiler is told not to contract (CMakeLists.txt). */
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline float rsqrtf(float a) { return 1.0f / sqrtf(a); }
inline double rsqrt(double a) { return 1.0 / sqrt(a); }
inline float __frsqrt_rn(float a) { return (float)(1.0 / sqrt((double)a)); }
inline float __expf(float a) { return expf(a); }
inline float __logf(float a) { return logf(a); }
inline float __log2f(float a) { return log2f(a); }
inline float __powf(float a, float b) { return powf(a, b); }
inline float __sinf(float a) { return sinf(a); }
inline float __cosf(float a) { return cosf(a); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float a) { return a > 0.0f ? (a < 1.0f ? a : 1.0f) : 0.0f; }

inline int __float_as_int(float a) { return ta_fake::bits<int>(a); }
inline unsigned __float_as_uint(float a) { return ta_fake::bits<unsigned>(a); }
inline float __int_as_float(int a) { return ta_fake::bits<float>(a); }
inline float __uint_as_float(unsigned a) { return ta_fake::bits<float>(a); }
inline long long __double_as_longlong(double a) { return ta_fake::bits<long long>(a); }
inline double __longlong_as_double(long long a) { return ta_fake::bits<double>(a); }
inline int __float2int_rn(float a) { return (int)lrintf(a); }
inline int __float2int_rz(float a) { return (int)a; }
inline unsigned __float2uint_rn(float a) { return (unsigned)llrintf(a); }
inline unsigned __float2uint_rz(float a) { return (unsigned)a; }
inline float __int2float_rn(int a) { return (float)a; }
inline float __uint2float_rn(unsigned a) { return (float)a; }
inline float __ull2float_rn(unsigned long long a) { return (float)a; }
inline float __double2float_rn(double a) { return (float)a; }

inline int __popc(unsigned a) { return __builtin_popcount(a); }
inline int __popcll(unsigned long long a) { return __builtin_popcountll(a); }
inline int __clz(int a) { return a == 0 ? 32 : __builtin_clz((unsigned)a); }
inline int __clzll(long long a) { return a == 0 ? 64 : __builtin_clzll((unsigned long long)a); }
inline int __ffs(int a) { return __builtin_ffs(a); }
inline int __ffsll(long long a) { return __builtin_ffsll(a); }
inline unsigned __brev(unsigned a) {
    unsigned out = 0;
    for (int i = 0; i < 32; i++) out |= (a >> i & 1u) << (31 - i);
    return out;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
inline int __mulhi(int a, int b) { return (int)((int64_t)a * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    uint64_t low = (a & 0xffffffffu) * (b & 0xffffffffu);
    uint64_t one = (a >> 32) * (b & 0xffffffffu) + (low >> 32);
    uint64_t two = (a & 0xffffffffu) * (b >> 32) + (one & 0xffffffffu);
    return (a >> 32) * (b >> 32) + (one >> 32) + (two >> 32);
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by) {
    return (unsigned)(((uint64_t)high << 32 | low) << (by & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by) {
    return (unsigned)(((uint64_t)high << 32 | low) >> (by & 31));
}
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned which) {
    uint64_t both = (uint64_t)b << 32 | a;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) out |= (unsigned)(both >> (which >> 4 * i & 7) * 8 & 0xff) << 8 * i;
    return out;
}

#define TA_MIN_MAX(T)                                   \
    inline T min(T a, T b) { return b < a ? b : a; }    \
    inline T max(T a, T b) { return a < b ? b : a; }
TA_MIN_MAX(int)
TA_MIN_MAX(unsigned)
TA_MIN_MAX(long)
TA_MIN_MAX(unsigned long)
TA_MIN_MAX(long long)
TA_MIN_MAX(unsigned long long)
#undef TA_MIN_MAX
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

#endif
