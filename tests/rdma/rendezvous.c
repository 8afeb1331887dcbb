/* Rendezvous: processes meet; wrong modes, links, other runs, other models and damaged records are told apart. */
#include "rendezvous.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include <cmocka.h>

#include "clock.h"
#include "mem.h"
#include "rng.h"

enum { PATH_BYTES = 256 };

struct place {
    char root[PATH_BYTES]; /* a fresh directory; the rendezvous is root/meet */
    char meet[PATH_BYTES];
};

static int place_make(void **state) {
    struct place *p;
    if (TA_NEW(&p, 1, "place") != TA_OK) return -1;
    const char *tmp = getenv("TMPDIR");
    snprintf(p->root, sizeof p->root, "%s/tensair-test-XXXXXX", tmp != NULL ? tmp : P_tmpdir);
    if (mkdtemp(p->root) == NULL) return -1;
    snprintf(p->meet, sizeof p->meet, "%.*s/meet", PATH_BYTES - 6, p->root);
    *state = p;
    return 0;
}

static unsigned entries(const char *path) {
    unsigned n = 0;
    DIR *dir = opendir(path);
    if (dir == NULL) return 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(dir);
    return n;
}

static int place_remove(void **state) {
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

static struct ta_rendezvous_config config_of(const struct place *p, unsigned rank) {
    return (struct ta_rendezvous_config){
        .directory = p->meet, .rank = rank, .n_ranks = 3, .run_id = 0x77, .fingerprint = 0xfeed};
}

static struct ta_rendezvous *open_ok(const struct ta_rendezvous_config *config) {
    struct ta_rendezvous *r;
    assert_int_equal(ta_rendezvous_open(config, &r), TA_OK);
    return r;
}

static ta_status publish(struct ta_rendezvous *r, unsigned peer, uint32_t generation, const struct ta_key *key) {
    ta_status status = ta_rendezvous_publish(r, peer, generation, key);
    return status == TA_OK ? ta_rendezvous_flush(r) : status;
}

static struct ta_key key_of(uint64_t seed) {
    struct ta_key key = {.bytes = 40 + (uint32_t)(seed % 200)};
    for (uint32_t i = 0; i < key.bytes; i++) key.data[i] = (unsigned char)(seed * 31 + i);
    return key;
}

static void replicas_meet(void **state) {
    const struct place *p = *state;
    struct ta_rendezvous_config c0 = config_of(p, 0), c2 = config_of(p, 2);
    struct ta_rendezvous *r0 = open_ok(&c0), *r2 = open_ok(&c2);
    struct ta_key sent = key_of(5), got, other = key_of(6);
    uint32_t generation = 0;
    assert_int_equal(ta_rendezvous_lookup(r2, 0, &(uint32_t){0}, &got), TA_AGAIN);
    assert_int_equal(publish(r0, 2, 1, &sent), TA_OK);
    assert_int_equal(ta_rendezvous_lookup(r2, 0, &(uint32_t){0}, &got), TA_OK);
    assert_int_equal(got.bytes, sent.bytes);
    assert_memory_equal(got.data, sent.data, sizeof got.data);
    assert_int_equal(publish(r0, 2, 7, &other), TA_OK); /* again: a new path */
    assert_int_equal(ta_rendezvous_lookup(r2, 0, &generation, &got), TA_OK);
    assert_int_equal(generation, 7);
    assert_int_equal(got.bytes, other.bytes);
    assert_int_equal(publish(r0, 1, 1, &other), TA_OK);
    assert_int_equal(entries(p->meet), 1); /* for all peers, and no temporary file stays */
    assert_int_equal(ta_rendezvous_lookup(r2, 2, &(uint32_t){0}, &got), TA_INVALID);
    assert_int_equal(ta_rendezvous_lookup(r2, 3, &(uint32_t){0}, &got), TA_INVALID);
    assert_int_equal(publish(r0, 0, 1, &sent), TA_INVALID);
    sent.bytes = TA_KEY_BYTES + 1;
    assert_int_equal(publish(r0, 2, 1, &sent), TA_INVALID);
    struct stat dir;
    assert_int_equal(stat(p->meet, &dir), 0);
    assert_int_equal(dir.st_mode & 07777, 0700);
    ta_rendezvous_close(r0);
    assert_int_equal(ta_rendezvous_lookup(r2, 0, &(uint32_t){0}, &got), TA_AGAIN);
    assert_int_equal(entries(p->meet), 0);
    ta_rendezvous_close(r2);
    ta_rendezvous_close(NULL);
}

static void directories_are_checked(void **state) {
    const struct place *p = *state;
    struct ta_rendezvous_config c = config_of(p, 0);
    struct ta_rendezvous *r;
    assert_int_equal(mkdir(p->meet, 0700), 0);
    static const mode_t open_modes[] = {0755, 0750, 0701, 0770, 0702, 01777};
    for (size_t i = 0; i < sizeof open_modes / sizeof open_modes[0]; i++) {
        assert_int_equal(chmod(p->meet, open_modes[i]), 0);
        assert_int_equal(ta_rendezvous_open(&c, &r), TA_CONFIG);
        assert_null(r);
        assert_non_null(strstr(ta_why(), "chmod 700"));
    }
    if (geteuid() == 0) { /* only root can give a directory away */
        assert_int_equal(chmod(p->meet, 0700) + chown(p->meet, 12345, 12345), 0);
        assert_int_equal(ta_rendezvous_open(&c, &r), TA_CONFIG);
        assert_non_null(strstr(ta_why(), "12345"));
    }
    assert_int_equal(rmdir(p->meet), 0);
    assert_int_equal(symlink(p->root, p->meet), 0); /* even to a directory of ours: who made it? */
    assert_int_equal(ta_rendezvous_open(&c, &r), TA_CONFIG);
    assert_int_equal(unlink(p->meet), 0);
    assert_int_equal(close(open(p->meet, O_CREAT | O_WRONLY, 0600)), 0);
    assert_int_equal(ta_rendezvous_open(&c, &r), TA_CONFIG);
    assert_int_equal(unlink(p->meet), 0);
    c.directory = "/nonexistent/run/rendezvous";
    assert_int_equal(ta_rendezvous_open(&c, &r), TA_IO);
    assert_non_null(strstr(ta_why(), "/nonexistent/run/rendezvous"));
    c.rank = 3;
    assert_int_equal(ta_rendezvous_open(&c, &r), TA_CONFIG);
    assert_int_equal(mkdir(p->meet, 0700), 0);
}

static void strangers_are_told_apart(void **state) {
    const struct place *p = *state;
    struct ta_rendezvous_config c0 = config_of(p, 0), c1 = config_of(p, 1);
    struct ta_key key = key_of(1), got;
    struct ta_rendezvous *r1 = open_ok(&c1);

    c0.run_id = 0x78;
    struct ta_rendezvous *stale = open_ok(&c0);
    assert_int_equal(publish(stale, 1, 1, &key), TA_OK);
    assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_AGAIN); /* of another run: as if not there */

    c0 = config_of(p, 0);
    c0.fingerprint = 0xbeef;
    c0.model = "784 > dense 64";
    struct ta_rendezvous *other = open_ok(&c0);
    assert_int_equal(publish(other, 1, 1, &key), TA_OK); /* over the stale one */
    assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_CONFIG);
    assert_non_null(strstr(ta_why(), "000000000000beef"));
    assert_non_null(strstr(ta_why(), "000000000000feed"));
    assert_non_null(strstr(ta_why(), "784 > dense 64"));
    ta_rendezvous_close(stale); /* must not take away what is no longer its own */
    assert_int_equal(entries(p->meet), 1);
    ta_rendezvous_close(other);
    assert_int_equal(entries(p->meet), 0);

    c0 = config_of(p, 0);
    c0.n_ranks = 2;
    struct ta_rendezvous *fewer = open_ok(&c0);
    assert_int_equal(publish(fewer, 1, 1, &key), TA_OK);
    assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_CONFIG);
    struct ta_rendezvous_config c2 = config_of(p, 2);
    struct ta_rendezvous *r2 = open_ok(&c2);
    assert_int_equal(ta_rendezvous_lookup(r2, 0, &(uint32_t){0}, &got), TA_CONFIG); /* there is no room for it in there */
    assert_non_null(strstr(ta_why(), "one of 2 replicas"));
    ta_rendezvous_close(r2);
    ta_rendezvous_close(fewer);
    ta_rendezvous_close(r1);
}

