#!/usr/bin/env bash
# Searches the output of a run for what looks like a secret: scripts/leaks.sh FILE…
# It tells where and of which kind, and never what. internal/secret/plant knows the
# same shapes, and a test holds the two to each other.
set -euo pipefail
names=("an API key" "a session's token" "a bootstrap token" "an onboarding token" "an invitation" "a mailed code" "a webhook's secret" "a signed token (JWT)" "an Authorization header"
  "a password in a URL" "a private key in PEM" "a seed in a key file" "a recovery sheet" "a share of a key" "an age identity")
shapes=(
  'llk_[a-z2-7]{75}'
  'lls_[a-z2-7]{75}'
  'llb_[A-Za-z0-9_-]{43}'
  'llo_[A-Za-z0-9_-]{43}'
  'lli_[A-Za-z0-9_-]{43}'
  'llc_[0-9a-z]{16}'
  'whsec_[A-Za-z0-9+/]{32,}'
  'eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{40,}'
  '[Aa][Uu][Tt][Hh][Oo][Rr][Ii][Zz][Aa][Tt][Ii][Oo][Nn]"?[]:=[ ]+"?([Bb][Ee][Aa][Rr][Ee][Rr]|[Bb][Aa][Ss][Ii][Cc]) [A-Za-z0-9._~+/=-]{12,}'
  '(postgres|postgresql|redis|rediss|https?)://[^[:space:]:/@"]*:[^[:space:]@/"]+@'
  '-----BEGIN [A-Z ]*PRIVATE KEY-----'
  '"(primary|device|secret)":[[:space:]]*"[A-Za-z0-9_-]{43}"'
  'key: ([0-9A-HJKMNP-TV-Z]{4} ){5}[0-9A-HJKMNP-TV-Z]{4}'
  '"share":[[:space:]]*[0-9]+,[[:space:]]*"value":[[:space:]]*"[A-Za-z0-9_-]{43}"'
  'AGE-SECRET-KEY-1[A-Z0-9]{20,}'
)
export LC_ALL=C
all=$(IFS='|'; echo "${shapes[*]}")
found=0
for file in "$@"; do
  grep -qaE -e "$all" "$file" || continue # the usual case: one pass
  for i in "${!shapes[@]}"; do
    while IFS=: read -r line _; do
      echo "$file, line $line: what looks like ${names[$i]}" >&2
      found=1
    done < <(grep -naE -e "${shapes[$i]}" "$file" | grep -avE '://[^[:space:]:/@"]*:(xxxxx|password|…|\*\*\*)@' || true)
  done
done
if [ "$found" != 0 ]; then
  echo "a secret in the output of a run: find who printed it" >&2
  exit 1
fi
