/* weights: the arena is one array of float32 in Keras' layouts; libraries want kernels in their own order, bfloat16,
 * and addresses at 16 bytes. What already is as it should be is used where it lies; the rest is copied at the start of
 * a step, and gradients at its end, all of a net in a launch or a few. */
#include <string.h>

#include "mem.h"
#include "net.h"

enum { ALIGNED_FLOATS = 4, COPY_BYTES = 256 };

ta_status ta_tensor_state(struct ta_tensors *all, struct ta_tensor *t) {
    t->copied = t->krsc || t->type != TA_FLAT_FLOAT || t->param.offset % ALIGNED_FLOATS != 0;
    if (!t->copied || t->param.count == 0) return TA_OK;
    if (all->n == all->room) {
        uint32_t room = all->room == 0 ? 16 : 2 * all->room;
        ta_status status = ta_mem_resize((void **)&all->list, room * sizeof *all->list, "the tensors of a net");
        if (status != TA_OK) return status;
        all->room = room;
    }
    t->at = all->bytes;
    all->list[all->n++] = (struct ta_flat_tensor){.arena = t->param.offset,
                                                  .packed = t->at,
                                                  .taps = t->taps,
                                                  .in = t->in,
                                                  .out = t->out,
                                                  .krsc = t->krsc,
                                                  .type = t->type};
    all->bytes += (t->param.count * ta_flat_bytes(t->type) + COPY_BYTES - 1) / COPY_BYTES * COPY_BYTES;
    return TA_OK;
}

ta_status ta_weights_load(struct ta_net *net, const struct ta_pass *pass) {
    const struct ta_tensors *all = &net->weights;
    if (all->n == 0) return TA_OK;
    return ta_gpu_said(net->kernels->gpu, ta_flat_pack(pass->stream, all->list, all->n, pass->w, all->copies),
                       "bringing weights into the order of the libraries");
}

ta_status ta_gradients_store(struct ta_net *net, const struct ta_pass *pass) {
    const struct ta_tensors *all = &net->gradients;
    if (all->n == 0) return TA_OK;
    return ta_gpu_said(net->kernels->gpu, ta_flat_unpack(pass->stream, all->list, all->n, all->copies, pass->grad),
                       "bringing gradients into the order of the arena");
}

const void *ta_weight(const struct ta_net *net, const struct ta_pass *pass, const struct ta_tensor *t) {
    return t->copied ? (const char *)net->weights.copies + t->at : (const void *)(pass->w + t->param.offset);
}

void *ta_gradient(const struct ta_net *net, const struct ta_pass *pass, const struct ta_tensor *t) {
    return t->copied ? (char *)net->gradients.copies + t->at : (void *)(pass->grad + t->param.offset);
}
