/* h5: the lock, the errors, and files as a whole. Attributes are in h5_attr.c, datasets in h5_set.c. */
#include "h5.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "h5_check.h"
#include "h5_internal.h"
#include "mem.h"

enum { MESSAGE_BYTES = 512 };

/* libhdf5 of Debian has process-wide state and no lock of its own, so this one must be process-wide too. */
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static bool prepared; /* under the lock */
static _Thread_local bool silenced; /* where the library was built with threads, each has its own error stack */

void ta_h5_lock(void) {
    pthread_mutex_lock(&lock);
    if (silenced) return;
    /* A file whose last flush failed stays half open inside the library; its exit handler would try again, and loop. */
    if (!prepared) H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    if (!prepared) H5PLset_loading_state(0); /* a file from outside must not make us load code */
    silenced = prepared = true;
}

void ta_h5_unlock(void) { pthread_mutex_unlock(&lock); }

static herr_t keep_innermost(unsigned n, const H5E_error2_t *error, void *out) {
    if (n != 0 || error->desc == NULL) return 0;
    const char *text = error->desc;
    /* Where the operating system refused, its words are all that a user needs. */
    static const char mark[] = "error message = '";
    const char *system = strstr(text, mark);
    size_t length = strlen(text);
    if (system != NULL) {
        text = system + sizeof mark - 1;
        length = strcspn(text, "'");
    }
    snprintf(out, MESSAGE_BYTES, "%.*s", (int)(length < MESSAGE_BYTES ? length : MESSAGE_BYTES - 1), text);
    return 0;
}

ta_status ta_h5_fail(ta_status status, const struct ta_h5 *file, const char *object, const char *format, ...) {
    char inner[MESSAGE_BYTES] = "no more is known", text[MESSAGE_BYTES];
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, inner);
    H5Eclear2(H5E_DEFAULT);
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return object == NULL ? ta_fail(status, "%s: %s: %s", file->path, text, inner)
                          : ta_fail(status, "%s: %s: %s: %s", file->path, object, text, inner);
}

ta_status ta_h5_refuse(ta_status status, const struct ta_h5 *file, const char *object, const char *format, ...) {
    char text[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return ta_fail(status, "%s: %s: %s", file->path, object, text);
}

/* What can be said before HDF5 looks: is it there, is it a file, does it begin as HDF5 does? */
static ta_status look_before(struct ta_h5 *file) {
    int fd = open(file->path, file->mode == TA_H5_UPDATE ? O_RDWR | O_CLOEXEC : O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ta_fail_errno(TA_IO, "%s: cannot open", file->path);
    struct stat info;
    ta_status status = TA_OK;
    if (fstat(fd, &info) != 0)
        status = ta_fail_errno(TA_IO, "%s: cannot look at it", file->path);
    else if (!S_ISREG(info.st_mode))
        status = ta_fail(TA_IO, "%s: is a %s, not a file", file->path, S_ISDIR(info.st_mode) ? "directory" : "device");
    else if (info.st_size == 0)
        status = ta_fail(TA_FORMAT, "%s: is empty, so not an HDF5 file; was a copy interrupted?", file->path);
    else
        file->bytes = (uint64_t)info.st_size;
    if (status == TA_OK) status = ta_h5_check(fd, file->bytes, file->path);
    close(fd);
    if (status == TA_OK && H5Fis_hdf5(file->path) <= 0)
        status = ta_fail(TA_FORMAT, "%s: is not an HDF5 file (its first bytes are not the HDF5 signature)", file->path);
    return status;
}

/* Close everything with the file; lock where the file system can; the same bytes for the same content. A growing file
 * needs the newest format, and no lock: it is meant to be read. */
static hid_t access_properties(enum ta_h5_mode mode) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0) return access;
    bool grows = mode == TA_H5_GROW;
    if (H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) < 0 || H5Pset_file_locking(access, !grows, 1) < 0 ||
        (grows && H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) < 0)) {
        H5Pclose(access);
        return H5I_INVALID_HID;
    }
    return access;
}

