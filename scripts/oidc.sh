#!/usr/bin/env bash
# A provider of OpenID Connect that is not ours, for the tests of signing in by one:
# oidc-provider, in a folder of its own.
#
#   eval "$(scripts/oidc.sh)"   exports LOGLINE_TEST_OIDC, a folder in which Node.js
#                               finds oidc-provider; each test starts and ends a
#                               provider of its own
#
# What is missing is installed into a temporary folder, or LOGLINE_OIDC_DIR, where npm
# can do so, and otherwise named in one line on standard error. A variable that is set
# already is left as it is.
set -euo pipefail

if [ -n "${LOGLINE_TEST_OIDC:-}" ]; then exit 0; fi
dir="${LOGLINE_OIDC_DIR:-${TMPDIR:-/tmp}/logline-oidc-$(id -u)}"
there() { mkdir -p "$dir" && (cd "$dir" && node --input-type=module -e 'import "oidc-provider"') >/dev/null 2>&1; }
if ! there && command -v node >/dev/null && command -v npm >/dev/null; then
  npm install --prefix "$dir" --no-save --no-audit --no-fund --ignore-scripts --silent --fetch-retries=1 --fetch-timeout=30000 oidc-provider@9.13.3 >&2 || true
fi
if ! there; then
  echo "left out: signing in by another's word (install Node.js 20 or newer with npm, or set LOGLINE_TEST_OIDC to a folder in which Node.js finds oidc-provider)" >&2
  exit 0
fi
echo "export LOGLINE_TEST_OIDC='$dir'"
