/* choose: from what there is (survey), what was asked for and what the environment hints at, to places. */
#include "choose.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

enum { LIST_BYTES = 512 };

struct pick {
    const struct ta_transport_spec *spec;
    struct ta_log *log;
    struct ta_survey_port *port; /* [n], in the order in which they would be chosen */
    size_t n;
    bool *out; /* [n] not to be used */
};

/* "mlx5_0" or "mlx5_0:1"; prefix: "mlx5" fits, too (NCCL's way). */
static bool fits(const struct ta_survey_port *port, const char *name, size_t length, bool prefix) {
    const char *colon = memchr(name, ':', length);
    size_t bytes = colon != NULL ? (size_t)(colon - name) : length;
    if (strncmp(port->device, name, bytes) != 0 || (!prefix && port->device[bytes] != '\0')) return false;
    return colon == NULL || (unsigned)strtoul(colon + 1, NULL, 10) == port->port;
}

/* Whether a list with commas names the port; `name` of the first that does. */
static bool in_list(const struct ta_survey_port *port, const char *list, bool prefix) {
    for (const char *at = list; *at != '\0';) {
        size_t length = strcspn(at, ",");
        if (length > 0 && fits(port, at, length, prefix)) return true;
        at += length + (at[length] == ',');
    }
    return false;
}

static void names_of(const struct pick *p, char *out, size_t bytes) {
    size_t used = 0;
    snprintf(out, bytes, "none");
    for (size_t i = 0; i < p->n && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%s:%u", i > 0 ? ", " : "", p->port[i].device,
                                 p->port[i].port);
}

/* Each name of the list must be there. */
static ta_status keep_asked(const struct pick *p) {
    char names[LIST_BYTES];
    for (const char *at = p->spec->device; *at != '\0';) {
        size_t length = strcspn(at, ","), found = 0;
        const struct ta_survey_port *up = NULL, *down = NULL;
        for (size_t i = 0; i < p->n; i++) {
            if (!fits(&p->port[i], at, length, false)) continue;
            found++;
            if (p->port[i].why_not[0] == '\0') up = &p->port[i];
            else down = &p->port[i];
        }
        if (found == 0) {
            names_of(p, names, sizeof names);
            return ta_fail(TA_CONFIG, "transport.device: there is no RDMA device '%.*s' here; there are: %s",
                           (int)length, at, names);
        }
        if (up == NULL) return ta_fail(TA_DEVICE, "transport.device: %s", down->why_not);
        at += length + (at[length] == ',');
    }
    for (size_t i = 0; i < p->n; i++) p->out[i] |= !in_list(&p->port[i], p->spec->device, false);
    return TA_OK;
}

/* A hint takes away what it does not name, unless nothing would be left. */
static void keep_hinted(const struct pick *p, const char *variable, const char *list, bool exclude, bool prefix) {
    bool any = false;
    for (size_t i = 0; i < p->n; i++) any |= !p->out[i] && in_list(&p->port[i], list, prefix) != exclude;
    if (!any) {
        ta_log_info(p->log, "%s=%s fits no RDMA port that could be used: ignored", variable, getenv(variable));
        return;
    }
    for (size_t i = 0; i < p->n; i++) p->out[i] |= in_list(&p->port[i], list, prefix) == exclude;
}

static void take_hints(const struct pick *p) {
    const char *nccl = getenv("NCCL_IB_HCA"), *ucx = getenv("UCX_NET_DEVICES");
    if (nccl != NULL && *nccl != '\0') {
        bool exclude = *nccl == '^', exact;
        const char *list = nccl + exclude;
        exact = *list == '=';
        keep_hinted(p, "NCCL_IB_HCA", list + exact, exclude, !exact);
    } else if (ucx != NULL && *ucx != '\0' && strcmp(ucx, "all") != 0) {
        keep_hinted(p, "UCX_NET_DEVICES", ucx, false, false);
    }
}

