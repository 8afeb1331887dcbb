/* run_dir: the folder everything of a run lies in, and the lock that says whose it is now.
 *
 *     config.yaml  manifest.json  metrics.jsonl  log/  checkpoint/  rendezvous/ (mode 0700, only while it runs)  lock
 *     incarnation (incarnation.h)
 *
 * The lock is flock(2) on `lock`, which names process and host; it goes with the last process that holds it, so a run
 * whose launcher was killed is over when its replicas are. `lock` and `rendezvous` are removed in the end.
 *
 * Errors: IO (which path), IN_USE (by whom).
 */
#ifndef TA_RUN_DIR_H
#define TA_RUN_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

enum { TA_RUN_DIR_BYTES = 2048 };

struct ta_run_dir {
    char path[TA_RUN_DIR_BYTES]; /* absolute */
    int lock;                    /* descriptor; -1: not held. Not inherited unless its close-on-exec flag is cleared */
};

/* Makes (or takes again) the folder `path`, or runs/NAME-UTC in the current folder when path is NULL, where NAME is the
 * name of `config_path` without folder and ending. */
ta_status ta_run_dir_open(struct ta_run_dir *dir, const char *path, const char *config_path);
/* The same in two steps: the folder, which somebody else may hold; then its lock, and what a run that died left in
 * rendezvous/ is removed. `from_holder`: whoever holds the lock is a former life that may no longer write: it keeps a
 * lock that nobody else will see. */
ta_status ta_run_dir_find(struct ta_run_dir *dir, const char *path, const char *config_path);
ta_status ta_run_dir_claim(struct ta_run_dir *dir, bool from_holder);
/* The folder alone, as another node of a run uses it. */
ta_status ta_run_dir_join(struct ta_run_dir *dir, const char *path);
/* Takes the lock of a folder that was joined, once nobody holds it any more. Errors: IN_USE, IO. */
ta_status ta_run_dir_take(struct ta_run_dir *dir);
void ta_run_dir_close(struct ta_run_dir *dir);

/* The holder shows that it lives, by the lock's time. */
void ta_run_dir_touch(const struct ta_run_dir *dir);
/* A number that changes whenever the holder has touched the lock, whatever the clocks say; 0: there is no lock. */
uint64_t ta_run_dir_pulse(const struct ta_run_dir *dir);

/* Writes a small file at once: all of it or the old one. */
ta_status ta_run_dir_write(const struct ta_run_dir *dir, const char *name, const char *text);

#endif
