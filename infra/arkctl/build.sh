#!/bin/sh
# Builds arkctl, Koupleless' own command line tool, to .bin/arkctl at the root of the repository: what shows that Hearth
# speaks arklet's API. Needs Go; does nothing when it is already there. go.mod pins the version, go.sum its hashes.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target="$here/../../.bin/arkctl"

if [ -x "$target" ]; then
  exit 0
fi
if ! command -v go >/dev/null 2>&1; then
  echo 'infra/arkctl/build.sh: go is not on PATH; install Go, or put arkctl on PATH.' >&2
  exit 1
fi

mkdir -p "$(dirname "$target")"
cd "$here"
# Built beside its place and moved there, so that a build that was broken off leaves no half binary.
trap 'rm -f "$target.$$"' EXIT
# The checksum database is not reachable everywhere Hearth is built; go.sum holds the hashes all the same.
GONOSUMDB='*' GOFLAGS=-mod=readonly CGO_ENABLED=0 \
  go build -trimpath -ldflags='-s -w' -o "$target.$$" github.com/koupleless/arkctl
mv "$target.$$" "$target"
