/* glyphs: the alphabets, the pen, and the generator that draws with it. */
#include "glyphs.h"

#include <math.h>
#include <string.h>

#include "generator.h"

enum { SIDE = TA_GLYPH_SIDE, STROKES_MOST = 5, ARC_PIECES = 16 };

/* A straight stroke from (a, b) to (c, d), or a piece of an ellipse round (a, b) with radii (c, d), from angle `from`
 * to `to`: degrees, clockwise from the right. */
struct stroke {
    enum { NO_STROKE, LINE, ARC } kind;
    float a, b, c, d;
    float from, to;
};

/* clang-format off */
static const struct stroke alphabets[TA_GLYPH_ALPHABETS][TA_GLYPH_CLASSES][STROKES_MOST] = {
    {
        /* 0 */ {{ARC, 0, 0, .6f, .9f, 0, 360}},
        /* 1 */ {{LINE, -.35f, -.5f, 0, -.9f, 0, 0}, {LINE, 0, -.9f, 0, .9f, 0, 0}},
        /* 2 */ {{ARC, 0, -.4f, .55f, .5f, 190, 390}, {LINE, .476f, -.15f, -.6f, .9f, 0, 0},
                 {LINE, -.6f, .9f, .6f, .9f, 0, 0}},
        /* 3 */ {{ARC, 0, -.45f, .5f, .45f, 200, 450}, {ARC, 0, .45f, .55f, .45f, 270, 520}},
        /* 4 */ {{LINE, .25f, .9f, .25f, -.9f, 0, 0}, {LINE, .25f, -.9f, -.6f, .35f, 0, 0},
                 {LINE, -.6f, .35f, .6f, .35f, 0, 0}},
        /* 5 */ {{LINE, .5f, -.9f, -.45f, -.9f, 0, 0}, {LINE, -.45f, -.9f, -.47f, .03f, 0, 0},
                 {ARC, -.02f, .35f, .55f, .55f, 215, 505}},
        /* 6 */ {{ARC, 0, .4f, .55f, .5f, 0, 360}, {ARC, .45f, .35f, 1, 1.25f, 180, 270}},
        /* 7 */ {{LINE, -.6f, -.9f, .6f, -.9f, 0, 0}, {LINE, .6f, -.9f, -.2f, .9f, 0, 0}},
        /* 8 */ {{ARC, 0, -.45f, .45f, .45f, 0, 360}, {ARC, 0, .45f, .55f, .45f, 0, 360}},
        /* 9 */ {{ARC, 0, -.4f, .55f, .5f, 0, 360}, {ARC, -.45f, -.35f, 1, 1.25f, 0, 90}},
    },
    {
        /* A */ {{LINE, -.65f, .9f, 0, -.9f, 0, 0}, {LINE, 0, -.9f, .65f, .9f, 0, 0},
                 {LINE, -.4f, .25f, .4f, .25f, 0, 0}},
        /* C */ {{ARC, .05f, 0, .65f, .9f, 45, 315}},
        /* E */ {{LINE, -.5f, -.9f, -.5f, .9f, 0, 0}, {LINE, -.5f, -.9f, .5f, -.9f, 0, 0},
                 {LINE, -.5f, 0, .4f, 0, 0, 0}, {LINE, -.5f, .9f, .5f, .9f, 0, 0}},
        /* F */ {{LINE, -.5f, -.9f, -.5f, .9f, 0, 0}, {LINE, -.5f, -.9f, .5f, -.9f, 0, 0},
                 {LINE, -.5f, 0, .4f, 0, 0, 0}},
        /* H */ {{LINE, -.55f, -.9f, -.55f, .9f, 0, 0}, {LINE, .55f, -.9f, .55f, .9f, 0, 0},
                 {LINE, -.55f, 0, .55f, 0, 0, 0}},
        /* K */ {{LINE, -.5f, -.9f, -.5f, .9f, 0, 0}, {LINE, .55f, -.9f, -.5f, .1f, 0, 0},
                 {LINE, -.1f, -.25f, .6f, .9f, 0, 0}},
        /* T */ {{LINE, -.65f, -.9f, .65f, -.9f, 0, 0}, {LINE, 0, -.9f, 0, .9f, 0, 0}},
        /* U */ {{LINE, -.55f, -.9f, -.55f, .3f, 0, 0}, {ARC, 0, .3f, .55f, .6f, 0, 180},
                 {LINE, .55f, .3f, .55f, -.9f, 0, 0}},
        /* X */ {{LINE, -.6f, -.9f, .6f, .9f, 0, 0}, {LINE, .6f, -.9f, -.6f, .9f, 0, 0}},
        /* Z */ {{LINE, -.6f, -.9f, .6f, -.9f, 0, 0}, {LINE, .6f, -.9f, -.6f, .9f, 0, 0},
                 {LINE, -.6f, .9f, .6f, .9f, 0, 0}},
    },
};
/* clang-format on */

