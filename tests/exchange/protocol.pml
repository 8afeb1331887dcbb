/* protocol: the live exchange as a model for Spin: registers, puts, rounds, deaths, what the dead leave, and spares that
 * join. tests/exchange/protocol.sh checks it in several sizes, and that rules left out are missed.
 *
 * A replica's register is a number, the steps it has made. Every action of a replica is one transition, and any of them
 * may come next: so every order, every delay and every crash between two actions is tried. A put is two actions, body, then
 * body and header, so that a header may come late or never. What was put lies in the peer's window until it is overwritten;
 * to read is to look there.
 *
 * Checked in every state that can be reached:
 *   - who comes to rest in a round has the weights of everybody who came to rest in it before and counted it, register by
 *     register, with every step of those, dead since or not: nothing is lost, nothing counts twice, and all hold one copy of
 *     what the dead have left;
 *   - when there is nothing left to do, all who live are through all rounds, and a spare is inside: nobody waits for ever.
 *
 * Left out: time (silence is a crash, or one of WRONG suspicions), leaving in order, rows of tables, memory passes, shares of
 * the stream. Names are those of framework/exchange: membership.c, estate.c, live_rounds.c, live_join.c.
 */
#ifndef RANKS
#define RANKS 3
#endif
#ifndef SPARES
#define SPARES 0 /* the last ranks */
#endif
#ifndef STEPS
#define STEPS 1 /* that a replica makes at most */
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef WRONG
#define WRONG 0 /* times that somebody alive is held for dead */
#endif

#ifndef MUTANT
#define MUTANT 0 /* a rule left out, which must be found: 1 to 5 */
#endif
#ifndef MORTAL
#define MORTAL 255 /* bits: the ranks that may crash or be held for dead, and whose headers may stay behind their bodies */
#endif

#define PAIRS (RANKS * RANKS)
#define BOARDS (RANKS * RANKS * RANKS)

/* A replica's own; [i][j] at i * RANKS + j: what i keeps of j. */
byte made[RANKS], entered[RANKS], done[RANKS];
byte up[RANKS], at_rest[RANKS], outside[RANKS];
byte life[PAIRS], copy[PAIRS], state[PAIRS], expected[PAIRS];
/* Of the last rest, also after a crash, for a checkpoint may have been written: its round, the registers that the weights
 * are made of, who counted. */
byte rested[RANKS], w[PAIRS], with[PAIRS];

/* Windows; [i][j] at i * RANKS + j: what j has put to i. */
byte body[PAIRS], h_heard[PAIRS], h_steps[PAIRS], h_entered[PAIRS], h_done[PAIRS], acked[PAIRS], welcome[PAIRS];
/* Boards: [i][j][r]: what j says there of r. */
byte b_life[BOARDS], b_copy[BOARDS], b_state[BOARDS];

byte crashes = CRASHES, wrong = WRONG;
byte differ, lost; /* found at a rest */

c_decl {
    enum { ABSENT, LIVE, DEAD };
}

