#!/usr/bin/env bash
# Builds the clients that `make clients` uses, at the versions it was written with, from
# the Go module proxy into target/clients/bin. That takes Go 1.26 and some ten minutes,
# most of them for cosign and buildkit; a second run takes seconds.
#
# containerd, its ctr, and runc come from Debian: apt-get install containerd runc
set -euo pipefail
cd "$(dirname "$0")/../.."

BIN=$PWD/target/clients/bin
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

main() {
  build github.com/google/go-containerregistry v0.22.1 crane
  build github.com/regclient/regclient v0.11.7 regctl
  build oras.land/oras v1.2.3 oras
  build helm.sh/helm/v3 v3.22.0 helm
  build github.com/sigstore/cosign/v2 v2.6.5 cosign
  build github.com/moby/buildkit v0.29.0 buildctl buildkitd
}

# build <module> <version> <program>...
# A module of our own that needs this one, for `go install` takes none with exclude
# lines (buildkit) and asks first which newer versions there are, which not every proxy
# answers (oras). Each in a module of its own, so that none decides what another is built
# with. The checksum database vouches for all of it.
build() {
  local module=$1 version=$2 program
  shift 2
  rm -rf "$WORK/build"
  mkdir -p "$BIN" "$WORK/build"
  (
    cd "$WORK/build"
    go mod init clients 2>/dev/null
    go mod edit -require="$module@$version"
    for program; do
      CGO_ENABLED=0 go build -mod=mod -trimpath -ldflags=-s -o "$BIN/" "$module/cmd/$program"
      echo "$program $version"
    done
  )
}

main
