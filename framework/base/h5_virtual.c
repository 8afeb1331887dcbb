/* h5_virtual: sets and links that stand for what lies in other files. They are made here, never read. */
#include "h5_internal.h"

/* All of source i, row by row, is row i of the set. */
static bool map_source(hid_t properties, hid_t whole, const struct ta_h5_virtual *how, unsigned i) {
    const hsize_t first[2] = {0, 0}, none[2] = {0, how->width}, most[2] = {H5S_UNLIMITED, how->width};
    const hsize_t rows[2] = {H5S_UNLIMITED, 1}, row[2] = {1, how->width};
    const hsize_t at[3] = {i, 0, 0}, count[3] = {1, H5S_UNLIMITED, 1}, block[3] = {1, 1, how->width};
    hid_t source = H5Screate_simple((int)how->rank, none, most);
    if (source < 0) return false;
    bool good = H5Sselect_hyperslab(source, H5S_SELECT_SET, first, NULL, rows, row) >= 0 &&
                H5Sselect_hyperslab(whole, H5S_SELECT_SET, at, NULL, count, block) >= 0 &&
                H5Pset_virtual(properties, whole, how->files[i], how->source, source) >= 0;
    H5Sclose(source);
    return good;
}

static ta_status create_locked(struct ta_h5 *file, const char *name, const struct ta_h5_virtual *how) {
    const hsize_t dims[3] = {how->count, 0, how->width}, most[3] = {how->count, H5S_UNLIMITED, how->width};
    hid_t space = H5Screate_simple((int)how->rank + 1, dims, most), properties = H5Pcreate(H5P_DATASET_CREATE);
    hid_t links = ta_h5_make_parents(), set = H5I_INVALID_HID;
    bool good = space >= 0 && properties >= 0 && links >= 0 && H5Pset_obj_track_times(properties, 0) >= 0 &&
                H5Pset_fill_value(properties, ta_h5_memory_type(how->type), how->fill) >= 0;
    for (unsigned i = 0; i < how->count && good; i++) good = map_source(properties, space, how, i);
    if (good) {
        H5Sselect_all(space);
        set = H5Dcreate2(file->id, name, ta_h5_file_type(how->type), space, links, properties, H5P_DEFAULT);
    }
    ta_status status = set >= 0 ? TA_OK : ta_h5_fail(TA_IO, file, name, "cannot be made of %u files", how->count);
    if (set >= 0) H5Dclose(set);
    if (links >= 0) H5Pclose(links);
    if (properties >= 0) H5Pclose(properties);
    if (space >= 0) H5Sclose(space);
    return status;
}

ta_status ta_h5_virtual_create(struct ta_h5 *file, const char *name, const struct ta_h5_virtual *how) {
    if (how->rank < 1 || how->rank > 2 || how->count == 0 || how->width == 0 || ta_h5_type_bytes(how->type) == 0)
        return ta_h5_refuse(TA_INVALID, file, name, "cannot be made of %u files with rank %u of %s, %llu wide",
                            how->count, how->rank, ta_h5_type_name(how->type), (unsigned long long)how->width);
    ta_h5_lock();
    ta_status status = create_locked(file, name, how);
    ta_h5_unlock();
    return status;
}

ta_status ta_h5_link_create(struct ta_h5 *file, const char *name, const char *other, const char *object) {
    ta_status status = TA_OK;
    ta_h5_lock();
    hid_t links = ta_h5_make_parents();
    if (links < 0 || H5Lcreate_external(other, object, file->id, name, links, H5P_DEFAULT) < 0)
        status = ta_h5_fail(TA_IO, file, name, "cannot be made a link to %s", other);
    if (links >= 0) H5Pclose(links);
    ta_h5_unlock();
    return status;
}
