#!/usr/bin/env bash
# Makes what the members of one cluster share: an authority, a certificate for each member, and the hashing key.
#
#   certificates.sh [FOLDER]              what is missing in FOLDER (default: this one); what is there stays
#   certificates.sh --rotate-ca [FOLDER]  a second generation of the authority, see below
#
#   CLUSTER=mail/corp    cluster.name, which the certificates carry as the URI bindproxy://mail/corp
#   MEMBERS="node-0 …"   one certificate and key for each of these names (default: node-0 node-1 node-2)
#   DAYS=825             how long the certificates of members are valid
#
# Members do not look at host names or addresses, so one certificate for all of them would do as well.
#
# Rotating the authority, while everything runs; files are read again when they change, so wait until every
# member has said `configuration reloaded` before the next step:
#   1. `certificates.sh --rotate-ca`: ca.crt now holds both generations. Copy ca.crt to every member.
#   2. `rm node-*.crt && certificates.sh`: members get certificates of the new one. Copy them.
#   3. `cp authority/ca.crt ca.crt`: the old generation is believed no longer. Copy ca.crt to every member.
set -euo pipefail
umask 077

rotate=no
if [ "${1:-}" = --rotate-ca ]; then
    rotate=yes
    shift
fi
case "${1:-}" in
-*)
    echo "usage: certificates.sh [--rotate-ca] [FOLDER]" >&2
    exit 2
    ;;
esac
folder="${1:-$(dirname "$0")}"
mkdir -p "$folder"
cd "$folder"
cluster="${CLUSTER:-mail/corp}"
members="${MEMBERS:-node-0 node-1 node-2}"
days="${DAYS:-825}"
case "$cluster" in
"" | *[![:graph:]]* | *,* | *\\* | *\$* | *\"* | *\;* | *\#*)
    echo "certificates.sh: \"$cluster\" cannot be written into a certificate with openssl" >&2
    exit 2
    ;;
esac

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# The keys of authorities stay in authority/, which no member needs. ca.crt is the bundle that members read.
new_authority() {
    # A configuration of its own, because the system's adds extensions, and not the same ones everywhere.
    cat >"$work/authority.cnf" <<'CONFIGURATION'
[req]
distinguished_name = subject
x509_extensions = extensions
[subject]
[extensions]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
CONFIGURATION
    openssl req -x509 -config "$work/authority.cnf" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -keyout "$work/ca.key" -out "$work/ca.crt" -days 3650 \
        -subj "/CN=bindproxy cluster $(date -u +%Y-%m-%dT%H:%M:%SZ)" 2>"$work/log" ||
        { cat "$work/log" >&2 && exit 1; }
    mkdir -p authority
    mv "$work/ca.key" authority/ca.key
    mv "$work/ca.crt" authority/ca.crt
}

if [ ! -e authority/ca.key ]; then
    if [ -e ca.crt ]; then
        echo "certificates.sh: there is ca.crt, but not the key of its authority (authority/ca.key)" >&2
        exit 1
    fi
    new_authority
    cp authority/ca.crt ca.crt
    echo "made ca.crt (its key: authority/ca.key; keep that off the members)"
elif [ "$rotate" = yes ]; then
    if [ "$(grep -c 'BEGIN CERTIFICATE' ca.crt)" -gt 1 ]; then
        # A third generation would push out the first one, whose certificates may still be in use.
        echo "certificates.sh: ca.crt holds two generations already; finish that rotation first (steps 2 and 3)" >&2
        exit 1
    fi
    cp authority/ca.crt "$work/before.crt"
    new_authority
    cat authority/ca.crt "$work/before.crt" >"$work/both.crt"
    mv "$work/both.crt" ca.crt
    echo "ca.crt holds two generations now; certificates of members are still those of the old one"
fi

printf '[req]\ndistinguished_name = subject\n[subject]\n' >"$work/request.cnf"
for member in $members; do
    [ ! -e "$member.crt" ] || [ ! -e "$member.key" ] || continue
    openssl req -new -config "$work/request.cnf" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/key" -out "$work/request" \
        -subj "/CN=$member" 2>"$work/log" || { cat "$work/log" >&2 && exit 1; }
    cat >"$work/extensions" <<EXTENSIONS
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = URI:bindproxy://$cluster
EXTENSIONS
    openssl x509 -req -in "$work/request" -CA authority/ca.crt -CAkey authority/ca.key -days "$days" \
        -set_serial "0x$(openssl rand -hex 16 | sed 's/^./4/')" -extfile "$work/extensions" -out "$work/certificate" \
        2>"$work/log" || { cat "$work/log" >&2 && exit 1; }
    mv "$work/key" "$member.key"
    mv "$work/certificate" "$member.crt"
    echo "made $member.crt and $member.key for bindproxy://$cluster"
done

if [ ! -e hash.key ]; then
    openssl rand -base64 32 >"$work/hash.key"
    mv "$work/hash.key" hash.key
    echo "made hash.key"
fi
