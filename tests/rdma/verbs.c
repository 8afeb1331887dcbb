/* Transport verbs: what the suite over all makes cannot ask: its queues, its choices, its failures. Needs an RDMA
 * device. TENSAIR_TEST_LINK=NETDEV names the interface below the device, which may then be taken down and up again
 * (root). */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "clock.h"
#include "expect.h"
#include "pair.h"
#include "survey.h"

enum { ROWS = 8192, ROW_BYTES = 64, SEGMENTS = 15, MANY_SEGMENTS_BYTES = SEGMENTS * ROWS * ROW_BYTES };

/* The device's retries take 0.94 s; virtual machines on a busy one need some more. */
#define LOST_NS (6 * TA_NS_PER_S)

static const struct pair_kind one = {.name = "verbs", .ops = &ta_transport_verbs, .has_peers = true, .device = true};
static const struct pair_kind two = {
    .name = "verbs", .ops = &ta_transport_verbs, .has_peers = true, .device = true, .forked = true};

/* ---- queues ---- */

static void a_full_queue_is_busy(void **state) {
    (void)state;
    struct pair pair;
    static uint64_t source[200][8], seen[8];
    pair_open(&pair, &one, 4096);
    pair_lend(&pair, source, sizeof source);
    struct ta_put_segment first = {source[0], sizeof source[0], 0};
    pair_put(&pair, &first, 1);
    unsigned taken = 0;
    for (uint64_t i = 1; i < 200; i++) {
        for (int k = 0; k < 8; k++) source[i][k] = i;
        struct ta_put_segment segment = {source[i], sizeof source[i], 0};
        ta_status status = pair.ops->put(pair.sender, 1, &segment, 1); /* without progress nothing ends */
        if (status == TA_BUSY) break;
        assert_int_equal(status, TA_OK);
        taken = (unsigned)i;
    }
    assert_true(taken >= 4 && taken < 64);
    assert_int_equal(pair.ops->in_flight(pair.sender, 1), taken + 1);
    pair_settle(&pair);
    pair_read(&pair, 0, sizeof seen, seen);
    for (int k = 0; k < 8; k++) assert_int_equal(seen[k], taken); /* BUSY did nothing */
    pair_close(&pair);
}

/* Many times what a queue holds: one put all the same, and the segment behind the rows comes behind them. */
static void a_put_may_be_more_than_a_queue_holds(void **state) {
    (void)state;
    struct pair pair;
    unsigned char *source, *seen;
    uint32_t *rows;
    uint64_t header = 4711, word = 0;
    struct ta_put_segment put[SEGMENTS + 1];
    pair_open(&pair, &one, MANY_SEGMENTS_BYTES + 8);
    assert_ok(TA_NEW(&source, MANY_SEGMENTS_BYTES, "a source"));
    assert_ok(TA_NEW(&seen, MANY_SEGMENTS_BYTES, "a window"));
    assert_ok(TA_NEW(&rows, ROWS, "rows"));
    for (size_t i = 0; i < MANY_SEGMENTS_BYTES; i++) source[i] = (unsigned char)(i * 31 + i / 4096 + 1);
    for (uint32_t i = 0; i < ROWS; i++) rows[i] = i * 4099 % ROWS; /* all, none beside its neighbour */
    pair_lend(&pair, source, MANY_SEGMENTS_BYTES);
    pair_lend(&pair, &header, sizeof header);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        size_t at = (size_t)i * ROWS * ROW_BYTES;
        put[i] = (struct ta_put_segment){source + at, ROW_BYTES, at, rows, ROWS};
    }
    put[SEGMENTS] = (struct ta_put_segment){&header, sizeof header, MANY_SEGMENTS_BYTES};
    pair_put(&pair, put, SEGMENTS + 1);
    assert_int_equal(pair.ops->in_flight(pair.sender, 1), 1);
    while (word != header) {
        assert_ok(pair_progress(&pair));
        word = ta_window_load_u64((char *)pair.window.base + MANY_SEGMENTS_BYTES);
    }
    pair_read(&pair, 0, MANY_SEGMENTS_BYTES, seen);
    assert_memory_equal(seen, source, MANY_SEGMENTS_BYTES);
    pair_settle(&pair);
    assert_int_equal(pair.ops->in_flight(pair.sender, 1), 0);
    pair_close(&pair);
    ta_mem_free(source);
    ta_mem_free(seen);
    ta_mem_free(rows);
}

