# What a user does with docker: a Debian root file system, an image of several layers
# on it, push, pull, run.

# An engine that already runs is used as it is. Otherwise one is started by hand, away
# from everything that docker usually owns: data, state, socket, bridge and firewall
# rules. Containers run without a network, so it needs none.
ENGINE_PID=
start_engine() {
  if docker info >"$OUT" 2>&1; then
    ok "a docker engine runs already" "$(docker version -f '{{.Server.Version}}')"
    return
  fi
  need dockerd docker.io
  [ "$(id -u)" = 0 ] || fail "no docker engine runs, and only root can start one"
  export DOCKER_HOST=unix://$WORK/docker.sock
  PATH=$PATH:/usr/sbin:/sbin dockerd \
    --host "$DOCKER_HOST" --data-root "$WORK/docker" --exec-root "$WORK/docker-exec" \
    --pidfile "$WORK/docker.pid" --bridge=none --iptables=false --ip6tables=false \
    >"$ENGINE_LOG" 2>&1 &
  ENGINE_PID=$!
  local deadline=$((SECONDS + 60))
  until docker info >"$OUT" 2>&1; do
    if ! kill -0 "$ENGINE_PID" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
      tail -20 "$ENGINE_LOG" >"$OUT"
      fail "dockerd does not start"
    fi
    sleep 0.2
  done
  ok "started a docker engine" "$(docker info -f '{{.ServerVersion}}, {{.Driver}}')"
}

stop_engine() {
  [ -n "$ENGINE_PID" ] || return 0
  end_process "$ENGINE_PID" 30 || true
  ENGINE_PID=
}

