/* credential: proof by munge of which user this is, bound to one connection. Built where libmunge is; works where a
 * munged answers. Calls block for as long as munged takes (a millisecond; some seconds when it hangs). */
#ifndef TA_STORE_CREDENTIAL_H
#define TA_STORE_CREDENTIAL_H

#include "wire.h"

/* Whether a munged answers at `socket` (NULL: the system's). */
bool ta_store_credential_works(const char *socket);

/* A credential that carries `bond`; `out` has room for TA_STORE_CREDENTIAL_BYTES, *bytes is its length, 0 where there
 * is no munge. Errors: PEER (munged fails). */
ta_status ta_store_credential_make(const char *socket, const unsigned char bond[TA_STORE_PROOF_BYTES],
                                   unsigned char *out, size_t *bytes);

/* The credential is good, of our own user and of this connection. Errors: PEER (why not), NO_MEMORY. */
ta_status ta_store_credential_check(const char *socket, const unsigned char bond[TA_STORE_PROOF_BYTES],
                                    const unsigned char *credential, size_t bytes);

#endif
