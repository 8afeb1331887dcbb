/* rendezvous_place: a folder for replicas to meet in, and what the tests of rendezvous in files share. */
#ifndef TA_TEST_RENDEZVOUS_PLACE_H
#define TA_TEST_RENDEZVOUS_PLACE_H

#include "rendezvous.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem.h"

enum { PATH_BYTES = 256 };

struct place {
    char root[PATH_BYTES]; /* a fresh directory; the rendezvous is root/meet */
    char meet[PATH_BYTES];
};

static inline int place_make(void **state) {
    struct place *p;
    if (TA_NEW(&p, 1, "place") != TA_OK) return -1;
    const char *tmp = getenv("TMPDIR");
    snprintf(p->root, sizeof p->root, "%s/tensair-test-XXXXXX", tmp != NULL ? tmp : P_tmpdir);
    if (mkdtemp(p->root) == NULL) return -1;
    snprintf(p->meet, sizeof p->meet, "%.*s/meet", PATH_BYTES - 6, p->root);
    *state = p;
    return 0;
}

static inline unsigned entries(const char *path) {
    unsigned n = 0;
    DIR *dir = opendir(path);
    if (dir == NULL) return 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(dir);
    return n;
}

static inline int place_remove(void **state) {
    struct place *p = *state;
    DIR *dir = opendir(p->meet);
    if (dir != NULL) {
        for (struct dirent *e; (e = readdir(dir)) != NULL;) unlinkat(dirfd(dir), e->d_name, 0);
        closedir(dir);
    }
    if (rmdir(p->meet) != 0) unlink(p->meet);
    int failed = rmdir(p->root); /* fails when a test has left something beside the rendezvous */
    ta_mem_free(p);
    return failed;
}

static inline struct ta_rendezvous_config config_of(const struct place *p, unsigned rank) {
    return (struct ta_rendezvous_config){
        .directory = p->meet, .rank = rank, .n_ranks = 3, .run_id = 0x77, .fingerprint = 0xfeed};
}

static inline struct ta_rendezvous *open_ok(const struct ta_rendezvous_config *config) {
    struct ta_rendezvous *r;
    assert_int_equal(ta_rendezvous_open(config, &r), TA_OK);
    return r;
}

static inline ta_status publish(struct ta_rendezvous *r, unsigned peer, uint32_t generation, const struct ta_key *key) {
    ta_status status = ta_rendezvous_publish(r, peer, generation, key);
    return status == TA_OK ? ta_rendezvous_flush(r) : status;
}

static inline struct ta_key key_of(uint64_t seed) {
    struct ta_key key = {.bytes = 40 + (uint32_t)(seed % 200)};
    for (uint32_t i = 0; i < key.bytes; i++) key.data[i] = (unsigned char)(seed * 31 + i);
    return key;
}

#endif
