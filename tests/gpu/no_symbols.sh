#!/bin/bash
# The program starts where there is no driver and no library of CUDA's: it needs none of them, and no symbol of theirs.
# The same is then looked for in the plugin, where it must be found: else this looks for the wrong thing.
set -u
program=${TENSAIR:?}
plugin=$(dirname "$program")/tensair-cuda.so
vendor='lib(cuda|cudart|cudnn|cublas|cublasLt|nccl|nvrtc|nvidia)[A-Za-z_-]*\.so'
calls=' (cu[A-Z][A-Za-z]+|cuda[A-Z][A-Za-z]+|cudnn[A-Z][A-Za-z]+|cublas[A-Z][A-Za-z]+|nccl[A-Z][A-Za-z]+|__cuda[A-Za-z]+)'

needs() { readelf -d "$1" | grep NEEDED | grep -E "$vendor"; }
asks() { nm -D --undefined-only "$1" | grep -E "$calls"; }

failed=0
if found=$(needs "$program"); then echo "$program needs $found"; failed=1; fi
if found=$(asks "$program"); then echo "$program asks for $found"; failed=1; fi
if found=$(ldd "$program" | grep -E "$vendor"); then echo "$program loads $found"; failed=1; fi
"$program" version >/dev/null || { echo "it does not start"; failed=1; }
for call in ta_fail ta_why ta_mem_alloc; do
  nm -D --defined-only "$program" | grep -q " $call\$" || { echo "plugins cannot use the program's $call"; failed=1; }
done
if [ -e "$plugin" ]; then
  needs "$plugin" >/dev/null || { echo "$plugin needs no library of CUDA: this test sees nothing"; failed=1; }
  asks "$plugin" >/dev/null || { echo "$plugin asks for no call of CUDA: this test sees nothing"; failed=1; }
  if found=$(readelf -d "$plugin" | grep NEEDED | grep -E 'libcuda\.so|libcudart'); then
    echo "$plugin does not load without a driver: $found"; failed=1
  fi
  # A name that both have is the program's: well for code that is the same, and a crash for any other.
  names() { nm --defined-only "$@" 2>/dev/null | awk 'NF == 3 {print $3}' | sort -u; }
  same=$(cd "${BUILD_DIR:?}" && names framework/base/libta_base.a framework/gpu/libta_gpu.a kernels/libta_kernels_common.a)
  both=$(comm -12 <(names -D "$program") <(names -D "$plugin") | grep '^ta_')
  found=$(comm -23 <(echo "$both") <(echo "$same"))
  echo "$both" | grep -qx ta_fail || { echo "no name in both: this test sees nothing"; failed=1; }
  [ -z "$found" ] || { echo "program and plugin each have their own" $found; failed=1; }
fi
exit $failed
