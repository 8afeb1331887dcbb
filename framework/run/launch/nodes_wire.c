/* nodes_wire: how the others learn where node 0 serves the store: by the server file in the run directory; sooner, and
 * where a file system of the network takes its time, by PMI, which carries the text of that file, its secret included,
 * through the job's own launcher. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"
#include "nodes_internal.h"
#include "pmi.h"

/* PMI's values have neither blanks nor ends of lines; the server file has neither of these two. */
static void swap(char *text, char a, char b) {
    for (; *text != '\0'; text++)
        if (*text == a) *text = b;
}

static bool has_pmi(const struct ta_nodes *n) { return n->config.place != NULL && n->config.place->pmi_fd >= 0; }

/* Once, and then nobody holds the descriptor: not our replicas either. */
static ta_status share(struct ta_nodes *n, char text[TA_PMI_VALUE_BYTES]) {
    const struct ta_pmi_config config = {.fd = n->config.place->pmi_fd,
                                         .rank = n->config.node,
                                         .within_s = n->config.join_within_s,
                                         .stop_fd = n->config.signals->fd};
    ta_status status = ta_pmi_share(&config, text);
    close(config.fd);
    if (status == TA_OK) return status;
    /* Any signal ends it, not each of them the run. */
    bool stop = status == TA_REQUEUE && (ta_signals_read(n->config.signals) & (TA_ASKED_STOP | TA_ASKED_LEAVE)) != 0;
    if (stop) return ta_fail(TA_REQUEUE, "node %u was stopped before training began", n->config.node);
    ta_log_warn(n->config.log, "%s; meeting through %s alone", ta_why(), n->config.dir->path);
    return TA_AGAIN;
}

ta_status ta_nodes_publish(struct ta_nodes *n) {
    if (!has_pmi(n)) return TA_OK;
    char text[TA_PMI_VALUE_BYTES] = "-", path[TA_RUN_DIR_BYTES + 32];
    snprintf(path, sizeof path, "%s/rendezvous/server", n->config.dir->path);
    FILE *file = fopen(path, "re");
    size_t bytes = file != NULL ? fread(text, 1, sizeof text, file) : 0;
    if (file != NULL) fclose(file);
    if (bytes == 0 || bytes == sizeof text) bytes = (size_t)snprintf(text, sizeof text, "-"); /* too long: see the file */
    text[bytes] = '\0';
    swap(text, '\n', ',');
    swap(text, ' ', '+');
    ta_status status = share(n, text);
    explicit_bzero(text, sizeof text);
    return status == TA_AGAIN ? TA_OK : status;
}

ta_status ta_nodes_learn_server(struct ta_nodes *n) {
    if (!has_pmi(n)) return TA_OK;
    char text[TA_PMI_VALUE_BYTES] = "";
    ta_status status = share(n, text);
    if (status != TA_OK || strcmp(text, "-") == 0) return status == TA_AGAIN ? TA_OK : status;
    swap(text, ',', '\n');
    swap(text, '+', ' ');
    status = ta_mem_strdup(text, "the address of node 0", &n->server_text);
    explicit_bzero(text, sizeof text);
    return status;
}
