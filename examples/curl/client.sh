#!/usr/bin/env bash
# A client of Edda with nothing but curl. It plays the two services that
# examples/python/worker.py hosts, checks each answer, and ends with 1 when one is not
# what it should be.
#
#   edda dev & python3 examples/python/worker.py & examples/curl/client.sh
#
# EDDA_URL says where the node is, EDDA_TOKEN is shown to it.
set -euo pipefail

edda=${EDDA_URL:-http://127.0.0.1:7400}
user=user-$$-$RANDOM
failed=0

# edda_curl PATH OPTIONS...: asks the node. Redirects are answers, and a node that
# cannot be reached is an error.
edda_curl() {
	local path=$1
	shift
	curl --silent --show-error --max-time 30 "$edda$path" \
		${EDDA_TOKEN:+-H "Authorization: Bearer $EDDA_TOKEN"} "$@"
}

# check WHAT GOT WANT: compares, and says so.
check() {
	if [ "$2" = "$3" ]; then
		printf 'ok    %-34s %s\n' "$1" "$2"
	else
		printf 'WRONG %-34s %s, want %s\n' "$1" "$2" "$3"
		failed=1
	fi
}

# call TO METHOD BODY WANT: calls a method with JSON. WANT is status and body.
call() {
	local got
	got=$(edda_curl "/v1/call/$1/$2" -X POST --json "$3" -w '\n%{http_code}')
	check "$1 $2" "${got##*$'\n'} ${got%$'\n'*}" "$4"
}

echo "users: state of a key, one request of it at a time"
email='{"email":"ada@example.com"}'
call "users/$user" login "$email" "403 forbidden"
call "users/$user" allow "$email" "200 ok"
call "users/$user" login "$email" "200 ok"
call "users/$user" zzz "$email" "404 not found"
call "users/$user-2" login "$email" "403 forbidden"

echo "TEST_SERVICE: any worker, any order"
call TEST_SERVICE echo '{"test": "data"}' '200 {"test": "data"}'
count=$(edda_curl /v1/call/TEST_SERVICE/req_count -X POST)
check "TEST_SERVICE req_count counts" "$([ "$count" -ge 2 ] && echo yes || echo "no: $count")" yes
call TEST_SERVICE nope '' '404 /nope not found'
call TEST_SERVICE bad '' '400 worker exception'

echo "a repeated call is done once"
key=$user-once
repeat() {
	edda_curl /v1/call/TEST_SERVICE/req_count -X POST -H "Idempotency-Key: $key" -D - -o /dev/null |
		tr -d '\r' | awk -F': ' 'tolower($1) == "idempotency-replayed" { print $2 }'
}
check "the first time" "$(repeat)" ""
check "the second time, replayed" "$(repeat)" true

echo "a call that nobody waits for"
headers=$(edda_curl "/v1/call/users/$user/login" --json "$email" -H 'Prefer: respond-async' -D - -o /dev/null | tr -d '\r')
location=$(awk -F': ' 'tolower($1) == "location" { print $2 }' <<<"$headers")
check "accepted" "$(awk 'NR == 1 { print $2 }' <<<"$headers")" 202
check "its reply" "$(edda_curl "$location/reply?wait=10s")" ok

echo "a service that there is not"
reason=$(edda_curl /v1/call/nobody/x -X POST | sed 's/.*"reason":"\([A-Z_]*\)".*/\1/')
check "reason" "$reason" NO_SERVICE

exit $failed
