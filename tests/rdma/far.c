/* Windows and sources in GPU memory, on a lazy GPU: order, who waits for whom, what is refused, which way is taken. */
#include <sys/mman.h>

#include "expect.h"
#include "far.h"
#include "far_kinds.h"
#include "lazy_gpu.h"
#include "pair.h"
#include "rng.h"

/* Two inboxes behind a control, as the exchange lays them out; the sender has the second one. */
enum { FLOATS = 3000, BODY = FLOATS * 4, CONTROL = 128, TAIL = 64, STRIDE = (BODY + 63) / 64 * 64 + TAIL, HEADERS = 4 };

static const struct ta_window_far pieces = {.first = CONTROL, .stride = STRIDE, .bytes = BODY, .n = 2};

enum { WINDOW = CONTROL + 2 * STRIDE, MINE = CONTROL + STRIDE };

struct bench {
    const char *name;
    const struct ta_transport_ops *ops, *inner;
    struct ta_sim_config fabric;
};

static const struct bench benches[] = {
    {.name = "shm", .ops = &ta_transport_shm},
    {.name = "staged over shm", .ops = &ta_transport_staged, .inner = &ta_transport_shm},
    {.name = "staged over sim", .ops = &ta_transport_staged, .inner = &ta_transport_sim,
     .fabric = {.n_ranks = 2, .seed = 5, .latency_ns = 700, .bytes_per_ns = 20, .jitter = 2, .duplicate = 0.3}},
};

struct two {
    const struct bench *bench;
    const struct ta_transport_ops *ops;
    struct ta_sim_fabric *fabric;
    struct ta_gpu *gpu[2];
    struct ta_transport *t[2];
    struct ta_window window[2];
    void *device; /* of the sender: FLOATS */
    int64_t now_ns;
};

static void two_open(struct two *two, const struct bench *bench) {
    *two = (struct two){.bench = bench, .ops = bench->ops};
    if (bench->fabric.n_ranks > 0) assert_ok(ta_sim_create(&bench->fabric, &two->fabric));
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(lazy_gpu_ops.open(i, &two->gpu[i]));
        struct ta_transport_config config = {.rank = i, .n_ranks = 2, .run_id = 9, .fabric = two->fabric,
                                             .gpu_ops = &lazy_gpu_ops, .gpu = two->gpu[i]};
        if (bench->inner != NULL) assert_ok(ta_staged_open(bench->inner, &config, &two->t[i]));
        else assert_ok(two->ops->open(&config, &two->t[i]));
        assert_ok(two->ops->window_create_far(two->t[i], WINDOW, &pieces, &two->window[i]));
    }
    assert_ok(lazy_gpu_ops.alloc(two->gpu[0], BODY, "delta", &two->device));
    assert_ok(two->ops->source_register_gpu(two->t[0], two->device, BODY));
}

static void two_meet(struct two *two) {
    struct ta_key key[2];
    for (unsigned i = 0; i < 2; i++) assert_ok(two->ops->key_make(two->t[i], 1 - i, &key[i]));
    for (unsigned i = 0; i < 2; i++) assert_ok(two->ops->connect(two->t[i], 1 - i, &key[1 - i]));
}

static void two_close(struct two *two) {
    for (unsigned i = 0; i < 2; i++) two->ops->close(two->t[i]);
    lazy_gpu_ops.free(two->gpu[0], two->device);
    for (unsigned i = 0; i < 2; i++) lazy_gpu_ops.close(two->gpu[i]);
    ta_sim_destroy(two->fabric);
    assert_int_equal(lazy_gpu_held(), 0);
}

static void two_progress(struct two *two) {
    two->now_ns += 50;
    for (unsigned i = 0; i < 2; i++)
        if (two->t[i] != NULL) assert_ok(two->ops->progress(two->t[i], two->now_ns));
}

/* The bodies as the owner's kernels see them, from now on. */
static const float *body_seen(struct two *two) {
    if (two->ops->fetch != NULL) assert_ok(two->ops->fetch(two->t[1], MINE, BODY, NULL, 0));
    lazy_gpu_run(two->gpu[1], TA_GPU_APPLY);
    return lazy_gpu_at(ta_window_at(&two->window[1], MINE));
}

static void write_version(struct two *two, float version) {
    float *delta = lazy_gpu_at(two->device);
    for (unsigned i = 0; i < FLOATS; i++) delta[i] = version;
}

