/* slot: offsets, and headers to and from words. Nothing here decides anything. */
#include "slot.h"

#include <string.h>

#include "rowlog.h"
#include "window.h"

#define MAGIC UINT64_C(0x54410003) /* "TA", format 3 */

enum { LINE = 64 };

#define FLAG_LEFT (UINT64_C(1) << 63)
#define FLAG_FINISHED (UINT64_C(1) << 62)
#define FLAG_DONE_FINAL (UINT64_C(1) << 61)

enum { ROUND_SHIFT = 37 };

static size_t lines(size_t bytes) { return (bytes + LINE - 1) / LINE * LINE; }

static ta_status too_large(const struct ta_slot_layout *layout) {
    return ta_fail(TA_CONFIG, "exchange: inboxes for %u replicas of %zu parameters do not fit into an address space; "
                   "use fewer replicas or a smaller model", layout->n_ranks, layout->n_params);
}

ta_status ta_slot_layout_make(unsigned n_ranks, size_t n_params, uint32_t log_entries, struct ta_slot_layout *out) {
    memset(out, 0, sizeof *out);
    out->n_ranks = n_ranks;
    out->n_params = n_params;
    if (n_params > (PTRDIFF_MAX - 2 * LINE) / sizeof(float)) return too_large(out);
    out->log_entries = log_entries;
    out->log = lines(TA_SLOT_BOARD + n_ranks * sizeof(struct ta_slot_claim));
    out->control_bytes = out->log + lines(ta_rowlog_bytes(log_entries));
    out->relay = lines(n_params * sizeof(float));
    out->payload = out->relay + LINE;
    return ta_slot_layout_extend(out, 0);
}

ta_status ta_slot_layout_extend(struct ta_slot_layout *layout, size_t payload_bytes) {
    size_t slot, window;
    if (payload_bytes > PTRDIFF_MAX - LINE || layout->payload > PTRDIFF_MAX - LINE) return too_large(layout);
    layout->body_bytes = layout->payload + lines(payload_bytes);
    if (__builtin_add_overflow(layout->control_bytes, layout->body_bytes, &slot) ||
        __builtin_mul_overflow(slot, (size_t)layout->n_ranks - 1, &window) || window > PTRDIFF_MAX)
        return too_large(layout);
    layout->window_bytes = window;
    return TA_OK;
}

static size_t slot_index(unsigned owner, unsigned writer) { return writer < owner ? writer : writer - 1; }

size_t ta_slot_control(const struct ta_slot_layout *layout, unsigned owner, unsigned writer) {
    return slot_index(owner, writer) * layout->control_bytes;
}

size_t ta_slot_body(const struct ta_slot_layout *layout, unsigned owner, unsigned writer) {
    return ((size_t)layout->n_ranks - 1) * layout->control_bytes + slot_index(owner, writer) * layout->body_bytes;
}

static uint64_t pair(uint64_t high, uint32_t low) { return high << 32 | low; }

uint64_t ta_slot_pack_state(const struct ta_slot_said *said) {
    return (said->steps & TA_SLOT_MAX_STEPS) | (uint64_t)(said->entered & TA_SLOT_MAX_ROUND) << ROUND_SHIFT |
           (said->left ? FLAG_LEFT : 0) | (said->finished ? FLAG_FINISHED : 0) |
           (said->done_final ? FLAG_DONE_FINAL : 0);
}

void ta_slot_unpack_state(uint64_t state, struct ta_slot_said *said) {
    said->steps = state & TA_SLOT_MAX_STEPS;
    said->entered = (uint32_t)(state >> ROUND_SHIFT) & TA_SLOT_MAX_ROUND;
    said->left = (state & FLAG_LEFT) != 0;
    said->finished = (state & FLAG_FINISHED) != 0;
    said->done_final = (state & FLAG_DONE_FINAL) != 0;
}

