#!/bin/sh
# Installs what is missing to build the tool ("tool"), to run the tests ("test"), the other processors ("lanes") and the
# boards ("firmware"): from Debian's packages where apt-get and the right to use it are there; elsewhere it says what to
# install. Says nothing when nothing is missing.
#   tests/setup.sh tool|test|lanes|firmware ...
set -u
CC=${CC:-cc}
missing=
include() { # HEADER PACKAGE: the header through the preprocessor
    printf '#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <setjmp.h>\n#include <%s>\n' "$1" |
        $CC -E -x c - >/dev/null 2>&1 || missing="$missing $2"
}

command -v "${CC%% *}" >/dev/null 2>&1 || { echo "setup: there is no C compiler '$CC': install gcc or clang, or set CC" >&2; exit 1; }
for part in "$@"; do
    case $part in
    tool)
        include stb/stb_image_write.h libstb-dev
        include yaml.h libyaml-dev
        ;;
    lanes)
        command -v clang-19 >/dev/null 2>&1 || missing="$missing clang-19"
        command -v ld.lld-19 >/dev/null 2>&1 || missing="$missing lld-19"
        command -v qemu-s390x-static >/dev/null 2>&1 || missing="$missing qemu-user-static"
        command -v bochs >/dev/null 2>&1 || missing="$missing bochs bochs-term"
        [ -f /usr/share/bochs/BIOS-bochs-latest ] || missing="$missing bochsbios"
        [ -f /usr/share/bochs/VGABIOS-lgpl-latest ] || missing="$missing vgabios"
        command -v node >/dev/null 2>&1 || missing="$missing nodejs"
        ;;
    firmware)
        command -v arm-none-eabi-gcc >/dev/null 2>&1 || missing="$missing gcc-arm-none-eabi"
        command -v qemu-system-arm >/dev/null 2>&1 || missing="$missing qemu-system-arm"
        ;;
    test)
        include cmocka.h libcmocka-dev
        command -v g++ >/dev/null 2>&1 || command -v clang++ >/dev/null 2>&1 || missing="$missing g++"
        command -v nm >/dev/null 2>&1 || missing="$missing binutils"
        ;;
    esac
done
[ -n "$missing" ] || exit 0

sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'
if command -v apt-get >/dev/null 2>&1 && { [ -z "$sudo" ] || $sudo true 2>/dev/null; }; then
    echo "setup: installing$missing"
    install() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing </dev/null; }
    log=$(mktemp)
    { install || { $sudo apt-get update -q </dev/null && install; }; } >"$log" 2>&1 && { rm -f "$log"; exit 0; }
    cat "$log" >&2
    rm -f "$log"
    echo "setup: apt-get could not install:$missing" >&2
    exit 1
fi
echo "setup: please install, by these names on Debian and Ubuntu:$missing" >&2
echo "setup: (stb, libyaml, cmocka and a C++ compiler; with their headers)" >&2
exit 1
