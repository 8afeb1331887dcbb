/* rendezvous_files: files of a directory that only its owner can enter. A file appears whole, by rename, or
 * not at all; so one that does not fit is damaged, never half written. Names are opened relative to the directory's
 * descriptor, without following links. */
#ifndef TA_RENDEZVOUS_FILES_H
#define TA_RENDEZVOUS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

struct ta_rendezvous_files {
    const char *directory; /* for messages; borrowed */
    int fd;                /* of it; -1: not open */
    int64_t changed_ns;    /* the directory's own time of that, when it was asked last */
};

struct ta_rendezvous_file {
    int fd;
    uint64_t bytes;
};

/* Makes the directory with mode 0700 when it is missing. Errors: CONFIG (others can enter it; a link), IO. */
ta_status ta_rendezvous_files_open(struct ta_rendezvous_files *files, const char *directory);
void ta_rendezvous_files_close(struct ta_rendezvous_files *files);

/* Takes the place of the file of that name. Errors: IO. */
ta_status ta_rendezvous_files_write(const struct ta_rendezvous_files *files, const char *name, const void *bytes,
                                    size_t n);
/* Opens it for reading; the caller closes the descriptor. Errors: AGAIN (not there), FORMAT (not a plain file of ours
 * that is closed to others), IO. */
ta_status ta_rendezvous_files_find(const struct ta_rendezvous_files *files, const char *name,
                                   struct ta_rendezvous_file *out);
void ta_rendezvous_files_remove(const struct ta_rendezvous_files *files, const char *name);

/* Whether a file may have come, changed or gone since this was asked before: one call of the system for all of them. */
bool ta_rendezvous_files_stir(struct ta_rendezvous_files *files);

#endif