static void record_path(const struct place *p, char path[2 * PATH_BYTES]) {
    snprintf(path, 2 * PATH_BYTES, "%s/keys-00000", p->meet);
}

static void links_and_pipes_are_refused(void **state) {
    const struct place *p = *state;
    struct ta_rendezvous_config c0 = config_of(p, 0), c1 = config_of(p, 1);
    struct ta_rendezvous *r0 = open_ok(&c0), *r1 = open_ok(&c1);
    struct ta_key key = key_of(1), got;
    char path[2 * PATH_BYTES], elsewhere[PATH_BYTES + 16], target[PATH_BYTES + 16];
    record_path(p, path);
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", p->root);
    snprintf(target, sizeof target, "%s/target", p->root);
    assert_int_equal(publish(r0, 1, 1, &key), TA_OK);
    assert_int_equal(rename(path, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, path), 0); /* a good record behind a link is still behind a link */
    assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_FORMAT);
    assert_int_equal(publish(r0, 1, 1, &key), TA_OK); /* takes the link's place, does not follow it */
    assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_OK);
    struct stat file;
    assert_int_equal(lstat(path, &file), 0);
    assert_true(S_ISREG(file.st_mode));
    assert_int_equal(file.st_mode & 07777, 0600);
    assert_int_equal(unlink(elsewhere), 0);

    /* A link where the temporary file will be: what it points to must not be written. */
    char fresh[2 * PATH_BYTES];
    snprintf(fresh, sizeof fresh, "%s/.keys-00000.%d", p->meet, (int)getpid());
    assert_int_equal(symlink(target, fresh), 0);
    assert_int_equal(publish(r0, 1, 1, &key), TA_OK);
    assert_int_equal(access(target, F_OK), -1);

    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* must not hang */
    assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_FORMAT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_FORMAT);
    assert_int_equal(publish(r0, 1, 1, &key), TA_IO);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(publish(r0, 1, 1, &key), TA_OK);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_FORMAT);
    ta_rendezvous_close(r0);
    ta_rendezvous_close(r1);
}

