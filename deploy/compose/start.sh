#!/bin/sh
# Becomes the command it is given, with the addresses that hold passwords in its environment.
set -eu

# Percent-encoded: a password may hold what an address cannot.
encoded() {
    python3 -c "import sys, urllib.parse; print(urllib.parse.quote(open(sys.argv[1]).read(), safe=''), end='')" "$1"
}

if [ -z "${GRISTMILL_REDIS_URL:-}" ]; then
    GRISTMILL_REDIS_URL="redis://:$(encoded /secrets/redis-password)@redis:6379/0"
fi
export GRISTMILL_REDIS_URL
if [ -z "${AZURE_STORAGE_CONNECTION_STRING:-}${AZURE_STORAGE_ACCOUNT_NAME:-}" ]; then
    key=$(cat /secrets/store-key)
    AZURE_STORAGE_CONNECTION_STRING="DefaultEndpointsProtocol=http;AccountName=gristmill;AccountKey=$key;BlobEndpoint=http://store:10000/gristmill;"
    export AZURE_STORAGE_CONNECTION_STRING
fi
exec "$@"
