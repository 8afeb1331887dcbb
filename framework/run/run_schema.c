/* run_schema: the keys of a configuration. The sections `model` and `optimizer` come from the model's folder. */
#include "inject.h"
#include "run_config.h"

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT(key, structure, member) \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER_NULL | OPTIONAL, structure, member, 0, 4096)
#define COUNT(key, structure, member) CYAML_FIELD_UINT(key, OPTIONAL, structure, member)
#define NUMBER(key, structure, member) CYAML_FIELD_FLOAT(key, OPTIONAL, structure, member)
#define CHOICE(key, structure, member, names) \
    CYAML_FIELD_ENUM(key, OPTIONAL | CYAML_FLAG_STRICT, structure, member, names, CYAML_ARRAY_LEN(names))

static const cyaml_strval_t overload_names[] = {{"lag", TA_OVERLOAD_LAG}, {"drop", TA_OVERLOAD_DROP}};
static const cyaml_strval_t pace_names[] = {{"max", TA_PACE_MAX},
                                            {"constant", TA_PACE_CONSTANT},
                                            {"poisson", TA_PACE_POISSON},
                                            {"bursts", TA_PACE_BURSTS},
                                            {"trace", TA_PACE_TRACE}};
static const cyaml_strval_t damping_names[] = {{"none", TA_DAMPING_NONE},
                                               {"inverse", TA_DAMPING_INVERSE},
                                               {"exponential", TA_DAMPING_EXPONENTIAL},
                                               {"delay-compensated", TA_DAMPING_COMPENSATED}};
static const cyaml_strval_t compute_names[] = {
    {"float32", TA_COMPUTE_FLOAT32}, {"tf32", TA_COMPUTE_TF32}, {"bfloat16", TA_COMPUTE_BFLOAT16}};
static const cyaml_strval_t scale_names[] = {{"sum", 0}, {"mean", 1}};

static const cyaml_strval_t takeover_names[] = {
    {"auto", TA_TAKEOVER_AUTO}, {"yes", TA_TAKEOVER_YES}, {"no", TA_TAKEOVER_NO}};

static const cyaml_schema_field_t slow_fields[] = {
    COUNT("rank", struct ta_slow, rank),
    NUMBER("factor", struct ta_slow, factor),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t slow_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct ta_slow, slow_fields)};

static const cyaml_schema_field_t run_fields[] = {
    COUNT("seed", struct ta_run_section, seed),
    COUNT("replicas", struct ta_run_section, replicas),
    COUNT("spares", struct ta_run_section, spares),
    TEXT("run_dir", struct ta_run_section, run_dir),
    TEXT("log_level", struct ta_run_section, log_level),
    TEXT("from", struct ta_run_section, from),
    TEXT("record", struct ta_run_section, record),
    COUNT("max_records", struct ta_run_section, max_records),
    NUMBER("epochs", struct ta_run_section, epochs),
    NUMBER("max_seconds", struct ta_run_section, max_seconds),
    CYAML_FIELD_SEQUENCE("slow", CYAML_FLAG_POINTER | OPTIONAL, struct ta_run_section, slow, &slow_value, 0, 1024),
    CHOICE("takeover", struct ta_run_section, takeover, takeover_names),
    CYAML_FIELD_END,
};

static const cyaml_strval_t inject_names[] = {{"swap", TA_INJECT_SWAP},
                                              {"rotate", TA_INJECT_ROTATE},
                                              {"shift", TA_INJECT_SHIFT},
                                              {"permute", TA_INJECT_PERMUTE},
                                              {"mix", TA_INJECT_MIX},
                                              {"known", TA_INJECT_KNOWN}};
static const cyaml_schema_value_t number_value = {CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint32_t)};
static const cyaml_schema_field_t inject_fields[] = {
    CYAML_FIELD_ENUM("type", CYAML_FLAG_STRICT, struct ta_inject_change, type, inject_names,
                     CYAML_ARRAY_LEN(inject_names)),
    COUNT("at", struct ta_inject_change, at),
    COUNT("width", struct ta_inject_change, width),
    COUNT("every", struct ta_inject_change, every),
    COUNT("seed", struct ta_inject_change, seed),
    CYAML_FIELD_SEQUENCE("classes", CYAML_FLAG_POINTER | OPTIONAL, struct ta_inject_change, classes, &number_value, 0,
                         2),
    COUNT("by", struct ta_inject_change, by),
    NUMBER("amount", struct ta_inject_change, amount),
    CYAML_FIELD_SEQUENCE("features", CYAML_FLAG_POINTER | OPTIONAL, struct ta_inject_change, features, &number_value, 0,
                         2),
    TEXT("file", struct ta_inject_change, file),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t inject_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct ta_inject_change, inject_fields)};

