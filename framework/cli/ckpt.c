/* ckpt: `tensair ckpt`: looks at checkpoints; each verb is a file. What a path means is decided here. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ckpt_verbs.h"
#include "cli.h"

static const char help[] =
    "usage: tensair ckpt show PATH [--json]\n"
    "       tensair ckpt verify PATH\n"
    "       tensair ckpt diff A B [--tolerance T]\n"
    "       tensair ckpt export PATH [--words text|binary] -o OUT\n"
    "\n"
    "PATH is a run directory (then its newest checkpoint), a checkpoint (RUN_DIR/checkpoint/000012000), or a "
    "model.h5.\n"
    "\n"
    "  show      layers, shapes, numbers of parameters and norms; steps, records, ranks\n"
    "  verify    reads every file and compares size and checksum with DONE; of a run directory, every checkpoint\n"
    "  diff      compares weights and the state of every replica, number by number. --tolerance: the largest "
    "difference\n"
    "            of two floating-point numbers that counts as none (0). Exit status 1 when they differ\n"
    "  export    the weights alone. OUT ending in .h5: a Keras file; otherwise a new folder with one NumPy file a "
    "tensor\n"
    "            (dense.kernel.npy, ...) and model_config.json. --words: the word vectors of a skipgram or cbow model, "
    "as\n"
    "            word2vec writes them, commonest word first; PATH may also be such a file\n"
    "  --json    one JSON object instead of a table\n";

static bool is_directory(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool is_there(const char *directory, const char *name) {
    char path[TA_CKPT_TARGET_PATH];
    int bytes = snprintf(path, sizeof path, "%s/%s", directory, name);
    return bytes > 0 && (size_t)bytes < sizeof path && access(path, F_OK) == 0;
}

bool ta_ckpt_folder(const char *path, char folder[TA_CKPT_TARGET_PATH]) {
    const char *below = is_there(path, "checkpoint") ? "/checkpoint" : "";
    int bytes = snprintf(folder, TA_CKPT_TARGET_PATH, "%s%s", path, below);
    return bytes > 0 && bytes < TA_CKPT_TARGET_PATH && is_directory(folder) && !is_there(path, "DONE");
}

ta_status ta_ckpt_find_target(const char *path, struct ta_ckpt_target *out) {
    char folder[TA_CKPT_TARGET_PATH];
    struct ta_log log;
    *out = (struct ta_ckpt_target){0};
    if (access(path, F_OK) != 0) return ta_fail_errno(TA_IO, "%s: cannot read it", path);
    out->is_file = !is_directory(path);
    if (out->is_file) {
        int bytes = snprintf(out->model, sizeof out->model, "%s", path);
        return (size_t)bytes < sizeof out->model ? TA_OK : ta_fail(TA_USAGE, "this path is too long");
    }
    ta_status status;
    if (ta_ckpt_folder(path, folder)) {
        status = ta_log_open(&log, TA_LOG_WARN, -1, true, NULL);
        if (status == TA_OK) status = ta_checkpoint_latest(folder, &log, &out->info);
        ta_log_close(&log);
        if (status == TA_AGAIN) return ta_fail(TA_FORMAT, "%s: there is no complete checkpoint in it", folder);
    } else {
        status = ta_checkpoint_check(path, &out->info);
    }
    snprintf(out->model, sizeof out->model, "%s/model.h5", out->info.path);
    return status;
}

static ta_status ckpt(int argc, char **argv) {
    static const struct {
        const char *name;
        ta_status (*run)(int argc, char **argv);
    } verbs[] = {
        {"show", ta_ckpt_show}, {"verify", ta_ckpt_verify}, {"diff", ta_ckpt_diff}, {"export", ta_ckpt_export}};
    bool wants_help = argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    for (int i = 2; i < argc && !wants_help; i++) wants_help = strcmp(argv[i], "--help") == 0;
    if (wants_help) {
        fputs(help, stdout);
        return TA_OK;
    }
    for (size_t i = 0; argc >= 2 && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[1], verbs[i].name) == 0) return verbs[i].run(argc - 1, argv + 1);
    return ta_fail(TA_USAGE, "say show, verify, diff or export; see tensair ckpt --help");
}

const struct ta_verb ta_verb_ckpt = {
    .name = "ckpt", .summary = "show, verify, compare and export checkpoints", .run = ckpt};
