/* replay_run: opens the recordings, and all replicas on them; turns them; says what came of it. */
#include "replay_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "keras.h"
#include "mem.h"
#include "replay.h"
#include "replica_internal.h"
#include "run_dir.h"
#include "run_record.h"
#include "sim.h"
#include "sim_meeting.h"

enum { PATH_BYTES = 4096, NAP_US = 200, PATIENCE = 50 }; /* idle turns after which nobody can go on */

struct playing {
    const struct ta_replay_run *how;
    struct ta_run_config *loaded, run; /* run: as it is replayed; its texts are loaded's */
    struct ta_record *records;
    unsigned n;
    uint32_t life;
    struct ta_replay *replay;
    struct ta_run_dir dir;
    struct ta_log log;
    struct ta_board board;
    struct ta_sim_fabric *fabric;
    struct ta_replica_shared shared;
    struct ta_replica **replica;       /* [n] */
    ta_status *result;                 /* [n]; AGAIN: goes on */
};

ta_status ta_replay_run_until(const char *text, struct ta_replay_run *out) {
    unsigned long long step;
    int end = 0;
    out->until = sscanf(text, "%u:%llu%n", &out->rank, &step, &end) == 2 && text[end] == '\0' && step > 0;
    out->step = out->until ? step : 0;
    if (out->until) return TA_OK;
    return ta_fail(TA_USAGE, "--until %s: is no RANK:STEP, such as 2:341 (steps count from 1)", text);
}

static ta_status open_records(struct playing *p) {
    char path[PATH_BYTES];
    struct ta_record first;
    ta_status status = ta_run_record_newest(p->how->folder, &p->life);
    if (status == TA_OK) status = ta_run_record_path(path, sizeof path, p->how->folder, p->life, 0);
    if (status == TA_OK) status = ta_record_open(path, &first);
    if (status != TA_OK) return status;
    unsigned n = (unsigned)first.head.n_ranks;
    status = TA_NEW(&p->records, n, "recordings");
    if (status != TA_OK) {
        ta_record_close(&first);
        return status;
    }
    p->n = n;
    p->records[0] = first;
    for (unsigned r = 1; r < n && status == TA_OK; r++) {
        status = ta_run_record_path(path, sizeof path, p->how->folder, p->life, r);
        if (status == TA_OK) status = ta_record_open(path, &p->records[r]);
    }
    return status;
}

static ta_status open_config(struct playing *p) {
    const struct ta_record_head *head = &p->records[0].head;
    const char **overrides = NULL;
    char replicas[32], *text = NULL;
    ta_status status = TA_NEW(&overrides, p->how->n_overrides + 1, "the overrides");
    if (status != TA_OK) return status;
    if (p->how->n_overrides > 0) memcpy(overrides, p->how->overrides, p->how->n_overrides * sizeof *overrides);
    snprintf(replicas, sizeof replicas, "run.replicas=%u", p->n);
    overrides[p->how->n_overrides] = replicas;
    status = ta_run_config_load(p->how->config_path, overrides, p->how->n_overrides + 1, &p->loaded);
    if (status == TA_OK) status = ta_run_record_text(p->loaded, &text);
    if (status == TA_OK) status = ta_run_record_compare(head->config, text);
    ta_mem_free(text);
    ta_mem_free(overrides);
    if (status != TA_OK) return status;
    static char sim[] = "sim";
    p->run = *p->loaded;
    p->run.transport = (struct ta_transport_spec){.type = sim};
    p->run.run.record = NULL;
    p->run.run.max_seconds = 0;
    p->run.pace = (struct ta_pacer_spec){.pace = TA_PACE_MAX, .seed = p->run.pace.seed};
    p->run.stream.on_overload = TA_OVERLOAD_LAG;
    return TA_OK;
}

static ta_status check_stream(const struct playing *p) {
    const struct ta_record_head *head = &p->records[0].head;
    const struct ta_stream_info *info = &p->shared.stream->info;
    if (head->stream_records == info->records && head->stream_checksum == info->checksum) return TA_OK;
    return ta_fail(TA_CONFIG,
                   "the recording is of another stream: recorded were %" PRIu64 " records with checksum %016" PRIx64
                   ", this one has %" PRIu64 " with %016" PRIx64,
                   head->stream_records, head->stream_checksum, info->records, info->checksum);
}

static ta_status open_dir(struct playing *p) {
    char path[TA_RUN_DIR_BYTES + 32];
    ta_status status = ta_run_dir_open(&p->dir, p->how->run_dir, p->how->config_path);
    if (status != TA_OK) return status;
    snprintf(path, sizeof path, "%s/checkpoint", p->dir.path);
    if (access(path, F_OK) == 0)
        return ta_fail(TA_IN_USE, "%s: there is a run in it: name another folder for the replay by --run-dir",
                       p->dir.path);
    return ta_log_open(&p->log, TA_LOG_WARN, -1, true, NULL);
}

