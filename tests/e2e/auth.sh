# Who may do what, as docker, skopeo and podman see it: two more registries on the same
# root, with the users of a file that htpasswd writes.

auth_steps() {
  need htpasswd apache2-utils
  USERS=$WORK/users
  export REGISTRY_AUTH_FILE=$WORK/auth.json # where skopeo and podman keep logins
  run htpasswd -cbB "$USERS" alice wonderland

  CLOSED_PORT=$(free_port)
  start_server_on "$CLOSED_PORT" --htpasswd "$USERS" --log-level debug 2>"$OUT" ||
    fail "the registry with --htpasswd does not start"
  logins_are_needed "${REGISTRY_NAME%:*}:$CLOSED_PORT"
  users_come_and_go "${REGISTRY_NAME%:*}:$CLOSED_PORT"
  stop_server_on "$CLOSED_PORT" || fail "the registry with --htpasswd did not exit with 0 on SIGTERM"

  PUBLIC_PORT=$(free_port)
  local name=${REGISTRY_NAME%:*}:$PUBLIC_PORT
  start_server_on "$PUBLIC_PORT" --htpasswd "$USERS" --anonymous-pull --public-url "http://$name" \
    --log-level debug 2>"$OUT" || fail "the registry with --anonymous-pull does not start"
  strangers_pull "$name"
  stop_server_on "$PUBLIC_PORT" || fail "the registry with --anonymous-pull did not exit with 0 on SIGTERM"

  local secret
  for secret in wonderland builder wrong "$(printf alice:wonderland | base64)" '$2y$'; do
    ! grep -qF -- "$secret" "$SERVER_LOG" || fail "\"$secret\" is in the registry's log"
  done
  ok "no password in the log, at level debug"
  unset REGISTRY_AUTH_FILE
}

# refused <what it must say> <command...>
refused() {
  local text=$1
  shift
  COMMAND="$*"
  if "$@" >"$OUT" 2>&1 </dev/null; then fail "it should have been refused: $COMMAND"; fi
  expect "$text"
}

docker_login() { echo "$3" | docker login --username "$2" --password-stdin "$1"; }

logins_are_needed() {
  local name=$1 image=$1/small:v1
  run docker pull "$REGISTRY_NAME/small:v1"
  run docker tag "$REGISTRY_NAME/small:v1" "$image"
  refused "no basic auth credentials" docker push "$image"
  refused "no basic auth credentials" docker pull "$image"
  refused "401" docker_login "$name" alice wrong
  ok "--htpasswd: docker push, pull and a wrong docker login are refused"

  run docker_login "$name" alice wonderland
  expect "Login Succeeded"
  run docker push "$image"
  run docker pull "$image"
  run docker logout "$name"
  refused "no basic auth credentials" docker pull "$image"
  run docker image rm "$image" "$REGISTRY_NAME/small:v1"
  ok "docker login, push, pull; after docker logout no more"

  refused "unauthorized" skopeo_ inspect --tls-verify=false "docker://$image"
  refused "unauthorized" skopeo_ inspect --tls-verify=false --creds alice:wrong "docker://$image"
  run skopeo_ inspect --tls-verify=false --creds alice:wonderland "docker://$image"
  refused "invalid username/password" podman_ login --tls-verify=false -u alice -p wrong "$name"
  run podman_ login --tls-verify=false -u alice -p wonderland "$name"
  run podman_ pull --tls-verify=false "$image"
  run podman_ logout "$name"
  refused "unauthorized" podman_ pull --tls-verify=false "$image"
  run podman_ rmi --all --force
  ok "skopeo and podman with a login, and not without"
}

# htpasswd writes the file while the registry runs, which looks at it once a second.
users_come_and_go() {
  local image=$1/small:v1
  # Not by asking until bob is let in: ten wrong logins a minute are all he has.
  run htpasswd -bB "$USERS" bob builder
  sleep 1
  run skopeo_ inspect --tls-verify=false --creds bob:builder "docker://$image"
  run htpasswd -D "$USERS" bob
  sleep 1
  refused "unauthorized" skopeo_ inspect --tls-verify=false --creds bob:builder "docker://$image"
  ok "htpasswd -B adds a user and -D removes one, without a restart"
}

strangers_pull() {
  local name=$1 image=$1/small:v1
  run docker pull "$image"
  run skopeo_ inspect --tls-verify=false "docker://$image"
  run podman_ pull --tls-verify=false "$image"
  run podman_ rmi --all --force
  ok "--anonymous-pull: docker, skopeo and podman pull without a login"

  refused "unauthorized" docker push "$image"
  refused "UNAUTHORIZED" skopeo_ delete --tls-verify=false "docker://$image"
  refused "unauthorized" docker_login "$name" alice wrong
  run docker_login "$name" alice wonderland
  run docker tag "$image" "$name/small:v2"
  run docker push "$name/small:v2"
  tag_is small v2 "$(pushed_digest)"
  run docker logout "$name"
  run docker image rm "$image" "$name/small:v2"
  ok "--anonymous-pull: docker pushes with a login, and not without"
}