static void write_file(const char *path, const unsigned char *data, size_t bytes) {
    unlink(path); /* truncating instead makes some file systems wait for the disk */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, bytes), bytes);
    close(fd);
}

/* Of the file of keys: a slot of 32 bytes a replica, then the records. Where those for `receiver` stand, first and last. */
static bool concerns(const unsigned char *file, unsigned receiver, size_t at) {
    const unsigned char *slot = file + 32 * receiver;
    uint32_t offset, bytes;
    memcpy(&offset, slot + 20, sizeof offset);
    memcpy(&bytes, slot + 24, sizeof bytes);
    return at / 32 == receiver || (at >= offset && at < offset + bytes);
}

static void damage_is_found(void **state) {
    const struct place *p = *state;
    struct ta_rendezvous_config c0 = config_of(p, 0), c1 = config_of(p, 1);
    struct ta_rendezvous *r0 = open_ok(&c0), *r1 = open_ok(&c1);
    struct ta_key key = key_of(1), got;
    char path[2 * PATH_BYTES];
    unsigned char good[2048], bad[2048];
    record_path(p, path);
    assert_int_equal(ta_rendezvous_publish(r0, 2, 1, &key), TA_OK);
    assert_int_equal(publish(r0, 1, 1, &key), TA_OK);
    int fd = open(path, O_RDONLY);
    ssize_t bytes = read(fd, good, sizeof good);
    close(fd);
    assert_true(bytes > 2 * (ssize_t)key.bytes && bytes < (ssize_t)sizeof good);
    unsigned ours = 0;
    for (size_t n = 0; n < (size_t)bytes; n++) { /* truncated at every byte, and every byte damaged */
        write_file(path, good, n);
        assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_FORMAT);
        memcpy(bad, good, sizeof bad);
        bad[n] ^= (unsigned char)(1 + n % 255);
        write_file(path, bad, (size_t)bytes);
        bool is_ours = concerns(good, 1, n);
        ours += is_ours;
        assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), is_ours ? TA_FORMAT : TA_OK);
        assert_int_equal(got.bytes, is_ours ? 0 : key.bytes);
    }
    assert_true(ours > 32 + key.bytes && ours < (size_t)bytes / 2);
    struct ta_rng rng = ta_rng_make(3, 3);
    for (int i = 0; i < 1500; i++) { /* garbage of any length */
        size_t n = ta_rng_below(&rng, 3) == 0 ? (size_t)bytes : ta_rng_below(&rng, sizeof bad);
        for (size_t k = 0; k < n; k++) bad[k] = (unsigned char)ta_rng_u32(&rng);
        write_file(path, bad, n);
        assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_FORMAT);
    }
    write_file(path, good, (size_t)bytes);
    assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_OK);
    char name[2 * PATH_BYTES];
    snprintf(name, sizeof name, "%s/keys-00002", p->meet); /* a good file under another's name */
    write_file(name, good, (size_t)bytes);
    assert_int_equal(ta_rendezvous_lookup(r1, 2, &(uint32_t){0}, &got), TA_FORMAT);
    ta_rendezvous_close(r0);
    ta_rendezvous_close(r1);
}

