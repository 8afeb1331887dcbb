/* Pinning: on machines that hwloc makes up, with any part of them ours, shared by any number of launchers; and here. */
#include <linux/mempolicy.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "expect.h"
#include "mem.h"
#include "pin.h"
#include "rng.h"

struct machine {
    unsigned packages, cores, units; /* cores of a package, units of a core; each package has a memory of its own */
    cpu_set_t allowed;
    char synthetic[96], list[2048];
};

static unsigned units_of(const struct machine *m) { return m->packages * m->cores * m->units; }

static struct machine make_machine(struct ta_rng *rng) {
    struct machine m = {.packages = 1 + ta_rng_below(rng, 4),
                        .cores = 1 + ta_rng_below(rng, 12),
                        .units = 1 + ta_rng_below(rng, 2)};
    bool all = ta_rng_below(rng, 3) == 0;
    snprintf(m.synthetic, sizeof m.synthetic, "pack:%u [numa] core:%u pu:%u", m.packages, m.cores, m.units);
    CPU_ZERO(&m.allowed);
    CPU_SET(ta_rng_below(rng, units_of(&m)), &m.allowed);
    for (unsigned u = 0; u < units_of(&m); u++) {
        if (all || ta_rng_below(rng, 3) > 0) CPU_SET(u, &m.allowed);
        size_t used = strlen(m.list);
        if (CPU_ISSET(u, &m.allowed)) snprintf(m.list + used, sizeof m.list - used, "%s%u", used > 0 ? "," : "", u);
    }
    return m;
}

static unsigned cores_in(const struct machine *m, const cpu_set_t *set) {
    unsigned n = 0;
    for (unsigned core = 0; core < m->packages * m->cores; core++)
        for (unsigned u = 0; u < m->units; u++)
            if (CPU_ISSET(core * m->units + u, set)) {
                n++;
                break;
            }
    return n;
}

/* A core's allowed units are together, and nothing else is in the set. */
static void check_set(const struct machine *m, const cpu_set_t *set) {
    cpu_set_t both;
    CPU_AND(&both, set, &m->allowed);
    assert_true(CPU_EQUAL(&both, set));
    for (unsigned core = 0; core < m->packages * m->cores; core++) {
        unsigned have = 0, could = 0;
        for (unsigned u = core * m->units; u < (core + 1) * m->units; u++) {
            have += CPU_ISSET(u, set) != 0;
            could += CPU_ISSET(u, &m->allowed) != 0;
        }
        assert_true(have == 0 || have == could);
    }
}

/* The node that is named has all of the set; and one is named wherever that is so. */
static void check_node(const struct machine *m, const cpu_set_t *set, int node) {
    int only = TA_PIN_ANY_NODE;
    bool several = false;
    for (unsigned u = 0; u < units_of(m); u++) {
        int package = (int)(u / (m->cores * m->units));
        if (!CPU_ISSET(u, set)) continue;
        several |= only != TA_PIN_ANY_NODE && only != package;
        only = package;
    }
    assert_int_equal(node, several || m->packages == 1 ? TA_PIN_ANY_NODE : only);
}

static void made_up(void **state) {
    (void)state;
    struct ta_rng rng = ta_rng_make(11, 7);
    for (unsigned trial = 0; trial < 150; trial++) {
        struct machine m = make_machine(&rng);
        unsigned launchers = 1 + ta_rng_below(&rng, 4);
        struct ta_pin_ask ask = {.replicas = 1 + ta_rng_below(&rng, 5),
                                 .threads = 1 + ta_rng_below(&rng, 4),
                                 .local_size = launchers > 1 ? launchers : ta_rng_below(&rng, 2),
                                 .synthetic = m.synthetic,
                                 .allowed = m.list};
        unsigned cores = cores_in(&m, &m.allowed);
        unsigned want = launchers * ask.replicas * ask.threads;
        cpu_set_t taken;
        CPU_ZERO(&taken);
        for (ask.local_rank = 0; ask.local_rank < launchers; ask.local_rank++) {
            struct ta_pin pin;
            assert_ok(ta_pin_plan(&ask, &pin));
            assert_int_equal(pin.cores, cores);
            for (unsigned r = 0; r < ask.replicas; r++) {
                cpu_set_t both;
                check_set(&m, &pin.sets[r]);
                check_node(&m, &pin.sets[r], pin.nodes[r]);
                assert_int_equal(cores_in(&m, &pin.sets[r]), ask.threads < cores ? ask.threads : cores);
                CPU_AND(&both, &taken, &pin.sets[r]);
                if (want <= cores) assert_int_equal(CPU_COUNT(&both), 0); /* of other replicas and launchers */
                CPU_OR(&taken, &taken, &pin.sets[r]);
            }
            ta_pin_free(&pin);
        }
        if (want >= cores) assert_int_equal(cores_in(&m, &taken), cores); /* none stands idle */
    }
}