struct point {
    float x, y;
};

/* How one picture is drawn; pixels for lengths. */
struct pen {
    float xx, xy, yx, yy; /* glyph box -> pixels */
    float dx, dy;
    float bend_x, bend_y; /* by the square of the other coordinate */
    float radius;         /* half the width */
    float ink;            /* how bright, 0..1 */
};

static float between(struct ta_rng *rng, float least, float most) {
    return least + (most - least) * ((float)(ta_rng_u32(rng) >> 8) * 0x1p-24f);
}

static struct pen take_pen(struct ta_rng *rng) {
    float angle = 0.175f * (float)ta_rng_normal(rng), shear = between(rng, -0.3f, 0.3f);
    float width = 9 * between(rng, 0.75f, 1.1f), height = 10 * between(rng, 0.75f, 1.1f);
    float c = cosf(angle), s = sinf(angle);
    struct pen pen = {
        .xx = c * width, .xy = (c * shear - s) * height, .yx = s * width, .yy = (s * shear + c) * height};
    pen.dx = SIDE / 2 + between(rng, -3, 3);
    pen.dy = SIDE / 2 + between(rng, -3, 3);
    pen.bend_x = between(rng, -0.25f, 0.25f);
    pen.bend_y = between(rng, -0.25f, 0.25f);
    pen.radius = between(rng, 0.6f, 1.7f);
    pen.ink = between(rng, 0.5f, 1);
    return pen;
}

static struct point place(const struct pen *pen, float x, float y) {
    float bent_x = x + pen->bend_x * (y * y - 0.4f), bent_y = y + pen->bend_y * (x * x - 0.2f);
    return (struct point){pen->dx + pen->xx * bent_x + pen->xy * bent_y,
                          pen->dy + pen->yx * bent_x + pen->yy * bent_y};
}

static int clamp_pixel(float v) { return v < 0 ? 0 : v > SIDE - 1 ? SIDE - 1 : (int)v; }

/* Ink at each pixel near the segment p-q: full inside the pen's radius, fading over one pixel; the darkest stroke
 * wins. */
static void draw_segment(const struct pen *pen, struct point p, struct point q, float *canvas) {
    float reach = pen->radius + 1, ex = q.x - p.x, ey = q.y - p.y, square = ex * ex + ey * ey;
    int left = clamp_pixel(fminf(p.x, q.x) - reach), right = clamp_pixel(fmaxf(p.x, q.x) + reach + 1);
    int top = clamp_pixel(fminf(p.y, q.y) - reach), bottom = clamp_pixel(fmaxf(p.y, q.y) + reach + 1);
    for (int row = top; row <= bottom; row++) {
        for (int column = left; column <= right; column++) {
            float x = (float)column + 0.5f - p.x, y = (float)row + 0.5f - p.y;
            float along = square > 0 ? (x * ex + y * ey) / square : 0;
            along = along < 0 ? 0 : along > 1 ? 1 : along;
            float ox = x - along * ex, oy = y - along * ey;
            float ink = pen->radius + 0.5f - sqrtf(ox * ox + oy * oy);
            ink = ink > 1 ? 1 : ink;
            float *pixel = &canvas[row * SIDE + column];
            if (ink * pen->ink > *pixel) *pixel = ink * pen->ink;
        }
    }
}

