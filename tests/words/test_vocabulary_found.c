/* vocabulary: the words it finds are the right ones: the commonest of a Zipf text, the new ones when the text changes,
 * and the same ones on all replicas, in whatever order and state names arrive. */
#include "expect.h"
#include "mem.h"
#include "rng.h"
#include "vocabulary_check.h"
#include "vocabulary_internal.h"

enum { DISTINCT = 20000, PIECE = 200 };

/* Words of ranks 1 .. DISTINCT, rank r with a frequency of about 1 / r. */
struct zipf {
    double below[DISTINCT + 1]; /* cumulated */
    struct ta_rng rng;
    uint64_t seen[DISTINCT];
};

static void zipf_start(struct zipf *z, uint64_t seed) {
    memset(z, 0, sizeof *z);
    z->rng = ta_rng_make(seed, 1);
    for (int i = 0; i < DISTINCT; i++) z->below[i + 1] = z->below[i] + 1.0 / (i + 1);
}

static unsigned zipf_draw(struct zipf *z) {
    double u = ta_rng_uniform(&z->rng) * z->below[DISTINCT];
    unsigned low = 0, high = DISTINCT;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (z->below[middle] <= u) low = middle;
        else high = middle;
    }
    z->seen[low]++;
    return low;
}

/* The next PIECE words, `prefix` before their number. */
static size_t zipf_text(struct zipf *z, char prefix, char text[PIECE * 8]) {
    size_t n = 0;
    for (int i = 0; i < PIECE; i++) n += (size_t)sprintf(text + n, "%c%u ", prefix, zipf_draw(z));
    return n;
}

static void assert_sound(const struct ta_vocabulary *v) {
    const char *wrong = vocabulary_check(v, v->config.rows);
    if (wrong != NULL) fail_msg("%s", wrong);
}

static void read_and_decide(struct ta_vocabulary *v, struct zipf *z, char prefix, unsigned pieces) {
    static int32_t words[PIECE];
    static char text[PIECE * 8];
    struct ta_vocabulary_change change[16];
    for (unsigned i = 0; i < pieces; i++) {
        size_t bytes = zipf_text(z, prefix, text);
        assert_int_equal(ta_vocabulary_read(v, text, bytes, words, PIECE), PIECE);
        while (ta_vocabulary_decide(v, change, 16) > 0) {}
    }
}

static bool has(const struct ta_vocabulary *v, char prefix, unsigned number) {
    struct ta_word_key key = {{0}};
    char word[sizeof key] = "";
    snprintf(word, sizeof word, "%c%u", prefix, number);
    memcpy(&key, word, sizeof key);
    uint32_t value = ta_slot_find(v, &key, ta_word_hash(&key));
    return !(value & TA_SLOT_WATCHED);
}

/* How many of the words that were truly seen most often have a row. */
static unsigned found(const struct ta_vocabulary *v, const struct zipf *z, char prefix, unsigned top) {
    unsigned n = 0, wanted = 0;
    uint64_t least = 0, most = UINT64_MAX;
    /* The count that `top` words reach; of those that just reach it, as many as fit. */
    while (most - least > 1) {
        uint64_t middle = least + (most - least) / 2;
        unsigned reach = 0;
        for (int i = 0; i < DISTINCT; i++) reach += z->seen[i] >= middle;
        if (reach >= top) least = middle;
        else most = middle;
    }
    for (unsigned i = 0; i < DISTINCT && wanted < top; i++)
        if (z->seen[i] >= least) wanted++, n += has(v, prefix, i);
    return n;
}

/* Space-Saving is sure of words seen more often than (words without a row) / candidates: here 300 times with as many
 * candidates as rows, which holds for the commonest 300 words, and 20 times with 16 times as many, which holds for
 * all. Among words seen about as often as the least useful row the one that came first stays. */
static void commonest_words_are_found(void **state) {
    (void)state;
    static struct zipf z;
    for (uint32_t candidates = 1000; candidates <= 16000; candidates *= 16) {
        struct ta_vocabulary *v;
        assert_ok(ta_vocabulary_open(&(struct ta_vocabulary_config){.rows = 1000, .admit = 5, .candidates = candidates,
                                                                    .fade_words = 10000000, .n_ranks = 1}, &v));
        zipf_start(&z, 1);
        read_and_decide(v, &z, 'w', 5000);
        assert_sound(v);
        unsigned half = found(v, &z, 'w', 500), most = found(v, &z, 'w', 800), all = found(v, &z, 'w', 1000);
        print_message("%u candidates: of the commonest 500, 800, 1000 words %u, %u, %u have one of 1000 rows\n",
                      candidates, half, most, all);
        assert_true(half >= 498);
        assert_true(candidates == 1000 ? most >= 750 : most >= 792);
        assert_true(candidates == 1000 ? all >= 840 : all >= 950);
        ta_vocabulary_close(v);
    }
}

