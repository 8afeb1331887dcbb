/* optimizer: everything about an update that is decided once a step; the pass over the parameters is the kernels'. */
#include "optimizer.h"

#include <math.h>

#include "mem.h"

/* --- the specification --- */

static ta_status out_of_range(const char *key, double value, const char *allowed) {
    return ta_fail(TA_CONFIG, "optimizer.%s: %g; it must be %s", key, value, allowed);
}

static const char *type_name(enum ta_optimizer_kind type) {
    static const char *const names[] = {"sgd", "momentum", "adam", "adagrad"};
    return names[type];
}

/* A key that the chosen type would silently ignore is a mistake of the person who wrote it. */
static ta_status check_keys(const struct ta_optimizer_spec *s) {
    const struct {
        const char *key;
        bool given;
        unsigned types;
        const char *hint;
    } keys[] = {
        {"momentum", s->momentum != 0, 1u << TA_MOMENTUM, "use type: momentum, or remove it"},
        {"nesterov", s->nesterov != 0, 1u << TA_MOMENTUM, "use type: momentum, or remove it"},
        {"beta1", s->beta1 != 0, 1u << TA_ADAM, "use type: adam, or remove it"},
        {"beta2", s->beta2 != 0, 1u << TA_ADAM, "use type: adam, or remove it"},
        {"epsilon", s->epsilon != 0, 1u << TA_ADAM | 1u << TA_ADAGRAD, "use type: adam or adagrad, or remove it"},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].given && !(keys[i].types >> s->type & 1))
            return ta_fail(TA_CONFIG, "optimizer.%s means nothing to type: %s; %s", keys[i].key, type_name(s->type),
                           keys[i].hint);
    if (s->decoupled && s->weight_decay == 0)
        return ta_fail(TA_CONFIG, "optimizer.decoupled says how weight_decay is applied, but that is 0; give one");
    return TA_OK;
}

static ta_status check_numbers(const struct ta_optimizer_spec *s) {
    if (!(s->rate > 0 && s->rate <= 1e6f)) return out_of_range("rate", s->rate, "more than 0 and at most 1e6");
    if (!(s->momentum >= 0 && s->momentum < 1)) return out_of_range("momentum", s->momentum, "at least 0, less than 1");
    if (!(s->beta1 >= 0 && s->beta1 < 1)) return out_of_range("beta1", s->beta1, "at least 0 and less than 1");
    if (!(s->beta2 >= 0 && s->beta2 < 1)) return out_of_range("beta2", s->beta2, "at least 0 and less than 1");
    if (!(s->epsilon > 0 && s->epsilon <= 1)) return out_of_range("epsilon", s->epsilon, "more than 0 and at most 1");
    if (!(s->weight_decay >= 0 && s->weight_decay <= 1))
        return out_of_range("weight_decay", s->weight_decay, "between 0 and 1");
    if (!(s->clip_norm >= 0 && isfinite(s->clip_norm))) return out_of_range("clip_norm", s->clip_norm, "0 or more");
    if (!(s->clip_value >= 0 && isfinite(s->clip_value))) return out_of_range("clip_value", s->clip_value, "0 or more");
    return TA_OK;
}

static ta_status check_schedule(const struct ta_optimizer_spec *s) {
    if (s->schedule == TA_SCHEDULE_CONSTANT) {
        if (s->schedule_steps == 0 && s->schedule_factor == 0) return TA_OK;
        return ta_fail(TA_CONFIG,
                       "optimizer.%s is given, but schedule is constant; say schedule: step, exponential, "
                       "cosine or inverse",
                       s->schedule_steps != 0 ? "schedule_steps" : "schedule_factor");
    }
    if (s->schedule == TA_SCHEDULE_LINEAR)
        return ta_fail(TA_CONFIG,
                       "optimizer.schedule: linear is for word models (model.type: skipgram or cbow); say schedule: "
                       "cosine with schedule_steps");
    if (s->schedule_steps == 0)
        return ta_fail(TA_CONFIG, "optimizer.schedule_steps is missing; the schedule needs it, at least 1");
    bool factor = s->schedule == TA_SCHEDULE_STEP || s->schedule == TA_SCHEDULE_EXPONENTIAL;
    if (factor && !(s->schedule_factor > 0 && s->schedule_factor <= 1))
        return out_of_range("schedule_factor", s->schedule_factor, "more than 0 and at most 1 (.5 halves the rate)");
    if (s->schedule == TA_SCHEDULE_COSINE && !(s->schedule_factor >= 0 && s->schedule_factor <= 1))
        return out_of_range("schedule_factor", s->schedule_factor, "between 0 and 1: the least share of rate");
    if (s->schedule == TA_SCHEDULE_INVERSE && s->schedule_factor != 0)
        return ta_fail(TA_CONFIG, "optimizer.schedule_factor means nothing to schedule: inverse; remove it");
    return TA_OK;
}

