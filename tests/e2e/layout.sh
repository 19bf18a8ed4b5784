# Images in files: what skopeo and docker write comes in, what goes out is read by skopeo
# and podman. The program works on the root while the server serves it.

layout_steps() {
  exports_are_read_by_others
  archives_of_skopeo_come_in
  archives_of_docker_come_in
  run "$REGISTRY" verify --root "$ROOT"
  expect ": sound"
  ok "registry verify after all that"
}

# registry_ <command> [<argument>...]: over the root that is served.
registry_() { run "$REGISTRY" "$@" --root "$ROOT"; }

# imported <repository> <tag>: the digest that the last import said the tag is.
imported() { sed -n "s|^$1:$2 is ||p" "$OUT"; }

exports_are_read_by_others() {
  local start digest layer layout=$WORK/exported
  # As docker pushed it. skopeo finds docker's kind of manifest in a layout only if it is
  # the one thing there and is asked for without a name.
  start=$(now_ms)
  registry_ export team/hello:v1 "$layout"
  ok "registry export of what docker pushed" "$(since "$start")"
  layer=$(jq -r '.layers[0].digest' "$(tag_file team/hello v1)")
  [ "$layout/blobs/${layer/:/\/}" -ef "$(blob_file "$layer")" ] || fail "the exported layer is not a link to the store's"
  run skopeo_ copy --preserve-digests --dest-tls-verify=false "oci:$layout" "docker://$REGISTRY_NAME/exported/hello:v1"
  tag_is exported/hello v1 "$HELLO_DIGEST"
  ok "skopeo copy of the export: the same digest; its layers are links to the store's"

  # The same as OCI's kind, of which a layout may hold many, by name.
  run skopeo_ copy --src-tls-verify=false "docker://$REGISTRY_NAME/team/hello:v1" "oci:$WORK/converted:v1"
  digest=$(jq -r '.manifests[0].digest' "$WORK/converted/index.json")
  registry_ import "$WORK/converted" converted/hello
  tag_is converted/hello v1 "$digest"
  rm -rf "$layout"
  registry_ import "$WORK/converted" converted/hello:v2
  registry_ export converted/hello "$layout"
  registry_ export converted/hello "$WORK/exported.tar"
  for source in "oci:$layout:v2" "oci-archive:$WORK/exported.tar:v2"; do
    run skopeo_ copy --dest-tls-verify=false "$source" "docker://$REGISTRY_NAME/exported/oci:v1"
    tag_is exported/oci v1 "$digest"
    rm "$(tag_file exported/oci v1)"
  done
  ok "registry import of skopeo's layout and export of it: the same digest to skopeo, in a directory and in a tar"

  # And back in, where nobody has it.
  run "$REGISTRY" import "$WORK/exported.tar" again --root "$WORK/other-root"
  [ "$(imported again v1)" = "$digest" ] || fail "another digest came in than went out"
  run "$REGISTRY" verify --root "$WORK/other-root"
  expect ": sound"
  rm -rf "$WORK/other-root"
  registry_ export converted/hello:v1 "$WORK/one.tar"
  run podman_ load -i "$WORK/one.tar"
  run podman_run "$(podman_ images --quiet --no-trunc | head -1)"
  expect "hello from a layer"
  run podman_ rmi --all --force
  ok "registry import of the export into another registry; podman load and run of it"
  run docker load -i "$WORK/one.tar"
  expect "Loaded image: converted/hello:v1"
  run docker run --rm --network=none converted/hello:v1
  expect "hello from a layer"
  run docker image rm converted/hello:v1
  ok "docker load and run of it, by its name here"
  rm -rf "$layout" "$WORK/exported.tar" "$WORK/one.tar"
}

archives_of_skopeo_come_in() {
  local start digest
  run skopeo_ copy "oci:$WORK/converted:v1" "oci-archive:$WORK/oci.tar:v3"
  start=$(now_ms)
  registry_ import "$WORK/oci.tar" archived/oci
  digest=$(imported archived/oci v3)
  tag_is archived/oci v3 "$digest"
  [ "$digest" = "$(jq -r '.manifests[0].digest' "$WORK/converted/index.json")" ] || fail "another digest than in the layout"
  ok "registry import of skopeo's oci-archive" "$(since "$start")"

  run skopeo_ copy "oci:$WORK/converted:v1" "docker-archive:$WORK/docker.tar:example.com/app:v4"
  start=$(now_ms)
  registry_ import "$WORK/docker.tar" archived/docker
  tag_is archived/docker v4 "$(imported archived/docker v4)"
  run skopeo_ inspect --tls-verify=false --raw "docker://$REGISTRY_NAME/archived/docker:v4"
  [ "$(jq -r .config.digest "$OUT")" = "$(config_of "$WORK/converted" "$digest")" ] || fail "another config than in the layout"
  ok "registry import of skopeo's docker-archive: the same config" "$(since "$start")"
  rm -rf "$WORK/converted" "$WORK/oci.tar" "$WORK/docker.tar"
}

# config_of <layout> <digest>: the digest of an image's config.
config_of() { jq -r .config.digest "$1/blobs/${2/:/\/}"; }

archives_of_docker_come_in() {
  local start image=$REGISTRY_NAME/team/hello:v1 saved=$REGISTRY_NAME/saved/hello layers
  run docker pull "$image"
  run docker image inspect -f '{{json .RootFS.Layers}}' "$image"
  layers=$(cat "$OUT")
  run docker save --output "$WORK/saved.tar" "$image" "$REGISTRY_NAME/debian:base"
  start=$(now_ms)
  registry_ import "$WORK/saved.tar" saved/hello:v1 --ref "$image"
  ok "registry import of one of two images that docker saved" "$(since "$start")"
  run gzip --fast "$WORK/saved.tar"
  run "$REGISTRY" import "$WORK/saved.tar.gz" saved/hello --root "$ROOT"
  [ "$(imported saved/hello v1)" = "$(digest_of "$(tag_file saved/hello v1)")" ] || fail "another manifest was made this time"
  tag_is saved/hello base "$(imported saved/hello base)"
  ok "and of both, compressed: the same digest"

  run docker image rm "$image"
  run docker pull "$saved:v1"
  run docker image inspect -f '{{json .RootFS.Layers}}' "$saved:v1"
  [ "$(cat "$OUT")" = "$layers" ] || fail "docker has other layers than it saved"
  run docker run --rm --network=none "$saved:v1"
  expect "hello from a layer"
  run docker image rm "$saved:v1"
  ok "docker pull and run of what was saved and imported: the same layers"
  rm "$WORK/saved.tar.gz"
}
