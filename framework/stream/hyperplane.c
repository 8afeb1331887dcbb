/* hyperplane: which side of a slowly rotating plane is a point on? See synthetic.h. */
#include "generator.h"

enum { OPTION_NOISE, OPTION_ATTRIBUTES, OPTION_DRIFTING, OPTION_SPEED };
enum { CONCEPTS = 10 };

/* state: double [CONCEPTS][2][attributes]: starting weights, then velocities. */
static size_t attributes_of(const struct ta_generator_args *args) { return (size_t)args->option[OPTION_ATTRIBUTES]; }

static ta_status shape(const struct ta_generator_args *args, struct ta_stream_info *info, size_t *state_bytes) {
    size_t attributes = attributes_of(args);
    if (args->option[OPTION_DRIFTING] > args->option[OPTION_ATTRIBUTES])
        return ta_fail(TA_CONFIG, "generator hyperplane: drifting=%g, but there are only %zu attributes",
                       args->option[OPTION_DRIFTING], attributes);
    info->c = (uint32_t)attributes;
    info->classes = 2;
    *state_bytes = CONCEPTS * 2 * attributes * sizeof(double);
    return TA_OK;
}

static void prepare(const struct ta_generator_args *args, void *state) {
    size_t attributes = attributes_of(args);
    double *row = state;
    for (uint64_t concept = 1; concept <= CONCEPTS; concept ++, row += 2 * attributes) {
        struct ta_rng rng = ta_rng_make(args->seed, concept);
        for (size_t i = 0; i < attributes; i++) {
            row[i] = ta_rng_uniform(&rng);
            double sign = ta_rng_below(&rng, 2) ? 1 : -1;
            row[attributes + i] = (double)i < args->option[OPTION_DRIFTING] ? sign * args->option[OPTION_SPEED] : 0;
        }
    }
}

static int32_t draw(const struct ta_generator_args *args, const void *state, uint32_t concept, uint64_t record,
                    struct ta_rng *rng, void *out) {
    size_t attributes = attributes_of(args);
    const double *start = (const double *)state + (concept - 1) * 2 * attributes;
    float *x = out;
    double side = 0;
    for (size_t i = 0; i < attributes; i++) {
        double w = ta_generator_bounce(start[i], start[attributes + i], record);
        x[i] = (float)(ta_rng_u32(rng) >> 8) * 0x1p-24f;
        side += w * ((double)x[i] - 0.5);
    }
    return side >= 0;
}

const struct ta_generator ta_generator_hyperplane = {
    .name = "hyperplane",
    .summary = "points on either side of a plane that turns, 2 classes (Hulten, Spencer, Domingos 2001)",
    .concepts = CONCEPTS,
    .options = {{.name = "noise", .fallback = 0.05, .least = 0, .most = 1},
                {.name = "attributes", .fallback = 10, .least = 2, .most = 1024, .whole = true},
                {.name = "drifting", .fallback = 2, .least = 0, .most = 1024, .whole = true},
                {.name = "speed", .fallback = 0.0001, .least = 0, .most = 1}},
    .noise_option = OPTION_NOISE,
    .shape = shape,
    .prepare = prepare,
    .draw = draw,
};