/* Slots whose checksum fits, but that lead elsewhere: out of the file, to another's record, into themselves. */
static void slots_that_lie_are_refused(void **state) {
    const struct place *p = *state;
    struct ta_rendezvous_config c0 = config_of(p, 0), c1 = config_of(p, 1);
    struct ta_rendezvous *r0 = open_ok(&c0), *r1 = open_ok(&c1);
    struct ta_key key = key_of(1), got;
    char path[2 * PATH_BYTES];
    unsigned char good[2048];
    record_path(p, path);
    assert_int_equal(ta_rendezvous_publish(r0, 2, 1, &key), TA_OK);
    assert_int_equal(publish(r0, 1, 1, &key), TA_OK);
    int fd = open(path, O_RDONLY);
    uint32_t all = (uint32_t)read(fd, good, sizeof good), own[2];
    close(fd);
    memcpy(own, good + 32 + 20, sizeof own);
    const uint32_t lies[][2] = {{all, 1},          {0, all + 1},     {UINT32_MAX, 100},      {own[0], UINT32_MAX},
                                {own[0], own[1] + 1}, {own[0], own[1] - 1}, {own[0] + own[1], own[1]}, {0, own[1]},
                                {0, all},          {own[0] + 1, own[1]}};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        memcpy(good + 32 + 20, lies[i], sizeof lies[i]);
        uint32_t check = XXH32(good + 32, 28, 1);
        memcpy(good + 32 + 28, &check, sizeof check);
        write_file(path, good, all);
        assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_FORMAT);
    }
    ta_rendezvous_close(r0);
    ta_rendezvous_close(r1);
}

static void who_listens_is_told_of_changes(void **state) {
    const struct place *p = *state;
    struct ta_rendezvous_config c0 = config_of(p, 0), c1 = config_of(p, 1);
    struct ta_rendezvous *r0 = open_ok(&c0), *r1 = open_ok(&c1);
    struct ta_key key = key_of(1), got;
    assert_int_equal(ta_rendezvous_publish(r0, 1, 1, &key), TA_OK);
    assert_int_equal(ta_rendezvous_lookup(r1, 0, &(uint32_t){0}, &got), TA_AGAIN); /* not flushed */
    for (uint32_t generation = 2; generation < 5; generation++) {
        int64_t limit_ns = ta_clock_now_ns() + 5 * TA_NS_PER_S;
        while (ta_rendezvous_stirs(r1) && ta_clock_now_ns() < limit_ns) usleep(1000);
        assert_false(ta_rendezvous_stirs(r1));
        assert_int_equal(publish(r0, 1, generation, &key), TA_OK);
        assert_true(ta_rendezvous_stirs(r1));
        assert_true(ta_rendezvous_stirs(r1)); /* another change may have come with the same time */
    }
    ta_rendezvous_close(r0);
    assert_true(ta_rendezvous_stirs(r1));
    ta_rendezvous_close(r1);
}

