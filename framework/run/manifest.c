/* manifest: the machine as hwloc sees it, the program as CMake built it, the run as it was asked for. */
#include "manifest.h"

#include <hwloc.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include "build_options.h"
#include "clock.h"

static json_t *now_text(void) {
    char wall[25];
    ta_clock_iso8601(ta_clock_wall_ns(), wall);
    return json_string(wall);
}

static json_t *text_or_null(const char *text) { return text != NULL ? json_string(text) : json_null(); }

static json_t *describe_program(void) {
    json_t *libraries = json_object();
#define X(name, version, package, use) json_object_set_new(libraries, name, version[0] != '\0' ? json_string(version) : json_null());
    TA_BUILD_REQUIRED(X)
    TA_BUILD_OPTIONAL(X)
#undef X
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "version", TA_PROGRAM_VERSION, "commit", TA_GIT_COMMIT,
                     "build_type", TA_BUILD_TYPE, "compiler", TA_BUILD_COMPILER, "sanitize", TA_BUILD_SANITIZE,
                     "libraries", libraries);
}

static json_t *describe_topology(json_t *host) {
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) != 0) return host;
    if (hwloc_topology_load(topology) == 0) {
        hwloc_obj_t package = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0);
        hwloc_obj_t l3 = hwloc_get_obj_by_type(topology, HWLOC_OBJ_L3CACHE, 0);
        const char *cpu = package != NULL ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
        json_object_set_new(host, "cpu", text_or_null(cpu));
        json_object_set_new(host, "packages", json_integer(hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE)));
        json_object_set_new(host, "cores", json_integer(hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE)));
        json_object_set_new(host, "threads", json_integer(hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU)));
        json_object_set_new(host, "numa_nodes", json_integer(hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE)));
        json_object_set_new(host, "l3_bytes",
                            l3 != NULL ? json_integer((json_int_t)l3->attr->cache.size) : json_null());
        json_object_set_new(host, "memory_bytes", json_integer((json_int_t)hwloc_get_root_obj(topology)->total_memory));
    }
    hwloc_topology_destroy(topology);
    return host;
}

static json_t *describe_host(void) {
    struct utsname name;
    json_t *host = json_object();
    if (uname(&name) == 0) {
        json_object_set_new(host, "name", json_string(name.nodename));
        json_object_set_new(host, "kernel", json_sprintf("%s %s %s", name.sysname, name.release, name.machine));
    }
    return describe_topology(host);
}

static json_t *describe_stream(const struct ta_stream_info *s) {
    json_t *records = s->records == UINT64_MAX ? json_null() : json_integer((json_int_t)s->records);
    json_t *checksum = s->checksum == 0 ? json_null() : json_sprintf("%016" PRIx64, s->checksum);
    return json_pack("{s:s, s:o, s:o, s:[i,i,i]}", "origin", s->origin, "records", records, "checksum", checksum,
                     "shape", (int)s->h, (int)s->w, (int)s->c);
}

static ta_status store(const struct ta_manifest *m, const json_t *manifest) {
    char *text = manifest != NULL ? json_dumps(manifest, JSON_INDENT(2)) : NULL;
    if (text == NULL)
        return ta_fail(TA_NO_MEMORY, "%s/manifest.json: out of memory, or a name that is not UTF-8", m->dir->path);
    ta_status status = ta_run_dir_write(m->dir, "manifest.json", text);
    free(text);
    return status;
}

ta_status ta_manifest_start(const struct ta_manifest *m, json_t **out) {
    json_t *command = json_array();
    for (int i = 0; i < m->argc; i++) json_array_append_new(command, json_string(m->argv[i]));
    json_t *model = json_pack("{s:I, s:o}", "parameters", (json_int_t)m->model->n_weights, "fingerprint",
                              json_sprintf("%016" PRIx64, m->model->fingerprint));
    json_t *transport = json_pack("{s:s, s:s, s:n}", "type", m->transport, "why", m->why, "in_use");
    *out = json_pack("{s:i, s:o, s:o, s:s, s:I, s:i, s:i, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:n, s:n, s:n, s:n}", "schema",
                     1, "program", describe_program(), "command", command, "run_dir", m->dir->path, "seed",
                     (json_int_t)m->seed, "replicas", (int)m->replicas, "nodes", (int)m->nodes, "transport", transport,
                     "host", describe_host(), "stream", describe_stream(m->stream), "model", model, "configuration",
                     m->config, "resumed_from", text_or_null(m->resumed), "start", now_text(), "end", "exit_code",
                     "summary", "devices");
    return store(m, *out);
}

void ta_manifest_transport(json_t *manifest, const char *type, const char *why) {
    json_t *transport = json_object_get(manifest, "transport");
    if (transport == NULL) return;
    json_object_set_new(transport, "type", json_string(type));
    json_object_set_new(transport, "why", json_string(why));
}

void ta_manifest_devices(json_t *manifest, json_t *list) {
    if (manifest != NULL) json_object_set_new(manifest, "devices", list);
    else json_decref(list);
}

void ta_manifest_paths(json_t *manifest, json_t *list) {
    json_t *transport = json_object_get(manifest, "transport");
    if (transport != NULL) json_object_set_new(transport, "in_use", list);
    else json_decref(list);
}

ta_status ta_manifest_end(const struct ta_manifest *m, json_t *manifest, json_t *summary, int exit_code) {
    if (manifest == NULL) {
        json_decref(summary);
        return TA_OK;
    }
    json_object_set_new(manifest, "end", now_text());
    json_object_set_new(manifest, "exit_code", json_integer(exit_code));
    json_object_set_new(manifest, "summary", summary != NULL ? summary : json_null());
    ta_status status = store(m, manifest);
    json_decref(manifest);
    return status;
}
