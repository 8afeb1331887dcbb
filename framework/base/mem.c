/* mem: aligned blocks with a size header, a count of bytes held, and a trip wire for tests. */
#include "mem.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Blocks of HUGE_FROM bytes and more lie on 2 MiB pages where the kernel has them: rows at random places of a large
 * table cost a walk through the page tables each otherwise. Smaller ones would waste what the rounding takes. */
enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20, HUGE_FROM = 16 << 20 };

static atomic_size_t held_bytes;            /* statistics only: no behaviour depends on it */
static _Thread_local unsigned fail_countdown; /* 0: off */

static char *take(size_t whole) {
    void *block = NULL;
    if (posix_memalign(&block, whole < HUGE_FROM ? ALIGNMENT : HUGE_PAGE, whole) != 0) return NULL;
    if (whole >= HUGE_FROM) (void)madvise(block, whole / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    return block;
}

static int tripped(void) { return fail_countdown > 0 && --fail_countdown == 0; }

ta_status ta_mem_alloc(size_t count, size_t size, const char *what, void **out) {
    *out = NULL;
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX - 2 * ALIGNMENT)
        return ta_fail(TA_NO_MEMORY, "%s: %zu elements of %zu bytes are more than a process can hold", what, count,
                       size);
    /* One line in front keeps the size, so that freeing can be counted. */
    size_t whole = ALIGNMENT + (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    char *block = tripped() ? NULL : take(whole);
    if (block == NULL) return ta_fail(TA_NO_MEMORY, "%s: out of memory (%zu bytes asked for)", what, bytes);
    memset(block, 0, whole);
    memcpy(block, &bytes, sizeof bytes);
    atomic_fetch_add_explicit(&held_bytes, bytes, memory_order_relaxed);
    *out = block + ALIGNMENT;
    return TA_OK;
}

static size_t size_of(const void *block) {
    size_t bytes;
    memcpy(&bytes, (const char *)block - ALIGNMENT, sizeof bytes);
    return bytes;
}

ta_status ta_mem_resize(void **block, size_t bytes, const char *what) {
    void *fresh;
    ta_status status = ta_mem_alloc(bytes, 1, what, &fresh);
    if (status != TA_OK) return status;
    if (*block != NULL) {
        size_t held = size_of(*block);
        memcpy(fresh, *block, held < bytes ? held : bytes);
        ta_mem_free(*block);
    }
    *block = fresh;
    return TA_OK;
}

void ta_mem_free(void *block) {
    if (block == NULL) return;
    atomic_fetch_sub_explicit(&held_bytes, size_of(block), memory_order_relaxed);
    free((char *)block - ALIGNMENT);
}

ta_status ta_mem_strdup(const char *text, const char *what, char **out) {
    size_t bytes = strlen(text) + 1;
    ta_status status = ta_mem_alloc(bytes, 1, what, (void **)out);
    if (status == TA_OK) memcpy(*out, text, bytes);
    return status;
}

size_t ta_mem_held_bytes(void) { return atomic_load_explicit(&held_bytes, memory_order_relaxed); }

void ta_mem_fail_nth(unsigned n) { fail_countdown = n; }

void ta_mem_trim(void) { (void)malloc_trim(0); }
