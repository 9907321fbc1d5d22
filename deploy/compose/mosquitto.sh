#!/bin/sh
# Makes Mosquitto's password file from the secrets, one file for each user, and becomes the broker.
set -eu
umask 077
secrets=${1:-/run/secrets} passwords=${2:-/run/mosquitto/passwords} settings=${3:-/weir/mosquitto.conf}

: >"$passwords"
for secret in "$secrets"/mqtt-*; do
  user=${secret##*/mqtt-}
  printf '%s:%s\n' "${user%.password}" "$(cat "$secret")" >>"$passwords"
done
# Replaces each password by its hash. As arguments they would show in the list of processes.
mosquitto_passwd -U "$passwords"
exec mosquitto -c "$settings"