static void fill_in(struct ta_optimizer_spec *s) {
    if (s->rate == 0) s->rate = s->type == TA_ADAM ? .001f : .01f;
    if (s->momentum == 0 && s->type == TA_MOMENTUM) s->momentum = .9f;
    if (s->beta1 == 0) s->beta1 = .9f;
    if (s->beta2 == 0) s->beta2 = .999f;
    if (s->epsilon == 0) s->epsilon = 1e-7f;
}

float ta_optimizer_rate(const struct ta_optimizer_spec *spec, uint64_t step) {
    double rate = spec->rate;
    if (rate == 0) rate = spec->type == TA_ADAM ? .001f : .01f;
    if (step == 0) step = 1;
    if (step <= spec->warmup_steps) return (float)(rate * (double)step / (double)spec->warmup_steps);
    double t = (double)(step - 1 - spec->warmup_steps); /* updates made since the warm-up */
    double unit = spec->schedule_steps > 0 ? (double)spec->schedule_steps : 1, factor = spec->schedule_factor;
    switch (spec->schedule) {
    case TA_SCHEDULE_STEP: return (float)(rate * pow(factor, floor(t / unit)));
    case TA_SCHEDULE_EXPONENTIAL: return (float)(rate * pow(factor, t / unit));
    case TA_SCHEDULE_COSINE: {
        double share = t < unit ? .5 * (1 + cos(3.141592653589793 * t / unit)) : 0;
        return (float)(rate * (factor + (1 - factor) * share));
    }
    case TA_SCHEDULE_INVERSE: return (float)(rate / (1 + t / unit));
    default: return (float)rate;
    }
}

/* --- word models --- */

ta_status ta_optimizer_check_words(struct ta_optimizer_spec *s, enum ta_model_type type, bool ends) {
    const struct {
        const char *key;
        bool given;
    } keys[] = {
        {"momentum", s->momentum != 0},
        {"nesterov", s->nesterov != 0},
        {"beta1", s->beta1 != 0},
        {"beta2", s->beta2 != 0},
        {"epsilon", s->epsilon != 0},
        {"weight_decay", s->weight_decay != 0},
        {"decoupled", s->decoupled != 0},
        {"clip_norm", s->clip_norm != 0},
        {"clip_value", s->clip_value != 0},
        {"warmup_steps", s->warmup_steps != 0},
        {"schedule_steps", s->schedule_steps != 0},
        {"on_nan", s->on_nan != TA_ON_NAN_SKIP},
    };
    if ((unsigned)s->type > TA_ADAGRAD || s->type != TA_SGD)
        return ta_fail(TA_CONFIG, "optimizer.type: %s; a word model is trained by plain steps: say type: sgd",
                       (unsigned)s->type > TA_ADAGRAD ? "unknown" : type_name(s->type));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].given)
            return ta_fail(TA_CONFIG, "optimizer.%s means nothing to a word model, which makes plain steps; remove it",
                           keys[i].key);
    if (s->schedule != TA_SCHEDULE_CONSTANT && s->schedule != TA_SCHEDULE_LINEAR)
        return ta_fail(TA_CONFIG,
                       "optimizer.schedule counts steps, but a word model counts records; say schedule: linear, or "
                       "constant for a stream without an end");
    if (s->schedule == TA_SCHEDULE_CONSTANT && s->schedule_factor != 0)
        return ta_fail(TA_CONFIG, "optimizer.schedule_factor is given, but schedule is constant; say schedule: linear");
    if (s->schedule == TA_SCHEDULE_LINEAR && !ends)
        return ta_fail(TA_CONFIG, "optimizer.schedule: linear falls towards the run's end, but this run has none; give "
                                  "run.max_records or run.epochs, or say schedule: constant");
    if (!(s->schedule_factor >= 0 && s->schedule_factor <= 1))
        return out_of_range("schedule_factor", s->schedule_factor, "between 0 and 1: the least share of rate");
    if (s->rate == 0) s->rate = type == TA_MODEL_CBOW ? .05f : .025f;
    if (!(s->rate > 0 && s->rate <= 1)) return out_of_range("rate", s->rate, "more than 0 and at most 1");
    return TA_OK;
}

