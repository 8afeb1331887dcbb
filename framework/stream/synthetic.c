/* synthetic: finds the generator, parses its options, and calls it record by record. What a record is made of is in
 * each generator's file; when concepts change is in concept.c. */
#include "synthetic.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "concept.h"
#include "config.h"
#include "generator.h"
#include "mem.h"

static const struct ta_generator *const generators[] = {
    &ta_generator_sea,        &ta_generator_stagger, &ta_generator_agrawal,
    &ta_generator_hyperplane, &ta_generator_rbf,     &ta_generator_glyphs,
};
enum { GENERATORS = sizeof generators / sizeof generators[0], NAME_BYTES = 32 };

/* Keeps records, tables and coin flips of one seed apart. */
static const uint64_t RECORD_SEED = UINT64_C(0x9e3779b97f4a7c15), TABLE_SEED = UINT64_C(0xd1b54a32d192ed03);

struct synthetic {
    struct ta_stream stream;
    const struct ta_generator *generator;
    struct ta_generator_args args;
    struct ta_concept_plan plan;
    void *state;
};

const char *ta_synthetic_name(unsigned i) { return i < GENERATORS ? generators[i]->name : NULL; }

const char *ta_synthetic_summary(unsigned i) { return i < GENERATORS ? generators[i]->summary : NULL; }

double ta_generator_bounce(double start, double velocity, uint64_t records) {
    double there = fmod(start + velocity * (double)records, 2);
    if (there < 0) there += 2;
    return there > 1 ? 2 - there : there;
}

/* ---- the generator's name and options ---- */

static ta_status find_generator(const char *text, const struct ta_generator **out) {
    size_t length = strcspn(text, ":");
    for (unsigned i = 0; i < GENERATORS; i++) {
        if (strlen(generators[i]->name) == length && strncmp(generators[i]->name, text, length) == 0) {
            *out = generators[i];
            return TA_OK;
        }
    }
    return ta_fail(TA_CONFIG,
                   "there is no generator '%.*s'; there are sea, stagger, agrawal, hyperplane, rbf and glyphs",
                   (int)(length > 64 ? 64 : length), text);
}

static ta_status no_such_option(const struct ta_generator *generator, const char *name) {
    char all[256] = "";
    for (int i = 0; i < TA_GENERATOR_OPTIONS && generator->options[i].name != NULL; i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i == 0 ? "" : ", ", generator->options[i].name);
    }
    return ta_fail(TA_CONFIG, "generator %s has no option '%s'; it has %s", generator->name, name, all);
}

static ta_status parse_option(const struct ta_generator *generator, const char *text, size_t length,
                              struct ta_generator_args *args) {
    char name[NAME_BYTES], value[NAME_BYTES];
    size_t name_length = strcspn(text, "=");
    if (name_length >= length || name_length >= sizeof name || length - name_length > sizeof value)
        return ta_fail(TA_CONFIG, "generator %s: '%.*s' is not an option=number", generator->name,
                       (int)(length > 64 ? 64 : length), text);
    snprintf(name, sizeof name, "%.*s", (int)name_length, text);
    snprintf(value, sizeof value, "%.*s", (int)(length - name_length - 1), text + name_length + 1);
    for (int i = 0; i < TA_GENERATOR_OPTIONS && generator->options[i].name != NULL; i++) {
        const struct ta_generator_option *option = &generator->options[i];
        if (strcmp(option->name, name) != 0) continue;
        char *end;
        double number = strtod(value, &end);
        int whole = !option->whole || number == floor(number);
        if (end == value || *end != '\0' || !(number >= option->least && number <= option->most) || !whole)
            return ta_fail(TA_CONFIG, "generator %s: %s=%s is not a%s number from %g to %g", generator->name, name,
                           value, option->whole ? " whole" : "", option->least, option->most);
        args->option[i] = number;
        return TA_OK;
    }
    return no_such_option(generator, name);
}

static ta_status parse_options(const struct ta_generator *generator, const char *text,
                               struct ta_generator_args *args) {
    for (int i = 0; i < TA_GENERATOR_OPTIONS && generator->options[i].name != NULL; i++)
        args->option[i] = generator->options[i].fallback;
    text += strcspn(text, ":");
    while (*text != '\0') {
        text++; /* the ':' or ',' */
        size_t length = strcspn(text, ",");
        ta_status status = parse_option(generator, text, length, args);
        if (status != TA_OK) return status;
        text += length;
    }
    return TA_OK;
}

