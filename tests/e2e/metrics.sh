# What operators look at, read by the programs that they use.

metrics_steps() {
  local url=http://$REGISTRY_NAME page=$WORK/metrics
  run curl -fsS -o "$page" "$url/metrics"
  COMMAND="promtool check metrics"
  promtool check metrics <"$page" >"$OUT" 2>&1 || fail "promtool finds fault with /metrics"
  [ ! -s "$OUT" ] || fail "promtool has something to say of /metrics"
  if sed 's/registry_errors_total/registry_errors/' "$page" | promtool check metrics >"$OUT" 2>&1; then
    fail "promtool finds no fault with a counter of the wrong name: is it looking?"
  fi
  expect "registry_errors"
  ok "promtool check metrics finds no fault" \
    "$(grep -c '^# TYPE' "$page") names, $(grep -vc '^#' "$page") numbers"

  run curl -fsS "$url/livez" "$url/readyz"
  [ "$(cat "$OUT")" = "$(printf 'ok\nok')" ] || fail "/livez and /readyz do not say ok"
  ok "/livez and /readyz say ok"
}
