/* The store where munge runs: two daemons of this test's own, with keys of their own, touch nothing of the system. */
#include "store_place.h"

#include <signal.h>
#include <sys/wait.h>

#include "credential.h"
#include "rng.h"
#include "server_file.h"

struct daemon {
    char directory[PLACE_PATH], socket[PLACE_PATH];
    pid_t pid;
};

struct daemons {
    struct daemon ours, other;
};

static void daemon_files_remove(const struct daemon *d) {
    DIR *dir = d->directory[0] == '\0' ? NULL : opendir(d->directory);
    if (dir == NULL) return;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) (void)unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
    rmdir(d->directory);
}

static void daemon_stop(struct daemon *d) {
    if (d->pid > 0) {
        kill(d->pid, SIGTERM);
        waitpid(d->pid, NULL, 0);
    }
    daemon_files_remove(d);
}

static void skipped(struct daemon *d, const char *why) {
    daemon_stop(d);
    printf("SKIPPED: %s\n", why);
    exit(77);
}

/* The executable replaces us; all it writes goes into its own directory. */
static void become_munged(const struct daemon *d) {
    static const char *const places[] = {"/usr/sbin/munged", "/usr/local/sbin/munged", "/sbin/munged"};
    char args[5][PLACE_PATH + 32];
    snprintf(args[0], sizeof args[0], "--socket=%s", d->socket);
    snprintf(args[1], sizeof args[1], "--key-file=%s/key", d->directory);
    snprintf(args[2], sizeof args[2], "--log-file=%s/log", d->directory);
    snprintf(args[3], sizeof args[3], "--pid-file=%s/pid", d->directory);
    snprintf(args[4], sizeof args[4], "--seed-file=%s/seed", d->directory);
    char said[PLACE_PATH + 16];
    snprintf(said, sizeof said, "%s/said", d->directory);
    int fd = open(said, O_WRONLY | O_CREAT, 0600);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        execl(places[i], "munged", "--foreground", args[0], args[1], args[2], args[3], args[4], (char *)NULL);
    _exit(127);
}

static void daemon_start(struct daemon *d, uint64_t seed) {
    const char *tmp = getenv("TMPDIR");
    unsigned char key[64];
    char path[PLACE_PATH + 16];
    struct ta_rng rng = ta_rng_make(seed, seed);
    snprintf(d->directory, sizeof d->directory, "%s/tensair-munge-XXXXXX", tmp != NULL ? tmp : P_tmpdir);
    if (mkdtemp(d->directory) == NULL || chmod(d->directory, 0711) != 0) skipped(d, "no directory for a munged");
    snprintf(d->socket, sizeof d->socket, "%.*s/s", PLACE_PATH - 8, d->directory);
    snprintf(path, sizeof path, "%s/key", d->directory);
    for (size_t i = 0; i < sizeof key; i++) key[i] = (unsigned char)ta_rng_u32(&rng);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (write(fd, key, sizeof key) != sizeof key) skipped(d, "no key for a munged");
    close(fd);
    d->pid = fork();
    if (d->pid == 0) become_munged(d);
    for (int i = 0; i < 1000; i++) {
        int status;
        if (waitpid(d->pid, &status, WNOHANG) == d->pid) {
            d->pid = 0;
            if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
                skipped(d, "munged is not installed: apt-get install munge");
            skipped(d, "munged does not run here as this user, with a socket below the directory for temporary files");
        }
        if (access(d->socket, F_OK) == 0) return;
        usleep(10000);
    }
    skipped(d, "munged makes no socket within ten seconds");
}