static uint64_t header_seen(const struct two *two) { return ta_window_load_u64(two->window[1].base); }

static void headers_never_run_ahead(void **state) {
    struct two two;
    uint64_t header[HEADERS + 1], line[8] = {0};
    struct ta_rng rng = ta_rng_make(3, 3);
    two_open(&two, *state);
    assert_ok(two.ops->source_register(two.t[0], header, sizeof header));
    assert_ok(two.ops->source_register(two.t[0], line, sizeof line));
    two_meet(&two);
    uint64_t made = 0;
    unsigned most = 0;
    for (uint64_t seen = 0; seen < 60;) {
        unsigned in_flight = two.ops->in_flight(two.t[0], 1);
        if (in_flight > most) most = in_flight;
        if (made < 60 && in_flight < HEADERS && ta_rng_below(&rng, 3) == 0) {
            write_version(&two, (float)++made);
            uint64_t *mine = &header[made % (HEADERS + 1)];
            *mine = made;
            const struct ta_put_segment put[] = {{two.device, BODY, MINE, NULL, 0, 0},
                                                 {line, sizeof line, MINE + STRIDE - TAIL, NULL, 0, 0},
                                                 {mine, sizeof *mine, 0, NULL, 0, 0}};
            ta_status status = two.ops->put(two.t[0], 1, put, 3);
            if (status == TA_BUSY) made--;
            else assert_ok(status);
        }
        two_progress(&two);
        uint64_t now = header_seen(&two);
        assert_true(now >= seen && now <= made);
        seen = now;
        const float *body = body_seen(&two);
        for (unsigned i = 0; i < FLOATS; i++) assert_true(body[i] >= (float)seen && body[i] <= (float)made);
    }
    assert_true(most >= 2); /* several were in flight, so they had to keep their order */
    while (two.ops->in_flight(two.t[0], 1) > 0) two_progress(&two);
    const float *body = body_seen(&two);
    for (unsigned i = 0; i < FLOATS; i++) assert_true(body[i] == 60);
    two_close(&two);
}

/* A put reads what was queued on the other streams before it: in whatever order these would run by themselves. */
static void put_behind_kernels(const struct bench *bench, uint64_t seed) {
    struct two two;
    void *other;
    lazy_gpu_world.seed = seed;
    two_open(&two, bench);
    two_meet(&two);
    assert_ok(lazy_gpu_ops.alloc(two.gpu[0], BODY, "an update", &other));
    for (unsigned i = 0; i < FLOATS; i++) ((float *)lazy_gpu_at(other))[i] = 7;
    const size_t half = BODY / 2;
    assert_ok(lazy_gpu_ops.copy(two.gpu[0], TA_GPU_COMPUTE, two.device, other, half));
    assert_ok(lazy_gpu_ops.copy(two.gpu[0], TA_GPU_APPLY, (char *)two.device + half, other, BODY - half));
    const struct ta_put_segment put = {two.device, BODY, MINE, NULL, 0, 0};
    assert_ok(two.ops->put(two.t[0], 1, &put, 1));
    while (two.ops->in_flight(two.t[0], 1) > 0) two_progress(&two);
    const float *body = body_seen(&two);
    for (unsigned i = 0; i < FLOATS; i++) assert_true(body[i] == 7);
    lazy_gpu_ops.free(two.gpu[0], other);
    two_close(&two);
}

static void a_put_waits_for_the_kernels_before_it(void **state) {
    for (uint64_t seed = 0; seed < 30; seed++) put_behind_kernels(*state, seed);
}

static void rows_go_to_their_places(void **state) {
    enum { ROW = 20 * sizeof(float), TABLE = 1000 * sizeof(float), ROWS = (BODY - TABLE) / ROW };
    static const uint32_t listed[] = {ROWS - 1, 3, 4, 77, 3};
    struct two two;
    two_open(&two, *state);
    two_meet(&two);
    write_version(&two, 5);
    const struct ta_put_segment put = {(char *)two.device + TABLE, ROW, MINE + TABLE, listed, 5, 0};
    assert_ok(two.ops->put(two.t[0], 1, &put, 1));
    while (two.ops->in_flight(two.t[0], 1) > 0) two_progress(&two);
    if (two.ops->fetch != NULL) assert_ok(two.ops->fetch(two.t[1], MINE + TABLE, ROW, listed, 5));
    lazy_gpu_run(two.gpu[1], TA_GPU_APPLY);
    const float *body = lazy_gpu_at(ta_window_at(&two.window[1], MINE));
    for (unsigned i = 0; i < FLOATS; i++) {
        size_t row = i * sizeof(float) < TABLE ? ROWS : (i * sizeof(float) - TABLE) / ROW;
        bool is_listed = row == ROWS - 1 || row == 3 || row == 4 || row == 77;
        assert_true(body[i] == (is_listed ? 5.0F : 0.0F));
    }
    two_close(&two);
}

