#!/usr/bin/env bash
# An include that crosses a border does not compile: tried with the very flags of a file on the wrong side, with one that is
# allowed beside it, so that a broken set-up cannot pass.
set -u
commands=${BUILD_DIR:?}/compile_commands.json
[ -f "$commands" ] || { echo "SKIPPED: $commands is missing (not a CMake build)"; exit 77; }
bad=0
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT

# flags FILE-SUFFIX: the compile command of that file without its input and outputs.
flags() {
    sed -n 's/^ *"command": "\(.*\)",$/\1/p' "$commands" | grep -- "-c [^ ]*$1\$" | head -1 |
        sed -E 's/ -MD| -MT [^ ]+| -MF [^ ]+| -o [^ ]+| -c [^ ]+//g; s/\\"/"/g'
}
# check FILE HEADER yes|no
check() {
    local command
    command=$(flags "$1")
    [ -n "$command" ] || { echo "borders: no compile command for $1"; bad=1; return; }
    printf '#include "%s"\n' "$2" >"$probe/probe.c"
    if $command -fsyntax-only -Wno-pedantic "$probe/probe.c" 2>/dev/null; then found=yes; else found=no; fi
    [ "$found" = "$3" ] && return
    echo "borders: $1 may include $2: $found, should be $3"
    bad=1
}
check framework/base/status.c status.h yes
check framework/base/status.c kernels.h no
check framework/base/status.c transport.h no
check framework/base/status.c model.h no
check kernels/kernels.c status.h yes
check kernels/kernels.c transport.h no
check kernels/kernels.c model.h no
check rdma/transport.c status.h yes
check rdma/transport.c kernels.h no
check rdma/transport.c exchange.h no
check rdma/transport.c gpu.h yes
check framework/gpu/plugin.c kernels.h no
check framework/model/model.c kernels.h yes
check framework/model/model.c transport.h no
check framework/model/model.c stream.h no
check framework/stream/stream.c status.h yes
check framework/stream/stream.c kernels.h no
check framework/stream/stream.c transport.h no
check framework/online/score.c status.h yes
check framework/online/score.c model.h no
check framework/exchange/exchange.c transport.h yes
check framework/exchange/exchange.c kernels.h yes
check framework/exchange/exchange.c stream.h no
check framework/words/vocabulary.c status.h yes
check framework/words/vocabulary.c model.h no
check framework/words/vocabulary.c kernels.h no
check framework/words/vocabulary.c stream.h no
check framework/run/replica/replica.c exchange.h yes
[ "$bad" = 0 ] && echo "borders: as drawn"
exit "$bad"
