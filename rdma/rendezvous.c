/* rendezvous: a record a pair of replicas, in a file of its sender or in the store, and whether it is one for us. */
#include "rendezvous.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "rendezvous_files.h"
#include "rendezvous_record.h"
#include "rendezvous_sheet.h"

enum { NAME_BYTES = 64, WHERE_BYTES = 512 };

struct ta_rendezvous {
    struct ta_rendezvous_config config; /* directory and model: our copies */
    char *directory;                    /* NULL: the store */
    char model[TA_RENDEZVOUS_MODEL_BYTES];
    struct ta_rendezvous_files files;
    struct ta_rendezvous_sheet sheet; /* files: our own */
    unsigned char *published;         /* [n_ranks] */
};

static bool is_in_files(const struct ta_rendezvous *r) { return r->config.store == NULL && r->config.meeting == NULL; }

/* Of the store. */
static void name_of(char name[NAME_BYTES], unsigned sender, unsigned receiver) {
    snprintf(name, NAME_BYTES, "key/%u/%u", receiver, sender);
}

static ta_status open_way(struct ta_rendezvous *r, const struct ta_rendezvous_config *config) {
    char prefix[NAME_BYTES];
    if (config->meeting != NULL) return TA_OK;
    if (config->store != NULL) {
        snprintf(prefix, sizeof prefix, "key/%u/", config->rank);
        return ta_store_watch(config->store, prefix);
    }
    ta_status status = ta_mem_strdup(config->directory, "rendezvous: directory", &r->directory);
    if (status == TA_OK) status = ta_rendezvous_sheet_open(&r->sheet, config->rank, config->n_ranks);
    return status == TA_OK ? ta_rendezvous_files_open(&r->files, r->directory) : status;
}

ta_status ta_rendezvous_open(const struct ta_rendezvous_config *config, struct ta_rendezvous **out) {
    *out = NULL;
    if (config->n_ranks == 0 || config->rank >= config->n_ranks)
        return ta_fail(TA_CONFIG, "there is no rank %u among %u replicas", config->rank, config->n_ranks);
    struct ta_rendezvous *r;
    ta_status status = TA_NEW(&r, 1, "rendezvous");
    if (status != TA_OK) return status;
    r->config = *config;
    r->files.fd = -1;
    snprintf(r->model, sizeof r->model, "%s", config->model == NULL ? "" : config->model);
    status = TA_NEW(&r->published, config->n_ranks, "rendezvous: peers");
    if (status == TA_OK) status = open_way(r, config);
    r->config.directory = r->directory;
    r->config.model = r->model;
    if (status == TA_OK)
        *out = r;
    else
        ta_rendezvous_close(r);
    return status;
}

static ta_status check_peer(const struct ta_rendezvous *r, unsigned peer) {
    if (peer < r->config.n_ranks && peer != r->config.rank) return TA_OK;
    return ta_fail(TA_INVALID, "rank %u of %u has no peer %u", r->config.rank, r->config.n_ranks, peer);
}

ta_status ta_rendezvous_publish(struct ta_rendezvous *r, unsigned peer, uint32_t generation, const struct ta_key *key) {
    ta_status status = check_peer(r, peer);
    if (status != TA_OK) return status;
    if (key->bytes > TA_KEY_BYTES) return ta_fail(TA_INVALID, "a key of %u bytes is over %d", key->bytes, TA_KEY_BYTES);
    if (r->config.meeting != NULL) {
        r->published[peer] = 1;
        return ta_sim_meeting_leave(r->config.meeting, r->config.rank, peer, generation, key);
    }
    struct ta_rendezvous_record record = {.sender = r->config.rank, .receiver = peer, .n_ranks = r->config.n_ranks,
                                          .generation = generation, .run_id = r->config.run_id,
                                          .fingerprint = r->config.fingerprint, .key = *key};
    memcpy(record.model, r->model, sizeof record.model);
    unsigned char bytes[TA_RENDEZVOUS_RECORD_BYTES];
    char name[NAME_BYTES];
    size_t n = ta_rendezvous_record_write(&record, bytes);
    name_of(name, r->config.rank, peer);
    status = r->config.store != NULL ? ta_store_put(r->config.store, name, bytes, n)
                                     : ta_rendezvous_sheet_set(&r->sheet, peer, bytes, n);
    if (status == TA_OK) r->published[peer] = 1;
    return status;
}

ta_status ta_rendezvous_flush(struct ta_rendezvous *r) {
    return is_in_files(r) ? ta_rendezvous_sheet_write(&r->sheet, &r->files) : TA_OK;
}

bool ta_rendezvous_stirs(struct ta_rendezvous *r) { return !is_in_files(r) || ta_rendezvous_files_stir(&r->files); }

/* From the store. What was withdrawn has no bytes. Nothing there: watching again changes nothing, and tells whether the
 * store still stands. */
