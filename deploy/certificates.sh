#!/bin/sh
# Makes the certificates of a plant's MQTT broker and its clients. Needs OpenSSL 3.
set -eu

usage() {
  cat <<'USAGE'
Makes the certificates of a plant's MQTT broker and its clients.

  certificates.sh [OPTIONS] ca [NAME]          the plant's own authority: ca.pem, ca.key
  certificates.sh [OPTIONS] broker HOST...     broker.pem, broker.key for these names and addresses
  certificates.sh [OPTIONS] device DEVICE...   DEVICE.pem, DEVICE.key: the common name is the device's name
  certificates.sh [OPTIONS] client NAME...     the same for what is no device: bridge, monitor

  --out FOLDER   where files are written; made if it is missing (.)
  --ca FOLDER    where ca.pem and ca.key are (the same as --out)
  --days N       how long: ca 3650, broker 397, others 730
  --help

Keys are EC P-256, readable by their owner only, and without a passphrase: ca.key belongs on a machine that is not
the broker. A file that exists is never overwritten.

Renewal is a new key and a new certificate, in another folder, from the same authority:

  certificates.sh --ca plant --out renewed device gate-1

Put both files in the place of the old ones and restart the service (the broker: systemctl restart mosquitto).
The old certificate stays valid until its end, so nothing has to happen at once. A new authority: make it, append its
ca.pem to the ca.pem of the broker and of every client and restart them; then renew all; then take the old one out.
USAGE
}

fail() {
  printf 'certificates.sh: %s\n' "$1" >&2
  exit 1
}

# Names become topic levels, users and file names.
check_name() {
  case $1 in
    '' | .* | -* | *[!A-Za-z0-9._-]*) fail "use letters, digits, '.', '_' and '-' for a name, not '$1'" ;;
  esac
}

# For a device: a name with rights of its own would have them.
check_device() {
  check_name "$1"
  case $1 in
    ca | broker | bridge | monitor) fail "'$1' is no name for a device: the ACL file gives it other rights" ;;
  esac
}

check_free() {
  for file in "$out/$1.pem" "$out/$1.key"; do
    # -h: a link that leads nowhere would be followed.
    if [ -e "$file" ] || [ -h "$file" ]; then
      fail "$file exists, and is not overwritten"
    fi
  done
}

# Moves what is complete to its place.
publish() { # name
  chmod 644 "$work/$1.pem"
  chmod 600 "$work/$1.key"
  mv "$work/$1.key" "$work/$1.pem" "$out/"
  printf '%s until %s\n' "$out/$1.pem" "$(openssl x509 -noout -enddate -in "$out/$1.pem" | cut -d= -f2)"
}

new_key() { # name
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$1.key" 2>"$work/log" ||
    fail "make a key: $(cat "$work/log")"
}

settings() { # the lines of its extensions
  printf '[req]\nprompt = no\ndistinguished_name = name\n[name]\n[v3]\n%s\n' "$1" >"$work/openssl.cnf"
}

make_authority() { # common name
  check_free ca
  new_key ca
  settings 'basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash'
  openssl req -new -x509 -config "$work/openssl.cnf" -extensions v3 -subj "/CN=$1" -days "${days:-3650}" \
    -key "$work/ca.key" -out "$work/ca.pem" 2>"$work/log" || fail "make the authority: $(cat "$work/log")"
  publish ca
}

make_certificate() { # file, common name, purpose, days, another extension
  check_free "$1"
  new_key "$1"
  settings "basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = $3
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
${5:-}"
  openssl req -new -config "$work/openssl.cnf" -subj "/CN=$2" -key "$work/$1.key" -out "$work/$1.csr" 2>"$work/log" ||
    fail "ask for a certificate: $(cat "$work/log")"
  openssl x509 -req -in "$work/$1.csr" -CA "$ca/ca.pem" -CAkey "$ca/ca.key" -days "$4" \
    -extfile "$work/openssl.cnf" -extensions v3 -out "$work/$1.pem" 2>"$work/log" ||
    fail "sign the certificate: $(cat "$work/log")"
  publish "$1"
}

# The names of the broker as OpenSSL wants them: a client compares what it connects to with these.
alternative_names() {
  names=
  for host in "$@"; do
    case $host in
      '' | *[!A-Za-z0-9.:-]*) fail "'$host' is neither a host name nor an address" ;;
      *:*) kind=IP ;;
      *[!0-9.]*) kind=DNS ;;
      *) kind=IP ;;
    esac
    names="$names${names:+, }$kind:$host"
  done
  printf 'subjectAltName = %s' "$names"
}

out=. ca='' days=''
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h)
      usage
      exit 0
      ;;
    --out | --ca | --days)
      [ $# -ge 2 ] || fail "$1 needs a value"
      case $1 in
        --out) out=$2 ;;
        --ca) ca=$2 ;;
        *) days=$2 ;;
      esac
      shift 2
      ;;
    -*) fail "no option $1; see --help" ;;
    *) break ;;
  esac
done
: "${ca:=$out}"
case $days in
  *[!0-9]* | 0*) fail "--days is a number above 0, not '$days'" ;;
esac
[ $# -ge 1 ] || {
  usage >&2
  exit 2
}
command -v openssl >/dev/null || fail 'find openssl; install it'
what=$1
shift
case $what in
  ca) [ $# -le 1 ] || fail 'ca takes one name' ;;
  broker | device | client)
    [ $# -ge 1 ] || fail "$what needs a name; see --help"
    for file in "$ca/ca.pem" "$ca/ca.key"; do
      [ -r "$file" ] || fail "read $file; make the authority first: certificates.sh --out $ca ca"
    done
    ;;
  *) fail "no command '$what'; see --help" ;;
esac

# Nothing is readable by others, not for a moment.
umask 077
mkdir -p "$out"
work=$(mktemp -d "$out/.certificates.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

case $what in
  ca) make_authority "${1:-Weir plant}" ;;
  broker) make_certificate broker "$1" serverAuth "${days:-397}" "$(alternative_names "$@")" ;;
  device)
    for name in "$@"; do
      check_device "$name"
      check_free "$name"
    done
    for name in "$@"; do make_certificate "$name" "$name" clientAuth "${days:-730}"; done
    ;;
  client)
    for name in "$@"; do
      check_name "$name"
      check_free "$name"
    done
    for name in "$@"; do make_certificate "$name" "$name" clientAuth "${days:-730}"; done
    ;;
esac
