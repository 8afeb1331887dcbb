/* scratch: see the header. */
#include "scratch.h"

#include <ftw.h>
#include <unistd.h>

int scratch_setup(void **state) {
    const char *base = getenv("TMPDIR");
    char *path = malloc(256);
    if (path == NULL) return -1;
    snprintf(path, 256, "%s/ta-model-XXXXXX", base != NULL && strlen(base) < 200 ? base : "/tmp");
    *state = mkdtemp(path);
    return *state == NULL ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at) {
    (void)info, (void)kind;
    return at->level == 0 ? 0 : remove(path);
}

void scratch_empty(const char *directory) { (void)nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

int scratch_teardown(void **state) {
    scratch_empty(*state);
    (void)rmdir(*state);
    free(*state);
    return 0;
}

const char *scratch_path(char path[512], const char *directory, const char *name) {
    int bytes = snprintf(path, 512, "%s/%s", directory, name);
    assert_true(bytes > 0 && bytes < 512);
    return path;
}

unsigned char *file_read(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) fail_msg("%s: cannot read", path);
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    unsigned char *data = malloc(*bytes + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *bytes, file), *bytes);
    fclose(file);
    return data;
}

void file_write(const char *path, const unsigned char *data, size_t bytes) {
    FILE *file = fopen(path, "wb");
    if (file == NULL) fail_msg("%s: cannot write", path);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}
