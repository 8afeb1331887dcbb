#!/usr/bin/env bash
# How good are word vectors learned in one pass over a text, and how fast are they learned?
#   experiments/word2vec/run.sh [REPLICAS] [options of tensair train]
#   ONLINE=1 experiments/word2vec/run.sh ...     the vocabulary is found in the stream too
# Uses $TENSAIR_DATA/text when it is there, else fetches text8. Scores need questions-words.txt and EN-WS-353-ALL.txt
# beside the text.
set -euo pipefail
cd "$(dirname "$0")/../.."
. experiments/common.sh
replicas=${1:-1}
shift $(($# > 0))
ta_setup
config=word2vec
[ -z "${ONLINE:-}" ] || config=online
if [ $config = word2vec ]; then stream=$(ta_stream_word2vec); else stream=$(ta_stream_word2vec_online); fi
run_dir=runs/word2vec-$(date -u +%Y%m%dT%H%M%SZ)
"$tensair" train experiments/word2vec/$config.yaml -n "$replicas" --run-dir "$run_dir" --set stream.file="$PWD/$stream" "$@"
"$tensair" plot "$run_dir"
scores=()
folder=${TENSAIR_DATA:-none}/text
[ ! -f "$folder/questions-words.txt" ] || scores+=(--analogies "$folder/questions-words.txt")
[ ! -f "$folder/EN-WS-353-ALL.txt" ] || scores+=(--similarity "$folder/EN-WS-353-ALL.txt")
"$tensair" eval words "$run_dir" "${scores[@]}" --near king
