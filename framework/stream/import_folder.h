/* import_folder: which pictures a folder of classes holds; private to the importers. */
#ifndef TA_IMPORT_FOLDER_H
#define TA_IMPORT_FOLDER_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum { TA_FOLDER_DEPTH_MOST = 32 };

struct ta_folder_file {
    char *path;
    uint32_t class;
};

struct ta_folder {
    char **class_names; /* sorted bytewise */
    uint32_t classes;
    struct ta_folder_file *files; /* sorted by class, then path */
    size_t count, capacity;
    uint64_t others; /* files that are not called .jpg, .jpeg or .png */
};

/* Lists the pictures below root/CLASS/ for each folder CLASS. Hidden names are passed over. Errors: IO (a folder
 * cannot be read), FORMAT (no classes, a class without pictures, or classes that are really splits: train, test, ...;
 * the message says what to do), NO_MEMORY. */
ta_status ta_folder_list(struct ta_folder *folder, const char *root);
void ta_folder_free(struct ta_folder *folder);

/* The same order for everyone who uses the same seed (Fisher, Yates). */
void ta_folder_shuffle(struct ta_folder *folder, uint64_t seed);

#endif
