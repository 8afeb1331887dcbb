/* run_record: names, and what goes with a recording. */
#include "run_record.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"

static bool is(const char *given, const char *name) {
    return given == NULL || given[0] == '\0' || strcmp(given, name) == 0;
}

ta_status ta_run_record_check(const struct ta_run_config *run) {
    const struct ta_exchange_spec *e = &run->exchange.spec;
    if (run->run.record == NULL) return TA_OK;
    const struct {
        bool fits;
        const char *why;
    } rules[] = {
        {is(e->type, "live"), "exchange.type: only live is recorded"},
        {is(e->topology, "full"), "exchange.topology: only full is recorded"},
        {is(e->max_staleness, "none"),
         "exchange.max_staleness: a run that waits by it is not recorded; set it to none"},
        {e->damping != TA_DAMPING_COMPENSATED,
         "exchange.damping: delay-compensated changes gradients by what it has seen; "
         "inverse and exponential can be recorded"},
        {run->model.type == TA_MODEL_LAYERS, "model.type: word models are exchanged by row, and rows are not recorded"},
        {run->run.spares == 0, "run.spares: nobody can join what is recorded; set it to 0"},
        {run->online.mode == TA_MODE_TRAIN,
         "online.mode: what replicas hear of each other's losses is not recorded; only train is"},
        {run->online.answers_count == 0, "online.answers: when drift is answered is not recorded; leave them out"},
        {run->stream.on_overload == TA_OVERLOAD_LAG || run->online.label_delay == 0,
         "stream.on_overload: drop is not recorded together with online.label_delay"},
        {is(run->device.type, "cpu") || is(run->device.type, "auto"),
         "device.type: only the CPU computes the same bits twice"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (!rules[i].fits) return ta_fail(TA_CONFIG, "run.record (--record) and %s", rules[i].why);
    return TA_OK;
}

ta_status ta_run_record_path(char *out, size_t bytes, const char *folder, uint32_t life, unsigned rank) {
    int n = snprintf(out, bytes, "%s/life-%04" PRIu32 "-rank-%05u.record", folder, life, rank);
    return n > 0 && (size_t)n < bytes ? TA_OK : ta_fail(TA_CONFIG, "run.record: %s: the path is too long", folder);
}

ta_status ta_run_record_newest(const char *folder, uint32_t *life) {
    DIR *dir = opendir(folder);
    if (dir == NULL) return ta_fail_errno(TA_IO, "%s: cannot open the folder of a recording", folder);
    *life = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        uint32_t found;
        int end = 0;
        if (sscanf(entry->d_name, "life-%" SCNu32 "-rank-00000.record%n", &found, &end) != 1) continue;
        if (end > 0 && entry->d_name[end] == '\0' && found > *life) *life = found;
    }
    closedir(dir);
    if (*life > 0) return TA_OK;
    return ta_fail(
        TA_IO,
        "%s: no recording of a rank 0 is in it (life-0001-rank-00000.record): name the folder that was given "
        "to --record",
        folder);
}

ta_status ta_run_record_text(const struct ta_run_config *run, char **out) {
    struct ta_run_config copy = *run; /* texts stay the owner's */
    copy.run.run_dir = copy.run.log_level = copy.run.record = NULL;
    copy.transport = (struct ta_transport_spec){0};
    copy.exchange.join_within_s = 0;
    copy.device.type = NULL;
    return ta_config_print(&copy, &ta_run_schema, out);
}

static size_t line_length(const char *text) { return strcspn(text, "\n"); }

ta_status ta_run_record_compare(const char *recorded, const char *given) {
    while (*recorded != '\0' || *given != '\0') {
        size_t a = line_length(recorded), b = line_length(given);
        if (a != b || memcmp(recorded, given, a) != 0)
            return ta_fail(TA_CONFIG, "the recording is of another configuration: recorded was '%.*s', given is '%.*s'",
                           (int)a, recorded, (int)b, given);
        recorded += a + (recorded[a] != '\0');
        given += b + (given[b] != '\0');
    }
    return TA_OK;
}
