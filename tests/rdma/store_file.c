/* The file by which a server is found: who may read it, what it may say, and what becomes of it. */
#include "store_place.h"

#include <sys/wait.h>

#include "server_file.h"

static ta_status open_now(const struct place *p, uint64_t run_id) {
    struct ta_store_config config = {.directory = p->meet, .who = "x", .run_id = run_id};
    struct ta_store *s = NULL;
    ta_status status = ta_store_open(&config, &s);
    ta_store_close(s);
    return status;
}

static void directories_are_checked(void **state) {
    const struct place *p = *state;
    struct ta_store_server_config config = {.directory = p->meet, .address = "127.0.0.1"};
    struct ta_store_server *s;
    static const mode_t open_modes[] = {0755, 0750, 0701, 0770, 0702, 01777};
    assert_int_equal(mkdir(p->meet, 0700), 0);
    for (size_t i = 0; i < sizeof open_modes / sizeof open_modes[0]; i++) {
        assert_int_equal(chmod(p->meet, open_modes[i]), 0);
        assert_fails(TA_CONFIG, "chmod 700", ta_store_serve(&config, &s));
        assert_null(s);
    }
    assert_int_equal(chmod(p->meet, 0700), 0);
    if (geteuid() == 0) { /* only root can give a directory away */
        assert_int_equal(chown(p->meet, 12345, 12345), 0);
        assert_fails(TA_CONFIG, "12345", ta_store_serve(&config, &s));
    }
    assert_int_equal(rmdir(p->meet), 0);
    assert_int_equal(symlink(p->root, p->meet), 0);
    assert_fails(TA_CONFIG, "link", ta_store_serve(&config, &s));
    assert_int_equal(unlink(p->meet), 0);
    config.directory = "/nonexistent/run/meet";
    assert_fails(TA_IO, "/nonexistent/run/meet", ta_store_serve(&config, &s));
}

