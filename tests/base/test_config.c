/* config: what is right is read exactly and printed so that it reads the same; what is wrong is named and placed. */
#include "config_schema.h"

#include <limits.h>
#include <math.h>

#include "check.h"

static ta_status parse(const char *text, const char *const *sets, size_t n, struct whole **out) {
    return ta_config_parse("run.yaml", text, strlen(text), &whole_schema, sets, n, (void **)out);
}

/* The text (with `title: t` in front) is refused, and the message is exactly this. */
static void refused(const char *text, const char *message) {
    char whole[512];
    struct whole *out = (void *)1;
    snprintf(whole, sizeof whole, "title: t\n%s", text);
    size_t before = ta_mem_held_bytes();
    ta_status status = parse(whole, NULL, 0, &out);
    if (status != TA_CONFIG) fail_msg("'%s' gave %s: %s", text, ta_status_name(status), ta_why());
    assert_string_equal(ta_why(), message);
    assert_null(out);
    assert_int_equal(ta_mem_held_bytes(), before);
}

static void set_refused(const char *set, const char *message) {
    struct whole *out;
    const char *text = "title: t\nnumbers: [1, 2]\npart: {rate: 1}\nlabel:\n";
    ta_status status = parse(text, &set, 1, &out);
    if (status != TA_CONFIG) fail_msg("--set %s gave %s: %s", set, ta_status_name(status), ta_why());
    assert_string_equal(ta_why(), message);
}

static const char *const full =
    "# a comment\n"
    "title: 'it''s \"quoted\" \\ ümläut'\n"
    "label: abc\n"
    "part:\n"
    "  tiny: -128\n"
    "  wide: -9223372036854775808\n"
    "  byte: 0xff\n"
    "  two_bytes: 010\n"
    "  count: 18446744073709551615\n"
    "  rate: 0.1\n"
    "  exact: 0.12345678901234567\n"
    "  on: yes\n"
    "  shade: dark\n"
    "pieces:\n"
    "  - {shade: light, name: first, width: 1e6, at: 3}\n"
    "  - shade: none\n"
    "numbers: [3, 1, 2]\n"
    "pair: [0.5, -1e-3]\n"
    "flags: [fast, small]\n";

static void check_full(const struct whole *w) {
    assert_string_equal(w->title, "it's \"quoted\" \\ ümläut");
    assert_string_equal(w->label, "abc");
    assert_int_equal(w->part.tiny, -128);
    assert_true(w->part.wide == INT64_MIN);
    assert_int_equal(w->part.byte, 255);
    assert_int_equal(w->part.two_bytes, 10); /* decimal, whatever YAML 1.1 says */
    assert_true(w->part.count == UINT64_MAX);
    assert_true(w->part.rate == 0.1f);
    assert_true(w->part.exact == 0.12345678901234567);
    assert_true(w->part.on);
    assert_int_equal(w->part.shade, SHADE_DARK);
    assert_int_equal(w->pieces_count, 2);
    assert_string_equal(w->pieces[0].name, "first");
    assert_int_equal(w->pieces[0].width, 1000000);
    assert_true(w->pieces[0].at == 3.0);
    assert_int_equal(w->pieces[1].shade, SHADE_NONE);
    assert_null(w->pieces[1].name);
    assert_int_equal(w->numbers_count, 3);
    assert_int_equal(w->numbers[0], 3);
    assert_true(w->pair[0] == 0.5f && w->pair[1] == -1e-3f);
    assert_int_equal(w->flags, 3);
}

static void everything_is_read_and_printed_alike(void **state) {
    (void)state;
    struct whole *w, *again;
    char *text, *text_again;
    assert_ok(parse(full, NULL, 0, &w));
    check_full(w);
    assert_ok(ta_config_print(w, &whole_schema, &text));
    assert_ok(parse(text, NULL, 0, &again));
    check_full(again);
    assert_ok(ta_config_print(again, &whole_schema, &text_again));
    assert_string_equal(text, text_again);
    ta_mem_free(text);
    ta_mem_free(text_again);
    ta_config_free(w, &whole_schema);
    ta_config_free(again, &whole_schema);
    ta_config_free(NULL, &whole_schema);
    assert_int_equal(ta_mem_held_bytes(), 0);
}

