# What users of other clients do: crane, regctl, oras, helm, cosign, containerd and
# buildkit, each a few telling steps; after each the store must be sound, and no request
# may have failed in a way that its client did not ask for. `make clients` calls this by
# way of run.sh; it wants root, for containerd and buildkit.
#
# clients-install.sh builds the clients, all but containerd, at the versions this was
# written with. Where it did not, those on the PATH are taken.

CONTAINERD_LOG=$LOGS/containerd.log
BUILDKIT_LOG=$LOGS/buildkitd.log
DAEMONS=() # process ids

clients_main() {
  local start
  start=$(now_ms)
  PATH=$PWD/target/clients/bin:$PATH:/usr/sbin
  need jq jq
  need openssl openssl
  need curl curl
  need htpasswd apache2-utils
  need containerd containerd
  need ctr containerd
  need runc runc
  local client
  for client in crane regctl oras helm cosign buildctl buildkitd; do
    command -v "$client" >/dev/null || fail "$client is missing: tests/e2e/clients-install.sh builds it"
  done

  PORT=$(free_port)
  CLOSED_PORT=$(free_port)
  HERE=127.0.0.1:$PORT          # open
  CLOSED=127.0.0.1:$CLOSED_PORT # the same files, but with a login
  run htpasswd -cbB "$WORK/users" alice wonderland
  start_server_on "$PORT" 2>"$OUT" || fail "the registry does not start"
  start_server_on "$CLOSED_PORT" --htpasswd "$WORK/users" 2>"$OUT" || fail "the registry with --htpasswd does not start"
  # Where the clients keep what they know, instead of in the home directory.
  export REGCTL_CONFIG=$WORK/regctl.json TUF_ROOT=$WORK/tuf COSIGN_PASSWORD=
  export HELM_CONFIG_HOME=$WORK/helm HELM_CACHE_HOME=$WORK/helm HELM_DATA_HOME=$WORK/helm

  crane_steps
  regctl_steps
  oras_steps
  helm_steps
  cosign_steps
  containerd_steps
  buildkit_steps

  stop_servers || fail "a registry did not exit with 0 on SIGTERM"
  ok "SIGTERM: exit status 0"
  echo "all $STEPS steps passed in $(since "$start")"
}

# sound <client>: what it left in the store is right, and it met no error but "not there"
# and "who are you?".
SEEN=0
sound() {
  local surprises
  run "$REGISTRY" verify --root "$ROOT"
  expect ": sound"
  surprises=$(tail -n "+$((SEEN + 1))" "$SERVER_LOG" | grep -E '^[^ ]+ [A-Z]+ /[^ ]* [345][0-9]{2} ' | grep -vE ' (401|404) in=') || true
  [ -z "$surprises" ] || fail "requests of $1 that failed: $surprises"
  SEEN=$(wc -l <"$SERVER_LOG")
  ok "$1: the store is sound, and no request was refused but by 401 and 404"
}

# wait_for <socket> <log> <program>: until it can be called.
wait_for() {
  local deadline=$((SECONDS + 30))
  until [ -S "$1" ]; do
    [ "$SECONDS" -lt "$deadline" ] || fail "$3 does not start: $(tail -3 "$2")"
    sleep 0.1
  done
}

clients_tidy() {
  local pid
  for pid in "${DAEMONS[@]}"; do end_process "$pid" 30 || true; done
  DAEMONS=()
}