static void sources_must_be_registered(void **state) {
    (void)state;
    struct pair pair;
    static unsigned char source[4096];
    pair_open(&pair, &one, 8192);
    pair_lend(&pair, source, 1024);
    const struct ta_put_segment wrong[] = {
        {source + 1024, 8, 0}, {source + 1020, 8, 0}, {source, 1025, 0}, {source, 256, 0, (const uint32_t[]){1, 4}, 2}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_fails(TA_INVALID, "was not registered", pair.ops->put(pair.sender, 1, &wrong[i], 1));
    pair_lend(&pair, source + 1024, 1024);
    pair_put(&pair, &wrong[0], 1);
    pair_put(&pair, &(struct ta_put_segment){source, 256, 0, (const uint32_t[]){0, 3}, 2}, 1);
    assert_fails(TA_INVALID, "as a whole", pair.ops->put(pair.sender, 1, &wrong[1], 1)); /* half in each */
    pair_settle(&pair);
    pair_close(&pair);
}

static void nothing_grows_with_the_lives_of_a_path(void **state) {
    (void)state;
    struct pair pair;
    char before[512], after[512];
    pair_open(&pair, &one, 8192);
    pair.ops->describe(pair.owner, before, sizeof before);
    assert_non_null(strstr(before, "2 queue pairs (1 a peer, 1 for hellos)"));
    size_t held = ta_mem_held_bytes();
    for (int i = 0; i < 50; i++) {
        pair_part(&pair);
        pair_meet(&pair);
    }
    pair.ops->describe(pair.owner, after, sizeof after);
    assert_string_equal(before, after);
    assert_int_equal(ta_mem_held_bytes(), held);
    pair_close(&pair);
}

/* ---- choices ---- */

static void open_fails(struct ta_transport_spec spec, ta_status wanted, const char *part) {
    struct ta_transport *t;
    char said[512];
    struct ta_transport_config config = {.rank = 0, .n_ranks = 2, .run_id = 1, .spec = &spec};
    assert_fails(wanted, part, ta_transport_verbs.open(&config, &t));
    assert_null(t);
    if (spec.gpu_direct == NULL) assert_fails(wanted, part, ta_transport_verbs.probe(&spec, said, sizeof said));
}

static void what_is_asked_for_is_there_or_an_error(void **state) {
    (void)state;
    struct ta_survey_port *ports;
    size_t n;
    char said[512], name[128], none[] = "nosuch0", far_away[] = "999", word[] = "one", require[] = "require";
    assert_ok(ta_survey_ports(&ports, &n));
    assert_true(n > 0);
    assert_string_equal(ports[0].why_not, "");
    assert_true(ports[0].is_up && ports[0].best_gid >= 0 && ports[0].mtu >= 256 && ports[0].max_mtu >= ports[0].mtu);
    open_fails((struct ta_transport_spec){.device = none}, TA_CONFIG, ports[0].device);
    open_fails((struct ta_transport_spec){.gid = far_away}, TA_CONFIG, "'999' is no index");
    open_fails((struct ta_transport_spec){.gid = word}, TA_CONFIG, "'one' is no index");
    open_fails((struct ta_transport_spec){.rails = 4}, TA_CONFIG, "transport.rails: 4");
    open_fails((struct ta_transport_spec){.rails = 5}, TA_CONFIG, "at most 4");
    if (strcmp(ports[0].driver, "rdma_rxe") == 0)
        open_fails((struct ta_transport_spec){.gpu_direct = require}, TA_DEVICE, "no dma-buf support");
    snprintf(name, sizeof name, "%s:%u", ports[0].device, ports[0].port);
    assert_ok(ta_transport_verbs.probe(&(struct ta_transport_spec){.device = name}, said, sizeof said));
    assert_non_null(strstr(said, ports[0].device));
    snprintf(name, sizeof name, "%s:%u,%s", ports[0].device, ports[0].port, none);
    open_fails((struct ta_transport_spec){.device = name}, TA_CONFIG, none);
    snprintf(name, sizeof name, "%s:%u", ports[0].device, 77U);
    open_fails((struct ta_transport_spec){.device = name}, TA_CONFIG, ":77'");
    ta_mem_free(ports);
}

static void hints_are_taken_or_ignored(void **state) {
    (void)state;
    static const char *const hints[][2] = {
        {"NCCL_IB_HCA", "%s"},          {"NCCL_IB_HCA", "=%s:1"},   {"NCCL_IB_HCA", "^%s"},
        {"NCCL_IB_HCA", "^=nosuch,%s"}, {"NCCL_IB_HCA", "nosuch"},  {"UCX_NET_DEVICES", "%s:1"},
        {"UCX_NET_DEVICES", "nosuch"},  {"UCX_NET_DEVICES", "all"}, {"NCCL_IB_GID_INDEX", "9999"},
        {"NCCL_IB_GID_INDEX", "-1"},    {"NCCL_IB_HCA", ",,:,"}};
    struct ta_survey_port *ports;
    size_t n;
    char plain[512], said[512], value[128];
    assert_ok(ta_survey_ports(&ports, &n));
    assert_ok(ta_transport_verbs.probe(NULL, plain, sizeof plain));
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        const char *at = strstr(hints[i][1], "%s");
        snprintf(value, sizeof value, "%.*s%s%s", at != NULL ? (int)(at - hints[i][1]) : 100, hints[i][1],
                 at != NULL ? ports[0].device : "", at != NULL ? at + 2 : "");
        setenv(hints[i][0], value, 1);
        assert_ok(ta_transport_verbs.probe(NULL, said, sizeof said));
        unsetenv(hints[i][0]);
        if (n == 1) assert_string_equal(said, plain); /* there is nothing else to take */
    }
    for (unsigned i = 0; i < ports[0].n_gids; i++) {
        char part[256];
        snprintf(value, sizeof value, "%u", ports[0].gids[i].index);
        snprintf(part, sizeof part, "gid %s %s %s", value, ports[0].gids[i].text, ports[0].gids[i].type);
        setenv("NCCL_IB_GID_INDEX", value, 1);
        assert_ok(ta_transport_verbs.probe(NULL, said, sizeof said));
        assert_non_null(strstr(said, part));
        unsetenv("NCCL_IB_GID_INDEX");
        assert_ok(ta_transport_verbs.probe(&(struct ta_transport_spec){.gid = value}, said, sizeof said));
        assert_non_null(strstr(said, part));
    }
    ta_mem_free(ports);
}

