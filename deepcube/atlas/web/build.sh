#!/usr/bin/env bash
# Build the page of the atlas from src/ into OUT (default: the folder ../static that is committed and packaged).
#
# Needs Node 20 or newer and the npm registry. Libraries go to a folder of their own outside the tree, so that nothing of
# them is ever packaged; their versions and digests are those of package-lock.json, so the same sources give the same bytes.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
out="$(realpath -m "${1:-$here/../static}")"
lock="$(cat "$here/package.json" "$here/package-lock.json" | sha256sum | cut -c1-16)"
work="${DEEPCUBE_ATLAS_BUILD:-${XDG_CACHE_HOME:-$HOME/.cache}/deepcube-atlas}/$lock"
mkdir -p "$work"
cp "$here/package.json" "$here/package-lock.json" "$here/tsconfig.json" "$work/"
if [ ! -e "$work/node_modules/.complete" ]; then
  (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
  touch "$work/node_modules/.complete"
fi
rm -rf "$work/src"
cp -r "$here/src" "$work/src"
cd "$work"
node_modules/.bin/tsc --project tsconfig.json
libraries="$work/node_modules"
part="$(mktemp -d)"
trap 'rm -rf "$part"' EXIT
node_modules/.bin/esbuild src/main.ts --bundle --minify --format=esm --target=es2022 --legal-comments=none \
  --log-level=warning --outfile="$part/atlas.js"
cp "$libraries/world-atlas/countries-50m.json" "$part/countries-50m.json"
cp src/index.html src/atlas.css src/icon.svg "$part/"
{
  echo "Natural Earth (country borders, 1:50 million): public domain."
  for library in world-atlas topojson-client ol rbush quickselect; do
    printf '\n== %s %s ==\n\n' "$library" "$(node -p "require('$libraries/$library/package.json').version")"
    cat "$libraries/$library"/LICENSE*
  done
} > "$part/LICENSES.txt"
rm -rf "$out"
mkdir -p "$out"
cp "$part"/* "$out/"
echo "$out: $(du -sh "$out" | cut -f1)"
