/* manifest: RUN_DIR/manifest.json: what ran, made of what, on what, from when to when, and how it ended.
 *
 * schema (1), program {version, commit, build_type, compiler, sanitize, libraries}, command [...], run_dir, seed,
 * replicas, nodes, transport {type, why, in_use [what the lowest replica of each node puts with, null: not known]},
 * host {name, kernel, cpu, packages, cores, threads, l3_bytes, memory_bytes, numa_nodes}, stream {origin, records,
 * checksum, shape}, model {parameters, fingerprint}, configuration (the effective YAML as text), resumed_from, start,
 * end, exit_code, summary, devices [{device, ranks}: what the replicas of node 0 computed on: GPU, memory, driver, CUDA,
 * cuDNN, compute type]. end, exit_code, summary and devices are null while it runs. The file is always whole: it is replaced
 * by rename.
 */
#ifndef TA_MANIFEST_H
#define TA_MANIFEST_H

#include <jansson.h>
#include <stdint.h>

#include "model.h"
#include "run_dir.h"
#include "stream.h"

struct ta_manifest {
    int argc;
    char **argv;
    const struct ta_run_dir *dir;
    uint64_t seed;
    unsigned replicas, nodes;
    const struct ta_stream_info *stream;
    const struct ta_model *model;
    const char *config;  /* YAML text */
    const char *resumed; /* checkpoint path or NULL */
    const char *transport, *why; /* which, and why that one */
};

/* The start: everything known then. *out is kept by the caller and given to the end. Errors: IO, NO_MEMORY. */
ta_status ta_manifest_start(const struct ta_manifest *m, json_t **out);
/* What was chosen after the start, and why. */
void ta_manifest_transport(json_t *manifest, const char *type, const char *why);
/* What replicas compute on (devices.h); takes the list. */
void ta_manifest_devices(json_t *manifest, json_t *list);
/* Adds transport.in_use; takes the list. */
void ta_manifest_paths(json_t *manifest, json_t *list);
/* The end: takes `summary` (may be NULL), writes, and drops the manifest. */
ta_status ta_manifest_end(const struct ta_manifest *m, json_t *manifest, json_t *summary, int exit_code);

#endif
