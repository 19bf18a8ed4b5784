# What a user does with skopeo: copy out and in, look, list, delete. And the 1 GiB
# layer, because skopeo can be told not to compress it: the registry is tested here,
# not gzip.

skopeo_() { skopeo --insecure-policy "$@"; }

skopeo_steps() {
  local start digest layout=$WORK/layout
  start=$(now_ms)
  run skopeo_ copy --src-tls-verify=false "docker://$REGISTRY_NAME/team/hello:v1" "oci:$layout:v1"
  jq -r '.layers[].digest' "$(tag_file team/hello v1)" >"$WORK/layers.registry"
  digest=$(jq -r '.manifests[0].digest' "$layout/index.json")
  jq -r '.layers[].digest' "$layout/blobs/${digest/:/\/}" >"$WORK/layers.layout"
  run diff "$WORK/layers.registry" "$WORK/layers.layout"
  ok "skopeo copy out to an OCI layout" "$(since "$start")"

  start=$(now_ms)
  run skopeo_ copy --dest-tls-verify=false "oci:$layout:v1" "docker://$REGISTRY_NAME/copies/hello:v1"
  run skopeo_ copy --dest-tls-verify=false "oci:$layout:v1" "docker://$REGISTRY_NAME/copies/hello:v2"
  # Unlike docker's, the layout's manifest is OCI's, and goes in byte for byte.
  tag_is copies/hello v1 "$digest"
  ok "skopeo copy in from the OCI layout, twice" "$(since "$start")"

  run skopeo_ inspect --tls-verify=false "docker://$REGISTRY_NAME/copies/hello:v1"
  [ "$(jq -r .Digest "$OUT")" = "$digest" ] || fail "skopeo inspect shows another digest than $digest"
  under 500 "skopeo inspect" true \
    skopeo --insecure-policy inspect --tls-verify=false "docker://$REGISTRY_NAME/copies/hello:v1"

  run skopeo_ list-tags --tls-verify=false "docker://$REGISTRY_NAME/copies/hello"
  [ "$(jq -c .Tags "$OUT")" = '["v1","v2"]' ] || fail "skopeo list-tags: $(jq -c .Tags "$OUT")"
  ok "skopeo list-tags"

  delete_leaves_others_alone "$digest"
  two_copies_at_once
  large_layer
}

delete_leaves_others_alone() {
  # skopeo resolves the tag and deletes by digest, so both tags must be gone.
  run skopeo_ delete --tls-verify=false "docker://$REGISTRY_NAME/copies/hello:v1"
  for tag in v1 v2; do
    if skopeo_ inspect --tls-verify=false "docker://$REGISTRY_NAME/copies/hello:$tag" >"$OUT" 2>&1; then
      fail "copies/hello:$tag is still there after skopeo delete"
    fi
    # -L: also a symlink that points nowhere would be a leftover.
    if [ -e "$(tag_file copies/hello "$tag")" ] || [ -L "$(tag_file copies/hello "$tag")" ]; then
      fail "$(tag_file copies/hello "$tag") is still there after skopeo delete"
    fi
  done
  tag_is team/hello v1 "$HELLO_DIGEST"
  run skopeo_ inspect --tls-verify=false "docker://$REGISTRY_NAME/team/hello:v1"
  ok "skopeo delete: both tags of the digest are gone, other repositories are untouched"
}

# The same new bytes into one new repository from two sides, while both upload: the
# one that finishes second finds the name taken, and must be answered 201 all the same.
two_copies_at_once() {
  local start a b status=0
  write_layout "$WORK/race" $((64 * 1024 * 1024))
  start=$(now_ms)
  skopeo_ copy --preserve-digests --dest-tls-verify=false \
    "oci:$WORK/race:v1" "docker://$REGISTRY_NAME/race:a" >"$WORK/a.out" 2>&1 & a=$!
  skopeo_ copy --preserve-digests --dest-tls-verify=false \
    "oci:$WORK/race:v1" "docker://$REGISTRY_NAME/race:b" >"$WORK/b.out" 2>&1 & b=$!
  wait "$a" || status=$?
  wait "$b" || status=$?
  cat "$WORK/a.out" "$WORK/b.out" >"$OUT"
  [ "$status" = 0 ] || fail "two skopeo copies of one image at once"
  tag_is race a "$(digest_of "$(tag_file race b)")"
  ok "two skopeo copies of one image at once, 64 MiB" "$(since "$start")"
}