static void what_is_not_given_is_zero(void **state) {
    (void)state;
    struct whole *w, *again;
    char *text;
    assert_ok(parse("title: t\npart:\npieces: ~\nnumbers: null\n", NULL, 0, &w));
    assert_true(w->part.rate == 0 && w->part.count == 0 && !w->part.on && w->pieces_count == 0 && w->numbers == NULL);
    assert_ok(ta_config_print(w, &whole_schema, &text));
    assert_ok(parse(text, NULL, 0, &again));
    assert_true(again->part.rate == 0 && again->pieces_count == 0 && again->numbers_count == 0);
    ta_mem_free(text);
    ta_config_free(w, &whole_schema);
    ta_config_free(again, &whole_schema);
}

static void words_for_true_and_false(void **state) {
    (void)state;
    static const char *const words[] = {"true", "false", "Yes", "No", "ON", "off", "1", "0"};
    for (int i = 0; i < 8; i++) {
        char text[64];
        struct whole *w;
        snprintf(text, sizeof text, "title: t\npart: {on: %s}\n", words[i]);
        assert_ok(parse(text, NULL, 0, &w));
        assert_int_equal(!!w->part.on, i % 2 == 0);
        ta_config_free(w, &whole_schema);
    }
    refused("part: {on: flase}", "run.yaml:2: 'part.on': 'flase' is not true or false");
}

static void wrong_keys_are_named(void **state) {
    (void)state;
    refused("lable: x", "run.yaml:2: unknown key 'lable' at the top level; did you mean 'label'?");
    refused("part:\n  raet: 1", "run.yaml:3: unknown key 'raet' in 'part'; did you mean 'rate'?");
    refused("pieces:\n- {shade: dark}\n- {shade: dark, x: 1}",
            "run.yaml:4: unknown key 'x' in 'pieces[1]'; known are: shade, name, width, at");
    refused("label: a\nlabel: b", "run.yaml:3: 'label': is given twice; first in line 2");
    refused("? [a, b]\n: c", "run.yaml:2: a key at the top level is a list, not a word");
    refused("pieces: [{width: 3}]", "run.yaml:2: 'pieces[0].shade' is missing");
    refused("pieces: [~]", "run.yaml:2: 'pieces[0].shade' is missing");
    struct whole *out;
    assert_fails(TA_CONFIG, "run.yaml:1: 'title' is missing", parse("label: x", NULL, 0, &out));
    assert_fails(TA_CONFIG, "run.yaml:2: 'title' is missing", parse("label: x\ntitle:", NULL, 0, &out));
    assert_fails(TA_CONFIG, "run.yaml:1: 'title' is missing", parse("", NULL, 0, &out));
}

