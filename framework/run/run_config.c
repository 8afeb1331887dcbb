/* run_config: defaults, ranges, and paths. */
#include "run_config.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"
#include "inject.h"
#include "mem.h"
#include "run_record.h"

enum { MAX_BATCH = 1 << 20, MAX_RING = 1 << 16, MAX_WINDOW = 1 << 26, MAX_NAME = 128 };

ta_status ta_run_config_expand(const char *key, const char *text, char **out) {
    char whole[2 * PATH_MAX];
    size_t used = 0;
    *out = NULL;
    for (const char *at = text; *at != '\0';) {
        const char *piece = at;
        size_t length = strcspn(at, "$");
        if (length == 0 && strncmp(at, "${", 2) == 0) {
            const char *end = strchr(at, '}');
            char name[MAX_NAME];
            size_t bytes = end == NULL ? 0 : (size_t)(end - at - 2);
            if (bytes == 0 || bytes >= sizeof name)
                return ta_fail(TA_CONFIG, "%s: '%s' has a ${ without a name and }", key, text);
            snprintf(name, sizeof name, "%.*s", (int)bytes, at + 2);
            piece = getenv(name);
            if (piece == NULL || *piece == '\0')
                return ta_fail(TA_CONFIG, "%s: '%s' needs the environment variable %s, which is not set", key, text,
                               name);
            length = strlen(piece);
            at = end + 1;
        } else {
            if (length == 0) length = 1; /* a lone $ stands for itself */
            at += length;
        }
        if (used + length >= sizeof whole) return ta_fail(TA_CONFIG, "%s: '%s' is too long when expanded", key, text);
        memcpy(whole + used, piece, length);
        used += length;
    }
    whole[used] = '\0';
    return ta_mem_strdup(whole, key, out);
}

/* The file `path` means, as an absolute path: in the configuration's folder if it is there, else in the current one. */
static ta_status absolute(const char *config_path, const char *key, const char *path, char out[PATH_MAX]) {
    char beside[PATH_MAX], folder[PATH_MAX] = ".", here[PATH_MAX];
    const char *slash = strrchr(config_path, '/');
    if (slash != NULL)
        snprintf(folder, sizeof folder, "%.*s", slash == config_path ? 1 : (int)(slash - config_path), config_path);
    int length = snprintf(beside, sizeof beside, "%s%s%s", path[0] == '/' ? "" : folder, path[0] == '/' ? "" : "/",
                          path);
    if (length < 0 || (size_t)length >= sizeof beside) return ta_fail(TA_CONFIG, "%s: '%s' is too long", key, path);
    if (realpath(beside, out) != NULL || realpath(path, out) != NULL) return TA_OK;
    if (path[0] == '/' || getcwd(here, sizeof here) == NULL) here[0] = '\0';
    length = snprintf(out, PATH_MAX, "%s%s%s", here, here[0] == '\0' ? "" : "/", path);
    if (length < 0 || length >= PATH_MAX) return ta_fail(TA_CONFIG, "%s: '%s' is too long", key, path);
    return ta_fail(TA_IO, "%s: '%s' is neither in %s nor in the current folder", key, path, folder);
}

/* "stream.file='/abs/it''s here.h5'": an override whose value is a single-quoted YAML scalar. */
static ta_status path_override(const char *key, const char *path, char **out) {
    size_t bytes = strlen(key) + 2 * strlen(path) + 4;
    ta_status status = TA_NEW(out, bytes, "a path of the configuration");
    if (status != TA_OK) return status;
    char *at = *out + sprintf(*out, "%s='", key);
    for (const char *c = path; *c != '\0'; c++) {
        if (*c == '\'') *at++ = '\'';
        *at++ = *c;
    }
    *at++ = '\'';
    *at = '\0';
    return TA_OK;
}

static ta_status load_once(const char *path, const char *const *overrides, size_t n, struct ta_run_config **out) {
    void *loaded = NULL;
    ta_status status = ta_config_load(path, &ta_run_schema, overrides, n, &loaded);
    *out = loaded;
    return status;
}

/* The override that puts `given` in full into the configuration; NULL: it stands there in full already. */
static ta_status full_path(const char *config_path, const char *key, const char *given, char **override) {
    char *expanded = NULL, file[PATH_MAX];
    *override = NULL;
    ta_status status = ta_run_config_expand(key, given, &expanded);
    if (status == TA_OK) status = absolute(config_path, key, expanded, file);
    if (status == TA_OK && strcmp(file, given) != 0) status = path_override(key, file, override);
    ta_mem_free(expanded);
    return status;
}

