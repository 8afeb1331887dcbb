/* watch_news: finds the files, reads what was added, cuts it into lines. */
#include "watch_news.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

enum { PIECE_BYTES = 65536, RECENT_BYTES = 1 << 20, MOST_LINE_BYTES = 1 << 24, PATH_BYTES = 4096 };

struct reader {
    ta_news_fn take;
    void *context;
    unsigned found;
};

void ta_news_open(struct ta_news *n, const char *run_dir, enum ta_news_from from) {
    *n = (struct ta_news){.run_dir = run_dir, .from = from};
}

void ta_news_close(struct ta_news *n) {
    for (unsigned i = 0; i < n->n_files; i++) {
        close(n->file[i].fd);
        ta_mem_free(n->file[i].rest);
    }
    ta_mem_free(n->file);
    *n = (struct ta_news){0};
}

static bool is_metrics(const char *name) {
    size_t length = strlen(name);
    return strncmp(name, "metrics", 7) == 0 && length >= 13 && strcmp(name + length - 6, ".jsonl") == 0 &&
           length < sizeof((struct ta_news_file *)0)->name;
}

static ta_status add(struct ta_news *n, const char *name) {
    char path[PATH_BYTES];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", n->run_dir, name) >= sizeof path)
        return ta_fail(TA_IO, "%s: the path is too long", n->run_dir);
    ta_status status = ta_mem_resize((void **)&n->file, (n->n_files + 1) * sizeof *n->file, "files of metrics");
    if (status != TA_OK) return status;
    struct ta_news_file *f = &n->file[n->n_files];
    *f = (struct ta_news_file){.fd = open(path, O_RDONLY | O_CLOEXEC)};
    struct stat now;
    if (f->fd < 0 || fstat(f->fd, &now) != 0) {
        if (f->fd >= 0) close(f->fd);
        return ta_fail_errno(TA_IO, "%s: cannot read", path);
    }
    strcpy(f->name, name);
    bool recent = n->from == TA_NEWS_FROM_RECENT && now.st_size > RECENT_BYTES;
    if (!n->looked && n->from == TA_NEWS_FROM_END) f->at = now.st_size;
    if (!n->looked && recent) f->at = now.st_size - RECENT_BYTES;
    f->skip = f->at > 0;
    if (f->at > 0 && f->at == now.st_size) { /* at an end that is a line's end nothing is to be skipped */
        char last = 0;
        if (pread(f->fd, &last, 1, f->at - 1) == 1) f->skip = last != '\n';
    }
    n->n_files++;
    return TA_OK;
}

static ta_status look_for_files(struct ta_news *n) {
    DIR *folder = opendir(n->run_dir);
    if (folder == NULL) return ta_fail_errno(TA_IO, "%s: no such run directory", n->run_dir);
    ta_status status = TA_OK;
    for (struct dirent *entry; status == TA_OK && (entry = readdir(folder)) != NULL;) {
        bool known = !is_metrics(entry->d_name) || n->n_files == TA_NEWS_MOST_FILES;
        for (unsigned i = 0; !known && i < n->n_files; i++) known = strcmp(n->file[i].name, entry->d_name) == 0;
        if (!known) status = add(n, entry->d_name);
    }
    closedir(folder);
    n->looked = true;
    return status;
}

static ta_status keep(struct ta_news_file *f, const char *bytes, size_t count) {
    if (f->used + count > MOST_LINE_BYTES)
        return ta_fail(TA_FORMAT, "%s: a line of more than %d bytes is none of metrics", f->name, MOST_LINE_BYTES);
    if (f->used + count > f->room) {
        size_t room = 2 * (f->used + count);
        ta_status status = ta_mem_resize((void **)&f->rest, room, "a line of metrics");
        if (status != TA_OK) return status;
        f->room = room;
    }
    memcpy(f->rest + f->used, bytes, count);
    f->used += count;
    return TA_OK;
}

static ta_status end_line(struct ta_news *n, struct ta_news_file *f, struct reader *r) {
    size_t length = f->used;
    f->used = 0;
    if (f->skip) {
        f->skip = false;
        return TA_OK;
    }
    json_t *line = json_loadb(f->rest, length, 0, NULL);
    n->lines++;
    if (!json_is_object(line)) {
        json_decref(line);
        n->torn++;
        return TA_OK;
    }
    r->found++;
    ta_status status = r->take(r->context, line);
    json_decref(line);
    return status;
}

static ta_status cut(struct ta_news *n, struct ta_news_file *f, const char *bytes, size_t count, struct reader *r) {
    ta_status status = TA_OK;
    while (status == TA_OK && count > 0) {
        const char *newline = memchr(bytes, '\n', count);
        size_t part = newline != NULL ? (size_t)(newline - bytes) : count;
        status = keep(f, bytes, part);
        if (status == TA_OK && newline != NULL) status = end_line(n, f, r);
        part += newline != NULL;
        bytes += part;
        count -= part;
    }
    return status;
}

static ta_status read_on(struct ta_news *n, struct ta_news_file *f, struct reader *r) {
    char piece[PIECE_BYTES];
    struct stat now;
    if (fstat(f->fd, &now) == 0 && now.st_size < f->at) {
        f->at = 0;
        f->used = 0;
        f->skip = false;
    }
    for (;;) {
        ssize_t bytes = pread(f->fd, piece, sizeof piece, f->at);
        if (bytes < 0 && errno == EINTR) continue;
        if (bytes < 0 && errno == ESTALE) return TA_OK; /* removed on its server */
        if (bytes < 0) return ta_fail_errno(TA_IO, "%s/%s: cannot read", n->run_dir, f->name);
        if (bytes == 0) return TA_OK;
        f->at += bytes;
        ta_status status = cut(n, f, piece, (size_t)bytes, r);
        if (status != TA_OK) return status;
    }
}

ta_status ta_news_read(struct ta_news *n, ta_news_fn take, void *context, unsigned *found) {
    struct reader r = {.take = take, .context = context};
    ta_status status = look_for_files(n);
    for (unsigned i = 0; status == TA_OK && i < n->n_files; i++) status = read_on(n, &n->file[i], &r);
    *found = r.found;
    return status;
}
