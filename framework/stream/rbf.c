/* rbf: clouds of points round centres that move; see synthetic.h. */
#include <math.h>

#include "generator.h"

enum { OPTION_NOISE, OPTION_ATTRIBUTES, OPTION_CENTROIDS, OPTION_CLASSES, OPTION_SPEED };
enum { CONCEPTS = 10 };

/* A centroid is a row of doubles: class, radius, sum of the weights up to and with its own, centre[a], velocity[a].
 * state: [CONCEPTS][centroids] of them. */
enum { ROW_CLASS, ROW_RADIUS, ROW_WEIGHT, ROW_CENTRE };

static size_t attributes_of(const struct ta_generator_args *args) { return (size_t)args->option[OPTION_ATTRIBUTES]; }
static size_t centroids_of(const struct ta_generator_args *args) { return (size_t)args->option[OPTION_CENTROIDS]; }
static size_t row_doubles(const struct ta_generator_args *args) { return ROW_CENTRE + 2 * attributes_of(args); }

static ta_status shape(const struct ta_generator_args *args, struct ta_stream_info *info, size_t *state_bytes) {
    if (args->option[OPTION_CLASSES] > args->option[OPTION_CENTROIDS])
        return ta_fail(TA_CONFIG, "generator rbf: classes=%g, but there are only %g centroids to carry them",
                       args->option[OPTION_CLASSES], args->option[OPTION_CENTROIDS]);
    info->c = (uint32_t)attributes_of(args);
    info->classes = (uint32_t)args->option[OPTION_CLASSES];
    *state_bytes = CONCEPTS * centroids_of(args) * row_doubles(args) * sizeof(double);
    return TA_OK;
}

/* A uniform direction: normals, scaled to `length`. */
static void draw_direction(struct ta_rng *rng, size_t attributes, double length, double *out) {
    double square = 0;
    for (size_t i = 0; i < attributes; i++) {
        out[i] = ta_rng_normal(rng);
        square += out[i] * out[i];
    }
    double factor = square > 0 ? length / sqrt(square) : 0;
    for (size_t i = 0; i < attributes; i++) out[i] *= factor;
}

static void prepare(const struct ta_generator_args *args, void *state) {
    size_t attributes = attributes_of(args), centroids = centroids_of(args);
    uint32_t classes = (uint32_t)args->option[OPTION_CLASSES];
    double *row = state;
    for (uint64_t concept = 1; concept <= CONCEPTS; concept ++) {
        struct ta_rng rng = ta_rng_make(args->seed, concept);
        double weight = 0;
        for (size_t k = 0; k < centroids; k++, row += row_doubles(args)) {
            /* The first centroids take one class each, so that none is missing. */
            uint32_t drawn = ta_rng_below(&rng, classes);
            row[ROW_CLASS] = k < classes ? (double)k : drawn;
            row[ROW_RADIUS] = ta_rng_uniform(&rng);
            weight += ta_rng_uniform(&rng);
            row[ROW_WEIGHT] = weight;
            for (size_t i = 0; i < attributes; i++) row[ROW_CENTRE + i] = ta_rng_uniform(&rng);
            draw_direction(&rng, attributes, args->option[OPTION_SPEED], row + ROW_CENTRE + attributes);
        }
    }
}

static const double *pick(const struct ta_generator_args *args, const double *rows, double share) {
    size_t stride = row_doubles(args), first = 0, last = centroids_of(args) - 1;
    double want = share * rows[last * stride + ROW_WEIGHT];
    while (first < last) {
        size_t middle = first + (last - first) / 2;
        if (rows[middle * stride + ROW_WEIGHT] <= want)
            first = middle + 1;
        else
            last = middle;
    }
    return rows + first * stride;
}

static int32_t draw(const struct ta_generator_args *args, const void *state, uint32_t concept, uint64_t record,
                    struct ta_rng *rng, void *out) {
    enum { ATTRIBUTES_MOST = 1024 };
    size_t attributes = attributes_of(args);
    const double *rows = (const double *)state + (concept - 1) * centroids_of(args) * row_doubles(args);
    const double *row = pick(args, rows, ta_rng_uniform(rng));
    double step[ATTRIBUTES_MOST];
    draw_direction(rng, attributes, ta_rng_normal(rng) * row[ROW_RADIUS], step);
    float *x = out;
    for (size_t i = 0; i < attributes; i++) {
        double centre = ta_generator_bounce(row[ROW_CENTRE + i], row[ROW_CENTRE + attributes + i], record);
        x[i] = (float)(centre + step[i]);
    }
    return (int32_t)row[ROW_CLASS];
}

const struct ta_generator ta_generator_rbf = {
    .name = "rbf",
    .summary = "clouds of points round moving centres, each of some class (MOA's RandomRBFGeneratorDrift)",
    .concepts = CONCEPTS,
    .options = {{.name = "noise", .fallback = 0, .least = 0, .most = 1},
                {.name = "attributes", .fallback = 10, .least = 2, .most = 1024, .whole = true},
                {.name = "centroids", .fallback = 50, .least = 2, .most = 1000, .whole = true},
                {.name = "classes", .fallback = 2, .least = 2, .most = 1000, .whole = true},
                {.name = "speed", .fallback = 0.0001, .least = 0, .most = 1}},
    .noise_option = OPTION_NOISE,
    .shape = shape,
    .prepare = prepare,
    .draw = draw,
};