static void every_allocation_may_fail(void **state) {
    const struct place *p = *state;
    struct ta_rendezvous_config c = config_of(p, 0);
    struct ta_rendezvous *r;
    size_t held = ta_mem_held_bytes();
    unsigned n = 0;
    ta_status status;
    do {
        ta_mem_fail_nth(++n);
        status = ta_rendezvous_open(&c, &r);
        ta_mem_fail_nth(0);
        if (status != TA_OK) assert_int_equal(status, TA_NO_MEMORY);
        ta_rendezvous_close(r);
        assert_int_equal(ta_mem_held_bytes(), held);
    } while (status != TA_OK);
    assert_int_equal(n, 5);
}

/* One process of a crowd: publishes to all, looks until it has all, checks them, and puts through them. */
static int attend(const struct place *p, unsigned rank, unsigned n_ranks) {
    const struct ta_transport_ops *ops = &ta_transport_shm;
    struct ta_rendezvous_config config = {.directory = p->meet, .rank = rank, .n_ranks = n_ranks, .run_id = n_ranks};
    struct ta_transport_config transport = {.rank = rank, .n_ranks = n_ranks, .run_id = n_ranks};
    struct ta_rendezvous *r;
    struct ta_transport *t;
    struct ta_window window;
    struct ta_key key;
    if (ta_rendezvous_open(&config, &r) != TA_OK || ops->open(&transport, &t) != TA_OK) return 2;
    if (ops->window_create(t, 8 * n_ranks, &window) != TA_OK) return 3;
    for (unsigned i = 0; i < n_ranks; i++)
        if (i != rank && (ops->key_make(t, i, &key) != TA_OK || ta_rendezvous_publish(r, i, 1, &key) != TA_OK)) return 4;
    if (ta_rendezvous_flush(r) != TA_OK) return 4;
    int64_t limit_ns = ta_clock_now_ns() + 30 * TA_NS_PER_S;
    uint64_t mine = 1000 + rank;
    struct ta_put_segment segment = {&mine, sizeof mine, 8 * rank};
    for (unsigned i = 0; i < n_ranks; i++) {
        ta_status status = TA_AGAIN;
        while (i != rank && (status = ta_rendezvous_lookup(r, i, &(uint32_t){0}, &key)) == TA_AGAIN) {
            if (ta_clock_now_ns() > limit_ns) return 5;
            usleep(500);
        }
        if (i != rank && (status != TA_OK || ops->connect(t, i, &key) != TA_OK || ops->put(t, i, &segment, 1) != TA_OK))
            return 6;
    }
    for (unsigned i = 0; i < n_ranks; i++)
        while (i != rank && ta_window_load_u64((char *)window.base + 8 * i) != 1000 + i) {
            if (ta_clock_now_ns() > limit_ns) return 7;
            usleep(100);
        }
    /* All have put into us, so all have our key: the records may go. */
    ta_rendezvous_close(r);
    ops->close(t);
    return 0;
}

static void crowds_meet(void **state) {
    const struct place *p = *state;
    static const unsigned sizes[] = {2, 3, 8, 32};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (unsigned rank = 0; rank < sizes[s]; rank++) {
            pid_t pid = fork();
            assert_true(pid >= 0);
            if (pid == 0) _exit(attend(p, rank, sizes[s]));
        }
        for (unsigned rank = 0; rank < sizes[s]; rank++) {
            int status = -1;
            assert_true(wait(&status) > 0);
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
        }
        assert_int_equal(entries(p->meet), 0);
    }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
    const struct CMUnitTest tests[] = {
        TEST(replicas_meet),   TEST(directories_are_checked),   TEST(strangers_are_told_apart),
        TEST(damage_is_found), TEST(every_allocation_may_fail), TEST(links_and_pipes_are_refused),
        TEST(crowds_meet),     TEST(slots_that_lie_are_refused), TEST(who_listens_is_told_of_changes),
    };
    return cmocka_run_group_tests_name("rendezvous", tests, NULL, NULL);
}