/* ---- the stream ---- */

static void synthetic_close(struct ta_stream *s) {
    struct synthetic *self = (struct synthetic *)s;
    ta_mem_free(self->state);
    ta_mem_free(self);
}

static int32_t make_record(const struct synthetic *self, uint64_t record, void *x) {
    struct ta_rng rng = ta_rng_make(self->args.seed ^ RECORD_SEED, record);
    uint32_t concept = ta_concept_at(&self->plan, record);
    int32_t class = self->generator->draw(&self->args, self->state, concept, record, &rng, x);
    int option = self->generator->noise_option;
    if (option < 0 || self->args.option[option] == 0) return class;
    uint32_t classes = self->stream.info.classes;
    if (ta_rng_uniform(&rng) >= self->args.option[option]) return class;
    return (int32_t)(((uint32_t)class + 1 + ta_rng_below(&rng, classes - 1)) % classes);
}

static ta_status synthetic_read(struct ta_stream *s, uint64_t first, size_t count,
                                const struct ta_stream_block *out) {
    struct synthetic *self = (struct synthetic *)s;
    if (first > s->info.records || count > s->info.records - first) return TA_END;
    if (out->x == NULL && out->class == NULL) return TA_OK;
    size_t x_bytes = ta_stream_x_bytes(&s->info);
    void *aside = NULL; /* a label follows from its features: they are made even when nobody wants them */
    if (out->x == NULL) {
        ta_status status = ta_mem_alloc(x_bytes, 1, "record of a generator", &aside);
        if (status != TA_OK) return status;
    }
    for (size_t i = 0; i < count; i++) {
        void *x = out->x != NULL ? (char *)out->x + i * x_bytes : aside;
        int32_t class = make_record(self, first + i, x);
        if (out->class != NULL) out->class[i] = class;
    }
    ta_mem_free(aside);
    return TA_OK;
}

static const struct ta_stream_ops synthetic_ops = {
    .name = "synthetic",
    .close = synthetic_close,
    .read = synthetic_read,
};

static ta_status prepare(struct synthetic *self, const struct ta_stream_spec *spec) {
    struct ta_stream_info *info = &self->stream.info;
    *info = (struct ta_stream_info){
        .records = spec->records == 0 ? UINT64_MAX : spec->records,
        .h = 1,
        .w = 1,
        .element = TA_ELEMENT_F32,
        .scale = 1,
        .label_kind = TA_LABEL_CLASS,
    };
    self->args.seed = spec->seed;
    ta_status status = find_generator(spec->generator, &self->generator);
    if (status == TA_OK) status = parse_options(self->generator, spec->generator, &self->args);
    if (status == TA_OK) status = ta_concept_parse(&self->plan, spec->drift, self->generator->concepts, spec->seed);
    size_t state_bytes = 0;
    if (status == TA_OK) status = self->generator->shape(&self->args, info, &state_bytes);
    if (status == TA_OK && state_bytes > 0)
        status = ta_mem_alloc(state_bytes, 1, "tables of a generator", &self->state);
    if (status != TA_OK) return status;
    if (self->generator->prepare != NULL) {
        struct ta_generator_args args = self->args;
        args.seed ^= TABLE_SEED;
        self->generator->prepare(&args, self->state);
    }
    snprintf(info->origin, sizeof info->origin, "generator %.100s, seed %" PRIu64 "%s%.100s", spec->generator,
             spec->seed, spec->drift == NULL || *spec->drift == '\0' ? "" : ", drift ",
             spec->drift == NULL ? "" : spec->drift);
    return TA_OK;
}

ta_status ta_synthetic_open(const struct ta_stream_spec *spec, struct ta_stream **out) {
    *out = NULL;
    if (spec->generator == NULL) return ta_fail(TA_CONFIG, "no generator is named: sea, stagger, agrawal, ...");
    struct synthetic *self;
    ta_status status = TA_NEW(&self, 1, "synthetic stream");
    if (status != TA_OK) return status;
    self->stream.ops = &synthetic_ops;
    status = prepare(self, spec);
    if (status != TA_OK) {
        synthetic_close(&self->stream);
        return status;
    }
    *out = &self->stream;
    return TA_OK;
}
