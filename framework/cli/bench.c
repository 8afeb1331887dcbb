/* bench: `tensair bench WHAT`: hands over to the measurement of that name. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#include "cli.h"

static const char help[] =
    "usage: tensair bench window|kernels|words|sustain [options]\n"
    "\n"
    "  window     bandwidth, rate and latency of puts by size, beside memcpy\n"
    "  kernels    time of each layer and of a whole step\n"
    "  words      words a second of the skip-gram kernels, beside word2vec's loop\n"
    "  sustain    highest rate of a configuration at which the lag does not grow, and its latencies\n"
    "\n"
    "`tensair bench WHAT --help` says more. Lines that begin with FIGURE are for experiments/figures.sh.\n";

static ta_status bench(int argc, char **argv) {
    if (argc >= 2 && strcmp(argv[1], "window") == 0) return ta_bench_window(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "kernels") == 0) return ta_bench_kernels(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "words") == 0) return ta_bench_words(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "sustain") == 0) return ta_bench_sustain(argc - 1, argv + 1);
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(help, stdout);
        return TA_OK;
    }
    if (argc >= 2)
        return ta_fail(TA_USAGE, "'%s' is not known: it is `tensair bench window`, `kernels`, `words` or `sustain`",
                       argv[1]);
    return ta_fail(TA_USAGE, "what? `tensair bench window`, `kernels`, `words` or `sustain`");
}

const struct ta_verb ta_verb_bench = {
    .name = "bench", .summary = "measure puts beside memcpy, layers and steps, sustainable rates", .run = bench};
