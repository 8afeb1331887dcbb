/* replica_record: this replica's part of a recording (record.h), while run.record asks for one. */
#include <errno.h>
#include <sys/stat.h>

#include "build_options.h"
#include "clock.h"
#include "mem.h"
#include "record.h"
#include "replica_internal.h"
#include "run_record.h"

ta_status ta_replica_record_open(struct ta_replica *r, uint32_t epoch, const struct ta_exchange_start *start) {
    const char *folder = r->run->run.record;
    char path[4096], *text = NULL;
    if (folder == NULL || r->config.replay != NULL) return TA_OK;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return ta_fail_errno(TA_IO, "run.record: %s: cannot make this folder", folder);
    ta_status status = ta_run_record_path(path, sizeof path, folder, epoch, r->config.rank);
    if (status == TA_OK) status = ta_run_record_text(r->run, &text);
    if (status != TA_OK) return status;
    struct ta_recorder_config config = {
        .path = path,
        .head = {.rank = r->config.rank,
                 .n_ranks = r->config.n_ranks,
                 .epoch = epoch,
                 .seed = r->run->run.seed,
                 .n_params = r->model.n_params,
                 .fingerprint = r->model.fingerprint,
                 .stream_records = r->info.records,
                 .stream_checksum = r->info.checksum,
                 .steps = start->steps,
                 .records = start->records,
                 .check_every = TA_RECORD_CHECK_EVERY,
                 .config = text,
                 .resume = r->config.resume != NULL ? r->config.resume : "",
                 .program = TA_PROGRAM_VERSION " " TA_GIT_COMMIT},
        .now_ns = ta_clock_now_ns,
    };
    status = ta_recorder_open(&config, &r->recorder);
    ta_mem_free(text);
    return status;
}

void ta_replica_record_close(struct ta_replica *r) {
    struct ta_record_cost cost;
    if (r->recorder == NULL) return;
    ta_recorder_cost(r->recorder, &cost);
    struct ta_board_row *row = ta_replica_row(r);
    ta_board_set(row->recording_ns, (uint64_t)cost.spent_ns);
    ta_board_set(row->recorded_bytes, cost.bytes);
    if (ta_recorder_close(r->recorder) != TA_OK) ta_log_error(r->config.log, "%s", ta_why());
    r->recorder = NULL;
}