c_code {
#define AT(i, j) ((i) * RANKS + (j))
#define SAYS(i, j, r) (((i) * RANKS + (j)) * RANKS + (r))

static int counts(int i, int p) { return p != i && now.life[AT(i, p)] == LIVE; }
static int mortal(int i) { return MORTAL >> i & 1; }
static int resting(int i) { return now.at_rest[i] || now.entered[i] > now.done[i]; }

/* ---- steps and puts ---- */

static int may_step(int i) { return now.up[i] && !now.outside[i] && !resting(i) && now.made[i] < STEPS; }

/* Paths are there both ways from the start; to a dead one only that is said. */
static int reaches(int i, int j) { return i != j && j < RANKS && now.up[i] && now.up[j]; }
static int may_put_body(int i, int j) {
    return mortal(i) && reaches(i, j) && now.life[AT(i, j)] != DEAD && now.life[AT(j, i)] != DEAD &&
           now.body[AT(j, i)] != now.made[i];
}

static int board_differs(int i, int j) {
    for (int r = 0; r < RANKS; r++)
        if (now.b_life[SAYS(j, i, r)] != now.life[AT(i, r)] || now.b_copy[SAYS(j, i, r)] != now.copy[AT(i, r)] ||
            now.b_state[SAYS(j, i, r)] != now.state[AT(i, r)])
            return 1;
    return 0;
}

static int may_put(int i, int j) {
    if (!reaches(i, j)) return 0;
    if (now.life[AT(i, j)] == DEAD) return board_differs(i, j);
    int k = AT(j, i);
    return !now.h_heard[k] || now.body[k] != now.made[i] || now.h_steps[k] != now.made[i] ||
           now.h_entered[k] != now.entered[i] || now.h_done[k] != now.done[i] || now.acked[k] != now.h_steps[AT(i, j)] ||
           now.welcome[k] != counts(i, j) || board_differs(i, j);
}

static void put(int i, int j) {
    int k = AT(j, i);
    for (int r = 0; r < RANKS; r++) {
        now.b_life[SAYS(j, i, r)] = now.life[AT(i, r)];
        now.b_copy[SAYS(j, i, r)] = now.copy[AT(i, r)];
        now.b_state[SAYS(j, i, r)] = now.state[AT(i, r)];
    }
    if (now.life[AT(i, j)] == DEAD) return;
    now.body[k] = now.h_steps[k] = now.made[i];
    now.h_heard[k] = 1;
    now.h_entered[k] = now.entered[i];
    now.h_done[k] = now.done[i];
    now.acked[k] = now.h_steps[AT(i, j)];
    now.welcome[k] = counts(i, j);
}

/* ---- who is with us ---- */

/* Freezes what it left at once. The state of a copy: how far the rank had come, by its header. */
static void lose(int i, int r) {
    int k = AT(i, r);
    now.life[k] = DEAD;
    now.expected[k] = 0;
    now.copy[k] = now.body[k] + 1;
    now.state[k] = now.h_steps[k] * (ROUNDS + 1) + now.h_entered[k];
}

static void go(int i) { now.up[i] = now.at_rest[i] = 0; }

static int may_suspect(int i, int j) {
    return i != j && j < RANKS && now.up[i] && !now.outside[i] && counts(i, j) && (!now.up[j] || (now.wrong > 0 && mortal(j)));
}

static void suspect(int i, int j) {
    if (now.up[j]) now.wrong--;
    lose(i, j);
}

static int tells(int i, int q, int r) {
    int said = now.b_life[SAYS(i, q, r)];
    if (r == q) return 0;
    if (said == DEAD) return r == i || now.life[AT(i, r)] != DEAD;
    return said == LIVE && r != i && r >= RANKS - SPARES && now.life[AT(i, r)] == ABSENT && !now.expected[AT(i, r)];
}

static int may_hear(int i, int q) {
    if (q >= RANKS || !now.up[i] || !counts(i, q)) return 0;
    for (int r = 0; r < RANKS; r++)
        if (tells(i, q, r)) return 1;
    return 0;
}

static void hear(int i, int q) {
    for (int r = 0; r < RANKS; r++) {
        if (!tells(i, q, r)) continue;
        if (now.b_life[SAYS(i, q, r)] == LIVE) now.expected[AT(i, r)] = 1;
        else if (r != i) lose(i, r);
        else go(i); /* accused */
    }
}

/* Two that hold each other for dead: the higher rank gives way, unless a third sides with it. */
static int must_give_way(int i, int q) {
    if (q >= i || !now.up[i] || now.life[AT(i, q)] != DEAD || now.b_life[SAYS(i, q, i)] != DEAD) return 0;
    for (int r = 0; r < RANKS; r++)
        if (r != q && counts(i, r) && now.h_heard[AT(i, r)] && now.b_life[SAYS(i, r, q)] == DEAD) return 0;
    return 1;
}

/* ---- what the dead leave ---- */

static int better(int state_a, int a, int state_b, int b) { return state_a != state_b ? state_a > state_b : a < b; }

static int is_agreed(int i) {
    if (MUTANT == 3) return 1;
    for (int r = 0; r < RANKS; r++)
        for (int p = 0; p < RANKS && now.life[AT(i, r)] == DEAD; p++)
            if (counts(i, p) &&
                (now.b_life[SAYS(i, p, r)] != DEAD || now.b_copy[SAYS(i, p, r)] != now.copy[AT(i, r)]))
                return 0;
    return 1;
}

static int elected(int i, int r) {
    if (now.life[AT(i, r)] != DEAD) return 0;
    for (int p = 0; p < RANKS; p++)
        if (counts(i, p) && (now.b_life[SAYS(i, p, r)] != DEAD || now.b_copy[SAYS(i, p, r)] == 0 ||
                             better(now.b_state[SAYS(i, p, r)], p, now.state[AT(i, r)], i)))
            return 0;
    return 1;
}

/* Our copy of r into the window of j, where the sum differs; j takes it when it is better than its own. */
static int may_relay(int i, int j, int r) {
    if (r >= RANKS || !reaches(i, j) || !counts(i, j) || !elected(i, r)) return 0;
    if (now.b_copy[SAYS(i, j, r)] == now.copy[AT(i, r)] || now.copy[AT(j, r)] == now.copy[AT(i, r)]) return 0;
    return now.life[AT(j, r)] == DEAD && now.life[AT(j, i)] != DEAD &&
           better(now.state[AT(i, r)], i, now.state[AT(j, r)], j);
}

static void relay(int i, int j, int r) {
    now.copy[AT(j, r)] = now.copy[AT(i, r)];
    now.state[AT(j, r)] = now.state[AT(i, r)];
}

/* ---- rounds ---- */

static int may_enter(int i) { return now.up[i] && !now.outside[i] && !resting(i) && now.entered[i] < ROUNDS; }

static int may_settle(int i) {
    if (!now.up[i] || now.outside[i] || now.at_rest[i] || now.entered[i] <= now.done[i] || !is_agreed(i)) return 0;
    for (int p = 0; p < RANKS; p++)
        if (counts(i, p) && (!now.h_heard[AT(i, p)] || (MUTANT != 1 && now.h_entered[AT(i, p)] < now.entered[i]) ||
                             (MUTANT != 2 && now.acked[AT(i, p)] != now.made[i])))
            return 0;
    return 1;
}

static int held(int i, int r) {
    return r == i ? now.made[r] : now.life[AT(i, r)] == DEAD ? now.copy[AT(i, r)] - 1 : now.body[AT(i, r)];
}

static void settle(int i) {
    now.at_rest[i] = 1;
    now.rested[i] = now.entered[i];
    for (int r = 0; r < RANKS; r++) {
        now.w[AT(i, r)] = held(i, r);
        now.with[AT(i, r)] = counts(i, r);
    }
    for (int p = 0; p < RANKS; p++) {
        if (p == i || now.rested[p] != now.rested[i] || !now.with[AT(p, i)]) continue;
        /* Of two that are held for dead while they live, each goes its own way until one hears that it must leave. */
        if (WRONG > 0 && !(counts(i, p) && counts(p, i) && now.at_rest[p])) continue;
        for (int r = 0; r < RANKS; r++) now.differ |= now.w[AT(i, r)] != now.w[AT(p, r)];
        now.lost |= now.w[AT(i, p)] != now.made[p];
    }
}

static int is_done(int i, int p) {
    return now.h_done[AT(i, p)] >= now.entered[i] || now.h_entered[AT(i, p)] > now.entered[i];
}

static int may_go_on(int i) {
    if (!now.at_rest[i] || now.done[i] < now.entered[i]) return 0;
    for (int p = 0; p < RANKS; p++)
        if (counts(i, p) && !is_done(i, p)) return 0;
    return 1;
}

/* ---- spares ---- */

static int may_welcome(int i, int s) {
    if (s < RANKS - SPARES || s >= RANKS || !reaches(i, s) || now.outside[i]) return 0;
    if (MUTANT != 4 && resting(i)) return 0;
    if (now.life[AT(i, s)] != ABSENT || !now.h_heard[AT(i, s)]) return 0;
    for (int r = 0; r < RANKS; r++)
        if (now.b_life[SAYS(i, s, r)] == DEAD && now.life[AT(i, r)] != DEAD) return 0;
    return 1;
}

static void do_welcome(int i, int s) {
    now.life[AT(i, s)] = LIVE;
    now.expected[AT(i, s)] = 0;
    hear(i, s);
}

static int asked(int s) {
    int most = 0;
    for (int p = 0; p < RANKS; p++)
        if (counts(s, p) && now.h_entered[AT(s, p)] > most) most = now.h_entered[AT(s, p)];
    return most;
}

static int may_pass(int s) { return now.up[s] && now.outside[s] && asked(s) > now.entered[s]; }
static void pass(int s) { now.entered[s] = now.done[s] = asked(s); }

static int may_come_in(int s) {
    int with = 0;
    if (!now.up[s] || !now.outside[s] || !is_agreed(s)) return 0;
    for (int p = 0; p < RANKS; p++) {
        if (p == s || now.life[AT(s, p)] == DEAD) continue;
        if (now.expected[AT(s, p)]) return 0;
        if (!counts(s, p)) continue;
        if (!now.h_heard[AT(s, p)] || (MUTANT != 5 && !now.welcome[AT(s, p)]) || !is_done(s, p)) return 0;
        with++;
    }
    return with > 0;
}

/* ---- in the end ---- */

static int all_are_through(void) {
    int live = 0;
    for (int i = 0; i < RANKS; i++) {
        if (!now.up[i]) continue;
        if (!now.outside[i] && (now.entered[i] < ROUNDS || resting(i))) return 0;
        live += !now.outside[i];
    }
    for (int i = 0; i < RANKS; i++)
        if (now.up[i] && now.outside[i] && live > 0) return 0;
    return 1;
}
}

