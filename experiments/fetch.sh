# fetch.sh: sourced by the experiments; finds or fetches the public data sets, with checksums.
# $TENSAIR_DATA/<set> is looked at first; what is fetched is kept in experiments/data/<set>.

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