static void memory_of_gpus_is_refused_in_words(void **state) {
    (void)state;
    struct ta_transport *t;
    struct ta_key key;
    static _Alignas(4096) unsigned char memory[8192];
    struct ta_window gpu = {.base = memory, .bytes = sizeof memory, .kind = TA_MEM_GPU}, none = {.bytes = 1};
    struct ta_transport_config config = {.rank = 0, .n_ranks = 2, .run_id = 1};
    assert_ok(ta_transport_verbs.open(&config, &t));
    assert_int_equal(ta_transport_verbs.window_adopt(t, &none), TA_INVALID);
    assert_ok(ta_transport_verbs.window_adopt(t, &gpu));
    assert_int_equal(ta_transport_verbs.window_adopt(t, &gpu), TA_INVALID);
    assert_fails(TA_DEVICE, "of GPU memory", ta_transport_verbs.key_make(t, 1, &key));
    ta_transport_verbs.close(t);
}

/* Memory of the caller's is a window like any other. */
static void an_adopted_window_is_written(void **state) {
    (void)state;
    struct pair pair;
    static _Alignas(4096) unsigned char memory[8192], source[64];
    struct ta_window window = {.base = memory, .bytes = sizeof memory, .kind = TA_MEM_HOST};
    memset(source, 9, sizeof source);
    pair_start(&pair, &one, 64);
    pair.ops->close(pair.owner);
    struct ta_transport_config config = pair_sender_config(&pair);
    config.rank = 1;
    assert_ok(pair.ops->open(&config, &pair.owner));
    assert_ok(pair.ops->window_adopt(pair.owner, &window));
    assert_int_equal(pair.ops->window_create(pair.owner, 64, &pair.window), TA_INVALID);
    pair_meet(&pair);
    pair_lend(&pair, source, sizeof source);
    pair_put(&pair, &(struct ta_put_segment){source, sizeof source, 8192 - 64}, 1);
    pair_settle(&pair);
    assert_memory_equal(memory + 8192 - 64, source, 64);
    assert_int_equal(memory[8192 - 65], 0);
    pair_close(&pair);
}

/* ---- failures ---- */

static int open_with_little_memory(rlim_t hard) {
    struct ta_transport *t;
    struct ta_window window;
    struct ta_key key;
    struct ta_transport_config config = {.rank = 0, .n_ranks = 2, .run_id = 1};
    struct rlimit limit = {.rlim_cur = 256 << 10, .rlim_max = hard};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || setresuid(65534, 65534, 65534) != 0) return 77;
    if (ta_transport_verbs.open(&config, &t) != TA_OK) return 2;
    if (ta_transport_verbs.window_create(t, 4 << 20, &window) != TA_OK) return 3;
    ta_status status = ta_transport_verbs.key_make(t, 1, &key);
    const char *cure = hard > 256 << 10 ? "ulimit -l 41" : "memlock unlimited";
    int failed =
        status != TA_CONFIG || strstr(ta_why(), cure) == NULL || strstr(ta_why(), "262144 are allowed") == NULL;
    if (failed) fprintf(stderr, "%s: %s\n", ta_status_name(status), ta_why());
    ta_transport_verbs.close(t);
    return failed;
}

