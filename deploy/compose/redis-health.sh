#!/bin/sh
set -eu
REDISCLI_AUTH=$(cat /secrets/redis-password)
export REDISCLI_AUTH
"$(command -v valkey-cli || command -v redis-cli)" ping | grep -q PONG
