# common.sh: sourced by the experiments from the top of the checkout: packages, the program, the streams.
#
# ta_setup            installs what is missing, builds the program, sets $tensair
# ta_stream_X         prints the path of stream X in experiments/data, made on first use; fails, with one line, when its
#                     data can be neither found in $TENSAIR_DATA nor fetched
# ta_experiment NAME REPLICAS [REPLICAS] [options of tensair train]: sets up, trains experiments/NAME/NAME.yaml on stream NAME
#                     with so many replicas (the first number is what is usual), draws the plots
# ta_compare NAME STREAM [options of experiments/drift/compare]: sets up, runs experiments/NAME/NAME.yaml on stream STREAM (or
#                     on its own generator: -) under several drift detectors; exit status 77 where its data is missing

# shellcheck source=../cmake/packages.sh
. cmake/packages.sh

ta_setup() {
    ta_packages build run
    mkdir -p build experiments/data
    tensair=${TENSAIR:-}
    [ -n "$tensair" ] && return 0
    echo "building (log: build/experiments-build.log)"
    { cmake --preset release && cmake --build --preset release --target tensair -j "$(nproc)"; } \
        >build/experiments-build.log 2>&1 || { tail -30 build/experiments-build.log >&2; return 1; }
    tensair=$PWD/build/release/framework/cli/tensair
}

ta_experiment() {
    local name=$1 replicas=${3:-$2} stream run_dir
    shift $(($# < 3 ? $# : 3))
    ta_setup
    stream=$("ta_stream_${name//-/_}")
    run_dir=runs/$name-$(date -u +%Y%m%dT%H%M%SZ)
    "$tensair" train "experiments/$name/$name.yaml" -n "$replicas" --run-dir "$run_dir" --set stream.file="$PWD/$stream" "$@"
    "$tensair" plot "$run_dir"
}

ta_compare() {
    local name=$1 kind=$2 stream own=()
    shift 2
    ta_setup
    if [ "$kind" != - ]; then
        stream=$("ta_stream_$kind") || { echo "$name: SKIPPED: its data is missing" >&2; return 77; }
        own=(--set stream.file="$PWD/$stream")
    fi
    case " $* " in
    *" -- "*) ;;
    *) set -- "$@" -- ;;
    esac
    TENSAIR=$tensair experiments/drift/compare "experiments/$name/$name.yaml" "$@" "${own[@]}"
}

# ta_fetch_file URL SHA256 TARGET: quiet; fails when there is no network or the file is not the one it should be. The sum is
# that of the contents after gunzip: mirrors have packed the same bytes differently.
ta_fetch_file() {
    local temporary=$3.part
    curl -fsSL --connect-timeout 5 --max-time 120 "$1" -o "$temporary" 2>/dev/null || { rm -f "$temporary"; return 1; }
    if ! [ "$(gunzip -c "$temporary" 2>/dev/null | sha256sum | cut -d' ' -f1)" = "$2" ]; then
        echo "fetch: $1 is not the file it should be (SHA-256 differs); not used" >&2
        rm -f "$temporary"
        return 1
    fi
    mv "$temporary" "$3"
}

# Prints the folder that holds the four files of MNIST, or fails.
ta_fetch_mnist() {
    local home=https://ossci-datasets.s3.amazonaws.com/mnist folder=experiments/data/mnist name sum
    if [ -n "${TENSAIR_DATA:-}" ] && [ -f "$TENSAIR_DATA/mnist/train-images-idx3-ubyte.gz" ]; then
        echo "$TENSAIR_DATA/mnist"
        return 0
    fi
    mkdir -p "$folder"
    while read -r sum name; do
        [ -f "$folder/$name" ] || ta_fetch_file "$home/$name" "$sum" "$folder/$name" || return 1
    done <<'SUMS'
ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db train-images-idx3-ubyte.gz
65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5 train-labels-idx1-ubyte.gz
0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7 t10k-images-idx3-ubyte.gz
ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2 t10k-labels-idx1-ubyte.gz
SUMS
    echo "$folder"
}

# Prints the folder of another set under $TENSAIR_DATA, or fails and says what is missing.
ta_fetch_local() {
    if [ -n "${TENSAIR_DATA:-}" ] && [ -d "$TENSAIR_DATA/$1" ]; then
        echo "$TENSAIR_DATA/$1"
    else
        echo "fetch: no '$1' in \$TENSAIR_DATA (${TENSAIR_DATA:-not set}): $2" >&2
        return 1
    fi
}

# once STREAM COMMAND...: runs the command unless the stream is there; prints the stream. What the command says goes to
# standard error.
ta_once() {
    local stream=$1
    shift
    mkdir -p "$(dirname "$stream")"
    [ -f "$stream" ] || "$@" -o "$stream" >&2 || return 1
    echo "$stream"
}

