#!/usr/bin/env bash
# The tree keeps its rules: sizes, borders written as includes, one vendor in one place, no leftovers.
set -u
cd "${SOURCE_DIR:?}" || exit 1
bad=0
complain() { # complain RULE LINES
    [ -z "$2" ] && return
    bad=1
    printf 'house: %s\n%s\n' "$1" "$2" | sed '2,$s/^/    /'
}
files() { git ls-files -z --cached --others --exclude-standard -- "$@" 2>/dev/null | xargs -0 -r ls -d 2>/dev/null; }

git rev-parse --is-inside-work-tree >/dev/null 2>&1 || { echo "SKIPPED: not a git checkout"; exit 77; }
code=$(files '*.c' '*.h' '*.cu' '*.cuh')
all=$(files '*.c' '*.h' '*.cu' '*.cuh' '*.sh' '*.py' '*.cmake' '*.md' '*.txt' '*.yaml')

complain "a file over 400 lines: which noun is missing?" \
    "$(wc -l $(files '*.c' '*.h' '*.cu' '*.sh' '*.py') | awk '$2 != "total" && $1 > 400 {print $2 ": " $1}')"
complain "a function over 60 lines" "$(awk 'FNR == 1 {s = 0} /^\{|^[a-zA-Z_].*\) \{$/ {s = FNR; name = $0}
    /^\}/ {if (s && FNR - s > 60) print FILENAME ":" s ": " FNR - s " lines"; s = 0}' $(files '*.c' '*.cu'))"
complain "an include that climbs over a border" "$(grep -nE '#include "\.\./' $code)"
complain "oneDNN outside kernels/cpu" "$(grep -lE 'oneapi/dnnl' $code | grep -v '^kernels/cpu/')"
complain "hdf5.h outside its wrapper" "$(grep -lE '#include [<"]hdf5\.h' $code | grep -vE '^framework/base/h5|^tests/')"
complain "verbs outside rdma/verbs" "$(grep -lE 'infiniband/verbs\.h' $code | grep -v '^rdma/verbs/')"
complain "cuDNN outside kernels/cuda/cudnn" \
    "$(grep -lE '#include [<"]cudnn[a-z_0-9]*\.h' $code | xargs -r grep -lE '#include <cudnn' | grep -vE '^kernels/cuda/cudnn/|^tests/gpu/')"
complain "CUDA outside the plugins" "$(grep -lE '#include [<"](cuda|nccl|cublas)[a-zA-Z_0-9]*\.h[>"]' $code |
    grep -vE '^(framework/gpu/cuda|kernels/cuda|rdma/nccl|tests/gpu)/')"
complain "exit, abort or assert outside main" \
    "$(grep -nE '(^|[^_a-z>.])(exit|abort|assert)\(' $(files 'framework/*.c' 'kernels/*.c' 'rdma/*.c' 'slurm/*.c') | grep -vE '^framework/cli/main\.c|_exit\(')"
complain "left open" "$(grep -nE '\b(TODO|FIXME|XXX|HACK)\b' $all | grep -v '^tests/scripts/house.sh')"
complain "a header without its guard" "$(for f in $(files '*.h'); do grep -q '#ifndef TA_' "$f" || echo "$f"; done)"
complain "trailing blanks or tabs in C" "$(grep -nE '[[:blank:]]$|	' $code)"
complain "a shell script that does not parse" "$(for f in $(files '*.sh'); do bash -n "$f" 2>&1; done)"
[ "$bad" = 0 ] && echo "house: $(echo "$code" | wc -l) C files keep the rules"
exit "$bad"
