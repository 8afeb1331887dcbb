/* library: libfabric is loaded when somebody asks for it, not when the program starts: it brings drivers for every kind
 * of card, whose start takes a quarter of a second and catches signals. Most of its interface is inline; the functions
 * that are not stand here under their own names and call the library's. Where it is not installed, fi_getinfo says
 * -FI_ENOSYS, as where there is no provider. */
#include <dlfcn.h>
#include <pthread.h>
#include <rdma/fi_errno.h>

#include "provider.h"

static struct {
    int (*getinfo)(uint32_t version, const char *node, const char *service, uint64_t flags, const struct fi_info *hints,
                   struct fi_info **info);
    void (*freeinfo)(struct fi_info *info);
    struct fi_info *(*dupinfo)(const struct fi_info *info);
    int (*fabric)(struct fi_fabric_attr *attributes, struct fid_fabric **fabric, void *context);
    const char *(*text_of)(int error);
    bool there;
} library; /* written once, before anybody reads it */

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* POSIX wants dlsym's result to be usable as a function (dlsym(3)); C has no cast for it. */
static bool find(void *handle, const char *name, void *function) {
    void *symbol = dlsym(handle, name);
    *(void **)function = symbol;
    return symbol != NULL;
}

static void load(void) {
    void *handle = dlopen("libfabric.so.1", RTLD_NOW | RTLD_LOCAL);
    library.there = handle != NULL && find(handle, "fi_getinfo", &library.getinfo) &&
                    find(handle, "fi_freeinfo", &library.freeinfo) && find(handle, "fi_dupinfo", &library.dupinfo) &&
                    find(handle, "fi_fabric", &library.fabric) && find(handle, "fi_strerror", &library.text_of);
}

bool ta_ofi_library_is_there(void) {
    pthread_once(&once, load);
    return library.there;
}

int fi_getinfo(uint32_t version, const char *node, const char *service, uint64_t flags, const struct fi_info *hints,
               struct fi_info **info) {
    if (!ta_ofi_library_is_there()) return -FI_ENOSYS;
    return library.getinfo(version, node, service, flags, hints, info);
}

void fi_freeinfo(struct fi_info *info) {
    if (info != NULL && ta_ofi_library_is_there()) library.freeinfo(info);
}

struct fi_info *fi_dupinfo(const struct fi_info *info) {
    return ta_ofi_library_is_there() ? library.dupinfo(info) : NULL;
}

int fi_fabric(struct fi_fabric_attr *attributes, struct fid_fabric **fabric, void *context) {
    return ta_ofi_library_is_there() ? library.fabric(attributes, fabric, context) : -FI_ENOSYS;
}

const char *fi_strerror(int error) { return ta_ofi_library_is_there() ? library.text_of(error) : "no libfabric"; }