static void new_words_replace_old_ones(void **state) {
    (void)state;
    static struct zipf z;
    struct ta_vocabulary *v;
    struct ta_vocabulary_stats before, after;
    struct ta_vocabulary_config config = {
        .rows = 500, .admit = 5, .candidates = 500, .fade_words = 50000, .n_ranks = 1};
    assert_ok(ta_vocabulary_open(&config, &v));
    zipf_start(&z, 2);
    read_and_decide(v, &z, 'a', 2000);
    assert_true(found(v, &z, 'a', 250) >= 248);
    ta_vocabulary_stats(v, &before);
    zipf_start(&z, 3);
    read_and_decide(v, &z, 'b', 4000);
    ta_vocabulary_stats(v, &after);
    assert_sound(v);
    unsigned fresh = found(v, &z, 'b', 250), stale = 0;
    for (unsigned i = 0; i < DISTINCT; i++) stale += has(v, 'a', i);
    print_message("after the change: %u of the commonest 250 new words, %u old ones in 500 rows\n", fresh, stale);
    assert_true(fresh >= 248);
    assert_true(stale <= 25);
    assert_true(after.evicted - before.evicted >= 475 && after.used == 500);
    ta_vocabulary_close(v);
}

enum { RANKS_MOST = 3, ROWS = 300, NAME = TA_VOCABULARY_WORD_BYTES + 1 };

/* Replicas, and names on their way: what a row is called goes to each of the others, sometime, perhaps torn before. */
struct company {
    unsigned n;
    struct ta_vocabulary *v[RANKS_MOST];
    char name[ROWS][NAME];
    bool under_way[RANKS_MOST][ROWS];
    struct ta_rng rng;
};

static void company_open(struct company *c, unsigned n, uint64_t seed) {
    memset(c, 0, sizeof *c);
    c->n = n;
    c->rng = ta_rng_make(seed, 2);
    for (unsigned r = 0; r < n; r++) {
        struct ta_vocabulary_config config = {
            .rows = ROWS, .admit = 4, .candidates = 600, .fade_words = 60000, .rank = r, .n_ranks = n};
        assert_ok(ta_vocabulary_open(&config, &c->v[r]));
    }
}

static void company_send(struct company *c, unsigned from, uint32_t row, const char name[NAME]) {
    assert_int_equal(row % c->n, from);
    memcpy(c->name[row], name, NAME);
    for (unsigned to = 0; to < c->n; to++) c->under_way[to][row] = to != from;
}

static void company_deliver(struct company *c, unsigned one_in) {
    for (unsigned to = 0; to < c->n; to++) {
        uint32_t turn = ta_rng_below(&c->rng, ROWS);
        for (uint32_t i = 0; i < ROWS; i++) {
            uint32_t row = (i * 7 + turn) % ROWS;
            if (!c->under_way[to][row] || ta_rng_below(&c->rng, one_in) > 0) continue;
            char torn[NAME] = "";
            bool whole = one_in == 1 || ta_rng_below(&c->rng, 4) > 0;
            unsigned cut = ta_rng_below(&c->rng, NAME / 4) * 4;
            memcpy(torn, &c->v[to]->name[row], NAME);
            memcpy(torn, c->name[row], whole ? NAME : cut);
            ta_vocabulary_set(c->v[to], row, torn, 0);
            c->under_way[to][row] = !whole;
        }
    }
}

static void company_decide(struct company *c, unsigned rank) {
    struct ta_vocabulary_change change[5];
    size_t n;
    while ((n = ta_vocabulary_decide(c->v[rank], change, 5)) > 0)
        for (size_t i = 0; i < n; i++) company_send(c, rank, change[i].row, change[i].name);
}

static void company_agrees(struct company *c) {
    struct ta_names names;
    uint64_t sum[RANKS_MOST];
    company_deliver(c, 1);
    for (unsigned r = 0; r < c->n; r++) {
        assert_sound(c->v[r]);
        assert_ok(ta_vocabulary_names(c->v[r], &names));
        sum[r] = ta_names_checksum(&names);
        ta_names_free(&names);
        assert_int_equal(sum[r], sum[0]);
    }
}

static void company_close(struct company *c) {
    for (unsigned r = 0; r < c->n; r++) ta_vocabulary_close(c->v[r]);
}