static const cyaml_schema_field_t stream_fields[] = {
    TEXT("file", struct ta_stream_section, spec.file),
    TEXT("generator", struct ta_stream_section, spec.generator),
    COUNT("records", struct ta_stream_section, spec.records),
    COUNT("seed", struct ta_stream_section, spec.seed),
    TEXT("drift", struct ta_stream_section, spec.drift),
    CYAML_FIELD_SEQUENCE("inject_drift", CYAML_FLAG_POINTER | OPTIONAL, struct ta_stream_section, spec.inject,
                         &inject_value, 0, TA_INJECT_MOST),
    COUNT("batch", struct ta_stream_section, batch),
    COUNT("ring", struct ta_stream_section, ring),
    CHOICE("on_overload", struct ta_stream_section, on_overload, overload_names),
    NUMBER("max_lag", struct ta_stream_section, max_lag_s),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t piece_fields[] = {
    NUMBER("at", struct ta_pace_piece, at_s),
    NUMBER("rate", struct ta_pace_piece, rate_per_s),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t piece_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct ta_pace_piece, piece_fields)};

static const cyaml_schema_field_t pace_fields[] = {
    CHOICE("type", struct ta_pacer_spec, pace, pace_names),
    NUMBER("rate", struct ta_pacer_spec, rate_per_s),
    NUMBER("burst", struct ta_pacer_spec, burst),
    NUMBER("speed", struct ta_pacer_spec, speed),
    CYAML_FIELD_SEQUENCE("schedule", CYAML_FLAG_POINTER | OPTIONAL, struct ta_pacer_spec, schedule, &piece_value, 0,
                         10000),
    COUNT("seed", struct ta_pacer_spec, seed),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t transport_fields[] = {
    TEXT("type", struct ta_transport_spec, type),
    TEXT("device", struct ta_transport_spec, device),
    TEXT("gid", struct ta_transport_spec, gid),
    TEXT("provider", struct ta_transport_spec, provider),
    TEXT("gpu_direct", struct ta_transport_spec, gpu_direct),
    COUNT("rails", struct ta_transport_spec, rails),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t exchange_fields[] = {
    TEXT("type", struct ta_exchange_section, spec.type),
    TEXT("topology", struct ta_exchange_section, spec.topology),
    COUNT("fan_out", struct ta_exchange_section, spec.fan_out),
    TEXT("max_staleness", struct ta_exchange_section, spec.max_staleness),
    TEXT("collective", struct ta_exchange_section, spec.collective),
    CHOICE("damping", struct ta_exchange_section, spec.damping, damping_names),
    NUMBER("damping_rate", struct ta_exchange_section, spec.damping_rate),
    COUNT("gradients_per_push", struct ta_exchange_section, spec.gradients_per_push),
    COUNT("slots", struct ta_exchange_section, spec.slots),
    CHOICE("scale", struct ta_exchange_section, spec.scale_mean, scale_names),
    COUNT("puts_in_flight", struct ta_exchange_section, spec.puts_in_flight),
    NUMBER("heartbeat", struct ta_exchange_section, spec.heartbeat_s),
    NUMBER("dead_after", struct ta_exchange_section, spec.dead_after_s),
    COUNT("rows_after", struct ta_exchange_section, spec.rows_after),
    NUMBER("rows_within", struct ta_exchange_section, spec.rows_within_s),
    NUMBER("join_within", struct ta_exchange_section, join_within_s),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t device_fields[] = {
    TEXT("type", struct ta_device_section, type),
    COUNT("threads", struct ta_device_section, threads),
    TEXT("number", struct ta_device_section, number),
    COUNT("replicas_per_gpu", struct ta_device_section, replicas_per_gpu),
    CHOICE("compute", struct ta_device_section, compute, compute_names),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t checkpoint_fields[] = {
    COUNT("every_records", struct ta_checkpoint_section, every_records),
    NUMBER("every_seconds", struct ta_checkpoint_section, every_seconds),
    COUNT("keep", struct ta_checkpoint_section, keep),
    CYAML_FIELD_BOOL("off", OPTIONAL, struct ta_checkpoint_section, off),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t metrics_fields[] = {
    COUNT("window", struct ta_metrics_section, window),
    NUMBER("every_seconds", struct ta_metrics_section, every_seconds),
    COUNT("every_records", struct ta_metrics_section, every_records),
    NUMBER("fading", struct ta_metrics_section, fading),
    NUMBER("warm_up", struct ta_metrics_section, warm_up_s),
    CYAML_FIELD_END,
};

#define SECTION(name, flags, member, fields) CYAML_FIELD_MAPPING(name, flags, struct ta_run_config, member, fields)

static const cyaml_schema_field_t config_fields[] = {
    SECTION("run", OPTIONAL, run, run_fields),
    SECTION("stream", CYAML_FLAG_DEFAULT, stream, stream_fields),
    SECTION("pace", OPTIONAL, pace, pace_fields),
    SECTION("model", CYAML_FLAG_DEFAULT, model, ta_model_schema),
    SECTION("optimizer", OPTIONAL, optimizer, ta_optimizer_schema),
    SECTION("transport", OPTIONAL, transport, transport_fields),
    SECTION("exchange", OPTIONAL, exchange, exchange_fields),
    SECTION("device", OPTIONAL, device, device_fields),
    SECTION("checkpoint", OPTIONAL, checkpoint, checkpoint_fields),
    SECTION("metrics", OPTIONAL, metrics, metrics_fields),
    SECTION("online", OPTIONAL, online, ta_online_schema),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t ta_run_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct ta_run_config, config_fields)};