/* Replicas of eight threads on two packages of twelve cores: one each, where a third would have to straddle. */
static void within_a_node(void **state) {
    (void)state;
    struct ta_pin pin;
    struct ta_pin_ask ask = {.replicas = 2, .threads = 8, .synthetic = "pack:2 [numa] core:12 pu:1"};
    assert_ok(ta_pin_plan(&ask, &pin));
    assert_int_equal(pin.nodes[0], 0);
    assert_int_equal(pin.nodes[1], 1);
    ta_pin_free(&pin);
    ask.replicas = 3;
    assert_ok(ta_pin_plan(&ask, &pin));
    assert_int_equal(pin.nodes[1], TA_PIN_ANY_NODE);
    ta_pin_free(&pin);
    /* Slurm gave the second package alone. */
    ask = (struct ta_pin_ask){
        .replicas = 1, .threads = 4, .synthetic = "pack:2 [numa] core:12 pu:1", .allowed = "12-15"};
    assert_ok(ta_pin_plan(&ask, &pin));
    assert_int_equal(pin.nodes[0], 1);
    assert_int_equal(CPU_COUNT(&pin.sets[0]), 4);
    ta_pin_free(&pin);
}

static void here(void **state) {
    (void)state;
    struct ta_pin pin;
    cpu_set_t mine;
    const struct ta_pin_ask ask = {.replicas = 5, .threads = 1};
    assert_int_equal(sched_getaffinity(0, sizeof mine, &mine), 0);
    assert_ok(ta_pin_plan(&ask, &pin));
    assert_true(pin.cores >= 1);
    for (unsigned r = 0; r < 5; r++) {
        cpu_set_t both;
        assert_true(CPU_COUNT(&pin.sets[r]) >= 1);
        CPU_AND(&both, &pin.sets[r], &mine);
        assert_true(CPU_EQUAL(&both, &pin.sets[r])); /* nothing that is not ours */
        if (r >= pin.cores) assert_true(CPU_EQUAL(&pin.sets[r], &pin.sets[r - pin.cores]));
    }
    ta_pin_free(&pin);
    for (unsigned nth = 1; nth <= 2; nth++) {
        ta_mem_fail_nth(nth);
        assert_int_equal(ta_pin_plan(&ask, &pin), TA_NO_MEMORY);
        ta_mem_fail_nth(0);
    }
    const struct ta_pin_ask nonsense = {.replicas = 1, .synthetic = "nonsense"};
    assert_fails(TA_FAILED, "nonsense", ta_pin_plan(&nonsense, &pin));
}

/* In a process of its own, as it is for good. */
static void bound(void **state) {
    (void)state;
    struct ta_pin pin;
    assert_ok(ta_pin_plan(&(struct ta_pin_ask){.replicas = 2, .threads = 1}, &pin));
    pid_t child = fork();
    if (child == 0) {
        cpu_set_t got;
        int policy = -1;
        unsigned long nodes[16] = {0};
        bool may = syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0) == 0; /* containers may forbid it */
        pin.nodes[1] = 0;
        ta_pin_bind(&pin, 1);
        bool on = sched_getaffinity(0, sizeof got, &got) == 0 && CPU_EQUAL(&got, &pin.sets[1]);
        bool near = syscall(SYS_get_mempolicy, &policy, nodes, 8 * sizeof nodes, NULL, 0) == 0 &&
                    policy == MPOL_PREFERRED && nodes[0] == 1;
        _exit(!on ? 1 : may && !near ? 2 : 0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    ta_pin_free(&pin);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_up),
        cmocka_unit_test(within_a_node),
        cmocka_unit_test(here),
        cmocka_unit_test(bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
