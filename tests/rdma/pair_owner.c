/* pair_owner: a window, a path back, and a loop that answers. */
#include "pair_owner.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "far_kinds.h"
#include "mem.h"
#include "pair.h"

enum { PATIENCE_MS = 1, QUIT = 100 };

bool send_all(int fd, const void *data, size_t bytes) {
    for (const char *at = data; bytes > 0;) {
        ssize_t n = send(fd, at, bytes, MSG_NOSIGNAL);
        if (n <= 0) return false;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

bool receive_all(int fd, void *data, size_t bytes) {
    for (char *at = data; bytes > 0;) {
        ssize_t n = read(fd, at, bytes);
        if (n <= 0) return false;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

struct owner {
    int socket;
    const struct ta_transport_ops *ops;
    struct ta_transport *t;
    struct ta_window window;
};

static bool answer_status(const struct owner *o, ta_status status) {
    if (status != TA_OK) fprintf(stderr, "owner: %s: %s\n", ta_status_name(status), ta_why());
    return send_all(o->socket, &status, sizeof status);
}

static bool send_bytes(const struct owner *o, size_t offset, size_t bytes) {
    void *copy = NULL;
    bool sent = ta_mem_alloc(bytes, 1, "an answer", &copy) == TA_OK &&
                far_kinds_read(o->ops, o->t, &o->window, offset, bytes, copy) == TA_OK &&
                send_all(o->socket, copy, bytes);
    ta_mem_free(copy);
    return sent;
}

static bool answer(struct owner *o, const struct request *r) {
    struct ta_key key;
    uint64_t pass = 0;
    switch (r->what) {
    case ASK_KEY:
        return answer_status(o, o->ops->key_make(o->t, r->peer, &key)) && send_all(o->socket, &key, sizeof key);
    case ASK_CONNECT: return answer_status(o, o->ops->connect(o->t, r->peer, &r->key));
    case ASK_PART: o->ops->disconnect(o->t, r->peer); return answer_status(o, TA_OK);
    case ASK_GRANT: return answer_status(o, o->ops->grant(o->t, r->peer, r->offset, r->bytes));
    case ASK_OPEN:
        return answer_status(o, o->ops->range_open(o->t, r->offset, r->bytes, &pass)) &&
               send_all(o->socket, &pass, sizeof pass);
    case ASK_BYTES: return send_bytes(o, r->offset, r->bytes);
    case ASK_DIE: raise(SIGKILL); return false;
    case ASK_QUIT: break;
    }
    return false;
}

int owner_serve(int socket, const struct opening *opening) {
    struct owner o = {.socket = socket};
    char device[sizeof opening->device];
    snprintf(device, sizeof device, "%s", opening->device);
    struct ta_transport_spec spec = {.device = device[0] != '\0' ? device : NULL, .rails = opening->rails};
    struct ta_transport_config config = {.rank = 1, .n_ranks = 2, .run_id = PAIR_RUN, .spec = &spec};
    ta_status status = far_kinds_find(opening->make, &o.ops);
    if (status == TA_OK) status = o.ops->open(&config, &o.t);
    if (status == TA_OK) status = o.ops->window_create(o.t, opening->window_bytes, &o.window);
    if (status != TA_OK) {
        fprintf(stderr, "owner: %s\n", ta_why());
        return 1;
    }
    struct pollfd ready = {.fd = socket, .events = POLLIN};
    struct request request = {.what = ASK_KEY};
    for (bool goes_on = true; goes_on;) {
        int n = poll(&ready, 1, PATIENCE_MS);
        o.ops->progress(o.t, ta_clock_now_ns()); /* a path that breaks is the sender's story */
        if (n > 0) goes_on = receive_all(socket, &request, sizeof request) && answer(&o, &request);
    }
    o.ops->close(o.t);
    return request.what == ASK_QUIT ? 0 : 2;
}

static int listen_at(const char *port) {
    struct addrinfo *found, hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    int yes = 1;
    if (getaddrinfo(NULL, port, &hints, &found) != 0) return -1;
    int fd = socket(found->ai_family, found->ai_socktype, 0);
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd >= 0 && (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 8) != 0)) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

/* A process a pair, so that one that is told to die takes nobody along. */
static int serve_one(int listener) {
    int fd = accept(listener, NULL, NULL), status = 0;
    if (fd < 0) return errno == EINTR ? 0 : 1;
    pid_t child = fork();
    if (child == 0) {
        struct opening opening;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(listener);
        if (!receive_all(fd, &opening, sizeof opening)) _exit(3);
        _exit(strcmp(opening.make, "quit") == 0 ? QUIT : owner_serve(fd, &opening));
    }
    close(fd);
    if (child < 0 || waitpid(child, &status, 0) != child) return 1;
    return WIFEXITED(status) && WEXITSTATUS(status) == QUIT ? QUIT : 0;
}

int pair_serve_port(const char *port) {
    int listener = listen_at(port), status = 0;
    if (listener < 0) {
        fprintf(stderr, "owner: cannot listen on port %s: %s\n", port, strerror(errno));
        return 1;
    }
    while (status == 0) status = serve_one(listener);
    close(listener);
    return status == QUIT ? 0 : status;
}
