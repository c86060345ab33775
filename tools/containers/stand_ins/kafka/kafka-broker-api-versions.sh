#!/bin/bash
KAFKA_GC_LOG_OPTS= exec /opt/kafka/bin/kafka-run-class.sh org.apache.kafka.tools.BrokerApiVersionsCommand "$@"
