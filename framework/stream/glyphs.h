/* glyphs: characters drawn with a random pen, as small grey pictures.
 *
 * A glyph is a list of straight and round strokes in a box from -1 to 1 (x to the right, y down). Drawing it bends,
 * turns (standard deviation 10 degrees), shears, scales (0.75 to 1.1) and shifts it (up to 3 pixels), picks pen width
 * and contrast, adds a stray stroke to two in five pictures, and noise to every pixel.
 */
#ifndef TA_GLYPHS_H
#define TA_GLYPHS_H

#include <stdint.h>

#include "rng.h"

enum { TA_GLYPH_SIDE = 28, TA_GLYPH_CLASSES = 10, TA_GLYPH_ALPHABETS = 2 };

/* Draws glyph 0..9 of alphabet 0 (figures 0 to 9) or 1 (the letters A C E F H K T U X Z) over all of
 * pixels[TA_GLYPH_SIDE * TA_GLYPH_SIDE], rows from the top, 0 black to 255 white. All chance is `rng`'s. */
void ta_glyph_draw(unsigned alphabet, unsigned glyph, struct ta_rng *rng, uint8_t *pixels);

#endif
