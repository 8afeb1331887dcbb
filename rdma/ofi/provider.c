/* provider: fi_getinfo, asked three times, and a table of which provider is better than which. */
#include "provider.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>

/* Best first. What is not listed is taken only when it is asked for: shm, udp and sockets work, but not between nodes,
 * not well, or not any more. */
static const char *const preferred[] = {"verbs;ofi_rxm", "efa", "cxi", "psm3", "opx", "tcp;ofi_rxm"};
enum { N_HARDWARE = 5 }; /* the first of them */
enum { N_PREFERRED = sizeof preferred / sizeof preferred[0], UNLISTED = N_PREFERRED, LOOPBACK_COSTS = 100 };

/* What is asked for, best first. */
static const struct question {
    bool in_order, says_delivered;
} questions[] = {{true, true}, {true, false}, {false, true}};
enum { N_QUESTIONS = sizeof questions / sizeof questions[0] };

/* ofi_rxm keeps 64 MiB of buffers for messages, of which puts send none. Only the environment can say so, and only
 * before it is asked for the first time; who has set it is left alone. */
static void ask_for_less(void) { setenv("FI_OFI_RXM_MSG_RX_SIZE", "64", 0); }

static const char *given(const char *text) { return text != NULL && text[0] != '\0' ? text : NULL; }

static ta_status ask(const struct ta_transport_spec *spec, const struct question *question, struct fi_info **out) {
    const char *provider = spec != NULL ? given(spec->provider) : NULL;
    *out = NULL;
    ask_for_less();
    if (!ta_ofi_library_is_there())
        return ta_fail(TA_DEVICE, "transport ofi: libfabric.so.1 cannot be loaded: apt-get install libfabric1");
    struct fi_info *hints = fi_allocinfo();
    if (hints == NULL) return ta_fail(TA_NO_MEMORY, "libfabric: no memory to ask for providers");
    hints->ep_attr->type = FI_EP_RDM;
    hints->caps = FI_RMA | FI_WRITE | FI_REMOTE_WRITE;
    hints->mode = FI_CONTEXT | FI_CONTEXT2;
    hints->domain_attr->mr_mode =
        FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY | FI_MR_ENDPOINT;
    hints->domain_attr->resource_mgmt = FI_RM_ENABLED;
    if (question->in_order) hints->tx_attr->msg_order = hints->rx_attr->msg_order = FI_ORDER_WAW;
    if (question->says_delivered) hints->tx_attr->op_flags = FI_DELIVERY_COMPLETE;
    if (provider != NULL) hints->fabric_attr->prov_name = strdup(provider);
    ta_status status = TA_OK;
    if (provider != NULL && hints->fabric_attr->prov_name == NULL)
        status = ta_fail(TA_NO_MEMORY, "libfabric: no memory to ask for providers");
    else if (fi_getinfo(FI_VERSION(1, 17), NULL, NULL, 0, hints, out) != 0)
        *out = NULL; /* nothing of the kind */
    fi_freeinfo(hints);
    return status;
}

/* Where an address leads to no other machine: the loopback device, or a link whose name is missing. */
static bool stays_here(const struct fi_info *info) {
    const struct sockaddr *address = info->src_addr;
    if (address == NULL || (info->addr_format != FI_SOCKADDR && info->addr_format != FI_SOCKADDR_IN &&
                            info->addr_format != FI_SOCKADDR_IN6))
        return false;
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    return address->sa_family == AF_INET6 && (IN6_IS_ADDR_LOOPBACK(six) || IN6_IS_ADDR_LINKLOCAL(six));
}

/* Layered providers take no notice of a domain's name that they are asked for, so it is looked at here. */
static bool is_device(const struct fi_info *info, const struct ta_transport_spec *spec) {
    const char *device = spec != NULL ? given(spec->device) : NULL;
    const struct fid_nic *nic = info->nic;
    if (device == NULL || strcmp(info->domain_attr->name, device) == 0) return true;
    return nic != NULL && nic->device_attr != NULL && nic->device_attr->name != NULL &&
           strcmp(nic->device_attr->name, device) == 0;
}

static int rank_of(const struct fi_info *info) {
    int rank = 0;
    while (rank < N_PREFERRED && strcmp(preferred[rank], info->fabric_attr->prov_name) != 0) rank++;
    return rank;
}

