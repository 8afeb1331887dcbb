#!/usr/bin/env bash
# All checks and measurements of a GPU in one go, in less than eight minutes; a line a check, results.json in the end.
#
#   tests/gpu/run.sh [--out DIR]            builds here, then checks and measures here
#   tests/gpu/run.sh --pack DIR             builds here; DIR gets what a machine with a GPU needs that lacks our files
#                                           (less than 60 MiB), and sources, in case programs do not start there
#   DIR/run.sh --from DIR [--out DIR2]      there: checks and measures with what was packed
#   tests/gpu/run.sh --make-believe         the motions alone, on the make-believe device: figures mean nothing
#
#   --build DIR    where to build (default build/gpu-run)      --no-build   what lies there is taken as it is
#   --out DIR      where results.json goes (default build/gpu-results)
#   --seconds N    the time that all of it may take (default 450): what does not fit is SKIPPED
#   PYTHON=...     the Python that has PyTorch (default: python3, else /usr/bin/python3)
#   TENSAIR_WORD2VEC_CUDA=PROGRAM    a word2vec for GPUs, with word2vec.c's options: the peer of words
#
# cuDNN, cuBLASLt and NCCL are found in Python's wheels (nvidia-cudnn-cu13, ...), in CUDA's toolkit or in the system.
# Exit status: 0: all that could be checked passed; 1: a check failed; 77: there is no GPU here; 2: usage.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

pack='' from='' out='' build='' fake=no rebuild=yes seconds=450
while [ $# -gt 0 ]; do
    case $1 in
    --pack | --from | --out | --build | --seconds)
        [ $# -ge 2 ] || { echo "run.sh: $1 needs a value" >&2 && exit 2; }
        declare "${1#--}=$2" && shift ;;
    --make-believe) fake=yes ;;
    --no-build) rebuild=no ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" && exit 0 ;;
    *) echo "run.sh: unknown option '$1' (see --help)" >&2 && exit 2 ;;
    esac
    shift
done

python=${PYTHON:-python3}
has_torch() { "$1" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)' 2>/dev/null; }
if [ -z "${PYTHON:-}" ] && ! has_torch python3 && has_torch /usr/bin/python3; then python=/usr/bin/python3; fi

scripts=(bench_run.py bench_report.py bench_place.py bench_programs.py bench_races.py bench_replicas.py
    bench_sources.py peer_pytorch.py)

# measure PROGRAMS LIBRARIES COMMIT [options of bench_run.py]
measure() {
    local programs=$1 libraries=$2 commit=$3
    shift 3
    "$python" "$here/bench_run.py" --programs "$programs" --libraries "$libraries" --commit "$commit" \
        --out "${out:-build/gpu-results}" --seconds "$seconds" "$@"
}

commit_here() { git -C "$root" describe --always --dirty 2>/dev/null || echo unknown; }

# Targets that cannot be built for want of nvcc, cuDNN or NCCL are not there: what is, is built.
build_all() {
    build=${build:-$root/build/gpu-run}
    [ "$rebuild" = yes ] || return 0
    local log=$build/run-build.log targets target there
    mkdir -p "$build"
    cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release >"$log" 2>&1 || { tail -20 "$log" >&2; return 1; }
    targets=$(ninja -C "$build" -t targets all | sed 's/:.*//')
    for target in tensair gpu_bench "$@"; do
        there=$(grep -cx "$target" <<<"$targets" || true)
        [ "$there" -gt 0 ] || { echo "run.sh: $target cannot be built here" >&2; continue; }
        ninja -C "$build" -k 0 "$target" >>"$log" 2>&1 || echo "run.sh: not all of $target was built; $log says why" >&2
    done
}

# gather FOLDER: programs and plugins of the build, stripped.
gather() {
    local to=$1 file
    mkdir -p "$to"
    for file in "$build"/framework/cli/tensair "$build"/framework/cli/tensair-*.so "$build"/tests/gpu/gpu_*_real \
        "$build"/tests/gpu/gpu_bench_{copy,apply,put,net,words,faults}; do
        [[ -f $file && $file != */gpu_plugin_real ]] || continue # the latter needs no device: ctest runs it
        cp "$file" "$to/" && strip "$to/$(basename "$file")"
    done
}

# Shared libraries that a bare machine lacks: what the programs need but the C and C++ libraries and the vendor's own.
libraries() {
    local to=$1 programs=$2
    mkdir -p "$to"
    find "$programs" -type f -exec ldd {} + 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u |
        grep -vE '/(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|stdc\+\+|gcc_s|util|nsl|anl))\.so' |
        grep -vE '/lib(cuda|cudart|cudnn|cublas|nccl|nvrtc|nvJitLink|cupti)[^/]*\.so' |
        while read -r library; do
            cp -L "$library" "$to/"
            strip --strip-unneeded "$to/$(basename "$library")" 2>/dev/null || true
        done
}

if [ -n "$from" ]; then
    if [ ! -f "$from/programs.tar.gz" ]; then
        echo "run.sh: $from/programs.tar.gz is not there: pack it with --pack first" >&2
        exit 2
    fi
    unpacked=$(mktemp -d)
    trap 'rm -rf "$unpacked"' EXIT
    tar -xzf "$from/programs.tar.gz" -C "$unpacked"
    code=0 programs=$unpacked/bin
    if [ ! -x "$programs/tensair" ] || ! LD_LIBRARY_PATH=$unpacked/lib "$programs/tensair" version >/dev/null; then
        echo "run.sh: what was packed does not start here: building what can be built from source" >&2
        programs=$unpacked/built
        "$python" "$here/bench_sources.py" build "$unpacked/src" "$programs" || true
    fi
    measure "$programs" "$unpacked/lib" "$(cat "$from/commit" 2>/dev/null || echo unknown)" || code=$?
    exit $code
fi

if [ "$fake" = yes ]; then
    build_all tensair-cuda-fake tensair-nccl-fake
    gather "$build/gpu-programs"
    code=0
    measure "$build/gpu-programs" "" "$(commit_here)" --make-believe --plugins "$build/tests/gpu/fake" || code=$?
    exit $code
fi

build_all tensair-cuda tensair-nccl gpu_real
if [ -z "$pack" ]; then
    rm -rf "$build/gpu-programs"
    gather "$build/gpu-programs"
    code=0
    measure "$build/gpu-programs" "" "$(commit_here)" || code=$?
    exit $code
fi

mkdir -p "$pack"
staged=$(mktemp -d)
trap 'rm -rf "$staged"' EXIT
gather "$staged/bin"
libraries "$staged/lib" "$staged/bin"
"$python" "$here/bench_sources.py" collect "$build" "$staged/src"
tar -czf "$pack/programs.tar.gz" -C "$staged" bin lib src
for script in "${scripts[@]}" run.sh; do cp "$here/$script" "$pack/"; done
commit_here >"$pack/commit"
size=$(du -sm "$pack" | cut -f1)
count() { find "$staged/$1" -type f | wc -l; }
echo "run.sh: $pack: $(count bin) programs, $(count lib) libraries, $size MiB"
[ "$size" -lt 60 ] || { echo "run.sh: that is more than 60 MiB" >&2; exit 1; }
[ -f "$staged/bin/tensair-cuda.so" ] || echo "run.sh: without tensair-cuda.so: nothing of it will run on a GPU" >&2
