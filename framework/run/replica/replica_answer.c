/* replica_answer: the answers to drift, and how alarms are told. */
#include <inttypes.h>

#include "mem.h"
#include "replica_internal.h"

static void raise_rate(struct ta_replica *r, const struct ta_answer *a) {
    r->optimizer.raised = (float)a->factor;
    r->online.raised_left = a->records;
}

static void begin_rehearsal(struct ta_replica *r, const struct ta_answer *a) {
    ta_rehearsal_clear(&r->online.rehearsal);
    r->online.again.records = 0;
    r->online.rehearse_left = a->records;
}

void ta_replica_answer(struct ta_replica *r, int64_t now_ns) {
    const struct ta_online_section *o = &r->run->online;
    for (unsigned i = 0; i < o->answers_count; i++) {
        const struct ta_answer *a = &o->answers[i];
        switch (a->type) {
            case TA_ANSWER_RAISE_RATE: raise_rate(r, a); break;
            case TA_ANSWER_RESET_OPTIMIZER:
                if (ta_optimizer_reset(&r->optimizer) != TA_OK)
                    ta_replica_event(r, now_ns, "answer_failed", "reset_optimizer: %s", ta_why());
                break;
            case TA_ANSWER_RESET_HEAD: /* one for all, or where weights are everybody's own, each its own */
                r->online.reset_head = ta_replica_lowest_live(r) == r->config.rank || !r->exchange_ops->agrees;
                break;
            case TA_ANSWER_REHEARSE: begin_rehearsal(r, a); break;
        }
    }
}

void ta_replica_answer_fade(struct ta_replica *r, uint32_t records) {
    struct ta_replica_online *s = &r->online;
    if (s->raised_left == 0) return;
    s->raised_left -= records < s->raised_left ? records : s->raised_left;
    if (s->raised_left == 0) r->optimizer.raised = 1;
}

/* Where the weights of the last `layers` layers that have any begin; they end with the arena's last weight. */
static uint32_t first_of_head(const struct ta_model *m, uint32_t layers) {
    uint32_t i = m->n_layers;
    while (i > 0 && layers > 0) {
        struct ta_tensor tensors[4];
        i--;
        if (ta_layer_tensors(&m->layers[i], tensors) > 0) layers--;
    }
    return i;
}

/* What brings these weights to where a fresh model has them, as an update like any other: peers get it with the next
 * put. */
static ta_status start_anew(struct ta_replica *r, const struct ta_param *p, const float *fresh) {
    size_t bytes = p->count * sizeof(float);
    float *w = NULL, *delta = NULL;
    ta_status status = TA_NEW(&w, p->count, "weights that start anew");
    if (status == TA_OK) status = TA_NEW(&delta, p->count, "weights that start anew");
    if (status == TA_OK) status = r->kernel_ops->copy_out(r->kernels, w, r->x->w + p->offset, bytes);
    if (status == TA_OK) status = r->kernel_ops->copy_out(r->kernels, delta, r->x->delta + p->offset, bytes);
    for (size_t i = 0; i < p->count && status == TA_OK; i++) delta[i] += fresh[p->offset + i] - w[i];
    if (status == TA_OK) status = r->kernel_ops->copy_in(r->kernels, r->x->delta + p->offset, delta, bytes);
    if (status == TA_OK) status = r->kernel_ops->copy_in(r->kernels, r->x->w + p->offset, fresh + p->offset, bytes);
    ta_mem_free(w);
    ta_mem_free(delta);
    return status;
}

ta_status ta_replica_answer_head(struct ta_replica *r) {
    const struct ta_online_section *o = &r->run->online;
    uint32_t layers = 1;
    float *fresh;
    for (unsigned i = 0; i < o->answers_count; i++)
        if (o->answers[i].type == TA_ANSWER_RESET_HEAD) layers = o->answers[i].layers;
    r->online.reset_head = false;
    ta_status status = TA_NEW(&fresh, r->model.n_params, "weights that start anew");
    if (status != TA_OK) return status;
    ta_model_init(&r->model, r->run->run.seed + r->online.cycle.number, fresh);
    for (uint32_t i = first_of_head(&r->model, layers); i < r->model.n_layers && status == TA_OK; i++) {
        struct ta_tensor tensors[4];
        unsigned n = ta_layer_tensors(&r->model.layers[i], tensors);
        bool statistics = r->model.layers[i].kind == TA_LAYER_BATCH_NORM; /* those are means over replicas: left as they are */
        for (unsigned t = 0; t < n && status == TA_OK; t++)
            if (!statistics || t < 2) status = start_anew(r, &tensors[t].param, fresh);
    }
    ta_mem_free(fresh);
    return status;
}

void ta_replica_tell_mode(struct ta_replica *r, int64_t now_ns) {
    json_t *line = ta_metrics_line(&r->metrics, "mode", now_ns);
    if (line == NULL) return;
    json_object_set_new(line, "record", json_integer((json_int_t)r->online.trail.record));
    json_object_set_new(line, "change", json_integer((json_int_t)r->online.cycle.number));
    json_object_set_new(line, "training", json_boolean(ta_cycle_trains(&r->online.cycle)));
    ta_metrics_write(&r->metrics, line);
}

void ta_replica_alarm(struct ta_replica *r, uint64_t record, int64_t now_ns) {
    ta_replica_event(r, now_ns, "drift", "at record %" PRIu64 ", change %" PRIu64, record, r->online.cycle.number);
    json_t *line = ta_metrics_line(&r->metrics, "drift", now_ns);
    if (line == NULL) return;
    json_object_set_new(line, "record", json_integer((json_int_t)record));
    json_object_set_new(line, "change", json_integer((json_int_t)r->online.cycle.number));
    ta_metrics_write(&r->metrics, line);
}
