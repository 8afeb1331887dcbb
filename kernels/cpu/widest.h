/* widest: on x86-64 gcc makes a function marked WIDEST for AVX-512, AVX2 and the baseline, and the loader takes the
 * best.
 *
 * For plain loops that compilers turn into vectors. Not under sanitizers, whose start-up comes after the loader's
 * choice.
 */
#ifndef TA_CPU_WIDEST_H
#define TA_CPU_WIDEST_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__) &&                \
    !defined(__SANITIZE_ADDRESS__)
#define WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDEST
#endif

#endif