static void draw_stroke(const struct pen *pen, const struct stroke *stroke, float *canvas) {
    /* Lines are cut into pieces too, or they would not bend. */
    int pieces = stroke->kind == LINE ? 4 : ARC_PIECES;
    struct point last = {0, 0};
    for (int i = 0; i <= pieces; i++) {
        float part = (float)i / (float)pieces, x, y;
        if (stroke->kind == LINE) {
            x = stroke->a + part * (stroke->c - stroke->a);
            y = stroke->b + part * (stroke->d - stroke->b);
        } else {
            float angle = (stroke->from + part * (stroke->to - stroke->from)) * 0.017453293f;
            x = stroke->a + stroke->c * cosf(angle);
            y = stroke->b + stroke->d * sinf(angle);
        }
        struct point next = place(pen, x, y);
        if (i > 0) draw_segment(pen, last, next, canvas);
        last = next;
    }
}

/* Canvas -> bytes, with triangular noise: two bytes of the generator a pixel, 16 bytes a block. */
static void develop(struct ta_rng *rng, const float *canvas, uint8_t *pixels) {
    float paper = between(rng, 0, 40), grain = between(rng, 0.1f, 0.35f);
    uint64_t block = rng->position / 4 + 1;
    for (int i = 0; i < SIDE * SIDE; block++) {
        uint32_t words[4];
        ta_rng_block(rng->seed, rng->stream, block, words);
        for (int k = 0; k < 8; k++, i++) { /* 784 is a multiple of 8 */
            uint32_t two = words[k / 2] >> (k % 2 * 16);
            float noise = (float)((int)(two & 255) - (int)(two >> 8 & 255)) * grain;
            float value = paper + (255 - paper) * canvas[i] + noise;
            pixels[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
        }
    }
    rng->position = block * 4;
}

void ta_glyph_draw(unsigned alphabet, unsigned glyph, struct ta_rng *rng, uint8_t *pixels) {
    float canvas[SIDE * SIDE];
    memset(canvas, 0, sizeof canvas);
    struct pen pen = take_pen(rng);
    const struct stroke *stroke = alphabets[alphabet][glyph];
    for (int i = 0; i < STROKES_MOST && stroke[i].kind != NO_STROKE; i++) draw_stroke(&pen, &stroke[i], canvas);
    if (between(rng, 0, 1) < 0.4f) {
        struct stroke stray = {LINE, between(rng, -1.2f, 1.2f), between(rng, -1.2f, 1.2f), 0, 0, 0, 0};
        stray.c = stray.a + between(rng, -0.6f, 0.6f);
        stray.d = stray.b + between(rng, -0.6f, 0.6f);
        draw_stroke(&pen, &stray, canvas);
    }
    develop(rng, canvas, pixels);
}

static ta_status shape(const struct ta_generator_args *args, struct ta_stream_info *info, size_t *state_bytes) {
    (void)args;
    info->h = info->w = SIDE;
    info->c = 1;
    info->element = TA_ELEMENT_U8;
    info->scale = 1.0f / 255;
    info->classes = TA_GLYPH_CLASSES;
    *state_bytes = 0;
    return TA_OK;
}

static int32_t draw(const struct ta_generator_args *args, const void *state, uint32_t concept, uint64_t record,
                    struct ta_rng *rng, void *x) {
    (void)args, (void)state, (void)record;
    uint32_t class = ta_rng_below(rng, TA_GLYPH_CLASSES);
    /* Concepts 1 and 2 are figures, 3 and 4 letters; in 2 and 4 the classes have changed places. */
    uint32_t glyph = concept % 2 == 1 ? class : (class + 3) % TA_GLYPH_CLASSES;
    ta_glyph_draw((concept - 1) / 2, glyph, rng, x);
    return (int32_t) class;
}

const struct ta_generator ta_generator_glyphs = {
    .name = "glyphs",
    .summary = "drawn characters, 28 x 28 grey pixels, 10 classes that can change their look",
    .concepts = 4,
    .options = {{.name = "noise", .fallback = 0, .least = 0, .most = 1}},
    .noise_option = 0,
    .shape = shape,
    .draw = draw,
};