ta_stream_mnist() {
    local folder stream=experiments/data/mnist.h5
    [ -f $stream ] && echo $stream && return 0
    folder=$(ta_fetch_mnist) || return 1
    ta_once $stream "$tensair" data import idx "$folder/train-images-idx3-ubyte.gz" "$folder/train-labels-idx1-ubyte.gz"
}

ta_stream_glyphs() {
    ta_once experiments/data/glyphs.h5 "$tensair" data make glyphs --records 60000 --seed 1
}

# All 60,000 pictures as JPEG when they are there (lossy: fit for speed and curves, not the original data set), else the
# first records of the original.
ta_stream_cifar10() {
    local folder stream=experiments/data/cifar10.h5
    [ -f $stream ] && echo $stream && return 0
    if folder=$(ta_fetch_local cifar10-binary "the standard data_batch_N.bin files" 2>/dev/null); then
        ta_once $stream "$tensair" data import cifar10 "$folder"/data_batch_*.bin*
    elif folder=$(ta_fetch_local cifar10-jpeg "pictures" 2>/dev/null); then
        [ -d experiments/data/cifar10-jpeg/train ] || {
            mkdir -p experiments/data/cifar10-jpeg
            tar -xzf "$folder/images.tar.gz" -C experiments/data/cifar10-jpeg || return 1
        }
        local train
        train=$(find experiments/data/cifar10-jpeg -type d -name train | head -1)
        ta_once $stream "$tensair" data import images "$train"
    else
        folder=$(ta_fetch_local cifar10-head "put the data_batch_N.bin files of CIFAR-10 into cifar10-binary/") || return 1
        ta_once $stream "$tensair" data import cifar10 "$folder"/data_batch_*.bin*
    fi
}

# The first 1,000 pictures of the original, told eighty times over: a stream that is long enough to drift.
ta_stream_cifar10_again() {
    local folder list=()
    folder=$(ta_fetch_local cifar10-head "the first records of CIFAR-10, data_batch_head_0.bin.gz") || return 1
    for _ in $(seq 80); do list+=("$folder/data_batch_head_0.bin.gz"); done
    ta_once experiments/data/cifar10-again.h5 "$tensair" data import cifar10 "${list[@]}"
}

ta_stream_electricity() {
    local folder
    folder=$(ta_fetch_local elec2 "elec2_data.dat.gz and elec2_label.dat.gz of the Electricity data set") || return 1
    ta_once experiments/data/electricity.h5 "$tensair" data import csv "$folder/elec2_data.dat.gz" \
        --labels "$folder/elec2_label.dat.gz" --schema experiments/schemas/electricity.yaml
}

# The recorded set when it is there, else the generator it came from.
ta_stream_sea() {
    local folder
    if folder=$(ta_fetch_local sea "SEA_training_data.csv.gz and its classes" 2>/dev/null); then
        ta_once experiments/data/sea.h5 "$tensair" data import csv "$folder/SEA_training_data.csv.gz" \
            --labels "$folder/SEA_training_class.csv.gz" --schema experiments/schemas/sea.yaml
    else
        ta_once experiments/data/sea.h5 "$tensair" data make sea --records 50000 --seed 1 \
            --drift abrupt@12500:2,abrupt@25000:3,abrupt@37500:4
    fi
}

# Prints a file of English text, or fails: 100 MB of cleaned Wikipedia, or text8, which was made by the same recipe.
ta_fetch_text() {
    local home=https://mattmahoney.net/dc/text8.zip file=experiments/data/text8
    if [ -n "${TENSAIR_DATA:-}" ] && [ -f "$TENSAIR_DATA/text/enwiki_clean_100M.txt.gz" ]; then
        echo "$TENSAIR_DATA/text/enwiki_clean_100M.txt.gz"
        return 0
    fi
    if ! [ -f $file ]; then
        curl -fsSL --connect-timeout 5 --max-time 300 $home -o $file.zip 2>/dev/null &&
            /usr/bin/python3 -m zipfile -e $file.zip experiments/data 2>/dev/null || { rm -f $file.zip; return 1; }
        rm -f $file.zip
    fi
    echo $file
}

ta_need_text() {
    ta_fetch_text && return 0
    echo "fetch: no text in \$TENSAIR_DATA/text (${TENSAIR_DATA:-not set}), and text8 cannot be fetched" >&2
    return 1
}

ta_stream_word2vec() {
    local text
    text=$(ta_need_text) || return 1
    ta_once experiments/data/word2vec.h5 "$tensair" data import text "$text"
}

ta_stream_word2vec_online() {
    local text
    text=$(ta_need_text) || return 1
    ta_once experiments/data/word2vec-online.h5 "$tensair" data import text "$text" --online
}

ta_stream_tensair_w2v() {
    local folder
    folder=$(ta_fetch_local tensair "the rows that TensAIR's word2vec generator writes") || return 1
    ta_once experiments/data/tensair-w2v.h5 "$tensair" data import pairs "$folder"/*.txt.gz --vocabulary 50000
}
