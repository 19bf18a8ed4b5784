# TLS and HTTP/2 by a proxy in front: nginx and Caddy, with the configurations beside this
# file, and clients that check the certificate.
#
# docker takes every registry on 127.0.0.0/8 for an insecure one, whose certificate it
# does not check. So the proxies listen on an address that is as local as those and not
# in their range: one that the standards set aside for examples (RFC 5737), given to the
# loopback interface as long as this takes. Nothing of it leaves the machine.

TLS_ADDRESS=192.0.2.1
TLS_ADDRESS_ADDED=
DOCKER_CERTS=/etc/docker/certs.d
DOCKER_CERTS_ADDED=()

tls_steps() {
  local proxy plain_port
  need nginx nginx
  need caddy caddy
  need ip iproute2
  borrow_address
  make_ca

  # One more registry over the same directory, which is told its public name, and whom to
  # believe who asks.
  plain_port=$PORT
  for proxy in nginx caddy; do
    HTTPS_NAME=$TLS_ADDRESS:$(free_port)
    PUBLIC_PORT=$(free_port)
    start_server_on "$PUBLIC_PORT" --public-url "https://$HTTPS_NAME" --trusted-proxy 127.0.0.1 \
      --log-level debug 2>"$OUT" ||
      fail "the registry with --public-url does not start"

    start_tls_proxy "$proxy" "$plain_port"
    speaks_tls_and_http2 "$proxy"
    passes_pushes_on_as_they_come "$proxy"
    location_is "$proxy" /v2/ "a path"
    push_and_pull "$proxy" relative
    proxy_did_not_buffer "$proxy"
    stop_proxy || fail "$proxy did not exit with 0 on SIGTERM"

    start_tls_proxy "$proxy" "$PUBLIC_PORT"
    location_is "$proxy" "https://$HTTPS_NAME/v2/" "absolute"
    push_and_pull "$proxy" absolute
    says_who_asked "$proxy"
    stop_proxy || fail "$proxy did not exit with 0 on SIGTERM"
    stop_server_on "$PUBLIC_PORT" || fail "the registry with --public-url did not exit with 0 on SIGTERM"
  done
  tls_tidy
}

borrow_address() {
  if ip -o address show to "$TLS_ADDRESS" | grep -q .; then
    fail "this machine uses the address $TLS_ADDRESS, which is for examples only"
  fi
  run ip address add "$TLS_ADDRESS/32" dev lo
  TLS_ADDRESS_ADDED=yes
}

# A certification authority of our own, and a certificate of it for TLS_ADDRESS.
make_ca() {
  local tls=$WORK/tls
  mkdir "$tls"
  run openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 \
    -subj "/CN=CA of the registry's tests" -keyout "$tls/ca.key" -out "$tls/ca.crt"
  run openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc \
    -subj "/CN=registry" -keyout "$tls/privkey.pem" -out "$tls/request.pem"
  printf 'subjectAltName = IP:%s\nextendedKeyUsage = serverAuth\n' "$TLS_ADDRESS" >"$tls/extensions"
  run openssl x509 -req -in "$tls/request.pem" -days 2 -CA "$tls/ca.crt" -CAkey "$tls/ca.key" \
    -CAcreateserial -extfile "$tls/extensions" -out "$tls/server.crt"
  cat "$tls/server.crt" "$tls/ca.crt" >"$tls/fullchain.pem"
  mkdir "$WORK/certs"
  cp "$tls/ca.crt" "$WORK/certs/"
}

# start_tls_proxy nginx|caddy <port of the registry>: on HTTPS_NAME.
start_tls_proxy() {
  case $1 in
    nginx)
      adapt tests/e2e/nginx-tls.conf "$WORK/nginx-tls.conf" \
        "server 127.0.0.1:5080;" "server 127.0.0.1:$2;" \
        "listen 443 " "listen $HTTPS_NAME " \
        "listen [::]:443 ssl http2;" "" \
        "server_name registry.example.com;" "server_name $TLS_ADDRESS;" \
        /etc/ssl/registry.example.com "$WORK/tls"
      start_nginx "$WORK/nginx-tls.conf"
      ;;
    caddy)
      adapt tests/e2e/Caddyfile "$WORK/Caddyfile" \
        "reverse_proxy 127.0.0.1:5080 " "reverse_proxy 127.0.0.1:$2 " \
        "registry.example.com {" "https://$HTTPS_NAME {" \
        /etc/ssl/registry.example.com "$WORK/tls"
      start_caddy "$WORK/Caddyfile" "$TLS_ADDRESS"
      ;;
  esac
  proxy_answers --cacert "$WORK/tls/ca.crt" "https://$HTTPS_NAME/v2/"
}