/* Less is better; -1: does not fit. */
static int price(const struct fi_info *info, const struct ta_transport_spec *spec, const struct question *question,
                 bool asked_for) {
    const int rank = rank_of(info);
    if (!is_device(info, spec)) return -1;
    if (rank == UNLISTED && !asked_for) return -1;
    if (question->in_order &&
        (!(info->tx_attr->msg_order & FI_ORDER_WAW) || info->ep_attr->max_order_waw_size < info->ep_attr->max_msg_size))
        return -1;
    return rank + (stays_here(info) ? LOOPBACK_COSTS : 0);
}

/* The names of all providers that answer to no conditions but remote writes, for a message. */
static void name_all(char *out, size_t bytes) {
    struct fi_info *all = NULL;
    snprintf(out, bytes, "none");
    if (ask(NULL, &(struct question){false, false}, &all) != TA_OK) return;
    size_t at = 0;
    for (struct fi_info *i = all; i != NULL && at < bytes; i = i->next) {
        const char *name = i->fabric_attr->prov_name;
        if (strstr(at > 0 ? out : "", name) == NULL)
            at += (size_t)snprintf(out + at, bytes - at, "%s%s", at > 0 ? ", " : "", name);
    }
    fi_freeinfo(all);
}

static ta_status none_fits(const struct ta_transport_spec *spec) {
    char names[256];
    name_all(names, sizeof names);
    const char *provider = spec != NULL ? given(spec->provider) : NULL;
    const char *device = spec != NULL ? given(spec->device) : NULL;
    return ta_fail(TA_DEVICE,
                   "libfabric has no provider%s%s%s%s with ordered or confirmed remote writes (FI_PROVIDER is %s); "
                   "there are: %s; set transport.provider (tcp;ofi_rxm works on any network)",
                   provider != NULL ? " " : "", provider != NULL ? provider : "", device != NULL ? " on domain " : "",
                   device != NULL ? device : "", getenv("FI_PROVIDER") != NULL ? getenv("FI_PROVIDER") : "not set",
                   names);
}

ta_status ta_ofi_choose(const struct ta_transport_spec *spec, struct ta_ofi_choice *out) {
    const bool asked_for = (spec != NULL && given(spec->provider) != NULL) || given(getenv("FI_PROVIDER")) != NULL;
    int best = INT32_MAX;
    *out = (struct ta_ofi_choice){.info = NULL};
    for (int q = 0; q < N_QUESTIONS; q++) {
        struct fi_info *list, *chosen = NULL;
        ta_status status = ask(spec, &questions[q], &list);
        for (struct fi_info *i = list; i != NULL && status == TA_OK; i = i->next) {
            int now = price(i, spec, &questions[q], asked_for);
            if (now < 0 || now >= best) continue; /* of equal ones the first: libfabric puts the fastest there */
            best = now;
            chosen = i;
        }
        if (chosen != NULL) {
            fi_freeinfo(out->info);
            *out = (struct ta_ofi_choice){.info = fi_dupinfo(chosen),
                                          .in_order = questions[q].in_order,
                                          .says_delivered = questions[q].says_delivered,
                                          .is_software = rank_of(chosen) >= N_HARDWARE,
                                          .is_loopback = stays_here(chosen)};
            if (out->info == NULL) status = ta_fail(TA_NO_MEMORY, "libfabric: no memory for a provider's description");
        }
        fi_freeinfo(list);
        if (status != TA_OK) {
            fi_freeinfo(out->info);
            out->info = NULL;
            return status;
        }
    }
    return out->info != NULL ? TA_OK : none_fits(spec);
}

void ta_ofi_choice_say(const struct ta_ofi_choice *choice, char *out, size_t bytes) {
    const struct fi_info *info = choice->info;
    snprintf(out, bytes, "provider %s, domain %s%s; %s%s%s", info->fabric_attr->prov_name, info->domain_attr->name,
             choice->is_loopback ? " (this machine alone)" : "",
             choice->in_order ? "writes in order" : "each segment waits for the one before",
             choice->says_delivered ? ", delivery confirmed" : "",
             info->domain_attr->data_progress == FI_PROGRESS_AUTO ? "" : ", a helper thread drives it");
}
