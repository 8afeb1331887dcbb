/* scratch: a directory of its own for each test, and whole files in and out of it. */
#ifndef TA_TEST_SCRATCH_H
#define TA_TEST_SCRATCH_H

#include <stdbool.h>

#include "expect.h"

/* cmocka's setup and teardown: *state is the directory's path (a string). */
int scratch_setup(void **state);
int scratch_teardown(void **state);
void scratch_empty(const char *directory); /* removes everything in it, folders too */

/* "directory/name" in `path`, which is returned. */
const char *scratch_path(char path[512], const char *directory, const char *name);

/* A whole file; *bytes its size; freed by free(). */
unsigned char *file_read(const char *path, size_t *bytes);
void file_write(const char *path, const unsigned char *data, size_t bytes);

#endif
