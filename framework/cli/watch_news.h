/* watch_news: the metrics of a run, line by line, as they are written (metrics.h): one file a node, by any number of
 * processes, perhaps on other machines.
 *
 * A line counts once its newline is there. Files may appear at any time; one that has become shorter was replaced and
 * is read anew. What is not a JSON object (the torn end of a killed life) is counted and left out. One thread.
 */
#ifndef TA_WATCH_NEWS_H
#define TA_WATCH_NEWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "status.h"

enum { TA_NEWS_MOST_FILES = 1024 };

/* Where to begin in files that are there already. Those that appear later are read from their beginning. */
enum ta_news_from { TA_NEWS_FROM_START, TA_NEWS_FROM_RECENT /* the last MiB */, TA_NEWS_FROM_END };

struct ta_news_file {
    char name[64];
    int fd;
    off_t at;     /* read so far */
    char *rest;   /* a line that has no end yet; [room] */
    size_t used, room;
    bool skip;    /* up to the next newline: we began in the middle of a line */
};

struct ta_news {
    const char *run_dir; /* borrowed */
    enum ta_news_from from;
    bool looked;         /* files that appear from now on are new */
    struct ta_news_file *file;
    unsigned n_files;
    uint64_t lines, torn;
};

/* Called for every line. What it returns but OK ends the reading. */
typedef ta_status (*ta_news_fn)(void *context, const json_t *line);

void ta_news_open(struct ta_news *n, const char *run_dir, enum ta_news_from from);
void ta_news_close(struct ta_news *n); /* zeroed: fine */

/* All that is there now. *found: complete lines. Errors: IO (the folder or a file cannot be read), NO_MEMORY, FORMAT (a
 * line beyond 16 MiB: no metrics), and what `take` returned. */
ta_status ta_news_read(struct ta_news *n, ta_news_fn take, void *context, unsigned *found);

#endif