/* Strings of a loaded configuration belong to libcyaml, so resolved paths go in as more overrides. */
static ta_status load_resolved(const char *path, const char *const *overrides, size_t n,
                               struct ta_run_config **config) {
    const struct ta_stream_spec *spec = &(*config)->stream.spec;
    const char **all = NULL;
    char **ours = NULL;
    size_t most = 2 + spec->inject_count, found = 0;
    ta_status status = TA_NEW(&all, n + most, "the overrides");
    if (status == TA_OK) status = TA_NEW(&ours, most, "the overrides");
    if (status == TA_OK && spec->file != NULL && spec->generator == NULL)
        status = full_path(path, "stream.file", spec->file, &ours[found]);
    if (status == TA_OK && ours[found] != NULL) found++;
    if (status == TA_OK && (*config)->run.from != NULL)
        status = full_path(path, "run.from", (*config)->run.from, &ours[found]);
    for (unsigned i = 0; i < spec->inject_count && status == TA_OK; i++) {
        char key[64];
        snprintf(key, sizeof key, "stream.inject_drift[%u].file", i);
        if (ours[found] != NULL) found++;
        if (spec->inject[i].file != NULL) status = full_path(path, key, spec->inject[i].file, &ours[found]);
    }
    if (status == TA_OK && ours[found] != NULL) found++;
    if (status == TA_OK && n > 0) memcpy(all, overrides, n * sizeof *all);
    for (size_t i = 0; i < found && status == TA_OK; i++) all[n + i] = ours[i];
    if (status == TA_OK && found > 0) {
        ta_run_config_free(*config);
        status = load_once(path, all, n + found, config);
    }
    for (size_t i = 0; ours != NULL && i < most; i++) ta_mem_free(ours[i]);
    ta_mem_free(ours);
    ta_mem_free(all);
    return status;
}

ta_status ta_run_config_load(const char *path, const char *const *overrides, size_t n_overrides,
                             struct ta_run_config **out) {
    *out = NULL;
    ta_status status = load_once(path, overrides, n_overrides, out);
    if (status == TA_OK) status = load_resolved(path, overrides, n_overrides, out);
    if (status == TA_OK) status = ta_run_config_check(*out);
    if (status != TA_OK) {
        ta_run_config_free(*out);
        *out = NULL;
    }
    return status;
}

void ta_run_config_free(struct ta_run_config *config) {
    if (config != NULL) ta_config_free(config, &ta_run_schema);
}

static ta_status in_range(const char *key, double value, double least, double most) {
    if (value >= least && value <= most) return TA_OK; /* NaN is outside */
    return ta_fail(TA_CONFIG, "%s: %g is outside %g to %g", key, value, least, most);
}

static void set_defaults(struct ta_run_config *c) {
    if (c->run.seed == 0) c->run.seed = 1;
    if (c->run.replicas == 0) c->run.replicas = 1;
    if (c->run.epochs == 0) c->run.epochs = 1;
    if (c->stream.spec.seed == 0) c->stream.spec.seed = c->run.seed;
    if (c->stream.batch == 0) c->stream.batch = 32;
    if (c->stream.ring == 0) c->stream.ring = 8;
    if (c->stream.max_lag_s == 0) c->stream.max_lag_s = 1;
    if (c->pace.burst == 0) c->pace.burst = 1;
    if (c->pace.speed == 0) c->pace.speed = 1;
    if (c->pace.seed == 0) c->pace.seed = c->run.seed;
    if (c->exchange.spec.fan_out == 0) c->exchange.spec.fan_out = 2;
    if (c->exchange.spec.gradients_per_push == 0) c->exchange.spec.gradients_per_push = 1;
    if (c->exchange.spec.slots == 0) c->exchange.spec.slots = 4;
    if (c->exchange.spec.puts_in_flight == 0) c->exchange.spec.puts_in_flight = 1;
    if (c->exchange.spec.heartbeat_s == 0) c->exchange.spec.heartbeat_s = 0.25;
    if (c->exchange.spec.dead_after_s == 0) c->exchange.spec.dead_after_s = 2.5;
    if (c->exchange.join_within_s == 0) c->exchange.join_within_s = 60;
    if (c->device.threads == 0) c->device.threads = 1;
    if (c->checkpoint.every_seconds == 0 && c->checkpoint.every_records == 0) c->checkpoint.every_seconds = 300;
    if (c->checkpoint.keep == 0) c->checkpoint.keep = 2;
    if (c->metrics.window == 0) c->metrics.window = 1000;
    if (c->metrics.every_seconds == 0) c->metrics.every_seconds = 1;
    if (c->metrics.fading == 0) c->metrics.fading = 0.999;
}