/* Given up in the midst of it, and made anew: nothing of the old path is counted on, and the memory is given back. */
static void paths_are_given_up_and_made_anew(void **state) {
    struct two two;
    two_open(&two, *state);
    const struct ta_put_segment put = {two.device, BODY, MINE, NULL, 0, 0};
    for (unsigned turn = 1; turn <= 6; turn++) {
        two_meet(&two);
        write_version(&two, (float)turn);
        for (unsigned i = 0; i < 3; i++) assert_ok(two.ops->put(two.t[0], 1, &put, 1));
        for (unsigned i = 0; i < turn; i++) two_progress(&two);
        if (turn == 6) break;
        for (unsigned i = 0; i < 2; i++) two.ops->disconnect(two.t[i], 1 - i);
        assert_int_equal(two.ops->in_flight(two.t[0], 1), 0);
        assert_int_equal(two.ops->put(two.t[0], 1, &put, 1), TA_INVALID);
    }
    while (two.ops->in_flight(two.t[0], 1) > 0) two_progress(&two);
    const float *body = body_seen(&two);
    for (unsigned i = 0; i < FLOATS; i++) assert_true(body[i] == 6);
    two_close(&two);
}

static void who_closes_leaves_memory_to_those_who_copy(void **state) {
    struct two two;
    two_open(&two, *state);
    two_meet(&two);
    const struct ta_put_segment put = {two.device, BODY, MINE, NULL, 0, 0};
    for (unsigned i = 0; i < 3; i++) assert_ok(two.ops->put(two.t[0], 1, &put, 1));
    two.ops->close(two.t[1]);
    two.t[1] = NULL;
    ta_status status = TA_OK;
    for (unsigned i = 0; i < 200000 && status == TA_OK; i++)
        status = two.ops->progress(two.t[0], two.now_ns += 1000);
    assert_int_equal(status, TA_PEER);
    assert_int_equal(two.ops->peer_state(two.t[0], 1), TA_PEER_DOWN);
    two.ops->disconnect(two.t[0], 1);
    two.ops->close(two.t[0]);
    lazy_gpu_ops.free(two.gpu[0], two.device);
    for (unsigned i = 0; i < 2; i++) lazy_gpu_ops.close(two.gpu[i]);
    ta_sim_destroy(two.fabric);
}

static void a_lost_gpu_is_said(void **state) {
    struct two two;
    two_open(&two, *state);
    two_meet(&two);
    const struct ta_put_segment put = {two.device, BODY, MINE, NULL, 0, 0};
    lazy_gpu_world.lost_after = 2;
    ta_status status = TA_OK;
    for (unsigned i = 0; i < 100 && status == TA_OK; i++) {
        status = two.ops->put(two.t[0], 1, &put, 1);
        if (status == TA_OK || status == TA_BUSY) status = two.ops->progress(two.t[0], two.now_ns += 50);
    }
    lazy_gpu_world.lost_after = 0;
    assert_int_equal(status, TA_DEVICE);
    assert_non_null(strstr(ta_why(), "lost"));
    two_close(&two);
}

static void halves_are_nobodys(void **state) {
    (void)state;
    struct two two;
    two_open(&two, &benches[0]);
    two_meet(&two);
    const struct ta_put_segment wrong[] = {{&two, 8, MINE - 4, NULL, 0, 0},
                                                  {&two, 8, MINE + BODY - 4, NULL, 0, 0},
                                                  {&two, WINDOW, 0, NULL, 0, 0},
                                                  {&two, STRIDE + 8, CONTROL, NULL, 0, 0}};
    for (unsigned i = 0; i < 4; i++)
        assert_fails(TA_INVALID, "by a part only", two.ops->put(two.t[0], 1, &wrong[i], 1));
    assert_int_equal(two.ops->in_flight(two.t[0], 1), 0);
    two_close(&two);
}