# The image of all that follows: an index over two platforms, as crane makes it.
crane_steps() {
  local start layer
  start=$(now_ms)
  write_layout "$WORK/app" $((1024 * 1024))
  run crane push "$WORK/app" "$HERE/crane/app:amd64"
  tag_is crane/app amd64 "$(jq -r '.manifests[0].digest' "$WORK/app/index.json")"
  run crane mutate --set-platform linux/amd64 "$HERE/crane/app:amd64" -t "$HERE/crane/app:amd64"
  run crane mutate --set-platform linux/arm64 "$HERE/crane/app:amd64" -t "$HERE/crane/app:arm64"
  run crane index append -m "$HERE/crane/app:amd64" -m "$HERE/crane/app:arm64" -t "$HERE/crane/app:v1"
  run crane digest "$HERE/crane/app:v1"
  APP_DIGEST=$(cat "$OUT")
  tag_is crane/app v1 "$APP_DIGEST"
  ok "crane push, mutate, index append" "$(since "$start")"

  run crane copy "$HERE/crane/app:v1" "$HERE/crane/copy:v1"
  expect "mounted blob"
  tag_is crane/copy v1 "$APP_DIGEST"
  layer=$(jq -r '.layers[0].digest' "$(tag_file crane/app amd64)")
  [ "$(stat -c %h "$(blob_file "$layer")")" = 3 ] || fail "the layer is not one file for two repositories"
  ok "crane copy mounts the layers"

  run crane pull --format=oci "$HERE/crane/app:v1" "$WORK/crane-layout"
  run "$REGISTRY" import "$WORK/crane-layout" crane/imported:v1 --root "$ROOT"
  tag_is crane/imported v1 "$APP_DIGEST"
  run "$REGISTRY" export crane/imported:v1 "$WORK/crane-export" --root "$ROOT"
  run crane push "$WORK/crane-export" "$HERE/crane/exported:v1"
  tag_is crane/exported v1 "$APP_DIGEST"
  ok "crane pull, registry import, registry export, crane push: the same digest"

  run crane ls "$HERE/crane/app"
  [ "$(tr '\n' ' ' <"$OUT")" = "amd64 arm64 v1 " ] || fail "crane ls"
  run crane catalog "$HERE"
  expect crane/exported
  run crane delete "$HERE/crane/exported:v1"
  [ ! -L "$(tag_file crane/exported v1)" ] || fail "the tag is still there after crane delete"
  ok "crane ls, catalog, delete"

  refused "UNAUTHORIZED" crane ls "$CLOSED/crane/app"
  run crane auth login "$CLOSED" -u alice -p wonderland
  run crane copy "$CLOSED/crane/app:v1" "$CLOSED/crane/closed:v1"
  tag_is crane/closed v1 "$APP_DIGEST"
  run crane auth logout "$CLOSED"
  ok "crane auth login, and not without"
  sound crane
}

# A session in chunks, and referrers by the referrers API.
regctl_steps() {
  local start
  write_layout "$WORK/chunks" $((1024 * 1024)) # what is there already it would mount
  run regctl registry set --tls disabled --blob-chunk 100000 --blob-max 100000 "$HERE"
  start=$(now_ms)
  run regctl image copy "ocidir://$WORK/chunks:v1" "$HERE/regctl/app:chunks"
  tag_is regctl/app chunks "$(jq -r '.manifests[0].digest' "$WORK/chunks/index.json")"
  [ "$(grep -c 'PATCH /v2/regctl/app/' "$SERVER_LOG")" -ge 10 ] || fail "the layer did not come in chunks"
  ok "regctl image copy, in chunks of 100 kB" "$(since "$start")"

  run regctl image copy "$HERE/crane/app:v1" "$HERE/regctl/app:v1"
  tag_is regctl/app v1 "$APP_DIGEST"
  echo '{"bill": "of materials"}' >"$WORK/sbom.json"
  run regctl artifact put --subject "$HERE/regctl/app:v1" --artifact-type application/x.sbom -f "$WORK/sbom.json"
  run regctl artifact put --subject "$HERE/regctl/app:v1" --artifact-type application/x.other -f "$WORK/sbom.json"
  run regctl artifact get --subject "$HERE/regctl/app:v1" --filter-artifact-type application/x.sbom
  expect "$(cat "$WORK/sbom.json")"
  run regctl image copy --referrers "$HERE/regctl/app:v1" "$HERE/regctl/copy:v1"
  run regctl artifact list --format '{{range .Descriptors}}{{.ArtifactType}} {{end}}' "$HERE/regctl/copy:v1"
  expect "application/x.sbom "
  expect "application/x.other "
  ok "regctl artifact put, get; image copy --referrers brings them along"

  run regctl image mod "$HERE/regctl/app:chunks" --create "$HERE/regctl/sha512:v1" --digest-algo sha512
  run regctl image digest "$HERE/regctl/sha512:v1"
  [ "$(cat "$OUT")" = "sha512:$(sha512sum <"$(tag_file regctl/sha512 v1)" | cut -d' ' -f1)" ] || fail "another sha512 than that of the file"
  ok "regctl image mod to sha512"

  run regctl image export "$HERE/regctl/app:v1" "$WORK/regctl.tar"
  run "$REGISTRY" import "$WORK/regctl.tar" regctl/imported:v1 --root "$ROOT"
  tag_is regctl/imported v1 "$APP_DIGEST"
  run "$REGISTRY" export regctl/imported:v1 "$WORK/regctl-export.tar" --root "$ROOT"
  run regctl image import "$HERE/regctl/exported:v1" "$WORK/regctl-export.tar"
  tag_is regctl/exported v1 "$APP_DIGEST"
  ok "regctl image export, registry import, registry export, regctl image import: the same digest"

  run regctl tag delete "$HERE/regctl/app:v1"
  run regctl tag ls "$HERE/regctl/app"
  [ "$(cat "$OUT")" = chunks ] || fail "regctl tag delete took too little or too much"
  run regctl manifest head "$HERE/regctl/app@$APP_DIGEST"
  ok "regctl tag delete leaves the manifest"

  # It asks at once, before it can have a login.
  regctl registry set --tls disabled "$CLOSED" >"$OUT" 2>&1 || true
  refused "unauthorized" regctl tag ls "$CLOSED/crane/app"
  run regctl registry login -u alice -p wonderland "$CLOSED"
  run regctl image copy "$CLOSED/crane/app:v1" "$CLOSED/regctl/closed:v1"
  tag_is regctl/closed v1 "$APP_DIGEST"
  ok "regctl registry login, and not without"
  sound regctl
}

