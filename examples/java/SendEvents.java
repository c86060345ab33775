import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Sends annotations and evaluations with kafka-clients. BROKER is the address of Kafka. */
public class SendEvents {
    private static final String ANNOTATIONS = "alignment.annotations.v1";
    private static final String EVALUATIONS = "alignment.evaluations.v1";

    /** Sends all events, and throws when any of them was not acknowledged. */
    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put(
                ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv().getOrDefault("BROKER", "127.0.0.1:9092"));
        // The defaults since 3.0: wait for all in-sync replicas; a retry inside the client appends a record once.
        settings.put(ProducerConfig.ACKS_CONFIG, "all");
        settings.put(ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true);
        // An event that cannot be delivered fails after 30 s. The default is 2 minutes.
        settings.put(ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, 30_000);
        settings.put(ProducerConfig.REQUEST_TIMEOUT_MS_CONFIG, 10_000);
        settings.put(ProducerConfig.MAX_BLOCK_MS_CONFIG, 30_000);
        // No partitioner.class: the partition is then murmur2 of the key, the item's bytes in UTF-8.

        ObjectMapper json = new ObjectMapper();
        List<Future<RecordMetadata>> deliveries = new ArrayList<>();
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
            // Fails here when Kafka or a topic is not found. Otherwise each `send` would wait for it.
            producer.partitionsFor(ANNOTATIONS);
            producer.partitionsFor(EVALUATIONS);
            // 50 items that a person rated and a metric scored.
            for (int number = 0; number < 50; number++) {
                String item = "java-zürich-" + number;
                Map<String, Object> annotation = Map.of(
                        // Where your tool has an id for the event, use it: then sending again counts once.
                        "id", UUID.randomUUID().toString(),
                        // When the person rated: the latest rating counts, in any order of arrival.
                        "at", Instant.now().toString(),
                        "queue", "Example Java",
                        "item", item,
                        "criterion", "helpfulness",
                        "annotator", "ann",
                        "thumbs", number % 5 == 0 ? "down" : "up");
                Map<String, Object> evaluation = Map.of(
                        "id", UUID.randomUUID().toString(),
                        "at", Instant.now().toString(),
                        "item", item,
                        "metric", "answer_relevancy",
                        "judge", "gpt-4o/p3",
                        "score", number % 4 == 0 ? 0.4 : 0.9,
                        "threshold", 0.7);
                deliveries.add(
                        producer.send(new ProducerRecord<>(ANNOTATIONS, item, json.writeValueAsBytes(annotation))));
                deliveries.add(
                        producer.send(new ProducerRecord<>(EVALUATIONS, item, json.writeValueAsBytes(evaluation))));
            }
            producer.flush();
            for (Future<RecordMetadata> delivery : deliveries) {
                delivery.get(); // throws the event's error
            }
        }
        System.out.println(deliveries.size() + " events acknowledged");
    }
}
