/* online_config: keys and defaults of the section `online`. The groups of detectors are named as in detector.h. */
#include "online_config.h"

#include <math.h>

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define COUNT(key, structure, member) CYAML_FIELD_UINT(key, OPTIONAL, structure, member)
#define NUMBER(key, structure, member) CYAML_FIELD_FLOAT(key, OPTIONAL, structure, member)
#define CHOICE(key, structure, member, names) \
    CYAML_FIELD_ENUM(key, OPTIONAL | CYAML_FLAG_STRICT, structure, member, names, CYAML_ARRAY_LEN(names))

/* --- detectors --- */

static const cyaml_strval_t type_names[] = {
#define X(name, text) {#text, TA_DETECTOR_##name},
    TA_DETECTOR_LIST(X)
#undef X
};
static const cyaml_strval_t side_names[] = {{"default", TA_DETECTOR_SIDE_DEFAULT},
                                            {"rise", TA_DETECTOR_RISE},
                                            {"fall", TA_DETECTOR_FALL},
                                            {"both", TA_DETECTOR_BOTH}};
static const cyaml_strval_t code_names[] = {
    {"reference", TA_DETECTOR_REFERENCE}, {"moa", TA_DETECTOR_MOA}, {"capymoa", TA_DETECTOR_CAPYMOA}};
static const cyaml_strval_t variant_names[] = {{"published", TA_OPTWIN_PUBLISHED}, {"welch", TA_OPTWIN_WELCH}};

typedef struct ta_detector_spec spec;

#define GROUP(name, ...)                                             \
    static const cyaml_schema_field_t name##_fields[] = {__VA_ARGS__, CYAML_FIELD_END}
/* Each key of a group as a field of the whole spec: the group is a mapping that lies at its start. */
#define REAL(group, key) NUMBER(#key, spec, group.key)
#define WHOLE(group, key) COUNT(#key, spec, group.key)

GROUP(optwin, REAL(optwin, confidence), REAL(optwin, rho), REAL(optwin, warning), REAL(optwin, noise),
      WHOLE(optwin, window_min), WHOLE(optwin, window_max));
GROUP(adwin, REAL(adwin, delta), WHOLE(adwin, clock), WHOLE(adwin, max_buckets), WHOLE(adwin, min_window),
      WHOLE(adwin, grace));
GROUP(ddm, REAL(ddm, warning), REAL(ddm, drift), WHOLE(ddm, warm_start));
GROUP(eddm, REAL(eddm, warning), REAL(eddm, drift), WHOLE(eddm, warm_start));
GROUP(pagehinkley, REAL(pagehinkley, delta), REAL(pagehinkley, threshold), REAL(pagehinkley, alpha),
      WHOLE(pagehinkley, warm_start));
GROUP(kswin, REAL(kswin, alpha), WHOLE(kswin, window), WHOLE(kswin, recent), WHOLE(kswin, seed));
GROUP(stepd, REAL(stepd, warning), REAL(stepd, drift), WHOLE(stepd, window));
GROUP(ecdd, REAL(ecdd, lambda), WHOLE(ecdd, warm_start), WHOLE(ecdd, arl));
GROUP(hddm_a, REAL(hddm_a, warning), REAL(hddm_a, drift));

/* A mapping at offset 0 whose fields carry their own offsets into the spec. */
#define GROUP_FIELD(name)                                                                                   \
    {.key = #name,                                                                                          \
     .value = {.type = CYAML_MAPPING, .flags = OPTIONAL, .data_size = sizeof(spec), .mapping.fields = name##_fields}, \
     .data_offset = 0}

static const cyaml_schema_field_t detector_fields[] = {
    CYAML_FIELD_ENUM("type", CYAML_FLAG_STRICT, spec, type, type_names, CYAML_ARRAY_LEN(type_names)),
    CHOICE("side", spec, side, side_names),
    CHOICE("code", spec, code, code_names),
    CHOICE("variant", spec, variant, variant_names),
    GROUP_FIELD(optwin),
    GROUP_FIELD(adwin),
    GROUP_FIELD(ddm),
    GROUP_FIELD(eddm),
    GROUP_FIELD(pagehinkley),
    GROUP_FIELD(kswin),
    GROUP_FIELD(stepd),
    GROUP_FIELD(ecdd),
    GROUP_FIELD(hddm_a),
    CYAML_FIELD_END,
};

/* --- the rest --- */

static const cyaml_schema_field_t plateau_fields[] = {
    COUNT("stretch", struct ta_plateau_spec, stretch),
    COUNT("patience", struct ta_plateau_spec, patience),
    NUMBER("factor", struct ta_plateau_spec, factor),
    NUMBER("floor", struct ta_plateau_spec, floor),
    CYAML_FIELD_END,
};

static const cyaml_strval_t answer_names[] = {{"raise_rate", TA_ANSWER_RAISE_RATE},
                                              {"reset_optimizer", TA_ANSWER_RESET_OPTIMIZER},
                                              {"reset_head", TA_ANSWER_RESET_HEAD},
                                              {"rehearse", TA_ANSWER_REHEARSE}};
static const cyaml_strval_t policy_names[] = {
    {"fifo", TA_REHEARSAL_FIFO}, {"reservoir", TA_REHEARSAL_RESERVOIR}, {"balanced", TA_REHEARSAL_BALANCED}};

static const cyaml_schema_field_t answer_fields[] = {
    CYAML_FIELD_ENUM("type", CYAML_FLAG_STRICT, struct ta_answer, type, answer_names, CYAML_ARRAY_LEN(answer_names)),
    NUMBER("factor", struct ta_answer, factor),
    COUNT("records", struct ta_answer, records),
    COUNT("layers", struct ta_answer, layers),
    CHOICE("policy", struct ta_answer, policy, policy_names),
    COUNT("room", struct ta_answer, room),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t answer_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct ta_answer, answer_fields)};

