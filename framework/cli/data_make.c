/* data_make: `tensair data make`: a generator's records into a stream file. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data_verbs.h"
#include "mem.h"
#include "synthetic.h"
#include "writer.h"

enum { BLOCK_BYTES = 1 << 20 };

static const char help_head[] = "usage: tensair data make GENERATOR --records N -o OUT.h5 [options]\n"
                                "\n"
                                "Writes a synthetic stream. GENERATOR is NAME or NAME:option=value,...:\n\n";
static const char help_tail[] =
    "\n"
    "  --records N         how many\n"
    "  --seed S            the same seed gives the same bytes (default 1)\n"
    "  --drift LIST        abrupt@RECORD:CONCEPT or gradual@RECORD+WIDTH:CONCEPT, separated by commas\n"
    "  -o, --output FILE   where to\n"
    "  --force             replace FILE if it exists\n"
    "  --gzip LEVEL        compress, 1 to 9 (default: not at all, which is the fastest to read)\n"
    "\n"
    "Concepts are numbered from 1, where every stream begins. Options, with defaults:\n"
    "  sea (4 concepts)          noise=0.1\n"
    "  stagger (3)               noise=0\n"
    "  agrawal (10)              noise=0, perturbation=0, raw=0 (1: not scaled to 0..1)\n"
    "  hyperplane (10)           noise=0.05, attributes=10, drifting=2, speed=0.0001\n"
    "  rbf (10)                  noise=0, attributes=10, centroids=50, classes=2, speed=0.0001\n"
    "  glyphs (4)                noise=0\n"
    "\n"
    "  tensair data make sea --records 50000 --drift abrupt@12500:2,abrupt@25000:3 -o sea.h5\n"
    "  tensair data make rbf:classes=5,speed=0.001 --records 100000 -o rbf.h5\n";

struct options {
    struct ta_stream_spec spec;
    struct ta_stream_writer_config writer;
};

static void print_help(void) {
    fputs(help_head, stdout);
    for (unsigned i = 0; ta_synthetic_name(i) != NULL; i++)
        printf("  %-12s %s\n", ta_synthetic_name(i), ta_synthetic_summary(i));
    fputs(help_tail, stdout);
}

static ta_status parse(int argc, char **argv, struct options *o, int *helped) {
    static const struct option known[] = {
        {"records", required_argument, NULL, 'n'}, {"seed", required_argument, NULL, 's'},
        {"drift", required_argument, NULL, 'd'},   {"output", required_argument, NULL, 'o'},
        {"force", no_argument, NULL, 'f'},         {"gzip", required_argument, NULL, 'z'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    ta_status status = TA_OK;
    uint64_t level = 0;
    opterr = 0;
    optind = 0; /* glibc: start afresh */
    for (int letter; status == TA_OK && (letter = getopt_long(argc, argv, "o:h", known, NULL)) != -1;) {
        switch (letter) {
        case 'n': status = ta_data_number("records", optarg, 1, INT64_MAX, &o->spec.records); break;
        case 's': status = ta_data_number("seed", optarg, 0, UINT64_MAX, &o->spec.seed); break;
        case 'd': o->spec.drift = optarg; break;
        case 'o': o->writer.path = optarg; break;
        case 'f': o->writer.force = true; break;
        case 'z': status = ta_data_number("gzip", optarg, 1, 9, &level); break;
        case 'h': *helped = 1; return TA_OK;
        default: return ta_data_bad_option("make", argv);
        }
    }
    if (status != TA_OK) return status;
    o->writer.gzip = (int)level;
    if (optind + 1 != argc) return ta_fail(TA_USAGE, "name one generator; see tensair data make --help");
    o->spec.generator = argv[optind];
    if (o->spec.records == 0) return ta_fail(TA_USAGE, "say how many records with --records N");
    if (o->writer.path == NULL) return ta_fail(TA_USAGE, "say where to with -o OUT.h5");
    return TA_OK;
}

static ta_status copy(struct ta_stream *s, struct ta_stream_writer *w) {
    size_t x_bytes = ta_stream_x_bytes(&s->info), rows = x_bytes >= BLOCK_BYTES ? 1 : BLOCK_BYTES / x_bytes;
    struct ta_stream_block block = {0};
    ta_status status = ta_mem_alloc(rows, x_bytes, "records to write", &block.x);
    if (status == TA_OK) status = TA_NEW(&block.class, rows, "labels to write");
    for (uint64_t first = 0; status == TA_OK && first < s->info.records;) {
        uint64_t left = s->info.records - first;
        size_t count = left < rows ? (size_t)left : rows;
        status = s->ops->read(s, first, count, &block);
        if (status == TA_OK) status = ta_stream_writer_append(w, count, &block);
        first += count;
    }
    ta_mem_free(block.class);
    ta_mem_free(block.x);
    return status;
}

ta_status ta_data_make(int argc, char **argv) {
    struct options o = {.spec = {.seed = 1}};
    int helped = 0;
    ta_status status = parse(argc, argv, &o, &helped);
    if (helped) print_help();
    if (status != TA_OK || helped) return status;
    struct ta_stream *stream = NULL;
    struct ta_stream_writer *writer = NULL;
    status = ta_synthetic_open(&o.spec, &stream);
    if (status != TA_OK) return status;
    o.writer.info = &stream->info;
    o.writer.expected_records = stream->info.records;
    status = ta_stream_writer_open(&o.writer, &writer);
    if (status == TA_OK) status = copy(stream, writer);
    if (status == TA_OK) status = ta_stream_writer_commit(writer);
    if (status == TA_OK)
        printf("%s: %" PRIu64 " records, %u x %u x %u, %u classes: %s\n", o.writer.path, stream->info.records,
               stream->info.h, stream->info.w, stream->info.c, stream->info.classes, stream->info.origin);
    ta_stream_writer_close(writer);
    ta_stream_close(stream);
    return status;
}
