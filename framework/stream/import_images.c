/* import_images: a folder of classes -> records, one picture each. Decoding is in import_picture.c, finding the files
 * in import_folder.c. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "import_folder.h"
#include "import_picture.h"
#include "import_sink.h"
#include "mem.h"

struct job {
    const struct ta_import_images *images;
    const struct ta_import_options *options;
    struct ta_import_report *report;
    char *root;
    struct ta_folder folder;
    struct ta_picture picture;
    struct ta_sink sink;
    bool sink_open; /* the first picture says how large records are */
};

static ta_status open_sink(struct job *job) {
    const struct ta_import_images *images = job->images;
    struct ta_sink_plan plan = {
        .info = {.h = images->height > 0 ? images->height : job->picture.h,
                 .w = images->width > 0 ? images->width : job->picture.w,
                 .c = images->gray ? 1 : 3,
                 .element = TA_ELEMENT_U8,
                 .scale = 1.0f / 255,
                 .label_kind = TA_LABEL_CLASS,
                 .classes = job->folder.classes},
        .class_names = (const char *const *)job->folder.class_names,
        .expected_records = job->folder.count,
    };
    ta_sink_origin(plan.info.origin, "pictures of", images->folder, images->split);
    ta_status status = ta_sink_open(&job->sink, job->options, &plan);
    job->sink_open = status == TA_OK;
    return status;
}

static ta_status add_picture(struct job *job, const struct ta_folder_file *file) {
    ta_status status = ta_picture_read(&job->picture, file->path, job->images->gray ? 1 : 3);
    if (status == TA_FORMAT && job->images->skip_unreadable) {
        job->report->skipped++;
        return TA_OK;
    }
    if (status == TA_OK && !job->sink_open) status = open_sink(job);
    if (status != TA_OK) return status;
    const struct ta_stream_info *info = &job->sink.info;
    struct ta_stream_block row = ta_sink_row(&job->sink);
    if (job->picture.w == info->w && job->picture.h == info->h)
        memcpy(row.x, job->picture.pixels, ta_stream_x_bytes(info));
    else if (job->images->width > 0)
        ta_picture_resize(&job->picture, info->w, info->h, row.x);
    else
        return ta_fail(TA_FORMAT,
                       "%s: %u x %u pixels, but the ones in front of it have %u x %u: give one size to all with "
                       "--resize %ux%u",
                       file->path, job->picture.w, job->picture.h, info->w, info->h, info->w, info->h);
    *row.class = (int32_t)file->class;
    return ta_sink_next(&job->sink);
}

static void write_note(const struct job *job) {
    const struct ta_import_images *images = job->images;
    char *note = job->report->note;
    size_t room = sizeof job->report->note;
    int used = images->as_found ? snprintf(note, room, "in the order of classes and names")
                                : snprintf(note, room, "shuffled by seed %" PRIu64, images->seed);
    if (job->folder.others > 0)
        used += snprintf(note + used, room - (size_t)used,
                         "; %" PRIu64 " files that are not called .jpg, .jpeg or .png "
                         "were passed over",
                         job->folder.others);
    if (job->report->skipped > 0)
        snprintf(note + used, room - (size_t)used, "; %" PRIu64 " damaged pictures were left out",
                 job->report->skipped);
}

static ta_status run(struct job *job) {
    ta_status status = ta_folder_list(&job->folder, job->root);
    if (status != TA_OK) return status;
    if (!job->images->as_found) ta_folder_shuffle(&job->folder, job->images->seed);
    for (size_t i = 0; status == TA_OK && i < job->folder.count; i++)
        status = add_picture(job, &job->folder.files[i]);
    if (status != TA_OK) return status;
    if (!job->sink_open)
        return ta_fail(TA_FORMAT, "%s: not one of its %zu pictures can be read", job->root, job->folder.count);
    write_note(job);
    return ta_sink_commit(&job->sink, job->report);
}

ta_status ta_import_images(const struct ta_import_images *images, const struct ta_import_options *options,
                           struct ta_import_report *report) {
    memset(report, 0, sizeof *report);
    if ((images->width == 0) != (images->height == 0) || images->width > TA_IMPORT_SIDE_MOST ||
        images->height > TA_IMPORT_SIDE_MOST)
        return ta_fail(TA_USAGE, "cannot resize to %u x %u pixels; 1 to %d a side", images->width, images->height,
                       TA_IMPORT_SIDE_MOST);
    struct job job = {.images = images, .options = options, .report = report};
    size_t bytes = strlen(images->folder) + (images->split == NULL ? 0 : strlen(images->split)) + 2;
    ta_status status = ta_mem_alloc(bytes, 1, "name of a folder", (void **)&job.root);
    if (status != TA_OK) return status;
    snprintf(job.root, bytes, "%s%s%s", images->folder, images->split == NULL ? "" : "/",
             images->split == NULL ? "" : images->split);
    status = run(&job);
    if (job.sink_open) ta_sink_close(&job.sink);
    ta_picture_free(&job.picture);
    ta_folder_free(&job.folder);
    ta_mem_free(job.root);
    return status;
}