large_layer() {
  local start digest layer layout=$WORK/large bytes=$((1024 * 1024 * 1024))
  write_layout "$layout" "$bytes"
  digest=$(jq -r '.manifests[0].digest' "$layout/index.json")
  layer=$(jq -r '.layers[0].digest' "$layout/blobs/${digest/:/\/}")

  start=$(now_ms)
  run skopeo_ copy --preserve-digests --dest-tls-verify=false "oci:$layout:v1" "docker://$REGISTRY_NAME/large:v1"
  tag_is large v1 "$digest"
  [ "$(stat -c %s "$(blob_file "$layer")")" -gt "$bytes" ] || fail "the layer on disk is short"
  ok "skopeo push of a 1 GiB layer" "$(since "$start")"

  rm -rf "$layout"
  start=$(now_ms)
  run skopeo_ copy --preserve-digests --src-tls-verify=false "docker://$REGISTRY_NAME/large:v1" "oci:$WORK/large-copy:v1"
  ok "skopeo pull of it" "$(since "$start")"
  [ "$(digest_of "$WORK/large-copy/blobs/${layer/:/\/}")" = "$layer" ] || fail "the layer came back changed"
  rm -rf "$WORK/large-copy"

  start=$(now_ms)
  run docker pull "$REGISTRY_NAME/large:v1"
  expect "Digest: $digest"
  ok "docker pull of it" "$(since "$start")"
  run docker image rm "$REGISTRY_NAME/large:v1"
}

# write_layout <directory> <bytes>: an image with one layer, as an OCI image layout,
# which is nothing but files with agreed names (image-spec, image-layout.md). The layer
# is a tar, not compressed, with one file of so many random bytes.
write_layout() {
  local layout=$1 layer config manifest
  mkdir -p "$layout/blobs/sha256" "$layout/files"
  # A stream cipher makes noise faster than /dev/urandom.
  run head -c 16 /dev/urandom
  { openssl enc -aes-128-ctr -nosalt -pbkdf2 -kfile "$OUT" </dev/zero 2>/dev/null || true; } |
    head -c "$2" >"$layout/files/noise"
  run tar -C "$layout/files" -cf "$layout/layer" noise
  rm -r "$layout/files"
  [ "$(stat -c %s "$layout/layer")" -gt "$2" ] || fail "could not make a layer of $2 bytes"

  layer=$(add_blob "$layout" "$layout/layer" application/vnd.oci.image.layer.v1.tar)
  jq -n --argjson layer "$layer" --arg arch "$(dpkg --print-architecture)" \
    '{architecture: $arch, os: "linux", config: {}, rootfs: {type: "layers", diff_ids: [$layer.digest]}}' >"$layout/config"
  config=$(add_blob "$layout" "$layout/config" application/vnd.oci.image.config.v1+json)
  jq -n --argjson config "$config" --argjson layer "$layer" \
    '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: $config, layers: [$layer]}' >"$layout/manifest"
  manifest=$(add_blob "$layout" "$layout/manifest" application/vnd.oci.image.manifest.v1+json)
  jq -n --argjson manifest "$manifest" \
    '{schemaVersion: 2, manifests: [$manifest + {annotations: {"org.opencontainers.image.ref.name": "v1"}}]}' >"$layout/index.json"
  echo '{"imageLayoutVersion": "1.0.0"}' >"$layout/oci-layout"
}

# Moves a file to its digest's name and prints the descriptor.
add_blob() {
  local digest size
  digest=$(digest_of "$2")
  size=$(stat -c %s "$2")
  mv "$2" "$1/blobs/${digest/:/\/}"
  jq -nc --arg type "$3" --arg digest "$digest" --argjson size "$size" \
    '{mediaType: $type, digest: $digest, size: $size}'
}
