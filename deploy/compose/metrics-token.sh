#!/bin/sh
# Runs once when the scheduler answers: a token with which Prometheus may read, and nothing else.
set -eu
umask 027
file=/secrets/metrics-token
if [ -s "$file" ] && GRISTMILL_TOKEN=$(cat "$file") gristmill status > /dev/null 2>&1; then
    exit 0
fi
GRISTMILL_TOKEN=$(cat /var/lib/gristmill/token)
export GRISTMILL_TOKEN
gristmill token create -n prometheus --role reader --query token -o tsv > "$file.new"
mv "$file.new" "$file"
