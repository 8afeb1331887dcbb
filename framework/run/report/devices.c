/* devices: replicas with the same text share a device. */
#include "devices.h"

#include <stdbool.h>
#include <string.h>

/* What rank r computes on; "": it has not said. */
static const char *text_of(const struct ta_board *board, unsigned r) {
    if (atomic_load_explicit(&board->rows[r].started_ns, memory_order_acquire) == 0) return "";
    return board->devices[r];
}

static bool is_first(const struct ta_board *board, unsigned r) {
    const char *text = text_of(board, r);
    for (unsigned before = 0; before < r; before++)
        if (strcmp(text_of(board, before), text) == 0) return false;
    return text[0] != '\0';
}

json_t *ta_devices_json(const struct ta_board *board) {
    json_t *list = json_array();
    for (unsigned r = 0; r < board->n_rows; r++) {
        if (!is_first(board, r)) continue;
        json_t *ranks = json_array();
        for (unsigned other = r; other < board->n_rows; other++)
            if (strcmp(text_of(board, other), board->devices[r]) == 0)
                json_array_append_new(ranks, json_integer(other));
        json_array_append_new(list, json_pack("{s:s, s:o}", "device", board->devices[r], "ranks", ranks));
    }
    return list;
}

void ta_devices_print(const struct ta_board *board, FILE *out) {
    json_t *list = ta_devices_json(board), *one;
    size_t i;
    json_array_foreach(list, i, one) {
        size_t n = json_array_size(json_object_get(one, "ranks"));
        fprintf(out, "%-13s%s", i == 0 ? "device" : "", json_string_value(json_object_get(one, "device")));
        if (json_array_size(list) > 1) fprintf(out, " (%zu replica%s)", n, n == 1 ? "" : "s");
        fprintf(out, "\n");
    }
    json_decref(list);
}
