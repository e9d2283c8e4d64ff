#!/bin/sh
# Jaeger's all-in-one, a tracing backend that can be asked; its build takes about two minutes.
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/../go-build.sh" "$here" jaeger github.com/jaegertracing/jaeger/cmd/all-in-one