static void wrong_values_are_named(void **state) {
    (void)state;
    refused("part: {rate: fast}", "run.yaml:2: 'part.rate': 'fast' is not a number");
    refused("part: {rate: 1e39}",
            "run.yaml:2: 'part.rate': 1e39 is out of range: finite numbers up to 3.4e+38 are allowed");
    refused("part: {exact: .inf}", "run.yaml:2: 'part.exact': '.inf' is not a number");
    refused("part: {exact: nan}",
            "run.yaml:2: 'part.exact': nan is out of range: finite numbers up to 1.8e+308 are allowed");
    refused("part: {count: 1.5}", "run.yaml:2: 'part.count': '1.5' is not a whole number");
    refused("part: {count: ten}", "run.yaml:2: 'part.count': 'ten' is not a whole number");
    refused("part: {count: 0x}", "run.yaml:2: 'part.count': '0x' is not a whole number");
    refused("part: {count: -1}",
            "run.yaml:2: 'part.count': -1 is out of range: 0 to 18446744073709551615 is allowed");
    refused("part: {count: 18446744073709551616}",
            "run.yaml:2: 'part.count': 18446744073709551616 is out of range: 0 to 18446744073709551615 is allowed");
    refused("part: {byte: 256}", "run.yaml:2: 'part.byte': 256 is out of range: 0 to 255 is allowed");
    refused("part: {tiny: -129}", "run.yaml:2: 'part.tiny': -129 is out of range: -128 to 127 is allowed");
    refused("part: {tiny: [1]}", "run.yaml:2: 'part.tiny': is a list, but must be a single value");
    refused("part: 3", "run.yaml:2: 'part': is a single value, but must be a mapping (key: value)");
    refused("pieces: {shade: dark}", "run.yaml:2: 'pieces': is a mapping, but must be a list, as [a, b]");
    refused("part: {shade: drak}",
            "run.yaml:2: 'part.shade': 'drak' is not one of none, light, dark; did you mean 'dark'?");
    refused("part: {shade: 2}", "run.yaml:2: 'part.shade': '2' is not one of none, light, dark");
    refused("flags: [fast, smal]",
            "run.yaml:2: 'flags[1]': 'smal' is not one of fast, small; did you mean 'small'?");
    refused("numbers: []", "run.yaml:2: 'numbers': has 0 entries, at least 1 are needed");
    refused("pair: [1]", "run.yaml:2: 'pair': has 1 entries, 2 to 2 are allowed");
    refused("label: abcdefgh", "run.yaml:2: 'label': 'abcdefgh...' is too long: 8 bytes, at most 7");
    refused("label: \"a\\0b\"", "run.yaml:2: 'label': holds a zero byte");
    refused("part: {rate: 1", "run.yaml:3: did not find expected ',' or '}' while parsing a flow mapping");
    refused("label: *x", "run.yaml:2: '*x': aliases are not supported; write the value out");
    refused("---\nlabel: x", "run.yaml:2: a second document begins; only one is read");
    struct whole *out;
    assert_fails(TA_CONFIG, "the top level: is a list, but must be a mapping", parse("[1]", NULL, 0, &out));
    assert_fails(TA_CONFIG, "'title': '' is too short", parse("title: ''", NULL, 0, &out));
    assert_fails(TA_CONFIG, "run.yaml: byte 9: ", parse("title: ab\xff", NULL, 0, &out));
}

static void floods_are_refused(void **state) {
    (void)state;
    struct whole *out;
    enum { BIG = (1 << 20) + 1 };
    char *text = malloc(BIG + 1);
    memset(text, '[', BIG);
    text[BIG] = '\0';
    assert_fails(TA_CONFIG, "1048577 bytes are no configuration; at most 1048576", parse(text, NULL, 0, &out));
    text[4000] = '\0';
    assert_fails(TA_CONFIG, "run.yaml:1: nested more than 64 deep", parse(text, NULL, 0, &out));
    memset(text, ' ', BIG);
    text[BIG - 1] = '\0'; /* the largest that is read */
    memcpy(text, "title: t\n", 9);
    assert_ok(parse(text, NULL, 0, &out));
    ta_config_free(out, &whole_schema);
    free(text);
}

static void overrides_are_worked_in(void **state) {
    (void)state;
    static const char *const sets[] = {
        "title=other",     "part.rate=0.25",    "part.on=true",           "numbers[1]=7", "numbers[3]=9",
        "pieces[1].width=5", "pieces[1].name=x=y", "pieces[2]={shade: light}", "pair=[1, 2]",  "label=",
        "pieces[0].name=", "part.count=1",      "part.count=2"};
    struct whole *w;
    assert_ok(parse(full, sets, sizeof sets / sizeof sets[0], &w));
    assert_string_equal(w->title, "other");
    assert_true(w->part.rate == 0.25f && w->part.on && w->part.count == 2 && w->part.tiny == -128);
    assert_int_equal(w->numbers_count, 4);
    assert_int_equal(w->numbers[1], 7);
    assert_int_equal(w->numbers[3], 9);
    assert_int_equal(w->pieces_count, 3);
    assert_int_equal(w->pieces[1].width, 5);
    assert_string_equal(w->pieces[1].name, "x=y");
    assert_int_equal(w->pieces[2].shade, SHADE_LIGHT);
    assert_null(w->pieces[0].name);
    assert_string_equal(w->label, "");
    assert_true(w->pair[1] == 2);
    ta_config_free(w, &whole_schema);

    static const char *const from_nothing[] = {"title=t", "part.rate=1", "pieces[0].shade=dark", "numbers[0]=4"};
    assert_ok(parse("", from_nothing, 4, &w));
    assert_true(w->part.rate == 1 && w->pieces[0].shade == SHADE_DARK && w->numbers[0] == 4);
    ta_config_free(w, &whole_schema);
}

