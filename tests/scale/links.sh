#!/usr/bin/env bash
# One blob in more repositories than a file of ext4 can have names: 65,000. Mounts it into
# 70,000, pulls it from each, and has `registry verify` look at everything. `make links`
# builds the registry and calls this.
#
#   tests/scale/links.sh [repositories]
#
# Needs root, to mount an ext4 of its own, which lies in memory. Exit status: 0 passed.
set -euo pipefail
cd "$(dirname "$0")/../.."

REPOSITORIES=${1:-70000}
REGISTRY=$PWD/target/release/registry
WORK=$(mktemp -d -p /dev/shm links.XXXXXX)
SERVER=

clean_up() {
  [ -z "$SERVER" ] || kill "$SERVER" 2>/dev/null || true
  wait 2>/dev/null || true
  umount "$WORK/disk" 2>/dev/null || true
  rm -rf "$WORK"
}
trap clean_up EXIT

main() {
  make_disk
  start_registry
  local blob digest base=http://$ADDRESS/v2
  blob=$(printf 'a layer that everybody has')
  digest=sha256:$(printf %s "$blob" | sha256sum | cut -d' ' -f1)
  curl -sf -o /dev/null -X POST --data-binary "$blob" "$base/r/1/blobs/uploads/?digest=$digest"

  step "mounted into $((REPOSITORIES - 1)) more repositories"
  seq 2 "$REPOSITORIES" | while read -r number; do
    printf 'next\nurl = "%s/r/%s/blobs/uploads/?mount=%s&from=r/1"\nrequest = POST\noutput = /dev/null\nwrite-out = "%%{http_code}\\n"\n' \
      "$base" "$number" "$digest"
  done | tail -n +2 >"$WORK/mounts"
  curl -s -K "$WORK/mounts" | sort | uniq -c
  expect "$(find "$WORK/disk/root/repositories" -name "${digest#sha256:}" | wc -l)" "$REPOSITORIES" "repositories hold it"

  step "pulled from each"
  seq "$REPOSITORIES" | sed "s|.*|url = \"$base/r/&/blobs/$digest\"|" >"$WORK/pulls"
  expect "$(curl -sf -K "$WORK/pulls" | sed "s/$blob/&\n/g" | grep -c "^$blob$")" "$REPOSITORIES" "pulls gave its bytes"

  step "the bytes lie in more files than one, each with as many names as it can have"
  find "$WORK/disk/root" -name "${digest#sha256:}" -printf '%i %n\n' | sort -u

  step "registry verify"
  "$REGISTRY" verify --root "$WORK/disk/root"

  step "those who share the younger file let go of it: its name goes, and a sweep gives it to the older one"
  find "$WORK/disk/root/repositories" -samefile "$WORK/disk/root/blobs/${digest/://}" -printf '%P\n' |
    sed "s|\(.*\)/_blobs/.*|url = \"$base/\1/blobs/$digest\"|" >"$WORK/deletes"
  curl -sf -X DELETE -K "$WORK/deletes"
  expect "$(find "$WORK/disk/root/blobs" -type f | wc -l)" 0 "names under blobs/"
  "$REGISTRY" gc --root "$WORK/disk/root"
  expect "$(find "$WORK/disk/root/blobs" -type f | wc -l)" 1 "names under blobs/"
  find "$WORK/disk/root" -name "${digest#sha256:}" -printf '%i %n\n' | sort -u

  step "registry verify, again"
  "$REGISTRY" verify --root "$WORK/disk/root"
  echo "passed in $SECONDS s"
}

make_disk() {
  truncate -s 4G "$WORK/image"
  mkfs.ext4 -q -N $((REPOSITORIES * 12 + 10000)) "$WORK/image"
  mkdir "$WORK/disk"
  mount -o loop "$WORK/image" "$WORK/disk"
}

start_registry() {
  "$REGISTRY" serve --listen 127.0.0.1:0 --root "$WORK/disk/root" --log-level warn 2>"$WORK/log" &
  SERVER=$!
  for _ in $(seq 100); do
    ADDRESS=$(sed -n 's|.*listens on http://||p' "$WORK/log")
    [ -z "$ADDRESS" ] || return 0
    sleep 0.1
  done
  cat "$WORK/log"
  exit 1
}

step() { echo "== $* ($SECONDS s)"; }

# expect <found> <wanted> <what>
expect() {
  echo "$1 $3"
  [ "$1" = "$2" ] || { echo "FAILED: there should be $2"; exit 1; }
}

main
