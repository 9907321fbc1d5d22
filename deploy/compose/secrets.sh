#!/bin/sh
# Makes the passwords and the key of the compose file, once: what exists is kept. Users of MQTT: the bridge, two
# machines.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
# The folder keeps others out. The files are open, because the containers' users are nobody's on the host.
chmod 700 secrets
for user in bridge machine-1 machine-2; do
  file=secrets/mqtt-$user.password
  [ -s "$file" ] && continue
  od -An -tx1 -N24 /dev/urandom | tr -d ' \n' >"$file"
  chmod 644 "$file"
done
# The key that signs model versions: the private half for the trainer and whoever makes the first version.
if ! [ -s secrets/model-private.pem ]; then
  openssl genpkey -algorithm ed25519 -out secrets/model-private.pem
  openssl pkey -in secrets/model-private.pem -pubout -out secrets/model-public.pem
  chmod 644 secrets/model-private.pem secrets/model-public.pem
fi
ls secrets
