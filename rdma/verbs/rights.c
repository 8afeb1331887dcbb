/* rights: cutting ranges. */
#include "rights.h"

static bool add(const struct ta_verbs_ground *ground, uint64_t from, uint64_t end, bool first,
                struct ta_verbs_right *out, unsigned *n) {
    const struct ta_range range = {from, end - from};
    if (end <= from && !first) return true;
    if (*n == TA_VERBS_RIGHTS) return false;
    struct ta_far_place place = ta_far_find(&ground->far, &range);
    out[*n] = (struct ta_verbs_right){.range = range, .address = ground->base + from};
    if (place.side == TA_FAR_WHOLE) {
        out[*n].far = true;
        out[*n].address = ground->far_base + place.piece * ta_far_pitch(&ground->far) + place.within;
    }
    ++*n;
    return true;
}

static bool cut(const struct ta_verbs_ground *ground, const struct ta_range *range, struct ta_verbs_right *out,
                unsigned *n) {
    const struct ta_window_far *far = &ground->far;
    uint64_t at = range->offset, end = range->offset + range->bytes;
    bool room = true;
    for (unsigned i = 0; i < far->n && room && at < end; i++) {
        uint64_t first = far->first + i * far->stride, last = first + far->bytes;
        if (last <= at || first >= end) continue;
        if (last > end) last = end;
        if (first < at) first = at;
        room = add(ground, at, first, false, out, n) && add(ground, first, last, false, out, n);
        at = last;
    }
    return room && add(ground, at, end, at == range->offset, out, n); /* a range of nothing is one, too */
}

bool ta_verbs_rights_cut(const struct ta_verbs_ground *ground, const struct ta_grants *grants,
                         struct ta_verbs_right out[TA_VERBS_RIGHTS], unsigned *n) {
    const struct ta_range whole = {0, ground->bytes};
    bool room = true;
    *n = 0;
    if (grants->n == 0) return cut(ground, &whole, out, n);
    for (uint64_t i = 0; i < grants->n && room; i++) room = cut(ground, &grants->range[i], out, n);
    return room;
}
