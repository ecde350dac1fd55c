#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the unit tests, then the acceptance tests on the release binary, and ends with each runner's own closing line.
# Both run even if the first fails; the exit status is 0 only if both passed.

set -uo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/logs

# The S3 servers of Acceptance/test_engines.py; that file skips those that cannot be had.
[ "${CAIRN_SKIP_ENGINES:-}" = 1 ] || scripts/engines.sh

status=0
# shellcheck disable=SC2086
swift test ${SWIFT_TEST_FLAGS:-} 2>&1 < /dev/null | tee build/logs/unit.log || status=1
# shellcheck disable=SC2086
build/venv/bin/python -m pytest Acceptance ${PYTEST_FLAGS:-} 2>&1 < /dev/null | tee build/logs/acceptance.log || status=1

echo
echo "unit tests:       $(grep -aE 'Test run with [0-9]+ tests?' build/logs/unit.log | tail -n 1)"
echo "acceptance tests: $(tail -n 1 build/logs/acceptance.log)"
exit $status
