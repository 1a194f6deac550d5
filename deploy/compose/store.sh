#!/bin/sh
# Azurite with one account, whose key stands in no process list.
set -eu
AZURITE_ACCOUNTS="gristmill:$(cat /secrets/store-key)"
export AZURITE_ACCOUNTS
exec azurite-blob --location /data --blobHost 0.0.0.0 --skipApiVersionCheck --disableTelemetry --silent
