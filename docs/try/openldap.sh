#!/usr/bin/env bash
# A throw-away OpenLDAP to try bindproxy on: no root, no system service, everything in a temporary directory.
# Listens on ldap://127.0.0.1:10389 (another ADDRESS:PORT as argument), locks an account after 3 wrong passwords, and ends with Ctrl-C.
# Needs Debian's packages slapd and ldap-utils.
#   user   uid=alice,ou=people,dc=example,dc=org   password   correct-horse
#   admin  cn=admin,dc=example,dc=org              password   admin
set -euo pipefail

address=${1:-127.0.0.1:10389}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/db"
cat >"$dir/slapd.conf" <<CONF
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile $dir/slapd.pid
database mdb
suffix dc=example,dc=org
rootdn cn=admin,dc=example,dc=org
rootpw admin
directory $dir/db
access to attrs=userPassword by self write by anonymous auth by * none
access to * by * read
overlay ppolicy
ppolicy_default cn=default,dc=example,dc=org
CONF
cat >"$dir/seed.ldif" <<LDIF
dn: dc=example,dc=org
objectClass: domain
dc: example

dn: cn=default,dc=example,dc=org
objectClass: device
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 3

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: uid=alice,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: alice
cn: Alice Example
sn: Example
userPassword: correct-horse
LDIF
PATH=$PATH:/usr/sbin
slapadd -q -f "$dir/slapd.conf" -l "$dir/seed.ldif"
echo "OpenLDAP on ldap://$address; every bind that reaches it is a line below; Ctrl-C ends it"
slapd -f "$dir/slapd.conf" -h "ldap://$address" -d stats \
  2> >(grep --line-buffered -E 'BIND dn=".+" method|RESULT tag=97 err=[1-9]') &
server=$!
# Ended by a signal to this script alone, it takes its server along.
trap 'kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 0' INT TERM
wait "$server"