#define ME Preplica->i
#define RELAY(j, r) :: d_step { c_expr { may_relay (ME, j, r) } -> c_code { relay(ME, j, r); } }
#define PEER(j) \
    :: d_step { c_expr { may_put_body (ME, j) } -> c_code { now.body[AT(j, ME)] = now.made[ME]; } } \
    :: d_step { c_expr { may_put (ME, j) } -> c_code { put(ME, j); } } \
    :: d_step { c_expr { may_suspect (ME, j) } -> c_code { suspect(ME, j); } } \
    :: d_step { c_expr { may_hear (ME, j) } -> c_code { hear(ME, j); } } \
    :: d_step { c_expr { must_give_way (ME, j) } -> c_code { go(ME); } } \
    :: d_step { c_expr { may_welcome (ME, j) } -> c_code { do_welcome(ME, j); } } \
    RELAY(j, 0) RELAY(j, 1) RELAY(j, 2) RELAY(j, 3)

proctype replica(byte i) {
end:
    do
    :: d_step { c_expr { may_step (ME) } -> c_code { now.made[ME]++; } }
    :: d_step { c_expr { may_enter (ME) } -> c_code { now.entered[ME]++; } }
    :: d_step { c_expr { may_settle (ME) } -> c_code { settle(ME); }; assert(!differ && !lost) }
    :: d_step { c_expr { now.at_rest[ME] && now.done[ME] < now.entered[ME] } -> c_code { now.done[ME] = now.entered[ME]; } }
    :: d_step { c_expr { may_go_on (ME) } -> c_code { now.at_rest[ME] = 0; } }
    :: d_step { c_expr { now.up[ME] && now.crashes > 0 && mortal (ME) } -> c_code { now.crashes--; go(ME); } }
    :: d_step { c_expr { may_pass (ME) } -> c_code { pass(ME); } }
    :: d_step { c_expr { may_come_in (ME) } -> c_code { now.outside[ME] = 0; } }
    PEER(0) PEER(1) PEER(2) PEER(3)
    od
}

init {
    d_step {
        c_code {
            for (int i = 0; i < RANKS; i++) {
                now.up[i] = 1;
                now.outside[i] = i >= RANKS - SPARES;
                for (int j = 0; j < RANKS; j++) now.life[AT(i, j)] = j < RANKS - SPARES || i == j ? LIVE : ABSENT;
                for (int j = 0; j < RANKS; j++)
                    for (int r = 0; r < RANKS; r++) now.b_life[SAYS(i, j, r)] = r < RANKS - SPARES || r == j ? LIVE : ABSENT;
            }
        };
    }
    atomic {
        run replica(0);
        run replica(1);
        if :: RANKS > 2 -> run replica(2) :: else fi;
        if :: RANKS > 3 -> run replica(3) :: else fi
    }
    /* Nothing can happen any more. */
    timeout -> assert(c_expr { all_are_through () })
}
