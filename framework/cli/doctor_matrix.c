/* doctor_matrix: who meets whom when, and who stands out. */
#include <stdlib.h>

#include "doctor_slurm.h"
#include "mem.h"

/* The circle method: all but the last turn around by a place a round; an odd number is filled up by one that is not
 * there. */
unsigned ta_matrix_rounds(unsigned n) { return n < 2 ? 0 : n % 2 == 0 ? n - 1 : n; }

unsigned ta_matrix_partner(unsigned node, unsigned round, unsigned n) {
    unsigned turning = ta_matrix_rounds(n), partner; /* an odd number, of which `turning` itself is the fixed one */
    if (turning == 0) return node;
    if (node == turning) {
        /* Meets the one whose double is the round: 2 x = round, modulo an odd number. */
        partner = round % 2 == 0 ? round / 2 : (round + turning) / 2;
    } else {
        partner = (round + turning - node) % turning;
        if (partner == node) partner = turning;
    }
    return partner < n ? partner : node;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(double *values, size_t n) {
    if (n == 0) return 0;
    qsort(values, n, sizeof *values, ascending);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

bool ta_matrix_pair_is_odd(const struct ta_pair *pair, double median) {
    return pair->state == TA_PAIR_FAILED || (pair->state == TA_PAIR_MEASURED && pair->gb_per_s < median / 2);
}

ta_status ta_matrix_judge(const struct ta_pair *pairs, unsigned n, double *median, bool *odd) {
    double *values;
    size_t used = 0;
    *median = 0;
    ta_status status = TA_NEW(&values, (size_t)n * n + 1, "the puts between nodes");
    if (status != TA_OK) return status;
    for (size_t i = 0; i < (size_t)n * n; i++)
        if (pairs[i].state == TA_PAIR_MEASURED) values[used++] = pairs[i].gb_per_s;
    *median = median_of(values, used);
    for (unsigned node = 0; node < n; node++) {
        size_t own = 0;
        for (unsigned other = 0; other < n; other++) {
            const struct ta_pair *both[] = {&pairs[(size_t)node * n + other], &pairs[(size_t)other * n + node]};
            for (unsigned way = 0; way < 2 && other != node; way++)
                if (both[way]->state != TA_PAIR_NONE)
                    values[own++] = both[way]->state == TA_PAIR_MEASURED ? both[way]->gb_per_s : 0;
        }
        /* Of two nodes neither is the odd one. */
        odd[node] = n > 2 && own > 0 && median_of(values, own) < 0.7 * *median;
    }
    ta_mem_free(values);
    return TA_OK;
}