static int64_t clock_of(void *owner) {
    (void)owner;
    return ta_clock_now_ns();
}

static ta_status open_shared(struct playing *p) {
    struct ta_sim_config fabric = {.n_ranks = p->n, .seed = 1, .whole = true};
    struct ta_kernels_config kernels = {.threads = p->run.device.threads};
    p->shared.clock_ns = clock_of;
    ta_status status = ta_kernels_find("cpu", &p->shared.kernel_ops);
    if (status == TA_OK) status = p->shared.kernel_ops->open(&kernels, &p->shared.kernels);
    if (status == TA_OK) status = ta_stream_open(&p->run.stream.spec, &p->shared.stream);
    if (status == TA_OK) status = check_stream(p);
    if (status == TA_OK) status = ta_sim_meeting_open(&p->shared.meeting);
    if (status == TA_OK) status = ta_sim_create(&fabric, &p->fabric);
    if (status == TA_OK) status = ta_board_create(&p->board, p->n, 0);
    return status;
}

static ta_status open_replicas(struct playing *p) {
    const char *resume = p->records[0].head.resume;
    ta_status status = TA_NEW(&p->replica, p->n, "replicas");
    if (status == TA_OK) status = TA_NEW(&p->result, p->n, "replicas");
    bool drops = p->loaded->stream.on_overload == TA_OVERLOAD_DROP;
    if (status == TA_OK) status = ta_replay_open(p->records, p->n, drops, &p->replay);
    for (unsigned r = 0; r < p->n && status == TA_OK; r++) {
        struct ta_replica_config config = {
            .run = &p->run,
            .rank = r,
            .n_ranks = p->n,
            .run_id = 1,
            .life = p->life,
            .run_dir = p->dir.path,
            .resume = resume[0] != '\0' ? resume : NULL,
            .fabric = p->fabric,
            .shared = &p->shared,
            .replay = p->replay,
            .board = &p->board,
            .log = &p->log,
        };
        p->result[r] = TA_AGAIN;
        status = ta_replica_open(&config, &p->replica[r]);
    }
    if (status == TA_OK && p->how->until) {
        const struct ta_record *record = p->how->rank < p->n ? &p->records[p->how->rank] : NULL;
        if (record == NULL)
            return ta_fail(TA_USAGE, "--until %u:%" PRIu64 ": there are %u ranks, from 0", p->how->rank, p->how->step,
                           p->n);
        if (p->how->step <= record->head.steps || p->how->step > record->steps)
            return ta_fail(TA_USAGE, "--until %u:%" PRIu64 ": rank %u has recorded steps %" PRIu64 " to %" PRIu64,
                           p->how->rank, p->how->step, p->how->rank, record->head.steps + 1, record->steps);
        ta_replay_until(p->replay, p->how->rank, p->how->step);
    }
    return status;
}

/* Somebody's files are being written, by a thread. */
static bool waits_for_disk(const struct playing *p) {
    for (unsigned r = 0; r < p->n; r++) {
        enum ta_replica_state state = ta_replica_state(p->replica[r]);
        if (p->result[r] == TA_AGAIN && (state == TA_REPLICA_SNAPSHOT || state == TA_REPLICA_SAVING)) return true;
    }
    return false;
}

/* One turn of each. Errors: of the first that cannot go on. */
static ta_status turn_all(struct playing *p, unsigned *running, bool *moved) {
    int64_t now_ns = ta_clock_now_ns();
    *running = 0;
    *moved = false;
    for (unsigned r = 0; r < p->n; r++) {
        if (p->result[r] != TA_AGAIN) continue;
        ta_status status = ta_replica_tick(p->replica[r], now_ns);
        *moved |= status != TA_AGAIN;
        *running += status == TA_OK || status == TA_AGAIN;
        if (status == TA_OK || status == TA_AGAIN) continue;
        p->result[r] = status;
        if (status != TA_END && status != TA_REQUEUE) return status;
    }
    return TA_OK;
}

/* Turns all until they have ended, or nobody moves any more. */
static ta_status play(struct playing *p, bool *stuck) {
    struct ta_replay_look look;
    unsigned running, idle = 0;
    *stuck = false;
    for (;;) {
        bool moved;
        ta_status status = turn_all(p, &running, &moved);
        if (status != TA_OK) return status;
        ta_replay_look(p->replay, &look);
        if (running == 0 || look.reached) return TA_OK;
        idle = moved ? 0 : idle + 1;
        *stuck = idle > PATIENCE && !waits_for_disk(p);
        if (*stuck) return TA_OK;
        if (!moved) usleep(NAP_US);
    }
}

