/* import_folder: a walk, two sorts and a shuffle. */
#include "import_folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "mem.h"
#include "rng.h"

enum { CLASSES_MOST = 1 << 20 };

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int compare_files(const void *a, const void *b) {
    const struct ta_folder_file *x = a, *y = b;
    if (x->class != y->class) return x->class < y->class ? -1 : 1;
    return strcmp(x->path, y->path);
}

static int is_picture(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot != NULL &&
           (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0 || strcasecmp(dot, ".png") == 0);
}

static ta_status join(const char *folder, const char *name, char **out) {
    size_t bytes = strlen(folder) + strlen(name) + 2;
    ta_status status = ta_mem_alloc(bytes, 1, "name of a picture", (void **)out);
    if (status == TA_OK) snprintf(*out, bytes, "%s/%s", folder, name);
    return status;
}

/* Room for one more element of `size` bytes. */
static ta_status grow(void **array, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity) return TA_OK;
    size_t wanted = *capacity == 0 ? 64 : 2 * *capacity;
    void *larger;
    ta_status status = ta_mem_alloc(wanted, size, "list of pictures", &larger);
    if (status != TA_OK) return status;
    if (*array != NULL) memcpy(larger, *array, count * size);
    ta_mem_free(*array);
    *array = larger;
    *capacity = wanted;
    return TA_OK;
}

static ta_status add_folder(struct ta_folder *folder, const char *path, uint32_t class, int depth);

/* Takes `path` over. */
static ta_status add_entry(struct ta_folder *folder, char *path, const char *name, uint32_t class, int depth) {
    struct stat facts;
    ta_status status = TA_OK;
    if (stat(path, &facts) != 0) {
        status = ta_fail_errno(TA_IO, "%s: cannot be looked at", path);
    } else if (S_ISDIR(facts.st_mode)) {
        status = add_folder(folder, path, class, depth + 1);
    } else if (!S_ISREG(facts.st_mode) || !is_picture(name)) {
        folder->others++;
    } else {
        status = grow((void **)&folder->files, folder->count, &folder->capacity, sizeof *folder->files);
        if (status == TA_OK) {
            folder->files[folder->count++] = (struct ta_folder_file){.path = path, .class = class};
            return TA_OK;
        }
    }
    ta_mem_free(path);
    return status;
}

static ta_status add_folder(struct ta_folder *folder, const char *path, uint32_t class, int depth) {
    if (depth > TA_FOLDER_DEPTH_MOST)
        return ta_fail(TA_FORMAT, "%s: more than %d folders deep; is there a link that leads back?", path,
                       TA_FOLDER_DEPTH_MOST);
    DIR *directory = opendir(path);
    if (directory == NULL) return ta_fail_errno(TA_IO, "%s: cannot be read", path);
    ta_status status = TA_OK;
    for (struct dirent *entry; status == TA_OK && (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        char *below;
        status = join(path, entry->d_name, &below);
        if (status == TA_OK) status = add_entry(folder, below, entry->d_name, class, depth);
    }
    closedir(directory);
    return status;
}

static ta_status add_class(struct ta_folder *folder, const char *root, const char *name, size_t *capacity) {
    char *path;
    ta_status status = join(root, name, &path);
    if (status != TA_OK) return status;
    struct stat facts;
    int is_folder = stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
    ta_mem_free(path);
    if (!is_folder) return TA_OK;
    if (folder->classes == CLASSES_MOST) return ta_fail(TA_FORMAT, "%s: more than %d classes", root, CLASSES_MOST);
    status = grow((void **)&folder->class_names, folder->classes, capacity, sizeof *folder->class_names);
    if (status == TA_OK) status = ta_mem_strdup(name, "name of a class", &folder->class_names[folder->classes]);
    if (status == TA_OK) folder->classes++;
    return status;
}

static ta_status list_classes(struct ta_folder *folder, const char *root) {
    DIR *directory = opendir(root);
    if (directory == NULL) return ta_fail_errno(TA_IO, "%s: cannot be read", root);
    size_t capacity = 0;
    ta_status status = TA_OK;
    for (struct dirent *entry; status == TA_OK && (entry = readdir(directory)) != NULL;)
        if (entry->d_name[0] != '.') status = add_class(folder, root, entry->d_name, &capacity);
    closedir(directory);
    if (status == TA_OK && folder->classes == 0)
        status = ta_fail(TA_FORMAT, "%s: there is no folder in it; pictures lie in one folder for each class", root);
    if (status == TA_OK) qsort(folder->class_names, folder->classes, sizeof *folder->class_names, compare_names);
    return status;
}

/* Someone who gives the folder above train/ and test/ does not want the classes "train" and "test". */
static ta_status refuse_splits(const struct ta_folder *folder, const char *root) {
    static const char *const splits[] = {"train", "test", "val", "valid", "validation", "dev", "eval"};
    for (uint32_t i = 0; i < folder->classes; i++) {
        size_t k = 0;
        while (k < sizeof splits / sizeof splits[0] && strcmp(folder->class_names[i], splits[k]) != 0) k++;
        if (k == sizeof splits / sizeof splits[0]) return TA_OK;
    }
    return ta_fail(TA_FORMAT, "%s: its folders (%s%s) are splits, not classes: choose one with --split %s", root,
                   folder->class_names[0], folder->classes > 1 ? ", ..." : "",
                   folder->class_names[folder->classes - 1]);
}

ta_status ta_folder_list(struct ta_folder *folder, const char *root) {
    memset(folder, 0, sizeof *folder);
    ta_status status = list_classes(folder, root);
    if (status == TA_OK) status = refuse_splits(folder, root);
    for (uint32_t class = 0; status == TA_OK && class < folder->classes; class ++) {
        size_t before = folder->count;
        char *path;
        status = join(root, folder->class_names[class], &path);
        if (status != TA_OK) break;
        status = add_folder(folder, path, class, 1);
        if (status == TA_OK && folder->count == before)
            status =
                ta_fail(TA_FORMAT, "%s: holds no .jpg, .jpeg or .png file: remove it if it is not a class", path);
        ta_mem_free(path);
    }
    if (status == TA_OK)
        qsort(folder->files, folder->count, sizeof *folder->files, compare_files);
    else
        ta_folder_free(folder);
    return status;
}

void ta_folder_free(struct ta_folder *folder) {
    for (uint32_t i = 0; i < folder->classes; i++) ta_mem_free(folder->class_names[i]);
    for (size_t i = 0; i < folder->count; i++) ta_mem_free(folder->files[i].path);
    ta_mem_free(folder->class_names);
    ta_mem_free(folder->files);
    memset(folder, 0, sizeof *folder);
}

void ta_folder_shuffle(struct ta_folder *folder, uint64_t seed) {
    struct ta_rng rng = ta_rng_make(seed, 0);
    for (size_t i = folder->count; i > 1; i--) {
        size_t k = (size_t)(ta_rng_uniform(&rng) * (double)i); /* below 2^53 files */
        struct ta_folder_file swap = folder->files[k];
        folder->files[k] = folder->files[i - 1];
        folder->files[i - 1] = swap;
    }
}
