/* doctor_slurm: what every node found, told once: what all or several say alike becomes one line that names them. */
#include "doctor_slurm.h"

#include <stdio.h>
#include <string.h>

#include "mem.h"

enum { MATRIX_MOST = 24 /* nodes that fit on a line */ };

/* What is worth a line for each node, beside whatever is not ok: the rest is for `tensair doctor` there. */
static bool is_of_job(const struct ta_finding *f) {
    static const char *const names[] = {"memlock", "cores", "NUMA nodes", "devices", "device files", "GPUs", "driver"};
    if (f->state == TA_FINDING_NOTE || f->state == TA_FINDING_WRONG) return true;
    if (strcmp(f->section, "directory") == 0 || strcmp(f->section, "clocks") == 0) return true;
    if (strcmp(f->section, "RDMA") == 0 || strncmp(f->name, "GPU ", 4) == 0) return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(f->name, names[i]) == 0) return true;
    return false;
}

static ta_status examine_node(struct ta_preflight *p) {
    static const struct ta_doctor_section sections[] = {
        {"CPU", ta_doctor_cpu, 10},
        {"memory", ta_doctor_memory, 20},
        {"RDMA", ta_doctor_rdma, 20},
        {"GPU", ta_doctor_gpu, 10}};
    ta_status status = TA_OK;
    for (size_t i = 0; i < sizeof sections / sizeof sections[0] && status == TA_OK; i++)
        status = ta_doctor_apart(p->d, &sections[i], p->list);
    return status == TA_OK ? ta_preflight_together(p, "examined") : status;
}

/* What this node found goes to node 0. */
static ta_status send(struct ta_preflight *p) {
    uint32_t n = 0;
    ta_status status = TA_OK;
    for (size_t i = 0; i < p->list->n && status == TA_OK; i++)
        if (is_of_job(&p->list->all[i]))
            status = ta_preflight_put(p, &p->list->all[i], sizeof p->list->all[i], "found/%u/%u", p->node, n++);
    return status == TA_OK ? ta_preflight_put(p, &n, sizeof n, "found/%u", p->node) : status;
}

/* --- node 0 --- */

struct merged {
    struct ta_finding finding;
    unsigned n; /* nodes that say so */
    char nodes[256];
};

struct report {
    struct merged *all;
    size_t n, room;
};

static ta_status add(struct report *r, const struct ta_finding *f, const char *node) {
    size_t at = 0;
    while (at < r->n && memcmp(&r->all[at].finding, f, sizeof *f) != 0) at++;
    if (at == r->room) {
        void *grown = r->all;
        size_t room = r->room == 0 ? 64 : 2 * r->room;
        ta_status status = ta_mem_resize(&grown, room * sizeof *r->all, "findings");
        if (status != TA_OK) return status;
        r->all = grown;
        r->room = room;
    }
    struct merged *m = &r->all[at];
    if (at == r->n) {
        *m = (struct merged){.finding = *f};
        r->n++;
    }
    size_t length = strlen(m->nodes);
    snprintf(m->nodes + length, sizeof m->nodes - length, "%s%s", length > 0 ? " " : "", node);
    m->n++;
    return TA_OK;
}

static ta_status merge(struct ta_preflight *p, struct report *r) {
    ta_status status = TA_OK;
    for (unsigned node = 0; node < p->nodes && status == TA_OK; node++) {
        uint32_t count = 0;
        status = ta_preflight_hear(p, &count, sizeof count, "found/%u", node);
        for (uint32_t i = 0; i < count && status == TA_OK; i++) {
            struct ta_finding f;
            status = ta_preflight_hear(p, &f, sizeof f, "found/%u/%u", node, i);
            if (status == TA_OK) status = add(r, &f, p->names[node]);
        }
    }
    return status;
}

/* Said by node 0 of others, or of all. */
static bool names_nodes(const struct ta_finding *f) {
    return strcmp(f->section, "clocks") == 0 || strcmp(f->name, "creation") == 0;
}