static ta_status fetch_value(struct ta_rendezvous *r, const char *name, unsigned char *bytes, size_t *n) {
    struct ta_store_value value;
    if (ta_store_get(r->config.store, name, &value) != TA_OK) {
        char prefix[NAME_BYTES];
        snprintf(prefix, sizeof prefix, "key/%u/", r->config.rank);
        ta_status status = ta_store_watch(r->config.store, prefix);
        return status == TA_OK ? TA_AGAIN : status;
    }
    if (value.bytes == 0) return TA_AGAIN;
    *n = value.bytes; /* longer than a record: refused by its length, whatever is in it */
    memcpy(bytes, value.data, value.bytes < TA_RENDEZVOUS_RECORD_BYTES ? value.bytes : TA_RENDEZVOUS_RECORD_BYTES);
    return TA_OK;
}

/* Reads and checks that it is a record, whoever wrote it for whatever run. `where`: for messages. */
static ta_status read_record(struct ta_rendezvous *r, unsigned sender, unsigned receiver, char where[WHERE_BYTES],
                             struct ta_rendezvous_record *out) {
    unsigned char bytes[TA_RENDEZVOUS_RECORD_BYTES];
    char name[NAME_BYTES];
    size_t n = 0;
    ta_status status;
    if (r->config.store != NULL) {
        name_of(name, sender, receiver);
        snprintf(where, WHERE_BYTES, "the store's %s", name);
        status = fetch_value(r, name, bytes, &n);
    } else {
        ta_rendezvous_sheet_name(sender, name);
        snprintf(where, WHERE_BYTES, "%s/%s", r->directory, name);
        status = ta_rendezvous_sheet_find(&r->files, sender, receiver, bytes, &n);
    }
    return status == TA_OK ? ta_rendezvous_record_read(where, bytes, n, out) : status;
}

static ta_status check_model(const struct ta_rendezvous *r, unsigned peer, const struct ta_rendezvous_record *record) {
    if (record->fingerprint == r->config.fingerprint) return TA_OK;
    return ta_fail(TA_CONFIG,
                   "replica %u has another model: %s (fingerprint %016" PRIx64 "); replica %u has %s (%016" PRIx64
                   "); give all the same configuration",
                   peer, record->model[0] == '\0' ? "unnamed" : record->model, record->fingerprint, r->config.rank,
                   r->model[0] == '\0' ? "unnamed" : r->model, r->config.fingerprint);
}

ta_status ta_rendezvous_lookup(struct ta_rendezvous *r, unsigned peer, uint32_t *generation, struct ta_key *out) {
    *out = (struct ta_key){0};
    ta_status status = check_peer(r, peer);
    if (status != TA_OK) return status;
    if (r->config.meeting != NULL)
        return ta_sim_meeting_find(r->config.meeting, peer, r->config.rank, generation, out);
    struct ta_rendezvous_record record;
    char where[WHERE_BYTES];
    status = read_record(r, peer, r->config.rank, where, &record);
    if (status != TA_OK) return status;
    if (record.run_id != r->config.run_id) return TA_AGAIN;
    if (record.sender != peer || record.receiver != r->config.rank)
        return ta_fail(TA_FORMAT,
                       "%s holds the key of rank %" PRIu32 " for rank %" PRIu32 "; remove it and start the run again",
                       where, record.sender, record.receiver);
    if (record.n_ranks != r->config.n_ranks)
        return ta_fail(TA_CONFIG,
                       "replica %u was started as one of %" PRIu32 ", replica %u as one of %u; give all the same "
                       "number",
                       peer, record.n_ranks, r->config.rank, r->config.n_ranks);
    status = check_model(r, peer, &record);
    if (status != TA_OK) return status;
    *generation = record.generation;
    *out = record.key;
    return TA_OK;
}

/* What was published there. A store is of one run. */
static void withdraw(struct ta_rendezvous *r, unsigned peer) {
    char name[NAME_BYTES];
    name_of(name, r->config.rank, peer);
    if (r->config.meeting != NULL) ta_sim_meeting_withdraw(r->config.meeting, r->config.rank, peer);
    else (void)ta_store_put(r->config.store, name, "", 0);
}

/* A file may be another run's by now: that one stays. */
static void withdraw_file(struct ta_rendezvous *r) {
    struct ta_rendezvous_record record;
    char where[WHERE_BYTES], name[TA_RENDEZVOUS_SHEET_NAME_BYTES];
    unsigned peer = 0;
    if (!r->sheet.written) return;
    while (peer < r->config.n_ranks && !r->published[peer]) peer++;
    if (read_record(r, r->config.rank, peer, where, &record) != TA_OK) return;
    ta_rendezvous_sheet_name(r->config.rank, name);
    if (record.run_id == r->config.run_id) ta_rendezvous_files_remove(&r->files, name);
}

void ta_rendezvous_close(struct ta_rendezvous *r) {
    if (r == NULL) return;
    if (is_in_files(r)) withdraw_file(r);
    for (unsigned peer = 0; r->published != NULL && peer < r->config.n_ranks && !is_in_files(r); peer++)
        if (r->published[peer]) withdraw(r, peer);
    ta_rendezvous_sheet_close(&r->sheet);
    ta_rendezvous_files_close(&r->files);
    ta_mem_free(r->published);
    ta_mem_free(r->directory);
    ta_mem_free(r);
}
