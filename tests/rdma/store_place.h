/* store_place: what the tests of the store share: a fresh directory, a server in it, clients, and waiting with an end.
 */
#ifndef TA_TEST_STORE_PLACE_H
#define TA_TEST_STORE_PLACE_H

#include "expect.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "clock.h"
#include "store.h"

enum { PLACE_PATH = 256 };

struct place {
    char root[PLACE_PATH], meet[PLACE_PATH], file[PLACE_PATH], log_path[PLACE_PATH];
    struct ta_log log;
};

static inline int place_make(void **state) {
    struct place *p;
    if (TA_NEW(&p, 1, "place") != TA_OK) return -1;
    const char *tmp = getenv("TMPDIR");
    snprintf(p->root, sizeof p->root, "%s/tensair-test-XXXXXX", tmp != NULL ? tmp : P_tmpdir);
    if (mkdtemp(p->root) == NULL) return -1;
    snprintf(p->meet, sizeof p->meet, "%.*s/meet", PLACE_PATH - 16, p->root);
    snprintf(p->file, sizeof p->file, "%.*s/meet/server", PLACE_PATH - 16, p->root);
    snprintf(p->log_path, sizeof p->log_path, "%.*s/log", PLACE_PATH - 16, p->root);
    if (ta_log_open(&p->log, TA_LOG_DEBUG, -1, false, p->log_path) != TA_OK) return -1;
    *state = p;
    return 0;
}

static inline unsigned place_entries(const char *path) {
    unsigned n = 0;
    DIR *dir = opendir(path);
    if (dir == NULL) return 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    closedir(dir);
    return n;
}

static inline int place_remove(void **state) {
    struct place *p = *state;
    ta_log_close(&p->log);
    unlink(p->log_path);
    unlink(p->file);
    rmdir(p->meet);
    int failed = rmdir(p->root); /* fails when a test has left something behind */
    ta_mem_free(p);
    return failed;
}

/* Whether the log has a line with this. */
static inline bool place_logged(const struct place *p, const char *part) {
    static char text[1 << 20];
    int fd = open(p->log_path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[n < 0 ? 0 : n] = '\0';
    return strstr(text, part) != NULL;
}

static inline struct ta_store_server *serve_ok(struct place *p) {
    struct ta_store_server_config config = {
        .directory = p->meet, .address = "127.0.0.1", .run_id = 0x77, .log = &p->log};
    struct ta_store_server *s = NULL;
    assert_ok(ta_store_serve(&config, &s));
    return s;
}

static inline struct ta_store *client_ok(const struct place *p, const char *who) {
    struct ta_store_config config = {.directory = p->meet, .who = who, .run_id = 0x77, .patience_s = 10};
    struct ta_store *s = NULL;
    assert_ok(ta_store_open(&config, &s));
    assert_int_equal(ta_store_run_id(s), 0x77);
    return s;
}

/* Repeats the statement until the condition holds, for ten seconds. */
#define until(condition, statement)                                                                                    \
    do {                                                                                                               \
        int64_t limit_ns_ = ta_clock_now_ns() + 10 * TA_NS_PER_S;                                                      \
        while (!(condition)) {                                                                                         \
            statement;                                                                                                 \
            if (ta_clock_now_ns() > limit_ns_) fail_msg("%s did not come true", #condition);                           \
            usleep(200);                                                                                               \
        }                                                                                                              \
    } while (0)

static inline bool has(const struct ta_store *s, const char *name, const void *value, size_t bytes) {
    struct ta_store_value got;
    return ta_store_get(s, name, &got) == TA_OK && got.bytes == bytes && memcmp(got.data, value, bytes) == 0;
}

static inline uint64_t version_of(const struct ta_store *s, const char *name) {
    struct ta_store_value got;
    return ta_store_get(s, name, &got) == TA_OK ? got.version : 0;
}

static inline struct ta_store_server_stats stats_of(struct ta_store_server *s) {
    struct ta_store_server_stats stats;
    ta_store_server_stats(s, &stats);
    return stats;
}

#endif
