/* digest: the checksum of a stream's records, computed block by block.
 *
 * It is XXH3 (64 bits, seed 0) of 16 bytes: XXH3 of all of /x, then XXH3 of all of /y, each as a little-endian 64-bit
 * number. /x and /y count as stored: elements row by row, little endian, /y as int32 classes or float32 values (nothing
 * when there are no labels). So the checksum does not depend on chunks, filters, or how the records were blocked.
 * In a file it stands as the root attribute "checksum", 16 hexadecimal digits.
 *
 * Threads: one at a time.
 */
#ifndef TA_DIGEST_H
#define TA_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum { TA_DIGEST_TEXT_BYTES = 17 };

struct ta_digest;

ta_status ta_digest_create(struct ta_digest **out); /* NO_MEMORY */
void ta_digest_destroy(struct ta_digest *digest);   /* NULL is fine */

/* The next bytes of /x and of /y, in the order of the records. */
void ta_digest_x(struct ta_digest *digest, const void *bytes, size_t count);
void ta_digest_y(struct ta_digest *digest, const void *bytes, size_t count);

/* The checksum of what was given so far. Never 0, which stands for "unknown": a true 0 becomes 1. */
uint64_t ta_digest_value(const struct ta_digest *digest);

/* "0123456789abcdef", and back. Errors: FORMAT (not 16 hexadecimal digits). */
void ta_digest_text(uint64_t value, char text[TA_DIGEST_TEXT_BYTES]);
ta_status ta_digest_parse(const char *text, uint64_t *value);

#endif
