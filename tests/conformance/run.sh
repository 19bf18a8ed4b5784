#!/usr/bin/env bash
# The official conformance suite of the OCI distribution spec against our registry:
# once for the released version 1.1 and once for what the spec's main branch adds
# ("dev"). `make conformance` builds the registry and calls this. Where the suite comes
# from: tests/conformance/suite.sh.
#
# What is left behind: target/conformance/<version>/ with report.html (every request
# and answer), junit.xml, results.yaml, summary.txt and log.txt.
#
# Exit status: 0 all passed (skips are listed with their reasons); 1 a failure, or
# nothing ran; 3 the suite could not be had, so nothing is known either way.
set -euo pipefail
cd "$(dirname "$0")/../.."

RESULTS=$PWD/target/conformance
MAKE_TARGET="make conformance"

WORK=$(mktemp -d)
. tests/e2e/server.sh
. tests/conformance/suite.sh
trap 'stop_server || true; rm -rf "$WORK"' EXIT

main() {
  find_suite
  start_server
  TARGET=127.0.0.1:$PORT
  echo "suite:    $SUITE"
  echo "registry: $REGISTRY on $TARGET"

  local failed=0
  run_version 1.1 || failed=1
  run_version dev || failed=1
  explain_sparse

  local files
  if files=$(check_blobs); then
    echo "Files left under blobs/: $files, each hashing to its name."
  else
    echo "FAIL  a file under blobs/ does not hash to its name"
    failed=1
  fi
  stop_server || { echo "FAIL  the registry did not exit with 0 on SIGTERM"; failed=1; }
  echo "Every request and answer: $RESULTS/{1.1,dev}/report.html"
  echo
  cat "$WORK/table"
  return "$failed"
}

main
