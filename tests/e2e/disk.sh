# The disk after all that, seen with coreutils: the promises of the store.

disk_steps() {
  local files left
  check_blobs >"$OUT" 2>&1 || fail "a file under blobs/ does not hash to its name"
  files=$(cat "$OUT")
  ok "every file under blobs/sha256 hashes to its name" "$files files"

  find "$ROOT/uploads" -mindepth 1 >"$OUT"
  [ ! -s "$OUT" ] || fail "upload sessions are left in uploads/"
  ok "no leftovers in uploads/"

  find "$ROOT/repositories" -xtype l >"$OUT"
  [ ! -s "$OUT" ] || fail "these symlinks lead nowhere"
  ok "every tag leads to a manifest" "$(find "$ROOT/repositories" -path '*/_tags/*' | wc -l) tags"

  # A file here that shared no inode with blobs/ would be a second copy of the bytes.
  find "$ROOT/repositories" -type f -links 1 \( -path '*/_blobs/*' -o -path '*/_manifests/*' \) >"$OUT"
  [ ! -s "$OUT" ] || fail "these files in repositories are not links to blobs/"
  ok "all that repositories hold are links to blobs/" "$(du -sh "$ROOT" | cut -f1) in all"
}
