/* data: `tensair data make | import | info`: streams as files. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "data_verbs.h"

static const char help[] =
    "usage: tensair data make GENERATOR --records N -o OUT.h5     a synthetic stream\n"
    "       tensair data import KIND FILE... -o OUT.h5            idx, cifar10, csv, images, text, pairs\n"
    "       tensair data info FILE.h5                             what a stream file holds\n"
    "\n"
    "A stream file is HDF5: /x, /y and perhaps /t, the first dimension counts records. Each verb has its own --help.\n";

ta_status ta_data_number(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *value) {
    char *end = NULL;
    errno = 0;
    if (isdigit((unsigned char)*text)) *value = strtoull(text, &end, 10);
    if (end == NULL || *end != '\0' || errno != 0 || *value < least || *value > most)
        return ta_fail(TA_USAGE, "--%s: '%s' is not a whole number from %" PRIu64 " to %" PRIu64, option, text, least,
                       most);
    return TA_OK;
}

ta_status ta_data_bad_option(const char *verb, char **argv) {
    return ta_fail(TA_USAGE, "option '%s' is unknown, or its value is missing; see tensair data %s --help",
                   optind > 0 ? argv[optind - 1] : "", verb);
}

static ta_status run(int argc, char **argv) {
    static const struct {
        const char *name;
        ta_status (*run)(int argc, char **argv);
    } verbs[] = {{"make", ta_data_make}, {"import", ta_data_import}, {"info", ta_data_info}};
    if (argc < 2) return ta_fail(TA_USAGE, "say what to do: make, import or info (see tensair data --help)");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(help, stdout);
        return TA_OK;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(argv[1], verbs[i].name) == 0) return verbs[i].run(argc - 1, argv + 1);
    return ta_fail(TA_USAGE, "there is no 'data %s'; there are make, import and info", argv[1]);
}

const struct ta_verb ta_verb_data = {
    "data", "make a synthetic stream; import CIFAR-10, IDX, CSV, images, text, pairs; look at a stream", run};