# Artifacts: files with a type, and what is attached to them.
oras_steps() {
  local digest blob
  run env -C "$WORK" oras push --plain-http "$HERE/oras/bill:v1" --artifact-type application/x.bill sbom.json:application/json
  digest=$(digest_of "$(tag_file oras/bill v1)")
  run oras pull --plain-http "$HERE/oras/bill:v1" -o "$WORK/oras"
  run cmp "$WORK/sbom.json" "$WORK/oras/sbom.json"
  run env -C "$WORK" oras attach --plain-http "$HERE/oras/bill:v1" --artifact-type application/x.paid sbom.json
  run env -C "$WORK" oras attach --plain-http "$HERE/oras/bill:v1" --artifact-type application/x.tagged \
    --distribution-spec v1.1-referrers-tag sbom.json
  expect_attached "$HERE/oras/bill:v1" --plain-http
  [ -L "$(tag_file oras/bill "${digest/:/-}")" ] || fail "no tag ${digest/:/-} by --distribution-spec v1.1-referrers-tag"
  ok "oras push, pull; attach and discover, by the referrers API and by its tag"

  run oras copy -r --from-plain-http --to-plain-http "$HERE/oras/bill:v1" "$HERE/oras/copy:v1"
  expect Mounted
  expect_attached "$HERE/oras/copy:v1" --plain-http
  run oras copy -r --from-plain-http "$HERE/oras/bill:v1" --to-oci-layout "$WORK/oras-layout:v1"
  run "$REGISTRY" import "$WORK/oras-layout" oras/imported --root "$ROOT"
  tag_is oras/imported v1 "$digest"
  expect_attached "$HERE/oras/imported:v1" --plain-http
  run "$REGISTRY" export oras/imported:v1 "$WORK/oras-export" --referrers --root "$ROOT"
  expect_attached "$WORK/oras-export:v1" --oci-layout
  run oras copy -r --from-oci-layout "$WORK/oras-export:v1" --to-plain-http "$HERE/oras/exported:v1"
  tag_is oras/exported v1 "$digest"
  expect_attached "$HERE/oras/exported:v1" --plain-http
  ok "oras copy -r into a layout, registry import, registry export, oras copy -r out of it: with all that is attached"

  run oras manifest delete --plain-http --force "$HERE/oras/exported:v1"
  [ ! -L "$(tag_file oras/exported v1)" ] || fail "the tag is still there after oras manifest delete"
  blob=$HERE/oras/blob@$(digest_of "$WORK/sbom.json")
  run oras blob push --plain-http "$blob" "$WORK/sbom.json"
  run oras blob fetch --plain-http --output "$WORK/blob" "$blob"
  run cmp "$WORK/sbom.json" "$WORK/blob"
  run oras blob delete --plain-http --force "$blob"
  refused "not found" oras blob fetch --plain-http --output "$WORK/blob" "$blob"
  run oras repo ls --plain-http "$HERE/oras/"
  expect bill
  run oras repo tags --plain-http "$HERE/oras/bill"
  expect v1
  ok "oras manifest delete, blob push, fetch, delete, repo ls, repo tags"

  refused "basic credential not found" oras repo tags --plain-http "$CLOSED/oras/bill"
  echo wonderland | oras login --plain-http -u alice --password-stdin "$CLOSED" >"$OUT" 2>&1 || fail "oras login"
  run oras copy --from-plain-http --to-plain-http "$CLOSED/oras/bill:v1" "$CLOSED/oras/closed:v1"
  tag_is oras/closed v1 "$digest"
  run oras logout "$CLOSED"
  ok "oras login, and not without"
  sound oras
}

