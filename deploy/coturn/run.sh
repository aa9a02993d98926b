#!/bin/sh
# Starts coturn with turnserver.conf and what the environment says of this place:
#   TURN_NODE_IP      address of the media server as clients see it (AISLECAST_NODE_IP); several with commas
#   TURN_SECRET_FILE  the file that Aislecast gets as --turn-secret-file
#   TURN_REALM        name of this server, such as turn.example.com
#   TURN_CERT, TURN_KEY         for TURN over TLS; without them there is none
#   TURN_PORT, TURN_TLS_PORT    3478 and 443
#   TURN_MIN_PORT, TURN_MAX_PORT  relay ports, 49160 to 49999
#   TURN_LISTEN_IP, TURN_EXTERNAL_IP  the address to bind, and the public one if that differs (NAT)
#   TURN_LOOPBACK=yes  to try it out on one machine
set -eu
here=$(dirname "$0")
: "${TURN_NODE_IP:?the address of the media server}" "${TURN_SECRET_FILE:?the file with the secret}"
secret=$(tr -d ' \r\n' < "$TURN_SECRET_FILE")
[ "${#secret}" -ge 32 ] || { echo "TURN_SECRET_FILE: at least 32 characters" >&2; exit 1; }

# The secret goes into a file of this user only: a command line is for everybody to read.
umask 077
folder=${TURN_RUN_DIR:-$(mktemp -d)}
config=$folder/turnserver.conf
{
  cat "$here/turnserver.conf"
  # Not echo: some shells read backslashes in it.
  printf 'static-auth-secret=%s\n' "$secret"
  echo "realm=${TURN_REALM:-turn}"
  echo "listening-port=${TURN_PORT:-3478}"
  echo "min-port=${TURN_MIN_PORT:-49160}"
  echo "max-port=${TURN_MAX_PORT:-49999}"
  echo "pidfile=$folder/turnserver.pid"
  echo "userdb=$folder/turndb"
  for ip in $(echo "$TURN_NODE_IP" | tr ',' ' '); do echo "allowed-peer-ip=$ip"; done
  if [ -n "${TURN_LISTEN_IP:-}" ]; then
    echo "listening-ip=$TURN_LISTEN_IP"
    echo "relay-ip=$TURN_LISTEN_IP"
  fi
  if [ -n "${TURN_EXTERNAL_IP:-}" ]; then echo "external-ip=$TURN_EXTERNAL_IP"; fi
  if [ -n "${TURN_CERT:-}" ] && [ -n "${TURN_KEY:-}" ]; then
    echo "tls-listening-port=${TURN_TLS_PORT:-443}"
    echo "cert=$TURN_CERT"
    echo "pkey=$TURN_KEY"
  else
    echo "no-tls"
  fi
  if [ "${TURN_LOOPBACK:-}" = yes ]; then echo "allow-loopback-peers"; fi
} > "$config"
exec turnserver -c "$config"
