/* agrawal: people who ask for a loan, and ten rules who is in group A; see synthetic.h. */
#include "generator.h"
#include "synthetic.h"

enum { SALARY, COMMISSION, AGE, ELEVEL, CAR, ZIPCODE, HVALUE, HYEARS, LOAN, ATTRIBUTES };
enum { OPTION_NOISE, OPTION_PERTURBATION, OPTION_RAW };

static ta_status shape(const struct ta_generator_args *args, struct ta_stream_info *info, size_t *state_bytes) {
    (void)args;
    info->c = ATTRIBUTES;
    info->classes = 2;
    *state_bytes = 0;
    return TA_OK;
}

static int within(double value, double least, double most) { return least <= value && value <= most; }

/* Index of the age group: under 40, under 60, the rest. */
static int age_group(double age) { return age < 40 ? 0 : age < 60 ? 1 : 2; }

/* Functions 1 to 6: thresholds by age group. */
static int group_a_by_age(const float x[ATTRIBUTES], uint32_t function) {
    static const double salary[3][2] = {{50e3, 100e3}, {75e3, 125e3}, {25e3, 75e3}};
    /* [age group][does the education level fit?] */
    static const double salary_by_level[3][2][2] = {
        {{50e3, 100e3}, {25e3, 75e3}}, {{75e3, 125e3}, {50e3, 100e3}}, {{25e3, 75e3}, {50e3, 100e3}}};
    static const double loan_by_salary[3][2][2] = {
        {{200e3, 400e3}, {100e3, 300e3}}, {{300e3, 500e3}, {200e3, 400e3}}, {{100e3, 300e3}, {300e3, 500e3}}};
    int group = age_group((double)x[AGE]);
    double earned = (double)x[SALARY];
    /* Education levels 0-1, 1-3, 2-4 for the three ages. */
    int level_fits = within((double)x[ELEVEL], group, group == 0 ? 1 : group + 2);
    int salary_fits = within(earned, salary[group][0], salary[group][1]);
    const double *range;
    switch (function) {
    case 1: return group != 1;
    case 2: return salary_fits;
    case 3: return level_fits;
    case 4: range = salary_by_level[group][level_fits]; return within(earned, range[0], range[1]);
    case 5: range = loan_by_salary[group][salary_fits]; return within((double)x[LOAN], range[0], range[1]);
    default: return within(earned + (double)x[COMMISSION], salary[group][0], salary[group][1]);
    }
}

/* Functions 7 to 10: is there disposable income? */
static int group_a_by_income(const float x[ATTRIBUTES], uint32_t function) {
    double income = 2 * ((double)x[SALARY] + (double)x[COMMISSION]) / 3;
    double study = 5000 * (double)x[ELEVEL], debt = (double)x[LOAN] / 5;
    switch (function) {
    case 7: return income - debt - 20000 > 0;
    case 8: return income - study - 20000 > 0;
    case 9: return income - study - debt - 10000 > 0;
    default: break;
    }
    double equity = x[HYEARS] < 20 ? 0 : (double)x[HVALUE] * ((double)x[HYEARS] - 20) / 10;
    return income - study + equity / 5 - 10000 > 0;
}

int ta_agrawal_class(const float x[9], uint32_t function) {
    return function <= 6 ? !group_a_by_age(x, function) : !group_a_by_income(x, function);
}

static float uniform(struct ta_rng *rng, double least, double most) {
    return (float)(least + (most - least) * ta_rng_uniform(rng));
}

static void draw_person(struct ta_rng *rng, float x[ATTRIBUTES]) {
    x[SALARY] = uniform(rng, 20e3, 150e3);
    float commission = uniform(rng, 10e3, 75e3); /* drawn in any case: the numbers behind it stay where they are */
    x[COMMISSION] = x[SALARY] >= 75e3f ? 0 : commission;
    x[AGE] = (float)(20 + ta_rng_below(rng, 61));
    x[ELEVEL] = (float)ta_rng_below(rng, 5);
    x[CAR] = (float)(1 + ta_rng_below(rng, 20));
    x[ZIPCODE] = (float)ta_rng_below(rng, 9);
    x[HVALUE] = uniform(rng, 0.5, 1.5) * 100e3f * (9 - x[ZIPCODE]);
    x[HYEARS] = (float)(1 + ta_rng_below(rng, 30));
    x[LOAN] = uniform(rng, 0, 500e3);
}

static float shifted(struct ta_rng *rng, float value, double p, double least, double most) {
    double moved = (double)value + (ta_rng_uniform(rng) - 0.5) * p * (most - least);
    return (float)(moved < least ? least : moved > most ? most : moved);
}

static void perturb(struct ta_rng *rng, double p, float x[ATTRIBUTES]) {
    double house = 100e3 * (9 - (double)x[ZIPCODE]);
    x[SALARY] = shifted(rng, x[SALARY], p, 20e3, 150e3);
    float commission = shifted(rng, x[COMMISSION], p, 10e3, 75e3);
    if (x[COMMISSION] > 0) x[COMMISSION] = commission; /* who has none stays without */
    x[AGE] = shifted(rng, x[AGE], p, 20, 80);
    x[HVALUE] = shifted(rng, x[HVALUE], p, 0.5 * house, 1.5 * house);
    x[HYEARS] = shifted(rng, x[HYEARS], p, 1, 30);
    x[LOAN] = shifted(rng, x[LOAN], p, 0, 500e3);
}

static void to_unit(float x[ATTRIBUTES]) {
    static const float range[ATTRIBUTES][2] = {{20e3f, 150e3f}, {0, 75e3f},       {20, 80}, {0, 4},     {1, 20},
                                               {0, 8},          {50e3f, 1350e3f}, {1, 30},  {0, 500e3f}};
    for (int i = 0; i < ATTRIBUTES; i++) x[i] = (x[i] - range[i][0]) / (range[i][1] - range[i][0]);
}

static int32_t draw(const struct ta_generator_args *args, const void *state, uint32_t concept, uint64_t record,
                    struct ta_rng *rng, void *x) {
    (void)state, (void)record;
    draw_person(rng, x);
    int32_t class = ta_agrawal_class(x, concept);
    if (args->option[OPTION_PERTURBATION] > 0) perturb(rng, args->option[OPTION_PERTURBATION], x);
    if (args->option[OPTION_RAW] == 0) to_unit(x);
    return class;
}

const struct ta_generator ta_generator_agrawal = {
    .name = "agrawal",
    .summary = "9 facts about a person, 2 classes by one of ten rules (Agrawal, Imielinski, Swami 1993)",
    .concepts = 10,
    .options = {{.name = "noise", .fallback = 0, .least = 0, .most = 1},
                {.name = "perturbation", .fallback = 0, .least = 0, .most = 1},
                {.name = "raw", .fallback = 0, .least = 0, .most = 1, .whole = true}},
    .noise_option = OPTION_NOISE,
    .shape = shape,
    .draw = draw,
};