# expect_attached <image> <flag>: what oras_steps has attached is there.
expect_attached() {
  run oras discover "$2" "$1"
  expect application/x.paid
  expect application/x.tagged
}

# A chart whose version holds a plus, which no tag can.
helm_steps() {
  local chart=hello-0.1.0+build.5.tgz
  mkdir -p "$WORK/chart/templates" "$WORK/charts"
  printf '%s\n' "apiVersion: v2" "name: hello" "version: 0.1.0+build.5" >"$WORK/chart/Chart.yaml"
  run helm package "$WORK/chart" -d "$WORK"
  run helm push "$WORK/$chart" "oci://$HERE/charts" --plain-http
  [ -L "$(tag_file charts/hello 0.1.0_build.5)" ] || fail "no tag with _ for +"
  run helm pull "oci://$HERE/charts/hello" --version 0.1.0+build.5 --plain-http -d "$WORK/charts"
  run cmp "$WORK/$chart" "$WORK/charts/$chart"
  run helm show chart "oci://$HERE/charts/hello" --devel --plain-http
  expect "version: 0.1.0+build.5"
  ok "helm push, pull, and show of the newest version"

  refused "basic credential not found" helm pull "oci://$CLOSED/charts/hello" --devel --plain-http
  refused "unauthorized" helm_login wrong
  run helm_login wonderland
  run helm push "$WORK/$chart" "oci://$CLOSED/closed" --plain-http
  run helm registry logout "$CLOSED"
  ok "helm registry login, and not without"
  sound helm
}

helm_login() { echo "$1" | helm registry login "$CLOSED" -u alice --password-stdin --plain-http; }

