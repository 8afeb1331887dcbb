/* server: what it takes to serve, taken in order and given back in the reverse one. */
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "credential.h"
#include "mem.h"

enum { DEFAULT_CLIENTS = 4096, OTHER_FILES = 256 };

/* A client is a descriptor; the limit that a shell gives (1,024) may be raised by any program up to the hard one. */
static void raise_file_limit(unsigned max_clients) {
    struct rlimit limit;
    rlim_t wanted = (rlim_t)max_clients + TA_STORE_MAX_WAITING + OTHER_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= wanted) return;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max > wanted ? wanted : limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static ta_status watch_file(struct ta_store_server *s, int fd, void *tag) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};
    return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? TA_OK : ta_fail_errno(TA_IO, "store: epoll");
}

static ta_status open_files(struct ta_store_server *s) {
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->epoll < 0 || s->wake < 0) return ta_fail_errno(TA_IO, "store: epoll and eventfd");
    ta_status status = watch_file(s, s->listener, &s->listener);
    return status == TA_OK ? watch_file(s, s->wake, &s->wake) : status;
}

/* No signal is for this thread. */
static ta_status start_thread(struct ta_store_server *s) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&s->thread, NULL, ta_store_server_loop, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) return ta_fail(TA_NO_MEMORY, "store: no thread: %s", strerror(error));
    s->running = true;
    return TA_OK;
}

static ta_status copy_config(struct ta_store_server *s, const struct ta_store_server_config *config) {
    s->house.run_id = config->run_id;
    s->house.log = config->log;
    s->house.max_clients = config->max_clients == 0 ? DEFAULT_CLIENTS : config->max_clients;
    ta_status status = ta_mem_strdup(config->directory, "store: directory", &s->directory);
    if (status == TA_OK && config->munge_socket != NULL)
        status = ta_mem_strdup(config->munge_socket, "store: munge socket", &s->munge_socket);
    s->house.munge_socket = s->munge_socket;
    return status;
}

ta_status ta_store_serve(const struct ta_store_server_config *config, struct ta_store_server **out) {
    *out = NULL;
    struct ta_store_server *s;
    struct ta_store_server_file file = {.run_id = config->run_id};
    ta_status status = ta_store_session_init();
    if (status == TA_OK) status = ta_store_directory_check(config->directory);
    if (status == TA_OK) status = TA_NEW(&s, 1, "store: server");
    if (status != TA_OK) return status;
    s->listener = s->epoll = s->wake = -1;
    status = copy_config(s, config);
    if (status == TA_OK) status = TA_NEW(&s->scratch, TA_STORE_SCRATCH_BYTES, "store: scratch");
    if (status != TA_OK) goto fail;
    raise_file_limit(s->house.max_clients);
    status = ta_store_listen(config->address, &file, &s->listener);
    if (status == TA_OK) status = open_files(s);
    if (status != TA_OK) goto fail;
    file.munge = s->house.munge = ta_store_credential_works(s->munge_socket);
    randombytes_buf(s->house.secret, sizeof s->house.secret);
    memcpy(file.secret, s->house.secret, sizeof file.secret);
    status = start_thread(s);
    if (status == TA_OK) status = ta_store_server_file_write(s->directory, &file, &s->file);
    sodium_memzero(file.secret, sizeof file.secret);
    if (status != TA_OK) goto fail;
    s->published = true;
    ta_log_info(config->log, "store: serving at port %u, %u addresses, the first %s%s", file.port, file.n_addresses,
                file.address[0], file.munge ? ", with munge" : "");
    *out = s;
    return TA_OK;
fail:
    ta_store_server_close(s);
    return status;
}

void ta_store_server_stats(struct ta_store_server *s, struct ta_store_server_stats *out) {
    *out = (struct ta_store_server_stats){.clients = atomic_load(&s->clients),
                                          .names = atomic_load(&s->names),
                                          .bytes = atomic_load(&s->bytes),
                                          .refused = atomic_load(&s->refused),
                                          .garbage = atomic_load(&s->garbage)};
}

void ta_store_server_close(struct ta_store_server *s) {
    if (s == NULL) return;
    if (s->published) ta_store_server_file_remove(s->directory, &s->file); /* first: nobody new comes */
    if (s->running) {
        uint64_t one = 1;
        atomic_store(&s->stop, true);
        while (write(s->wake, &one, sizeof one) < 0 && errno == EINTR) {}
        pthread_join(s->thread, NULL);
    }
    ta_store_server_hang_up(s);
    if (s->listener >= 0) {
        (void)shutdown(s->listener, SHUT_RDWR); /* also for those who were forked and hold it */
        close(s->listener);
    }
    if (s->epoll >= 0) close(s->epoll);
    if (s->wake >= 0) close(s->wake);
    sodium_memzero(s->house.secret, sizeof s->house.secret);
    ta_mem_free(s->scratch);
    ta_mem_free(s->munge_socket);
    ta_mem_free(s->directory);
    ta_mem_free(s);
}