float ta_optimizer_rate_at(const struct ta_optimizer_spec *spec, double share) {
    if (spec->schedule != TA_SCHEDULE_LINEAR) return spec->rate;
    double least = spec->schedule_factor > 0 ? spec->schedule_factor : 1e-4, left = share > 0 ? 1 - share : 1;
    return (float)((double)spec->rate * (left > least ? left : least));
}

/* --- life --- */

static ta_status list_trained(struct ta_optimizer *o) {
    ta_status status = TA_NEW(&o->trained, o->model->n_segments + 1, "the list of what is trained");
    for (unsigned i = 0; i < o->model->n_segments && status == TA_OK; i++) {
        const struct ta_segment *s = &o->model->segments[i];
        if (s->kind == TA_SEGMENT_SUM) o->trained[o->n_trained++] = (struct ta_param){s->offset, s->count};
    }
    return status;
}

ta_status ta_optimizer_open(struct ta_optimizer *o, const struct ta_optimizer_spec *spec, const struct ta_model *model,
                            const struct ta_kernels_ops *ops, struct ta_kernels *kernels) {
    *o = (struct ta_optimizer){.ops = ops, .kernels = kernels, .model = model, .spec = *spec, .raised = 1};
    if ((unsigned)spec->type > TA_ADAGRAD || (unsigned)spec->schedule > TA_SCHEDULE_LINEAR)
        return ta_fail(TA_CONFIG, "optimizer: type %d or schedule %d is not a known one", (int)spec->type,
                       (int)spec->schedule);
    ta_status status = check_keys(spec);
    fill_in(&o->spec);
    if (status == TA_OK) status = check_numbers(&o->spec);
    if (status == TA_OK) status = check_schedule(&o->spec);
    size_t bytes = model->n_params * sizeof(float);
    if (status == TA_OK && (spec->type == TA_MOMENTUM || spec->type == TA_ADAM))
        status = ops->alloc(kernels, bytes, "the optimizer's first moments", (void **)&o->m);
    if (status == TA_OK && (spec->type == TA_ADAM || spec->type == TA_ADAGRAD))
        status = ops->alloc(kernels, bytes, "the optimizer's second moments", (void **)&o->v);
    if (status == TA_OK) status = list_trained(o);
    if (status != TA_OK) ta_optimizer_close(o);
    return status;
}

void ta_optimizer_close(struct ta_optimizer *o) {
    if (o->m != NULL) o->ops->free(o->kernels, o->m);
    if (o->v != NULL) o->ops->free(o->kernels, o->v);
    o->m = o->v = NULL;
    ta_mem_free(o->trained);
    o->trained = NULL;
    o->n_trained = 0;
}

size_t ta_optimizer_bytes(const struct ta_optimizer *o) {
    return ((o->m != NULL) + (size_t)(o->v != NULL)) * o->model->n_params * sizeof(float);
}

ta_status ta_optimizer_reset(struct ta_optimizer *o) {
    size_t bytes = o->model->n_params * sizeof(float);
    float *zero = NULL;
    if (o->m == NULL && o->v == NULL) return TA_OK;
    ta_status status = ta_mem_alloc(1, bytes, "zero moments", (void **)&zero);
    if (status == TA_OK && o->m != NULL) status = o->ops->copy_in(o->kernels, o->m, zero, bytes);
    if (status == TA_OK && o->v != NULL) status = o->ops->copy_in(o->kernels, o->v, zero, bytes);
    ta_mem_free(zero);
    if (status == TA_OK) o->reset_at = o->step;
    return status;
}

/* --- a step --- */

