/* nodes_meet: node 0 says what the job is; every other node looks whether it fits; all wait for all. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "build_options.h"
#include "clock.h"
#include "incarnation.h"
#include "mem.h"
#include "nodes_internal.h"

enum { SHARED_WITHIN_S = 10, LOOK_EVERY = 5 * 1000 * 1000 /* ns */, LIST_BYTES = 256, MOST_SHOWN = 200 };

static const char job_magic[8] = {'T', 'A', 'J', 'O', 'B', '0', '0', '1'};

/* Value "job". */
struct job_said {
    char magic[8];
    uint32_t bytes, row_bytes; /* of this struct, of a row of the board */
    char program[32];
    struct ta_nodes_job job;
};

/* A second SIGINT leaves, any other signal stops. */
static ta_status look_at_signals(struct ta_nodes *n) {
    ta_signals_wait(n->config.signals, LOOK_EVERY);
    unsigned asked = ta_signals_read(n->config.signals);
    if (asked & TA_ASKED_LEAVE) return ta_fail(TA_FAILED, "interrupted twice: left without a checkpoint");
    if (asked & TA_ASKED_STOP) return ta_fail(TA_REQUEUE, "node %u was stopped before training began", n->config.node);
    return TA_OK;
}

static ta_status watch_all(struct ta_nodes *n) {
    static const char *const prefixes[] = {"job", "config", "node/", "row/", "lost/", "over"};
    ta_status status = TA_OK;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0] && status == TA_OK; i++)
        status = ta_store_watch(n->store, prefixes[i]);
    return status;
}

static ta_status serve(struct ta_nodes *n, const struct ta_nodes_job *job) {
    char directory[TA_RUN_DIR_BYTES + 16];
    snprintf(directory, sizeof directory, "%s/rendezvous", n->config.dir->path);
    struct ta_store_server_config server = {.directory = directory, .run_id = job->run_id, .log = n->config.log};
    ta_status status = ta_store_serve(&server, &n->server);
    struct ta_store_config client = {
        .directory = directory, .who = "node 0", .run_id = job->run_id, .patience_s = 10, .log = n->config.log};
    if (status == TA_OK) status = ta_store_open(&client, &n->store);
    struct job_said said = {.bytes = sizeof said, .row_bytes = sizeof(struct ta_board_row), .job = *job};
    memcpy(said.magic, job_magic, sizeof said.magic);
    snprintf(said.program, sizeof said.program, "%s", TA_PROGRAM_VERSION);
    size_t text = strlen(n->config.text);
    if (status == TA_OK)
        status =
            ta_store_put(n->store, "config", n->config.text, text < TA_STORE_VALUE_BYTES ? text : TA_STORE_VALUE_BYTES);
    if (status == TA_OK) status = ta_store_put(n->store, "job", &said, sizeof said);
    n->run_id = job->run_id;
    return status == TA_OK ? ta_nodes_publish(n) : status;
}

/* A piece of text; takes its first line off. */
struct piece {
    const char *text;
    size_t bytes;
};

static struct piece take_line(struct piece *from) {
    const char *end = memchr(from->text, '\n', from->bytes);
    struct piece line = {from->text, end != NULL ? (size_t)(end - from->text) : from->bytes};
    size_t taken = line.bytes + (end != NULL);
    *from = (struct piece){from->text + taken, from->bytes - taken};
    while (line.bytes > 0 && *line.text == ' ') line = (struct piece){line.text + 1, line.bytes - 1};
    if (line.bytes > MOST_SHOWN) line.bytes = MOST_SHOWN;
    return line;
}

/* The first line in which two configurations differ. */
static ta_status name_difference(const struct ta_nodes *n, const struct ta_store_value *theirs) {
    struct piece there = {theirs->data, theirs->bytes}, here = {n->config.text, strlen(n->config.text)};
    while (there.bytes > 0 || here.bytes > 0) {
        struct piece a = take_line(&there), b = take_line(&here);
        if (a.bytes == b.bytes && memcmp(a.text, b.text, a.bytes) == 0) continue;
        return ta_fail(TA_CONFIG, "node %u has another configuration than node 0: '%.*s' there, '%.*s' here; give all "
                       "nodes the same configuration and options", n->config.node, (int)a.bytes, a.text, (int)b.bytes,
                       b.text);
    }
    return ta_fail(TA_CONFIG, "node %u has another configuration than node 0, beyond what can be shown here; give all "
                   "nodes the same configuration and options", n->config.node);
}

