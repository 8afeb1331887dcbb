/* Fills a log of predictions at a rate, for a reader that follows it; then waits to be told to end.
 *
 *     predictions_driver FILE ROWS BATCH class|value
 *
 * Row i: record 10 + i, due 1000 i, answered 1000 i + batch, version i / batch; class i mod 7 of 7 outputs with
 * confidence i mod 7 / 8 + .1, label i mod 5 (or -1 when i mod 11 is 0); values i + k/4 for output k, label -i.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "predictions.h"

enum { CLASSES = 7, VALUES = 3, MOST = 1000 };

static float predictions[MOST * CLASSES], targets[MOST];
static int32_t labels[MOST];
static int64_t due[MOST];

static void make(uint64_t first, uint32_t n, bool classes) {
    for (uint32_t i = 0; i < n; i++) {
        uint64_t row = first + i;
        due[i] = (int64_t)(1000 * row);
        labels[i] = row % 11 == 0 ? -1 : (int32_t)(row % 5);
        targets[i] = -(float)row;
        for (uint32_t k = 0; k < CLASSES && classes; k++)
            predictions[i * CLASSES + k] = k == row % CLASSES ? (float)k / 8 + .1f : 0;
        for (uint32_t k = 0; k < VALUES && !classes; k++) predictions[i * VALUES + k] = (float)row + (float)k / 4;
    }
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    uint64_t rows = strtoull(argv[2], NULL, 10);
    uint32_t batch = (uint32_t)atoi(argv[3]);
    bool classes = strcmp(argv[4], "class") == 0;
    struct ta_predictions *p;
    struct ta_predictions_config config = {.path = argv[1], .rank = 3, .life = 2,
                                           .kind = {.classes = classes, .outputs = classes ? CLASSES : VALUES,
                                                    .targets = classes ? 0 : 1}};
    if (ta_predictions_open(&config, &p) != TA_OK) return fprintf(stderr, "%s\n", ta_why()), 1;
    printf("open\n");
    fflush(stdout);
    for (uint64_t at = 0; at < rows; at += batch) {
        uint32_t n = rows - at < batch ? (uint32_t)(rows - at) : batch;
        make(at, n, classes);
        struct ta_predictions_rows block = {.first_record = 10 + at, .due_ns = due, .answered_ns = due[0] + batch,
                                            .version = at / batch, .predictions = predictions,
                                            .classes = classes ? labels : NULL, .targets = classes ? NULL : targets};
        ta_status status;
        while ((status = ta_predictions_add(p, n, &block)) == TA_BUSY) usleep(1000);
        if (status != TA_OK) return fprintf(stderr, "%s\n", ta_why()), 1;
        usleep(2000);
    }
    while (ta_predictions_written(p) < rows) usleep(10000);
    printf("written\n");
    fflush(stdout);
    (void)getchar();
    return ta_predictions_close(p) == TA_OK ? 0 : 1;
}
