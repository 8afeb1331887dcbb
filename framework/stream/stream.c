/* stream: which make a configuration asks for. */
#include "stream.h"

#include "synthetic.h"

ta_status ta_stream_open(const struct ta_stream_spec *spec, struct ta_stream **out) {
    *out = NULL;
    bool file = spec->file != NULL && spec->file[0] != '\0';
    bool generator = spec->generator != NULL && spec->generator[0] != '\0';
    if (file && generator)
        return ta_fail(TA_CONFIG, "stream: both file '%s' and generator '%s' are given; keep one", spec->file,
                       spec->generator);
    if (file) return ta_stream_hdf5_open(spec->file, out);
    if (generator) return ta_synthetic_open(spec, out);
    return ta_fail(TA_CONFIG,
                   "stream: neither file nor generator is given; name a stream file (made by 'tensair data import') "
                   "or a generator");
}

void ta_stream_close(struct ta_stream *s) {
    if (s != NULL) s->ops->close(s);
}
