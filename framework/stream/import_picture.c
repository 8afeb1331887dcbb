/* import_picture: libjpeg and libpng behind one call. Their errors come back as ours; nothing is printed. */
#include "import_picture.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>
#include <png.h>

#include "import.h"
#include "mem.h"

static ta_status reserve(struct ta_picture *picture, const char *path, uint64_t w, uint64_t h, uint32_t channels) {
    if (w == 0 || h == 0)
        return ta_fail(TA_FORMAT, "%s: a picture of %llu x %llu pixels is empty", path, (unsigned long long)w,
                       (unsigned long long)h);
    if (w > TA_IMPORT_SIDE_MOST || h > TA_IMPORT_SIDE_MOST || w * h > TA_PICTURE_PIXELS_MOST)
        return ta_fail(
            TA_FORMAT, "%s: %llu x %llu pixels are too many; at most %d a side and %d in all: scale it down first",
            path, (unsigned long long)w, (unsigned long long)h, TA_IMPORT_SIDE_MOST, TA_PICTURE_PIXELS_MOST);
    picture->w = (uint32_t)w;
    picture->h = (uint32_t)h;
    picture->c = channels;
    size_t bytes = (size_t)w * h * channels;
    if (bytes <= picture->capacity) return TA_OK;
    ta_mem_free(picture->pixels);
    picture->capacity = 0;
    ta_status status = ta_mem_alloc(bytes, 1, "pixels of a picture", (void **)&picture->pixels);
    if (status == TA_OK) picture->capacity = bytes;
    return status;
}

/* ---- JPEG ---- */

struct jpeg {
    struct jpeg_decompress_struct d; /* first: libjpeg hands it back to us */
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf out;
    char why[JMSG_LENGTH_MAX];
};

static void jpeg_fail(j_common_ptr common) {
    struct jpeg *j = (struct jpeg *)common;
    j->errors.format_message(common, j->why);
    longjmp(j->out, 1);
}

/* Level -1 is a warning: data is damaged or missing, and libjpeg would make something up. */
static void jpeg_message(j_common_ptr common, int level) {
    if (level < 0 && common->err->msg_code != JWRN_EXTRANEOUS_DATA) jpeg_fail(common);
}

static void jpeg_silent(j_common_ptr common) { (void)common; }

/* A progressive file can make each scan cheap to write and dear to read. */
static void jpeg_progress(j_common_ptr common) {
    struct jpeg *j = (struct jpeg *)common;
    if (j->d.input_scan_number <= TA_PICTURE_SCANS_MOST) return;
    snprintf(j->why, sizeof j->why, "more than %d scans", TA_PICTURE_SCANS_MOST);
    longjmp(j->out, 1);
}

static ta_status jpeg_decode(struct jpeg *j, struct ta_picture *picture, const char *path, uint32_t channels) {
    jpeg_read_header(&j->d, TRUE);
    j->d.out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    ta_status status = reserve(picture, path, j->d.image_width, j->d.image_height, channels);
    if (status != TA_OK) return status;
    jpeg_start_decompress(&j->d);
    if ((uint32_t)j->d.output_components != channels || j->d.output_width != picture->w)
        return ta_fail(TA_FORMAT, "%s: JPEG with %d channels where %u were expected", path, j->d.output_components,
                       channels);
    while (j->d.output_scanline < j->d.output_height) {
        JSAMPROW row = picture->pixels + (size_t)j->d.output_scanline * picture->w * channels;
        jpeg_read_scanlines(&j->d, &row, 1);
    }
    jpeg_finish_decompress(&j->d);
    return TA_OK;
}