static void far_pieces_take_no_host_memory(void **state) {
    (void)state;
    enum { PAGE = 4096, PIECE = 64 * PAGE };
    const struct ta_window_far great = {.first = PAGE + 64, .stride = PIECE + 64, .bytes = PIECE, .n = 3};
    unsigned char resident[4 * PIECE / PAGE] = {0};
    struct ta_gpu *gpu;
    struct ta_transport *t;
    struct ta_window window;
    assert_ok(lazy_gpu_ops.open(0, &gpu));
    struct ta_transport_config config = {.n_ranks = 2, .gpu_ops = &lazy_gpu_ops, .gpu = gpu};
    assert_ok(ta_transport_shm.open(&config, &t));
    assert_ok(ta_transport_shm.window_create_far(t, PAGE + 64 + 3 * (PIECE + 64), &great, &window));
    assert_int_equal(mincore(window.base, window.bytes, resident), 0);
    unsigned n = 0;
    for (size_t i = 0; i < window.bytes / PAGE; i++) n += resident[i] & 1;
    assert_in_range(n, 4, 12);
    ta_transport_shm.close(t);
    lazy_gpu_ops.close(gpu);
}

/* What was opened, and how it says that it works; closes it. */
static const struct ta_transport_ops *way_taken(const struct ta_transport_ops *ops, const char *gpu_direct,
                                                ta_status *status) {
    char wish[16];
    struct ta_gpu *gpu;
    struct ta_transport *t;
    const struct ta_transport_ops *made;
    snprintf(wish, sizeof wish, "%s", gpu_direct);
    struct ta_transport_spec spec = {.gpu_direct = wish};
    struct ta_sim_fabric *fabric;
    assert_ok(ta_sim_create(&benches[2].fabric, &fabric));
    assert_ok(lazy_gpu_ops.open(1, &gpu));
    struct ta_transport_config config = {.n_ranks = 2, .spec = &spec, .fabric = fabric, .gpu_ops = &lazy_gpu_ops,
                                         .gpu = gpu};
    *status = ta_transport_open_gpu(ops, &config, &made, &t);
    if (*status == TA_OK) made->close(t);
    else assert_null(t);
    lazy_gpu_ops.close(gpu);
    ta_sim_destroy(fabric);
    return made;
}

static void the_best_way_is_taken(void **state) {
    (void)state;
    ta_status status;
    const struct ta_transport_ops *const shm = &ta_transport_shm, *const sim = &ta_transport_sim;
    assert_ptr_equal(way_taken(shm, "auto", &status), shm);
    assert_ok(status);
    assert_ptr_equal(way_taken(shm, "off", &status), &ta_transport_staged);
    assert_ok(status);
    assert_ptr_equal(way_taken(sim, "auto", &status), &ta_transport_staged);
    assert_ok(status);
    way_taken(sim, "require", &status);
    assert_int_equal(status, TA_DEVICE);
    assert_non_null(strstr(ta_why(), "require"));
    way_taken(shm, "maybe", &status);
    assert_int_equal(status, TA_CONFIG);
    lazy_gpu_world.apart = true;
    assert_ptr_equal(way_taken(shm, "auto", &status), &ta_transport_staged);
    assert_ok(status);
    assert_ptr_equal(way_taken(shm, "require", &status), shm); /* who connects finds out */
    assert_ok(status);
    lazy_gpu_world.apart = false;
    lazy_gpu_world.no_ipc = true;
    assert_ptr_equal(way_taken(shm, "auto", &status), &ta_transport_staged);
    assert_ok(status);
    way_taken(shm, "require", &status);
    assert_int_equal(status, TA_DEVICE);
    assert_non_null(strstr(ta_why(), "IPC"));
    lazy_gpu_world.no_ipc = false;
}

