/* plugin: parts of the program that need a vendor's libraries, loaded when they are asked for.
 *
 * `tensair-cuda.so` (CUDA, cuDNN, cuBLASLt) and `tensair-nccl.so` (NCCL) lie beside the program, in lib/tensair beside
 * its folder, or where TENSAIR_PLUGINS says, which is looked at first. Each offers tables under their C names. Once
 * loaded it stays until the process ends.
 *
 * Threads: any.
 */
#ifndef TA_PLUGIN_H
#define TA_PLUGIN_H

#include "gpu.h"
#include "status.h"

/* The table `symbol` of plugin `name` ("cuda", "nccl"). Errors: NOT_BUILT (no such file: where it was looked for, what
 * to install and build again); DEVICE (the file is there and cannot be loaded: what the loader says, which package
 * holds the library that it misses); INVALID (it holds no such table: of another version). */
ta_status ta_plugin_table(const char *name, const char *symbol, const void **out);

/* The file of a plugin that could be loaded, or that would be ("": there is none); for doctor and version. */
const char *ta_plugin_path(const char *name, char *out, size_t bytes);

/* ta_plugin_table("cuda", "ta_gpu_cuda"). */
ta_status ta_gpu_find(const struct ta_gpu_ops **out);

#endif
