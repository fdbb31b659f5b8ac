#!/usr/bin/env bash
# What a sign-in and the check of a token take: the requests to this server of SIGN_INS sign-ins (default 50) at a real
# OpenID Connect provider, and CHECKS requests (default 3,000) with a token, each beside one with the admin token, which
# needs no check of a signature. Prints medians and what nine of ten stay below. A directory, loopback only.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

keyloft=$(keyloft_program)
work=$(mktemp -d); server=
trap 'stop_keyloft; scripts/oidc.sh stop "$work/oidc"; rm -rf "$work"' EXIT
mkdir "$work/oidc"
scripts/oidc.sh start "$work/oidc"
# shellcheck disable=SC1091
. "$work/oidc/env"
echo "$(build_and_machine "$keyloft")"
export KEYLOFT_OIDC_NAME=corp KEYLOFT_OIDC_ISSUER=$KEYLOFT_TEST_OIDC KEYLOFT_OIDC_CLIENT_ID=keyloft-es256
export KEYLOFT_OIDC_CLIENT_SECRET='hunter2:with%special+characters'
# The script reads where the provider sends the browser, and goes to the server instead.
start_keyloft "$work" "$work/store" --log-filter warn --public-url http://127.0.0.1:1
python3 scripts/bench-operators.py "${SIGN_INS:-50}" "${CHECKS:-3000}"
