/* libraries: which versions of the vendor's libraries the plugins for GPUs have found on this machine.
 *
 * Loads the plugins. Not for a process that forks afterwards.
 */
#ifndef TA_LIBRARIES_H
#define TA_LIBRARIES_H

#include <stdbool.h>
#include <stddef.h>

/* Texts such as "9.19.0"; "": not there, or it does not say. */
struct ta_libraries {
    char cudnn[16], cublaslt[16], nccl[16];
};

void ta_libraries_find(struct ta_libraries *out, bool nccl); /* nccl false: not looked for */

#endif
