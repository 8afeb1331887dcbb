# packages.sh: sourced by the two commands. `ta_packages build|run|test ...` installs what of Debian 12's packages is missing.
# Needs root or sudo only when something is missing; says which packages and why it stops when it cannot install them.

ta_packages_of() {
    case $1 in
    build) echo gcc g++ libc6-dev make cmake ninja-build pkg-config git libhdf5-dev libhwloc-dev libdnnl-dev libcyaml-dev \
        libyaml-dev libjansson-dev librandom123-dev libxxhash-dev libjpeg-dev libpng-dev zlib1g-dev libcmocka-dev \
        libsodium-dev libibverbs-dev libfabric-dev libmunge-dev ;;
    run) echo gnuplot-nox hdf5-tools curl ca-certificates ;;
    test) echo python3 python3-numpy python3-h5py python3-torch clang libclang-rt-14-dev libomp-dev libjpeg-turbo-progs man-db \
        qemu-system-x86 busybox-static cpio kmod xz-utils zstd iproute2 rdma-core ibverbs-providers ibverbs-utils perftest \
        munge slurmctld slurmd slurm-client openmpi-bin mpich libpmix-dev libslurm-dev procps spin ;;
    esac
}

ta_packages() {
    local group package missing=() sudo=()
    command -v dpkg-query >/dev/null || {
        echo "packages: no dpkg here: install the counterparts of Debian 12's $(for group; do ta_packages_of "$group"; done | tr '\n' ' ')" >&2
        return 0
    }
    for group; do
        for package in $(ta_packages_of "$group"); do
            # -dev packages may be provided by another name (libjpeg-dev by libjpeg62-turbo-dev).
            dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Provides}\n' "$package" 2>/dev/null | grep -q '^ii' ||
                missing+=("$package")
        done
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "packages: missing, and neither root nor sudo to install them: apt-get install ${missing[*]}" >&2
            return 1
        }
        sudo=(sudo)
    fi
    echo "packages: installing ${missing[*]}"
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null || true
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || {
        echo "packages: could not install: try 'apt-get install ${missing[*]}' by hand" >&2
        return 1
    }
}
