/* prim: the only file that executes oneDNN primitives. */
#include "prim.h"

static const char *status_text(dnnl_status_t status) {
    switch (status) {
    case dnnl_out_of_memory: return "out of memory";
    case dnnl_invalid_arguments: return "invalid arguments";
    case dnnl_unimplemented: return "not implemented";
    case dnnl_runtime_error: return "runtime error";
    default: return "failed";
    }
}

ta_status ta_dnnl(dnnl_status_t status, const char *what) {
    if (status == dnnl_success) return TA_OK;
    if (status == dnnl_out_of_memory) return ta_fail(TA_NO_MEMORY, "oneDNN, %s: out of memory", what);
    const dnnl_version_t *v = dnnl_version();
    return ta_fail(TA_DEVICE, "oneDNN %d.%d.%d, %s: %s (status %d); ONEDNN_VERBOSE=2 says more", v->major, v->minor,
                   v->patch, what, status_text(status), (int)status);
}

ta_status ta_prim_describe(struct ta_net *net, const_dnnl_op_desc_t op, const_dnnl_primitive_desc_t hint,
                           const char *what, dnnl_primitive_desc_t *out) {
    dnnl_primitive_attr_t attr = NULL;
    ta_status status = ta_dnnl(dnnl_primitive_attr_create(&attr), what);
    if (status != TA_OK) return status;
    status = ta_dnnl(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user), what);
    if (status == TA_OK) status = ta_dnnl(dnnl_primitive_desc_create(out, op, attr, net->kernels->engine, hint), what);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

ta_status ta_prim_create(struct ta_net *net, struct ta_prim *prim, const_dnnl_primitive_desc_t desc, const char *what) {
    ta_status status = ta_dnnl(dnnl_primitive_create(&prim->primitive, desc), what);
    if (status != TA_OK) return status;
    const dnnl_memory_desc_t *scratch = ta_md_of(desc, dnnl_query_scratchpad_md, 0);
    size_t bytes = scratch == NULL ? 0 : dnnl_memory_desc_get_size(scratch);
    if (bytes == 0) return TA_OK;
    if (bytes > net->scratch_bytes) net->scratch_bytes = bytes;
    prim->scratch = true;
    return ta_prim_arg(net, prim, DNNL_ARG_SCRATCHPAD, scratch, NULL, NULL);
}

ta_status ta_prim_reorder(struct ta_net *net, struct ta_prim *prim, const dnnl_memory_desc_t *from,
                          const dnnl_memory_desc_t *to) {
    if (dnnl_memory_desc_equal(from, to)) return TA_OK;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_engine_t engine = net->kernels->engine;
    ta_status status = ta_dnnl(dnnl_primitive_attr_create(&attr), "reorder");
    if (status != TA_OK) return status;
    status = ta_dnnl(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user), "reorder");
    if (status == TA_OK)
        status = ta_dnnl(dnnl_reorder_primitive_desc_create(&desc, from, engine, to, engine, attr), "reorder");
    if (status == TA_OK) status = ta_prim_create(net, prim, desc, "reorder");
    if (desc != NULL) dnnl_primitive_desc_destroy(desc);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

void ta_prim_destroy(struct ta_prim *prim) {
    for (int i = 0; i < prim->n; i++) dnnl_memory_destroy(prim->args[i].memory);
    if (prim->primitive != NULL) dnnl_primitive_destroy(prim->primitive);
    *prim = (struct ta_prim){0};
}

ta_status ta_prim_arg(struct ta_net *net, struct ta_prim *prim, int arg, const dnnl_memory_desc_t *layout,
                      const void *data, int *slot) {
    if (prim->n == TA_PRIM_ARGS) return ta_fail(TA_INVALID, "a primitive has more than %d arguments", TA_PRIM_ARGS);
    dnnl_memory_t memory;
    void *handle = data == NULL ? DNNL_MEMORY_NONE : (void *)(uintptr_t)data;
    ta_status status = ta_dnnl(dnnl_memory_create(&memory, layout, net->kernels->engine, handle), "memory");
    if (status != TA_OK) return status;
    if (slot != NULL) *slot = prim->n;
    prim->args[prim->n++] = (dnnl_exec_arg_t){.arg = arg, .memory = memory};
    return TA_OK;
}

ta_status ta_prim_bind(struct ta_prim *prim, int slot, const void *data) {
    /* oneDNN has no const handles; inputs are not written. */
    return ta_dnnl(dnnl_memory_set_data_handle(prim->args[slot].memory, (void *)(uintptr_t)data), "bind");
}

ta_status ta_prim_run(struct ta_net *net, struct ta_prim *prim) {
    if (prim->scratch) {
        ta_status status = ta_prim_bind(prim, 0, net->scratch);
        if (status != TA_OK) return status;
    }
    dnnl_status_t status = dnnl_primitive_execute(prim->primitive, net->kernels->stream, prim->n, prim->args);
    if (status == dnnl_success) status = dnnl_stream_wait(net->kernels->stream);
    return ta_dnnl(status, "execution");
}

ta_status ta_md_tag(dnnl_memory_desc_t *md, int rank, const dnnl_dim_t *dims, dnnl_format_tag_t tag) {
    return ta_dnnl(dnnl_memory_desc_init_by_tag(md, rank, dims, dnnl_f32, tag), "layout");
}

ta_status ta_md_image(dnnl_memory_desc_t *md, uint32_t records, struct ta_shape s) {
    dnnl_dims_t dims = {records, s.c, s.h, s.w};
    return ta_md_tag(md, 4, dims, dnnl_nhwc);
}
