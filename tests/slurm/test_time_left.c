/* time_left: what squeue prints, read; and programs that misbehave, run. */
#include "expect.h"

#include <math.h>
#include <sys/stat.h>

#include "command.h"
#include "time_left.h"

/* As Slurm writes it (secs2time_str). */
static void print_time(uint64_t seconds, char out[64]) {
    unsigned long long days = seconds / 86400, hours = seconds / 3600 % 24, minutes = seconds / 60 % 60,
                       rest = seconds % 60;
    if (days > 0) snprintf(out, 64, "%llu-%2.2llu:%2.2llu:%2.2llu", days, hours, minutes, rest);
    else if (hours > 0) snprintf(out, 64, "%llu:%2.2llu:%2.2llu", hours, minutes, rest);
    else snprintf(out, 64, "%llu:%2.2llu", minutes, rest);
}

static uint64_t state = 88172645463325252u;
static uint64_t draw(uint64_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static void round_trip(void **unused) {
    (void)unused;
    for (int i = 0; i < 200000; i++) {
        uint64_t seconds = draw(1ULL << draw(40));
        char text[64];
        double read;
        print_time(seconds, text);
        assert_ok(ta_time_left_parse(text, &read));
        if (read != (double)seconds) fail_msg("%s read as %f, not %llu", text, read, (unsigned long long)seconds);
        /* What one character more or less makes of it is another time or none, but never this one's neighbour by
         * accident. */
        size_t at = draw(strlen(text));
        text[at] = "x-: 7"[draw(5)];
        if (ta_time_left_parse(text, &read) == TA_OK) assert_true(read >= 0 && !isnan(read));
    }
}

static void words(void **unused) {
    (void)unused;
    double s;
    assert_ok(ta_time_left_parse(" UNLIMITED\n", &s));
    assert_true(isinf(s) && s > 0);
    assert_ok(ta_time_left_parse("INVALID", &s));
    assert_true(s == 0);
    assert_int_equal(ta_time_left_parse("NOT_SET", &s), TA_AGAIN);
    assert_int_equal(ta_time_left_parse("\n", &s), TA_AGAIN);
    static const char *const bad[] = {
        "N",         "UNLIMITEDX",        "1",           "1:2",        "1:60",    "-1:00",
        "1-2:03:04", "1-24:00:00",        "1:2:3",       "1:00:00:00", "1-00:00", "1:00 2:00",
        "+1:00",     "99999999999999:00", "1-1-00:00:00"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_fails(TA_FORMAT, "time left", ta_time_left_parse(bad[i], &s));
        assert_true(s == 0);
    }
}

static void array_of_jobs(void **unused) {
    (void)unused;
    double s;
    static const char printed[] = "17 10:00\n16 UNLIMITED\n15 1-00:00:01\n";
    assert_ok(ta_time_left_pick(printed, 15, &s));
    assert_true(s == 86401);
    assert_ok(ta_time_left_pick(printed, 16, &s));
    assert_true(isinf(s));
    assert_fails(TA_PEER, "no job 1 ", ta_time_left_pick(printed, 1, &s));
    assert_fails(TA_PEER, "no job 15 ", ta_time_left_pick("", 15, &s));
    char wide[4096];
    memset(wide, '1', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    assert_fails(TA_PEER, "no job", ta_time_left_pick(wide, 15, &s));
}

/* A folder of programs that stand in for Slurm's. */
static char folder[64];

static void program(const char *name, const char *text) {
    char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\n%s\n", text);
    fclose(file);
    assert_int_equal(chmod(path, 0755), 0);
}

static int make_folder(void **unused) {
    (void)unused;
    char path[4200];
    snprintf(folder, sizeof folder, "/tmp/tensair-command-XXXXXX");
    if (mkdtemp(folder) == NULL) return 1;
    snprintf(path, sizeof path, "%s:%s", folder, getenv("PATH"));
    return setenv("PATH", path, 1);
}

static int remove_folder(void **unused) {
    (void)unused;
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0;
}

static void asks(void **unused) {
    (void)unused;
    struct ta_job_place place = {.in_slurm = true, .job_id = 42};
    double s;
    program("squeue", "[ \"$*\" = \"-h -j 42 -o %A %L\" ] || exit 3; echo '41 1:00'; echo '42 2-00:00:00'");
    assert_ok(ta_job_time_left(&place, &s));
    assert_true(s == 172800);
    program("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1");
    assert_fails(TA_PEER, "Invalid job id", ta_job_time_left(&place, &s));
    place.in_slurm = false;
    assert_fails(TA_INVALID, "not in a Slurm job", ta_job_time_left(&place, &s));
}

static void commands(void **unused) {
    (void)unused;
    struct ta_command_answer answer;
    const char *const argv[] = {"stand-in", "a b", NULL};
    struct ta_command c = {.argv = argv, .within_s = 20};
    assert_fails(TA_DEVICE, "no 'stand-in' in PATH", ta_command_run(&c, &answer));
    program("stand-in", "printf '%s' \"$1\"; printf 'oh\\n\\n' >&2; exit 7");
    assert_ok(ta_command_run(&c, &answer));
    assert_int_equal(answer.exit_code, 7);
    assert_string_equal(answer.out, "a b");
    assert_string_equal(answer.err, "oh");
    program("stand-in", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; kill -9 $$");
    assert_ok(ta_command_run(&c, &answer));
    assert_int_equal(answer.exit_code, 137);
    assert_int_equal(strlen(answer.out), TA_COMMAND_OUT_BYTES - 1);
    c.folder = "/no/such/folder";
    assert_fails(TA_IO, "no such folder", ta_command_run(&c, &answer));
    c.folder = "/";
    program("stand-in", "pwd; sleep 100 & exec sleep 100");
    c.within_s = 0.2;
    assert_fails(TA_PEER, "did not answer within 0.2 s", ta_command_run(&c, &answer));
    assert_string_equal(answer.out, "/\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(words), cmocka_unit_test(array_of_jobs),
        cmocka_unit_test(asks),       cmocka_unit_test(commands),
    };
    return cmocka_run_group_tests_name("time_left", tests, make_folder, remove_folder);
}
