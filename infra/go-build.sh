#!/bin/sh
# Builds a Go program to .bin/NAME at the root of the repository: go-build.sh DIRECTORY NAME PACKAGE. The directory's go.mod
# pins the version, go.sum its hashes. Needs Go; does nothing when the program is already there.
set -eu

here=$1 name=$2 package=$3
target="$here/../../.bin/$name"

if [ -x "$target" ]; then
  exit 0
fi
if ! command -v go >/dev/null 2>&1; then
  echo "infra/go-build.sh: go is not on PATH; install Go, or put $name on PATH." >&2
  exit 1
fi

mkdir -p "$(dirname "$target")"
cd "$here"
# Built beside its place and moved there, so that a build that was broken off leaves no half binary.
trap 'rm -f "$target.$$"' EXIT
# The checksum database is not reachable everywhere Hearth is built; go.sum holds the hashes all the same.
GONOSUMDB='*' GOFLAGS=-mod=readonly CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$target.$$" "$package"
mv "$target.$$" "$target"
