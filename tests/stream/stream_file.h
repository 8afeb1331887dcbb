/* stream_file: small stream files for tests, right or wrong in one chosen way, and a directory to put them in. */
#ifndef TA_TEST_STREAM_FILE_H
#define TA_TEST_STREAM_FILE_H

#include "h5.h"

/* One dataset to write. rank 0: leave it out. Element i holds i modulo `modulus` (0: 251). */
struct file_set {
    enum ta_h5_type type;
    unsigned rank;
    uint64_t dims[4];
    uint64_t chunk_rows;
    bool checksum;
    int modulus;
    uint64_t odd_at; /* this element holds `odd` instead, when has_odd */
    double odd;
    bool has_odd;
};

struct file_spec {
    struct file_set x, y, t, delay;
    const char *format;                /* NULL: no attributes at all */
    int64_t version, records, classes; /* -1: leave the attribute out */
    double scale;                      /* 0: leave it out */
    const char *checksum;              /* NULL: leave it out */
};

void scratch_open(char directory[64]); /* a fresh one under $TMPDIR */
void scratch_close(const char *directory);

/* Ten records of [4][3][2] uint8 in chunks of 3, five classes, all attributes: right in every way. */
struct file_spec file_good(void);
void file_write(const char *path, const struct file_spec *spec);

/* All bytes of a file (free), and a file of those bytes. */
unsigned char *file_load(const char *path, size_t *bytes);
void file_store(const char *path, const unsigned char *content, size_t bytes);
void file_poke(const char *path, size_t at, unsigned char byte); /* one byte in place: no wait for the disk */

#endif