/* One window in GPU memory, the other not: said at once, by both. */
static void windows_are_of_one_kind(void **state) {
    (void)state;
    struct ta_gpu *gpu;
    struct ta_transport *far, *near;
    struct ta_window window;
    struct ta_key of_far, of_near;
    assert_ok(lazy_gpu_ops.open(0, &gpu));
    struct ta_transport_config config = {.n_ranks = 2, .gpu_ops = &lazy_gpu_ops, .gpu = gpu};
    assert_ok(ta_transport_shm.open(&config, &far));
    config = (struct ta_transport_config){.rank = 1, .n_ranks = 2};
    assert_ok(ta_transport_shm.open(&config, &near));
    assert_ok(ta_transport_shm.window_create_far(far, WINDOW, &pieces, &window));
    assert_ok(ta_transport_shm.window_create(near, WINDOW, &window));
    assert_ok(ta_transport_shm.key_make(far, 1, &of_far));
    assert_ok(ta_transport_shm.key_make(near, 0, &of_near));
    assert_fails(TA_CONFIG, "gpu_direct", ta_transport_shm.connect(far, 1, &of_near));
    assert_fails(TA_CONFIG, "gpu_direct", ta_transport_shm.connect(near, 0, &of_far));
    ta_transport_shm.close(near);
    ta_transport_shm.close(far);
    lazy_gpu_ops.close(gpu);
}

/* Ranges against a list of every byte. */
static void ranges_are_found(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(1, 1);
    for (unsigned turn = 0; turn < 20000; turn++) {
        unsigned char is_far[256] = {0};
        struct ta_window_far far = {.first = ta_rng_below(&rng, 30), .bytes = 1 + ta_rng_below(&rng, 20),
                                    .n = ta_rng_below(&rng, 4)};
        far.stride = far.bytes + ta_rng_below(&rng, 10);
        for (unsigned i = 0; i < far.n; i++) memset(is_far + far.first + i * far.stride, (int)i + 1, far.bytes);
        struct ta_range range = {ta_rng_below(&rng, 150), ta_rng_below(&rng, 60)};
        unsigned least = 255, most = 0;
        for (uint64_t i = range.offset; i < range.offset + range.bytes; i++) {
            if (is_far[i] < least) least = is_far[i];
            if (is_far[i] > most) most = is_far[i];
        }
        struct ta_far_place place = ta_far_find(&far, &range);
        enum ta_far_side right = most == 0 ? TA_FAR_NONE : least == most ? TA_FAR_WHOLE : TA_FAR_PART;
        assert_int_equal(place.side, right);
        if (right != TA_FAR_WHOLE) continue;
        assert_int_equal(place.piece, most - 1);
        assert_int_equal(far.first + place.piece * far.stride + place.within, range.offset);
    }
    const struct ta_window_far wrong[] = {{0, 8, 0, 1}, {0, 8, 16, 1}, {0, SIZE_MAX, 8, 3}, {SIZE_MAX, 8, 8, 1},
                                          {0, SIZE_MAX, SIZE_MAX, 1}, {0, 64, 64, 3}};
    for (unsigned i = 0; i < 6; i++) assert_false(ta_far_fits(&wrong[i], 128));
    const struct ta_window_far right = {0, 64, 64, 2};
    assert_true(ta_far_fits(&right, 128));
}

int main(void) {
    lazy_gpu_world.seed = 11;
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } of_each[] = {{"headers never run ahead", headers_never_run_ahead},
                   {"a put waits for the kernels before it", a_put_waits_for_the_kernels_before_it},
                   {"rows go to their places", rows_go_to_their_places},
                   {"paths are given up and made anew", paths_are_given_up_and_made_anew},
                   {"who closes leaves memory to those who copy", who_closes_leaves_memory_to_those_who_copy},
                   {"a lost GPU is said", a_lost_gpu_is_said}};
    const struct CMUnitTest once[] = {cmocka_unit_test(halves_are_nobodys),
                                      cmocka_unit_test(far_pieces_take_no_host_memory),
                                      cmocka_unit_test(the_best_way_is_taken),
                                      cmocka_unit_test(windows_are_of_one_kind), cmocka_unit_test(ranges_are_found)};
    int failed = cmocka_run_group_tests(once, NULL, NULL);
    for (unsigned b = 0; b < sizeof benches / sizeof benches[0]; b++) {
        struct CMUnitTest units[6] = {{0}};
        for (unsigned i = 0; i < 6; i++) {
            units[i].name = of_each[i].name;
            units[i].test_func = of_each[i].run;
            units[i].initial_state = (void *)&benches[b];
        }
        failed += _cmocka_run_group_tests(benches[b].name, units, 6, NULL, NULL);
    }
    return failed;
}
