/* sea: Street and Kim's SEA concepts; see synthetic.h. */
#include "generator.h"

static ta_status shape(const struct ta_generator_args *args, struct ta_stream_info *info, size_t *state_bytes) {
    (void)args;
    info->c = 3;
    info->classes = 2;
    *state_bytes = 0;
    return TA_OK;
}

static int32_t draw(const struct ta_generator_args *args, const void *state, uint32_t concept, uint64_t record,
                    struct ta_rng *rng, void *out) {
    (void)args, (void)state, (void)record;
    static const double theta[] = {8, 9, 7, 9.5};
    float *x = out;
    /* 24 bits fill a float's mantissa: the value stored is the value judged, and 10 itself cannot come up. */
    for (int i = 0; i < 3; i++) x[i] = (float)(ta_rng_u32(rng) >> 8) * 0x1p-24f * 10;
    return (double)x[0] + (double)x[1] <= theta[concept - 1];
}

const struct ta_generator ta_generator_sea = {
    .name = "sea",
    .summary = "3 numbers, 2 classes: is the sum of the first two below a threshold? (Street, Kim 2001)",
    .concepts = 4,
    .options = {{.name = "noise", .fallback = 0.1, .least = 0, .most = 1}},
    .noise_option = 0,
    .shape = shape,
    .draw = draw,
};