/* A former life is still there: the one that is meant will come. A later one is: we are the former. */
static ta_status check_life(const struct ta_nodes_job *job, const struct ta_nodes_job *mine) {
    if (mine->job_id == 0 && job->job_id == 0) return TA_OK;
    if (job->job_id == mine->job_id && job->restart == mine->restart) return TA_OK;
    if (job->job_id == mine->job_id && job->restart < mine->restart)
        return ta_fail(TA_PEER, "restart %" PRIu32 " of Slurm job %" PRIu64 " is still there, this is restart %" PRIu32,
                       job->restart, job->job_id, mine->restart);
    if (job->job_id == mine->job_id)
        return ta_fail(TA_IN_USE,
                       "this is restart %" PRIu32 " of Slurm job %" PRIu64 ", a former life: restart %" PRIu32
                       " has the run directory; nothing is to be done, this process was left behind",
                       mine->restart, mine->job_id, job->restart);
    return ta_fail(TA_IN_USE,
                   "the run directory is in use by Slurm job %" PRIu64 ", this is job %" PRIu64 " (0: none): give each "
                   "its own --run-dir, or --join the running one",
                   job->job_id, mine->job_id);
}

static ta_status check_job(const struct ta_nodes *n, const struct ta_store_value *value,
                           const struct ta_nodes_job *mine, struct job_said *said) {
    unsigned node = n->config.node;
    if (value->bytes != sizeof *said || memcmp(value->data, job_magic, sizeof job_magic) != 0)
        return ta_fail(TA_CONFIG,
                       "node 0 runs another version of this program (its job has %zu bytes, %zu here): install "
                       "one version on all nodes",
                       value->bytes, sizeof *said);
    memcpy(said, value->data, sizeof *said);
    said->program[sizeof said->program - 1] = said->job.transport[sizeof said->job.transport - 1] = '\0';
    said->job.resume[sizeof said->job.resume - 1] = '\0';
    const struct ta_nodes_job *job = &said->job;
    if (said->bytes != sizeof *said || said->row_bytes != sizeof(struct ta_board_row) ||
        strcmp(said->program, TA_PROGRAM_VERSION) != 0)
        return ta_fail(TA_CONFIG,
                       "node 0 runs version %s of this program, node %u version %s: install one version on all "
                       "nodes",
                       said->program, node, TA_PROGRAM_VERSION);
    if (job->nodes != mine->nodes)
        return ta_fail(TA_CONFIG, "node 0 was started with --nodes %u, node %u with --nodes %u: give all the same",
                       job->nodes, node, mine->nodes);
    if (job->n_ranks != mine->n_ranks)
        return ta_fail(TA_CONFIG, "node 0 was started with %u replicas, node %u with %u: give all the same -n",
                       job->n_ranks, node, mine->n_ranks);
    struct ta_store_value text;
    if (job->digest != mine->digest)
        return ta_store_get(n->store, "config", &text) == TA_OK ? name_difference(n, &text) : TA_AGAIN;
    return TA_OK;
}

/* The server file may be that of a run that is over, and the server behind it somebody else's: another look may find
 * the one that is meant. */
static bool may_come(ta_status status) { return status == TA_PEER || status == TA_FORMAT || status == TA_IO; }

static ta_status look_for_store(struct ta_nodes *n) {
    char directory[TA_RUN_DIR_BYTES + 16], who[24];
    snprintf(directory, sizeof directory, "%s/rendezvous", n->config.dir->path);
    snprintf(who, sizeof who, "node %u", n->config.node);
    ta_store_close(n->store);
    n->store = NULL;
    n->lost_store = false;
    struct ta_store_config client = {.directory = directory,
                                     .who = who,
                                     .patience_s = 0.1,
                                     .server_text = n->server_text,
                                     .log = n->config.log};
    ta_status status = ta_store_open(&client, &n->store);
    if (status != TA_OK && n->server_text != NULL && may_come(status)) { /* of no use from here: the file may be */
        ta_mem_free(n->server_text);
        n->server_text = NULL;
    }
    return status == TA_OK ? watch_all(n) : status;
}

