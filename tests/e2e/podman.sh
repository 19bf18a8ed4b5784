# What a user does with podman, in a store of its own.

podman_() {
  podman --root "$WORK/podman" --runroot "$WORK/podman-run" --tmpdir "$WORK/podman-tmp" \
    --storage-driver "$PODMAN_DRIVER" --cgroup-manager=cgroupfs --events-backend=none "$@"
}

# Left alone, podman raises two limits above the caller's, which needs a capability
# that root does not have on every CI machine.
podman_run() {
  podman_ run --rm --network=none --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024 "$@"
}

podman_steps() {
  local start digest
  # overlay where the file system allows it (as it does not on top of another
  # overlay), else vfs, which works everywhere and copies everything.
  PODMAN_DRIVER=overlay
  if ! podman_ info >"$OUT" 2>&1; then
    rm -rf --one-file-system "$WORK/podman" "$WORK/podman-run"
    PODMAN_DRIVER=vfs
  fi

  start=$(now_ms)
  run podman_ pull --tls-verify=false "$REGISTRY_NAME/team/hello:v1"
  ok "podman pull of what docker pushed" "$(since "$start")"
  run podman_run "$REGISTRY_NAME/team/hello:v1"
  expect "hello from a layer"
  ok "podman run prints what the layers hold"

  start=$(now_ms)
  run podman_ tag "$REGISTRY_NAME/team/hello:v1" "$REGISTRY_NAME/podman/hello:v1"
  run podman_ push --tls-verify=false --digestfile "$WORK/digest" "$REGISTRY_NAME/podman/hello:v1"
  digest=$(cat "$WORK/digest")
  tag_is podman/hello v1 "$digest"
  ok "podman push; cat _tags/v1 is the manifest whose digest podman saw" "$(since "$start")"

  run podman_ rmi --all --force
  start=$(now_ms)
  run podman_ pull --tls-verify=false "$REGISTRY_NAME/podman/hello@$digest"
  run podman_run "$REGISTRY_NAME/podman/hello@$digest"
  expect "hello from a layer"
  ok "podman pull by digest after everything was removed, and run" "$(since "$start")"
  run podman_ rmi --all --force
}