/* In the order of sections as they first appear. */
static void tell(const struct ta_preflight *p, const struct report *r, struct ta_findings *report) {
    const struct merged *all = r->all;
    size_t n = r->n;
    for (size_t i = 0; i < n; i++) {
        bool first = true;
        for (size_t j = 0; j < i; j++) first = first && strcmp(all[j].finding.section, all[i].finding.section) != 0;
        for (size_t j = i; first && j < n; j++) {
            const struct ta_finding *f = &all[j].finding;
            if (strcmp(f->section, all[i].finding.section) != 0) continue;
            report->section = all[i].finding.section;
            if (names_nodes(f)) ta_doctor_say(report, f->state, f->name, "%s", f->value);
            else if (all[j].n == p->nodes)
                ta_doctor_say(report, f->state, f->name, "all %u nodes: %s", p->nodes, f->value);
            else ta_doctor_say(report, f->state, f->name, "%s: %s", all[j].nodes, f->value);
            if (f->cure[0] != '\0') ta_doctor_cure(report, "%s", f->cure);
        }
    }
}

static void say_pair(const struct ta_preflight *p, const struct ta_pair *pairs, size_t at, double median,
                     struct ta_findings *report) {
    const struct ta_pair *pair = &pairs[at];
    size_t from = at / p->nodes, to = at % p->nodes;
    char name[64];
    snprintf(name, sizeof name, "%.28s to %.28s", p->names[from], p->names[to]);
    if (pair->state == TA_PAIR_FAILED) {
        ta_doctor_say(report, TA_FINDING_WRONG, name, "%s", pair->why);
        ta_doctor_cure(report, "tensair bench window --listen on the one, --connect on the other says more");
    } else if (pair->state == TA_PAIR_MEASURED) {
        bool odd = ta_matrix_pair_is_odd(pair, median);
        ta_doctor_say(report, odd ? TA_FINDING_NOTE : TA_FINDING_OK, name, "%.3g GB/s, a small put seen after %.1f us",
                      pair->gb_per_s, pair->seen_us);
        if (odd) ta_doctor_cure(report, "less than half of what is usual here (%.3g GB/s)", median);
    }
}

static ta_status say_pairs(const struct ta_preflight *p, const struct ta_pair *pairs, struct ta_findings *report) {
    bool *odd = NULL;
    double median = 0;
    char title[64];
    ta_status status = TA_NEW(&odd, p->nodes, "the nodes that stand out");
    if (status == TA_OK) status = ta_matrix_judge(pairs, p->nodes, &median, odd);
    report->section = "puts";
    for (unsigned node = 0; node < p->nodes && status == TA_OK; node++) {
        if (!odd[node]) continue;
        snprintf(title, sizeof title, "%.60s", p->names[node]);
        ta_doctor_say(report, TA_FINDING_NOTE, title, "slower than the others, to and from all of them");
        ta_doctor_cure(report, "look at its port (ethtool, ibstat) and what else runs there; srun -x %s leaves it out",
                       title);
    }
    for (size_t at = 0; at < (size_t)p->nodes * p->nodes && status == TA_OK; at++)
        say_pair(p, pairs, at, median, report);
    ta_mem_free(odd);
    return status;
}

static void print_matrix(const struct ta_preflight *p, const struct ta_pair *pairs, double median) {
    printf("\nputs of 1 MiB, GB/s: from (row) to (column); ! less than half of the median %.3g\n%12s", median, "");
    for (unsigned to = 0; to < p->nodes; to++) printf(" %8.8s ", p->names[to]);
    for (unsigned from = 0; from < p->nodes; from++) {
        printf("\n%12.12s", p->names[from]);
        for (unsigned to = 0; to < p->nodes; to++) {
            const struct ta_pair *pair = &pairs[(size_t)from * p->nodes + to];
            if (pair->state == TA_PAIR_MEASURED)
                printf(" %8.3g%c", pair->gb_per_s, ta_matrix_pair_is_odd(pair, median) ? '!' : ' ');
            else printf(" %8s ", pair->state == TA_PAIR_FAILED ? "failed!" : "-");
        }
    }
    putchar('\n');
}