/* A run that is about to end is not the one we are for; one that goes on may have somebody else with our number. */
static ta_status check_number(struct ta_nodes *n) {
    struct ta_store_value value;
    struct ta_node_said other;
    if (ta_store_get(n->store, "over", &value) == TA_OK) return ta_fail(TA_PEER, "the run there is over");
    if (ta_nodes_get(n, "node", n->config.node, &value) != TA_OK || value.bytes != sizeof other) return TA_OK;
    memcpy(&other, value.data, sizeof other);
    if (other.nonce == ta_nodes_self(n)->said.nonce) return TA_OK;
    if (other.state != TA_NODE_HERE && other.state != TA_NODE_ARRIVED)
        return ta_fail(TA_PEER, "the run there is about to end");
    other.host[sizeof other.host - 1] = '\0';
    return ta_fail(TA_IN_USE,
                   "node %u of the run in %s is process %u on %s already: give each node its own --node, and start "
                   "all of them again after one has ended",
                   n->config.node, n->config.dir->path, other.pid, other.host);
}

/* One look for the job of node 0. AGAIN: not yet. */
static ta_status look_for_job(struct ta_nodes *n, struct ta_nodes_job *job) {
    ta_status status = TA_OK;
    if (n->store == NULL || n->lost_store) status = look_for_store(n);
    if (status != TA_OK) return status;
    if (ta_store_poll(n->store) != TA_OK) {
        n->lost_store = true;
        return TA_PEER;
    }
    struct ta_store_value value;
    struct job_said said;
    status = ta_store_get(n->store, "job", &value);
    if (status == TA_OK && value.bytes == sizeof said) { /* whose run it is comes first: it is not ours to refuse */
        memcpy(&said, value.data, sizeof said);
        status = check_life(&said.job, job);
    }
    if (status == TA_OK) status = check_number(n);
    if (status == TA_OK) status = check_job(n, &value, job, &said);
    if (status != TA_OK) return status;
    /* Each has its own, until all compare. */
    snprintf(said.job.transport, sizeof said.job.transport, "%s", job->transport);
    *job = said.job;
    n->run_id = job->run_id;
    return TA_OK;
}

/* All shall know why nothing comes of it. */
static ta_status refuse(struct ta_nodes *n, ta_status status) {
    struct ta_node_said *said = &ta_nodes_self(n)->said;
    said->state = TA_NODE_REFUSES;
    snprintf(said->text, sizeof said->text, "%s", ta_why());
    ta_nodes_say(n);
    return status;
}

static ta_status find_job(struct ta_nodes *n, struct ta_nodes_job *job, int64_t until_ns) {
    char why[512] = "there is no server file";
    for (;;) {
        ta_status status = look_for_job(n, job);
        if (status == TA_CONFIG && n->store != NULL) return refuse(n, status);
        if (status != TA_AGAIN && !may_come(status)) return status;
        if (may_come(status)) snprintf(why, sizeof why, "%s", ta_why());
        if (ta_clock_now_ns() > until_ns) {
            if (status == TA_FORMAT) return ta_fail(status, "%s", why);
            return ta_fail(TA_PEER,
                           "node %u on %s: node 0 did not appear in %s within %g s (exchange.join_within): %s; "
                           "has it started, and is that directory the same on both hosts?",
                           n->config.node, ta_nodes_self(n)->said.host, n->config.dir->path, n->config.join_within_s,
                           why);
        }
        status = look_at_signals(n);
        if (status != TA_OK) return status;
    }
}

/* OK: the `first` nodes are that far. AGAIN: not yet; `missing` lists who is not. Errors: what those say who refused or
 * have left. */
static ta_status all_at(struct ta_nodes *n, enum ta_node_state state, unsigned first, char missing[LIST_BYTES]) {
    size_t used = 0;
    missing[0] = '\0';
    for (unsigned i = 0; i < n->config.nodes; i++) {
        const struct ta_node_said *said = &n->node[i].said;
        if (said->state == TA_NODE_REFUSES) return ta_fail(TA_CONFIG, "%s", said->text);
        if (said->state == TA_NODE_ENDED && (int)said->code == ta_status_exit_code(TA_REQUEUE))
            return ta_fail(TA_REQUEUE, "node %u was stopped before training began", i);
        if (said->state == TA_NODE_ENDED)
            return ta_fail(TA_PEER, "node %u (%s) gave up before training began: %s", i, said->host, said->text);
        if (i >= first || said->state >= (uint32_t)state || used + 16 > LIST_BYTES) continue;
        used += (size_t)snprintf(missing + used, LIST_BYTES - used, "%s%u", used > 0 ? ", " : "", i);
    }
    return used == 0 ? TA_OK : TA_AGAIN;
}

