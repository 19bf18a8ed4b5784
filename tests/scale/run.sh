#!/usr/bin/env bash
# Several processes, one directory: three registries over one root, behind an nginx that
# sends each request to the next of them (tests/scale/nginx.conf). First what can go
# wrong between processes, by hand; then the official conformance suite, through nginx.
# `make scale` builds the registry and calls this.
#
# Everything listens on loopback and lives in a temporary directory; only processes that
# were started here are ended. Left behind: target/scale/, with the logs and the
# suite's reports.
#
# Exit status: 0 all passed; 1 a failure; 3 all passed but the official suite could not
# be had, so nothing is known about it (tests/conformance/suite.sh).
set -euo pipefail
cd "$(dirname "$0")/../.."

RESULTS=$PWD/target/scale
MAKE_TARGET="make scale"
SERVER_LOG=$RESULTS/registry.log
PROXY_LOG=$RESULTS/nginx.log
mkdir -p "$RESULTS"
rm -f "$SERVER_LOG" "$PROXY_LOG"

# Not /tmp: that may be memory.
WORK=$(mktemp -d -p /var/tmp scale.XXXXXX)

# Nobody's credentials, and no proxy on the way to a registry on this machine.
export DOCKER_CONFIG=$WORK/docker-config
mkdir "$DOCKER_CONFIG"
echo '{}' >"$DOCKER_CONFIG/config.json"
export REGISTRY_AUTH_FILE=$DOCKER_CONFIG/config.json
export no_proxy=127.0.0.1,localhost
export NO_PROXY=$no_proxy

. tests/e2e/server.sh
. tests/e2e/lib.sh
. tests/e2e/proxy.sh
. tests/e2e/skopeo.sh
. tests/e2e/disk.sh
. tests/conformance/suite.sh
. tests/scale/steps.sh

trap tidy EXIT
# Signals end the script the usual way, so that tidy runs then too.
trap 'exit 130' INT
trap 'exit 143' TERM

main() {
  local start failed=0
  start=$(now_ms)
  need nginx nginx
  need skopeo skopeo
  need curl curl
  need jq jq
  need openssl openssl

  start_three_behind_nginx
  scale_steps
  # The bytes are as their names say, no session is left, every link holds.
  disk_steps
  store_is_sound

  find_suite
  echo "suite: $SUITE"
  TARGET=127.0.0.1:$NGINX_PORT
  : >"$WORK/nginx/access.log"
  run_version 1.1 || failed=1
  run_version dev || failed=1
  echo
  [ "$failed" = 0 ] || fail "the official suite through nginx; every request and answer: $RESULTS/{1.1,dev}/report.html"
  ok "the official suite through nginx, 1.1 and dev" "requests that each server had: $(share_of_each)"
  store_is_sound

  stop_proxy || fail "nginx did not exit with 0 on SIGTERM"
  stop_servers || fail "a registry did not exit with 0 on SIGTERM"
  ok "SIGTERM to all three: exit status 0"
  cat "$WORK/table"
  echo "all $STEPS steps passed in $(since "$start")"
}

start_three_behind_nginx() {
  local port
  for port in A B C; do
    declare -g "PORT_$port=$(free_port)"
    port=PORT_$port
    start_server_on "${!port}" 2>"$OUT" || fail "the registry does not start"
  done
  A=http://127.0.0.1:$PORT_A
  B=http://127.0.0.1:$PORT_B
  C=http://127.0.0.1:$PORT_C

  NGINX_PORT=$(free_port)
  NGINX=http://127.0.0.1:$NGINX_PORT
  REGISTRY_NAME=127.0.0.1:$NGINX_PORT # what the steps of tests/e2e call it
  adapt tests/scale/nginx.conf "$WORK/scale.conf" \
    127.0.0.1:5080 "127.0.0.1:$NGINX_PORT" \
    127.0.0.1:5081 "127.0.0.1:$PORT_A" \
    127.0.0.1:5082 "127.0.0.1:$PORT_B" \
    127.0.0.1:5083 "127.0.0.1:$PORT_C"
  start_nginx "$WORK/scale.conf"
  proxy_answers "$NGINX/v2/"
  ok "three registries over one directory, behind nginx" "ports $PORT_A, $PORT_B, $PORT_C; nginx $NGINX_PORT"
}

# From nginx's log: the second column is the server asked.
share_of_each() { awk '{ print $2 }' "$WORK/nginx/access.log" | sort | uniq -c | awk '{ printf "%s%s", gap, $1; gap = ", " }'; }

store_is_sound() {
  run "$REGISTRY" verify --root "$ROOT"
  ok "registry verify" "$(tail -1 "$OUT")"
}

tidy() {
  stop_proxy >/dev/null 2>&1 || true
  stop_servers >/dev/null 2>&1 || true
  [ ! -e "$WORK/nginx/access.log" ] || cp "$WORK/nginx/access.log" "$RESULTS/"
  rm -rf "$WORK"
}

main
