#!/usr/bin/env bash
# Runs a command and fails if it changes a file of the repository that git does not ignore, committed or not.
#   hack/tools/unchanged.sh COMMAND [ARGUMENT ...]
set -euo pipefail

# sums prints a checksum and name of every file. One that is in the index but not on disk is left out.
sums() {
  git ls-files -z --cached --others --exclude-standard | sort -zu |
    while IFS= read -r -d '' file; do if [ -f "$file" ]; then printf '%s\0' "$file"; fi; done | xargs -0 sha256sum
}

before=$(sums)
"$@"
if ! changed=$(diff <(printf '%s\n' "$before") <(sums)); then
  echo "verify: \"$*\" changed files that should have been up to date; they are now, so look at them and commit:"
  sed -n 's/^[<>] [0-9a-f]*  /  /p' <<<"$changed" | sort -u
  exit 1
fi
