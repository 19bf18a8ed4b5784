#!/usr/bin/env bash
# End to end: what a user does, with the programs users have, on a real image; then a
# look at the disk with ls, cat and sha256sum. `make e2e` builds the registry and
# calls this; `make clients` calls it with the word clients, for clients.sh alone.
#
# Everything listens on loopback and lives in a temporary directory (but for what
# tests/e2e/tls.sh adds and takes away again: an address on the loopback interface, and a
# folder with a certificate where docker looks for it); only processes that were started
# here are ended. Kept between runs: target/e2e-cache, with the
# Debian root file system. Logs: target/e2e/.
#
# It wants root, for debootstrap, for the docker engine it starts where none runs, and
# for what tls.sh adds.
set -euo pipefail
cd "$(dirname "$0")/../.."

DEBIAN_SUITE=bookworm
CACHE=$PWD/target/e2e-cache
LOGS=$PWD/target/e2e
ENGINE_LOG=$LOGS/dockerd.log
SERVER_LOG=$LOGS/registry.log
PROXY_LOG=$LOGS/proxies.log
mkdir -p "$CACHE" "$LOGS"
rm -f "$ENGINE_LOG" "$SERVER_LOG" "$PROXY_LOG"

# Not /tmp: that may be memory, and some gigabytes pass through here. The path is
# short because sockets live in it.
WORK=$(mktemp -d -p /var/tmp e2e.XXXXXX)

# Nobody's credentials: docker, podman and skopeo all read this file.
export DOCKER_CONFIG=$WORK/docker-config
mkdir "$DOCKER_CONFIG"
echo '{}' >"$DOCKER_CONFIG/config.json"
# The way to a registry on this machine never leads through a proxy.
export no_proxy=127.0.0.1,localhost,container-registry,192.0.2.1
export NO_PROXY=$no_proxy

. tests/e2e/server.sh
. tests/e2e/lib.sh
. tests/e2e/docker.sh
. tests/e2e/skopeo.sh
. tests/e2e/podman.sh
. tests/e2e/layout.sh
. tests/e2e/wire.sh
. tests/e2e/proxy.sh
. tests/e2e/tls.sh
. tests/e2e/auth.sh
. tests/e2e/metrics.sh
. tests/e2e/disk.sh
. tests/e2e/clients.sh

trap tidy EXIT
# Signals end the script the usual way, so that tidy runs then too.
trap 'exit 130' INT
trap 'exit 143' TERM

main() {
  local start
  start=$(now_ms)
  need docker docker.io
  need skopeo skopeo
  need podman podman
  need curl curl
  need jq jq
  need nc netcat-openbsd
  need openssl openssl
  need promtool prometheus

  start_server 2>"$OUT" || fail "the registry does not start"
  name_the_registry
  start_engine
  debian_root

  docker_steps
  skopeo_steps
  podman_steps
  layout_steps
  wire_steps
  tls_steps
  auth_steps
  metrics_steps
  disk_steps

  stop_server || fail "the registry did not exit with 0 on SIGTERM"
  ok "SIGTERM: exit status 0"
  echo "all $STEPS steps passed in $(since "$start")"
}

# The name of the workshop, where it leads here; docker takes any name for an insecure
# registry that resolves to loopback. (.ci/run adds the line to /etc/hosts.)
name_the_registry() {
  local address
  address=$(getent ahostsv4 container-registry | awk '{ print $1; exit }') || true
  case $address in
    127.*) REGISTRY_NAME=container-registry:$PORT ;;
    *)
      REGISTRY_NAME=127.0.0.1:$PORT
      echo "note  container-registry does not resolve to loopback; this mends it: echo '127.0.0.1 container-registry' >> /etc/hosts"
      ;;
  esac
  ok "the registry serves" "$REGISTRY_NAME"
}

tidy() {
  tls_tidy >/dev/null 2>&1
  clients_tidy
  stop_servers >/dev/null 2>&1 || true
  stop_engine
  # Mounts that podman, docker and containerd left, deepest first; then nothing of ours is
  # mounted and the directory can go. --one-file-system is for the case that one stayed.
  awk -v work="$WORK/" 'index($2, work) == 1 { print $2 }' /proc/mounts | sort -r |
    while read -r mount; do umount "$mount" 2>/dev/null || true; done
  rm -rf --one-file-system "$WORK"
}

case ${1:-} in
  '') main ;;
  clients) clients_main ;;
  *) fail "no such part: $1" ;;
esac