/* The gradient's norm, over what is trained; statistics of batch_norm count only towards `finite`. */
static ta_status look_at_gradient(struct ta_optimizer *o, const float *grad, bool *finite) {
    double trained = 0, statistics = 0;
    for (unsigned i = 0; i < o->model->n_segments; i++) {
        const struct ta_segment *s = &o->model->segments[i];
        double norm2;
        ta_status status = o->ops->grad_norm2(o->kernels, s->count, grad + s->offset, &norm2);
        if (status != TA_OK) return status;
        *(s->kind == TA_SEGMENT_SUM ? &trained : &statistics) += norm2;
    }
    o->last_norm = sqrt(trained);
    *finite = isfinite(trained) && isfinite(statistics);
    return TA_OK;
}

/* All but the gradient's own scale. */
static struct ta_update next_update(const struct ta_optimizer *o, float scale) {
    const struct ta_optimizer_spec *s = &o->spec;
    return (struct ta_update){
        .kind = s->type,
        .step = o->step + 1 - o->reset_at,
        .rate = ta_optimizer_rate(s, o->step + 1) * o->raised,
        .scale = scale,
        .grad_scale = 1,
        .clip_value = s->clip_value,
        .weight_decay = s->weight_decay,
        .momentum = s->momentum,
        .beta1 = s->beta1,
        .beta2 = s->beta2,
        .epsilon = s->epsilon,
        .nesterov = s->nesterov != 0,
        .decoupled = s->decoupled != 0,
    };
}

static ta_status update_trained(struct ta_optimizer *o, const float *grad, const float *w, float scale, float *delta) {
    float clip_norm = o->spec.clip_norm;
    struct ta_update how = next_update(o, scale);
    if (clip_norm > 0 && o->last_norm > clip_norm) how.grad_scale = (float)(clip_norm / o->last_norm);
    /* One pass over a whole segment: in the gaps between tensors gradient, weight and state are zero, and so is what
     * every kind of update (weight decay included) makes of them. */
    for (uint32_t i = 0; i < o->n_trained; i++) {
        size_t at = o->trained[i].offset;
        float *m = o->m != NULL ? o->m + at : NULL, *v = o->v != NULL ? o->v + at : NULL;
        ta_status status = o->ops->update(o->kernels, &how, o->trained[i].count, grad + at, w + at, m, v, delta + at);
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

static ta_status move_statistics(struct ta_optimizer *o, const float *grad, float *delta) {
    for (uint32_t i = 0; i < o->model->n_layers; i++) {
        const struct ta_layer *l = &o->model->layers[i];
        if (l->kind != TA_LAYER_BATCH_NORM) continue;
        const struct ta_param both[2] = {l->mean, l->variance};
        for (int j = 0; j < 2; j++) {
            size_t at = both[j].offset;
            ta_status status = o->ops->moving(o->kernels, both[j].count, l->momentum, grad + at, delta + at);
            if (status != TA_OK) return status;
        }
    }
    return TA_OK;
}

static ta_status skip(struct ta_optimizer *o) {
    o->skipped++;
    return ta_fail(TA_NUMERIC,
                   "the gradient after %llu updates is not finite, so it was dropped (the %llu. time); lower "
                   "optimizer.rate, set optimizer.clip_norm, or look for huge numbers in the stream",
                   (unsigned long long)o->step, (unsigned long long)o->skipped);
}

ta_status ta_optimizer_step(struct ta_optimizer *o, const float *grad, const float *w, float scale, float *delta) {
    bool finite;
    ta_status status = look_at_gradient(o, grad, &finite);
    if (status != TA_OK) return status;
    if (!finite) return skip(o);
    status = update_trained(o, grad, w, scale, delta);
    if (status == TA_OK) status = move_statistics(o, grad, delta);
    if (status == TA_OK) o->step++;
    return status;
}

/* --- a step that the device makes by itself --- */

void ta_optimizer_plan(const struct ta_optimizer *o, float scale, float *delta, struct ta_net_update *out) {
    *out = (struct ta_net_update){
        .how = next_update(o, scale),
        .clip_norm = o->spec.clip_norm,
        .trained = o->trained,
        .n_trained = o->n_trained,
        .m = o->m,
        .v = o->v,
        .delta = delta,
    };
}

ta_status ta_optimizer_done(struct ta_optimizer *o, const struct ta_net_outcome *outcome) {
    o->last_norm = sqrt(outcome->norm2);
    if (!outcome->finite) return skip(o);
    o->step++;
    return TA_OK;
}
