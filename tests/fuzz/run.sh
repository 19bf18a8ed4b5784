#!/usr/bin/env bash
# Runs the fuzz targets, each for some seconds, as many at a time as there are cores:
#
#   tests/fuzz/run.sh <seconds> [target...]
#
# A target feeds a parser with inputs that libFuzzer makes of those it knows, keeping
# what reaches new code. It begins with the seeds in corpus/ and what earlier runs have
# found, which is kept in target/fuzz/corpus/. A finding is an input that breaks a
# property the target asserts, takes more than TIMEOUT seconds or MEMORY_MB of memory:
# its file is printed, and the end is 1.
#
# Needs cargo and a C++ compiler; cargo-fuzz is installed if it is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

TIMEOUT=5
MEMORY_MB=1024
INPUT_BYTES_MAX=4096
WORK=${CARGO_TARGET_DIR:-target}/fuzz

main() {
  local seconds=$1 host targets status=0
  shift
  cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
  host=$(rustc -vV | sed -n 's/^host: //p')
  # Our code is safe Rust, so no sanitizer; and without one, the stable compiler will do.
  cargo fuzz build --fuzz-dir tests/fuzz --sanitizer none --target "$host" --target-dir "$WORK"
  mapfile -t targets < <(if [ $# -gt 0 ]; then printf '%s\n' "$@"; else cargo fuzz list --fuzz-dir tests/fuzz; fi)

  export WORK TIMEOUT MEMORY_MB INPUT_BYTES_MAX
  export -f fuzz row
  row target executions per-second edges features inputs result
  printf '%s\n' "${targets[@]}" |
    xargs -P "$(nproc)" -I{} bash -c 'fuzz "$@"' fuzz {} "$seconds" "$WORK/$host/release/{}" || status=1
  return "$status"
}

# fuzz <target> <seconds> <program>
fuzz() {
  local target=$1 seconds=$2 program=$3 log=$WORK/$1.log found=$WORK/findings/$1- result=ok status=0
  mkdir -p "$WORK/corpus/$target" "$WORK/findings"
  nice -n 10 "$program" "$WORK/corpus/$target" "tests/fuzz/corpus/$target" \
    -dict="tests/fuzz/dictionaries/$target.dict" -max_total_time="$seconds" -max_len="$INPUT_BYTES_MAX" \
    -timeout="$TIMEOUT" -rss_limit_mb="$MEMORY_MB" -artifact_prefix="$found" -print_final_stats=1 \
    >"$log" 2>&1 || status=$?
  if [ "$status" != 0 ]; then
    result="FOUND $(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)"
  fi
  stat() { sed -n "s/^stat::$1: *//p" "$log"; }
  last() { grep -o " $1: [0-9]*" "$log" | tail -n 1 | cut -d' ' -f3; }
  row "$target" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" \
    "$(last cov)" "$(last ft)" "$(last corp)" "$result"
  if [ "$status" != 0 ]; then
    grep -m 1 -A 4 -E "panicked at|ERROR: libFuzzer" "$log" | sed 's/^/    /' || true
    return 1
  fi
}

row() { printf '%-10s %12s %11s %6s %9s %7s  %s\n' "$@"; }

main "$@"