static ta_status open_locked(struct ta_h5 *file) {
    bool fresh = file->mode == TA_H5_CREATE || file->mode == TA_H5_GROW;
    if (!fresh) {
        ta_status status = look_before(file);
        if (status != TA_OK) return status;
    }
    hid_t access = access_properties(file->mode);
    if (access < 0) return ta_h5_fail(TA_NO_MEMORY, file, NULL, "cannot prepare");
    if (fresh)
        file->id = H5Fcreate(file->path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    else
        file->id = H5Fopen(file->path, file->mode == TA_H5_UPDATE ? H5F_ACC_RDWR : H5F_ACC_RDONLY, access);
    ta_status status = TA_OK;
    if (file->id < 0)
        status = fresh ? ta_h5_fail(TA_IO, file, NULL, "cannot create")
                       : ta_h5_fail(TA_FORMAT, file, NULL, "cannot be read as HDF5");
    H5Pclose(access);
    return status;
}

ta_status ta_h5_open(const char *path, enum ta_h5_mode mode, struct ta_h5 **out) {
    struct ta_h5 *file;
    *out = NULL;
    ta_status status = TA_NEW(&file, 1, "HDF5 file");
    if (status != TA_OK) return status;
    file->mode = mode;
    file->id = H5I_INVALID_HID;
    status = ta_mem_strdup(path, "HDF5 file name", &file->path);
    if (status == TA_OK) {
        ta_h5_lock();
        status = open_locked(file);
        ta_h5_unlock();
    }
    if (status != TA_OK) {
        ta_mem_free(file->path);
        ta_mem_free(file);
        return status;
    }
    *out = file;
    return TA_OK;
}

ta_status ta_h5_close(struct ta_h5 *file) {
    if (file == NULL) return TA_OK;
    ta_status status = TA_OK;
    ta_h5_lock();
    if (file->mode != TA_H5_READ && H5Fflush(file->id, H5F_SCOPE_LOCAL) < 0)
        status = ta_h5_fail(TA_IO, file, NULL, "cannot be written");
    if (H5Fclose(file->id) < 0 && status == TA_OK) status = ta_h5_fail(TA_IO, file, NULL, "cannot be closed");
    ta_h5_unlock();
    ta_mem_free(file->path);
    ta_mem_free(file);
    return status;
}

ta_status ta_h5_grow(struct ta_h5 *file) {
    ta_h5_lock();
    ta_status status = TA_OK;
    if (file->mode != TA_H5_GROW) status = ta_fail(TA_INVALID, "%s: was not opened to grow", file->path);
    else if (H5Fstart_swmr_write(file->id) < 0)
        status = ta_h5_fail(TA_IO, file, NULL, "cannot be written while it is read");
    ta_h5_unlock();
    return status;
}

bool ta_h5_resolves(hid_t file, const char *object) {
    if (strcmp(object, "/") == 0) return true;
    char step[1024];
    size_t length = strlen(object);
    if (length == 0 || length >= sizeof step) return false;
    for (size_t i = 1; i <= length; i++) {
        if (object[i] != '/' && object[i] != '\0') continue;
        memcpy(step, object, i);
        step[i] = '\0';
        if (H5Lexists(file, step, H5P_DEFAULT) <= 0) return false;
    }
    return H5Oexists_by_name(file, object, H5P_DEFAULT) > 0;
}

bool ta_h5_exists(struct ta_h5 *file, const char *object) {
    ta_h5_lock();
    bool there = ta_h5_resolves(file->id, object);
    H5Eclear2(H5E_DEFAULT);
    ta_h5_unlock();
    return there;
}

hid_t ta_h5_make_parents(void) {
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    if (links >= 0 && H5Pset_create_intermediate_group(links, 1) < 0) {
        H5Pclose(links);
        return H5I_INVALID_HID;
    }
    return links;
}

ta_status ta_h5_group_create(struct ta_h5 *file, const char *group) {
    ta_status status = TA_OK;
    hid_t made = H5I_INVALID_HID;
    ta_h5_lock();
    hid_t links = ta_h5_make_parents();
    if (links < 0)
        status = ta_h5_fail(TA_NO_MEMORY, file, group, "cannot prepare");
    else if (ta_h5_resolves(file->id, group))
        made = H5Gopen2(file->id, group, H5P_DEFAULT);
    else
        made = H5Gcreate2(file->id, group, links, H5P_DEFAULT, H5P_DEFAULT);
    if (status == TA_OK && made < 0) status = ta_h5_fail(TA_IO, file, group, "cannot make the group");
    if (made >= 0) H5Gclose(made);
    if (links >= 0) H5Pclose(links);
    ta_h5_unlock();
    return status;
}

struct walk {
    ta_status (*visit)(void *context, const char *name, bool is_group);
    void *context;
    ta_status status;
};

static herr_t visit_one(hid_t root, const char *name, const H5O_info_t *info, void *data) {
    (void)root;
    struct walk *walk = data;
    char full[1024];
    if (strcmp(name, ".") == 0) return 0;
    if (info->type != H5O_TYPE_GROUP && info->type != H5O_TYPE_DATASET) return 0;
    if (snprintf(full, sizeof full, "/%s", name) >= (int)sizeof full) {
        walk->status = ta_fail(TA_FORMAT, "an object has a name of over %zu bytes: %.60s...", sizeof full - 1, name);
        return 1;
    }
    walk->status = walk->visit(walk->context, full, info->type == H5O_TYPE_GROUP);
    return walk->status == TA_OK ? 0 : 1;
}

ta_status ta_h5_walk(struct ta_h5 *file, ta_status (*visit)(void *context, const char *name, bool is_group),
                     void *context) {
    struct walk walk = {.visit = visit, .context = context, .status = TA_OK};
    ta_h5_lock();
    herr_t done = H5Ovisit2(file->id, H5_INDEX_NAME, H5_ITER_INC, visit_one, &walk, H5O_INFO_BASIC);
    if (done < 0 && walk.status == TA_OK) walk.status = ta_h5_fail(TA_FORMAT, file, NULL, "cannot list its objects");
    ta_h5_unlock();
    return walk.status;
}
