#!/usr/bin/env bash
# guests.sh: sourced by run.sh, which starts and stops the guests, and by each check, which runs commands in them.
# VM: a folder of this suite: shared/ (/run/shared in every guest), N.in and N.out (second serial lines), N.pid, N.console.

# guests_start KERNEL_DIR N: N guests on a LAN of their own, each with a real rxe0. Status 1: what they said is shown.
guests_start() {
    local kernel=$1 n=$2 node machine net group line ready=()
    # /dev/kvm alone proves nothing: one without the hardware behind it interprets, slower than emulation.
    if [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo; then
        machine=(-accel kvm -cpu host)
    else
        # Without "rep movsb": it is emulated byte by byte, and a 4-byte word would be seen half written.
        machine=(-accel "tcg,thread=multi,tb-size=128" -cpu max,-erms,-fsrm)
    fi
    group=230.77.$((RANDOM % 256)).$((RANDOM % 255 + 1)):$((20000 + $$ % 30000))
    mkdir -p "$VM/shared/commands" "$VM/waiting"
    for ((node = 1; node <= n; node++)); do
        mkfifo "$VM/$node.in" "$VM/$node.out" "$VM/waiting/$node.ready"
        exec {line}<>"$VM/waiting/$node.ready"
        ready[node]=$line
        net=(-nic none)
        [ "$n" = 1 ] || net=(-netdev "socket,id=lan,mcast=$group,localaddr=127.0.0.1"
            -device "virtio-net-pci,netdev=lan,romfile=,mac=52:54:00:77:00:0$node")
        qemu-system-x86_64 -nodefaults -no-user-config -M q35 "${machine[@]}" -m 512 -smp "${VM_CPUS:-2}" \
            -display none -monitor none -no-reboot -kernel "$kernel/vmlinux" -initrd "$kernel/initrd.gz" \
            -append "console=ttyS0 quiet panic=-1 net.ifnames=0 mitigations=off cryptomgr.notests vm.node=$node \
vm.nodes=$n vm.kernel=$kernel vm.tests=$VM_TESTS" \
            -serial "file:$VM/$node.console" -chardev "pipe,id=line,path=$VM/$node" -serial chardev:line \
            -fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap \
            -device virtio-9p-pci,fsdev=host,mount_tag=host \
            -fsdev "local,id=shared,path=$VM/shared,security_model=none,multidevs=remap" \
            -device virtio-9p-pci,fsdev=shared,mount_tag=shared "${net[@]}" \
            </dev/null >"$VM/$node.qemu" 2>&1 &
        echo $! >"$VM/$node.pid"
        guests_listen "$node" &
        echo $! >"$VM/$node.listener"
    done
    disown -a # no word from the shell when they are ended
    for ((node = 1; node <= n; node++)); do
        guests_wait "$node" "${ready[node]}" 240 >/dev/null && continue
        echo "guest $node did not start:"
        tail -n 5 "$VM/$node.qemu" "$VM/$node.console"
        return 1
    done
}

# What a guest says is "ID STATUS": passed on to whoever waits for that ID.
guests_listen() {
    local id status
    exec 8<>"$VM/$1.out"
    while read -r id status <&8; do
        [ "$id" = ready ] && id=$1.ready
        [ -p "$VM/waiting/$id" ] && echo "$status" 1<>"$VM/waiting/$id"
    done
}

# guests_wait NODE FD SECONDS: prints the status that comes out of FD; 1: none in that time, or the guest is dead.
guests_wait() {
    local node=$1 line=$2 left=$3 part status=
    for (( ; left > 0; left--)); do
        # A second may end in the middle of a line: what was read of it counts.
        if read -r -t 1 part <&"$line"; then
            echo "$status$part"
            return 0
        fi
        status+=$part
        kill -0 "$(cat "$VM/$node.pid")" 2>/dev/null || return 1
    done
    return 1
}

# on NODE [-t SECONDS] COMMAND...: runs a shell line in that guest, shows what it said, and has its exit status; 124: it
# took longer (60 s by default) and was ended; 125: the guest is dead.
on() {
    local node=$1 patience=60 id status line
    shift
    [ "$1" = -t ] && patience=$2 && shift 2
    id=$node.$BASHPID.$RANDOM
    mkfifo "$VM/waiting/$id"
    exec {line}<>"$VM/waiting/$id" # before the question, or the answer is lost
    { declare -p BUILD TENSAIR 2>/dev/null; printf '%s\n' "$*"; } >"$VM/shared/commands/$id"
    echo "run $id" 1<>"$VM/$node.in"
    if ! status=$(guests_wait "$node" "$line" "$patience"); then
        status=125
        if kill -0 "$(cat "$VM/$node.pid")" 2>/dev/null; then
            status=124
            echo "kill $id" 1<>"$VM/$node.in"
        fi
        echo "guest $node: no answer in $patience s to: $*"
    fi
    exec {line}<&-
    cat "$VM/shared/commands/$id.out" 2>/dev/null
    rm -f "$VM/waiting/$id"
    return "$status"
}

# The guests' processes, for a check that stops one: kill -STOP "$(guest_pid 2)".
guest_pid() { cat "$VM/$1.pid"; }

guests_stop() {
    local file
    for file in "$VM"/*.pid "$VM"/*.listener; do
        [ -e "$file" ] || continue
        kill -CONT "$(cat "$file")" 2>/dev/null
        kill -KILL "$(cat "$file")" 2>/dev/null
    done
    rm -f "$VM"/*.pid "$VM"/*.listener
}