static ta_status read_jpeg(struct ta_picture *picture, const char *path, FILE *file, uint32_t channels) {
    struct jpeg *j;
    ta_status status = TA_NEW(&j, 1, "JPEG decoder");
    if (status != TA_OK) return status;
    j->d.err = jpeg_std_error(&j->errors);
    j->errors.error_exit = jpeg_fail;
    j->errors.emit_message = jpeg_message;
    j->errors.output_message = jpeg_silent;
    j->progress.progress_monitor = jpeg_progress;
    /* Nothing local changes between here and a longjmp: `status` is only set afterwards. */
    if (setjmp(j->out) == 0) {
        jpeg_create_decompress(&j->d);
        j->d.progress = &j->progress;
        jpeg_stdio_src(&j->d, file);
        status = jpeg_decode(j, picture, path, channels);
    } else {
        status = ta_fail(TA_FORMAT, "%s: damaged JPEG: %s", path, j->why);
    }
    jpeg_destroy_decompress(&j->d);
    ta_mem_free(j);
    return status;
}

/* ---- PNG ---- */

static ta_status read_png(struct ta_picture *picture, const char *path, FILE *file, uint32_t channels) {
    png_image image = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_stdio(&image, file))
        return ta_fail(TA_FORMAT, "%s: damaged PNG: %s", path, image.message);
    ta_status status = reserve(picture, path, image.width, image.height, channels);
    if (status == TA_OK) {
        image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
        png_color black = {0, 0, 0};
        if (!png_image_finish_read(&image, &black, picture->pixels, 0, NULL))
            status = ta_fail(TA_FORMAT, "%s: damaged PNG: %s", path, image.message);
    }
    png_image_free(&image);
    return status;
}

ta_status ta_picture_read(struct ta_picture *picture, const char *path, uint32_t channels) {
    FILE *file = fopen(path, "rbe");
    if (file == NULL) return ta_fail_errno(TA_IO, "%s: cannot be opened", path);
    unsigned char head[8] = {0};
    size_t got = fread(head, 1, sizeof head, file);
    ta_status status;
    if (got < sizeof head && ferror(file)) {
        status = ta_fail_errno(TA_IO, "%s: cannot be read", path);
    } else {
        rewind(file);
        if (head[0] == 0xff && head[1] == 0xd8)
            status = read_jpeg(picture, path, file, channels);
        else if (memcmp(head, "\x89PNG\r\n\x1a\n", 8) == 0)
            status = read_png(picture, path, file, channels);
        else
            status = ta_fail(TA_FORMAT, "%s: neither a JPEG nor a PNG picture, whatever its name says", path);
    }
    fclose(file);
    return status;
}

void ta_picture_free(struct ta_picture *picture) {
    ta_mem_free(picture->pixels);
    memset(picture, 0, sizeof *picture);
}

/* The mean over [left, right) x [top, bottom), in pixels of the input, pixels on the border by their share. */
static double mean(const struct ta_picture *p, uint32_t channel, const double box[4]) {
    double sum = 0, area = 0;
    for (uint32_t y = (uint32_t)box[1]; y < p->h && (double)y < box[3]; y++) {
        double high = ((double)y + 1 < box[3] ? (double)y + 1 : box[3]) - ((double)y > box[1] ? (double)y : box[1]);
        for (uint32_t x = (uint32_t)box[0]; x < p->w && (double)x < box[2]; x++) {
            double wide =
                ((double)x + 1 < box[2] ? (double)x + 1 : box[2]) - ((double)x > box[0] ? (double)x : box[0]);
            sum += wide * high * p->pixels[((size_t)y * p->w + x) * p->c + channel];
            area += wide * high;
        }
    }
    return area > 0 ? sum / area : 0;
}

void ta_picture_resize(const struct ta_picture *picture, uint32_t w, uint32_t h, uint8_t *out) {
    double step_x = (double)picture->w / w, step_y = (double)picture->h / h;
    for (uint32_t y = 0; y < h; y++) {
        for (uint32_t x = 0; x < w; x++) {
            double box[4] = {x * step_x, y * step_y, (x + 1) * step_x, (y + 1) * step_y};
            for (uint32_t channel = 0; channel < picture->c; channel++)
                *out++ = (uint8_t)(mean(picture, channel, box) + 0.5);
        }
    }
}