https() { curl -fsS --cacert "$WORK/tls/ca.crt" "$@"; }

speaks_tls_and_http2() {
  local url=https://$HTTPS_NAME/v2/ version
  for version in 1.2 1.3; do
    run https --http2 --tlsv"$version" --tls-max "$version" -o /dev/null -w 'HTTP/%{http_version}' "$url"
    expect HTTP/2
  done
  run https --http1.1 -o /dev/null -w 'HTTP/%{http_version}' "$url"
  expect HTTP/1.1
  if curl -sS -o /dev/null "$url" >"$OUT" 2>&1; then
    fail "curl trusts a certificate of a CA that it does not know"
  fi
  # SECLEVEL=0: so that this client would speak the old version, and the server is who refuses.
  if openssl s_client -connect "$HTTPS_NAME" -tls1_1 -cipher DEFAULT@SECLEVEL=0 </dev/null >"$OUT" 2>&1; then
    fail "$1 speaks TLS 1.1"
  fi
  grep -q "alert protocol version" "$OUT" || fail "$1 does not refuse TLS 1.1 for its version"
  ok "$1: TLS 1.2 and 1.3, no older one; HTTP/2 where the client can"
}

# A push without a length, over HTTP/2: when one half of it is sent, the session has bytes
# of it.
passes_pushes_on_as_they_come() {
  local half=3000000 data sender pipe deadline=$((SECONDS + 20)) digest
  head -c $((2 * half)) /dev/urandom >"$WORK/blob"
  digest=$(digest_of "$WORK/blob")
  run https -D "$WORK/headers" -X POST "https://$HTTPS_NAME/v2/tls/slow/blobs/uploads/"
  data=$ROOT/uploads/$(header Docker-Upload-UUID)/data
  rm -f "$WORK/pipe"
  mkfifo "$WORK/pipe"
  https --http2 -D "$WORK/headers" -X PATCH -T - -H "Content-Type: application/octet-stream" \
    "$(location_of "https://$HTTPS_NAME")" <"$WORK/pipe" >"$WORK/sender.out" 2>&1 &
  sender=$!
  exec {pipe}>"$WORK/pipe"
  head -c "$half" "$WORK/blob" >&"$pipe"
  until [ "$(stat -c %s "$data")" -gt 0 ]; do
    [ "$SECONDS" -lt "$deadline" ] || fail "$1 keeps a push to itself until its end"
    sleep 0.02
  done
  tail -c +"$((half + 1))" "$WORK/blob" >&"$pipe"
  exec {pipe}>&-
  OUT=$WORK/sender.out
  wait "$sender" || fail "a push through $1"
  OUT=$WORK/out
  [ "$(header Range)" = "0-$((2 * half - 1))" ] || fail "after a push through $1 the session says Range: $(header Range)"
  run https -X PUT "$(with_digest "$(location_of "https://$HTTPS_NAME")" "$digest")"
  run https -o "$WORK/back" "https://$HTTPS_NAME/v2/tls/slow/blobs/$digest"
  run cmp "$WORK/blob" "$WORK/back"
  ok "$1: a push over HTTP/2, without a length, arrives as it is sent"
}

