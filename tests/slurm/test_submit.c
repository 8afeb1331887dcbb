/* submit: a script that says what was asked for, whatever the values hold: bash itself is asked what it reads. */
#include "expect.h"

#include <stdbool.h>

#include "mem.h"
#include "submit.h"

static uint64_t state = 88172645463325252u;
static unsigned draw(unsigned below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % below);
}

/* Text that shells trip over. */
static void hostile(char *out, unsigned bytes) {
    static const char odd[] = "'\"\\$`!*?[]{}()<>|&;#~ \t\n\r\001\033\177%a=-\300\251";
    unsigned length = draw(bytes);
    for (unsigned i = 0; i < length; i++) out[i] = draw(3) > 0 ? odd[draw(sizeof odd - 1)] : (char)('a' + draw(26));
    out[length] = '\0';
}

static FILE *bash(const char *script) {
    FILE *file = fopen("script", "w");
    assert_non_null(file);
    fputs(script, file);
    fclose(file);
    FILE *out = popen("bash script", "r");
    assert_non_null(out);
    return out;
}

/* Exactly `expected` and a NUL come next. */
static void expect_text(FILE *out, const char *expected) {
    for (const char *c = expected;; c++) {
        int got = fgetc(out);
        if (got != (unsigned char)*c)
            fail_msg("bash reads byte %ld of '%s' as %d", (long)(c - expected), expected, got);
        if (*c == '\0') return;
    }
}

enum { WORDS = 400, WORD_BYTES = 60 };

static void quoting(void **unused) {
    (void)unused;
    static char word[WORDS][WORD_BYTES];
    char *script = NULL, *quoted;
    size_t bytes;
    FILE *file = open_memstream(&script, &bytes);
    for (int i = 0; i < WORDS; i++) {
        hostile(word[i], WORD_BYTES);
        assert_ok(ta_submit_quote(word[i], &quoted));
        assert_null(strpbrk(quoted, "\n\r")); /* sbatch refuses lines that end as in DOS */
        fprintf(file, "printf '%%s\\0' %s\n", quoted);
        ta_mem_free(quoted);
    }
    fclose(file);
    FILE *out = bash(script);
    for (int i = 0; i < WORDS; i++) expect_text(out, word[i]);
    assert_int_equal(fgetc(out), EOF);
    assert_int_equal(pclose(out), 0);
    free(script);
    assert_ok(ta_submit_quote("runs/a-1.x", &quoted));
    assert_string_equal(quoted, "runs/a-1.x"); /* what needs no quotes has none */
    ta_mem_free(quoted);
}

static const struct ta_submit plain = {
    .job_name = "x", .folder = "/f", .program = "/p/tensair", .config = "/c/my.run.yaml"};

/* The settings as bash reads them, out of the very script. */
static void settings(void **unused) {
    (void)unused;
    for (int i = 0; i < 40; i++) {
        char value[7][WORD_BYTES];
        const char *arguments[3] = {value[4], value[5], value[6]};
        for (int k = 0; k < 7; k++) hostile(value[k], WORD_BYTES);
        struct ta_submit s = {.job_name = "x", .folder = value[0], .program = value[1], .config = value[2], .run_dir = value[3],
                              .arguments = arguments, .n_arguments = (size_t)draw(4), .spares = draw(5), .tasks_per_node = 2};
        char *text, *end;
        assert_ok(ta_submit_script(&s, &text));
        end = strstr(text, "\n# ---- ");
        assert_non_null(end);
        *end = '\0';
        char *probe = NULL;
        size_t bytes;
        FILE *file = open_memstream(&probe, &bytes);
        fprintf(file,
                "%s\nprintf '%%s\\0' \"$folder\" \"$program\" \"$config\" \"$run_dir\" \"$reserve $spares\" "
                "\"${arguments[@]}\"\n",
                text);
        fclose(file);
        FILE *out = bash(probe);
        for (int k = 0; k < 4; k++) expect_text(out, value[k]);
        char numbers[32];
        snprintf(numbers, sizeof numbers, "%u %u", (s.spares + 1) / 2, s.spares);
        expect_text(out, numbers);
        for (size_t k = 0; k < s.n_arguments; k++) expect_text(out, arguments[k]);
        assert_int_equal(fgetc(out), EOF);
        assert_int_equal(pclose(out), 0);
        free(probe);
        ta_mem_free(text);
    }
}

