/* loss: softmax with cross-entropy, sigmoid with binary cross-entropy, squared error; loss, prediction and gradient in
 * one pass over a record, in forms that do not overflow. A record is short, so this is no hot spot: double throughout.
 */
#include <math.h>

#include "check.h"
#include "net.h"

static double largest(const float *z, uint32_t n) {
    double most = z[0];
    for (uint32_t j = 1; j < n; j++) {
        if (!(z[j] <= most)) most = z[j]; /* a NaN wins and stays: it must be seen */
        if (isnan(most)) break;
    }
    return most;
}

/* loss = log(sum(exp(z))) - z[y]; gradient = softmax(z) - onehot(y). */
static void cross_entropy(const struct ta_loss_args *a, uint32_t r) {
    size_t at = (size_t)r * a->outputs;
    const float *z = a->z + at;
    double most = largest(z, a->outputs), sum = 0;
    for (uint32_t j = 0; j < a->outputs; j++) sum += exp(z[j] - most);
    int32_t y = a->classes != NULL ? a->classes[r] : -1;
    if (a->losses != NULL && y >= 0) a->losses[r] = (float)(log(sum) - (z[y] - most));
    if (a->predictions == NULL && a->grad == NULL) return;
    for (uint32_t j = 0; j < a->outputs; j++) {
        double p = exp(z[j] - most) / sum;
        if (a->predictions != NULL) a->predictions[at + j] = (float)p;
        if (a->grad != NULL) a->grad[at + j] = (float)((p - ((int32_t)j == y ? 1.0 : 0.0)) * a->scale);
    }
}

/* loss = mean(max(z, 0) - z y + log(1 + exp(-|z|))); gradient = (sigmoid(z) - y) / outputs. */
static void binary_cross_entropy(const struct ta_loss_args *a, uint32_t r) {
    size_t at = (size_t)r * a->outputs;
    double loss = 0;
    for (uint32_t j = 0; j < a->outputs; j++) {
        double z = a->z[at + j], tail = exp(-fabs(z));
        double p = z >= 0 ? 1 / (1 + tail) : tail / (1 + tail);
        if (a->predictions != NULL) a->predictions[at + j] = (float)p;
        if (a->targets == NULL) continue;
        double y = a->targets[at + j];
        loss += (z > 0 ? z : 0) - z * y + log1p(tail);
        if (a->grad != NULL) a->grad[at + j] = (float)((p - y) * a->scale / a->outputs);
    }
    if (a->losses != NULL) a->losses[r] = (float)(loss / a->outputs);
}

/* loss = mean((z - y)^2); gradient = 2 (z - y) / outputs. */
static void squared_error(const struct ta_loss_args *a, uint32_t r) {
    size_t at = (size_t)r * a->outputs;
    double loss = 0;
    for (uint32_t j = 0; j < a->outputs; j++) {
        double z = a->z[at + j];
        if (a->predictions != NULL) a->predictions[at + j] = (float)z;
        if (a->targets == NULL) continue;
        double off = z - a->targets[at + j];
        loss += off * off;
        if (a->grad != NULL) a->grad[at + j] = (float)(2 * off * a->scale / a->outputs);
    }
    if (a->losses != NULL) a->losses[r] = (float)(loss / a->outputs);
}

/* What a record without a label leaves: no loss, and nothing to go down. */
static void no_label(const struct ta_loss_args *a, uint32_t r) {
    if (a->losses != NULL) a->losses[r] = NAN;
    for (uint32_t j = 0; j < a->outputs && a->grad != NULL; j++) a->grad[(size_t)r * a->outputs + j] = 0;
}

void ta_loss_run(const struct ta_loss_args *a) {
    if (a->predictions == NULL && a->losses == NULL && a->grad == NULL) return;
    const struct ta_labels labels = {.classes = a->classes,
                                     .targets = a->kind == TA_LOSS_CROSS_ENTROPY ? NULL : a->targets};
    bool any = labels.classes != NULL || labels.targets != NULL;
    for (uint32_t r = 0; r < a->records; r++) {
        switch (a->kind) {
        case TA_LOSS_CROSS_ENTROPY: cross_entropy(a, r); break;
        case TA_LOSS_BINARY_CROSS_ENTROPY: binary_cross_entropy(a, r); break;
        case TA_LOSS_SQUARED_ERROR: squared_error(a, r); break;
        }
        if (any && !ta_label_is_given(&labels, a->outputs, r)) no_label(a, r);
    }
}
