#!/usr/bin/env bash
# `npm run test:arm64`: gatecast on the processors of a Raspberry Pi 4 and a Raspberry Pi 5, emulated. It proves function
# and the choice of kernels, not speed: the emulator is 4 to 200 times slower than the boards.
set -eu
cd "$(dirname "$0")/../.."
bash deploy/arm64/setup.sh
exec npx vitest run -c test/vitest.config.ts --project arm64 "$@"
