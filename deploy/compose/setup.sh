#!/bin/sh
# Runs once before everything else: makes the passwords that .env does not give, and hands each service its volume.
set -eu
umask 027

# A password that is given is taken; one that was made before is kept, because what it opens knows it.
secret() {
    file=/secrets/$1
    if [ -n "$2" ]; then
        printf '%s' "$2" > "$file"
    elif [ ! -s "$file" ]; then
        python3 -c "import base64, secrets; print(base64.b64encode(secrets.token_bytes(32)).decode(), end='')" > "$file"
        echo "made $1"
    fi
}

mkdir -p /secrets
secret redis-password "${REDIS_PASSWORD:-}"
secret store-key "${STORE_KEY:-}"
secret grafana-password "${GRAFANA_PASSWORD:-}"
chmod 750 /secrets
chmod 640 /secrets/*
chown -R 10001:10001 /secrets /volumes/*
