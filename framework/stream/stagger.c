/* stagger: Schlimmer and Granger's STAGGER concepts; see synthetic.h. */
#include <string.h>

#include "generator.h"

enum { SMALL, MEDIUM, LARGE };
enum { RED, GREEN, BLUE };
enum { SQUARE, CIRCULAR, TRIANGULAR };

static ta_status shape(const struct ta_generator_args *args, struct ta_stream_info *info, size_t *state_bytes) {
    (void)args;
    info->c = 9;
    info->classes = 2;
    *state_bytes = 0;
    return TA_OK;
}

static int32_t draw(const struct ta_generator_args *args, const void *state, uint32_t concept, uint64_t record,
                    struct ta_rng *rng, void *out) {
    (void)args, (void)state, (void)record;
    uint32_t size = ta_rng_below(rng, 3), colour = ta_rng_below(rng, 3), form = ta_rng_below(rng, 3);
    float *x = out;
    memset(x, 0, 9 * sizeof *x);
    x[size] = x[3 + colour] = x[6 + form] = 1;
    switch (concept) {
    case 1: return size == SMALL && colour == RED;
    case 2: return colour == GREEN || form == CIRCULAR;
    default: return size == MEDIUM || size == LARGE;
    }
}

const struct ta_generator ta_generator_stagger = {
    .name = "stagger",
    .summary = "size, colour, shape, one-hot; 2 classes by a rule of two of them (Schlimmer, Granger 1986)",
    .concepts = 3,
    .options = {{.name = "noise", .fallback = 0, .least = 0, .most = 1}},
    .noise_option = 0,
    .shape = shape,
    .draw = draw,
};
