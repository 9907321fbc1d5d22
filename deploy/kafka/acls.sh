#!/bin/sh
# Gives Weir's three Kafka users the rights that they need, and no others. Run by an administrator, again
# after every change here: what is there already is left as it is.
#
#   deploy/kafka/acls.sh --bootstrap-server kafka:9093 --command-config admin.properties
#
# All arguments go to kafka-acls.sh as they are. The environment says what differs from the defaults:
#   KAFKA_ACLS    the command, where it is not kafka-acls.sh on the PATH
#   PREFIX        stands before the name of every topic; a broker that several lines or test runs share
#                 has one for each. The names are then exact, never patterns: kinds of topics differ in
#                 their ends, which no pattern of Kafka's can tell
#   GROUP_PREFIX  kafka.group-prefix of the hosts, `weir` by default
#   BRIDGE, HOST, TRAINER   the users, `bridge`, `host` and `trainer` by default
#
#   bridge    writes what machines send, and dead letters
#   host      roles predict and join: reads that and the models, writes predictions and joined rows; and shows the line,
#             so it reads all topics but the requests
#   trainer   roles sink, drift and train, and `weir model train`: reads joined rows, writes models
#
# Whoever may write `model-request` may ask for another version to serve; give that to the people who decide it.
# Whoever may write `models` decides what predicts: that is the trainer alone. Nobody here makes topics;
# `weir topics create` is for an administrator.
set -eu

prefix=${PREFIX:-}
group=${GROUP_PREFIX:-weir}
bridge=User:${BRIDGE:-bridge}
host=User:${HOST:-host}
trainer=User:${TRAINER:-trainer}

allow() { # user, operation, then arguments of kafka-acls.sh that name topics and groups
  user=$1 operation=$2
  shift 2
  "${KAFKA_ACLS:-kafka-acls.sh}" "$@" --add --allow-principal "$user" --operation "$operation"
}

# Names of topics as arguments. The right to read or write one brings the right to describe it.
measurement=$prefix'machine-measurement' target=$prefix'machine-weight'
prediction=$prefix'weight-prediction' joined=$prefix'weight-diff' unjoined=$prefix'weight-unjoined'
window=$prefix'weight-window' trigger=$prefix'weight-retrain' request=$prefix'model-request' models=$prefix'models'
unrouted=$prefix'unrouted-dead-letter'

# Every client of Weir that reads has a group, also those that commit nothing: weir-topics waits until topics
# exist, weir-ends asks for their ends, weir-models follows the models, weir-catalog publishes them.
allow "$bridge" Write "$@" \
  --topic "$measurement" --topic "$target" \
  --topic "$measurement-dead-letter" --topic "$target-dead-letter" --topic "$unrouted"
allow "$bridge" Read "$@" --group weir-topics

allow "$host" Read "$@" \
  --topic "$measurement" --topic "$target" --topic "$prediction" --topic "$models" \
  --group "$group-predict" --group "$group-join" \
  --group weir-topics --group weir-ends --group weir-models
allow "$host" Write "$@" \
  --topic "$prediction" --topic "$joined" --topic "$unjoined" \
  --topic "$measurement-dead-letter" --topic "$target-dead-letter" --topic "$prediction-dead-letter"

# The page of a host (http.listen) shows the whole line. If people are to act on it, the host's user may also write
# "$request": give it that yourself.
allow "$host" Read "$@" \
  --topic "$joined" --topic "$unjoined" --topic "$window" --topic "$trigger" --topic "$unrouted" \
  --topic "$measurement-dead-letter" --topic "$target-dead-letter" --topic "$prediction-dead-letter" \
  --topic "$joined-dead-letter" --topic "$trigger-dead-letter" --topic "$request-dead-letter" \
  --group weir-page
allow "$host" Describe "$@" --topic "$request" --group "$group-sink" --group "$group-drift" --group "$group-train"

allow "$trainer" Read "$@" \
  --topic "$joined" --topic "$trigger" --topic "$request" --topic "$models" \
  --group "$group-sink" --group "$group-drift" --group "$group-train" \
  --group weir-topics --group weir-ends --group weir-catalog
allow "$trainer" Write "$@" \
  --topic "$window" --topic "$trigger" --topic "$request" --topic "$models" \
  --topic "$joined-dead-letter" --topic "$trigger-dead-letter" --topic "$request-dead-letter"

# Idempotent producers. Brokers since 3.0 let everybody have one who may write any topic.
allow "$bridge" IdempotentWrite "$@" --cluster --allow-principal "$host" --allow-principal "$trainer"
