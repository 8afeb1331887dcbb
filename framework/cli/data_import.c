/* data_import: `tensair data import`: other people's files into a stream file. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data_verbs.h"
#include "import.h"

static const char help[] =
    "usage: tensair data import idx IMAGES LABELS -o OUT.h5           MNIST and its kin\n"
    "       tensair data import cifar10 BATCH... -o OUT.h5            CIFAR-10, binary version\n"
    "       tensair data import csv FILE --schema SCHEMA.yaml [--labels FILE] -o OUT.h5\n"
    "       tensair data import images FOLDER -o OUT.h5               JPEG and PNG, one folder a class\n"
    "       tensair data import text FILE -o OUT.h5                   words between white space, UTF-8\n"
    "       tensair data import pairs FILE -o OUT.h5                  rows of word numbers: target, contexts, labels\n"
    "\n"
    "Files may be gzip-compressed. OUT.h5 appears when all of it is written, or not at all.\n"
    "\n"
    "  -o, --output FILE      where to\n"
    "  --force                replace FILE if it exists\n"
    "  --gzip LEVEL           compress, 1 to 9 (default: not at all, which is the fastest to read)\n"
    "\n"
    "csv:\n"
    "  --schema FILE          what the columns mean: see experiments/schemas/ and framework/stream/import_schema.h\n"
    "  --labels FILE          the labels, row by row, when they lie in a file of their own\n"
    "images:\n"
    "  --split NAME           take the folder NAME below FOLDER (train, test, ...)\n"
    "  --resize WxH           scale all pictures to one size\n"
    "  --gray                 one channel instead of three\n"
    "  --shuffle SEED         order of the records (default 1: a stream sorted by class cannot be learned)\n"
    "  --as-found             do not shuffle: by class, then name\n"
    "  --skip-unreadable      leave damaged pictures out instead of stopping at the first\n"
    "text:\n"
    "  --min-count N          words that occur less often are dropped (default 5)\n"
    "  --vocabulary-size N    keep the N most frequent words (default: all)\n"
    "  --sentence N           cut after so many words (default 1000)\n"
    "  --online               keep the text itself, for a vocabulary that is found while it is read\n"
    "pairs:\n"
    "  --vocabulary N         how many words there are (default: the largest number + 1)\n";

enum kind { IDX = 1, CIFAR10 = 2, CSV = 4, IMAGES = 8, TEXT = 16, PAIRS = 32, ANY = 63 };

static const struct {
    const char *name;
    enum kind kind;
    int least, most; /* files */
} kinds[] = {{"idx", IDX, 2, 2},
             {"cifar10", CIFAR10, 1, 1 << 20},
             {"csv", CSV, 1, 1},
             {"images", IMAGES, 1, 1},
             {"text", TEXT, 1, 1},
             {"pairs", PAIRS, 1, 1}};

struct options {
    enum kind kind;
    struct ta_import_options to;
    struct ta_import_csv csv;
    struct ta_import_images images;
    struct ta_import_text text;
    struct ta_import_pairs pairs;
    char **files;
    size_t count;
};

/* Each option's letter, and the kinds that have it. */
static const struct option known[] = {{"output", required_argument, NULL, 'o'},
                                      {"force", no_argument, NULL, 'f'},
                                      {"gzip", required_argument, NULL, 'z'},
                                      {"help", no_argument, NULL, 'h'},
                                      {"schema", required_argument, NULL, 'S'},
                                      {"labels", required_argument, NULL, 'L'},
                                      {"split", required_argument, NULL, 'p'},
                                      {"resize", required_argument, NULL, 'r'},
                                      {"gray", no_argument, NULL, 'g'},
                                      {"shuffle", required_argument, NULL, 's'},
                                      {"as-found", no_argument, NULL, 'a'},
                                      {"skip-unreadable", no_argument, NULL, 'u'},
                                      {"min-count", required_argument, NULL, 'm'},
                                      {"vocabulary-size", required_argument, NULL, 'v'},
                                      {"sentence", required_argument, NULL, 'w'},
                                      {"online", no_argument, NULL, 'O'},
                                      {"vocabulary", required_argument, NULL, 'V'},
                                      {NULL, 0, NULL, 0}};

static enum kind kinds_of(int letter) {
    if (strchr("SL", letter) != NULL) return CSV;
    if (strchr("prgsau", letter) != NULL) return IMAGES;
    if (strchr("mvwO", letter) != NULL) return TEXT;
    if (letter == 'V') return PAIRS;
    return ANY;
}

static ta_status parse_resize(const char *text, struct ta_import_images *images) {
    unsigned width, height;
    char rest;
    if (sscanf(text, "%5ux%5u%c", &width, &height, &rest) != 2 || width == 0 || height == 0 ||
        width > TA_IMPORT_SIDE_MOST || height > TA_IMPORT_SIDE_MOST)
        return ta_fail(TA_USAGE, "--resize: '%s' is not WxH with 1 to %d pixels each", text, TA_IMPORT_SIDE_MOST);
    images->width = width;
    images->height = height;
    return TA_OK;
}

