#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes a Debian machine with Swift ready to build and test Cairn, and says what it installs.
# What is there already is left alone; run it as often as you like.

set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# Swift: the compiler is not in Debian, so we can only say where it comes from.
swift_help='Cairn needs Swift 6.2 or later. Get it from https://www.swift.org/install/linux/:
    curl -O https://download.swift.org/swiftly/linux/swiftly-$(uname -m).tar.gz
    tar zxf swiftly-$(uname -m).tar.gz && ./swiftly init
then open a new shell and run the same make command again.'
command -v swift > /dev/null 2>&1 || fail "there is no swift on the PATH.
$swift_help"

# Debian's packages: C libraries that Cairn links, a C++ compiler's headers for the cryptography package, Python; and what
# Swift itself runs on, where it does not run.
packages=(ca-certificates g++ git make pkg-config libdeflate-dev libsqlite3-dev libzstd-dev zlib1g-dev libxml2-dev libicu-dev
    liblzma-dev python3 python3-venv)
swift build --version > /dev/null 2>&1 \
    || packages+=(binutils libcurl4-openssl-dev libncurses-dev libxml2-dev tzdata uuid-dev)
if command -v dpkg-query > /dev/null 2>&1; then
    missing=()
    for package in "${packages[@]}"; do
        state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2> /dev/null || true)
        [ "${state:0:2}" = ii ] || missing+=("$package")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        root=()
        if [ "$(id -u)" -ne 0 ]; then
            command -v sudo > /dev/null 2>&1 \
                || fail "run this as root, since sudo is not here: apt-get install ${missing[*]}"
            root=(sudo)
        fi
        say "installing Debian packages: ${missing[*]}"
        mkdir -p build/logs
        {
            "${root[@]}" apt-get update -qq
            "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y -qq --no-install-recommends "${missing[@]}"
        } > build/logs/apt.log 2>&1 < /dev/null || {
            cat build/logs/apt.log >&2
            fail "apt could not install them"
        }
    fi
else
    say "this is not Debian: see to it yourself that what these packages of Debian hold is here: ${packages[*]}"
fi

# The static libraries alone, so that the linker takes them and the binary needs nothing installed beside it.
mkdir -p build/static
for library in xml2 icuuc icudata lzma z sqlite3 zstd deflate; do
    archive=$(g++ -print-file-name="lib$library.a")
    [ -f "$archive" ] || fail "the static library lib$library.a is not here, although its Debian package should be"
    ln -sfn "$archive" "build/static/lib$library.a"
done

version=$(swift --version 2>&1 | sed -n 's/.*Swift version \([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p' | head -n 1 || true)
[ -n "$version" ] || fail "\`swift --version\` does not tell a version: $(swift --version 2>&1 | head -n 1)
$swift_help"
if [ "${version%%.*}" -lt 6 ] || { [ "${version%%.*}" -eq 6 ] && [ "${version#*.}" -lt 2 ]; }; then
    fail "this is Swift $version.
$swift_help"
fi

# The AWS CLI, boto3 and pytest, in a folder of their own.
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' \
    || fail "the acceptance tests need Python 3.9 or later; set PYTHON to one"
stamp=build/venv/.installed
if ! cmp -s Acceptance/requirements.txt "$stamp" || ! build/venv/bin/python -c 'import boto3, npkt, pytest' 2> /dev/null; then
    clients=$(grep -v '^#' Acceptance/requirements.txt | tr -d ' ' | tr '\n' ' ')
    say "installing Python packages into build/venv: $clients"
    rm -rf build/venv
    mkdir -p build
    "$python" -m venv build/venv
    build/venv/bin/python -m pip install --quiet --disable-pip-version-check -r Acceptance/requirements.txt < /dev/null
    cp Acceptance/requirements.txt "$stamp"
fi
say "ready: Swift $version, $(build/venv/bin/aws --version 2>&1 | cut -d ' ' -f 1), $(build/venv/bin/python -V)"