static bool has_line(const char *text, const char *line) {
    const char *at = strstr(text, line);
    return at != NULL && (at == text || at[-1] == '\n') && at[strlen(line)] == '\n';
}

static void directives(void **unused) {
    (void)unused;
    struct ta_submit s = plain;
    char *text;
    assert_ok(ta_submit_script(&s, &text));
    static const char *const always[] = {
        "#!/bin/bash",       "#SBATCH --nodes=1",          "#SBATCH --ntasks-per-node=1", "#SBATCH --no-kill",
        "#SBATCH --requeue", "#SBATCH --open-mode=append", "#SBATCH --signal=B:USR1@120"};
    for (unsigned i = 0; i < sizeof always / sizeof always[0]; i++)
        if (!has_line(text, always[i])) fail_msg("no line '%s' in\n%s", always[i], text);
    assert_null(strstr(text, "##SBATCH"));
    assert_null(strstr(text, "gpus-per-task"));
    assert_null(strstr(text, "--partition"));
    assert_non_null(strstr(text, "\nrun_dir=runs/my.run-$SLURM_JOB_ID\n"));
    ta_mem_free(text);
    s = (struct ta_submit){.job_name = "j", .folder = "/f", .program = "/p", .config = "/c", .nodes = 4, .tasks_per_node = 3, .time = "1-02:00:00",
                           .partition = "a,b", .account = "me", .qos = "high", .array = "0-5%2", .mem = "4G", .cpus_per_task = 5,
                           .gpus_per_node = 2, .signal_ahead_s = 60, .spares = 4};
    assert_ok(ta_submit_script(&s, &text));
    static const char *const asked[] = {"#SBATCH --nodes=6", "#SBATCH --ntasks-per-node=3", "#SBATCH --time=1-02:00:00",
                                        "#SBATCH --partition=a,b", "#SBATCH --account=me", "#SBATCH --qos=high", "#SBATCH --mem=4G",
                                        "#SBATCH --array=0-5%2", "#SBATCH --cpus-per-task=5", "#SBATCH --gpus-per-node=2",
                                        "#SBATCH --signal=B:USR1@60"};
    for (unsigned i = 0; i < sizeof asked / sizeof asked[0]; i++)
        if (!has_line(text, asked[i])) fail_msg("no line '%s' in\n%s", asked[i], text);
    ta_mem_free(text);
}

static void refused(void **unused) {
    (void)unused;
    static const char *const bad[] = {"", "a b", "a\nb", "x;y", "'", "a#b", "$(id)"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ta_submit s = plain;
        char *text;
        s.partition = bad[i];
        assert_fails(TA_USAGE, "--partition", ta_submit_script(&s, &text));
        assert_null(text);
    }
    struct ta_submit s = plain;
    char *text = NULL;
    for (unsigned n = 1;; n++) {
        ta_mem_fail_nth(n);
        ta_status status = ta_submit_script(&s, &text);
        ta_mem_fail_nth(0);
        if (status == TA_OK) break;
        assert_int_equal(status, TA_NO_MEMORY);
    }
    ta_mem_free(text);
}

static char folder[64];

static int make_folder(void **unused) {
    (void)unused;
    snprintf(folder, sizeof folder, "/tmp/tensair-submit-XXXXXX");
    return mkdtemp(folder) == NULL || chdir(folder) != 0;
}

static int remove_folder(void **unused) {
    (void)unused;
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("/") != 0 || system(command) != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quoting), cmocka_unit_test(settings), cmocka_unit_test(directives), cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests_name("submit", tests, make_folder, remove_folder);
}