# The one part that takes the network, so its result is kept.
debian_root() {
  DEBIAN_TAR=$CACHE/debian-$DEBIAN_SUITE-minbase.tar
  if [ -s "$DEBIAN_TAR" ]; then
    ok "a Debian root file system, from the cache" "$(du -h "$DEBIAN_TAR" | cut -f1)"
    return
  fi
  need debootstrap debootstrap
  [ "$(id -u)" = 0 ] || fail "only root can run debootstrap"
  local start
  start=$(now_ms)
  PATH=$PATH:/usr/sbin:/sbin run debootstrap --variant=minbase "$DEBIAN_SUITE" "$WORK/debian"
  rm -f "$WORK"/debian/var/cache/apt/archives/*.deb
  # Named only when complete, as the registry does it.
  run tar -C "$WORK/debian" --one-file-system -cf "$DEBIAN_TAR.part" .
  mv "$DEBIAN_TAR.part" "$DEBIAN_TAR"
  rm -rf --one-file-system "$WORK/debian"
  ok "debootstrap of a Debian root file system" "$(since "$start")"
}

docker_steps() {
  local start digest layer
  start=$(now_ms)
  run docker import "$DEBIAN_TAR" "$REGISTRY_NAME/debian:base"
  ok "docker import" "$(since "$start")"

  # The classic builder is what the engine has without further parts.
  export DOCKER_BUILDKIT=0
  write_context "$WORK/hello" "hello from a layer"
  start=$(now_ms)
  run docker build --network=none --tag "$REGISTRY_NAME/team/hello:v1" "$WORK/hello"
  run docker image inspect -f '{{len .RootFS.Layers}}' "$REGISTRY_NAME/team/hello:v1"
  expect 4
  ok "docker build of an image with four layers" "$(since "$start")"

  start=$(now_ms)
  run docker push "$REGISTRY_NAME/team/hello:v1"
  HELLO_DIGEST=$(pushed_digest)
  tag_is team/hello v1 "$HELLO_DIGEST"
  ok "docker push; cat _tags/v1 is the manifest whose digest docker saw" "$(since "$start")"

  start=$(now_ms)
  run docker push "$REGISTRY_NAME/team/hello:v1"
  expect "Layer already exists"
  [ "$(grep -c 'Layer already exists' "$OUT")" = 4 ] || fail "not all four layers \"already exist\""
  ok "docker push again: Layer already exists, four times" "$(since "$start")"

  start=$(now_ms)
  run docker tag "$REGISTRY_NAME/team/hello:v1" "$REGISTRY_NAME/other/hello:v1"
  run docker push "$REGISTRY_NAME/other/hello:v1"
  [ "$(grep -c 'Mounted from team/hello' "$OUT")" = 4 ] || fail "not all four layers \"Mounted from team/hello\""
  tag_is other/hello v1 "$HELLO_DIGEST"
  ok "docker push to a second repository: Mounted from team/hello, four times" "$(since "$start")"

  for layer in $(jq -r '.layers[].digest' "$(tag_file team/hello v1)"); do
    [ "$(stat -c %h "$(blob_file "$layer")")" = 3 ] ||
      fail "$(stat -c '%n has link count %h, not 3' "$(blob_file "$layer")")"
  done
  ok "the four layers have link count 3: blobs/ and two repositories"

  remove_images
  start=$(now_ms)
  run docker pull "$REGISTRY_NAME/team/hello:v1"
  expect "Digest: $HELLO_DIGEST"
  [ "$(grep -c 'Pull complete' "$OUT")" = 4 ] || fail "docker did not pull four layers"
  ok "docker pull after everything was removed" "$(since "$start")"
  run docker run --rm --network=none "$REGISTRY_NAME/team/hello:v1"
  expect "hello from a layer"
  ok "docker run prints what the layers hold"
  run docker pull "$REGISTRY_NAME/other/hello@$HELLO_DIGEST"
  ok "docker pull by digest from the second repository"

  two_pushes_at_once
  small_pull_is_quick
}

# A context whose image has three layers over the base, each with something new.
write_context() {
  mkdir -p "$1"
  echo "$2" >"$1/greeting"
  cat >"$1/Dockerfile" <<DOCKERFILE
FROM $REGISTRY_NAME/debian:base
RUN mkdir /hello && echo "$2: one" > /hello/1
RUN head -c 5000000 /dev/urandom > /hello/2
COPY greeting /hello/3
CMD ["cat", "/hello/1", "/hello/3"]
DOCKERFILE
}

# docker ends a push with "<tag>: digest: sha256:… size: …".
pushed_digest() { sed -n 's/.*digest: \(sha256:[0-9a-f]*\) size: .*/\1/p' "$OUT"; }

# All images of ours, the base too: a layer that is still there would not be pulled.
# By name, so that an image goes when its last name does, and its parents with it.
remove_images() {
  run docker image ls --format '{{.Repository}}:{{.Tag}}' \
    --filter "reference=$REGISTRY_NAME/*" --filter "reference=$REGISTRY_NAME/*/*"
  local images
  mapfile -t images <"$OUT"
  run docker image rm "${images[@]}"
}

two_pushes_at_once() {
  local start a b status
  run docker import "$DEBIAN_TAR" "$REGISTRY_NAME/debian:base"
  for name in a b; do
    write_context "$WORK/$name" "image $name"
    run docker build --network=none --tag "$REGISTRY_NAME/team/both:$name" "$WORK/$name"
  done
  # Both go to one repository that does not exist yet and mount the base layer into it.
  start=$(now_ms)
  docker push "$REGISTRY_NAME/team/both:a" >"$WORK/a.out" 2>&1 & a=$!
  docker push "$REGISTRY_NAME/team/both:b" >"$WORK/b.out" 2>&1 & b=$!
  status=0
  wait "$a" || status=$?
  wait "$b" || status=$?
  cat "$WORK/a.out" "$WORK/b.out" >"$OUT"
  [ "$status" = 0 ] || fail "two docker pushes at once"
  for name in a b; do
    OUT=$WORK/$name.out
    tag_is team/both "$name" "$(pushed_digest)"
  done
  OUT=$WORK/out
  ok "two docker pushes at once, into one repository" "$(since "$start")"
}

# What used to take ten seconds on this HTTP server: every client tries TLS first.
small_pull_is_quick() {
  mkdir -p "$WORK/small"
  printf 'FROM scratch\nCOPY Dockerfile /\n' >"$WORK/small/Dockerfile"
  run docker build --network=none --tag "$REGISTRY_NAME/small:v1" "$WORK/small"
  run docker push "$REGISTRY_NAME/small:v1"
  remove_small() { run docker image rm "$REGISTRY_NAME/small:v1"; }
  under 1000 "docker pull of a small image" remove_small docker pull "$REGISTRY_NAME/small:v1"
}
