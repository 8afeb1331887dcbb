/* far_kinds: tables that stand before those of the makes. */
#include "far_kinds.h"

#include <string.h>

#include "lazy_gpu.h"

enum { MOST_OPEN = 64 };

#define GREAT ((size_t)1 << 40)

struct ta_transport_ops far_kinds[FAR_KINDS];

static struct opened {
    const struct ta_transport *t;
    const struct ta_transport_ops *ops; /* NULL: free */
    struct ta_gpu *gpu;
} opened[MOST_OPEN];

static struct opened *opened_of(const struct ta_transport *t) {
    for (unsigned i = 0; i < MOST_OPEN; i++)
        if (opened[i].ops != NULL && opened[i].t == t) return &opened[i];
    return NULL;
}

struct ta_gpu *far_kinds_gpu(const struct ta_transport *t) {
    struct opened *o = opened_of(t);
    return o != NULL ? o->gpu : NULL;
}

/* `inner`: of a staged one, else NULL. */
static ta_status open_with(const struct ta_transport_ops *ops, const struct ta_transport_ops *inner,
                           const struct ta_transport_config *config, struct ta_transport **out) {
    struct opened *o = NULL;
    struct ta_transport_config with = *config;
    *out = NULL;
    for (unsigned i = 0; i < MOST_OPEN && o == NULL; i++)
        if (opened[i].ops == NULL) o = &opened[i];
    if (o == NULL) return ta_fail(TA_NO_MEMORY, "too many transports are open");
    lazy_gpu_world.touchable = inner == NULL && ops != &ta_transport_shm; /* a device is to register it */
    ta_status status = lazy_gpu_ops.open(config->rank % LAZY_GPUS, &with.gpu);
    if (status != TA_OK) return status;
    with.gpu_ops = &lazy_gpu_ops;
    status = inner != NULL ? ta_staged_open(inner, &with, out) : ops->open(&with, out);
    if (status == TA_OK) *o = (struct opened){*out, ops, with.gpu};
    else lazy_gpu_ops.close(with.gpu);
    return status;
}

static ta_status open_shm(const struct ta_transport_config *config, struct ta_transport **out) {
    return open_with(&ta_transport_shm, NULL, config, out);
}

static ta_status open_staged_shm(const struct ta_transport_config *config, struct ta_transport **out) {
    return open_with(&ta_transport_staged, &ta_transport_shm, config, out);
}

static ta_status open_staged_sim(const struct ta_transport_config *config, struct ta_transport **out) {
    return open_with(&ta_transport_staged, &ta_transport_sim, config, out);
}

static ta_status open_verbs(const struct ta_transport_config *config, struct ta_transport **out) {
    const struct ta_transport_ops *verbs;
    ta_status status = ta_transport_find("verbs", &verbs);
    return status == TA_OK ? open_with(verbs, NULL, config, out) : status;
}

static void close_with(struct ta_transport *t) {
    struct opened *o = opened_of(t);
    if (t == NULL || o == NULL) return;
    o->ops->close(t);
    lazy_gpu_ops.close(o->gpu);
    *o = (struct opened){.ops = NULL};
}

static ta_status window_create(struct ta_transport *t, size_t bytes, struct ta_window *out) {
    const struct ta_transport_ops *ops = opened_of(t)->ops;
    const struct ta_window_far far = {.first = 0, .stride = bytes, .bytes = bytes, .n = 1};
    if (bytes == 0 || bytes > GREAT) return ops->window_create(t, bytes, out);
    return ops->window_create_far(t, bytes, &far, out);
}

void far_kinds_make(void) {
    const struct ta_transport_ops *verbs;
    (void)ta_transport_find("verbs", &verbs);
    const struct {
        const char *name;
        const struct ta_transport_ops *ops, *inner;
        ta_status (*open)(const struct ta_transport_config *config, struct ta_transport **out);
    } kinds[FAR_KINDS] = {{"shm-far", &ta_transport_shm, &ta_transport_shm, open_shm},
                          {"staged-shm", &ta_transport_staged, &ta_transport_shm, open_staged_shm},
                          {"staged-sim", &ta_transport_staged, &ta_transport_sim, open_staged_sim},
                          {"verbs-far", verbs, verbs, open_verbs}};
    for (unsigned i = 0; i < FAR_KINDS; i++) {
        if (kinds[i].ops == NULL) continue;
        far_kinds[i] = *kinds[i].ops;
        far_kinds[i].name = kinds[i].name;
        far_kinds[i].probe = kinds[i].inner->probe;
        far_kinds[i].open = kinds[i].open;
        far_kinds[i].close = close_with;
        far_kinds[i].window_create = window_create;
    }
}

ta_status far_kinds_find(const char *name, const struct ta_transport_ops **out) {
    far_kinds_make();
    for (unsigned i = 0; i < FAR_KINDS; i++)
        if (far_kinds[i].name != NULL && strcmp(name, far_kinds[i].name) == 0) {
            *out = &far_kinds[i];
            return TA_OK;
        }
    return ta_transport_find(name, out);
}

ta_status far_kinds_read(const struct ta_transport_ops *ops, struct ta_transport *t, const struct ta_window *window,
                         size_t offset, size_t bytes, void *out) {
    ta_status status = TA_OK;
    struct ta_gpu *gpu = far_kinds_gpu(t);
    bool is_far = window->far.n > 0 && bytes > 0;
    if (is_far && ops->fetch != NULL) status = ops->fetch(t, offset, bytes, NULL, 0);
    if (is_far && gpu != NULL) lazy_gpu_run(gpu, TA_GPU_APPLY);
    if (status == TA_OK && bytes > 0) memcpy(out, lazy_gpu_at(ta_window_at(window, offset)), bytes);
    return status;
}