void ta_slot_encode(const struct ta_slot_ident *writer, const struct ta_slot_said *said,
                    uint64_t words[TA_SLOT_WORDS]) {
    words[TA_WORD_ID] = pair(MAGIC, writer->rank + 1);
    words[TA_WORD_RUN] = pair(writer->epoch, writer->n_ranks);
    words[TA_WORD_DONE] = pair(said->more, said->done);
    words[TA_WORD_PULSE] = pair(said->pulse, said->board);
    words[TA_WORD_SENT] = said->sent_ns;
    words[TA_WORD_REQUEST] = said->request;
    words[TA_WORD_RECORDS] = said->records;
    words[TA_WORD_STATE] = ta_slot_pack_state(said);
}

static uint64_t word_of(const void *line, enum ta_slot_word word) {
    return ta_window_load_u64((const char *)line + 8 * (size_t)word);
}

enum ta_slot_heard ta_slot_decode(const struct ta_slot_ident *writer, const void *line, struct ta_slot_said *said) {
    uint64_t state = word_of(line, TA_WORD_STATE); /* first: see slot.h */
    uint64_t id = word_of(line, TA_WORD_ID), run = word_of(line, TA_WORD_RUN);
    /* The words of a first header may arrive in any order: half of it is not yet a stranger's. */
    if ((uint32_t)id == 0 || id >> 32 == 0 || (uint32_t)run == 0) return TA_SLOT_EMPTY;
    if (run >> 32 == 0 && writer->epoch != 0) return TA_SLOT_EMPTY;
    if (id != pair(MAGIC, writer->rank + 1) || run != pair(writer->epoch, writer->n_ranks)) return TA_SLOT_FOREIGN;
    uint64_t pulse = word_of(line, TA_WORD_PULSE), done = word_of(line, TA_WORD_DONE);
    *said = (struct ta_slot_said){
        .records = word_of(line, TA_WORD_RECORDS),
        .request = word_of(line, TA_WORD_REQUEST),
        .sent_ns = word_of(line, TA_WORD_SENT),
        .more = (uint32_t)(done >> 32),
        .done = (uint32_t)done,
        .pulse = (uint32_t)(pulse >> 32),
        .board = (uint32_t)pulse,
    };
    ta_slot_unpack_state(state, said);
    return TA_SLOT_OURS;
}

uint64_t ta_slot_steps(const void *line) { return word_of(line, TA_WORD_STATE) & TA_SLOT_MAX_STEPS; }

uint64_t ta_slot_made(const void *line) {
    uint64_t steps = ta_slot_steps(line); /* first: `more` is then as new or newer, and the sum never too high */
    return steps + (word_of(line, TA_WORD_DONE) >> 32);
}

void ta_slot_learn(struct ta_slot_said *known, const struct ta_slot_said *said) {
    if (said->steps > known->steps) known->steps = said->steps;
    if (said->records > known->records) known->records = said->records;
    if (said->request > known->request) known->request = said->request;
    if (said->sent_ns > known->sent_ns) known->sent_ns = said->sent_ns;
    if (said->entered > known->entered) known->entered = said->entered;
    if (said->done > known->done) known->done = said->done;
    known->pulse = said->pulse;
    known->board = said->board;
    known->finished |= said->finished;
    known->done_final |= said->done_final;
    known->left |= said->left;
}

struct ta_slot_claim ta_slot_claim_read(const void *board, unsigned rank) {
    const char *row = (const char *)board + rank * sizeof(struct ta_slot_claim);
    struct ta_slot_claim claim;
    claim.checksum = ta_window_load_u64(row + offsetof(struct ta_slot_claim, checksum));
    claim.state = ta_window_load_u64(row + offsetof(struct ta_slot_claim, state));
    claim.pass = ta_window_load_u64(row + offsetof(struct ta_slot_claim, pass));
    uint64_t halves = ta_window_load_u64(row);
    memcpy(&claim, &halves, sizeof halves); /* gone and since */
    return claim;
}
