/* streams: java.util.Random and what is drawn from it. */
#include "streams.h"

#include <stdio.h>
#include <string.h>

struct java java_make(uint64_t seed) {
    return (struct java){(seed ^ UINT64_C(0x5DEECE66D)) & ((UINT64_C(1) << 48) - 1)};
}

static uint64_t bits(struct java *r, int n) {
    r->state = (r->state * UINT64_C(0x5DEECE66D) + 0xB) & ((UINT64_C(1) << 48) - 1);
    return r->state >> (48 - n);
}

double java_uniform(struct java *r) {
    uint64_t high = bits(r, 26) << 27;
    return (double)(high + bits(r, 27)) * 0x1p-53;
}

int java_below(struct java *r, int n) {
    int64_t drawn = (int64_t)bits(r, 31);
    while (drawn - drawn % n + (n - 1) > INT32_MAX) drawn = (int64_t)bits(r, 31);
    return (int)(drawn % n);
}

double java_normal(struct java *r) {
    double total = 0;
    for (int i = 0; i < 12; i++) total += java_uniform(r);
    return total - 6;
}

/* A stretch of n numbers: errors at rate `mean`, or normal ones when sd is not 0. */
struct piece {
    unsigned n;
    double mean, sd;
};

static size_t pieces(uint64_t seed, const struct piece *part, double *x) {
    struct java r = java_make(seed);
    size_t at = 0;
    for (; part->n > 0; part++)
        for (unsigned i = 0; i < part->n; i++)
            x[at++] = part->sd > 0 ? part->mean + part->sd * java_normal(&r) : java_uniform(&r) <= part->mean;
    return at;
}

static size_t gradual(double *x) {
    struct java r = java_make(11);
    for (int i = 0; i < 4000; i++) {
        double done = (i - 1500) / 1500.0;
        x[i] = java_uniform(&r) <= .1 + .5 * (done < 0 ? 0 : done > 1 ? 1 : done);
    }
    return 4000;
}

static size_t losses(const char *path, const char *wanted, double *x) {
    FILE *file = fopen(path, "r");
    if (file == NULL) return 0;
    char name[16];
    double value;
    size_t n = 0;
    while (n < STREAM_MOST && fscanf(file, "%15s %lf", name, &value) == 2)
        if (strcmp(name, wanted) == 0) x[n++] = value;
    fclose(file);
    return n;
}

size_t stream_make(const char *name, const char *path, double *x) {
    static const struct {
        const char *name;
        uint64_t seed;
        struct piece part[5];
    } made[] = {
        {"abrupt", 7, {{2000, .1, 0}, {1000, .3, 0}, {1500, .05, 0}, {1000, .5, 0}}},
        {"rare", 13, {{3000, .01, 0}, {2000, .05, 0}, {1000, .002, 0}}},
        {"flat", 17, {{6000, .35, 0}}},
        {"zeros", 1, {{500, -1, 0}}},
        {"ones", 1, {{500, 1, 0}}},
        {"step", 1, {{300, -1, 0}, {300, 1, 0}, {300, -1, 0}}},
        {"gauss", 19, {{1500, 2, 1}, {1500, 3, 1}, {1500, 3, 2}, {500, 1, 1}}},
    };
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (strcmp(made[i].name, name) == 0) return pieces(made[i].seed, made[i].part, x);
    if (strcmp(name, "gradual") == 0) return gradual(x);
    return losses(path, name, x);
}

void stream_moa(uint64_t seed, int is_gradual, unsigned period, unsigned n, double *x) {
    struct java r = java_make(seed);
    for (unsigned i = 1; i <= n; i++) {
        double rate = i % period < period / 2 ? .2 : .8;
        if (is_gradual) rate = i < period ? .2 : .2 + (i - period) * .001;
        x[i - 1] = java_uniform(&r) <= (rate > 1 ? 1 : rate);
    }
}
