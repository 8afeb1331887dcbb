/* flaps: when paths break, and who does what about it when. */
#include "flaps.h"

#include <string.h>

enum { MOST_BREAKS = 8, WINDOW_NS = 80000, LONG_NS = 1000000, RNG_STREAM = 0xf1 };

static unsigned below(struct flaps *f, unsigned n) { return ta_rng_below(&f->rng, n); }

void flaps_plan(struct flaps *f, const struct world *w, enum flap_kind kind) {
    memset(f, 0, sizeof *f);
    f->rng = ta_rng_make(w->config.seed, RNG_STREAM);
    f->kind = w->config.n_ranks > 1 ? kind : FLAPS_NONE;
    if (f->kind == FLAPS_NONE) return;
    for (unsigned a = 0; a < w->config.n_ranks; a++)
        for (unsigned b = 0; b < a; b++) f->pair[f->n_pairs++] = (struct flap_pair){.rank = {a, b}};
    f->left = 1 + below(f, MOST_BREAKS);
    f->next_ns = below(f, WINDOW_NS);
}

static void break_one(struct flaps *f, struct world *w, unsigned present) {
    struct flap_pair *pair = &f->pair[below(f, f->n_pairs)];
    f->left--;
    f->next_ns = w->now_ns + below(f, below(f, 4) ? WINDOW_NS : 3000); /* some while the last is being mended */
    if (!(present >> pair->rank[0] & 1) || !(present >> pair->rank[1] & 1)) return;
    if (w->replica[pair->rank[0]].killed || w->replica[pair->rank[1]].killed) return;
    world_break(w, pair->rank[0], pair->rank[1]);
    f->breaks++;
    pair->broken = true;
    pair->restore_ns = w->now_ns;
    if (f->kind == FLAPS_LONG) pair->restore_ns = below(f, 4) ? w->now_ns + below(f, LONG_NS) : INT64_MAX;
    memset(pair->parted, 0, sizeof pair->parted);
    memset(pair->joined, 0, sizeof pair->joined);
}

static void mend(struct flaps *f, struct world *w, struct flap_pair *pair, unsigned side) {
    unsigned self = pair->rank[side], peer = pair->rank[1 - side];
    if (!pair->parted[side]) {
        if (!world_stats(w, self, peer).broken && !pair->parted[1 - side]) return;
        world_part(w, self, peer, &pair->key[side]);
        pair->parted[side] = true;
    } else if (pair->parted[1 - side] && !pair->joined[side]) {
        if (!world_rejoin(w, self, peer, &pair->key[1 - side])) return; /* the peer died meanwhile */
        pair->joined[side] = true;
        if (!pair->joined[1 - side]) return;
        pair->broken = false;
        f->restored++;
    }
}

void flaps_step(struct flaps *f, struct world *w, unsigned awake, unsigned present) {
    if (f->left > 0 && w->now_ns >= f->next_ns) break_one(f, w, present);
    for (unsigned i = 0; i < f->n_pairs; i++) {
        struct flap_pair *pair = &f->pair[i];
        for (unsigned side = 0; side < 2 && pair->broken && w->now_ns >= pair->restore_ns; side++) {
            const struct world_replica *r = &w->replica[pair->rank[side]];
            if ((awake >> pair->rank[side] & 1) && !r->killed && !r->closed && below(f, 8) == 0) mend(f, w, pair, side);
        }
    }
}
