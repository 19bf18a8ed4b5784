# What can go wrong between processes that share a directory. A, B and C are the URLs of
# the three registries, NGINX that of nginx in front of them.

INDEX_TYPE=application/vnd.oci.image.index.v1+json

scale_steps() {
  each_request_goes_to_the_next
  a_session_goes_on_through_another
  a_killed_server_is_not_missed
  one_writer_at_a_time
  one_creator_of_a_tag
  fifty_referrers
  mount_and_delete
  two_copies_at_once # tests/e2e/skopeo.sh, through nginx
  copy_out
}

each_request_goes_to_the_next() {
  local deadline=$((SECONDS + 10))
  for _ in $(seq 30); do run curl -fsS "$NGINX/v2/?turn"; done
  until [ "$(grep -c '/v2/?turn$' "$WORK/nginx/access.log")" = 30 ]; do # a line is written after the answer
    [ "$SECONDS" -lt "$deadline" ] || fail "nginx's log does not show the thirty requests"
    sleep 0.05
  done
  awk '/\/v2\/\?turn$/ { print $2 }' "$WORK/nginx/access.log" >"$OUT"
  [ "$(sort "$OUT" | uniq -c | awk '{ print $1 }' | xargs)" = "10 10 10" ] ||
    fail "thirty requests to nginx were not ten to each server"
  [ "$(uniq "$OUT" | wc -l)" = 30 ] || fail "two requests in a row went to the same server"
  ok "nginx sends each request to the next server"
}

# begin <url> <repository>: sets SESSION to the path of a new upload session.
begin() {
  run curl -fsS -D "$WORK/headers" -X POST "$1/v2/$2/blobs/uploads/"
  SESSION=$(header Location)
}

# patch <url> <first byte> <file>: sends the session its next chunk.
patch() {
  run curl -fsS -D "$WORK/headers" -X PATCH --data-binary @"$3" -H "Content-Type: application/octet-stream" \
    -H "Content-Range: $2-$(($2 + $(stat -c %s "$3") - 1))" "$1$SESSION"
  SESSION=$(header Location)
}

# close_with <url> <digest> [<first byte> <file>]: ends the session, perhaps with a last chunk.
close_with() {
  local chunk=()
  [ $# = 2 ] || chunk=(--data-binary @"$4" -H "Content-Type: application/octet-stream"
    -H "Content-Range: $3-$(($3 + $(stat -c %s "$4") - 1))")
  run curl -fsS -D "$WORK/headers" -X PUT "${chunk[@]}" "$1$(with_digest "$SESSION" "$2")"
}

