#!/bin/sh
# arkctl, Koupleless' own command line tool: what shows that Hearth speaks arklet's API.
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/../go-build.sh" "$here" arkctl github.com/koupleless/arkctl
