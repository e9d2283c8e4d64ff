#!/bin/sh
# Builds Jaeger's all-in-one, a tracing backend that can be asked, to .bin/jaeger at the root of the repository.
# Needs Go; takes about two minutes and nothing when it is already there. go.mod pins the version, go.sum its hashes.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target="$here/../../.bin/jaeger"

if [ -x "$target" ]; then
  exit 0
fi
if ! command -v go >/dev/null 2>&1; then
  echo 'infra/tracing/build.sh: go is not on PATH; install Go, or put a jaeger binary on PATH.' >&2
  exit 1
fi

mkdir -p "$(dirname "$target")"
cd "$here"
# Built beside its place and moved there, so that a build that was broken off leaves no half binary.
trap 'rm -f "$target.$$"' EXIT
# The checksum database is not reachable everywhere Hearth is built; go.sum holds the hashes all the same.
GONOSUMDB='*' GOFLAGS=-mod=readonly CGO_ENABLED=0 \
  go build -trimpath -ldflags='-s -w' -o "$target.$$" github.com/jaegertracing/jaeger/cmd/all-in-one
mv "$target.$$" "$target"