/* The weights are those that the gradient was computed on: nobody has made a turn since. */
static ta_status show_step(struct playing *p, const struct ta_replay_look *look) {
    struct ta_replica *r = p->replica[p->how->rank];
    char path[TA_RUN_DIR_BYTES + 32];
    uint64_t weights, delta;
    double loss = 0;
    uint32_t losses = 0;
    for (uint32_t i = 0; i < r->run->stream.batch; i++, losses++) loss += (double)r->bench.losses[i];
    snprintf(path, sizeof path, "%s/until", p->dir.path);
    if (mkdir(path, 0777) != 0) return ta_fail_errno(TA_IO, "%s: cannot make this folder", path);
    snprintf(path, sizeof path, "%s/until/model.h5", p->dir.path);
    struct ta_keras_note note = {.run = p->dir.path, .steps = r->x->steps, .records = r->x->records,
                                 .input_scale = r->info.scale, .input_offset = r->info.offset};
    ta_status status = ta_keras_write(path, &r->model, r->x->w, &note);
    if (status == TA_OK) status = r->exchange_ops->checksum(r->x, &weights);
    if (status == TA_OK) status = ta_replay_checksum(r->x, r->x->delta, &delta);
    if (status != TA_OK) return status;
    printf("step         %" PRIu64 " of rank %u, on batch %" PRIu64 " of its share\n", r->x->steps, p->how->rank,
           r->x->position);
    printf("loss         %.9g, mean over the batch\n", loss / losses);
    printf("gradient     norm %.9g, scale %.9g\n", look->gradient_norm, (double)look->scale);
    printf("checksums    weights %016" PRIx64 ", register after the step %016" PRIx64 "\n", weights, delta);
    for (unsigned i = 0; i < p->n; i++)
        if (i != p->how->rank) printf("with         step %" PRIu64 " of rank %u\n", ta_replay_held(r->x, i), i);
    printf("weights      %s\n", path);
    return TA_OK;
}

static ta_status tell(struct playing *p, bool stuck) {
    struct ta_replay_look look;
    ta_replay_look(p->replay, &look);
    if (look.reached) {
        ta_status status = show_step(p, &look);
        if (status != TA_OK) return status;
    }
    for (unsigned r = 0; r < p->n && stuck; r++) {
        char text[256];
        ta_replay_describe(p->replay, r, text, sizeof text);
        printf("ends early   rank %u: %s\n", r, text);
    }
    for (unsigned r = 0; r < p->n && !stuck && !look.reached; r++) {
        if (r > 0 && p->n > 4) break; /* they agree, or this were not reached */
        printf("weights      %016" PRIx64 " at rank %u\n", (uint64_t)ta_board_get(p->board.rows[r].checksum), r);
    }
    printf("replayed     %" PRIu64 " steps of %u replicas; %" PRIu64 " rests and %" PRIu64
           " registers compared, all equal\n",
           look.steps, p->n, look.rests, look.checks);
    printf("memory       %.1f MB of registers were kept at most\n", (double)look.most_bytes / 1e6);
    printf("run          %s\n", p->dir.path);
    fflush(stdout);
    return TA_OK;
}

static void close_all(struct playing *p) {
    for (unsigned r = 0; p->replica != NULL && r < p->n; r++) ta_replica_close(p->replica[r]);
    ta_replay_close(p->replay);
    ta_sim_destroy(p->fabric);
    ta_sim_meeting_close(p->shared.meeting);
    ta_stream_close(p->shared.stream);
    if (p->shared.kernels != NULL) p->shared.kernel_ops->close(p->shared.kernels);
    ta_board_close(&p->board);
    ta_log_close(&p->log);
    ta_run_dir_close(&p->dir);
    ta_run_config_free(p->loaded);
    for (unsigned r = 0; p->records != NULL && r < p->n; r++) ta_record_close(&p->records[r]);
    ta_mem_free(p->records);
    ta_mem_free(p->replica);
    ta_mem_free(p->result);
}

ta_status ta_replay_run(const struct ta_replay_run *how) {
    struct playing p = {.how = how, .dir.lock = -1, .log.file = -1, .board.fd = -1};
    bool stuck = false;
    ta_status status = open_records(&p);
    if (status == TA_OK) status = open_config(&p);
    if (status == TA_OK) status = open_dir(&p);
    if (status == TA_OK) status = open_shared(&p);
    if (status == TA_OK) status = open_replicas(&p);
    if (status == TA_OK) status = play(&p, &stuck);
    if (status == TA_OK) status = tell(&p, stuck);
    char why[1024];
    snprintf(why, sizeof why, "%s", ta_why());
    close_all(&p);
    return status == TA_OK ? TA_OK : ta_fail(status, "%s", why);
}
