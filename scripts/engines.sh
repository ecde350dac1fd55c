#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs the S3 servers that deliveries to buckets outside are tested against, from Debian's packages: Ceph's gateway and
# OpenStack Swift. None of their services is started or left enabled by this; the tests run them in folders of their own.
# A machine on which they cannot be installed is told so, and its tests skip them.

set -uo pipefail
cd "$(dirname "$0")/.."

say() { printf 'engines: %s\n' "$*"; }

packages=(ceph-mon ceph-osd ceph-common radosgw swift-proxy swift-account swift-container swift-object memcached)
command -v dpkg-query > /dev/null 2>&1 || {
    say "this is not Debian; the tests skip the S3 servers that are not here: ${packages[*]}"
    exit 0
}
missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2> /dev/null || true)
    [ "${state:0:2}" = ii ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo > /dev/null 2>&1 || {
        say "not installed, since this is neither root nor has sudo, and skipped by the tests: ${missing[*]}"
        exit 0
    }
    root=(sudo)
fi
say "installing Debian packages: ${missing[*]} (CAIRN_SKIP_ENGINES=1 does without)"
mkdir -p build/logs
# RUNLEVEL=1 keeps the packages from starting services of their own.
{
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        timeout 600 apt-get install -y -qq --no-install-recommends "${missing[@]}"
} > build/logs/engines-apt.log 2>&1 < /dev/null || say "apt could not install them; the tests skip what is missing \
(build/logs/engines-apt.log)"
if command -v systemctl > /dev/null 2>&1; then
    for package in "${missing[@]}"; do
        dpkg -L "$package" 2> /dev/null | sed -n 's|.*/systemd/system/\([^/@]*\.service\)$|\1|p'
    done | xargs -r "${root[@]}" systemctl disable --quiet > /dev/null 2>&1
fi
exit 0
