# What no well-behaved client does, with curl and netcat: a crash in the middle of an
# upload, lengths that lie, TLS on the port.

wire_steps() {
  upload_survives_a_crash
  lengths_that_lie
  tls_is_turned_away_at_once
}

# kill -9 between PATCH and PUT: the session goes on at its offset.
upload_survives_a_crash() {
  local url=http://$REGISTRY_NAME blob=$WORK/blob first=700000 location range digest
  head -c 1500000 /dev/urandom >"$blob"
  digest=$(digest_of "$blob")

  run curl -fsS -D "$WORK/headers" -X POST "$url/v2/crash/blobs/uploads/"
  location=$(location_of "$url")
  head -c "$first" "$blob" >"$WORK/blob.first"
  tail -c +"$((first + 1))" "$blob" >"$WORK/blob.rest"
  run curl -fsS -D "$WORK/headers" -X PATCH --data-binary @"$WORK/blob.first" \
    -H "Content-Type: application/octet-stream" -H "Content-Range: 0-$((first - 1))" "$location"
  location=$(location_of "$url")

  kill_server
  start_server 2>"$OUT" || fail "the registry does not start after kill -9"

  run curl -fsS -D "$WORK/headers" "$location"
  range=$(header Range)
  [ "$range" = "0-$((first - 1))" ] || fail "after kill -9 the session says Range: $range"
  location=$(location_of "$url")
  run curl -fsS -D "$WORK/headers" -X PUT --data-binary @"$WORK/blob.rest" \
    -H "Content-Type: application/octet-stream" -H "Content-Range: $first-1499999" \
    "$(with_digest "$location" "$digest")"
  run curl -fsS -o "$WORK/blob.back" "$url/v2/crash/blobs/$digest"
  run cmp "$blob" "$WORK/blob.back"
  run cmp "$blob" "$(blob_file "$digest")"
  ok "kill -9 between PATCH and PUT: the session went on at its offset" "Range: $range"
}

# Content-Length says far more than comes, up to the largest number there is. Servers
# that believe it reserve that much memory.
lengths_that_lie() {
  local pid=${SERVERS[$PORT]} i length start
  start=$(now_ms)
  for i in $(seq 100); do
    case $((i % 4)) in
      0) length=$((1000000000000 * i)) ;;
      1) length=18446744073709551615 ;; # 2^64 - 1
      2) length=9223372036854775807 ;;  # 2^63 - 1
      3) length=$((1 << (i % 60))) ;;
    esac
    # -N: close our side after the last byte. nc's own status says nothing here.
    printf 'PUT /v2/x/manifests/y HTTP/1.1\r\nHost: a\r\nContent-Length: %s\r\n\r\nabc' "$length" |
      nc -N -w 5 127.0.0.1 "$PORT" >"$OUT" 2>&1 || true
  done
  kill -0 "$pid" 2>/dev/null || fail "the registry died of a Content-Length"
  run curl -fsS --max-time 5 "http://$REGISTRY_NAME/v2/"
  ok "a hundred requests whose length lies, up to 2^64-1: it serves on" "$(since "$start")"
}

# Clients try TLS first, on insecure registries too. A server that waits for more of
# what it takes for a request line makes each of them wait until they give up.
tls_is_turned_away_at_once() {
  local start=0 took
  start=$(now_ms)
  if curl -sS --insecure --max-time 5 "https://$REGISTRY_NAME/v2/" >"$OUT" 2>&1; then
    fail "https was answered"
  fi
  took=$(($(now_ms) - start))
  [ "$took" -lt 500 ] || fail "a TLS handshake was turned away after $took ms, allowed are 500 ms"
  ok "a TLS handshake is turned away at once" "$took ms"
}
