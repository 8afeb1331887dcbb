/* h5_check: looks a file's structure over before libhdf5 does.
 *
 * libhdf5 1.10 trusts some of the numbers in a file: lengths in attributes, places in heaps, widths of numbers. A
 * damaged one makes it read or write beyond its memory. So what it would trust is checked here first: superblock,
 * object headers and their messages, groups, and the heaps they point into, in the form that HDF5 and h5py write unless
 * told otherwise (superblock 0 or 1, headers of version 1). Newer forms carry checksums of their own and are left to
 * libhdf5; so is the data. Source: "HDF5 File Format Specification Version 3.0", The HDF Group.
 *
 * Used by h5.c, under no lock. Nobody else includes it but the other half, h5_check_message.c.
 */
#ifndef TA_H5_CHECK_H
#define TA_H5_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* The open file `fd` of `bytes` bytes. Errors: FORMAT (what is damaged, and at which byte), NO_MEMORY. */
ta_status ta_h5_check(int fd, uint64_t bytes, const char *path);

/* The rest is between the two halves. */

struct ta_h5_check {
    int fd;
    uint64_t bytes;    /* of the file */
    const char *path;
    uint64_t budget;   /* bytes that may yet be looked at: damaged links may lead in circles */
    unsigned depth;    /* objects and groups on the way here */
    unsigned leaf_k, internal_k; /* half of what a node of links, of the tree of names may hold */
};

/* A stretch of memory, read from its front. Reading past its end gives zeros and clears `good`. */
struct ta_h5_span {
    const unsigned char *at;
    size_t left;
    bool good;
};

const unsigned char *ta_h5_take(struct ta_h5_span *span, size_t count); /* NULL when there is less */
uint64_t ta_h5_number(struct ta_h5_span *span, unsigned bytes);         /* little endian, up to 8 */

/* What the messages of one object said, for the checks between them. */
struct ta_h5_header {
    bool has_space, has_type, has_layout, has_table;
    uint64_t elements, type_bytes, stored_bytes, fill_bytes;
    unsigned rank, layout, layout_rank;
    uint64_t tree, heap; /* of a group's symbol table */
    uint64_t child;      /* of the last link message: its object, 0: none */
};

/* Copies `count` bytes at `address` of the file. False when they are not there or the budget is used up. */
bool ta_h5_fetch(struct ta_h5_check *check, uint64_t address, void *out, size_t count);

/* One message of an object header. False when it is not sound. */
bool ta_h5_check_message(struct ta_h5_check *check, unsigned type, struct ta_h5_span message,
                         struct ta_h5_header *header);

/* After the last message: do they agree with each other? */
bool ta_h5_check_header(const struct ta_h5_check *check, const struct ta_h5_header *header);

#endif
