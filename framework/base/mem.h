/* mem: memory that is zeroed at birth, counted, and can be made to run out on purpose.
 *
 * All calls are thread-safe. Sizes are checked for overflow before they are used. Every allocation is zeroed and
 * aligned to 64 bytes (a cache line, an AVX-512 vector).
 */
#ifndef TA_MEM_H
#define TA_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* `count` elements of `size` bytes, zeroed, 64-byte aligned; *out is NULL on failure. A count of 0 gives a valid
 * pointer that may be freed. Errors: NO_MEMORY, with `what` and the bytes asked for in the message. */
ta_status ta_mem_alloc(size_t count, size_t size, const char *what, void **out);

/* Makes *block (NULL, or from ta_mem_alloc) hold `bytes`: what was there stays, as far as it fits; what is new is
 * zeroed. On failure *block is as before. Errors: NO_MEMORY. */
ta_status ta_mem_resize(void **block, size_t bytes, const char *what);

/* Frees what ta_mem_alloc gave; NULL is fine. */
void ta_mem_free(void *block);

/* A copy of a string, to be freed by ta_mem_free. */
ta_status ta_mem_strdup(const char *text, const char *what, char **out);

/* Gives freed memory back to the system: after a set-up or a checkpoint that needed more than what goes on does. Some
 * milliseconds. */
void ta_mem_trim(void);

/* Bytes now held by ta_mem_alloc in this process. */
size_t ta_mem_held_bytes(void);

/* For tests: the n-th allocation of this thread from now on fails (1 = the next one); 0 switches it off. */
void ta_mem_fail_nth(unsigned n);

/* NULL-safe convenience for typed pointers: `TA_NEW(&p, n, "what")` allocates n elements of *p. */
#define TA_NEW(pointer, count, what) ta_mem_alloc((count), sizeof **(pointer), (what), (void **)(pointer))

#endif