static void files_are_checked(void **state) {
    struct place *p = *state;
    char elsewhere[PLACE_PATH + 16];
    struct stat file;
    assert_fails(TA_PEER, "is not there", open_now(p, 0x77));
    struct ta_store_server *server = serve_ok(p);
    assert_int_equal(stat(p->file, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0600);
    assert_int_equal(stat(p->meet, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0700);
    assert_int_equal(place_entries(p->meet), 1); /* no temporary file stays */
    assert_ok(open_now(p, 0x77));
    static const mode_t open_modes[] = {0640, 0604, 0620, 0602, 0610, 0666};
    for (size_t i = 0; i < sizeof open_modes / sizeof open_modes[0]; i++) {
        assert_int_equal(chmod(p->file, open_modes[i]), 0);
        assert_fails(TA_CONFIG, "others can read or write", open_now(p, 0x77));
    }
    assert_int_equal(chmod(p->file, 0600), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(p->file, 12345, 12345), 0);
        assert_fails(TA_CONFIG, "12345", open_now(p, 0x77));
        assert_int_equal(chown(p->file, 0, 0), 0);
    }
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", p->root);
    assert_int_equal(rename(p->file, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, p->file), 0);
    assert_fails(TA_CONFIG, "no plain file", open_now(p, 0x77));
    assert_int_equal(unlink(p->file), 0);
    assert_int_equal(mkfifo(p->file, 0600), 0); /* must not hang */
    assert_fails(TA_CONFIG, "no plain file", open_now(p, 0x77));
    assert_int_equal(unlink(p->file), 0);
    assert_int_equal(rename(elsewhere, p->file), 0);
    assert_ok(open_now(p, 0x77));
    assert_fails(TA_PEER, "0000000000000078", open_now(p, 0x78)); /* both runs are named */
    assert_non_null(strstr(ta_why(), "0000000000000077"));
    /* Another run's server has taken the place: it is not ours to remove. */
    struct ta_store_server *other = serve_ok(p);
    ta_store_server_close(server);
    assert_ok(open_now(p, 0x77));
    ta_store_server_close(other);
    assert_int_equal(place_entries(p->meet), 0);
}

/* A client that comes first waits; a file of a server that is gone is not the end of it. */
static void clients_wait(void **state) {
    struct place *p = *state;
    struct ta_store_server *server = serve_ok(p);
    char text[TA_STORE_FILE_BYTES];
    int fd = open(p->file, O_RDONLY);
    ssize_t n = read(fd, text, sizeof text);
    close(fd);
    ta_store_server_close(server);
    fd = open(p->file, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_int_equal(write(fd, text, (size_t)n), n);
    close(fd);
    assert_fails(TA_PEER, "refused", open_now(p, 0x77)); /* nobody listens there */
    struct ta_store_config config = {.directory = p->meet, .who = "x", .run_id = 0x77, .patience_s = 0.3};
    struct ta_store *s;
    int64_t begin_ns = ta_clock_now_ns();
    assert_fails(TA_PEER, "waited 0.3 s", ta_store_open(&config, &s));
    assert_true(ta_clock_now_ns() - begin_ns >= 3 * TA_NS_PER_S / 10);
    pid_t pid = fork(); /* the server comes later */
    assert_true(pid >= 0);
    if (pid == 0) {
        usleep(300000);
        struct ta_store_server_config late = {.directory = p->meet, .address = "127.0.0.1", .run_id = 0x77};
        if (ta_store_serve(&late, &server) != TA_OK) _exit(2);
        struct ta_store_server_stats stats;
        int64_t limit_ns = ta_clock_now_ns() + 20 * TA_NS_PER_S;
        do {
            usleep(1000);
            ta_store_server_stats(server, &stats);
        } while (stats.names == 0 && ta_clock_now_ns() < limit_ns);
        ta_store_server_close(server);
        _exit(stats.names == 1 ? 0 : 3);
    }
    config.patience_s = 20;
    assert_ok(ta_store_open(&config, &s));
    assert_ok(ta_store_put(s, "here", "I am", 4));
    ta_store_close(s); /* what was put is sent before it is closed, without a poll */
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static struct ta_store_server_file a_file(void) {
    struct ta_store_server_file file = {.run_id = 0x0123456789abcdef, .port = 40123, .n_addresses = 3};
    for (unsigned i = 0; i < sizeof file.secret; i++) file.secret[i] = (unsigned char)(7 * i);
    snprintf(file.address[0], TA_STORE_ADDRESS_BYTES, "10.0.0.7");
    snprintf(file.address[1], TA_STORE_ADDRESS_BYTES, "fd00::7");
    memset(file.address[2], 'n', TA_STORE_ADDRESS_BYTES - 1);
    return file;
}

/* What is accepted is exactly what would be written: cut anywhere it is not, and with any byte changed it is either
 * refused or says something else that is just as whole. */
static void damage_is_found(void **state) {
    (void)state;
    struct ta_store_server_file file = a_file(), got;
    char text[TA_STORE_FILE_BYTES], bad[TA_STORE_FILE_BYTES], again[TA_STORE_FILE_BYTES];
    size_t n = ta_store_server_file_print(&file, text), refused = 0, tried = 0;
    assert_ok(ta_store_server_file_parse("server", text, n, &got));
    assert_memory_equal(&got, &file, sizeof file);
    for (size_t cut = 0; cut < n; cut++)
        assert_fails(TA_FORMAT, "server:", ta_store_server_file_parse("server", text, cut, &got));
    memcpy(bad, text, n);
    bad[n] = '\n';
    assert_fails(TA_FORMAT, "behind the end", ta_store_server_file_parse("server", bad, n + 1, &got));
    for (size_t at = 0; at < n; at++)
        for (unsigned value = (unsigned)at % 7; value < 256; value += 7) {
            tried++;
            memcpy(bad, text, n);
            bad[at] = (char)value;
            if (ta_store_server_file_parse("server", bad, n, &got) != TA_OK) {
                refused++;
                assert_int_equal(got.n_addresses, 0);
                continue;
            }
            assert_int_equal(ta_store_server_file_print(&got, again), n);
            assert_memory_equal(again, bad, n);
        }
    assert_true(refused > tried / 2 && refused < tried);
    file.n_addresses = TA_STORE_ADDRESSES;
    for (unsigned i = 0; i < TA_STORE_ADDRESSES; i++) memcpy(file.address[i], file.address[2], TA_STORE_ADDRESS_BYTES);
    n = ta_store_server_file_print(&file, text); /* the longest there is fits */
    assert_true(n < TA_STORE_FILE_BYTES);
    assert_ok(ta_store_server_file_parse("server", text, n, &got));
    memmove(text + n - 4 + 10, text + n - 4, 4);
    memcpy(text + n - 4, "address a\n", 10);
    assert_fails(TA_FORMAT, "more than 16", ta_store_server_file_parse("server", text, n + 10, &got));
}

static void versions_name_each_other(void **state) {
    (void)state;
    struct ta_store_server_file file = a_file(), got;
    char text[TA_STORE_FILE_BYTES];
    size_t n = ta_store_server_file_print(&file, text);
    text[14] = '2';
    assert_fails(TA_FORMAT, "has format 2, this program reads 1", ta_store_server_file_parse("server", text, n, &got));
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)
    const struct CMUnitTest tests[] = {
        TEST(directories_are_checked), TEST(files_are_checked),        TEST(clients_wait),
        TEST(damage_is_found),         TEST(versions_name_each_other),
    };
    return cmocka_run_group_tests_name("store_file", tests, NULL, NULL);
}