/* Text leaves out the pairs that are as they should be: the matrix has them. */
static ta_status print(const struct ta_preflight *p, const struct ta_pair *pairs, struct ta_findings *report) {
    struct ta_findings shown = {0};
    bool *odd = NULL;
    double median = 0;
    if (p->ask->json) return ta_doctor_print_json(report);
    ta_status status = TA_NEW(&odd, p->nodes, "the nodes that stand out");
    if (status == TA_OK) status = ta_matrix_judge(pairs, p->nodes, &median, odd);
    for (size_t i = 0; i < report->n; i++) {
        const struct ta_finding *f = &report->all[i];
        if (strcmp(f->section, "puts") == 0 && f->state == TA_FINDING_OK && p->nodes <= MATRIX_MOST) continue;
        shown.section = f->section;
        ta_doctor_say(&shown, f->state, f->name, "%s", f->value);
        if (f->cure[0] != '\0') ta_doctor_cure(&shown, "%s", f->cure);
    }
    ta_doctor_print(&shown, 0);
    if (status == TA_OK && p->nodes <= MATRIX_MOST && p->nodes > 1) print_matrix(p, pairs, median);
    ta_doctor_forget(&shown);
    ta_mem_free(odd);
    return status;
}

static void say_job(const struct ta_preflight *p, struct ta_findings *report) {
    char names[400] = "";
    for (unsigned node = 0; node < p->nodes; node++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? " " : "", p->names[node]);
    }
    report->section = "job";
    if (p->place.in_slurm)
        ta_doctor_say(report, TA_FINDING_OK, "job", "Slurm job %llu, started again %u times",
                      (unsigned long long)p->place.job_id, p->place.restart);
    ta_doctor_say(report, TA_FINDING_OK, "tasks", "%u on %u nodes: %s (by %s)", p->size, p->nodes, names,
                  p->ask->nodes >= 0 ? "flags" : ta_job_origin_name(p->place.origin));
}

static ta_status examine_job(struct ta_preflight *p, struct ta_findings *report) {
    struct ta_pair *pairs = NULL;
    struct report found = {0};
    ta_status status = p->node == 0 ? TA_NEW(&pairs, (size_t)p->nodes * p->nodes, "the puts between nodes") : TA_OK;
    if (status == TA_OK) status = examine_node(p);
    if (status == TA_OK) status = ta_preflight_clocks(p);
    if (status == TA_OK) status = ta_preflight_files(p);
    if (status == TA_OK) status = send(p);
    if (status == TA_OK && !p->d->quick) status = ta_preflight_pairs(p, pairs);
    if (status == TA_OK && p->node == 0) status = merge(p, &found);
    if (status == TA_OK && p->node == 0) {
        say_job(p, report);
        tell(p, &found, report);
        status = say_pairs(p, pairs, report);
        if (status == TA_OK) status = print(p, pairs, report);
    }
    ta_mem_free(found.all);
    ta_mem_free(pairs);
    return status;
}

ta_status ta_doctor_preflight(const struct ta_doctor *d, const struct ta_preflight_ask *ask) {
    struct ta_findings list = {0}, report = {0};
    struct ta_preflight p = {.d = d, .ask = ask, .list = &list};
    ta_status status = ta_preflight_meet(&p);
    if (status == TA_OK && p.works) status = examine_job(&p, &report);
    ta_preflight_leave(&p, status);
    if (status == TA_OK && list.lost) status = ta_fail(TA_NO_MEMORY, "out of memory for findings");
    if (status == TA_OK && p.works && p.node == 0) status = ta_doctor_verdict(&report, ask->json);
    ta_doctor_forget(&list);
    ta_doctor_forget(&report);
    return status;
}