# ask_session <url>: sets OFFSET to how many bytes of the session that server counts; 1 may
# be none, since an empty session says 0-0, too.
ask_session() {
  run curl -fsS -D "$WORK/headers" "$1$SESSION"
  OFFSET=$(header Range)
  OFFSET=$((${OFFSET#0-} + 1))
}

# session_stands_at <url> <bytes>
session_stands_at() {
  ask_session "$1"
  [ "$OFFSET" = "$2" ] || fail "$1 says Range: $(header Range) of a session with $2 bytes"
}

# all_serve <repository> <digest> <file>: every server, and nginx, has these bytes.
all_serve() {
  local url
  for url in "$A" "$B" "$C" "$NGINX"; do
    run curl -fsS -o "$WORK/back" "$url/v2/$1/blobs/$2"
    run cmp "$3" "$WORK/back"
  done
}

a_session_goes_on_through_another() {
  local blob=$WORK/blob digest
  head -c 3000000 /dev/urandom >"$blob"
  split -b 1000000 "$blob" "$blob."
  digest=$(digest_of "$blob")
  begin "$A" session
  patch "$B" 0 "$blob.aa"
  session_stands_at "$C" 1000000
  patch "$C" 1000000 "$blob.ab"
  session_stands_at "$A" 2000000
  close_with "$A" "$digest" 2000000 "$blob.ac"
  all_serve session "$digest" "$blob"
  ok "a session begun on A, PATCHed on B and C, closed on A; all serve the blob"

  digest=$(digest_of "$blob.aa")
  begin "$A" session
  patch "$B" 0 "$blob.aa"
  close_with "$C" "$digest"
  all_serve session "$digest" "$blob.aa"
  ok "a session begun on A, PATCHed on B, closed on C without a byte more"
}

# half_patch <url> <file>: begins, in the background as SENDER, a PATCH that goes on until
# `other_half`. Returns when the session has some bytes.
half_patch() {
  local half=$(($(stat -c %s "$2") / 2)) deadline=$((SECONDS + 20))
  rm -f "$WORK/pipe"
  mkfifo "$WORK/pipe"
  curl -sS -o "$WORK/sender.body" -w '%{http_code}' -X PATCH -T - -H "Content-Type: application/octet-stream" \
    "$1$SESSION" <"$WORK/pipe" >"$WORK/sender.status" 2>"$WORK/sender.err" &
  SENDER=$!
  exec {PIPE}>"$WORK/pipe"
  head -c "$half" "$2" >&"$PIPE"
  tail -c +"$((half + 1))" "$2" >"$WORK/half"
  ask_session "$1"
  until [ "$OFFSET" -gt 1 ]; do
    [ "$SECONDS" -lt "$deadline" ] || fail "the session takes nothing of a PATCH to $1 that goes on"
    sleep 0.02
    ask_session "$1"
  done
  kill -0 "$SENDER" 2>/dev/null || fail "the PATCH was to go on, and is over"
}

other_half() {
  cat "$WORK/half" >&"$PIPE"
  exec {PIPE}>&-
}

a_killed_server_is_not_missed() {
  local blob=$WORK/blob bytes=24000000 digest status=0
  head -c "$bytes" /dev/urandom >"$blob"
  digest=$(digest_of "$blob")
  begin "$NGINX" killed
  half_patch "$A" "$blob"
  kill_server_on "$PORT_A"
  exec {PIPE}>&-
  wait "$SENDER" || status=$?
  [ "$status" != 0 ] || fail "a PATCH to a server that was killed meanwhile did well"

  # The client asks another server how far it came, and goes on there.
  ask_session "$B"
  { [ "$OFFSET" -gt 1 ] && [ "$OFFSET" -lt "$bytes" ]; } || fail "the session has $OFFSET of $bytes bytes"
  tail -c +"$((OFFSET + 1))" "$blob" >"$blob.rest"
  patch "$B" "$OFFSET" "$blob.rest"
  close_with "$C" "$digest"
  run curl -fsS -o "$WORK/back" "$NGINX/v2/killed/blobs/$digest"
  run cmp "$blob" "$WORK/back"
  ok "kill -9 of A amid a PATCH: the session went on through B, closed on C" "at byte $OFFSET of $bytes"

  for _ in $(seq 30); do
    run curl -fsS -D "$WORK/headers" -X POST "$NGINX/v2/killed/blobs/uploads/"
    run curl -fsS -X DELETE "$NGINX$(header Location)"
  done
  ok "while A is down nginx asks the others: sixty requests, none failed"
  start_server_on "$PORT_A" 2>"$OUT" || fail "A does not start again"
}

one_writer_at_a_time() {
  local blob=$WORK/blob digest status
  digest=$(digest_of "$blob") # of the step before
  head -c 1000 /dev/urandom >"$WORK/other"
  begin "$A" writers
  half_patch "$A" "$blob"
  status=$(curl -sS -o "$OUT" -w '%{http_code}' -X PATCH --data-binary @"$WORK/other" \
    -H "Content-Type: application/octet-stream" "$B$SESSION")
  [ "$status" = 409 ] || fail "a second PATCH at the same time, through B: $status, not 409"
  status=$(curl -sS -o "$OUT" -w '%{http_code}' -X PUT "$C$(with_digest "$SESSION" "$digest")")
  [ "$status" = 409 ] || fail "a PUT at the same time, through C: $status, not 409"
  other_half
  wait "$SENDER" || fail "the first PATCH broke off: $(cat "$WORK/sender.err")"
  [ "$(cat "$WORK/sender.status")" = 202 ] || fail "the first PATCH: $(cat "$WORK/sender.status"), not 202"
  close_with "$B" "$digest"
  all_serve writers "$digest" "$blob"
  ok "while A writes to a session, B and C refuse to (409), and nothing of theirs is in the blob"
}

# also <name> <method> <url> [<line of a curl configuration>]...: one more request for at_once.
also() {
  local name=$1 method=$2 url=$3
  shift 3
  [ ! -s "$WORK/requests" ] || echo next >>"$WORK/requests"
  printf '%s\n' "request = $method" "url = \"$url\"" "output = \"$WORK/answer.$name\"" \
    'max-time = 30' "write-out = \"%{http_code} $name\n\"" "$@" >>"$WORK/requests"
}

# Sends the requests collected by `also`, each on a connection of its own, all at the same
# time. In $OUT is then a line "<status> <name>" for each.
at_once() {
  COMMAND="curl, many requests at once"
  curl -sS --no-progress-meter --parallel --parallel-immediate --parallel-max 100 \
    -K "$WORK/requests" >"$OUT" 2>"$WORK/at_once.err" || {
    sort "$WORK/at_once.err" | uniq -c >>"$OUT"
    fail "not all requests that were sent at once were answered"
  }
  rm "$WORK/requests"
}

# The server whose turn it is, for the n-th request.
nth_server() {
  case $(($1 % 3)) in
    0) echo "$A" ;;
    1) echo "$B" ;;
    2) echo "$C" ;;
  esac
}

