#!/bin/sh
# What `docker compose config` is made of, as a program of its own: reads and checks a compose file without Docker.
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/../go-build.sh" "$here" compose-check github.com/compose-spec/compose-go/v2/cmd