static ta_status parse_count(const char *option, uint32_t *out) {
    uint64_t value = 0;
    uint64_t most = strcmp(option, "sentence") == 0     ? 1 << 20
                    : strcmp(option, "vocabulary") == 0 ? (uint64_t)INT32_MAX + 1
                                                        : UINT32_MAX;
    ta_status status = ta_data_number(option, optarg, 1, most, &value);
    *out = (uint32_t)value;
    return status;
}

static ta_status take(int letter, struct options *o) {
    uint64_t value = 0;
    ta_status status = TA_OK;
    switch (letter) {
    case 'o': o->to.out = optarg; break;
    case 'f': o->to.force = true; break;
    case 'z':
        status = ta_data_number("gzip", optarg, 1, 9, &value);
        o->to.gzip = (int)value;
        break;
    case 'S': o->csv.schema = optarg; break;
    case 'L': o->csv.labels = optarg; break;
    case 'p': o->images.split = optarg; break;
    case 'r': return parse_resize(optarg, &o->images);
    case 'g': o->images.gray = true; break;
    case 's': return ta_data_number("shuffle", optarg, 0, UINT64_MAX, &o->images.seed);
    case 'a': o->images.as_found = true; break;
    case 'u': o->images.skip_unreadable = true; break;
    case 'm': return parse_count("min-count", &o->text.min_count);
    case 'v': return parse_count("vocabulary-size", &o->text.vocabulary_size);
    case 'O': o->text.online = true; break;
    case 'V': return parse_count("vocabulary", &o->pairs.vocabulary);
    default: return parse_count("sentence", &o->text.sentence);
    }
    return status;
}

static ta_status find_kind(const char *name, size_t *index) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            *index = i;
            return TA_OK;
        }
    }
    return ta_fail(TA_USAGE, "cannot import '%s'; there are idx, cifar10, csv, images, text and pairs", name);
}

static ta_status parse(int argc, char **argv, struct options *o, int *helped) {
    size_t index = 0;
    ta_status status = TA_OK;
    *helped = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if (*helped) return TA_OK;
    if (argc < 2) return ta_fail(TA_USAGE, "say what to import: idx, cifar10, csv, images, text or pairs (see --help)");
    status = find_kind(argv[1], &index);
    if (status != TA_OK) return status;
    o->kind = kinds[index].kind;
    opterr = 0;
    optind = 0; /* glibc: start afresh */
    int at = 0;
    for (int letter; status == TA_OK && (letter = getopt_long(argc - 1, argv + 1, "o:h", known, &at)) != -1;) {
        if (letter == '?') return ta_data_bad_option("import", argv + 1);
        if (letter == 'h') {
            *helped = 1;
            return TA_OK;
        }
        if ((kinds_of(letter) & o->kind) == 0)
            return ta_fail(TA_USAGE, "--%s is not for 'import %s'; see tensair data import --help", known[at].name,
                           argv[1]);
        status = take(letter, o);
    }
    if (status != TA_OK) return status;
    o->files = argv + 1 + optind;
    o->count = (size_t)(argc - 1 - optind);
    if (o->count < (size_t)kinds[index].least || o->count > (size_t)kinds[index].most)
        return ta_fail(TA_USAGE, "import %s takes %d file%s, but %zu %s given", argv[1], kinds[index].least,
                       kinds[index].least == 1 ? "" : "s", o->count, o->count == 1 ? "is" : "are");
    if (o->to.out == NULL) return ta_fail(TA_USAGE, "say where to with -o OUT.h5");
    if (o->kind == CSV && o->csv.schema == NULL)
        return ta_fail(TA_USAGE,
                       "say what the columns mean with --schema SCHEMA.yaml (examples: experiments/schemas/)");
    return TA_OK;
}

static ta_status import(struct options *o, struct ta_import_report *report) {
    switch (o->kind) {
    case IDX: return ta_import_idx(o->files[0], o->files[1], &o->to, report);
    case CIFAR10: return ta_import_cifar10((const char *const *)o->files, o->count, &o->to, report);
    case CSV: o->csv.data = o->files[0]; return ta_import_csv(&o->csv, &o->to, report);
    case IMAGES: o->images.folder = o->files[0]; return ta_import_images(&o->images, &o->to, report);
    case PAIRS: o->pairs.file = o->files[0]; return ta_import_pairs(&o->pairs, &o->to, report);
    default: o->text.file = o->files[0]; return ta_import_text(&o->text, &o->to, report);
    }
}

ta_status ta_data_import(int argc, char **argv) {
    struct options o = {.images = {.seed = 1}};
    int helped = 0;
    ta_status status = parse(argc, argv, &o, &helped);
    if (helped) fputs(help, stdout);
    if (status != TA_OK || helped) return status;
    struct ta_import_report report;
    status = import(&o, &report);
    if (status == TA_OK)
        printf("%s: %" PRIu64 " records%s%s\n", o.to.out, report.records, report.note[0] == '\0' ? "" : "; ",
               report.note);
    return status;
}
