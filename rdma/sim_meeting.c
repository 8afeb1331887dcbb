/* sim_meeting: a hash table of keys by (sender, receiver), open addressing; a place once taken stays taken. */
#include "sim_meeting.h"

#include <string.h>

#include "mem.h"

enum { FIRST_ROOM = 64 };

struct place {
    uint64_t pair; /* sender, receiver; valid when generation is not 0 or `data` not NULL */
    uint32_t generation, bytes; /* generation 0: withdrawn */
    unsigned char *data;
};

struct ta_sim_meeting {
    struct place *places; /* [room], a power of two */
    size_t room, taken;
};

static uint64_t pair_of(unsigned sender, unsigned receiver) { return (uint64_t)sender << 32 | receiver; }

/* The place of that pair, or the free one where it would be. */
static struct place *seek(const struct ta_sim_meeting *m, uint64_t pair) {
    size_t at = (size_t)((pair ^ pair >> 29) * UINT64_C(0x9E3779B97F4A7C15) >> 20);
    for (;; at++) {
        struct place *place = &m->places[at & (m->room - 1)];
        if (place->data == NULL || place->pair == pair) return place;
    }
}

static ta_status grow(struct ta_sim_meeting *m, size_t room) {
    struct ta_sim_meeting larger = {.room = room, .taken = m->taken};
    ta_status status = TA_NEW(&larger.places, room, "keys of simulated replicas");
    if (status != TA_OK) return status;
    for (size_t i = 0; i < m->room; i++)
        if (m->places[i].data != NULL) *seek(&larger, m->places[i].pair) = m->places[i];
    ta_mem_free(m->places);
    *m = larger;
    return TA_OK;
}

ta_status ta_sim_meeting_open(struct ta_sim_meeting **out) {
    ta_status status = TA_NEW(out, 1, "keys of simulated replicas");
    if (status == TA_OK) status = grow(*out, FIRST_ROOM);
    if (status == TA_OK) return TA_OK;
    ta_sim_meeting_close(*out);
    *out = NULL;
    return status;
}

void ta_sim_meeting_close(struct ta_sim_meeting *m) {
    if (m == NULL) return;
    for (size_t i = 0; i < m->room; i++) ta_mem_free(m->places[i].data);
    ta_mem_free(m->places);
    ta_mem_free(m);
}

ta_status ta_sim_meeting_leave(struct ta_sim_meeting *m, unsigned sender, unsigned receiver, uint32_t generation,
                               const struct ta_key *key) {
    ta_status status = m->taken * 2 >= m->room ? grow(m, m->room * 2) : TA_OK;
    if (status != TA_OK) return status;
    struct place *place = seek(m, pair_of(sender, receiver));
    void *data;
    status = ta_mem_alloc(1, key->bytes > 0 ? key->bytes : 1, "a key of a simulated replica", &data);
    if (status != TA_OK) return status;
    m->taken += place->data == NULL;
    ta_mem_free(place->data);
    memcpy(data, key->data, key->bytes);
    *place = (struct place){
        .pair = pair_of(sender, receiver), .generation = generation, .bytes = key->bytes, .data = data};
    return TA_OK;
}

ta_status ta_sim_meeting_find(const struct ta_sim_meeting *m, unsigned sender, unsigned receiver, uint32_t *generation,
                              struct ta_key *out) {
    const struct place *place = seek(m, pair_of(sender, receiver));
    *out = (struct ta_key){0};
    if (place->data == NULL || place->generation == 0) return TA_AGAIN;
    *generation = place->generation;
    out->bytes = place->bytes;
    memcpy(out->data, place->data, place->bytes);
    return TA_OK;
}

void ta_sim_meeting_withdraw(struct ta_sim_meeting *m, unsigned sender, unsigned receiver) {
    struct place *place = seek(m, pair_of(sender, receiver));
    if (place->data != NULL) place->generation = 0;
}
