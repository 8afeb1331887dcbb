/* ckpt_export: `tensair ckpt export`: the weights alone, as a Keras file or as NumPy files. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ckpt_verbs.h"
#include "mem.h"

enum { CONFIG_BYTES = 1 << 24, COPY_BYTES = 1 << 16 };

/* Closes and looks whether all of it got to the file. */
static ta_status finish(FILE *file, const char *path) {
    bool bad = ferror(file) != 0;
    if (fclose(file) != 0 || bad) return ta_fail_errno(TA_IO, "%s: cannot write it; is the disk full?", path);
    return TA_OK;
}

/* --- a Keras file: a copy, under a temporary name until it is whole --- */

static ta_status copy_stream(FILE *from, FILE *to, const char *from_path) {
    char *buffer;
    ta_status status = TA_NEW(&buffer, COPY_BYTES, "a buffer to copy a file");
    if (status != TA_OK) return status;
    size_t got;
    while ((got = fread(buffer, 1, COPY_BYTES, from)) > 0)
        if (fwrite(buffer, 1, got, to) != got) break;
    if (ferror(from)) status = ta_fail(TA_IO, "%s: cannot read it", from_path);
    ta_mem_free(buffer);
    return status;
}

static ta_status export_file(const char *model, const char *out) {
    char part[TA_CKPT_TARGET_PATH];
    int bytes = snprintf(part, sizeof part, "%s.part", out);
    if ((size_t)bytes >= sizeof part) return ta_fail(TA_USAGE, "the path after -o is too long");
    FILE *from = fopen(model, "rb");
    if (from == NULL) return ta_fail_errno(TA_IO, "%s: cannot read it", model);
    FILE *to = fopen(part, "wb");
    ta_status status = to != NULL ? copy_stream(from, to, model) : ta_fail_errno(TA_IO, "%s: cannot make it", part);
    if (to != NULL) {
        ta_status closed = finish(to, part);
        if (status == TA_OK) status = closed;
    }
    fclose(from);
    if (status == TA_OK && rename(part, out) != 0)
        status = ta_fail_errno(TA_IO, "%s: cannot rename it to %s", part, out);
    if (status != TA_OK && to != NULL) (void)unlink(part);
    return status;
}

/* --- NumPy files --- */

/* Format version 1.0 of NumPy: magic, length of the header, a Python literal padded to 64 bytes, the numbers. */
static ta_status write_npy(const char *path, const struct ta_ckpt_tensor *t) {
    char dims[160] = "", header[256];
    size_t at = 0;
    for (unsigned i = 0; i < t->shape.rank; i++)
        at += (size_t)snprintf(dims + at, sizeof dims - at, "%llu,%s", (unsigned long long)t->shape.dims[i],
                               i + 1 < t->shape.rank ? " " : "");
    int used = snprintf(header, sizeof header, "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", dims);
    unsigned length = ((unsigned)used + 1 + 10 + 63) / 64 * 64 - 10;
    FILE *file = fopen(path, "wb");
    if (file == NULL) return ta_fail_errno(TA_IO, "%s: cannot make it", path);
    fwrite("\x93NUMPY\x01\x00", 1, 8, file);
    fputc((int)(length & 255), file);
    fputc((int)(length >> 8), file);
    fprintf(file, "%-*s\n", (int)length - 1, header);
    fwrite(t->data, sizeof *t->data, t->count, file);
    return finish(file, path);
}

/* A layer of a nested Keras model has a '/' in its name. */
static void file_name(char *name) {
    for (; *name != '\0'; name++)
        if (*name == '/') *name = '.';
}

static ta_status write_config(const char *model, const char *folder) {
    struct ta_h5 *file;
    char path[TA_CKPT_TARGET_PATH + 64], *text;
    ta_status status = ta_h5_open(model, TA_H5_READ, &file);
    if (status != TA_OK) return status;
    status = TA_NEW(&text, CONFIG_BYTES, "the model's JSON");
    bool there = ta_h5_attr_exists(file, "/", "model_config");
    if (status == TA_OK && there) status = ta_h5_attr_get_text(file, "/", "model_config", text, CONFIG_BYTES);
    (void)ta_h5_close(file); /* nothing was written */
    if (status == TA_OK && there) {
        snprintf(path, sizeof path, "%s/model_config.json", folder);
        FILE *out = fopen(path, "wb");
        if (out == NULL) status = ta_fail_errno(TA_IO, "%s: cannot make it", path);
        else fprintf(out, "%s\n", text);
        if (out != NULL) status = finish(out, path);
    }
    ta_mem_free(text);
    return status;
}

static ta_status export_folder(const char *model, const char *out) {
    struct ta_ckpt_weights w;
    ta_status status = ta_ckpt_read_weights(model, &w);
    if (status != TA_OK) return status;
    if (mkdir(out, 0777) != 0)
        status = errno == EEXIST
                     ? ta_fail(TA_USAGE, "%s: is there already; name a new folder, or a file ending in .h5", out)
                     : ta_fail_errno(TA_IO, "%s: cannot make this folder", out);
    for (size_t i = 0; i < w.n && status == TA_OK; i++) {
        char path[TA_CKPT_TARGET_PATH + 640], name[600];
        snprintf(name, sizeof name, "%s.%s.npy", w.tensors[i].layer, w.tensors[i].name);
        file_name(name);
        snprintf(path, sizeof path, "%s/%s", out, name);
        status = write_npy(path, &w.tensors[i]);
    }
    if (status == TA_OK) status = write_config(model, out);
    ta_ckpt_weights_free(&w);
    return status;
}

ta_status ta_ckpt_export(int argc, char **argv) {
    const char *path = NULL, *out = NULL, *words = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-o") == 0 && i + 1 < argc && out == NULL) out = argv[++i];
        else if (strcmp(argv[i], "--words") == 0 && i + 1 < argc && words == NULL) words = argv[++i];
        else if (argv[i][0] != '-' && path == NULL) path = argv[i];
        else
            return ta_fail(TA_USAGE, "export takes PATH [--words text|binary] -o OUT, not '%s'; see tensair ckpt "
                                     "--help",
                           argv[i]);
    }
    if (path == NULL || out == NULL || out[0] == '\0' || strlen(out) > 4000)
        return ta_fail(TA_USAGE, "export needs PATH -o OUT; see tensair ckpt --help");
    struct ta_ckpt_target *target;
    ta_status status = TA_NEW(&target, 1, "the checkpoint");
    if (status != TA_OK) return status;
    size_t length = strlen(out);
    bool keras = length > 3 && strcmp(out + length - 3, ".h5") == 0;
    status = ta_ckpt_find_target(path, target);
    if (status == TA_OK && words != NULL) status = ta_ckpt_export_words(target->model, words, out);
    else if (status == TA_OK) status = keras ? export_file(target->model, out) : export_folder(target->model, out);
    if (status == TA_OK) printf("exported %s to %s\n", target->model, out);
    ta_mem_free(target);
    return status;
}
