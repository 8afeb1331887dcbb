/* test_rdma_owner PORT: the owner of windows for suites that run on another machine (pair.h).
 * test_rdma_owner quit HOST:PORT: ends one. */
#include <stdio.h>
#include <string.h>

#include "pair.h"

int main(int argc, char **argv) {
    if (argc == 2) return pair_serve_port(argv[1]);
    if (argc == 3 && strcmp(argv[1], "quit") == 0) return pair_quit_owner(argv[2]);
    fprintf(stderr, "usage: test_rdma_owner PORT | quit HOST:PORT\n");
    return 2;
}