# Signatures, as a tag beside the image and as a referrer. With a key of our own, without
# the public log: nothing of this leaves the machine.
cosign_steps() {
  local image=$HERE/crane/app@$APP_DIGEST referred=$HERE/regctl/imported@$APP_DIGEST
  local sign=(cosign sign --yes --key "$WORK/key.key" --tlog-upload=false --allow-http-registry)
  local verify=(cosign verify --private-infrastructure --allow-http-registry)
  run cosign generate-key-pair --output-key-prefix "$WORK/key"
  run cosign generate-key-pair --output-key-prefix "$WORK/other"
  run "${sign[@]}" "$image"
  [ -L "$(tag_file crane/app "${APP_DIGEST/:/-}.sig")" ] || fail "no tag with the signature"
  run "${verify[@]}" --key "$WORK/key.pub" "$image"
  expect "$APP_DIGEST"
  refused "invalid signature" "${verify[@]}" --key "$WORK/other.pub" "$image"
  ok "cosign sign and verify, by a tag; not with another key"

  run env COSIGN_EXPERIMENTAL=1 "${sign[@]}" --registry-referrers-mode=oci-1-1 "$referred"
  [ ! -L "$(tag_file regctl/imported "${APP_DIGEST/:/-}.sig")" ] || fail "it is a tag"
  run env COSIGN_EXPERIMENTAL=1 "${verify[@]}" --experimental-oci11 --key "$WORK/key.pub" "$referred"
  expect "$APP_DIGEST"
  ok "cosign sign and verify, by the referrers API"

  run cosign attest --yes --key "$WORK/key.key" --tlog-upload=false --allow-http-registry \
    --type custom --predicate "$WORK/sbom.json" "$image"
  run cosign verify-attestation --private-infrastructure --allow-http-registry --key "$WORK/key.pub" --type custom "$image"
  run cosign copy --allow-http-registry "$HERE/crane/app:v1" "$HERE/cosign/copy:v1"
  run "${verify[@]}" --key "$WORK/key.pub" "$HERE/cosign/copy:v1"
  run cosign clean --allow-http-registry --force --type all "$HERE/cosign/copy:v1"
  refused "no signatures found" "${verify[@]}" --key "$WORK/key.pub" "$HERE/cosign/copy:v1"
  ok "cosign attest, verify-attestation; copy with the signature; clean"

  refused "UNAUTHORIZED" "${verify[@]}" --key "$WORK/key.pub" "$CLOSED/crane/app:v1"
  run "${sign[@]}" --registry-username alice --registry-password wonderland "$CLOSED/crane/closed@$APP_DIGEST"
  run "${verify[@]}" --key "$WORK/key.pub" "$HERE/crane/closed:v1"
  ok "cosign with a login, and not without"
  sound cosign
}

ctr_() { ctr --address "$WORK/containerd.sock" --namespace clients "$@"; }

containerd_steps() {
  local pull=(images pull --plain-http --snapshotter native --all-platforms)
  printf '%s\n' 'version = 2' "root = \"$WORK/containerd\"" "state = \"$WORK/containerd-state\"" \
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]' \
    '[grpc]' "address = \"$WORK/containerd.sock\"" >"$WORK/containerd.toml"
  containerd --config "$WORK/containerd.toml" >"$CONTAINERD_LOG" 2>&1 &
  DAEMONS+=($!)
  wait_for "$WORK/containerd.sock" "$CONTAINERD_LOG" containerd

  run ctr_ "${pull[@]}" "$HERE/crane/app:v1"
  run ctr_ images push --plain-http "$HERE/containerd/app:v1" "$HERE/crane/app:v1"
  tag_is containerd/app v1 "$APP_DIGEST"
  grep -qE 'POST /v2/containerd/app/blobs/uploads/\?mount=\S+ 201 ' "$SERVER_LOG" || fail "nothing was mounted"
  ok "ctr images pull and push, of two platforms: the layers are mounted"

  run ctr_ images export --all-platforms "$WORK/containerd.tar" "$HERE/crane/app:v1"
  run "$REGISTRY" import "$WORK/containerd.tar" containerd/imported --root "$ROOT"
  tag_is containerd/imported v1 "$APP_DIGEST"
  run "$REGISTRY" export containerd/imported:v1 "$WORK/containerd-export.tar" --root "$ROOT"
  run ctr_ images import --snapshotter native --all-platforms --base-name example.com/app "$WORK/containerd-export.tar"
  run ctr_ images ls "name==example.com/app:v1"
  expect "$APP_DIGEST"
  ok "ctr images export, registry import, registry export, ctr images import: the same digest"

  run ctr_ images export --platform linux/amd64 "$WORK/one-platform.tar" "$HERE/crane/app:v1"
  refused "--platform linux/amd64" "$REGISTRY" import "$WORK/one-platform.tar" containerd/one:v1 --root "$ROOT"
  run "$REGISTRY" import "$WORK/one-platform.tar" containerd/one:v1 --platform linux/amd64 --root "$ROOT"
  tag_is containerd/one v1 "$(digest_of "$(tag_file crane/app amd64)")"
  ok "registry import --platform of an index of which ctr wrote one platform"

  refused "401 Unauthorized" ctr_ "${pull[@]}" "$CLOSED/crane/app:v1"
  # A node that has an old password tries it five times for each pull, and must not
  # shut out those that have the new one.
  for _ in 1 2 3; do
    refused "401 Unauthorized" ctr_ "${pull[@]}" --user alice:old "$CLOSED/crane/app:v1"
  done
  run ctr_ "${pull[@]}" --user alice:wonderland "$CLOSED/crane/app:v1"
  ok "ctr with a login, and not without; an old password shuts nobody out"
  sound containerd
}