static void wrong_overrides_are_named(void **state) {
    (void)state;
    set_refused("part.raet=0.1", "--set part.raet=0.1: unknown key 'raet' in 'part'; did you mean 'rate'?");
    set_refused("prat.rate=0.1", "--set prat.rate=0.1: unknown key 'prat' at the top level; did you mean 'part'?");
    set_refused("part.rate=x", "--set part.rate=x: 'part.rate': 'x' is not a number");
    set_refused("title", "--set title: expected KEY=VALUE");
    set_refused("=3", "--set =3: expected KEY=VALUE");
    set_refused("a..b=3", "--set a..b=3: expected a path like model.layers[2].filters before '='");
    set_refused("a b=3", "--set a b=3: expected a path like model.layers[2].filters before '='");
    set_refused("part.=3", "--set part.=3: expected a path like model.layers[2].filters before '='");
    set_refused("numbers[x]=3", "--set numbers[x]=3: expected a number in [ ]");
    set_refused("numbers[]=3", "--set numbers[]=3: expected a number in [ ]");
    set_refused("numbers[5]=3", "--set numbers[5]=3: there is no [5]: the list has 2 entries");
    set_refused("title.x=3", "--set title.x=3: what stands before 'x=3' is not a mapping");
    set_refused("part[0]=3", "--set part[0]=3: what stands before '[' is not a list");
    set_refused("pair=[1, 2", "--set pair=[1, 2: did not find expected ',' or ']' while parsing a flow sequence");
    set_refused("label=*x", "--set label=*x: '*x': aliases are not supported; write the value out");
}

static void the_nearest_word(void **state) {
    (void)state;
    static const char *const words[] = {"batch_size", "rate", "records", "run"};
    assert_string_equal(ta_config_nearest("bach_size", words, 4), "batch_size");
    assert_string_equal(ta_config_nearest("raet", words, 4), "rate");
    assert_string_equal(ta_config_nearest("nur", words, 4), "run");
    assert_null(ta_config_nearest("optimizer", words, 4));
    assert_null(ta_config_nearest("", words, 4));
    assert_null(ta_config_nearest("rate", words, 0));
}

static void every_failing_allocation_is_survived(void **state) {
    (void)state;
    static const char *const sets[] = {"part.rate=0.25", "pieces[2]={shade: light}"};
    size_t before = ta_mem_held_bytes();
    for (unsigned n = 1;; n++) {
        struct whole *w = NULL;
        char *text = NULL;
        ta_mem_fail_nth(n);
        ta_status status = parse(full, sets, 2, &w);
        if (status == TA_OK) status = ta_config_print(w, &whole_schema, &text);
        ta_mem_fail_nth(0);
        ta_mem_free(text);
        ta_config_free(w, &whole_schema);
        assert_int_equal(ta_mem_held_bytes(), before);
        if (status == TA_OK) {
            assert_true(n > 10);
            return;
        }
        if (status != TA_NO_MEMORY) fail_msg("allocation %u: %s: %s", n, ta_status_name(status), ta_why());
    }
}

static void a_file_that_cannot_be_read_is_named(void **state) {
    (void)state;
    void *out;
    assert_fails(TA_IO, "/nowhere/run.yaml: cannot open the configuration: No such file",
                 ta_config_load("/nowhere/run.yaml", &whole_schema, NULL, 0, &out));
    assert_fails(TA_IO, "Is a directory", ta_config_load("/", &whole_schema, NULL, 0, &out));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_read_and_printed_alike),
        cmocka_unit_test(what_is_not_given_is_zero),
        cmocka_unit_test(words_for_true_and_false),
        cmocka_unit_test(wrong_keys_are_named),
        cmocka_unit_test(wrong_values_are_named),
        cmocka_unit_test(floods_are_refused),
        cmocka_unit_test(overrides_are_worked_in),
        cmocka_unit_test(wrong_overrides_are_named),
        cmocka_unit_test(the_nearest_word),
        cmocka_unit_test(every_failing_allocation_is_survived),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
