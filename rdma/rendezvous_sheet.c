/* rendezvous_sheet: slots and records, little endian. */
#include "rendezvous_sheet.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "mem.h"

enum { MAGIC_BYTES = 8, SHEET_FORMAT = 1 };

static const char magic[MAGIC_BYTES] = {'T', 'A', 'S', 'H', 'E', 'E', 'T', '\n'};

struct slot {
    char magic[MAGIC_BYTES];
    uint32_t format, n_ranks;
    uint32_t file_bytes;    /* of all: a file that was cut is found, wherever */
    uint32_t offset, bytes; /* of the record; 0, 0: there is none */
    uint32_t check;         /* XXH32 of what stands before it */
};
enum { SLOT_BYTES = sizeof(struct slot), CHECKED_BYTES = SLOT_BYTES - sizeof(uint32_t) };
_Static_assert(SLOT_BYTES == 32, "a slot has no padding");

void ta_rendezvous_sheet_name(unsigned sender, char name[TA_RENDEZVOUS_SHEET_NAME_BYTES]) {
    snprintf(name, TA_RENDEZVOUS_SHEET_NAME_BYTES, "keys-%05u", sender);
}

ta_status ta_rendezvous_sheet_open(struct ta_rendezvous_sheet *sheet, unsigned sender, unsigned n_ranks) {
    *sheet = (struct ta_rendezvous_sheet){.sender = sender, .n_ranks = n_ranks};
    return TA_NEW(&sheet->entry, n_ranks, "rendezvous: keys for peers");
}

void ta_rendezvous_sheet_close(struct ta_rendezvous_sheet *sheet) {
    for (unsigned i = 0; sheet->entry != NULL && i < sheet->n_ranks; i++) ta_mem_free(sheet->entry[i].bytes);
    ta_mem_free(sheet->entry);
    *sheet = (struct ta_rendezvous_sheet){0};
}

ta_status ta_rendezvous_sheet_set(struct ta_rendezvous_sheet *sheet, unsigned receiver, const unsigned char *bytes,
                                  size_t n) {
    struct ta_rendezvous_entry *entry = &sheet->entry[receiver];
    void *room = entry->bytes;
    ta_status status = ta_mem_resize(&room, n, "rendezvous: a key");
    if (status != TA_OK) return status;
    entry->bytes = room;
    entry->n = (uint32_t)n;
    memcpy(entry->bytes, bytes, n);
    sheet->changed = true;
    return TA_OK;
}

static struct slot make_slot(const struct ta_rendezvous_sheet *sheet, uint32_t file_bytes, uint32_t offset,
                             uint32_t bytes) {
    struct slot slot = {.format = htole32(SHEET_FORMAT),
                        .n_ranks = htole32(sheet->n_ranks),
                        .file_bytes = htole32(file_bytes),
                        .offset = htole32(bytes > 0 ? offset : 0),
                        .bytes = htole32(bytes)};
    memcpy(slot.magic, magic, MAGIC_BYTES);
    slot.check = htole32(XXH32(&slot, CHECKED_BYTES, SHEET_FORMAT));
    return slot;
}

ta_status ta_rendezvous_sheet_write(struct ta_rendezvous_sheet *sheet, const struct ta_rendezvous_files *files) {
    if (!sheet->changed) return TA_OK;
    unsigned char *file;
    uint32_t first = sheet->n_ranks * SLOT_BYTES, all = first;
    for (unsigned i = 0; i < sheet->n_ranks; i++) all += sheet->entry[i].n;
    ta_status status = TA_NEW(&file, all, "rendezvous: the file of keys");
    if (status != TA_OK) return status;
    for (uint32_t i = 0, at = first; i < sheet->n_ranks; at += sheet->entry[i].n, i++) {
        const struct ta_rendezvous_entry *entry = &sheet->entry[i];
        struct slot slot = make_slot(sheet, all, at, entry->n);
        memcpy(file + (size_t)i * SLOT_BYTES, &slot, SLOT_BYTES);
        if (entry->n > 0) memcpy(file + at, entry->bytes, entry->n);
    }
    char name[TA_RENDEZVOUS_SHEET_NAME_BYTES];
    ta_rendezvous_sheet_name(sheet->sender, name);
    status = ta_rendezvous_files_write(files, name, file, all);
    ta_mem_free(file);
    if (status != TA_OK) return status;
    sheet->changed = false;
    sheet->written = true;
    return TA_OK;
}

static ta_status damaged(const struct ta_rendezvous_files *files, const char *name) {
    return ta_fail(TA_FORMAT,
                   "%s/%s is damaged (a checksum or its length does not fit); remove it and start the run again",
                   files->directory, name);
}

/* One that does not fit has format 0. */
static struct slot read_slot(const struct ta_rendezvous_file *file, unsigned receiver) {
    struct slot raw;
    const struct slot none = {.format = 0};
    ssize_t n = pread(file->fd, &raw, sizeof raw, (off_t)receiver * SLOT_BYTES);
    if (n != sizeof raw || memcmp(raw.magic, magic, MAGIC_BYTES) != 0) return none;
    if (le32toh(raw.check) != XXH32(&raw, CHECKED_BYTES, SHEET_FORMAT)) return none;
    struct slot slot = {.format = le32toh(raw.format),
                        .n_ranks = le32toh(raw.n_ranks),
                        .file_bytes = le32toh(raw.file_bytes),
                        .offset = le32toh(raw.offset),
                        .bytes = le32toh(raw.bytes)};
    bool inside = slot.format == SHEET_FORMAT && slot.file_bytes == file->bytes && receiver < slot.n_ranks &&
                  slot.offset <= slot.file_bytes && slot.bytes <= slot.file_bytes - slot.offset;
    return inside ? slot : none;
}

static ta_status find(const struct ta_rendezvous_files *files, const char *name, const struct ta_rendezvous_file *file,
                      unsigned receiver, unsigned char bytes[TA_RENDEZVOUS_RECORD_BYTES], size_t *n) {
    struct slot slot = read_slot(file, receiver);
    if (slot.format == 0) {
        struct slot first = read_slot(file, 0);
        if (first.format == 0 || receiver < first.n_ranks) return damaged(files, name);
        return ta_fail(TA_CONFIG,
                       "%s/%s is of one of %" PRIu32 " replicas, this is replica %u; give all the same number",
                       files->directory, name, first.n_ranks, receiver);
    }
    if (slot.bytes == 0) return TA_AGAIN;
    if (slot.bytes > TA_RENDEZVOUS_RECORD_BYTES) return damaged(files, name);
    *n = slot.bytes;
    return pread(file->fd, bytes, slot.bytes, slot.offset) == (ssize_t)slot.bytes ? TA_OK : damaged(files, name);
}

ta_status ta_rendezvous_sheet_find(const struct ta_rendezvous_files *files, unsigned sender, unsigned receiver,
                                   unsigned char bytes[TA_RENDEZVOUS_RECORD_BYTES], size_t *n) {
    char name[TA_RENDEZVOUS_SHEET_NAME_BYTES];
    struct ta_rendezvous_file file;
    ta_rendezvous_sheet_name(sender, name);
    ta_status status = ta_rendezvous_files_find(files, name, &file);
    if (status != TA_OK) return status;
    status = find(files, name, &file, receiver, bytes, n);
    close(file.fd);
    return status;
}
