// Sends annotations and evaluations with KafkaJS. BROKER is the address of Kafka.

import { randomUUID } from "node:crypto";
import { Kafka, type Message, Partitioners } from "kafkajs";

const annotations: Message[] = [];
const evaluations: Message[] = [];
// 50 items that a person rated and a metric scored.
for (let number = 0; number < 50; number++) {
  const item = `kafkajs-zürich-${number}`;
  const annotation = {
    // Where your tool has an id for the event, use it: then sending again is a repeat, which counts once.
    id: randomUUID(),
    // When the person rated: the latest rating counts, in any order of arrival.
    at: new Date().toISOString(),
    queue: "Example KafkaJS",
    item,
    criterion: "helpfulness",
    annotator: "ann",
    thumbs: number % 5 === 0 ? "down" : "up",
  };
  const evaluation = {
    id: randomUUID(),
    at: new Date().toISOString(),
    item,
    metric: "answer_relevancy",
    judge: "gpt-4o/p3",
    score: number % 4 === 0 ? 0.4 : 0.9,
    threshold: 0.7,
  };
  annotations.push({ key: item, value: JSON.stringify(annotation) });
  evaluations.push({ key: item, value: JSON.stringify(evaluation) });
}

const kafka = new Kafka({ clientId: "send-events", brokers: (process.env.BROKER ?? "127.0.0.1:9092").split(",") });
const producer = kafka.producer({
  // Hashes the key's bytes by murmur2. LegacyPartitioner, the default before KafkaJS 2, does not.
  createPartitioner: Partitioners.DefaultPartitioner,
  allowAutoTopicCreation: false,
  // KafkaJS calls its idempotent producer experimental. It is not needed: an event that arrives twice counts once.
});

// An error that is not caught ends Node.js with exit code 1.
await producer.connect();
try {
  // Returns when all in-sync replicas have all messages, and throws when one message is not delivered.
  await producer.sendBatch({
    acks: -1,
    topicMessages: [
      { topic: "alignment.annotations.v1", messages: annotations },
      { topic: "alignment.evaluations.v1", messages: evaluations },
    ],
  });
} finally {
  await producer.disconnect();
}
console.log(`${annotations.length + evaluations.length} events acknowledged`);