# Everybody wants to be the first to set a tag, each with a manifest of its own.
one_creator_of_a_tag() {
  local rounds=20 writers=30 round n winner start
  start=$(now_ms)
  for n in $(seq "$writers"); do
    printf '{"schemaVersion":2,"mediaType":"%s","manifests":[],"annotations":{"writer":"%s"}}' \
      "$INDEX_TYPE" "$n" >"$WORK/manifest.$n"
  done
  for round in $(seq "$rounds"); do
    for n in $(seq "$writers"); do
      also "$n" PUT "$(nth_server "$n")/v2/race/tags/manifests/round-$round" \
        "data-binary = \"@$WORK/manifest.$n\"" "header = \"Content-Type: $INDEX_TYPE\"" 'header = "If-None-Match: *"'
    done
    at_once
    [ "$(grep -c '^201 ' "$OUT")" = 1 ] || fail "round $round: $(grep -c '^201 ' "$OUT") of $writers writers created the tag"
    [ "$(grep -c '^412 ' "$OUT")" = $((writers - 1)) ] || fail "round $round: the others were not all refused with 412"
    winner=$(sed -n 's/^201 //p' "$OUT")
    tag_is race/tags "round-$round" "$(digest_of "$WORK/manifest.$winner")"
  done
  ok "If-None-Match: * through three servers: of $writers writers one creates the tag" "$rounds rounds, $(since "$start")"
}

# No list of referrers is ever read, changed and written back, so none can be lost.
fifty_referrers() {
  local n subject digest url
  run curl -fsS -X PUT --data-binary @"$WORK/manifest.1" -H "Content-Type: $INDEX_TYPE" \
    "$NGINX/v2/referrers/manifests/subject"
  subject=$(digest_of "$WORK/manifest.1")
  for n in $(seq 50); do
    printf '{"schemaVersion":2,"mediaType":"%s","manifests":[],"subject":{"mediaType":"%s","digest":"%s","size":%s},"annotations":{"n":"%s"}}' \
      "$INDEX_TYPE" "$INDEX_TYPE" "$subject" "$(stat -c %s "$WORK/manifest.1")" "$n" >"$WORK/referrer.$n"
    digest=$(digest_of "$WORK/referrer.$n")
    echo "$digest" >>"$WORK/referrers"
    also "$n" PUT "$(nth_server "$n")/v2/referrers/manifests/$digest" \
      "data-binary = \"@$WORK/referrer.$n\"" "header = \"Content-Type: $INDEX_TYPE\""
  done
  at_once
  [ "$(grep -c '^201 ' "$OUT")" = 50 ] || fail "not all fifty referrers were taken"
  sort -o "$WORK/referrers" "$WORK/referrers"
  for url in "$A" "$B" "$C" "$NGINX"; do
    run curl -fsS "$url/v2/referrers/referrers/$subject"
    jq -r '.manifests[].digest' "$OUT" | sort >"$WORK/listed"
    run diff "$WORK/referrers" "$WORK/listed"
  done
  ok "fifty referrers attached at once through three servers: each server lists all fifty"
}

# The last repository that holds a blob lets go of it on A while another takes it on B.
# Whoever is first: what was answered is so.
mount_and_delete() {
  local rounds=40 round digest mounted=0 status
  for round in $(seq "$rounds"); do
    head -c 100000 /dev/urandom >"$WORK/blob"
    digest=$(digest_of "$WORK/blob")
    run curl -fsS -D "$WORK/headers" -X POST --data-binary @"$WORK/blob" -H "Content-Type: application/octet-stream" \
      "$C/v2/mount/from/blobs/uploads/?digest=$digest"
    # In turn the one and the other is sent first.
    local requests=(
      "also mount POST $B/v2/mount/to/blobs/uploads/?mount=$digest&from=mount/from"
      "also delete DELETE $A/v2/mount/from/blobs/$digest"
    )
    ${requests[round % 2]} "dump-header = $WORK/headers"
    ${requests[1 - round % 2]}
    at_once
    grep -q '^202 delete$' "$OUT" || fail "round $round: the delete"
    if grep -q '^201 mount$' "$OUT"; then
      mounted=$((mounted + 1))
      run curl -fsS -o "$WORK/back" "$C/v2/mount/to/blobs/$digest"
      run cmp "$WORK/blob" "$WORK/back"
    else
      grep -q '^202 mount$' "$OUT" || fail "round $round: the mount"
      status=$(curl -sS -o "$OUT" -w '%{http_code}' "$C/v2/mount/to/blobs/$digest")
      [ "$status" = 404 ] || fail "round $round: the mount was answered 202, but GET is $status"
    fi
  done
  # A mount that came too late was given a session instead; nobody goes on with those.
  rm -rf "$ROOT"/uploads/*
  ok "a mount on B and the last delete on A at once, $rounds rounds" "mounted in time: $mounted"
}

copy_out() {
  local start digest
  start=$(now_ms)
  digest=$(jq -r '.manifests[0].digest' "$WORK/race/index.json")
  run skopeo_ copy --preserve-digests --src-tls-verify=false "docker://$REGISTRY_NAME/race:b" "oci:$WORK/copy:v1"
  [ "$(jq -r '.manifests[0].digest' "$WORK/copy/index.json")" = "$digest" ] || fail "skopeo got another manifest"
  run diff -r "$WORK/race/blobs" "$WORK/copy/blobs"
  ok "skopeo copy out again through nginx: the same bytes" "$(since "$start")"
}
