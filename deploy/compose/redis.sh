#!/bin/sh
# Valkey or Redis with the settings that Gristmill needs; the password stands in no process list.
set -eu
umask 077
{
    cat /etc/gristmill/redis.conf
    printf 'requirepass "%s"\n' "$(cat /secrets/redis-password)"
} > /tmp/redis.conf
exec "$(command -v valkey-server || command -v redis-server)" /tmp/redis.conf