static ta_status check_stream(const struct ta_run_config *c) {
    if (c->stream.spec.file == NULL && c->stream.spec.generator == NULL)
        return ta_fail(TA_CONFIG, "stream: neither 'file' nor 'generator' is given");
    if (c->stream.spec.file != NULL && c->stream.spec.generator != NULL)
        return ta_fail(TA_CONFIG, "stream: 'file' (%s) and 'generator' (%s) exclude each other", c->stream.spec.file,
                       c->stream.spec.generator);
    struct ta_pacer pacer;
    struct ta_pacer_spec pace = c->pace;
    return ta_pacer_init(&pacer, &pace);
}

bool ta_run_config_lock_step(const struct ta_run_config *c) {
    const struct ta_exchange_ops *exchange;
    int64_t bound;
    if (ta_exchange_find(&c->exchange.spec, &exchange) != TA_OK) return false;
    return exchange == &ta_exchange_sync || (ta_exchange_bound(&c->exchange.spec, &bound) == TA_OK && bound == 0);
}

/* In lock-step every replica makes one step for each of the others', of the same weights. */
static ta_status check_lock_step(const struct ta_run_config *c) {
    bool rehearses = false;
    for (unsigned i = 0; i < c->online.answers_count; i++) rehearses |= c->online.answers[i].type == TA_ANSWER_REHEARSE;
    if (c->online.mode == TA_MODE_PREDICT || !ta_run_config_lock_step(c) || (c->online.label_delay == 0 && !rehearses))
        return TA_OK;
    return ta_fail(TA_CONFIG,
                   "online.%s: in lock-step every replica makes one step for each of the others', and this makes "
                   "several at once: use exchange.max_staleness of 1 or more, or none",
                   rehearses ? "answers" : "label_delay");
}

/* With sync all make the same update besides. */
static ta_status check_sync(const struct ta_run_config *c, const struct ta_exchange_ops *exchange) {
    if (exchange != &ta_exchange_sync) return TA_OK;
    if (c->model.type != TA_MODEL_LAYERS)
        return ta_fail(TA_CONFIG,
                       "exchange.type: sync sends whole gradients, and a table of rows has none: word models go with "
                       "exchange.type live");
    if (c->online.mode != TA_MODE_TRAIN)
        return ta_fail(TA_CONFIG,
                       "online.mode: with exchange.type sync all replicas train, always: a replica that only predicts "
                       "gives no gradients, for which the others would wait; use live");
    if (c->online.answers_count > 0 || c->online.label_delay > 0)
        return ta_fail(TA_CONFIG,
                       "online.%s: with exchange.type sync every replica makes one step for each of the others', "
                       "all with the same update; use live",
                       c->online.answers_count > 0 ? "answers" : "label_delay");
    if (c->run.spares > 0)
        return ta_fail(TA_CONFIG,
                       "run.spares: %u: nobody can join an exchange of type sync later; set it to 0, or use live",
                       c->run.spares);
    return TA_OK;
}

static ta_status check_ranges(const struct ta_run_config *c) {
    const struct {
        const char *key;
        double value, least, most;
    } ranges[] = {
        {"run.replicas", c->run.replicas, 1, TA_MAX_REPLICAS},
        {"run.spares", c->run.spares, 0, TA_MAX_REPLICAS - c->run.replicas},
        {"run.epochs", c->run.epochs == -1 ? 1 : c->run.epochs, 1e-9, 1e12}, /* -1: for ever */
        {"run.max_seconds", c->run.max_seconds, 0, 1e9},
        {"stream.batch", c->stream.batch, 1, MAX_BATCH},
        {"stream.ring", c->stream.ring, 2, MAX_RING},
        {"stream.max_lag", c->stream.max_lag_s, 1e-6, 1e9},
        {"exchange.fan_out", c->exchange.spec.fan_out, 1, TA_MAX_REPLICAS},
        {"exchange.damping_rate", c->exchange.spec.damping_rate, 0, 1e6},
        {"exchange.gradients_per_push", c->exchange.spec.gradients_per_push, 1, 1000000},
        {"exchange.slots", c->exchange.spec.slots, 1, 1024},
        {"exchange.puts_in_flight", c->exchange.spec.puts_in_flight, 1, 1024},
        {"exchange.heartbeat", c->exchange.spec.heartbeat_s, 1e-3, 3600},
        {"exchange.dead_after", c->exchange.spec.dead_after_s, 1e-3, 86400},
        {"exchange.rows_after", c->exchange.spec.rows_after, 0, UINT8_MAX},
        {"exchange.rows_within", c->exchange.spec.rows_within_s, 0, 86400},
        {"exchange.join_within", c->exchange.join_within_s, 1e-3, 86400},
        {"device.threads", c->device.threads, 1, 1024},
        {"device.replicas_per_gpu", c->device.replicas_per_gpu, 0, TA_MAX_REPLICAS},
        {"checkpoint.every_seconds", c->checkpoint.every_seconds, 0, 1e9},
        {"checkpoint.keep", c->checkpoint.keep, 1, 1e6},
        {"metrics.window", c->metrics.window, 1, MAX_WINDOW},
        {"metrics.every_seconds", c->metrics.every_seconds, 0.01, 86400},
        {"metrics.warm_up", c->metrics.warm_up_s, 0, 86400},
        {"metrics.fading", c->metrics.fading, 0, 1 - 1e-9},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        ta_status status = in_range(ranges[i].key, ranges[i].value, ranges[i].least, ranges[i].most);
        if (status != TA_OK) return status;
    }
    return TA_OK;
}

