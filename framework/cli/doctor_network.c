/* doctor_network: what replicas on several machines need to find each other, and munge, which vouches for users. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "doctor.h"

#define PATIENCE_NS (3 * TA_NS_PER_S) /* for the munge program */

static const char *text_of(const struct sockaddr *address, char *out, size_t bytes) {
    const void *raw = address->sa_family == AF_INET
                          ? (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr
                          : (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    return inet_ntop(address->sa_family, raw, out, (socklen_t)bytes) != NULL ? out : "?";
}

static bool is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

/* Hosts are told by their name and their addresses; either will do. */
static void name_of_host(struct ta_findings *list) {
    char host[256] = "", text[INET6_ADDRSTRLEN];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    int failed = getaddrinfo(host, NULL, &hints, &found);
    if (failed != 0) {
        ta_doctor_say(list, TA_FINDING_NOTE, "host name", "'%s' does not resolve: %s", host, gai_strerror(failed));
        ta_doctor_cure(list, "a line in /etc/hosts, or DNS; until then other machines are told the addresses alone");
        return;
    }
    bool local = true;
    for (struct addrinfo *a = found; a != NULL; a = a->ai_next) local = local && is_loopback(a->ai_addr);
    ta_doctor_say(list, local ? TA_FINDING_NOTE : TA_FINDING_OK, "host name", "%s is %s", host,
                  text_of(found->ai_addr, text, sizeof text));
    if (local)
        ta_doctor_cure(list,
                       "several machines: a name that means this one alone is of no use to others; see /etc/hosts");
    freeaddrinfo(found);
}

static void interfaces(const struct ta_doctor *d, struct ta_findings *list) {
    struct ifaddrs *all = NULL;
    unsigned others = 0;
    bool loopback = false;
    if (getifaddrs(&all) != 0) all = NULL;
    for (struct ifaddrs *a = all; a != NULL; a = a->ifa_next) {
        char text[INET6_ADDRSTRLEN], name[64];
        if (a->ifa_addr == NULL || (a->ifa_flags & IFF_UP) == 0) continue;
        if (a->ifa_addr->sa_family != AF_INET && a->ifa_addr->sa_family != AF_INET6) continue;
        loopback |= (a->ifa_flags & IFF_LOOPBACK) != 0;
        if ((a->ifa_flags & IFF_LOOPBACK) != 0) continue;
        others++;
        bool runs = (a->ifa_flags & IFF_RUNNING) != 0;
        snprintf(name, sizeof name, "interface %.40s", a->ifa_name);
        ta_doctor_say(list, runs ? TA_FINDING_OK : TA_FINDING_NOTE, name, "%s, up%s",
                      text_of(a->ifa_addr, text, sizeof text), runs ? "" : ", but without a link");
        if (!runs) ta_doctor_cure(list, "look at cable and switch: ip link show %s", a->ifa_name);
    }
    if (all != NULL) freeifaddrs(all);
    ta_doctor_say(list, loopback ? TA_FINDING_OK : TA_FINDING_NOTE, "loopback", "%s", loopback ? "up" : "down");
    if (!loopback) ta_doctor_cure(list, "ip link set lo up");
    if (others > 0) return;
    ta_doctor_say(list, d->nodes > 1 ? TA_FINDING_WRONG : TA_FINDING_MISSING, "interfaces",
                  "none but loopback has an address: other machines are out of reach");
    ta_doctor_cure(list, "ip addr add ADDRESS/24 dev eth0 && ip link set eth0 up");
}

/* Runs `munge` over nothing; its exit status, or -1: it cannot be run, or did not end in time. */
static int ask_munge(char *program) {
    char *const arguments[] = {program, "--no-input", "--output=/dev/null", NULL};
    char *const nothing[] = {NULL};
    pid_t child;
    int state = 0;
    if (posix_spawn(&child, program, NULL, NULL, arguments, nothing) != 0) return -1;
    pid_t ended = 0;
    for (int64_t until_ns = ta_clock_now_ns() + PATIENCE_NS; ended == 0 && ta_clock_now_ns() < until_ns;) {
        ended = waitpid(child, &state, WNOHANG);
        if (ended == 0) usleep(2000);
    }
    if (ended == child) return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
    (void)kill(child, SIGKILL);
    (void)waitpid(child, &state, 0);
    return -1;
}

static void munge(struct ta_findings *list) {
    static const char *const sockets[] = {"/run/munge/munge.socket.2", "/var/run/munge/munge.socket.2"};
    struct stat info;
    char program[512];
    const char *socket = NULL;
    for (size_t i = 0; i < 2 && socket == NULL; i++)
        if (stat(sockets[i], &info) == 0 && S_ISSOCK(info.st_mode)) socket = sockets[i];
    if (socket == NULL) {
        ta_doctor_say(list, TA_FINDING_MISSING, "munge", "not running: the secret of the run directory vouches alone");
        ta_doctor_cure(
            list,
            "where one user's machines are to prove it too: apt-get install munge, the same /etc/munge/munge.key on "
            "all of them, systemctl start munge");
        return;
    }
    if (!ta_doctor_which("munge", program, sizeof program)) {
        ta_doctor_say(list, TA_FINDING_NOTE, "munge", "%s is there; no program munge to try it with", socket);
        return;
    }
    int code = ask_munge(program);
    ta_doctor_say(list, code == 0 ? TA_FINDING_OK : TA_FINDING_NOTE, "munge",
                  code == 0 ? "%s is there, and encodes" : "%s is there, but no credential can be had", socket);
    if (code != 0) ta_doctor_cure(list, "munge -n says why; systemctl restart munge");
}

void ta_doctor_network(const struct ta_doctor *d, struct ta_findings *list) {
    name_of_host(list);
    interfaces(d, list);
    munge(list);
}
