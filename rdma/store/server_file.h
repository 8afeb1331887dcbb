/* server_file: DIRECTORY/server, by which clients find the server. Text:
 *
 *     tensair store 1
 *     run 0123456789abcdef
 *     port 40123
 *     munge no
 *     secret 64 hexadecimal digits
 *     address 10.0.0.7
 *     address node07
 *     end
 *
 * It is written under a temporary name and renamed, so it is whole or not there; only its owner can read it.
 */
#ifndef TA_STORE_SERVER_FILE_H
#define TA_STORE_SERVER_FILE_H

#include <sys/types.h>
#include <time.h>

#include "session.h"

enum { TA_STORE_ADDRESSES = 16, TA_STORE_ADDRESS_BYTES = 256, TA_STORE_FILE_BYTES = 8192 };

struct ta_store_server_file {
    uint64_t run_id;
    unsigned port;
    bool munge;
    unsigned char secret[TA_STORE_SECRET_BYTES];
    unsigned n_addresses;
    char address[TA_STORE_ADDRESSES][TA_STORE_ADDRESS_BYTES];
};

/* Which file it is, to remove no other one later. Its number alone would not do: one that was removed passes it on. */
struct ta_store_file_id {
    dev_t device;
    ino_t inode;
    struct timespec written;
};

/* Errors: FORMAT, with the line. `name` is for the message. */
ta_status ta_store_server_file_parse(const char *name, const char *text, size_t bytes,
                                     struct ta_store_server_file *out);
/* The text; returns its length, below TA_STORE_FILE_BYTES. */
size_t ta_store_server_file_print(const struct ta_store_server_file *file, char text[TA_STORE_FILE_BYTES]);

/* Makes the directory (mode 0700) when it is missing. Errors: CONFIG (others can enter it, not ours, a link), IO. */
ta_status ta_store_directory_check(const char *directory);
/* Errors: IO. */
ta_status ta_store_server_file_write(const char *directory, const struct ta_store_server_file *file,
                                     struct ta_store_file_id *id);
/* Errors: AGAIN (not there), CONFIG (others can read or write it, not our user's, a link), FORMAT, IO. */
ta_status ta_store_server_file_read(const char *directory, struct ta_store_server_file *out);
/* Unless another one has taken its place. */
void ta_store_server_file_remove(const char *directory, const struct ta_store_file_id *id);

#endif
