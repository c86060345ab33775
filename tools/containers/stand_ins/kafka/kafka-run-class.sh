#!/bin/bash
mkdir -p "${LOG_DIR:-/opt/kafka/logs}" || exit 1
exec java ${KAFKA_HEAP_OPTS:--Xmx256M} ${KAFKA_GC_LOG_OPTS:-} ${KAFKA_OPTS:-} \
  -Dlog4j2.configurationFile=/etc/kafka/docker/log4j2.properties -cp '/opt/kafka/libs/*' "$@"
