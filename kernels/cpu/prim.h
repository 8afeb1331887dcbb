/* prim: a oneDNN primitive with its arguments, created once, bound to pointers, run many times.
 *
 * Scratch memory is the net's, one buffer for all. Errors: NO_MEMORY, DEVICE (oneDNN's status by name, and what was
 * being made).
 */
#ifndef TA_PRIM_H
#define TA_PRIM_H

#include "net.h"

enum { TA_PRIM_ARGS = 10 };

struct ta_prim {
    dnnl_primitive_t primitive;
    int n;
    dnnl_exec_arg_t args[TA_PRIM_ARGS]; /* args[0] is the scratchpad when `scratch` */
    bool scratch;
};

/* A description becomes a primitive_desc; the caller destroys it (dnnl_primitive_desc_destroy). `hint`: the forward
 * one. */
ta_status ta_prim_describe(struct ta_net *net, const_dnnl_op_desc_t op, const_dnnl_primitive_desc_t hint,
                           const char *what, dnnl_primitive_desc_t *out);
ta_status ta_prim_create(struct ta_net *net, struct ta_prim *prim, const_dnnl_primitive_desc_t desc, const char *what);
/* A reorder from one layout to another; when they are equal the primitive stays NULL. */
ta_status ta_prim_reorder(struct ta_net *net, struct ta_prim *prim, const dnnl_memory_desc_t *from,
                          const dnnl_memory_desc_t *to);
void ta_prim_destroy(struct ta_prim *prim); /* zeroed is fine */

/* Adds an argument (DNNL_ARG_*) of that layout, bound to `data` (may be NULL until bound). The number of the argument
 * comes back in *slot when it is not NULL. */
ta_status ta_prim_arg(struct ta_net *net, struct ta_prim *prim, int arg, const dnnl_memory_desc_t *layout,
                      const void *data, int *slot);
ta_status ta_prim_bind(struct ta_prim *prim, int slot, const void *data);
ta_status ta_prim_run(struct ta_net *net, struct ta_prim *prim);

/* oneDNN's status as ours. */
ta_status ta_dnnl(dnnl_status_t status, const char *what);

/* Descriptors: activations of a shape in channels-last; a plain matrix; a vector. */
ta_status ta_md_image(dnnl_memory_desc_t *md, uint32_t records, struct ta_shape shape);
ta_status ta_md_tag(dnnl_memory_desc_t *md, int rank, const dnnl_dim_t *dims, dnnl_format_tag_t tag);
static inline const dnnl_memory_desc_t *ta_md_of(const_dnnl_primitive_desc_t desc, dnnl_query_t what, int index) {
    return dnnl_primitive_desc_query_md(desc, what, index);
}

#endif