static void the_same_user_is_let_in(void **state) {
    struct place *p = NULL;
    struct daemons *d = *state;
    assert_int_equal(place_make((void **)&p), 0);
    struct ta_store_server_config config = {.directory = p->meet, .address = "127.0.0.1", .run_id = 0x77,
                                            .munge_socket = d->ours.socket, .log = &p->log};
    struct ta_store_server *server;
    struct ta_store_server_file file;
    struct ta_store *s;
    assert_ok(ta_store_serve(&config, &server));
    assert_ok(ta_store_server_file_read(p->meet, &file));
    assert_true(file.munge);
    struct ta_store_config who = {
        .directory = p->meet, .who = "rank 0", .run_id = 0x77, .munge_socket = d->ours.socket};
    assert_ok(ta_store_open(&who, &s));
    ta_store_close(s);
    assert_false(place_logged(p, "no munged to vouch"));
    who.munge_socket = d->other.socket; /* of another key: it knows the secret, and does not get in */
    assert_fails(TA_PEER, "munge credential is no good", ta_store_open(&who, &s));
    assert_null(s);
    until(stats_of(server).refused == 1, (void)0);
    assert_true(place_logged(p, "munge credential is no good"));
    who.munge_socket = "/nonexistent/munge.socket"; /* no munged on that node: the secret counts */
    assert_ok(ta_store_open(&who, &s));
    ta_store_close(s);
    assert_true(place_logged(p, "no munged to vouch"));
    ta_store_server_close(server);
    assert_int_equal(place_remove((void **)&p), 0);
}

static void credentials_are_of_one_connection(void **state) {
    struct daemons *d = *state;
    unsigned char bond[TA_STORE_PROOF_BYTES] = "this one", other[TA_STORE_PROOF_BYTES] = "another one";
    unsigned char credential[TA_STORE_CREDENTIAL_BYTES];
    size_t n;
    assert_ok(ta_store_credential_make(d->ours.socket, bond, credential, &n));
    assert_true(n > 0);
    assert_fails(TA_PEER, "another connection", ta_store_credential_check(d->ours.socket, other, credential, n));
    assert_fails(TA_PEER, "no good", ta_store_credential_check(d->ours.socket, bond, credential, n)); /* used up */
    assert_ok(ta_store_credential_make(d->ours.socket, bond, credential, &n));
    assert_ok(ta_store_credential_check(d->ours.socket, bond, credential, n));
    assert_ok(ta_store_credential_make(d->ours.socket, bond, credential, &n));
    credential[n / 2] ^= 1;
    assert_fails(TA_PEER, "no good", ta_store_credential_check(d->ours.socket, bond, credential, n));
    assert_fails(TA_PEER, "no good", ta_store_credential_check(d->ours.socket, bond, credential, 0));
    ta_mem_fail_nth(1);
    assert_int_equal(ta_store_credential_check(d->ours.socket, bond, credential, n), TA_NO_MEMORY);
    ta_mem_fail_nth(0);
}

static void other_users_are_named(void **state) {
    struct daemons *d = *state;
    unsigned char bond[TA_STORE_PROOF_BYTES] = "this one", credential[TA_STORE_CREDENTIAL_BYTES];
    int ends[2];
    if (geteuid() != 0) return; /* only root can be somebody else */
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        size_t n = 0;
        if (setuid(12345) != 0 || ta_store_credential_make(d->ours.socket, bond, credential, &n) != TA_OK) _exit(2);
        _exit(write(ends[1], credential, n) == (ssize_t)n ? 0 : 3);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], credential, sizeof credential);
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_fails(TA_PEER, "user 12345", ta_store_credential_check(d->ours.socket, bond, credential, (size_t)n));
}

int main(void) {
    static struct daemons daemons;
#ifndef TA_HAVE_MUNGE
    skipped(&daemons.ours, "built without munge: apt-get install libmunge-dev");
#endif
    daemon_start(&daemons.ours, 1);
    daemon_start(&daemons.other, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(the_same_user_is_let_in, &daemons),
        cmocka_unit_test_prestate(credentials_are_of_one_connection, &daemons),
        cmocka_unit_test_prestate(other_users_are_named, &daemons),
    };
    int failed = cmocka_run_group_tests_name("store_munge", tests, NULL, NULL);
    daemon_stop(&daemons.ours);
    daemon_stop(&daemons.other);
    return failed;
}