static ta_status check_slow(const struct ta_run_config *c) {
    for (uint32_t i = 0; i < c->run.slow_count; i++) {
        const struct ta_slow *slow = &c->run.slow[i];
        if (slow->rank >= c->run.replicas + c->run.spares || !(slow->factor >= 1 && slow->factor <= 1e6))
            return ta_fail(TA_CONFIG,
                           "run.slow: rank %u is to take %g times as long; ranks are 0 to %u, factors 1 to 1e6",
                           slow->rank, slow->factor, c->run.replicas + c->run.spares - 1);
    }
    return TA_OK;
}

ta_status ta_run_config_check(struct ta_run_config *c) {
    set_defaults(c);
    ta_status status = check_ranges(c);
    if (status == TA_OK) status = check_slow(c);
    if (status != TA_OK) return status;
    if (c->exchange.spec.dead_after_s < 2 * c->exchange.spec.heartbeat_s)
        return ta_fail(TA_CONFIG,
                       "exchange.dead_after: %g s is less than two heartbeats of %g s: live peers would be dropped",
                       c->exchange.spec.dead_after_s, c->exchange.spec.heartbeat_s);
    if (c->run.takeover == TA_TAKEOVER_YES && c->run.spares > 0)
        return ta_fail(
            TA_CONFIG,
            "run.takeover: yes, but what a lost replica leaves is for the %u spares (run.spares): give either",
            c->run.spares);
    enum ta_log_level level;
    if (c->run.log_level != NULL && ta_log_level_parse(c->run.log_level, &level) != TA_OK)
        return ta_fail(TA_CONFIG, "run.log_level: '%s' is not one of debug, info, warn, error", c->run.log_level);
    const struct ta_exchange_ops *exchange;
    int64_t bound;
    const struct ta_transport_ops *transport;
    status = check_stream(c);
    if (status == TA_OK) status = ta_online_check(&c->online);
    if (status == TA_OK && c->run.from != NULL && c->model.type != TA_MODEL_LAYERS)
        status = ta_fail(TA_CONFIG,
                         "run.from: %s: a word model predicts nothing that a stream could ask for, and begins with "
                         "vectors of its own: ask it for words with `tensair eval words`",
                         c->run.from);
    if (status == TA_OK) status = ta_exchange_find(&c->exchange.spec, &exchange);
    if (status == TA_OK) status = check_sync(c, exchange);
    if (status == TA_OK) status = ta_exchange_bound(&c->exchange.spec, &bound);
    if (status == TA_OK) status = check_lock_step(c);
    if (status == TA_OK) status = ta_run_record_check(c);
    bool automatic = c->transport.type == NULL || strcmp(c->transport.type, "auto") == 0;
    if (status == TA_OK)
        status = ta_transport_find(automatic ? "self" : c->transport.type, &transport);
    if (status == TA_OK) status = ta_device_check(c);
    return status;
}

uint64_t ta_run_config_goal(const struct ta_run_config *config, const struct ta_stream_info *info) {
    uint64_t goal = config->run.max_records;
    if (info->records == UINT64_MAX || config->run.epochs <= 0) return goal;
    double whole = floor((double)info->records * config->run.epochs);
    return goal == 0 || whole < (double)goal ? (uint64_t)whole : goal;
}
