/* rendezvous_files: records as files of a directory that only its owner can enter. A file appears whole, by rename, or
 * not at all; so one that does not fit is damaged, never half written. Names are opened relative to the directory's
 * descriptor, without following links. */
#ifndef TA_RENDEZVOUS_FILES_H
#define TA_RENDEZVOUS_FILES_H

#include <stddef.h>

#include "status.h"

struct ta_rendezvous_files {
    const char *directory; /* for messages; borrowed */
    int fd;                /* of it; -1: not open */
};

/* Makes the directory with mode 0700 when it is missing. Errors: CONFIG (others can enter it; a link), IO. */
ta_status ta_rendezvous_files_open(struct ta_rendezvous_files *files, const char *directory);
void ta_rendezvous_files_close(struct ta_rendezvous_files *files);

/* Takes the place of the file of that name. Errors: IO. */
ta_status ta_rendezvous_files_write(const struct ta_rendezvous_files *files, const char *name, const void *bytes,
                                    size_t n);
/* Up to `room` bytes; a longer file is read so far. Errors: AGAIN (not there), FORMAT (not a plain file of ours that is
 * closed to others), IO. */
ta_status ta_rendezvous_files_read(const struct ta_rendezvous_files *files, const char *name, void *bytes, size_t room,
                                   size_t *n);
void ta_rendezvous_files_remove(const struct ta_rendezvous_files *files, const char *name);

#endif
