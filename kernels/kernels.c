/* kernels: the registry of makes. A make that is not in this program still has a name and a cure. */
#include "kernels.h"

#include <string.h>

#include "mem.h"

struct entry {
    const char *name;
    const struct ta_kernels_ops *ops; /* NULL: not built in */
    const char *cure;
};

/* Best first: "auto" takes the first that is built in. */
static const struct entry makes[] = {
    {"cuda", NULL,
     "this version has none; one that has needs CUDA 12 and cuDNN 9: install nvidia-cuda-toolkit and libcudnn9-dev-cuda-12"},
    {"cpu", &ta_kernels_cpu, "install libdnnl-dev, then configure and build again"},
};

ta_status ta_kernels_find(const char *name, const struct ta_kernels_ops **out) {
    *out = NULL;
    for (size_t i = 0; i < sizeof makes / sizeof makes[0]; i++) {
        bool automatic = strcmp(name, "auto") == 0 && makes[i].ops != NULL;
        if (!automatic && strcmp(name, makes[i].name) != 0) continue;
        if (makes[i].ops == NULL)
            return ta_fail(TA_NOT_BUILT, "kernels '%s' are not built into this program: %s; or use 'cpu'", name,
                           makes[i].cure);
        *out = makes[i].ops;
        return TA_OK;
    }
    return ta_fail(TA_CONFIG, "kernels '%s' do not exist; use one of: auto, cpu, cuda", name);
}
