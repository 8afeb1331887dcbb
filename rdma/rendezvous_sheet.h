/* rendezvous_sheet: all keys of one sender in one file: n replicas on one machine need n files, not n * (n - 1).
 *
 *     slot of receiver 0 | slot of receiver 1 | ... | records, end to end
 *
 * A slot says where the receiver's record (rendezvous_record.h) lies, and has a checksum of its own: who looks for one
 * key reads one slot and one record, however many there are. The file is replaced as a whole when a key in it changes.
 *
 * Threads: one at a time.
 */
#ifndef TA_RENDEZVOUS_SHEET_H
#define TA_RENDEZVOUS_SHEET_H

#include <stdbool.h>

#include "rendezvous_files.h"
#include "rendezvous_record.h"

struct ta_rendezvous_entry {
    unsigned char *bytes; /* of a record; NULL: no key for this receiver */
    uint32_t n;
};

struct ta_rendezvous_sheet {
    unsigned sender, n_ranks;
    struct ta_rendezvous_entry *entry; /* [n_ranks] */
    bool changed;                      /* since it was written */
    bool written;
};

/* Errors: NO_MEMORY. */
ta_status ta_rendezvous_sheet_open(struct ta_rendezvous_sheet *sheet, unsigned sender, unsigned n_ranks);
void ta_rendezvous_sheet_close(struct ta_rendezvous_sheet *sheet); /* zeroed: fine */

/* Takes the place of the record for that receiver. Errors: NO_MEMORY. */
ta_status ta_rendezvous_sheet_set(struct ta_rendezvous_sheet *sheet, unsigned receiver, const unsigned char *bytes,
                                  size_t n);
/* Into its file, if it has changed. Errors: IO, NO_MEMORY. */
ta_status ta_rendezvous_sheet_write(struct ta_rendezvous_sheet *sheet, const struct ta_rendezvous_files *files);

/* The record of `sender` for `receiver`, as it was set. Errors: AGAIN (no file, or nothing for us in it), CONFIG (of
 * fewer replicas: both numbers), FORMAT (damaged, not a plain file of ours), IO. */
ta_status ta_rendezvous_sheet_find(const struct ta_rendezvous_files *files, unsigned sender, unsigned receiver,
                                   unsigned char bytes[TA_RENDEZVOUS_RECORD_BYTES], size_t *n);

enum { TA_RENDEZVOUS_SHEET_NAME_BYTES = 32 };
void ta_rendezvous_sheet_name(unsigned sender, char name[TA_RENDEZVOUS_SHEET_NAME_BYTES]);

#endif
