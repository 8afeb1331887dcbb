#!/usr/bin/env bash
# FIGURES: words_vs_word2vec_d100 words_vs_word2vec_d300 words_vs_pword2vec_d100 words_vs_pword2vec_d300 words_two_vs_one_d100 words_two_vs_one_d300 words_memory_one_d100 words_memory_one_d300 words_memory_two_d100 words_bytes_per_row words_analogies_one words_analogies_two words_similarity_one words_similarity_two
#
# Skip-gram, window 5, negative 5, min-count 5, sample 1e-4, one pass over the text: words a second against word2vec's loop and
# against pWord2Vec, two replicas against one, memory against the tables, bytes put against rows put, analogies (%) and
# WordSim-353 (Spearman) of three seeds.
#
# pWord2Vec (github.com/IntelLabs/pWord2Vec) is not in Debian: TENSAIR_PWORD2VEC names an installed program; without it
# what needs it is left out. It builds with g++ and OpenBLAS once `mkl.h` is replaced by `cblas.h`.
# WORDS_SEEDS (3) seeds; WORDS_TURNS (3) turns of each rate.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/figures/run_common.sh

stream=$(ta_stream_word2vec) || exit 77
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cores=($(/usr/bin/python3 -c 'import os; print(*sorted(os.sched_getaffinity(0))[:2])'))
say() { printf 'FIGURE %s %s %s asked %s %s\n' "$@"; }

# train REPLICAS DIM SEED: into $folder/run
train() {
    local on=${cores[0]}
    [ "$1" = 1 ] || on=${cores[0]},${cores[1]}
    rm -rf "$folder/run"
    taskset -c "$on" "$tensair" train experiments/word2vec/word2vec.yaml -n "$1" --quiet --run-dir "$folder/run" \
        --set stream.file="$PWD/$stream" --set model.dim="$2" --set run.seed="$3" >/dev/null
}

# peer DIM: words a second of pWord2Vec on one core, in training alone; its vectors in $folder/peer.bin
peer() {
    [ -f "$folder/text" ] || gunzip -cf "$(ta_need_text)" >"$folder/text"
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c "${cores[0]}" "$TENSAIR_PWORD2VEC" -train "$folder/text" \
        -output "$folder/peer.bin" -size "$1" -window 5 -negative 5 -sample 1e-4 -min-count 5 -iter 1 -threads 1 -binary 1 \
        -batch-size 11 | tr '\r' '\n' | sed -n 's/.*Words\/sec: *\([0-9.]*\)k.*/\1/p' | tail -1 | awk '{print 1000 * $1}'
}

# field KEY LINES: the largest value that any replica's last lines give for a field of the metrics
peak() {
    /usr/bin/python3 - "$1" "$folder/run/metrics.jsonl" <<'PYTHON'
import json, sys
print(max(line[sys.argv[1]] for line in map(json.loads, open(sys.argv[2])) if line["kind"] == "window"))
PYTHON
}

# rates DIM: ours with one and two replicas, and the peer's, in turns
rates() {
    local one two other=0
    for _ in $(seq "${WORDS_TURNS:-3}"); do
        train 1 "$1" 1
        one=$(ta_summary words_per_s "$folder/run")
        train 2 "$1" 1
        two=$(ta_summary words_per_s "$folder/run")
        [ -z "${TENSAIR_PWORD2VEC:-}" ] || other=$(peer "$1")
        echo "words: dim $1: one replica $one words/s, two replicas $two, pWord2Vec $other" >&2
        echo "$one $two $other" >>"$folder/rates-$1"
    done
    [ -z "${TENSAIR_PWORD2VEC:-}" ] ||
        say "words_vs_pword2vec_d$1" "$(awk '{print $1 / $3}' "$folder/rates-$1" | ta_median)" ratio '>=' 1.3
    say "words_two_vs_one_d$1" "$(awk '{print $2 / $1}' "$folder/rates-$1" | ta_median)" ratio '>=' 1.8
}

# memory DIM: of the run that has just ended, one replica: resident memory against its two tables
memory() {
    local words
    words=$(/usr/bin/python3 -c 'import h5py, sys; print(h5py.File(sys.argv[1])["vocabulary"].shape[0])' "$stream")
    say "words_memory_one_d$1" "$(awk -v r="$(peak rss_bytes)" -v w="$words" -v d="$1" 'BEGIN {print r / (8 * w * d)}')" \
        ratio '<' 1.5
}

# score NAME: analogies and similarity of the run that has just ended, added to $folder/NAME
score() {
    "$tensair" eval words "$2" --analogies "$TENSAIR_DATA/text/questions-words.txt" \
        --similarity "$TENSAIR_DATA/text/EN-WS-353-ALL.txt" --json | /usr/bin/python3 -c '
import json, sys
o = json.load(sys.stdin)
print(100 * o["analogies"]["all"]["accuracy"], o["similarity"]["spearman"])' >>"$folder/$1"
}

"$tensair" bench words "$stream" --dim 100 --turns 1 | grep '^FIGURE'
"$tensair" bench words "$stream" --dim 300 --turns 1 --words 1500000 | grep '^FIGURE'
for dim in 100 300; do
    train 1 $dim 1
    memory $dim
    rates $dim
done

train 2 100 1
say words_memory_two_d100 "$(awk -v h="$(peak held_bytes)" -v d="$(peak derived_bytes)" 'BEGIN {print h / d}')" ratio '<=' 1.1
say words_bytes_per_row "$(awk -v b="$(ta_summary bytes "$folder/run")" -v r="$(ta_summary rows "$folder/run")" \
    'BEGIN {print b / r / 416}')" ratio '<=' 1.1

[ -f "${TENSAIR_DATA:-none}/text/questions-words.txt" ] || exit 0
for seed in $(seq "${WORDS_SEEDS:-3}"); do
    for replicas in 1 2; do
        train $replicas 100 "$seed"
        score "scores-$replicas" "$folder/run"
    done
    [ -z "${TENSAIR_PWORD2VEC:-}" ] || { peer 100 >/dev/null && score scores-peer "$folder/peer.bin"; }
done
for name in scores-1 scores-2 scores-peer; do
    [ -f "$folder/$name" ] && echo "words: $name (analogies %, similarity): $(tr '\n' ';' <"$folder/$name")" >&2
done
# The bounds are pWord2Vec's medians, less the spread of its and our seeds.
say words_analogies_one "$(cut -d' ' -f1 "$folder/scores-1" | ta_median)" % '>=' 11.0
say words_analogies_two "$(cut -d' ' -f1 "$folder/scores-2" | ta_median)" % '>=' 11.0
say words_similarity_one "$(cut -d' ' -f2 "$folder/scores-1" | ta_median)" rho '>=' 0.42
say words_similarity_two "$(cut -d' ' -f2 "$folder/scores-2" | ta_median)" rho '>=' 0.42
