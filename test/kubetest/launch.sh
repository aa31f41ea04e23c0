#!/bin/sh
# Starts etcd or kube-apiserver, whichever name a link calls it by, after writing down the process id: it stays the same, and
# is how guard.sh finds the servers of a test that was killed. Beside the link are bin, the programs' folder, and the note.
dir=${0%/*}
name=${0##*/}
[ "$1" = --help ] || echo $$ >"$dir/$name.pid"
exec "$dir/bin/$name" "$@"
