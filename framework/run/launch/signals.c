/* signals: signalfd. */
#include "signals.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

static const int taken[] = {SIGTERM, SIGUSR1, SIGUSR2, SIGINT, SIGHUP, SIGCHLD};

ta_status ta_signals_open(struct ta_signals *s) {
    *s = (struct ta_signals){.fd = -1};
    sigset_t set;
    sigemptyset(&set);
    for (unsigned i = 0; i < sizeof taken / sizeof taken[0]; i++) sigaddset(&set, taken[i]);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, &s->before) != 0) return ta_fail_errno(TA_FAILED, "cannot block signals");
    s->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->fd >= 0) return TA_OK;
    sigprocmask(SIG_SETMASK, &s->before, NULL);
    return ta_fail_errno(TA_FAILED, "cannot open a descriptor for signals");
}

void ta_signals_close(struct ta_signals *s) {
    if (s->fd < 0) return;
    (void)ta_signals_read(s); /* what came too late must not end us when it is let through */
    close(s->fd);
    s->fd = -1;
    sigprocmask(SIG_SETMASK, &s->before, NULL);
}

unsigned ta_signals_read(struct ta_signals *s) {
    unsigned asked = 0;
    struct signalfd_siginfo info;
    while (read(s->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD) asked |= TA_ASKED_CHILD;
        else if (info.ssi_signo == SIGUSR2) asked |= TA_ASKED_STATE;
        else if (info.ssi_signo == SIGINT && s->interrupts++ > 0) asked |= TA_ASKED_LEAVE;
        else asked |= TA_ASKED_STOP;
    }
    return asked;
}

void ta_signals_wait(struct ta_signals *s, int64_t most_ns) {
    struct pollfd one = {.fd = s->fd, .events = POLLIN};
    struct timespec most = {.tv_sec = most_ns / TA_NS_PER_S, .tv_nsec = most_ns % TA_NS_PER_S};
    (void)ppoll(&one, 1, &most, NULL);
}
