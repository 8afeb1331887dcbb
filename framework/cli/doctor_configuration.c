/* doctor_configuration: what the configuration asks of this machine, worked out from its model. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"
#include "outbox.h"
#include "replica.h"
#include "rowlog.h"
#include "slot.h"

/* What replicas of that model put, and are put: see slot.h, and register_sources in live.c. */
static ta_status sizes(const struct ta_model *model, struct ta_doctor *d) {
    uint32_t rows = 0, log = 0;
    struct ta_slot_layout layout;
    for (unsigned i = 0; i < model->n_segments; i++)
        if (model->segments[i].kind == TA_SEGMENT_ROWS || model->segments[i].kind == TA_SEGMENT_NAMES)
            rows += model->segments[i].table.rows;
    log = ta_rowlog_entries(rows);
    ta_status status = ta_slot_layout_make(d->replicas, model->n_params, log, &layout);
    if (status != TA_OK) return status;
    uint64_t parcels = (uint64_t)d->replicas * (d->config->exchange.spec.puts_in_flight + 1);
    uint64_t list_rows = log < TA_OUTBOX_ROWS ? log : TA_OUTBOX_ROWS;
    d->parameters = model->n_weights;
    d->window_bytes = layout.window_bytes;
    d->source_bytes = model->n_params * sizeof(float) +
                      parcels * (sizeof(uint64_t) * TA_SLOT_WORDS + 2 * list_rows * sizeof(uint32_t));
    d->knows_need = true;
    return TA_OK;
}

ta_status ta_doctor_measure(struct ta_doctor *d) {
    struct ta_stream *stream;
    struct ta_model model;
    ta_status status = ta_stream_open(&d->config->stream.spec, &stream);
    if (status != TA_OK) return status;
    struct ta_stream_info info = stream->info;
    status = ta_replica_model(d->config, &info, &model);
    if (status == TA_OK) {
        status = sizes(&model, d);
        ta_model_free(&model);
    }
    ta_stream_close(stream);
    return status;
}

void ta_doctor_configuration(const struct ta_doctor *d, struct ta_findings *list) {
    char a[32], b[32];
    if (d->config == NULL) {
        ta_doctor_say(list, TA_FINDING_NOTE, "file", "none was given: what follows is about this machine alone");
        ta_doctor_cure(list, "tensair doctor CONFIG.yaml checks what it asks for");
        return;
    }
    ta_doctor_say(list, TA_FINDING_OK, "file", "%s", d->path);
    ta_doctor_say(list, TA_FINDING_OK, "replicas", "%u, %u on a node", d->replicas, d->per_node);
    if (d->knows_need) {
        ta_doctor_say(list, TA_FINDING_OK, "model", "%" PRIu64 " parameters", d->parameters);
        ta_doctor_say(list, TA_FINDING_OK, "window",
                      "%s that the peers of a replica write, %s that its puts are read from",
                      ta_doctor_bytes(d->window_bytes, a), ta_doctor_bytes(d->source_bytes, b));
    } else {
        ta_doctor_say(list, TA_FINDING_WRONG, "model", "cannot be built, so that its size is not known");
        ta_doctor_cure(list, "%s", d->why);
    }
    ta_doctor_say(list, TA_FINDING_OK, "transport", "%s", d->transport->type != NULL ? d->transport->type : "auto");
    ta_doctor_say(list, TA_FINDING_OK, "device", "%s", d->device);
}
