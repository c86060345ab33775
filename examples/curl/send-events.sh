#!/usr/bin/env bash
# Sends annotations and evaluations with curl and jq. URL is the address of `eval-alignment ingest`, TOKEN its token.
set -euo pipefail

reply=$(mktemp)
trap 'rm -f "$reply"' EXIT

# 50 items that a person rated and a metric scored: one event a line, of both kinds in any mix.
events() {
  # Where your tool has an id for the event, use it: then sending again is a repeat, which counts once.
  # `at` is when the person rated: the latest rating counts, in any order of arrival.
  jq --null-input --compact-output --arg run "$$-$(date +%s)" --arg at "$(date -u +%Y-%m-%dT%H:%M:%SZ)" '
    range(50) as $number
    | "curl-zürich-\($number)" as $item
    | {
        id: "annotation-\($run)-\($number)",
        at: $at,
        queue: "Example curl",
        item: $item,
        criterion: "helpfulness",
        annotator: "ann",
        thumbs: (if $number % 5 == 0 then "down" else "up" end)
      },
      {
        id: "evaluation-\($run)-\($number)",
        at: $at,
        item: $item,
        metric: "answer_relevancy",
        judge: "gpt-4o/p3",
        score: (if $number % 4 == 0 then 0.4 else 0.9 end),
        threshold: 0.7
      }'
}

# 429 and 503 are tried again after the time that ingest asks for. Where it needs no token, the header is ignored.
# The header comes from a file, because other users can see the arguments of a command.
status=$(events | curl --silent --show-error --retry 5 --retry-connrefused --retry-max-time 30 --max-time 60 \
  --header @<(printf 'Authorization: Bearer %s\n' "${TOKEN:-none}") --header 'Content-Type: application/x-ndjson' \
  --data-binary @- --output "$reply" --write-out '%{http_code}' "${URL:-http://127.0.0.1:8389}/api/v1/events")

# 200: the broker has acknowledged all events. 207 and 422 list the rejected ones, and curl takes 207 for a success.
if [ "$status" != 200 ]; then
  printf 'status %s: %s\n' "$status" "$(cat "$reply")" >&2
  exit 1
fi
printf '%s events acknowledged\n' "$(jq .accepted "$reply")"
