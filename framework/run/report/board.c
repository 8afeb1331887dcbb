/* board: a memory file, its mapping, and the sum over its rows. */
#include "board.h"

#include <inttypes.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t bytes_of(unsigned n_rows) { return n_rows * (sizeof(struct ta_board_row) + 2 * TA_BOARD_TEXT_BYTES); }

static ta_status map(struct ta_board *board, unsigned n_rows, int fd) {
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *rows = mmap(NULL, bytes_of(n_rows), PROT_READ | PROT_WRITE, flags, fd, 0);
    if (rows == MAP_FAILED) return ta_fail_errno(TA_NO_MEMORY, "the board of %u replicas", n_rows);
    *board = (struct ta_board){.n_rows = n_rows, .rows = rows, .fd = fd};
    board->texts = (void *)(board->rows + n_rows);
    board->devices = board->texts + n_rows;
    return TA_OK;
}

ta_status ta_board_create(struct ta_board *board, unsigned n_rows, int shared) {
    *board = (struct ta_board){.fd = -1};
    if (n_rows == 0) return ta_fail(TA_CONFIG, "a board needs at least one replica");
    if (!shared) return map(board, n_rows, -1);
    int fd = memfd_create("tensair-board", MFD_CLOEXEC);
    if (fd < 0) return ta_fail_errno(TA_NO_MEMORY, "the board of %u replicas", n_rows);
    ta_status status = ftruncate(fd, (off_t)bytes_of(n_rows)) != 0
                           ? ta_fail_errno(TA_NO_MEMORY, "the board of %u replicas", n_rows)
                           : map(board, n_rows, fd);
    if (status != TA_OK) close(fd);
    return status;
}

ta_status ta_board_attach(struct ta_board *board, unsigned n_rows, int fd) {
    *board = (struct ta_board){.fd = -1};
    struct stat facts;
    if (n_rows == 0 || fd < 0 || fstat(fd, &facts) != 0 || (size_t)facts.st_size != bytes_of(n_rows))
        return ta_fail(TA_CONFIG, "TENSAIR_BOARD: descriptor %d is not the board of %u replicas", fd, n_rows);
    return map(board, n_rows, fd);
}

void ta_board_close(struct ta_board *board) {
    if (board->rows != NULL) munmap(board->rows, bytes_of(board->n_rows));
    if (board->rows != NULL && board->fd >= 0) close(board->fd);
    *board = (struct ta_board){.fd = -1};
}

static void add_row(const struct ta_board_row *row, struct ta_board_sum *out) {
    out->recording_ns += ta_board_get(row->recording_ns);
    out->recorded_bytes += ta_board_get(row->recorded_bytes);
    out->records += ta_board_get(row->records);
    out->hits += ta_board_get(row->hits);
    out->trained += ta_board_get(row->trained);
    out->life_records += ta_board_get(row->life_records);
    out->dropped += ta_board_get(row->dropped);
    out->starved += ta_board_get(row->starved);
    out->skipped_steps += ta_board_get(row->skipped_steps);
    out->unlabelled += ta_board_get(row->unlabelled);
    out->steps += ta_board_get(row->steps);
    out->puts += ta_board_get(row->puts);
    out->put_bytes += ta_board_get(row->put_bytes);
    out->put_rows += ta_board_get(row->put_rows);
    out->words += ta_board_get(row->words);
    uint64_t done = ta_board_get(row->done_records);
    if (done > out->done_records) out->done_records = done;
    out->stale_count += ta_board_get(row->stale_count);
    out->stale_sum += ta_board_get(row->stale_sum);
    for (unsigned b = 0; b < TA_STALE_BINS; b++) out->stale_bin[b] += ta_board_get(row->stale_bin[b]);
    for (unsigned p = 0; p < TA_PHASES; p++) out->phase_ns[p] += ta_board_get(row->phase_ns[p]);
    uint64_t stale_max = ta_board_get(row->stale_max);
    if (stale_max > out->stale_max) out->stale_max = stale_max;
    out->finished += ta_board_get(row->finished) != 0;
    out->ended += ta_board_get(row->ended) != 0;
    out->loss_sum += ta_board_get(row->loss_sum);
    int64_t lag_ns = ta_board_get(row->lag_ns), started = ta_board_get(row->started_ns),
            ended = ta_board_get(row->ended_ns);
    if (lag_ns > out->lag_ns) out->lag_ns = lag_ns;
    if (started != 0 && (out->started_ns == 0 || started < out->started_ns)) out->started_ns = started;
    if (ended > out->ended_ns) out->ended_ns = ended;
}

void ta_board_add_up(const struct ta_board *board, struct ta_board_sum *out) {
    *out = (struct ta_board_sum){.lag_ns = -1};
    unsigned seen = 0;
    for (unsigned r = 0; r < board->n_rows; r++) {
        const struct ta_board_row *row = &board->rows[r];
        add_row(row, out);
        bool lost = ta_board_get(row->ended) != 0 && ta_board_get(row->finished) == 0;
        if (lost || ta_board_get(row->life_records) == 0) continue;
        seen++;
        out->window_accuracy += ta_board_get(row->window_accuracy);
        out->window_loss += ta_board_get(row->window_loss);
    }
    if (seen > 0) {
        out->window_accuracy /= seen;
        out->window_loss /= seen;
    }
}

ta_status ta_board_check_rest(const struct ta_board *board) {
    const struct ta_board_row *rows = board->rows;
    for (unsigned first = 0, r = 0; r < board->n_rows; r++) {
        if (ta_board_get(rows[r].finished) == 0 || ta_board_get(rows[r].rest_round) == 0) continue;
        bool seen = ta_board_get(rows[first].finished) != 0 && ta_board_get(rows[first].rest_round) != 0;
        if (!seen) first = r;
        if (ta_board_get(rows[r].rest_round) != ta_board_get(rows[first].rest_round)) continue;
        uint64_t a = ta_board_get(rows[first].checksum), b = ta_board_get(rows[r].checksum);
        if (a != b)
            return ta_fail(TA_FAILED, "replicas %u and %u ended on different weights (%016" PRIx64 ", %016" PRIx64 "): "
                           "a fault of the exchange or of memory; the last checkpoint is good", first, r, a, b);
    }
    return TA_OK;
}
