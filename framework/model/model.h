/* model: a checked list of layers with shapes, and the map of the one arena their parameters live in.
 *
 * The arena is a flat float32 array. Its segments: first `sum` (all that is trained), then `mean` (moving statistics of
 * batch_norm). Every tensor starts at a multiple of 16 floats; gaps are zero and stay zero. A word model
 * has `rows` segments alone: input vectors, output vectors, and for an online vocabulary `names`.
 * A model is immutable after building; any thread may read it.
 */
#ifndef TA_MODEL_H
#define TA_MODEL_H

#include "kernels.h"
#include "names.h"
#include "spec.h"

enum ta_segment_kind {
    TA_SEGMENT_SUM,
    TA_SEGMENT_MEAN,
    TA_SEGMENT_ROWS,  /* an embedding: as SUM, but by row, since a step touches a few */
    TA_SEGMENT_NAMES, /* of rows: row r belongs to rank r mod n_ranks, who alone writes it; bytes, not numbers */
};

struct ta_segment {
    enum ta_segment_kind kind;
    size_t offset, count;  /* floats */
    struct ta_table table; /* ROWS, NAMES */
};

/* A word model (`type: skipgram | cbow`): two tables of `rows` vectors, and with an online vocabulary the names. */
struct ta_word_model {
    enum ta_model_type type;
    bool online;           /* the vocabulary is found in the stream: segment `names` holds which word a row is */
    uint32_t rows;         /* words; 0: this is not a word model */
    uint32_t dim;          /* numbers of a vector; tables have stride dim rounded up to 8 */
    uint32_t window, negative, admit;
    float sample;          /* 0: no sub-sampling */
    uint64_t vocabulary;   /* ta_names_checksum of a fixed vocabulary; 0: online */
    unsigned in, out, names; /* numbers of the segments */
};

enum { TA_MAX_SEGMENTS = 4, TA_NAME_BYTES = 32 /* of a word in a `names` row, with its NUL */ };

struct ta_model {
    struct ta_shape input;
    struct ta_layer *layers; /* activations written as attributes have become layers here */
    enum ta_init *inits;     /* one a layer */
    uint32_t n_layers;
    enum ta_loss loss;
    size_t n_params;  /* floats in the arena, gaps included */
    size_t n_weights; /* parameters proper, trainable and not, as Keras counts them */
    struct ta_segment segments[TA_MAX_SEGMENTS];
    unsigned n_segments;
    uint32_t outputs;     /* numbers predicted for a record */
    uint64_t fingerprint; /* XXH3 over kinds, shapes and attributes (and the words of a fixed vocabulary): equal models
                             can exchange */
    struct ta_word_model words; /* rows 0: layers; else no layers, no loss of the list above, outputs 0 */
};

/* Infers shapes, checks everything, lays out the arena. `stream_input` is used where the spec gives none; when both are
 * given they must agree in count. `outputs` is checked: classes (cross_entropy) or targets. Pass 0 to skip that check.
 * Errors: CONFIG, naming layer number, name, the two numbers that disagree, and the cure; absurd sizes (over 2^31
 * parameters or activations a record) are refused before anything is allocated. NO_MEMORY. */
ta_status ta_model_build(const struct ta_model_spec *spec, struct ta_shape stream_input, uint32_t outputs,
                         struct ta_model *out);
/* A word model. `names`: the fixed vocabulary of the stream, a row for each word; NULL: found online, `vocabulary`
 * rows. Errors: CONFIG (which key, which value; a vocabulary of the stream that is empty, or larger than
 * model.vocabulary where that is given). */
ta_status ta_model_build_words(const struct ta_model_spec *spec, const struct ta_names *names, struct ta_model *out);
void ta_model_free(struct ta_model *model);

/* Initial weights into host memory w[n_params]: by layer's init, from the seed, the same on every replica and machine.
 * Tables of rows: what struct ta_table says.
 * gamma, moving_variance 1; beta, biases, moving_mean 0. */
void ta_model_init(const struct ta_model *model, uint64_t seed, float *w);

/* Parameter tensors in Keras' order of a layer (kernel, bias; gamma, beta, moving_mean, moving_variance). Returns how
 * many (0..4). `names` get "kernel:0", ...; dims/ranks as Keras stores them. */
struct ta_tensor {
    const char *name; /* "kernel" */
    struct ta_param param;
    unsigned rank;
    uint64_t dims[4];
    bool trainable;
};
unsigned ta_layer_tensors(const struct ta_layer *layer, struct ta_tensor out[4]);

/* The net_spec of this model at a batch size. Borrowed pointers: the model must outlive it. */
struct ta_net_spec ta_model_net_spec(const struct ta_model *model, uint32_t batch, uint64_t seed, bool predict_only);
/* True when training mode differs from inference (dropout, batch_norm): test-then-train then needs its own pass. */
bool ta_model_needs_own_prediction(const struct ta_model *model);

#endif
