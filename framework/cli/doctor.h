/* doctor: what `tensair doctor` finds out about this machine, and how it says so.
 *
 * A finding is a mark, a name and a value, and the cure where something can be done:
 *   ok       works, and well
 *   note     works; worth knowing, or could be better
 *   missing  is not there; training works without it
 *   wrong    training on this machine, or something the configuration asks for, does not work
 *
 * A section is a function in a file of its own (doctor_cpu.c, ...) that adds findings to a list. It runs in a process
 * of its own with a time limit (ta_doctor_apart), so that a driver that hangs or crashes costs a finding and not the
 * report, and nothing it does outlives it. It changes nothing on the machine.
 */
#ifndef TA_DOCTOR_H
#define TA_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "run_config.h"
#include "status.h"

enum ta_finding_state { TA_FINDING_OK, TA_FINDING_NOTE, TA_FINDING_MISSING, TA_FINDING_WRONG };

struct ta_finding {
    enum ta_finding_state state;
    char section[32], name[64];
    char value[512];
    char cure[512]; /* "": nothing to be done */
};

struct ta_findings {
    struct ta_finding *all; /* [n] */
    size_t n, room;
    const char *section; /* what is added belongs to it */
    bool lost;           /* there was no memory for one */
    int to;              /* above 0: a pipe that takes each finding once the next one is said */
    size_t sent;         /* so many have gone that way */
};

/* Adds one. What does not fit is cut, what is not printable ASCII becomes '?' or a blank; a list without memory
 * remembers that it lost something. */
void ta_doctor_say(struct ta_findings *list, enum ta_finding_state state, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The cure of the finding added last. */
void ta_doctor_cure(struct ta_findings *list, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Sends what has not been sent. False: nobody takes it any more. */
bool ta_doctor_send(struct ta_findings *list);
void ta_doctor_forget(struct ta_findings *list);

const char *ta_doctor_state_name(enum ta_finding_state state); /* "missing" */

/* What the checks are about. */
struct ta_doctor {
    const char *path;                          /* of the configuration */
    const struct ta_run_config *config;        /* NULL: none was given */
    const struct ta_transport_spec *transport; /* as asked for; nothing asked: all fields zero */
    const char *device;                        /* as asked for; "auto" */
    unsigned replicas, per_node, nodes;        /* all at least 1; per_node: replicas on one node */
    int node;                                  /* by --node; -1: not given */
    bool quick;                                /* nothing that takes a second */
    bool knows_need;                           /* the next are known: */
    uint64_t parameters;
    uint64_t window_bytes, source_bytes; /* what one replica's peers write; what its puts are read from */
    char why[512];                       /* they are not known */
};

struct ta_doctor_section {
    const char *name;
    void (*examine)(const struct ta_doctor *d, struct ta_findings *list);
    double within_s; /* then it is ended */
};

/* In the order of the report; ends with a name of NULL. */
extern const struct ta_doctor_section ta_doctor_sections[];

void ta_doctor_program(const struct ta_doctor *d, struct ta_findings *list);   /* doctor_program.c */
void ta_doctor_cpu(const struct ta_doctor *d, struct ta_findings *list);       /* doctor_cpu.c */
void ta_doctor_memory(const struct ta_doctor *d, struct ta_findings *list);    /* doctor_memory.c */
void ta_doctor_rdma(const struct ta_doctor *d, struct ta_findings *list);      /* doctor_rdma.c */
void ta_doctor_gpu(const struct ta_doctor *d, struct ta_findings *list);       /* doctor_gpu.c, */
void ta_doctor_cuda(const struct ta_doctor *d, struct ta_findings *list);      /* doctor_cuda.c: what of it CUDA says */
void ta_doctor_network(const struct ta_doctor *d, struct ta_findings *list);   /* doctor_network.c */
void ta_doctor_system(const struct ta_doctor *d, struct ta_findings *list);    /* doctor_system.c */
void ta_doctor_job(const struct ta_doctor *d, struct ta_findings *list);       /* doctor_job.c */
void ta_doctor_transport(const struct ta_doctor *d, struct ta_findings *list); /* doctor_transport.c */
void ta_doctor_words(const struct ta_doctor *d, struct ta_findings *list);     /* doctor_words.c */
void ta_doctor_configuration(const struct ta_doctor *d, struct ta_findings *list); /* doctor_configuration.c */

/* Prints how many there are of each kind; DEVICE where something is wrong: what. */
ta_status ta_doctor_verdict(const struct ta_findings *list, bool json);

/* Runs a section in a process of its own and adds what it found; a section that took too long, crashed or ran out of
 * memory is a finding itself. Errors: NO_MEMORY, FAILED (no process). */
ta_status ta_doctor_apart(const struct ta_doctor *d, const struct ta_doctor_section *section, struct ta_findings *list);

/* Prints what is new in the list from `from` on: marks in colour where stdout is a terminal that wants it. */
void ta_doctor_print(const struct ta_findings *list, size_t from);
/* One JSON array of {section, name, state, value, cure (null: none)}. Errors: NO_MEMORY. */
ta_status ta_doctor_print_json(const struct ta_findings *list);

/* The first line of a small file (of /proc, /sys) without its end; false, and "", when it cannot be read. */
bool ta_doctor_read(char *out, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* "1.5 GiB", "64 KiB", "100 bytes", "unlimited" for UINT64_MAX. */
const char *ta_doctor_bytes(uint64_t bytes, char text[32]);
/* Whether a program of that name is in PATH; where. */
bool ta_doctor_which(const char *program, char *out, size_t bytes);

/* The sizes that follow from the model of d->config. Errors: those of stream and model. */
ta_status ta_doctor_measure(struct ta_doctor *d);

/* Whether a run as described would use that transport, in a node or between nodes; and, without a configuration, one of
 * two replicas on this machine or on two. */
bool ta_doctor_would_take(const struct ta_doctor *d, const char *name);

/* How many replicas a scheduler or launcher started here says there are, and on how many nodes; 0: it does not say. */
void ta_doctor_job_size(unsigned *replicas, unsigned *per_node, unsigned *nodes);

#endif
