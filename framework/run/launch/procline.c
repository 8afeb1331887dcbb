/* procline: prctl(2), PR_SET_MM_MAP. */
#include "procline.h"

#include <linux/prctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { STAT_BYTES = 2048, FIELDS = 52 };

static size_t measure(char *const *list, size_t *n) {
    size_t bytes = 0;
    for (*n = 0; list[*n] != NULL; ++*n) bytes += strlen(list[*n]) + 1;
    return bytes;
}

/* End to end; `out`, where not NULL, points to each, and ends with NULL. */
static char *copy(char *at, char *const *list, char **out) {
    size_t n = 0;
    for (; list[n] != NULL; n++) {
        size_t bytes = strlen(list[n]) + 1;
        memcpy(at, list[n], bytes);
        if (out != NULL) out[n] = at;
        at += bytes;
    }
    if (out != NULL) out[n] = NULL;
    return at;
}

/* Numbers of proc(5), /proc/PID/stat, as they are counted there; false: not to be had. */
static int read_stat(uint64_t fields[FIELDS + 1]) {
    char text[STAT_BYTES];
    FILE *file = fopen("/proc/self/stat", "re");
    size_t bytes = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file != NULL) fclose(file);
    text[bytes] = '\0';
    char *at = strrchr(text, ')'), *rest = NULL;
    unsigned n = 3;
    for (char *word = at != NULL ? strtok_r(at + 1, " \n", &rest) : NULL; word != NULL && n <= FIELDS; n++) {
        fields[n] = strtoull(word, NULL, 10);
        word = strtok_r(NULL, " \n", &rest);
    }
    return n > FIELDS - 1;
}

/* Only the four addresses change; the kernel wants all. */
static void show(uint64_t argv, uint64_t environment, uint64_t end) {
    uint64_t f[FIELDS + 1] = {0};
    if (!read_stat(f)) return;
    struct prctl_mm_map map = {
        .start_code = f[26],
        .end_code = f[27],
        .start_data = f[45],
        .end_data = f[46],
        .start_brk = f[47],
        .brk = (uint64_t)(uintptr_t)sbrk(0),
        .start_stack = f[28],
        .arg_start = argv,
        .arg_end = environment,
        .env_start = environment,
        .env_end = end,
        .exe_fd = UINT32_MAX, /* as it is */
    };
    (void)prctl(PR_SET_MM, (unsigned long)PR_SET_MM_MAP, &map, sizeof map, 0UL);
}

ta_status ta_procline_set(char *const *argv, char *const *environment) {
    size_t n_args, n;
    size_t args = measure(argv, &n_args), bytes = args + measure(environment, &n), list = (n + 1) * sizeof(char *);
    char *block = mmap(NULL, list + bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return ta_fail_errno(TA_NO_MEMORY, "%zu bytes for the environment of a replica", list + bytes);
    char **pairs = (char **)block, *first = block + list;
    (void)copy(copy(first, argv, NULL), environment, pairs);
    environ = pairs;
    uint64_t from = (uint64_t)(uintptr_t)first;
    show(from, from + args, from + bytes);
    return TA_OK;
}
