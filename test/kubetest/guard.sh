#!/bin/sh
# Waits until the process at the other end of standard input ends. Unless that has said before that all is in order, it takes
# the servers with it whose process ids are noted in the folder, and removes the folder.
if read -r _; then exit 0; fi
for note in "$1"/*.pid; do
  [ -s "$note" ] && kill -9 "$(cat "$note")" 2>/dev/null
done
rm -rf "$1"