static ta_status wait_for(struct ta_nodes *n, enum ta_node_state state, unsigned first, int64_t until_ns) {
    char missing[LIST_BYTES];
    for (;;) {
        int64_t now_ns = ta_clock_now_ns();
        ta_nodes_listen(n, now_ns);
        ta_status status = n->lost_store ? ta_fail(TA_PEER, "node 0 is gone before all nodes had met") : TA_OK;
        if (status == TA_OK) status = all_at(n, state, first, missing);
        if (status != TA_AGAIN) return status;
        if (now_ns > until_ns)
            return ta_fail(TA_PEER,
                           "node %u on %s: of %u nodes these did not appear in %s within %g s "
                           "(exchange.join_within): %s; have they started, and is that directory the same on their "
                           "hosts?",
                           n->config.node, ta_nodes_self(n)->said.host, n->config.nodes, n->config.dir->path,
                           n->config.join_within_s, missing);
        status = look_at_signals(n);
        if (status != TA_OK) return status;
    }
}

/* By where all are, each chooses; what node 0 has chosen counts, so that it speaks first. */
static ta_status agree_on_transport(struct ta_nodes *n, struct ta_nodes_job *job, int64_t until_ns) {
    struct ta_node_said *self = &ta_nodes_self(n)->said;
    ta_status status = ta_nodes_learn_hosts(n);
    if (status == TA_OK && n->config.choose != NULL)
        status = n->config.choose(n->config.context, &n->hosts, job->transport);
    if (status != TA_OK) return refuse(n, status);
    if (n->config.node != 0) status = wait_for(n, TA_NODE_HERE, 1, until_ns);
    if (status != TA_OK) return status;
    const char *first = n->config.node != 0 ? n->node[0].said.transport : job->transport;
    if (strcmp(first, job->transport) != 0) {
        (void)ta_fail(TA_CONFIG,
                      "node 0 takes transport %s, node %u can take %s: name one that all nodes have, "
                      "--set transport.type=ofi, or see what is missing by tensair doctor",
                      first, n->config.node, job->transport);
        return refuse(n, TA_CONFIG);
    }
    snprintf(self->transport, sizeof self->transport, "%s", job->transport);
    self->state = TA_NODE_HERE;
    ta_nodes_say(n);
    (void)ta_store_poll(n->store);
    return wait_for(n, TA_NODE_HERE, n->config.nodes, until_ns);
}

static const char *host_of_first(const struct ta_nodes *n) {
    const char *host = n->node[0].said.host;
    return host[0] != '\0' ? host : "another host";
}

/* A file system of the network may take seconds to show what another machine has written. */
static ta_status check_shared(struct ta_nodes *n, uint64_t run_id) {
    double within_s = n->config.join_within_s / 2; /* so that node 0 still listens */
    if (within_s > SHARED_WITHIN_S) within_s = SHARED_WITHIN_S;
    int64_t until_ns = ta_clock_now_ns() + (int64_t)(within_s * TA_NS_PER_S);
    for (;;) {
        struct ta_incarnation it = {0};
        ta_status status = ta_incarnation_read(n->config.dir->path, &it);
        if (status == TA_OK && it.run_id == run_id) return TA_OK;
        ta_nodes_listen(n, ta_clock_now_ns());
        if (ta_clock_now_ns() > until_ns) {
            (void)ta_fail(TA_CONFIG,
                          "node %u on %s has met node 0 on %s, but does not see in %s what that has written there: the run "
                          "directory seems not to be shared between the two hosts; give a --run-dir that is",
                          n->config.node, ta_nodes_self(n)->said.host, host_of_first(n), n->config.dir->path);
            return refuse(n, TA_CONFIG);
        }
        status = look_at_signals(n);
        if (status != TA_OK) return status;
    }
}

ta_status ta_nodes_meet(struct ta_nodes *n, struct ta_nodes_job *job) {
    int64_t until_ns = ta_clock_now_ns() + (int64_t)(n->config.join_within_s * TA_NS_PER_S);
    ta_status status;
    if (n->config.node == 0) {
        status = serve(n, job);
        if (status == TA_OK) status = watch_all(n);
    } else {
        status = ta_nodes_learn_server(n);
        if (status == TA_OK) status = find_job(n, job, until_ns);
        if (status == TA_OK) status = check_shared(n, job->run_id);
    }
    if (status != TA_OK) return status;
    ta_nodes_self(n)->said.state = TA_NODE_ARRIVED;
    ta_nodes_say(n);
    (void)ta_store_poll(n->store);
    ta_log_info(n->config.log, "node %u of %u is here, life %u of %s; waiting for the rest", n->config.node,
                n->config.nodes, job->life, n->config.dir->path);
    status = wait_for(n, TA_NODE_ARRIVED, n->config.nodes, until_ns);
    return status == TA_OK ? agree_on_transport(n, job, until_ns) : status;
}
