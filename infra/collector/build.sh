#!/bin/sh
# An OpenTelemetry Collector with the components of config.yaml; its build takes about a minute.
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/../go-build.sh" "$here" otelcol .
