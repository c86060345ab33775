#!/bin/sh
# Starts the Docker Engine of another root: start-engine.sh ROOT HOME OPTION... It expects networks and mounts of its
# own (`unshare`), so that nothing is installed on this machine, its ports meet nobody else's, and its rules and mounts
# end with it.
set -e
root=$1 home=$2
shift 2
mkdir -p "$root/old" "$root$home"
mount --bind "$root" "$root"
mount --bind "$home" "$root$home"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
ip link set lo up
cd "$root"
pivot_root . old
umount --lazy /old
exec dockerd "$@"