# location_is <proxy> <beginning> <what that is called>
location_is() {
  local base=https://$HTTPS_NAME location
  run https --http2 -D "$WORK/headers" -X POST "$base/v2/tls/location/blobs/uploads/"
  grep -q '^HTTP/2 202' "$WORK/headers" || fail "no HTTP/2: $(head -1 "$WORK/headers")"
  location=$(header Location)
  case $location in
    "$2"tls/location/blobs/uploads/*) ;;
    *) fail "Location is $location, not $2…" ;;
  esac
  run https --http2 -X DELETE "$(location_of "$base")"
  ok "$1: Location is $3, and leads to the session" "$2…"
}

# push_and_pull <proxy> <tag>: docker and skopeo, who check the certificate.
push_and_pull() {
  local start image=$HTTPS_NAME/tls/$1:$2 digest layout=$WORK/tls-layout
  mkdir -p "$WORK/tls-image"
  head -c 20000000 /dev/urandom >"$WORK/tls-image/noise" # far above nginx's usual limit
  printf 'FROM scratch\nCOPY noise /%s\n' "$1" >"$WORK/tls-image/Dockerfile"
  run docker build --network=none --tag "$image" "$WORK/tls-image"

  [ -e "$DOCKER_CERTS/$HTTPS_NAME" ] || strangers_are_not_trusted "$image"
  docker_trusts_us
  start=$(now_ms)
  run docker push "$image"
  digest=$(pushed_digest)
  tag_is "tls/$1" "$2" "$digest"
  run docker image rm "$image"
  run docker pull "$image"
  expect "Digest: $digest"
  expect "Pull complete"
  run docker image rm "$image"
  ok "$1: docker push and pull over HTTPS with a CA of our own" "$(since "$start")"

  start=$(now_ms)
  rm -rf "$layout"
  run skopeo_ copy --src-cert-dir "$WORK/certs" "docker://$image" "oci:$layout:v1"
  digest=$(jq -r '.manifests[0].digest' "$layout/index.json")
  run skopeo_ copy --preserve-digests --dest-cert-dir "$WORK/certs" "oci:$layout:v1" "docker://$HTTPS_NAME/tls/skopeo-$1:$2"
  tag_is "tls/skopeo-$1" "$2" "$digest"
  ok "$1: skopeo copy out and in, with --cert-dir" "$(since "$start")"
}

# Without the CA's certificate nothing works: or what follows would show nothing.
strangers_are_not_trusted() {
  COMMAND="docker push and skopeo inspect, without the CA's certificate"
  if docker push "$1" >"$OUT" 2>&1; then
    fail "docker pushes to a registry whose CA it does not know"
  fi
  expect "certificate signed by unknown authority"
  if skopeo_ inspect "docker://$1" >"$OUT" 2>&1; then
    fail "skopeo trusts a certificate of a CA that it does not know"
  fi
  expect "certificate signed by unknown authority"
}

# The engine reads this directory for each push and pull; skopeo would, too.
docker_trusts_us() {
  local directory=$DOCKER_CERTS/$HTTPS_NAME parent
  [ ! -e "$directory" ] || return 0
  for parent in /etc/docker "$DOCKER_CERTS" "$directory"; do
    [ -d "$parent" ] || { run mkdir "$parent" && DOCKER_CERTS_ADDED=("$parent" "${DOCKER_CERTS_ADDED[@]}"); }
  done
  run cp "$WORK/tls/ca.crt" "$directory/ca.crt"
}

# nginx says so when it writes a body to its disk.
proxy_did_not_buffer() {
  if grep "buffered to a temporary file" "$PROXY_LOG" >"$OUT"; then
    fail "$1 wrote bodies to its own disk"
  fi
}

# What the registry is told of the client, as its log shows it; and not what the client
# says of itself.
says_who_asked() {
  local line
  run https -H "X-Forwarded-For: 203.0.113.1" "https://$HTTPS_NAME/v2/?who=$1"
  run grep -a "who=$1 " "$SERVER_LOG"
  for line in "Host: $HTTPS_NAME" "X-Forwarded-Host: $HTTPS_NAME" "X-Forwarded-Proto: https" "X-Forwarded-For: $TLS_ADDRESS"; do
    grep -qF "header=\"$line\"" "$OUT" || fail "the registry was not told $line"
  done
  expect " peer=$TLS_ADDRESS proxy=127.0.0.1:"
  if grep -qF 203.0.113.1 "$OUT"; then
    fail "$1 passes on what a client says of its own address"
  fi
  ok "$1: Host, X-Forwarded-Host, -Proto and -For reach the registry"
}

tls_tidy() {
  stop_proxy || true
  local directory
  for directory in "${DOCKER_CERTS_ADDED[@]}"; do
    case $directory in "$DOCKER_CERTS"/*) rm -f "$directory/ca.crt" ;; esac
    rmdir "$directory" 2>/dev/null || true # or somebody else uses it meanwhile
  done
  DOCKER_CERTS_ADDED=()
  [ -z "$TLS_ADDRESS_ADDED" ] || ip address del "$TLS_ADDRESS/32" dev lo
  TLS_ADDRESS_ADDED=
}