static ta_status none_fit(const struct pick *p) {
    if (p->n == 0)
        return ta_fail(
            TA_DEVICE,
            "there is no RDMA device here ('rdma link' lists them): load the driver of the card, or "
            "choose transport ofi; a machine without a card has soft-RoCE: 'rdma link add rxe0 type rxe netdev "
            "eth0'");
    return ta_fail(TA_DEVICE, "no RDMA port here can be used: %s", p->port[0].why_not);
}

/* "3" -> 3; false: no number. */
static bool parse_index(const char *text, unsigned *out) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value > 65535) return false;
    *out = (unsigned)value;
    return true;
}

/* The entry of a port's table, when it is one that can be used. */
static bool gid_at(const struct ta_survey_port *port, unsigned index, struct ta_verbs_place *out) {
    for (unsigned i = 0; i < port->n_gids; i++) {
        if (port->gids[i].index != index) continue;
        out->gid_index = index;
        snprintf(out->gid_text, sizeof out->gid_text, "%s", port->gids[i].text);
        snprintf(out->gid_type, sizeof out->gid_type, "%s", port->gids[i].type);
        return true;
    }
    return false;
}

static ta_status place_at(const struct pick *p, const struct ta_survey_port *port, struct ta_verbs_place *out) {
    const char *asked = p->spec != NULL ? p->spec->gid : NULL, *hint = getenv("NCCL_IB_GID_INDEX");
    unsigned index;
    *out = (struct ta_verbs_place){.port = port->port};
    snprintf(out->device, sizeof out->device, "%s", port->device);
    if (asked != NULL) {
        if (parse_index(asked, &index) && gid_at(port, index, out)) return TA_OK;
        return ta_fail(TA_CONFIG,
                       "transport.gid: '%s' is no index in the table of port %u of %s; 'tensair doctor' shows it",
                       asked, port->port, port->device);
    }
    if (hint != NULL && parse_index(hint, &index) && gid_at(port, index, out)) return TA_OK;
    if (hint != NULL && *hint != '\0' && *hint != '-')
        ta_log_info(p->log, "NCCL_IB_GID_INDEX=%s is no index in the table of port %u of %s: ignored", hint, port->port,
                    port->device);
    if (gid_at(port, (unsigned)port->best_gid, out)) return TA_OK;
    return ta_fail(TA_DEVICE, "port %u of %s lost its address %d", port->port, port->device, port->best_gid);
}

static ta_status place_all(const struct pick *p, struct ta_verbs_place *places, unsigned *n_rails) {
    unsigned wanted = p->spec != NULL && p->spec->rails > 0 ? p->spec->rails : 1, n = 0;
    ta_status status = TA_OK;
    if (wanted > TA_VERBS_MAX_RAILS)
        return ta_fail(TA_CONFIG, "transport.rails: %u, and at most %d can be used", wanted, TA_VERBS_MAX_RAILS);
    for (size_t i = 0; i < p->n && n < wanted && status == TA_OK; i++)
        if (!p->out[i]) status = place_at(p, &p->port[i], &places[n++]);
    if (status == TA_OK && n == 0) status = none_fit(p);
    if (status == TA_OK && n < wanted)
        status = ta_fail(TA_CONFIG, "transport.rails: %u, and %u RDMA ports can be used here", wanted, n);
    *n_rails = n;
    return status;
}

ta_status ta_verbs_choose(const struct ta_transport_spec *spec, struct ta_log *log,
                          struct ta_verbs_place places[TA_VERBS_MAX_RAILS], unsigned *n_rails) {
    struct pick p = {.spec = spec, .log = log};
    *n_rails = 0;
    ta_status status = ta_survey_ports(&p.port, &p.n);
    if (status == TA_OK) status = TA_NEW(&p.out, p.n, "a choice of ports");
    if (status == TA_OK) {
        for (size_t i = 0; i < p.n; i++) p.out[i] = p.port[i].why_not[0] != '\0';
        if (spec != NULL && spec->device != NULL && spec->device[0] != '\0') status = keep_asked(&p);
        else take_hints(&p);
    }
    if (status == TA_OK) status = place_all(&p, places, n_rails);
    ta_mem_free(p.out);
    ta_mem_free(p.port);
    return status;
}
