/* credential: the only user of libmunge. */
#include "credential.h"

#include <string.h>
#include <unistd.h>

#ifdef TA_HAVE_MUNGE

#include <munge.h>
#include <stdlib.h>

#include "mem.h"

static munge_ctx_t context_of(const char *socket) {
    munge_ctx_t context = munge_ctx_create();
    if (context != NULL && socket != NULL && munge_ctx_set(context, MUNGE_OPT_SOCKET, socket) != EMUNGE_SUCCESS) {
        munge_ctx_destroy(context);
        context = NULL;
    }
    return context;
}

bool ta_store_credential_works(const char *socket) {
    munge_ctx_t context = context_of(socket);
    char *made = NULL;
    bool works = context != NULL && munge_encode(&made, context, NULL, 0) == EMUNGE_SUCCESS;
    free(made);
    if (context != NULL) munge_ctx_destroy(context);
    return works;
}

ta_status ta_store_credential_make(const char *socket, const unsigned char bond[TA_STORE_PROOF_BYTES],
                                   unsigned char *out, size_t *bytes) {
    *bytes = 0;
    munge_ctx_t context = context_of(socket);
    if (context == NULL) return ta_fail(TA_NO_MEMORY, "munge: no context");
    char *made = NULL;
    ta_status status = TA_OK;
    if (munge_encode(&made, context, bond, TA_STORE_PROOF_BYTES) != EMUNGE_SUCCESS)
        status = ta_fail(TA_PEER, "munged gives no credential: %s", munge_ctx_strerror(context));
    else if (strlen(made) > TA_STORE_CREDENTIAL_BYTES)
        status = ta_fail(TA_PEER, "a munge credential of %zu bytes is over %d", strlen(made),
                         TA_STORE_CREDENTIAL_BYTES);
    else
        memcpy(out, made, *bytes = strlen(made));
    free(made);
    munge_ctx_destroy(context);
    return status;
}

ta_status ta_store_credential_check(const char *socket, const unsigned char bond[TA_STORE_PROOF_BYTES],
                                    const unsigned char *credential, size_t bytes) {
    char *text;
    ta_status status = TA_NEW(&text, bytes + 1, "store: credential");
    if (status != TA_OK) return status;
    memcpy(text, credential, bytes);
    munge_ctx_t context = context_of(socket);
    void *held = NULL;
    int held_bytes = 0;
    uid_t user = 0;
    gid_t group;
    munge_err_t error =
        context == NULL ? EMUNGE_NO_MEMORY : munge_decode(text, context, &held, &held_bytes, &user, &group);
    if (error != EMUNGE_SUCCESS)
        status = ta_fail(TA_PEER, "its munge credential is no good: %s", munge_strerror(error));
    else if (held_bytes != TA_STORE_PROOF_BYTES || memcmp(held, bond, TA_STORE_PROOF_BYTES) != 0)
        status = ta_fail(TA_PEER, "its munge credential is of another connection");
    else if (user != geteuid())
        status = ta_fail(TA_PEER, "it is of user %u, this run of user %u", (unsigned)user, (unsigned)geteuid());
    free(held);
    if (context != NULL) munge_ctx_destroy(context);
    ta_mem_free(text);
    return status;
}

#else

bool ta_store_credential_works(const char *socket) {
    (void)socket;
    return false;
}

ta_status ta_store_credential_make(const char *socket, const unsigned char bond[TA_STORE_PROOF_BYTES],
                                   unsigned char *out, size_t *bytes) {
    (void)socket, (void)bond, (void)out;
    *bytes = 0;
    return TA_OK;
}

ta_status ta_store_credential_check(const char *socket, const unsigned char bond[TA_STORE_PROOF_BYTES],
                                    const unsigned char *credential, size_t bytes) {
    (void)socket, (void)bond, (void)credential, (void)bytes;
    return ta_fail(TA_PEER, "it sent a munge credential, and this program was built without munge (libmunge-dev)");
}

#endif
