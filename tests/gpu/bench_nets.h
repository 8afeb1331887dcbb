/* bench_nets: the networks that are measured: the CNN of TensAIR for CIFAR-10 (122,570 parameters) and ResNet-50 for
 * 224x224 (25,557,032 parameters; He, Zhang, Ren, Sun, CVPR 2016, in the form that everybody measures: strides in the
 * 3x3 convolutions, padding the same on both sides, as torchvision.models.resnet50). */
#ifndef TA_BENCH_NETS_H
#define TA_BENCH_NETS_H

#include "model.h"

/* "cifar10", "resnet50" or "tiny" (for tests of the programs). Errors: USAGE; FAILED: it has not as many parameters as
 * it must have; CONFIG, NO_MEMORY of the model. */
ta_status bench_nets_build(const char *name, struct ta_model *out);
/* Parameters that are descended, as PyTorch counts them. */
size_t bench_nets_trained(const struct ta_model *model);

#endif