static void company_reads(struct company *c, struct zipf *z, char prefix, unsigned turns) {
    static char text[PIECE * 8];
    static int32_t words[PIECE];
    for (unsigned i = 0; i < turns; i++) {
        unsigned rank = ta_rng_below(&c->rng, c->n);
        ta_vocabulary_read(c->v[rank], text, zipf_text(z, prefix, text), words, PIECE);
        if (ta_rng_below(&c->rng, 2) == 0) company_decide(c, rank);
        if (ta_rng_below(&c->rng, 3) == 0) company_deliver(c, 1 + ta_rng_below(&c->rng, 30));
        if (i % 50 == 0) assert_sound(c->v[rank]);
    }
}

static void keepers_agree(void **state) {
    (void)state;
    static struct company c;
    static struct zipf z;
    for (unsigned n = 2; n <= RANKS_MOST; n++) {
        company_open(&c, n, n);
        zipf_start(&z, 4);
        company_reads(&c, &z, 'a', 1500);
        company_agrees(&c);
        assert_true(found(c.v[0], &z, 'a', 150) >= 149);
        zipf_start(&z, 5); /* ... and the words change */
        company_reads(&c, &z, 'b', 2500);
        company_agrees(&c);
        unsigned fresh = found(c.v[0], &z, 'b', 150);
        print_message("%u replicas: %u of the commonest 150 words in 300 rows\n", n, fresh);
        assert_true(fresh >= 149);
        struct ta_vocabulary_stats stats;
        for (unsigned r = 0; r < n; r++) {
            ta_vocabulary_stats(c.v[r], &stats);
            assert_true(stats.admitted > 50 && stats.evicted > 20);
        }
        company_close(&c);
    }
}

/* Keepers that never knew of each other gave rows to the same words. Each word ends with one row, the same one
 * everywhere, and goes on so while words come and go. */
static void words_that_come_twice_keep_one_row(void **state) {
    (void)state;
    static struct company c;
    static struct zipf z;
    for (uint64_t seed = 0; seed < 20; seed++) {
        company_open(&c, 3, seed);
        zipf_start(&z, 6 + seed);
        bool used[60] = {false};
        for (int i = 0; i < 900; i++) {
            uint32_t row = ta_rng_below(&c.rng, ROWS), word = ta_rng_below(&c.rng, 60);
            char name[NAME] = "";
            if (word % 7 > 0) snprintf(name, sizeof name, "a%u", word);
            ta_vocabulary_set(c.v[row % 3], row, name, 1);
            company_send(&c, row % 3, row, name);
            if (i % 10 == 0) company_deliver(&c, 1 + ta_rng_below(&c.rng, 9));
        }
        company_agrees(&c);
        unsigned words = 0, rows = 0;
        for (uint32_t row = 0; row < ROWS; row++) {
            if (c.name[row][0] != '\0') used[atoi(c.name[row] + 1)] = true;
            rows += ta_vocabulary_counts(c.v[1])[row] > 0;
        }
        for (unsigned i = 0; i < 60; i++) {
            words += used[i];
            assert_int_equal(used[i], has(c.v[0], 'a', i));
        }
        assert_int_equal(words, rows);
        company_reads(&c, &z, 'a', 100); /* rows of no use are given to new words */
        company_agrees(&c);
        assert_true(c.v[0]->stats.admitted > 10);
        company_close(&c);
    }
}

/* What three replicas knew, two take up, each in its own order. */
static void another_number_of_replicas_goes_on(void **state) {
    (void)state;
    static struct company three, two;
    static struct zipf z;
    struct ta_names names;
    company_open(&three, 3, 11);
    zipf_start(&z, 12);
    company_reads(&three, &z, 'a', 1500);
    company_agrees(&three);
    assert_ok(ta_vocabulary_names(three.v[1], &names));
    company_open(&two, 2, 13);
    for (uint32_t i = 0; i < 2 * ROWS; i++) {
        uint32_t row = i < ROWS ? i : 2 * ROWS - 1 - i;
        char name[NAME] = "";
        snprintf(name, sizeof name, "%s", ta_names_get(&names, row));
        ta_vocabulary_set(two.v[i / ROWS], row, name, names.counts[row]);
        memcpy(two.name[row], name, NAME);
    }
    company_agrees(&two);
    assert_int_equal(two.v[0]->stats.used, three.v[0]->stats.used);
    company_reads(&two, &z, 'a', 1500);
    company_agrees(&two);
    assert_true(found(two.v[1], &z, 'a', 150) >= 149);
    assert_true(two.v[0]->stats.evicted > 0);
    ta_names_free(&names);
    company_close(&three);
    company_close(&two);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commonest_words_are_found),
        cmocka_unit_test(new_words_replace_old_ones),
        cmocka_unit_test(keepers_agree),
        cmocka_unit_test(words_that_come_twice_keep_one_row),
        cmocka_unit_test(another_number_of_replicas_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
