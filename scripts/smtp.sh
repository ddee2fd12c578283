#!/usr/bin/env bash
# An SMTP server for the tests of mail: aiosmtpd, in a Python environment of its own.
#
#   eval "$(scripts/smtp.sh)"   exports LOGLINE_TEST_SMTP, a Python that has aiosmtpd;
#                               each test starts and ends a server of its own
#
# What is missing is installed into a temporary folder, or LOGLINE_SMTP_DIR, where
# Python 3 can do so, and otherwise named in one line on standard error. A variable
# that is set already is left as it is.
set -euo pipefail

if [ -n "${LOGLINE_TEST_SMTP:-}" ]; then exit 0; fi
dir="${LOGLINE_SMTP_DIR:-${TMPDIR:-/tmp}/logline-smtp-$(id -u)}"
python="$dir/bin/python"
if ! "$python" -c 'import aiosmtpd' 2>/dev/null; then
  rm -rf "$dir"
  { python3 -m venv "$dir" && "$python" -m pip install -q --disable-pip-version-check aiosmtpd==1.4.6; } >&2 || true
fi
if ! "$python" -c 'import aiosmtpd' 2>/dev/null; then
  echo "left out: mail to a real SMTP server (install Python 3 with venv, or set LOGLINE_TEST_SMTP to a Python that has aiosmtpd)" >&2
  exit 0
fi
echo "export LOGLINE_TEST_SMTP='$python'"
