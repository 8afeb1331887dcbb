/* check: what every make asks of a net before it builds anything.
 *
 * Thread-safe, allocates only a table of one byte a layer.
 */
#ifndef TA_CHECK_H
#define TA_CHECK_H

#include "kernels.h"

/* The most elements of one record in one layer, and of one parameter tensor: sizes stay far from overflow. */
#define TA_NET_MAX_ELEMENTS ((size_t)1 << 31)

/* Every input index points backwards, every shape follows from its inputs and attributes, every parameter tensor has
 * the count its layer needs and lies inside the arena, every output but the last is read by somebody, numbers are in
 * range. Errors: CONFIG, naming the layer's number and name and both numbers; NO_MEMORY. */
ta_status ta_net_check(const struct ta_net_spec *spec);

/* The shape that arrives at input `which` of layer i (a checked spec). */
struct ta_shape ta_net_input_shape(const struct ta_net_spec *spec, uint32_t i, unsigned which);

/* True when the loss itself computes the last layer: softmax under cross-entropy, sigmoid under binary cross-entropy.
 */
bool ta_net_loss_takes_last(const struct ta_net_spec *spec);

/* The labels fit the loss: classes in [-1, outputs), targets given. Errors: CONFIG (which record), INVALID (none
 * given). */
ta_status ta_labels_check(const struct ta_net_spec *spec, const struct ta_labels *labels);

/* Whether one record has a label: by its targets where there are any, else by its class. */
bool ta_label_is_given(const struct ta_labels *labels, uint32_t outputs, uint32_t record);
/* How many records of a batch do; checked labels. */
uint32_t ta_labels_given(const struct ta_net_spec *spec, const struct ta_labels *labels);

#endif