build() {
  buildctl --addr "unix://$WORK/buildkit.sock" build --frontend dockerfile.v0 --progress plain \
    --local "context=$WORK/context" --local "dockerfile=$WORK/context" "$@"
}

buildkit_steps() {
  local digest type from
  printf '%s\n' "root = \"$WORK/buildkit\"" \
    '[grpc]' "address = [\"unix://$WORK/buildkit.sock\"]" \
    '[worker.oci]' 'enabled = true' 'snapshotter = "native"' 'networkMode = "host"' \
    '[worker.containerd]' 'enabled = false' \
    "[registry.\"$HERE\"]" 'http = true' "[registry.\"$CLOSED\"]" 'http = true' >"$WORK/buildkit.toml"
  buildkitd --config "$WORK/buildkit.toml" >"$BUILDKIT_LOG" 2>&1 &
  DAEMONS+=($!)
  wait_for "$WORK/buildkit.sock" "$BUILDKIT_LOG" buildkitd

  mkdir "$WORK/context"
  echo hello >"$WORK/context/hello"
  printf '%s\n' "FROM $HERE/crane/app:v1" "COPY hello /hello" "COPY hello /again" >"$WORK/context/Dockerfile"
  run build --opt platform=linux/amd64,linux/arm64 --opt attest:provenance= --metadata-file "$WORK/metadata.json" \
    --output "type=image,name=$HERE/buildkit/app:v1,push=true,oci-mediatypes=true" \
    --export-cache "type=registry,ref=$HERE/buildkit/cache:image,mode=max"
  tag_is buildkit/app v1 "$(built)"
  [ "$(jq '.manifests | length' "$(tag_file buildkit/app v1)")" = 4 ] || fail "not two images and two attestations"
  ok "buildctl build FROM the registry, pushed for two platforms, with provenance"

  # The cache as an index whose children are layers: the older form.
  run build --export-cache "type=registry,ref=$HERE/buildkit/cache:index,mode=max,image-manifest=false"
  for type in image index; do
    run buildctl --addr "unix://$WORK/buildkit.sock" prune --all
    run build --import-cache "type=registry,ref=$HERE/buildkit/cache:$type"
    [ "$(grep -c 'CACHED$' "$OUT")" = 2 ] || fail "the cache as an $type was not used"
  done
  ok "buildctl --export-cache and --import-cache, as an image and as an index"

  for type in oci docker; do
    run build --metadata-file "$WORK/metadata.json" --output "type=$type,name=example.com/app:$type,dest=$WORK/buildkit-$type.tar"
    run "$REGISTRY" import "$WORK/buildkit-$type.tar" buildkit/imported --root "$ROOT"
    tag_is buildkit/imported "$type" "$(built)"
  done
  run "$REGISTRY" export buildkit/imported:oci "$WORK/buildkit-layout" --root "$ROOT"
  digest=$(digest_of "$(tag_file buildkit/imported oci)")
  printf '%s\n' "FROM exported" "COPY hello /more" >"$WORK/context/Dockerfile"
  from=(--oci-layout "store=$WORK/buildkit-layout" --opt "context:exported=oci-layout://store@$digest")
  run build "${from[@]}"
  ok "registry import of what type=oci and type=docker write: the same digests; a build FROM registry export"

  refused "401 Unauthorized" build "${from[@]}" --output "type=image,name=$CLOSED/buildkit/closed:v1,push=true"
  run crane auth login "$CLOSED" -u alice -p wonderland
  run build --metadata-file "$WORK/metadata.json" --output "type=image,name=$CLOSED/buildkit/closed:v1,push=true" "${from[@]}"
  tag_is buildkit/closed v1 "$(built)"
  run crane auth logout "$CLOSED"
  ok "buildctl with a login, and not without"
  sound buildkit
}

# The digest of what buildkit says it has built.
built() { jq -r '."containerimage.digest"' "$WORK/metadata.json"; }