static void too_little_lockable_memory_says_what_to_type(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) _exit(open_with_little_memory(i == 0 ? 256 << 10 : 1 << 30));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77) skip();
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void a_killed_peer_is_found_broken(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct pair pair;
        static unsigned char source[1 << 16];
        struct ta_put_segment segment = {source, sizeof source, 0};
        pair_open(&pair, &two, sizeof source);
        pair_lend(&pair, source, sizeof source);
        pair_put(&pair, &segment, 1);
        pair_settle(&pair);
        pair_kill_owner(&pair);
        int64_t took_ns = pair_wait_lost(&pair, &segment, 10 * TA_NS_PER_S);
        assert_true(took_ns >= 0 && took_ns < LOST_NS);
        assert_int_equal(pair.ops->peer_state(pair.sender, 1), TA_PEER_BROKEN);
        assert_fails(TA_PEER, "the path to peer 1 is broken: segment 0 of 1 of a put (65536 bytes to offset 0)",
                     pair.ops->put(pair.sender, 1, &segment, 1));
        print_message("after %.2f s: %s\n", (double)took_ns / TA_NS_PER_S, ta_why());
        pair_close(&pair);
    }
}

static bool link_set(const char *what) {
    char command[128];
    snprintf(command, sizeof command, "ip link set %s %s", getenv("TENSAIR_TEST_LINK"), what);
    return system(command) == 0;
}

static void a_link_that_flaps_breaks_the_path_and_a_new_one_works(void **state) {
    (void)state;
    struct pair pair;
    char said[512];
    static unsigned char source[1 << 16], seen[1 << 16];
    struct ta_put_segment segment = {source, sizeof source, 0};
    if (getenv("TENSAIR_TEST_LINK") == NULL) skip();
    pair_open(&pair, &one, sizeof source);
    pair_lend(&pair, source, sizeof source);
    pair_put(&pair, &segment, 1);
    pair_settle(&pair);
    assert_true(link_set("down"));
    assert_fails(TA_DEVICE, "is down", ta_transport_verbs.probe(NULL, said, sizeof said));
    assert_non_null(strstr(ta_why(), getenv("TENSAIR_TEST_LINK")));
    int64_t took_ns = pair_wait_lost(&pair, &segment, 10 * TA_NS_PER_S);
    assert_true(took_ns >= 0 && took_ns < LOST_NS);
    assert_int_equal(pair.ops->peer_state(pair.sender, 1), TA_PEER_BROKEN);
    struct ta_key key;
    pair_part(&pair);
    assert_fails(TA_DEVICE, "is down", pair.ops->key_make(pair.sender, 1, &key));
    assert_true(link_set("up"));
    int64_t limit_ns = ta_clock_now_ns() + 20 * TA_NS_PER_S;
    while (ta_transport_verbs.probe(NULL, said, sizeof said) != TA_OK && ta_clock_now_ns() < limit_ns) usleep(10000);
    memset(source, 0x33, sizeof source);
    pair_meet(&pair);
    pair_put(&pair, &segment, 1);
    pair_settle(&pair);
    pair_read(&pair, 0, sizeof seen, seen);
    assert_memory_equal(seen, source, sizeof seen);
    pair_close(&pair);
}

int main(void) {
    char said[512];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_queue_is_busy),
        cmocka_unit_test(a_put_may_be_more_than_a_queue_holds),
        cmocka_unit_test(sources_must_be_registered),
        cmocka_unit_test(nothing_grows_with_the_lives_of_a_path),
        cmocka_unit_test(what_is_asked_for_is_there_or_an_error),
        cmocka_unit_test(hints_are_taken_or_ignored),
        cmocka_unit_test(memory_of_gpus_is_refused_in_words),
        cmocka_unit_test(an_adopted_window_is_written),
        cmocka_unit_test(too_little_lockable_memory_says_what_to_type),
        cmocka_unit_test(a_killed_peer_is_found_broken),
        cmocka_unit_test(a_link_that_flaps_breaks_the_path_and_a_new_one_works),
    };
    if (ta_transport_verbs.probe(NULL, said, sizeof said) != TA_OK) {
        printf("SKIPPED: %s\n", ta_why());
        return 77;
    }
    return cmocka_run_group_tests_name("transport verbs", tests, NULL, NULL);
}
