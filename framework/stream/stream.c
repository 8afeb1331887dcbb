/* stream: which make a configuration asks for. */
#include "stream.h"

#include "h5.h"
#include "inject.h"
#include "synthetic.h"

ta_status ta_stream_open(const struct ta_stream_spec *spec, struct ta_stream **out) {
    *out = NULL;
    bool file = spec->file != NULL && spec->file[0] != '\0';
    bool generator = spec->generator != NULL && spec->generator[0] != '\0';
    if (file && generator)
        return ta_fail(TA_CONFIG, "stream: both file '%s' and generator '%s' are given; keep one", spec->file,
                       spec->generator);
    if (!file && !generator)
        return ta_fail(TA_CONFIG,
                       "stream: neither file nor generator is given; name a stream file (made by 'tensair data import') "
                       "or a generator");
    struct ta_stream *plain;
    ta_status status = file ? ta_stream_hdf5_open(spec->file, &plain) : ta_synthetic_open(spec, &plain);
    if (status != TA_OK) return status;
    if (spec->inject_count > 0) return ta_inject_open(plain, spec->inject, spec->inject_count, out);
    *out = plain;
    return TA_OK;
}

void ta_stream_close(struct ta_stream *s) {
    if (s != NULL) s->ops->close(s);
}

ta_status ta_stream_names(const char *path, struct ta_names *out) {
    struct ta_h5 *file;
    *out = (struct ta_names){0};
    ta_status status = ta_h5_open(path, TA_H5_READ, &file);
    if (status != TA_OK) return status;
    if (ta_h5_exists(file, "/vocabulary"))
        status = ta_names_read(out, file, path);
    else
        status = ta_fail(TA_FORMAT,
                         "%s: has no /vocabulary: its words have no names; import the text itself (tensair data import "
                         "text)",
                         path);
    ta_h5_close(file);
    return status;
}
