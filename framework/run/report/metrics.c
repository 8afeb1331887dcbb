/* metrics: the common fields of a line; how a line reaches the file is jsonl's business. */
#include "metrics.h"

#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "jsonl.h"

void ta_metrics_path(char *out, size_t bytes, const char *run_dir, unsigned node) {
    if (node == 0) snprintf(out, bytes, "%s/metrics.jsonl", run_dir);
    else snprintf(out, bytes, "%s/metrics-%05u.jsonl", run_dir, node);
}

ta_status ta_metrics_open(struct ta_metrics *m, const char *path, int rank) {
    *m = (struct ta_metrics){.fd = -1, .rank = rank};
    return path == NULL ? TA_OK : ta_jsonl_open(path, &m->fd);
}

void ta_metrics_close(struct ta_metrics *m) {
    if (m->fd >= 0) close(m->fd);
    m->fd = -1;
}

json_t *ta_metrics_line(const struct ta_metrics *m, const char *kind, int64_t now_ns) {
    char wall[25];
    ta_clock_iso8601(ta_clock_wall_ns(), wall);
    double t_s = m->start_ns == 0 ? 0 : (double)(now_ns - m->start_ns) / TA_NS_PER_S;
    return json_pack("{s:i, s:s, s:i, s:i, s:f, s:s}", "schema", 1, "kind", kind, "rank", m->rank, "epoch",
                     (int)m->epoch, "t_s", t_s, "wall", wall);
}

void ta_metrics_write(struct ta_metrics *m, json_t *line) {
    if (m->fd >= 0) (void)ta_jsonl_append(m->fd, "metrics.jsonl", line);
    json_decref(line);
}