static const cyaml_strval_t mode_names[] = {
    {"train", TA_MODE_TRAIN}, {"predict", TA_MODE_PREDICT}, {"auto", TA_MODE_AUTO}};
static const cyaml_strval_t yes_names[] = {{"no", 0}, {"yes", 1}, {"false", 0}, {"true", 1}};
static const cyaml_strval_t watch_names[] = {{"loss", 0}, {"error", 1}};

const cyaml_schema_field_t ta_online_schema[] = {
    CHOICE("mode", struct ta_online_section, mode, mode_names),
    COUNT("label_delay", struct ta_online_section, label_delay),
    COUNT("waiting", struct ta_online_section, waiting),
    CHOICE("predictions", struct ta_online_section, predictions, yes_names),
    CHOICE("watch", struct ta_online_section, watch, watch_names),
    CYAML_FIELD_MAPPING_PTR("detector", CYAML_FLAG_POINTER | OPTIONAL, struct ta_online_section, detector,
                            detector_fields),
    CYAML_FIELD_MAPPING("plateau", OPTIONAL, struct ta_online_section, plateau, plateau_fields),
    COUNT("cool_down", struct ta_online_section, cool_down),
    COUNT("average", struct ta_online_section, average),
    CYAML_FIELD_SEQUENCE("answers", CYAML_FLAG_POINTER | OPTIONAL, struct ta_online_section, answers, &answer_value, 0,
                         TA_MAX_ANSWERS),
    CYAML_FIELD_END,
};

static ta_status check_answer(struct ta_answer *a, unsigned number) {
    if (a->factor == 0) a->factor = 5;
    if (a->records == 0) a->records = 2000;
    if (a->layers == 0) a->layers = 1;
    if (a->room == 0) a->room = 1000;
    if (a->type == TA_ANSWER_RAISE_RATE && !(a->factor > 0 && a->factor <= 1e6))
        return ta_fail(TA_CONFIG, "online.answers[%u].factor: %g is not between 0 and 1e6", number, a->factor);
    return TA_OK;
}

ta_status ta_online_check(struct ta_online_section *o) {
    if (o->waiting == 0) o->waiting = 65536;
    ta_status status = TA_OK;
    for (unsigned i = 0; i < o->answers_count && status == TA_OK; i++) status = check_answer(&o->answers[i], i);
    if (status != TA_OK) return status;
    bool blind = o->detector == NULL || o->detector->type == TA_DETECTOR_NEVER;
    if (o->mode == TA_MODE_AUTO && o->detector == NULL)
        return ta_fail(TA_CONFIG,
                       "online.mode: auto trains again when drift is found, but there is no online.detector; "
                       "give one (type: optwin), or type: never to train once");
    if (o->answers_count > 0 && blind)
        return ta_fail(TA_CONFIG, "online.answers: nobody looks for drift; give online.detector");
    bool of_errors = !blind && (o->detector->type == TA_DETECTOR_DDM || o->detector->type == TA_DETECTOR_EDDM ||
                                o->detector->type == TA_DETECTOR_ECDD || o->detector->type == TA_DETECTOR_STEPD ||
                                o->detector->type == TA_DETECTOR_HDDM_A);
    if (o->average > 1 && of_errors)
        return ta_fail(TA_CONFIG, "online.average: %s was made for single errors; leave it at 1",
                       ta_detector_name(o->detector->type));
    struct ta_cycle trial; /* the detector's and the plateau's own checks */
    struct ta_cycle_spec spec = {.mode = o->mode, .watch_errors = o->watch != 0, .plateau = o->plateau};
    spec.detector.type = TA_DETECTOR_NEVER;
    if (o->detector != NULL) spec.detector = *o->detector;
    status = ta_cycle_init(&trial, &spec);
    ta_cycle_free(&trial);
    return status;
}
