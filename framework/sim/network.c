/* network: the schema of the file, and the network that is built in. */
#include "network.h"

#include <stdio.h>
#include <string.h>

#include "config.h"

struct file {
    char *name, *made;
    double latency_us, gb_per_s, put_us, jitter;
    bool sender_copies;
    struct ta_network_link near;
};

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT(key, member) \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER_NULL | OPTIONAL, struct file, member, 0, TA_NETWORK_MADE_BYTES - 1)

static const cyaml_schema_field_t link_fields[] = {
    CYAML_FIELD_FLOAT("latency_us", CYAML_FLAG_DEFAULT, struct ta_network_link, latency_us),
    CYAML_FIELD_FLOAT("gb_per_s", CYAML_FLAG_DEFAULT, struct ta_network_link, gb_per_s),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t fields[] = {
    TEXT("name", name),
    TEXT("made", made),
    CYAML_FIELD_FLOAT("latency_us", CYAML_FLAG_DEFAULT, struct file, latency_us),
    CYAML_FIELD_FLOAT("gb_per_s", CYAML_FLAG_DEFAULT, struct file, gb_per_s),
    CYAML_FIELD_FLOAT("put_us", OPTIONAL, struct file, put_us),
    CYAML_FIELD_FLOAT("jitter", OPTIONAL, struct file, jitter),
    CYAML_FIELD_BOOL("sender_copies", OPTIONAL, struct file, sender_copies),
    CYAML_FIELD_MAPPING("near", OPTIONAL, struct file, near, link_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file, fields)};

/* A link of 100 Gb/s is 12.5 GB/s, of which ib_write_bw gets 97 % with large messages; ib_write_lat gives 0.9 us back
 * to back, and a switch adds some 0.3 us; ten million puts a second is what one core posts. */
static const struct ta_network rdma_100g = {
    .name = "rdma-100g",
    .made = "assumed: 97 % of 100 Gb/s and 0.93 us by perftest's ib_write_bw and ib_write_lat on EDR, one switch, ten "
            "million puts a second; within a node memory as of a server",
    .link = {1.3, 12.1},
    .near = {0.5, 10},
    .put_us = 0.1,
    .jitter = 0.1,
};

static ta_status check(const char *path, const struct file *f) {
    const struct {
        const char *key;
        double value, least, most;
    } all[] = {
        {"latency_us", f->latency_us, 0, 1e9},
        {"gb_per_s", f->gb_per_s, 1e-6, 1e6},
        {"put_us", f->put_us, 0, 1e9},
        {"jitter", f->jitter, 0, 1e3},
        {"near.latency_us", f->near.latency_us, 0, 1e9},
        {"near.gb_per_s", f->near.gb_per_s, f->near.latency_us > 0 ? 1e-6 : 0, 1e6},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!(all[i].value >= all[i].least && all[i].value <= all[i].most))
            return ta_fail(TA_CONFIG, "%s: %s is %g; it must be between %g and %g", path, all[i].key, all[i].value,
                           all[i].least, all[i].most);
    return TA_OK;
}

ta_status ta_network_load(const char *name, struct ta_network *out) {
    if (strcmp(name, rdma_100g.name) == 0) {
        *out = rdma_100g;
        return TA_OK;
    }
    struct file *f = NULL;
    *out = (struct ta_network){0};
    ta_status status = ta_config_load(name, &schema, NULL, 0, (void **)&f);
    if (status == TA_OK) status = check(name, f);
    if (status == TA_OK) {
        snprintf(out->name, sizeof out->name, "%s", f->name != NULL ? f->name : name);
        snprintf(out->made, sizeof out->made, "%s", f->made != NULL ? f->made : "no word on how it was made");
        out->link = (struct ta_network_link){f->latency_us, f->gb_per_s};
        out->near = f->near.gb_per_s > 0 ? f->near : out->link;
        out->put_us = f->put_us;
        out->jitter = f->jitter;
        out->sender_copies = f->sender_copies;
    }
    ta_config_free(f, &schema);
    return status;
}
