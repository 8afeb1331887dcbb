#!/usr/bin/env bash
# FIGURES: cifar_cnn_vs_pytorch_b32 cifar_cnn_vs_pytorch_b64 cifar_cnn_vs_pytorch_b128
#
# One training step of the CIFAR-10 CNN of TensAIR (forward, backward, update) on one core, ours and PyTorch's in turns,
# in the fastest of the layouts and optimizers PyTorch offers. The ratio is records per second, ours over theirs, the
# lesser of SGD and Adam. Needs $TENSAIR, the program, and PyTorch (python3-torch).
set -euo pipefail
: "${TENSAIR:?set TENSAIR to the tensair program}"

python=/usr/bin/python3
[ -x "$python" ] || python=python3
if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "kernels_vs_pytorch: PyTorch is missing (apt-get install python3-torch)" >&2
    exit 77
fi
# glibc would give PyTorch's large tensors back to the kernel after each step and fault them in again: let it keep them.
export MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_MMAP_THRESHOLD_=1000000000 MALLOC_TOP_PAD_=268435456
cpu=$(taskset -cp $$ | sed 's/.*[:,-] *//')
exec taskset -c "$cpu" "$python" "$(dirname "$0")/kernels_vs_pytorch.py" "$@"
