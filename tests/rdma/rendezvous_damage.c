/* Rendezvous in files that somebody else had a hand in: links, pipes, wrong modes, bytes that changed, slots that
 * lie. */
#include "rendezvous_place.h"

#include <fcntl.h>
#include <xxhash.h>

#include "rng.h"

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

/* Of the file of keys: a slot of 32 bytes a replica, then the records. Whether this byte is for that receiver. */
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

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
    const struct CMUnitTest tests[] = {
        TEST(links_and_pipes_are_refused),
        TEST(damage_is_found),
        TEST(slots_that_lie_are_refused),
    };
    return cmocka_run_group_tests_name("rendezvous_damage", tests, NULL, NULL);
}
