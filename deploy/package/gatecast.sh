#!/bin/sh
# The same allocator settings as in the unit: they save memory.
export MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072
exec /usr/lib/gatecast/bin/node /usr/lib/gatecast/dist/gatecast.js "$@"
